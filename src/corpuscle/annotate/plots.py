"""Figures of named cells: maps, flows between labels, shares and margins. Each gives a ``matplotlib`` figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from corpuscle.annotate._naming import Naming, naming_of
from corpuscle.annotate._plot_flows import draw_matrix, draw_sankey
from corpuscle.annotate._plot_parts import (
    ACCENT,
    INK,
    QUIET,
    SHAPE,
    colours_of,
    grouped,
    new_figure,
    short_name,
    tidy,
)
from corpuscle.errors import MethodError, OptionError
from corpuscle.seeds import stream, stream_seed

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["label_flows", "margin_histogram", "type_shares", "umap_before_after", "umap_of_cells"]

Array = np.ndarray[Any, Any]
#: Cells drawn; of more, so many at random.
DRAWN = 40_000
#: Cells a map is made of, where there is none; of more, so many at random.
MAPPED = 10_000
#: A Sankey diagram of more types is a knot.
SANKEY_TYPES = 10


def umap_before_after(
    adata: AnnData, key: str = "refined", *, basis: str = "X_umap", use_rep: str | None = None, seed: int = 0
) -> Any:
    """Cells by type before and after refinement, and those that changed.

    Parameters
    ----------
    adata
        Refined, or annotated only (one panel then).
    key
        Name of the refinement.
    basis
        ``obsm`` key of a map of two dimensions; one is made where it is missing.
    use_rep
        ``obsm`` key of the representation that the map is made of; the one that made the graph, else ``X_pca``.
    seed
        Of the map and of the cells drawn.

    Returns
    -------
    matplotlib.figure.Figure
        Up to 40,000 cells, drawn in random order.
    """
    naming = naming_of(adata, key)
    cells, xy_m2 = umap_of_cells(adata, naming, basis=basis, use_rep=use_rep, seed=seed)
    names, (before_n, after_n) = grouped(naming.types, naming.before_n, naming.after_n)
    colour_k = colours_of(len(names))
    panels = [("before refinement", before_n), ("after refinement", after_n)] if naming.refined else [("", before_n)]
    width = len(panels) + bool(naming.refined)
    figure = new_figure(3.4 * width + 1.9, 3.6)
    axes = figure.subplots(1, width, squeeze=False)[0]
    for axis, (title, code_n) in zip(axes, panels, strict=False):
        code_m = code_n[cells]
        shades = np.array([*colour_k, SHAPE])[code_m]
        axis.scatter(xy_m2[:, 0], xy_m2[:, 1], s=_dot(len(cells)), c=shades, linewidths=0, rasterized=True)
        _map_axis(axis, title)
    if naming.refined:
        _draw_changed(axes[-1], xy_m2, naming.changed_n[cells], naming.changed_n)
    _legend(figure, names, colour_k, bool((after_n < 0).any()))
    return figure


def umap_of_cells(
    adata: AnnData,
    naming: Naming,
    *,
    basis: str = "X_umap",
    use_rep: str | None = None,
    seed: int = 0,
    drawn: int = DRAWN,
) -> tuple[Array, Array]:
    """Cells to draw and their places: (m,) positions in random order, (m, 2) coordinates.

    Raises
    ------
    OptionError
        There is neither a map nor a representation to make one of.
    MethodError
        A map has to be made of fewer than four cells.
    """
    n = adata.n_obs
    order = stream(seed, "annotate", "drawn cells").permutation(n)
    if basis in adata.obsm:
        xy_n2 = np.asarray(adata.obsm[basis], float)
        cells = order[np.isfinite(xy_n2[order, :2]).all(axis=1)][:drawn]
        return cells, xy_n2[cells, :2]
    rep = use_rep or _representation(naming, adata)
    cells = order[: min(drawn, MAPPED)]
    if len(cells) < 4:
        raise MethodError(f"a map needs 4 cells or more, not {len(cells)}")
    xy_m2 = _umap(np.asarray(adata.obsm[rep])[np.sort(cells)], stream_seed(seed, "annotate", "map"))
    cells = np.sort(cells)
    mixed = stream(seed, "annotate", "order drawn").permutation(len(cells))
    return cells[mixed], xy_m2[mixed]


def _representation(naming: Naming, adata: AnnData) -> str:
    params = naming.refined.get("params", {})
    named = [naming.refined.get("use_rep"), params.get("use_rep") if isinstance(params, dict) else None]
    for name in [*named, "X_pca", *(key for key in adata.obsm if key.endswith("_pca"))]:
        if isinstance(name, str) and name in adata.obsm:
            return name
    known = ", ".join(adata.obsm) or "none"
    raise OptionError(f"obsm has neither X_umap nor X_pca to draw a map of, but: {known}; give basis= or use_rep=")


def _umap(x_md: Array, seed: int) -> Array:
    import warnings

    from umap import UMAP

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a seed costs UMAP its threads, which it says every time
        made = UMAP(n_neighbors=min(15, len(x_md) - 1), min_dist=0.3, random_state=seed).fit_transform(x_md)
    return np.asarray(made, float)


def _dot(n_cells: int) -> float:
    return float(np.clip(12_000 / max(1, n_cells), 0.6, 9.0))


def _map_axis(axis: Any, title: str) -> None:
    axis.set_xticks([])
    axis.set_yticks([])
    axis.set_xlabel("UMAP 1", fontsize=8)
    axis.set_ylabel("UMAP 2", fontsize=8)
    axis.spines[["top", "right"]].set_visible(False)
    axis.set_title(title, fontsize=9, loc="left")


def _draw_changed(axis: Any, xy_m2: Array, changed_m: Array, changed_n: Array) -> None:
    for mask, colour, size in ((~changed_m, SHAPE, 1.0), (changed_m, ACCENT, 1.4)):
        axis.scatter(*xy_m2[mask].T, s=size * _dot(len(xy_m2)), c=colour, linewidths=0, rasterized=True)
    _map_axis(axis, f"changed: {changed_n.sum():,} cells ({changed_n.mean():.1%})")


def _legend(figure: Any, names: Sequence[str], colours: Sequence[str], unassigned: bool) -> None:
    from matplotlib.lines import Line2D

    entries = [*zip(names, colours, strict=True), *([("unassigned", SHAPE)] if unassigned else [])]
    handles = [Line2D([], [], linestyle="", marker="o", markersize=5, color=colour, label=short_name(name))
               for name, colour in entries]  # fmt: skip
    figure.legend(handles=handles, loc="outside right upper", frameon=False, fontsize=8, handletextpad=0.1)


def label_flows(
    cells: AnnData | Naming, key: str = "refined", *, kind: Literal["auto", "sankey", "matrix"] = "auto"
) -> Any:
    """Which labels turned into which: a Sankey diagram, or of many types a matrix of the cells that changed.

    Parameters
    ----------
    cells
        A refined AnnData, or a :class:`~corpuscle.annotate._naming.Naming`.
    key
        Name of the refinement.
    kind
        ``"auto"`` draws the diagram for up to ten types that occur, the matrix for more.
    """
    naming = _naming(cells, key)
    if kind not in ("auto", "sankey", "matrix"):
        raise OptionError(f"kind {kind!r} must be auto, sankey or matrix")
    occur = int(((naming.counts(naming.before_n) + naming.counts(naming.after_n)) > 0).sum())
    if kind == "sankey" or (kind == "auto" and occur <= SANKEY_TYPES):
        return draw_sankey(naming)
    return draw_matrix(naming)


def _naming(cells: Any, key: str) -> Naming:
    return cells if isinstance(cells, Naming) else naming_of(cells, key)


def type_shares(cells: AnnData | Naming, key: str = "refined") -> Any:
    """Share of every type before and after; types that refinement erases are marked.

    Parameters
    ----------
    cells
        A refined AnnData, or a :class:`~corpuscle.annotate._naming.Naming`.
    key
        Name of the refinement.
    """
    naming = _naming(cells, key)
    before_k, after_k = naming.counts(naming.before_n), naming.counts(naming.after_n)
    shown = [int(k) for k in np.argsort(-before_k, kind="stable") if before_k[k] or after_k[k]]
    n = max(1, naming.before_n.size)
    figure = new_figure(6.2, 0.9 + 0.3 * len(shown))
    axis = figure.subplots()
    place = np.arange(len(shown))
    axis.barh(place - 0.2, before_k[shown] / n, 0.36, color=SHAPE, label="before")
    axis.barh(place + 0.2, after_k[shown] / n, 0.36, color="#0072b2", label="after")
    for at, k in zip(place, shown, strict=True):
        words = f"{before_k[k]:,} \N{RIGHTWARDS ARROW} {after_k[k]:,}" + ("  erased" if naming.erased_k[k] else "")
        colour = ACCENT if naming.erased_k[k] else QUIET
        axis.annotate(
            words, (max(before_k[k], after_k[k]) / n, at), xytext=(4, 0), textcoords="offset points", va="center",
            fontsize=7, color=colour,
        )  # fmt: skip
    axis.set_yticks(place, [short_name(naming.types[k]) for k in shown], fontsize=8)
    axis.invert_yaxis()
    axis.set_xlabel("share of the cells", fontsize=8)
    axis.margins(x=0.22)
    axis.set_xlim(left=0)
    tidy(axis, grid="x")
    axis.legend(frameon=False, fontsize=8, loc="lower right")
    return figure


def margin_histogram(cells: AnnData | Naming, key: str = "refined", *, bins: int = 50) -> Any:
    """How clearly the cells are named: highest score minus the second, of cells that kept their type and that did not.

    Parameters
    ----------
    cells
        A refined or annotated AnnData, or a :class:`~corpuscle.annotate._naming.Naming`.
    key
        Name of the refinement.
    bins
        Of the histogram.
    """
    naming = _naming(cells, key)
    known = np.isfinite(naming.margin_n)
    if not known.any():
        raise OptionError("there is no margin to draw; it takes scores of two types or more")
    edges = np.histogram_bin_edges(naming.margin_n[known], bins)
    figure = new_figure(5.2, 2.8)
    axis = figure.subplots()
    kinds = (("as before", ~naming.changed_n, "#0072b2"), ("changed", naming.changed_n, ACCENT))
    for name, chosen, colour in kinds if naming.refined else (("cells", known, "#0072b2"),):
        values = naming.margin_n[chosen & known]
        axis.hist(values, edges, histtype="step", color=colour, linewidth=1.3, label=f"{name} ({values.size:,})")
    axis.set_xlabel("margin: highest score minus the second", fontsize=8)
    axis.set_ylabel("cells", fontsize=8, color=INK)
    tidy(axis, grid="y")
    axis.legend(frameon=False, fontsize=8)
    return figure
