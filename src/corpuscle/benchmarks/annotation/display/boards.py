"""Tables of scores: one board a source of scores, the comparisons, and the board for a terminal."""

from __future__ import annotations

from typing import Any

import pandas as pd
from markupsafe import Markup

from corpuscle.benchmarks._display import fitted
from corpuscle.benchmarks.annotation.display.standings import blocks, is_control, leaderboard
from corpuscle.benchmarks.annotation.display.words import METRIC_TITLES, UNDEFINED_BECAUSE, block_title
from corpuscle.report import Axis, Cell, Column, Result, frame_table, prose, table, unfold, value_cell
from corpuscle.report.format import count, defined, fixed, interval, megabytes, seconds, share

__all__ = ["board_section", "comparisons_table", "summary"]

AXIS = Axis(0.0, 1.0)
NO_SCORE = "no run of the refinement ended well; see Failures"
#: Beside macro F1, so that nobody has to look for the harm.
FROM_RAW = (
    Column(
        "macro_f1_change", "F1 from raw", "Change of macro F1 from the raw scores, mean over data sets", note="change"
    ),
    Column(
        "accuracy_change", "Acc. from raw", "Change of accuracy from the raw scores, mean over data sets", note="change"
    ),
    Column("harmed", "Harmed", "Data sets on which macro F1 fell by more than 0.01", note="sets"),
)
LAST = (
    Column("n_sets", "Sets", "Data sets with a score, of those that could be read", note="done"),
    Column("failed_fraction", "Failed", "Share of runs that failed", note="of runs"),
    Column("seconds", "Time", "Of the refinement, scores and graph left out", note="a run"),
    Column("peak_mib", "Memory", "Highest rise of the resident memory", note="peak"),
)
FIRST = ("accuracy", "macro_f1")
REST = tuple(metric for metric in METRIC_TITLES if metric not in FIRST)


def board_section(result: Result) -> Markup:
    """One table a source of scores, under what it was told."""
    board = leaderboard(result)
    parts = []
    for i, (task, told) in enumerate(blocks(result)):
        rows = board[(board["task"] == task) & (board["told"] == told)]
        parts += [Markup("<h3>{}</h3>").format(block_title(task, told)), _board(rows, f"board-{i}", task)]
    return Markup().join(parts) or prose("There is no score to show.")


def _board(rows: pd.DataFrame, id: str, task: str) -> Markup:
    columns = [
        Column("method", "Refinement", numeric=False),
        *(Column(metric, METRIC_TITLES[metric], note="mean ± sd") for metric in FIRST),
        *FROM_RAW,
        *(Column(metric, METRIC_TITLES[metric], note="mean") for metric in REST),
        *LAST,
    ]
    caption = f"Refinements of {task}, highest macro F1 first; the line is the 95 % interval over data sets"
    cells = [_row(row) for row in rows.to_dict("records")]
    return table(id, caption, columns, cells, sorted_by="macro_f1", descending=True)


def _row(row: dict[Any, Any]) -> list[Cell]:
    method = str(row["method"])
    cells = [Cell(method, method, note="control" if is_control(method) else "")]
    cells += [_number(row, metric) for metric in FIRST]
    cells += [_change(row.get(metric), method) for metric in ("macro_f1_change", "accuracy_change")]
    harmed, whole = row.get("harmed"), row["n_sets"] == row["of_sets"]
    cells.append(value_cell(harmed, count(harmed), reason=NO_SCORE))
    cells += [_number(row, metric) for metric in REST]
    cells.append(Cell(f"{row['n_sets']} of {row['of_sets']}", float(row["n_sets"]), note="" if whole else "not all"))
    for key, text in (
        ("failed_fraction", share(row["failed_fraction"])),
        ("seconds", seconds(row["seconds"])),
        ("peak_mib", megabytes(row["peak_mib"])),
    ):
        cells.append(value_cell(row[key], text, reason="not measured"))
    return cells


def _number(row: dict[Any, Any], metric: str) -> Cell:
    value, spread = row.get(metric), row.get(f"{metric}_sd")
    reason = NO_SCORE if not row["n_sets"] else UNDEFINED_BECAUSE.get(metric, NO_SCORE)
    text = fixed(value) + (f" ± {fixed(spread)}" if defined(spread) else "")
    if metric == "changed":
        text = share(value)
    if metric == "n_erased":
        text = fixed(value, 1)
    if metric != "macro_f1":
        return value_cell(value, text, reason=reason)
    low, high = row.get("macro_f1_low"), row.get("macro_f1_high")
    hover = f"95 % interval over data sets: {interval(low, high)}"
    return value_cell(value, text, low=low, high=high, axis=AXIS, hover=hover, reason=reason)


def _change(value: Any, method: str) -> Cell:
    if method == "raw":
        return Cell("", None)
    signed = f"+{fixed(value)}" if defined(value) and value > 0 else fixed(value)
    return value_cell(value, signed, reason=UNDEFINED_BECAUSE["macro_f1_change"])


def comparisons_table(result: Result) -> Markup:
    """Paired differences from the raw scores, where there are any."""
    comparisons = result.extras.get("comparisons")
    if comparisons is None or comparisons.empty:
        return Markup()
    shown = comparisons.assign(
        metric=comparisons["metric"].map(lambda metric: METRIC_TITLES.get(metric, metric)),
        better=[f"{row.n_better} of {row.n_sets}" for row in comparisons.itertuples()],
        harmed=[f"{row.n_harmed} of {row.n_sets}" for row in comparisons.itertuples()],
    )
    order = ["task", "method", "metric", "difference", "ci_low", "ci_high", "worst", "better", "harmed", "p", "p_holm"]
    shown = shown[[*order, "note"]].sort_values(
        ["task", "metric", "difference"], ascending=[True, True, False], kind="stable"
    )
    titles = {"p_holm": "p, Holm", "better": "better on", "harmed": "harmed on", "ci_low": "95 % low"}
    titles |= {"ci_high": "95 % high", "task": "scores", "worst": "worst set"}
    why = "too few data sets for a test"
    reasons = {"p": why, "p_holm": why, "ci_low": "it takes two data sets", "ci_high": "it takes two data sets"}
    body = frame_table("against", "Paired differences from the raw scores", shown, titles=titles, reasons=reasons)
    return unfold("Against the raw scores, paired over data sets", body)


def summary(result: Result) -> pd.DataFrame:
    """Give the leaderboard in few columns of text, two lines of heading before each source of scores."""
    board = leaderboard(result)
    if board.empty:
        return board
    out: list[dict[str, str]] = []
    last = None
    for row in board.to_dict("records"):
        block = (row["task"], row["told"])
        if block != last:
            out += [{"refinement": fitted(str(row["task"]), ROOM)}, {"refinement": fitted(f"told {row['told']}", ROOM)}]
        last = block
        out.append({"refinement": f"  {fitted(str(row['method']), ROOM - 2)}", **_text(row)})
    return pd.DataFrame(out).fillna("")


#: Columns that fit a line of 80 characters; macro F1 and the worst type stand beside accuracy, always.
SHORT = {"accuracy": "acc", "macro_f1": "macro F1", "worst_f1": "worst type", "macro_f1_change": "F1 from raw"}
#: Letters of a name that leave room for the numbers.
ROOM = 29


def _text(row: dict[Any, Any]) -> dict[str, str]:
    out = {title: fixed(row.get(metric)) if defined(row.get(metric)) else "n/a" for metric, title in SHORT.items()}
    out["erased"] = fixed(row["n_erased"], 1) if defined(row.get("n_erased")) else "n/a"
    out["harmed"] = count(row["harmed"]) if defined(row.get("harmed")) else "n/a"
    out["sets"] = f"{count(row['n_sets'])}/{count(row['of_sets'])}"
    if row["failed_fraction"] > 0:
        out["failed"] = share(row["failed_fraction"])
    return out
