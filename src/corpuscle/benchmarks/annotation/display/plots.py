"""Figures for papers and notebooks: change from raw, types, noise, calibration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from corpuscle.benchmarks.annotation.compare import RAW
from corpuscle.benchmarks.annotation.display.standings import (
    done_runs,
    is_control,
    is_noise,
    methods_of,
    set_means,
    type_changes,
)
from corpuscle.benchmarks.annotation.display.words import MAIN
from corpuscle.errors import OptionError
from corpuscle.report import Result

__all__ = ["PLOTS"]

ACCENT, INK, QUIET, SHAPE = "#a31d3a", "#1d1c1f", "#8a858c", "#d5cfc6"
ROW = 0.26


def _figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure  # no pyplot: a library leaves the caller's backend alone

    return Figure(figsize=(width, max(2.4, height)), layout="constrained")


def _need(result: Result) -> None:
    if done_runs(result).empty:
        raise OptionError("no run was judged, so there is nothing to plot; see the failures")


def plot_change(result: Result) -> Any:
    """Change from the raw scores in accuracy and in macro F1: data sets (grey) and their mean, a row a refinement."""
    _need(result)
    means = set_means(result)
    means = means[means["method"] != RAW]
    tasks = sorted(set(means["task"]), key=lambda task: (is_noise(task), task))
    methods = [method for method in methods_of(result) if method != RAW]
    figure = _figure(7.2, len(tasks) * (0.8 + ROW * len(methods)))
    axes = figure.subplots(len(tasks), 2, squeeze=False, sharex=True, sharey=True)
    for row, task in zip(axes, tasks, strict=True):
        of_task = means[means["task"] == task]
        for axis, (metric, title) in zip(row, (("accuracy", "accuracy"), ("macro_f1", "macro F1")), strict=True):
            for place, method in enumerate(methods):
                values = of_task.loc[of_task["method"] == method, f"{metric}_change"].dropna()
                axis.plot(values, np.full(len(values), place), "o", mfc="none", color=QUIET, markersize=3.5)
                if len(values):
                    axis.plot(values.mean(), place, "D", color=ACCENT, markersize=4)
            axis.axvline(0.0, color=INK, linewidth=0.8)
            axis.set_title(f"{task}: {title}, change from raw", fontsize=8, loc="left")
            axis.set_yticks(range(len(methods)), methods, fontsize=7)
            axis.set_ylim(len(methods) - 0.4, -0.6)
            axis.tick_params(axis="x", labelsize=7, labelbottom=True)
            axis.spines[["top", "right"]].set_visible(False)
            axis.grid(axis="y", color=SHAPE, linewidth=0.5)
    return figure


def plot_types(result: Result) -> Any:
    """Change of the F1 of every type by the main refinements, a panel a source of scores and data set."""
    types = type_changes(result)
    if types.empty:
        raise OptionError("no run was judged, so there is nothing to plot; see the failures")
    types = types[~types["task"].map(is_noise)] if not types["task"].map(is_noise).all() else types
    methods = [method for method in MAIN if method in set(types["method"]) and method != RAW]
    groups = list(types.groupby(["task", "dataset"], sort=True))
    heights = [0.4 + 0.18 * rows["type"].nunique() for _, rows in groups]
    figure = _figure(3.4 + 0.9 * len(methods), 0.8 + sum(heights))
    axes = figure.subplots(len(groups), 1, squeeze=False, height_ratios=heights)[:, 0]
    image = None
    for axis, ((task, dataset), rows) in zip(axes, groups, strict=True):
        order = rows.drop_duplicates("type").sort_values(["cells", "type"], ascending=[False, True])
        wide = rows.pivot_table(index="type", columns="method", values="change").reindex(
            index=order["type"], columns=methods
        )
        image = axis.imshow(wide.to_numpy(float), vmin=-0.5, vmax=0.5, cmap="RdBu", aspect="auto")
        labels = [f"{row.type} ({row.cells:,.0f}; {row.raw:.2f})" for row in order.itertuples()]
        axis.set_yticks(range(len(labels)), labels, fontsize=6)
        axis.set_xticks(range(len(methods)), methods if axis is axes[-1] else [], fontsize=7)
        axis.set_title(f"{dataset}: {task}", fontsize=8, loc="left")
    figure.colorbar(image, ax=list(axes), label="change of F1 from raw", shrink=0.5)
    return figure


def plot_noise(result: Result) -> Any:
    """Accuracy with a share of random labels, before and after, a panel a data set."""
    done = done_runs(result)
    noisy = done[done["task"].map(is_noise).astype(bool)] if len(done) else done
    if noisy.empty:
        raise OptionError("no scores with noise were run; add noise:fraction=0.4 to the scores")
    noisy = noisy.assign(fraction=[_fraction(task) for task in noisy["task"]])
    groups = list(noisy.groupby("dataset", sort=True))
    figure = _figure(3.2 * len(groups), 2.8)
    axes = figure.subplots(1, len(groups), squeeze=False, sharey=True)[0]
    colours = {RAW: QUIET, "grit": ACCENT, "guarded": INK, "majority_vote": "#3b6ea5"}
    for axis, (dataset, rows) in zip(axes, groups, strict=True):
        for method in (name for name in MAIN if name in set(rows["method"])):
            of = rows[rows["method"] == method].groupby("fraction")["accuracy"].agg(["mean", "min", "max"])
            axis.fill_between(of.index, of["min"], of["max"], color=colours[method], alpha=0.15, linewidth=0)
            axis.plot(of.index, of["mean"], "o-", color=colours[method], markersize=3, label=method)
        axis.set_title(str(dataset), fontsize=8, loc="left")
        axis.set_xlabel("share of random labels", fontsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("accuracy", fontsize=8)
    axes[0].legend(fontsize=7, frameon=False)
    return figure


def _fraction(task: str) -> float:
    from corpuscle.benchmarks.annotation.sources import parse_source

    return float(getattr(parse_source(task), "fraction", float("nan")))


def plot_calibration(result: Result) -> Any:
    """Accuracy against reported confidence, all data sets and seeds together, a panel a source of scores."""
    bins = result.extras.get("calibration")
    if bins is None or bins.empty:
        raise OptionError("no run was judged, so there is nothing to plot; see the failures")
    tasks = sorted(set(bins["task"]), key=lambda task: (is_noise(task), task))
    figure = _figure(3.2 * len(tasks), 3.0)
    axes = figure.subplots(1, len(tasks), squeeze=False, sharey=True)[0]
    for axis, task in zip(axes, tasks, strict=True):
        axis.plot([0, 1], [0, 1], color=QUIET, linewidth=0.8, linestyle=(0, (2, 3)))
        for method, rows in bins[(bins["task"] == task) & ~bins["method"].map(is_control)].groupby("method", sort=True):
            if method not in MAIN:
                continue
            weighted = rows.assign(c=rows["confidence"] * rows["cells"], a=rows["accuracy"] * rows["cells"])
            of = weighted.groupby("bin")[["cells", "c", "a"]].sum()
            axis.plot(of["c"] / of["cells"], of["a"] / of["cells"], "o-", markersize=3, linewidth=1, label=str(method))
        axis.set_title(str(task), fontsize=8, loc="left")
        axis.set_xlabel("reported confidence", fontsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("accuracy", fontsize=8)
    axes[0].legend(fontsize=7, frameon=False)
    return figure


PLOTS: Mapping[str, Callable[[Result], Any]] = {
    "change": plot_change,
    "types": plot_types,
    "noise": plot_noise,
    "calibration": plot_calibration,
}
