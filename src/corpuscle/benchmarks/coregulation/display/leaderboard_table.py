"""The leaderboard as a sortable table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from markupsafe import Markup

from corpuscle.benchmarks.coregulation.display.standings import (
    SCORES,
    TASK_TITLES,
    default_units,
    leaderboard,
    tasks_of,
)
from corpuscle.benchmarks.coregulation.options import BASELINE
from corpuscle.report import Axis, Cell, Column, Result, frame_table, table, unfold, value_cell
from corpuscle.report.format import count, defined, fixed, interval, megabytes, seconds, share

__all__ = ["comparisons_table", "leaderboard_table", "summary"]

VIEWS = (
    ("percentile", "Percentile"),
    ("z_robust", "Robust z"),
    ("recip_rank", "Reciprocal rank"),
    ("fraction_significant", "Significant"),
)
#: What a score is when the pair stands out by chance alone.
CHANCE = {"percentile": 0.5, "z_robust": 0.0}
SHORT = {
    "combined": ("Combined", "mean of both"),
    "promoter_reporter": ("Reporters", "expected together"),
    "allelic_exclusion": ("Light chains", "expected apart"),
    "count_split": ("Split genes", "expected together"),
}
CONTROL_COLUMNS = (
    Column(
        "inflation_index",
        "Inflation",
        "How much stronger unrelated genes correlate than by log1p CP10k",
        note="1: none",
    ),
    Column("depth_corr", "Depth", "Median |r| between values and log total counts", note="0: no leak"),
    Column("failed_fraction", "Failed", "Share of units that failed or are undefined", note="of units"),
    Column("seconds", "Time", "Mean seconds a unit", note="a unit"),
    Column("peak_mib", "Memory", "Highest rise of the resident memory", note="peak"),
)


def leaderboard_table(result: Result) -> Markup:
    """Draw method, place, one column for each task and view, then the controls and the cost."""
    board = leaderboard(result)
    scores = _score_columns(board, tasks_of(result))
    columns = [
        Column("method", "Method", numeric=False),
        Column("place", "Place", "Places that the 95 % intervals leave open"),
        *(column for column, _ in scores),
        *CONTROL_COLUMNS,
    ]
    used = {column.view for column, _ in scores}
    axes = {column.key: _axis(board, metric, column.key) for column, metric in scores}
    reasons = _reasons(result)
    rows = [_row(row, scores, axes, reasons) for row in board.to_dict("records")]
    caption = "Methods, best first; dot and line are the score and its 95 % interval, dashes are chance"
    return table(
        "board", caption, columns, rows, views=[view for view in VIEWS if view[0] in used],
        sorted_by="place",
    )  # fmt: skip


def summary(result: Result) -> pd.DataFrame:
    """Give the leaderboard in few columns of text, for a terminal."""
    board = leaderboard(result)
    if board.empty:
        return board
    out = pd.DataFrame({"method": board["method"]})
    out["place"] = [_place(row).text for row in board.to_dict("records")]
    for task in tasks_of(result):
        for metric, digits, title in (("percentile", 3, ""), ("z_robust", 2, " z")):
            if f"{task}_{metric}" in board and (task, metric) != ("count_split", "z_robust"):
                out[SHORT[task][0] + title] = [fixed(v, digits) for v in board[f"{task}_{metric}"]]
    out["inflation"] = [fixed(v, 2) for v in board["inflation_index"]]
    out["failed"] = board["failed_fraction"].map(share)
    out["time"] = board["seconds"].map(seconds)
    out["memory"] = board["peak_mib"].map(megabytes)
    return out


def comparisons_table(result: Result) -> Markup:
    """Paired differences to the baseline, where there are any."""
    comparisons = result.extras.get("comparisons")
    if comparisons is None or comparisons.empty:
        return Markup()
    shown = comparisons.assign(task=comparisons["task"].map(lambda task: SHORT.get(task, (task, ""))[0]))
    testable = shown[["p", "p_holm"]].notna().any(axis=None)
    if not testable:
        shown = shown.drop(columns=["p", "p_holm"])
    titles = {"difference": "difference of percentile", "p_holm": "p, Holm", "n_series": "series"}
    return unfold(
        f"Against {BASELINE}, paired over series", frame_table("against", "Paired differences", shown, titles=titles)
    )


def _score_columns(board: pd.DataFrame, tasks: Sequence[str]) -> list[tuple[Column, str]]:
    out = []
    for metric in SCORES:
        for task in tasks:
            key = f"{task}_{metric}"
            if key in board:
                out.append(
                    (
                        Column(key, SHORT[task][0], f"{TASK_TITLES[task]}: {metric}", view=metric, note=SHORT[task][1]),
                        metric,
                    )
                )
    return out


def _axis(board: pd.DataFrame, metric: str, key: str) -> Axis:
    if metric == "z_robust":
        return Axis.around(board[[key, f"{key}_low", f"{key}_high"]].to_numpy(float).ravel(), reference=CHANCE[metric])
    return Axis(0.0, 1.0, reference=CHANCE.get(metric))


def _row(
    row: dict[Any, Any], scores: Sequence[tuple[Column, str]], axes: dict[str, Axis], reasons: dict[str, str]
) -> list[Cell]:
    method = str(row["method"])
    reason = reasons.get(method, "")
    cells = [Cell(method, method), _place(row)]
    for column, metric in scores:
        value, low, high = (row.get(f"{column.key}{suffix}") for suffix in ("", "_low", "_high"))
        digits = 2 if metric == "z_robust" else 3
        hover = f"95 % interval {interval(low, high, digits)}"
        why = reason or "this score was not computed for the method"
        cells.append(
            value_cell(value, fixed(value, digits), low=low, high=high, axis=axes[column.key], hover=hover, reason=why)
        )
    shown = (fixed(row["inflation_index"], 2), fixed(row["depth_corr"]), share(row["failed_fraction"]),
             seconds(row["seconds"]), megabytes(row["peak_mib"]))  # fmt: skip
    for column, text in zip(CONTROL_COLUMNS, shown, strict=True):
        cells.append(value_cell(row[column.key], text, reason=reason or "not measured"))
    return cells


def _place(row: dict[Any, Any]) -> Cell:
    low, high = row["place_low"], row["place_high"]
    if not (defined(low) and defined(high)):
        return Cell("undefined", reason="the score has no interval")
    return Cell(count(low) if low == high else f"{count(low)}\N{EN DASH}{count(high)}", float(low) + float(high) / 1e4)


def _reasons(result: Result) -> dict[str, str]:
    """Find method -> why it has no number: its first recorded failure or undefined unit."""
    units = default_units(result)
    out: dict[str, str] = {}
    if not units.empty:
        for row in units[units["status"].isin(["failed", "undefined"])].to_dict("records"):
            out.setdefault(str(row["method"]), f"{row['sample_id']}: {row['reason']}")
    for row in result.failures.to_dict("records"):
        out.setdefault(str(row["method"]), f"{row['dataset']}: {row['reason']}")
    return out
