"""What a result looks like when its benchmark has no page of its own: the tidy table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from corpuscle.report._page import Page, Section
from corpuscle.report._sections import failures_section, run_section
from corpuscle.report._table import frame_table
from corpuscle.report.format import significant

if TYPE_CHECKING:
    from corpuscle.report._result import Result

__all__ = ["leaderboard", "page", "plot", "summary"]


def leaderboard(result: Result) -> pd.DataFrame:
    """Mean of every metric over data sets, one row per method, in the methods' own order."""
    table = result.table.assign(what=result.table["task"].astype(str) + " " + result.table["metric"].astype(str))
    wide = table.pivot_table(index="method", columns="what", values="value", aggfunc="mean", sort=False, dropna=False)
    return wide.rename_axis(columns=None).reset_index()


def summary(result: Result) -> pd.DataFrame:
    """Give the leaderboard as text."""
    board = leaderboard(result)
    return board.apply(lambda column: column.map(significant) if column.dtype.kind in "iuf" else column.astype(str))


def page(result: Result) -> Page:
    """Every number of the tidy table, what failed, and how it was run."""
    shown = result.table.drop(columns="benchmark")
    methods, datasets = shown["method"].nunique(), shown["dataset"].nunique()
    return Page(
        title=f"{result.benchmark}: benchmark result",
        kicker=result.benchmark,
        headline=f"{methods} methods on {datasets} data sets, {len(shown):,} numbers",
        facts=[("failures", str(len(result.failures)))],
        sections=[
            Section("numbers", "All numbers", "Numbers", frame_table("results", "The tidy table", shown)),
            failures_section(result),
            run_section(result),
        ],
    )


def plot(result: Result) -> Any:
    """Values with their intervals, one panel per task and metric."""
    from matplotlib.figure import Figure

    groups = list(result.table.groupby(["task", "metric"], sort=False, dropna=False))
    figure = Figure(figsize=(7, max(2.5, 0.28 * len(result.table) + 0.8 * len(groups))), layout="constrained")
    axes: Any = figure.subplots(len(groups), 1, squeeze=False)[:, 0] if groups else []
    for axis, ((task, metric), rows) in zip(axes, groups, strict=True):
        labels = rows["method"].astype(str) + ", " + rows["dataset"].astype(str)
        places = range(len(rows))
        axis.hlines(places, rows["ci_low"], rows["ci_high"], color="0.6")
        axis.plot(rows["value"], places, "o", color="#a31d3a")
        axis.set(yticks=list(places), yticklabels=list(labels), title=f"{task} {metric}")
        axis.invert_yaxis()
    return figure
