"""Tables of methods: one board a task, new types apart, the comparisons, and the board for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from markupsafe import Markup

from corpuscle.benchmarks._display import fitted
from corpuscle.benchmarks.text.display.standings import SPREAD, is_unseen, leaderboard, task_title, tasks_of
from corpuscle.benchmarks.text.display.words import METRIC_TITLES, UNDEFINED_BECAUSE, UNSEEN_TITLES
from corpuscle.report import Axis, Cell, Column, Result, frame_table, prose, table, unfold, value_cell
from corpuscle.report.format import count, defined, fixed, interval, megabytes, seconds, share

__all__ = ["board_section", "comparisons_table", "summary", "unseen_boards"]

AXIS = Axis(0.0, 1.0)
HALF = Axis(0.0, 1.0, reference=0.5)
NO_SCORE = "no run of the method ended well; see Failures"
FIRST = (
    Column("method", "Method", "Its name, and after @ the vectors it was given", numeric=False),
    Column("told", "Told", "What it knew of queries and cells", numeric=False),
)
LAST = (
    Column("n_sets", "Sets", "Data sets with a score, of those that this task can be asked of", note="done"),
    Column("failed_fraction", "Failed", "Share of runs that failed", note="of runs"),
    Column("seconds", "Time", "Of fitting and scoring; making the data set is left out", note="a run"),
    Column("peak_mib", "Memory", "Highest rise of the resident memory", note="peak"),
)
#: Of the board of new types; the AUC is in front, with its spread and interval.
UNSEEN_REST = tuple(metric for metric in UNSEEN_TITLES if metric != "unseen_auc")


def board_section(result: Result) -> Markup:
    """One table a task, those of new types left out."""
    board, parts = leaderboard(result), []
    for i, task in enumerate(task for task in tasks_of(result) if not is_unseen(task)):
        parts.append(Markup("<h3>{}</h3>").format(task_title(task)))
        parts.append(_board(board[board["task"] == task], f"board-{i}", task))
    return Markup().join(parts) or prose("There is no score to show.")


def unseen_boards(result: Result) -> Markup:
    """One table a task of new types: what becomes of the types that training never saw, beside those it saw."""
    board, parts = leaderboard(result), []
    for i, task in enumerate(task for task in tasks_of(result) if is_unseen(task)):
        parts.append(Markup("<h3>{}</h3>").format(task_title(task)))
        parts.append(_unseen_board(board[board["task"] == task], f"unseen-{i}", task))
    return Markup().join(parts)


def _board(rows: pd.DataFrame, id: str, task: str) -> Markup:
    columns = [
        *FIRST,
        *(Column(metric, METRIC_TITLES[metric], note="mean ± sd") for metric in SPREAD),
        *(Column(metric, title, note="mean") for metric, title in METRIC_TITLES.items() if metric not in SPREAD),
        *LAST,
    ]
    caption = f"{task_title(task)}: highest macro F1 first, controls last; lines are 95 % intervals over data sets"
    cells = [
        [*_names(row), *(_number(row, metric) for metric in METRIC_TITLES), *_costs(row)] for row in _records(rows)
    ]
    return table(id, caption, columns, cells, sorted_by="macro_f1", descending=True)


def _unseen_board(rows: pd.DataFrame, id: str, task: str) -> Markup:
    columns = [
        *FIRST,
        Column("unseen_auc", UNSEEN_TITLES["unseen_auc"], "Mean over types that training never saw", note="mean ± sd"),
        *(Column(metric, UNSEEN_TITLES[metric], note=NOTES.get(metric, "new types")) for metric in UNSEEN_REST),
        *LAST,
    ]
    caption = f"{task_title(task)}: highest AUC first, controls last; the mark is chance, 0.5"
    cells = []
    for row in _records(rows):
        numbers = [_spread(row, "unseen_auc", HALF), *(_unseen_number(row, metric) for metric in UNSEEN_REST)]
        cells.append([*_names(row), *numbers, *_costs(row)])
    return table(id, caption, columns, cells, sorted_by="unseen_auc", descending=True)


NOTES = {"seen_auc": "same types", "lowest_auc": "of a type", "below_half": "of types"}


def _records(rows: pd.DataFrame) -> list[dict[Any, Any]]:
    return rows.to_dict("records")


def _names(row: dict[Any, Any]) -> list[Cell]:
    method, told = str(row["method"]), str(row["told"])
    return [Cell(method, method, note=str(row["kind"])), Cell(told, told)]


def _number(row: dict[Any, Any], metric: str) -> Cell:
    if metric in SPREAD:
        return _spread(row, metric, AXIS)
    digits = 1 if metric in ("accuracy_over_random", "unanswered") else 3
    return value_cell(row.get(metric), fixed(row.get(metric), digits), reason=_why(row, metric))


def _unseen_number(row: dict[Any, Any], metric: str) -> Cell:
    value = row.get(metric)
    text = f"{count(value)} of {count(row['n_types'])}" if metric == "below_half" and defined(value) else fixed(value)
    return value_cell(value, text, reason=_why(row, metric))


def _spread(row: dict[Any, Any], metric: str, axis: Axis) -> Cell:
    """Mean, spread over seeds, and the interval over data sets as a line."""
    value, spread = row.get(metric), row.get(f"{metric}_sd")
    low, high = row.get(f"{metric}_low"), row.get(f"{metric}_high")
    text = fixed(value) + (f" ± {fixed(spread)}" if defined(spread) else "")
    hover = f"95 % interval over data sets: {interval(low, high)}"
    return value_cell(value, text, low=low, high=high, axis=axis, hover=hover, reason=_why(row, metric))


def _why(row: dict[Any, Any], metric: str) -> str:
    return (
        NO_SCORE if not row["n_sets"] else UNDEFINED_BECAUSE.get(metric, "not defined for this method or these types")
    )


def _costs(row: dict[Any, Any]) -> list[Cell]:
    whole = row["n_sets"] == row["of_sets"]
    cells = [Cell(f"{row['n_sets']} of {row['of_sets']}", float(row["n_sets"]), note="" if whole else "not all")]
    for key, text in (
        ("failed_fraction", share(row["failed_fraction"])),
        ("seconds", seconds(row["seconds"])),
        ("peak_mib", megabytes(row["peak_mib"])),
    ):
        cells.append(value_cell(row[key], text, reason="not measured"))
    return cells


# -- comparisons -------------------------------------------------------------------------------------------------


def comparisons_table(result: Result) -> Markup:
    """Paired differences from the simple methods, where there are any."""
    comparisons = result.extras.get("comparisons")
    if comparisons is None or comparisons.empty:
        return Markup()
    order = ["task", "method", "against", "metric", "difference", "ci_low", "ci_high", "n_sets", "p", "p_holm", "note"]
    shown = comparisons.reindex(columns=order).sort_values(
        ["task", "against", "metric", "difference"], ascending=[True, True, True, False], kind="stable"
    )
    titles = METRIC_TITLES | {"auc": "AUC"}
    shown = shown.assign(
        metric=shown["metric"].map(lambda metric: titles.get(metric, metric)),
        task=shown["task"].map(task_title),
        note=shown["note"].fillna(""),
    )
    why = "too few data sets for a test"
    reasons = {"p": why, "p_holm": why, "ci_low": "it takes two data sets", "ci_high": "it takes two data sets"}
    heads = {"p_holm": "p, Holm", "ci_low": "95 % low", "ci_high": "95 % high", "n_sets": "sets"}
    body = frame_table(
        "against", "Paired differences, method less the one it stands against", shown, titles=heads, reasons=reasons
    )
    return unfold("Against the simple methods, paired over data sets", body)


# -- terminal ----------------------------------------------------------------------------------------------------

#: Columns that fit a line of 80 characters, of ordinary tasks and of new types.
SHORT = {"accuracy": "acc", "macro_f1": "macro F1", "mean_auc": "AUC", "mrr": "MRR", "precision@10": "P@10"}
UNSEEN_SHORT = {"unseen_auc": "AUC", "lowest_auc": "lowest AUC", "unseen_precision@10": "P@10"}
#: Letters of a name that leave room for the numbers.
ROOM = 33


def summary(result: Result) -> pd.DataFrame:
    """Give the leaderboard in few columns of text, a line of heading before each task."""
    board = leaderboard(result)
    if board.empty:
        return board
    out: list[dict[str, str]] = []
    for task in tasks_of(result):
        out.append({"method": fitted(task_title(task), ROOM)})
        short = UNSEEN_SHORT if is_unseen(task) else SHORT
        for row in _records(board[board["task"] == task]):
            out.append({"method": f"  {fitted(str(row['method']), ROOM - 2)}", **_text(row, short)})
    columns: Sequence[str] = ["method", *SHORT.values(), UNSEEN_SHORT["lowest_auc"], "sets", "failed"]
    frame = pd.DataFrame(out).fillna("")
    return frame[[name for name in columns if name in frame]]


def _text(row: dict[Any, Any], short: dict[str, str]) -> dict[str, str]:
    out = {title: fixed(row.get(metric)) if defined(row.get(metric)) else "n/a" for metric, title in short.items()}
    out["sets"] = f"{count(row['n_sets'])}/{count(row['of_sets'])}"
    if row["failed_fraction"] > 0:
        out["failed"] = share(row["failed_fraction"])
    return out
