"""Figures for papers and notebooks: leaderboard, background, pair, controls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from corpuscle.benchmarks.coregulation.display.standings import TASK_TITLES, default_units, leaderboard, tasks_of
from corpuscle.errors import OptionError
from corpuscle.report import Result

__all__ = ["PLOTS"]

ACCENT, INK, QUIET, SHAPE = "#a31d3a", "#1d1c1f", "#8a858c", "#d5cfc6"
ROW = 0.26


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


def _units(result: Result) -> pd.DataFrame:
    units = default_units(result)
    if units.empty:
        raise OptionError("nothing was measured, so there is nothing to plot; see the failures")
    return units


def _default(result: Result, name: str) -> pd.DataFrame:
    frame = result.extras.get(name)
    if frame is None:
        raise OptionError(f"the result holds no table {name!r}, which this plot needs")
    return frame[frame["variant"] == "default"] if "variant" in frame else frame


def plot_leaderboard(result: Result) -> Any:
    """Percentile and robust z of every task, with 95 % intervals; methods best first."""
    board = leaderboard(result)
    pairs = [(t, m) for t in tasks_of(result) for m in ("percentile", "z_robust") if f"{t}_{m}" in board]
    if not pairs:
        raise OptionError("no method has a score, so there is nothing to plot; see the failures")
    figure = _figure(2.2 + 2.4 * len(pairs), 0.9 + ROW * len(board))
    axes = figure.subplots(1, len(pairs), sharey=True, squeeze=False)[0]
    places = np.arange(len(board))
    for axis, (task, metric) in zip(axes, pairs, strict=True):
        key = f"{task}_{metric}"
        axis.axvline(0.5 if metric == "percentile" else 0.0, color=QUIET, linewidth=0.8, linestyle=(0, (2, 3)))
        axis.hlines(places, board[f"{key}_low"], board[f"{key}_high"], color=ACCENT, linewidth=1.4)
        axis.plot(board[key], places, "o", color=ACCENT, markersize=4)
        axis.set_title(TASK_TITLES[task].partition(" (")[0], fontsize=9, loc="left")
        axis.set_xlabel(metric.replace("z_robust", "robust z"), fontsize=8)
        _rows(axis, list(board["method"]))
    return figure


def plot_background(result: Result) -> Any:
    """Draw the pair (diamond, 95 % interval) against its background genes (grey), one panel a unit."""
    units, background = _units(result), _default(result, "background")
    values = {key: group.to_numpy(float) for key, group in background.groupby(["sample_id", "pair", "method"])["r"]}
    methods = [m for m in leaderboard(result)["method"] if m in set(units["method"])]
    groups = list(units.groupby(["sample_id", "pair"], sort=True))
    figure = _figure(2.0 + 2.8 * len(groups), 0.9 + ROW * len(methods))
    axes = figure.subplots(1, len(groups), sharey=True, squeeze=False)[0]
    for axis, (key, rows) in zip(axes, groups, strict=True):
        of_method = rows.set_index("method")
        axis.axvline(0.0, color=QUIET, linewidth=0.8, linestyle=(0, (2, 3)))
        for place, method in enumerate(methods):
            r_k = values.get((*key, method), np.empty(0))
            r_k = r_k[np.isfinite(r_k)]
            axis.plot(r_k, np.full(r_k.size, place), "|", color=QUIET, markersize=7, alpha=0.25, rasterized=True)
            if method not in of_method.index or not np.isfinite(of_method.loc[method, "r"]):
                axis.annotate(
                    "undefined", (0, place), fontsize=7, style="italic", color=QUIET, ha="center", va="center"
                )
                continue
            row = of_method.loc[method]
            axis.hlines(place, row["ci_low"], row["ci_high"], color=ACCENT, linewidth=1.6)
            axis.plot(row["r"], place, "D", color=ACCENT, markersize=4)
        axis.set_title(" · ".join(key), fontsize=9, loc="left")
        axis.set_xlabel("correlation", fontsize=8)
        _rows(axis, methods)
    return figure


def plot_pair(result: Result) -> Any:
    """Draw the pair cell by cell: the first unit under up to six methods, from the best to the worst."""
    cells, units = _default(result, "cells"), _units(result)
    key, of_unit = next(iter(cells.groupby(["sample_id", "pair"], sort=True)))
    there = [m for m in leaderboard(result)["method"] if m in set(of_unit["method"])]
    chosen = [there[i] for i in np.unique(np.linspace(0, len(there) - 1, min(6, len(there))).round().astype(int))]
    figure = _figure(2.6 * min(3, len(chosen)), 2.6 * -(-len(chosen) // 3))
    axes = figure.subplots(-(-len(chosen) // 3), min(3, len(chosen)), squeeze=False).ravel()
    described = units[(units["sample_id"] == key[0]) & (units["pair"] == key[1])].set_index("method")
    for axis, method in zip(axes, chosen, strict=False):
        points = of_unit[of_unit["method"] == method]
        axis.plot(points["a"], points["b"], "o", color=ACCENT, markersize=3, alpha=0.4, markeredgewidth=0)
        axis.set_title(f"{method}: r = {described.loc[method, 'r']:.2f}", fontsize=8, loc="left")
        axis.set_xlabel(described.loc[method, "gene_a"], fontsize=8)
        axis.set_ylabel(described.loc[method, "gene_b"], fontsize=8)
        axis.tick_params(labelsize=7)
        axis.spines[["top", "right"]].set_visible(False)
    for axis in axes[len(chosen) :]:
        axis.remove()
    figure.suptitle(" · ".join(key), fontsize=9)
    return figure


def plot_controls(result: Result) -> Any:
    """Inflation and correlation with depth: every unit (circles) and their median (diamond)."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    units = _units(result)
    methods = [m for m in leaderboard(result)["method"] if m in set(units["method"])]
    figure = _figure(7.4, 0.9 + ROW * len(methods))
    axes = figure.subplots(1, 2, sharey=True)
    for axis, column, reference, title in (
        (axes[0], "inflation_index", 1.0, "Inflation (1: as log1p CP10k)"),
        (axes[1], "depth_corr", 0.0, "Depth leakage (0: none)"),
    ):
        axis.axvline(reference, color=QUIET, linewidth=0.8, linestyle=(0, (2, 3)))
        for place, method in enumerate(methods):
            values = units.loc[units["method"] == method, column].to_numpy(float)
            values = values[np.isfinite(values)]
            if not values.size:
                axis.annotate("undefined", (reference, place), fontsize=7, style="italic", color=QUIET, va="center")
                continue
            axis.plot(values, np.full(values.size, place), "o", markerfacecolor="none", color=QUIET, markersize=4)
            axis.plot(np.median(values), place, "D", color=ACCENT, markersize=4)
        axis.set_title(title, fontsize=9, loc="left")
        _rows(axis, methods)
    if (units["inflation_index"] > 0).any():
        axes[0].set_xscale("log")
        axes[0].xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes[0].xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes[0].xaxis.set_minor_formatter(NullFormatter())
    return figure


PLOTS: Mapping[str, Callable[[Result], Any]] = {
    "leaderboard": plot_leaderboard,
    "background": plot_background,
    "pair": plot_pair,
    "controls": plot_controls,
}
