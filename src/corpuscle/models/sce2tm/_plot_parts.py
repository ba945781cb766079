"""What the figures share: colours, empty figures, maps, and labels that keep out of each other's way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from corpuscle.errors import MethodError, OptionError
from corpuscle.models._figures import INK, QUIET, SHAPE, new_figure, tidy

__all__ = ["BLUE", "GREEN", "INK", "ORANGE", "QUIET", "SHAPE", "SKY", "label_points", "new_figure", "tidy", "umap_of"]

Array = np.ndarray[Any, Any]

# Of the palette of Okabe and Ito, told apart under every common colour blindness; shapes and labels say the same again.
BLUE, ORANGE, GREEN, SKY = "#0072b2", "#d55e00", "#009e73", "#56b4e9"

#: Directions and distances (points) in which a label may stand off its point, the nearest first.
ANGLES = np.deg2rad([0, 180, 90, 270, 45, 135, 225, 315, 22, 158, 202, 338, 67, 113, 247, 293])
REACH = (6.0, 9.0, 13.0, 19.0, 27.0, 38.0, 52.0, 70.0, 92.0, 120.0)
#: From here a thin line leads from the label to its point.
LEADER = 15.0


def umap_of(x_nd: Array, *, metric: str, seed: int, n_neighbors: int = 15, then: Array | None = None) -> Any:
    """Two-dimensional map of points, and with ``then`` of further points placed into the same map.

    Raises
    ------
    MethodError
        Fewer than four points.
    """
    import warnings

    from umap import UMAP

    if len(x_nd) < 4:
        raise MethodError(f"a map needs 4 points or more, not {len(x_nd)}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a seed costs UMAP its threads, which it says every time
        mapper = UMAP(n_neighbors=min(n_neighbors, len(x_nd) - 1), metric=metric, min_dist=0.1, random_state=seed)
        xy_n2 = np.asarray(mapper.fit_transform(x_nd))
        return xy_n2 if then is None else (xy_n2, np.asarray(mapper.transform(then)))


def label_points(
    axis: Any, xy_l2: Array, labels: Sequence[str], *, size: float = 8.0, around: Array | None = None
) -> list[Any]:
    """Write a label beside each point so that no two overlap and none hides a point; a thin line leads to far ones.

    ``around`` are further points not to be hidden. The limits of the axis must be final. A label that finds no free
    place stays at the farthest one tried.
    """
    from matplotlib.patheffects import withStroke

    figure = axis.figure
    figure.canvas.draw()
    figure.set_layout_engine("none")  # what is measured now must still hold when the figure is saved
    renderer, point = figure.canvas.get_renderer(), figure.dpi / 72
    spot_l2 = axis.transData.transform(xy_l2)
    frame = axis.get_window_extent(renderer)
    dots = spot_l2 if around is None else np.vstack([spot_l2, axis.transData.transform(around)])
    taken = [(x - 4 * point, y - 4 * point, x + 4 * point, y + 4 * point) for x, y in dots]
    texts = []
    for (x, y), at, label in zip(spot_l2, xy_l2, labels, strict=True):
        text = axis.annotate(
            label, at, xytext=(0, 0), textcoords="offset points", ha="center", va="center", fontsize=size,
            color=INK, zorder=6, path_effects=[withStroke(linewidth=1.6, foreground="white", alpha=0.8)],
        )  # fmt: skip
        extent = text.get_window_extent(renderer)
        half = np.array([extent.width, extent.height]) / 2 + 0.75 * point
        offset, box = _free_place(np.array([x, y]), half, taken, frame, point)
        taken.append(box)
        text.set_position(tuple(offset / point))
        if np.linalg.norm(np.maximum(np.abs(offset) - half, 0)) > LEADER * point:
            end = axis.transData.inverted().transform(np.array([x, y]) + offset * 0.9)
            axis.plot(
                [at[0], end[0]], [at[1], end[1]], color=QUIET, linewidth=0.5, zorder=4, scalex=False, scaley=False
            )
        texts.append(text)
    return texts


def _free_place(spot: Array, half: Array, taken: list[Any], frame: Any, point: float) -> tuple[Array, tuple[Any, ...]]:
    boxes = np.asarray(taken)
    offset, box = np.zeros(2), np.zeros(4)
    for reach in REACH:
        for angle in ANGLES:
            toward = np.array([np.cos(angle), np.sin(angle)])
            offset = toward * (half + reach * point * np.where(np.abs(toward) > 1e-9, 1.0, 0.0))
            box = np.concatenate([spot + offset - half, spot + offset + half])
            inside = box[0] >= frame.x0 and box[1] >= frame.y0 and box[2] <= frame.x1 and box[3] <= frame.y1
            apart = (boxes[:, 0] > box[2]) | (boxes[:, 2] < box[0]) | (boxes[:, 1] > box[3]) | (boxes[:, 3] < box[1])
            if inside and apart.all():
                return offset, tuple(box)
    return offset, tuple(box)


def chosen_topics(topics: Sequence[Any] | None, known: Sequence[Any]) -> list[Any]:
    """The topics asked for, in the order given; all if None.

    Raises
    ------
    OptionError
        A topic is not there, or none is asked for.
    """
    if topics is None:
        return list(known)
    for topic in topics:
        if topic not in set(known):
            raise OptionError(f"there is no topic {topic!r}; there are {known[0]} to {known[-1]}")
    if not len(topics):
        raise OptionError("no topic is asked for; name one or more")
    return list(topics)


def similar_order(x_rd: Array) -> Array:
    """Order of rows in which similar ones stand together: leaves of average linkage of correlation distances."""
    from scipy.cluster.hierarchy import leaves_list

    return np.arange(len(x_rd)) if len(x_rd) < 3 else np.asarray(leaves_list(row_tree(x_rd)))


def row_tree(x_rd: Array) -> Array:
    """Average linkage of rows by correlation distance, leaves ordered; constant rows are far from all others."""
    from scipy.cluster.hierarchy import linkage
    from scipy.spatial.distance import squareform

    centred = x_rd - x_rd.mean(axis=1, keepdims=True)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    unit = np.divide(centred, length, out=np.zeros_like(centred), where=length > 0)
    distance = np.clip(1 - unit @ unit.T, 0, 2)
    np.fill_diagonal(distance, 0)
    tree: Array = linkage(squareform(distance, checks=False), "average", optimal_ordering=len(x_rd) <= 200)
    return tree
