"""Flows between labels, drawn: ribbons for few types, a matrix of the cells that changed for many."""

from __future__ import annotations

from typing import Any

import numpy as np

from corpuscle.annotate._naming import Naming
from corpuscle.annotate._plot_parts import ACCENT, INK, QUIET, colours_of, grouped, new_figure, short_name, spread_apart

__all__ = ["draw_matrix", "draw_sankey", "flows_of"]

Array = np.ndarray[Any, Any]
#: Rows of a matrix that can be read.
ROWS = 30
#: Up to here the numbers have room.
WRITTEN = 20
UNASSIGNED = "unassigned"


def flows_of(naming: Naming, most: int) -> tuple[list[str], Array]:
    """Names, the largest first, and cells by name before (rows) and after (columns); unassigned cells are a name too."""
    names, (before_n, after_n) = grouped(naming.types, naming.before_n, naming.after_n, most=most)
    if (before_n < 0).any() or (after_n < 0).any():
        before_n, after_n = (np.where(code < 0, len(names), code) for code in (before_n, after_n))
        names.append(UNASSIGNED)
    k = len(names)
    return names, np.bincount(before_n.astype(np.int64) * k + after_n, minlength=k * k).reshape(k, k)


def draw_sankey(naming: Naming) -> Any:
    """Ribbons from the types before (left) to those after (right), as wide as they have cells; what stays is pale."""
    names, flow_kk = flows_of(naming, most=12)
    k = len(names)
    total = max(1, int(flow_kk.sum()))
    gap = 0.035
    figure = new_figure(7.2, 1.2 + 0.42 * k)
    axis = figure.subplots()
    colour_k = colours_of(k)
    left_k, right_k = (_stacked(flow_kk.sum(axis=side) / total, gap) for side in (1, 0))
    from_kk = left_k[:, None] + _before(flow_kk, axis=1) / total
    to_kk = right_k[None, :] + _before(flow_kk, axis=0) / total
    for i, j in zip(*np.nonzero(flow_kk), strict=True):
        thick = flow_kk[i, j] / total
        _ribbon(axis, from_kk[i, j], to_kk[i, j], thick, colour_k[i], pale=bool(i == j))
    high = 1 + gap * (k - 1)
    for x, start_k, size_k, align in ((0.0, left_k, flow_kk.sum(1), "right"), (1.0, right_k, flow_kk.sum(0), "left")):
        _blocks(axis, x, start_k, size_k / total, colour_k)
        shown = np.flatnonzero((flow_kk.sum(0) + flow_kk.sum(1)) > 0)
        at = spread_apart(start_k[shown] + size_k[shown] / total / 2, high / max(1, 1.9 * k), 0, high)
        for k_shown, y in zip(shown, at, strict=True):
            words = f"{short_name(names[k_shown])}  {size_k[k_shown]:,}"
            axis.text(
                x - 0.035 if align == "right" else x + 0.035, y, words, ha=align, va="center", fontsize=8, color=INK
            )
    axis.set_xlim(-0.03, 1.03)
    axis.set_ylim(high + 0.02, -0.02)
    axis.axis("off")
    axis.set_title(_title(naming), fontsize=9, loc="left", color=QUIET)
    return figure


def _title(naming: Naming) -> str:
    changed = int(naming.changed_n.sum())
    return f"before, and after refinement: {changed:,} of {naming.before_n.size:,} cells changed"


def _stacked(size_k: Array, gap: float) -> Array:
    return np.concatenate([[0.0], np.cumsum(size_k)[:-1]]) + gap * np.arange(size_k.size)


def _before(flow_kk: Array, axis: int) -> Array:
    """Cells that lie above a flow in its block."""
    return np.cumsum(flow_kk, axis=axis) - flow_kk


def _ribbon(axis: Any, start: float, stop: float, thick: float, colour: str, *, pale: bool) -> None:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    x0, x1, middle = 0.025, 0.975, 0.5
    points = [(x0, start), (middle, start), (middle, stop), (x1, stop), (x1, stop + thick), (middle, stop + thick),
              (middle, start + thick), (x0, start + thick), (x0, start)]  # fmt: skip
    codes = [Path.MOVETO, *[Path.CURVE4] * 3, Path.LINETO, *[Path.CURVE4] * 3, Path.CLOSEPOLY]
    patch = PathPatch(
        Path(points, codes), facecolor=colour, linewidth=0 if pale else 0.4, edgecolor=colour, alpha=0.16 if pale else 0.72,
        zorder=1 if pale else 2,
    )  # fmt: skip
    axis.add_patch(patch)


def _blocks(axis: Any, x: float, start_k: Array, share_k: Array, colour_k: list[str]) -> None:
    from matplotlib.patches import Rectangle

    for start, share, colour in zip(start_k, share_k, colour_k, strict=True):
        axis.add_patch(Rectangle((x - 0.025, start), 0.05, share, facecolor=colour, linewidth=0, zorder=3))


def draw_matrix(naming: Naming) -> Any:
    """Cells by type before (rows) and after (columns); colour is the share of a row that went there, what stays is pale."""
    names, flow_kk = flows_of(naming, most=ROWS)
    k = len(names)
    row_k = np.maximum(flow_kk.sum(axis=1, keepdims=True), 1)
    share_kk = np.where(np.eye(k, dtype=bool) | (flow_kk == 0), np.nan, flow_kk / row_k)
    figure = new_figure(max(5.8, 2.8 + 0.34 * k), 2.0 + 0.24 * k)
    axis = figure.subplots()
    top = max(0.1, float(np.nanmax(share_kk, initial=0.0)))
    image = axis.pcolormesh(np.ma.masked_invalid(share_kk), cmap=_pale_to_dark(), vmin=0, vmax=top, edgecolors="white")
    axis.set_ylim(k, 0)
    axis.set_aspect("auto")
    shown = [short_name(name) for name in names]
    axis.set_yticks(np.arange(k) + 0.5, [f"{name} ({n:,})" for name, n in zip(shown, flow_kk.sum(1), strict=True)])
    axis.set_xticks(
        np.arange(k) + 0.5, [f"{name} ({n:,})" for name, n in zip(shown, flow_kk.sum(0), strict=True)], rotation=90
    )
    axis.tick_params(length=0, labelsize=7)
    axis.spines[:].set_visible(False)
    axis.set_ylabel("before (cells)", fontsize=8)
    axis.set_xlabel("after (cells)", fontsize=8)
    _write_numbers(axis, flow_kk, share_kk, top)
    erased = {name for name, gone in zip(naming.types, naming.erased_k, strict=True) if gone}
    for label, name in zip(axis.get_yticklabels(), names, strict=True):
        if name in erased:
            label.set_color(ACCENT)
    bar = figure.colorbar(image, ax=axis, fraction=0.04, aspect=14)
    bar.ax.tick_params(labelsize=7)
    bar.set_label("share of the row that changed to", fontsize=8)
    bar.outline.set_visible(False)
    axis.set_title(_title(naming), fontsize=9, loc="left", color=QUIET)
    return figure


def _pale_to_dark() -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("pale to dark", ["#f8e9e7", "#d9808c", ACCENT, "#4a0d1c"])


def _write_numbers(axis: Any, flow_kk: Array, share_kk: Array, top: float) -> None:
    if len(flow_kk) > WRITTEN:
        return
    for i, j in zip(*np.nonzero(flow_kk), strict=True):
        colour = "#b5afb8" if i == j else ("white" if share_kk[i, j] > 0.55 * top else INK)
        axis.text(j + 0.5, i + 0.5, f"{flow_kk[i, j]:,}", ha="center", va="center", fontsize=6, color=colour)
