"""Figures for papers and notebooks: distances, neighbours, directions by mask, and the mean fill beside each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from corpuscle.benchmarks.missingness.compare import AGAINST
from corpuscle.benchmarks.missingness.display.standings import blocks, done_runs, is_dropout, leaderboard, set_means
from corpuscle.errors import OptionError
from corpuscle.report import Result

__all__ = ["PLOTS"]

ACCENT, INK, QUIET, SHAPE = "#a31d3a", "#1d1c1f", "#8a858c", "#d5cfc6"
ROW, COLUMNS = 0.22, 3


def plot_distances(result: Result) -> Any:
    """Relative error of squared distances by method: data sets (grey), their mean, and the mean fill (line)."""
    return _by_mask(result, "d2_error", "error of squared distances", dropout=False)


def plot_neighbors(result: Result) -> Any:
    """Share of the 15 nearest cells that is found from the distances, by method."""
    return _by_mask(result, "knn_recall_distances", "nearest cells found", dropout=False)


def plot_directions(result: Result) -> Any:
    """Angle to the true leading subspace (sine, root mean square), by method."""
    return _by_mask(result, "sin_theta", "sine of the angle", dropout=False)


def plot_dropout(result: Result) -> Any:
    """Angle to the true leading subspace where values decide what is lost, by what methods are told is missing."""
    return _by_mask(result, "sin_theta", "sine of the angle", dropout=True)


def _by_mask(result: Result, metric: str, title: str, *, dropout: bool) -> Any:
    from matplotlib.figure import Figure  # no pyplot: a library leaves the caller's backend alone

    if done_runs(result).empty:
        raise OptionError("no run was judged, so there is nothing to plot; see the failures")
    tasks = [task for task, kind, _ in blocks(result) if is_dropout(kind) == dropout]
    if not tasks:
        what = "dropout:low=0.6,mask=consensus" if dropout else "uniform:low=0.2"
        raise OptionError(f"no mask of this kind was run; add {what} to the masks")
    board, by_set = leaderboard(result), set_means(result)
    methods = list(dict.fromkeys(board.loc[board["task"].isin(tasks), "method"].astype(str)))
    n_rows = -(-len(tasks) // COLUMNS)
    size = (1.4 + 2.4 * min(COLUMNS, len(tasks)), max(2.4, n_rows * (0.8 + ROW * len(methods))))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(n_rows, min(COLUMNS, len(tasks)), squeeze=False, sharex=True, sharey=True).ravel()
    for axis in axes[len(tasks) :]:
        axis.set_visible(False)
    for axis, task in zip(axes, tasks, strict=False):
        sets = by_set[by_set["task"] == task]
        filled = sets.loc[sets["method"] == AGAINST, metric].mean()
        for place, method in enumerate(methods):
            values = sets.loc[sets["method"] == method, metric].dropna()
            axis.plot(values, np.full(len(values), place), "o", mfc="none", color=QUIET, markersize=3.5)
            if len(values):
                axis.plot(values.mean(), place, "D", color=ACCENT, markersize=4)
        if np.isfinite(filled):
            axis.axvline(filled, color=INK, linewidth=0.8)
        axis.set_title(task, fontsize=7, loc="left")
        axis.set_yticks(range(len(methods)), methods, fontsize=7)
        axis.set_ylim(len(methods) - 0.4, -0.6)
        axis.tick_params(axis="x", labelsize=7, labelbottom=True)
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(axis="y", color=SHAPE, linewidth=0.5)
    figure.supxlabel(title, fontsize=8)
    return figure


PLOTS: Mapping[str, Callable[[Result], Any]] = {
    "distances": plot_distances,
    "neighbors": plot_neighbors,
    "directions": plot_directions,
    "dropout": plot_dropout,
}
