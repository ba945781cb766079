"""Figures for papers and notebooks: accuracy of every task, AUC of seen and new types, and the search for cells of a type."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from corpuscle.benchmarks.text.display.figures import searched
from corpuscle.benchmarks.text.display.standings import (
    leaderboard,
    main_method,
    of_families,
    set_means,
    task_title,
    tasks_of,
    unseen_rows,
)
from corpuscle.errors import OptionError
from corpuscle.report import Result

__all__ = ["PLOTS"]

ACCENT, INK, QUIET, SHAPE = "#a31d3a", "#1d1c1f", "#8a858c", "#d5cfc6"
ROW = 0.24


def _figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure  # no pyplot: a library leaves the caller's backend alone

    return Figure(figsize=(width, max(2.4, height)), layout="constrained")


def plot_tasks(result: Result) -> Any:
    """Accuracy of every method, data sets (circles) and their mean, a panel a task."""
    means = set_means(result)
    means = means[means["accuracy"].notna()]
    if means.empty:
        raise OptionError("no run was judged, so there is nothing to plot; see the failures")
    board = leaderboard(result)
    tasks = [task for task in tasks_of(result) if (means["task"] == task).any()]
    orders = [list(board[board["task"] == task]["method"]) for task in tasks]
    heights = [0.5 + ROW * len(order) for order in orders]
    figure = _figure(6.4, sum(heights))
    axes = figure.subplots(len(tasks), 1, squeeze=False, sharex=True, height_ratios=heights)[:, 0]
    for axis, task, order in zip(axes, tasks, orders, strict=True):
        of_task = means[means["task"] == task]
        for place, method in enumerate(order):
            value_s = of_task.loc[of_task["method"] == method, "accuracy"].to_numpy(float)
            axis.plot(value_s, np.full(value_s.size, place), "o", mfc="none", color=QUIET, markersize=4)
            if value_s.size:
                axis.plot(value_s.mean(), place, "D", color=ACCENT, markersize=4)
        _tidy(axis, order, task_title(task))
        axis.set_xlim(-0.02, 1.02)
    axes[-1].set_xlabel("accuracy", fontsize=8)
    return figure


def _tidy(axis: Any, names: list[str], title: str) -> None:
    """One row a name, from the top down."""
    axis.set_yticks(range(len(names)), names, fontsize=7, parse_math=False)
    axis.set_ylim(len(names) - 0.4, -0.6)
    axis.set_title(title, fontsize=8, loc="left", parse_math=False)
    axis.tick_params(axis="x", labelsize=7, labelbottom=True)
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis="y", color=SHAPE, linewidth=0.5)


def plot_new_types(result: Result) -> Any:
    """AUC of each type by CellText while it was left out, beside the same type's when training had it; 0.5 is chance."""
    rows = unseen_rows(result)
    rows = rows[(rows["task"] == "new_types") & rows["new"].notna()]
    ours = main_method(result)
    shown = ours if ours in set(rows["method"]) else next(iter(of_families(rows["method"], "logistic_text")), None)
    rows = rows[rows["method"] == shown]
    if rows.empty:
        raise OptionError("no type was left out and then judged; add new_types to the set-ups")
    groups = list(rows.groupby("dataset", sort=True))
    heights = [0.5 + ROW * len(of) for _, of in groups]
    figure = _figure(5.6, sum(heights))
    axes = figure.subplots(len(groups), 1, squeeze=False, sharex=True, height_ratios=heights)[:, 0]
    for axis, (dataset, of) in zip(axes, groups, strict=True):
        place_k = np.arange(len(of))
        axis.hlines(place_k, of["new"], of["seen"].fillna(of["new"]), color=SHAPE, linewidth=2)
        axis.plot(of["seen"], place_k, "|", color=INK, markersize=9, label="training saw the type")
        axis.plot(of["new"], place_k, "D", color=ACCENT, markersize=4, label="training never saw it")
        axis.axvline(0.5, color=INK, linewidth=0.8, linestyle=(0, (2, 3)))
        _tidy(axis, [str(name) for name in of["type"]], f"{dataset}: {shown}")
        axis.set_xlim(-0.02, 1.02)
    figure.legend(*axes[0].get_legend_handles_labels(), fontsize=7, frameon=False, loc="outside upper center", ncols=2)
    axes[-1].set_xlabel("area under the ROC curve", fontsize=8)
    return figure


def plot_search(result: Result) -> Any:
    """Share of the ten cells found for a type that have it, beside the share of the type among all; a panel a data set."""
    found = searched(result)
    if not found:
        raise OptionError("no cells were searched by the words of a type, so there is nothing to plot")
    heights = [0.5 + ROW * len(rows) for _, rows in found]
    figure = _figure(5.6, sum(heights))
    axes = figure.subplots(len(found), 1, squeeze=False, sharex=True, height_ratios=heights)[:, 0]
    for axis, (dataset, rows) in zip(axes, found, strict=True):
        place_k = np.arange(len(rows))
        axis.plot(
            [row.share for row in rows], place_k, "o", mfc="none", color=QUIET, markersize=4, label="share of the cells"
        )
        axis.plot([row.simple for row in rows], place_k, "|", color=INK, markersize=9, label="logistic_text")
        axis.plot([row.ours for row in rows], place_k, "D", color=ACCENT, markersize=4, label="celltext")
        _tidy(axis, [f"{row.type} ({row.n:,.0f})" for row in rows], str(dataset))
        axis.set_xlim(-0.02, 1.02)
    figure.legend(*axes[0].get_legend_handles_labels(), fontsize=7, frameon=False, loc="outside upper center", ncols=3)
    axes[-1].set_xlabel("share of the ten cells that have the type", fontsize=8)
    return figure


PLOTS: Mapping[str, Callable[[Result], Any]] = {
    "tasks": plot_tasks,
    "new_types": plot_new_types,
    "search": plot_search,
}
