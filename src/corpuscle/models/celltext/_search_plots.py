"""Where the cells of a search lie, and a figure of their scores."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from corpuscle.errors import MethodError
from corpuscle.models._figures import SHAPE, new_figure
from corpuscle.models.celltext.search import Found
from corpuscle.seeds import stream, stream_seed

__all__ = ["LIGHT_TO_DARK", "RING", "limits", "map_places", "score_map"]

Array = np.ndarray[Any, Any]
#: Cells a map is made of, where the source has none; of more, so many at random and the best of each query.
MAPPED = 10_000
#: Points of more cells go into a vector file as one image.
RASTERISED = 50_000
#: A figure of more panels cannot be read.
PANELS = 9
LIGHT_TO_DARK, RING = ("#e4dfd7", "#9fc6dd", "#3f8fc0", "#0b4f7d"), "#d55e00"


def map_places(found: Found, *, seed: int = 0, most: int | None = None) -> tuple[Array, Array]:
    """Cells to draw and where: (m,) places among the cells, (m, 2) coordinates.

    The map of the source where it has one, else UMAP of the shared space, which knows nothing of the queries.

    Parameters
    ----------
    found
        What was found.
    seed
        Of the map, and of the cells drawn.
    most
        Draw about so many cells; the best of each query are always among them.

    Raises
    ------
    MethodError
        A map has to be made of fewer than four cells, or no cell has a place on the one that is there.
    """
    n = len(found.scores)
    known_n = np.ones(n, bool) if found.coords is None else np.isfinite(found.coords).all(axis=1)
    order = stream(seed, "celltext", "drawn cells").permutation(n)
    limit = min([n, *([] if most is None else [most]), *([MAPPED] if found.coords is None else [])])
    best = [found.scores.index.get_indexer(found.best(column).index) for column in found.scores]
    chosen_n = np.zeros(n, bool)
    chosen_n[order[:limit]] = True
    chosen_n[np.concatenate(best)] = True
    cells = np.flatnonzero(chosen_n & known_n)
    if found.coords is not None:
        if not cells.size:
            raise MethodError("no cell has a place on the map of the data; give another --basis")
        return cells, np.asarray(found.coords, float)[cells]
    if cells.size < 4:
        raise MethodError(f"a map needs 4 cells or more, not {cells.size}")
    from umap import UMAP

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a seed costs UMAP its threads, which it says every time
        mapper = UMAP(
            n_neighbors=min(15, cells.size - 1), min_dist=0.3, random_state=stream_seed(seed, "celltext", "map")
        )
        return cells, np.asarray(mapper.fit_transform(found.vectors_nd[cells]), float)


def limits(scores_n: Array) -> tuple[float, float]:
    """Scores that get the lightest and the darkest shade: the 1st and 99th percentile, so that no single cell sets them."""
    low, high = np.percentile(scores_n, (1, 99))
    return float(low), float(high if high > low else low + 1e-6)


def score_map(found: Found, cells: Array, xy_m2: Array) -> Any:
    """The map once for each query (the first nine), coloured by its scores; the best cells have a ring.

    Parameters
    ----------
    found
        What was found.
    cells, xy_m2
        What :func:`map_places` gave.

    Returns
    -------
    matplotlib.figure.Figure
        Each panel has a scale of its own, since scores of two queries cannot be compared.
    """
    from matplotlib.colors import LinearSegmentedColormap

    columns = list(found.scores)[:PANELS]
    across = min(3, len(columns))
    down = -(-len(columns) // across)
    figure = new_figure(3.7 * across + 0.3, 3.5 * down)
    axes = figure.subplots(down, across, squeeze=False).ravel()
    shades = LinearSegmentedColormap.from_list("light to dark", list(LIGHT_TO_DARK))
    for axis, column in zip(axes, columns, strict=False):
        score_n = found.scores[column].to_numpy()
        low, high = limits(score_n)
        order = np.argsort(score_n[cells], kind="stable")  # the best on top
        size = float(np.clip(12_000 / max(1, len(cells)), 0.6, 9.0))
        points = axis.scatter(
            *xy_m2[order].T, s=size, c=score_n[cells][order], cmap=shades, vmin=low, vmax=high, linewidths=0,
            rasterized=len(cells) > RASTERISED,
        )  # fmt: skip
        ringed = np.isin(cells, found.scores.index.get_indexer(found.best(column).index))
        axis.scatter(*xy_m2[ringed].T, s=max(10.0, 2 * size), facecolors="none", edgecolors=RING, linewidths=0.6)
        _finish(figure, axis, column, points)
    for axis in axes[len(columns) :]:
        axis.set_visible(False)
    return figure


def _finish(figure: Any, axis: Any, column: str, points: Any) -> None:
    axis.set_xticks([])
    axis.set_yticks([])
    axis.spines[["top", "right", "left", "bottom"]].set_color(SHAPE)
    shown = column if len(column) <= 40 else f"{column[:39]}\N{HORIZONTAL ELLIPSIS}"
    title = axis.set_title(shown, fontsize=9, loc="left")
    title.set_parse_math(False)  # a dollar sign is part of what was asked
    bar = figure.colorbar(points, ax=axis, shrink=0.6, pad=0.02)
    bar.ax.tick_params(labelsize=7)
    bar.outline.set_visible(False)
    bar.set_label("cosine", fontsize=7)
