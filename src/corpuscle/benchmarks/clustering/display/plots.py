"""Figures for papers and notebooks: scores, what the oracle adds, types."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from corpuscle.benchmarks.clustering.display.figures import method_order, types_of
from corpuscle.benchmarks.clustering.display.findings import gaps
from corpuscle.benchmarks.clustering.display.standings import blocks, leaderboard, of_block, set_means
from corpuscle.benchmarks.clustering.display.words import TOLD
from corpuscle.errors import OptionError
from corpuscle.report import Result

__all__ = ["PLOTS"]

ACCENT, INK, QUIET, SHAPE = "#a31d3a", "#1d1c1f", "#8a858c", "#d5cfc6"
ROW = 0.26
SHORT = {"fixed": "resolution 1.0", "own": "own clusters", "matched": "matched resolution", "kmeans": "k-means"}
SHORT["oracle"] = "oracle resolution"


def _figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure  # no pyplot: a library leaves the caller's backend alone

    return Figure(figsize=(width, max(2.4, height)), layout="constrained")


def _rows(axis: Any, labels: list[str]) -> None:
    axis.set_yticks(range(len(labels)), labels, fontsize=8)
    axis.set_ylim(len(labels) - 0.4, -0.6)
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(axis="x", labelsize=8)
    axis.grid(axis="y", color=SHAPE, linewidth=0.5)
    axis.set_axisbelow(True)


def _scored(result: Result) -> list[tuple[str, str]]:
    order = blocks(result)
    if not order:
        raise OptionError("no run was scored, so there is nothing to plot; see the failures")
    return order


def plot_scores(result: Result) -> Any:
    """ARI, a panel for what was told: data sets (grey), their mean and its 95 % interval; best first."""
    order, board, means = _scored(result), leaderboard(result), set_means(result)
    tallest = max(len(of_block(board, block)) for block in order)
    across = min(2, len(order))
    down = -(-len(order) // across)
    longest = max(len(str(method)) for method in board["method"])
    figure = _figure((3.2 + 0.06 * longest) * across, (0.9 + ROW * tallest) * down)
    axes = figure.subplots(down, across, squeeze=False, sharex=True).ravel()
    for axis, block in zip(axes, order, strict=False):
        rows = of_block(board, block)
        of_sets = of_block(means, block)
        places = np.arange(len(rows))
        for place, method in enumerate(rows["method"]):
            values = of_sets.loc[of_sets["method"] == method, "ari"]
            axis.plot(values, np.full(len(values), place), "o", markerfacecolor="none", color=QUIET, markersize=3.5)
        axis.hlines(places, rows["ari_low"], rows["ari_high"], color=ACCENT, linewidth=1.4)
        axis.plot(rows["ari"], places, "D", color=ACCENT, markersize=4)
        axis.axvline(0.0, color=QUIET, linewidth=0.8, linestyle=(0, (2, 3)))
        axis.set_title(f"{TOLD.get(block[0], block[0])}: {SHORT.get(block[1], block[1])}", fontsize=9, loc="left")
        axis.set_xlabel("ARI", fontsize=8)
        axis.tick_params(axis="x", labelbottom=True)
        _rows(axis, list(rows["method"]))
    for axis in axes[len(order) :]:
        axis.remove()
    return figure


def plot_oracle_gap(result: Result) -> Any:
    """Mean ARI at resolution 1.0 (circle), matched (tick) and picked by the labels (diamond), for each method."""
    wide = gaps(leaderboard(result)).dropna(subset=["gap"]) if _scored(result) else None
    if wide is None or wide.empty:
        raise OptionError("no method gave an embedding, so there is no oracle to compare with")
    figure = _figure(6.4, 1.2 + ROW * len(wide))
    axis = figure.subplots()
    places = np.arange(len(wide))
    axis.hlines(places, wide["fixed"], wide["oracle"], color=ACCENT, linewidth=1.6)
    axis.plot(wide["fixed"], places, "o", markerfacecolor="white", color=INK, markersize=5, label="resolution 1.0")
    axis.plot(wide["matched"], places, "|", color=INK, markersize=9, label="matched to the number of types")
    axis.plot(wide["oracle"], places, "D", color=ACCENT, markersize=5, label="picked by the labels")
    axis.set_xlabel("ARI, mean over data sets", fontsize=8)
    axis.legend(fontsize=7, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
    _rows(axis, list(wide["method"]))
    return figure


def plot_types(result: Result) -> Any:
    """F1 of every type under every method, a panel a data set; the largest type first."""
    types = types_of(result)
    if types.empty:
        raise OptionError("no run was scored, so there is nothing to plot; see the failures")
    methods = [method for method in method_order(result) if method in set(types["method"])]
    groups = list(types.groupby("dataset", sort=True))
    heights = [0.5 + 0.2 * rows["type"].nunique() for _, rows in groups]
    figure = _figure(2.6 + 0.75 * len(methods), 0.8 + sum(heights))
    axes = figure.subplots(len(groups), 1, squeeze=False, height_ratios=heights)[:, 0]
    image = None
    for axis, (name, rows) in zip(axes, groups, strict=True):
        order = rows.drop_duplicates("type").sort_values(["cells", "type"], ascending=[False, True])
        wide = rows.pivot_table(index="type", columns="method", values="f1").reindex(
            index=order["type"], columns=methods
        )
        image = axis.imshow(wide.to_numpy(float), vmin=0, vmax=1, cmap="magma_r", aspect="auto")
        labels = [f"{row.type} ({row.cells:,})" for row in order.itertuples()]
        axis.set_yticks(range(len(labels)), labels, fontsize=6)
        axis.set_xticks(range(len(methods)), methods if axis is axes[-1] else [], fontsize=7, rotation=20, ha="right")
        axis.set_title(str(name), fontsize=9, loc="left")
    figure.colorbar(image, ax=list(axes), label="F1", shrink=0.5)
    return figure


PLOTS: Mapping[str, Callable[[Result], Any]] = {
    "scores": plot_scores,
    "oracle_gap": plot_oracle_gap,
    "types": plot_types,
}
