"""Figures for papers and notebooks: leaderboard, coherence against diversity, types."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from corpuscle.benchmarks.topics.display.standings import ALL, leaderboard
from corpuscle.benchmarks.topics.names import metric
from corpuscle.errors import OptionError
from corpuscle.report import Result

__all__ = ["PLOTS"]

ACCENT, QUIET, SHAPE = "#a31d3a", "#8a858c", "#d5cfc6"
ROW = 0.3
SHOWN = (
    "topic_quality", "topic_coherence", "topic_diversity", "interpretation_purity", "gsea_n_unique", "topic_stability_centred",
)  # fmt: skip


def _figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure  # no pyplot: a library leaves the caller's backend alone

    return Figure(figsize=(width, max(2.4, height)), layout="constrained")


def _runs(result: Result) -> pd.DataFrame:
    runs = result.table[(result.table["dataset"] != ALL) & result.table["value"].notna()]
    if runs.empty:
        raise OptionError("nothing was measured, so there is nothing to plot; see the failures")
    return runs


def plot_leaderboard(result: Result) -> Any:
    """Every fit (circles) and the mean over data sets (diamond), one panel a number; methods best first."""
    runs, board = _runs(result), leaderboard(result)
    names = [name for name in SHOWN if name in set(runs["metric"])]
    figure = _figure(2.0 + 1.9 * len(names), 0.9 + ROW * len(board))
    axes = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
    for axis, name in zip(axes, names, strict=True):
        of_metric = runs[runs["metric"] == name]
        for place, row in enumerate(board.to_dict("records")):
            values = of_metric.loc[of_metric["method"] == row["method"], "value"].to_numpy(float)
            axis.plot(values, np.full(values.size, place), "o", color=QUIET, markersize=3, alpha=0.5, markeredgewidth=0)
            axis.plot(row[name], place, "D", color=QUIET if row["control"] else ACCENT, markersize=5)
        axis.set_title(metric(name).title, fontsize=9, loc="left")
        axis.set_yticks(range(len(board)), list(board["method"]), fontsize=8)
        axis.set_ylim(len(board) - 0.4, -0.6)
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(axis="x", labelsize=7)
        axis.grid(axis="y", color=SHAPE, linewidth=0.5)
        axis.set_axisbelow(True)
    return figure


def plot_tradeoff(result: Result) -> Any:
    """Diversity against coherence of every fit; both are wanted, and their product is quality."""
    runs = _runs(result)
    wide = runs.pivot_table(index=["dataset", "method", "seed"], columns="metric", values="value")
    if not {"topic_diversity", "topic_coherence"} <= set(wide):
        raise OptionError("there is no coherence without gene sets, so nothing to plot it against diversity")
    figure = _figure(5.6, 4.2)
    axis = figure.subplots()
    for place, method in enumerate(leaderboard(result)["method"]):
        if method in wide.index.get_level_values("method"):
            points = wide.xs(method, level="method")
            x, y = points["topic_diversity"], points["topic_coherence"]
            axis.plot(x, y, "osD^vP*X"[place % 8], color=f"C{place % 10}", markersize=5, alpha=0.8, label=method)
    axis.set_xlabel("diversity", fontsize=8)
    axis.set_ylabel("coherence", fontsize=8)
    axis.tick_params(labelsize=8)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(fontsize=7, frameon=False)
    return figure


def plot_types(result: Result) -> Any:
    """F1 of every type's topic, mean over seeds, one panel a data set; smallest types at the bottom."""
    types = result.extras.get("types")
    if types is None:
        raise OptionError("the result holds no types, which this plot needs; give labels")
    methods = [method for method in leaderboard(result)["method"] if method in set(types["method"])]
    groups = list(types.groupby("dataset", sort=True))
    heights = [1.4 + 0.22 * group["type"].nunique() for _, group in groups]
    figure = _figure(3.0 + 0.6 * len(methods), sum(heights))
    axes = figure.subplots(len(groups), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axis, (dataset, group) in zip(axes, groups, strict=True):
        sizes = group.drop_duplicates("type").set_index("type")["n_cells"].sort_values(ascending=False)
        wide = group.pivot_table(index="type", columns="method", values="f1").reindex(
            index=sizes.index, columns=methods
        )
        drawn = axis.imshow(wide.to_numpy(float), vmin=0, vmax=1, cmap="Reds", aspect="auto")
        axis.set_yticks(range(len(sizes)), [f"{name} ({n:,})" for name, n in sizes.items()], fontsize=7)
        axis.set_xticks(range(len(methods)), methods, fontsize=7, rotation=30, ha="right")
        axis.set_title(str(dataset), fontsize=9, loc="left")
        figure.colorbar(drawn, ax=axis, label="F1")
    return figure


PLOTS = {"leaderboard": plot_leaderboard, "tradeoff": plot_tradeoff, "types": plot_types}
