"""Tables of scores: one board a mask, the comparisons, and the board for a terminal."""

from __future__ import annotations

from typing import Any

import pandas as pd
from markupsafe import Markup

from corpuscle.benchmarks._display import fitted
from corpuscle.benchmarks.missingness.display.standings import blocks, is_dropout, leaderboard
from corpuscle.benchmarks.missingness.display.words import METRIC_TITLES, UNDEFINED_BECAUSE, block_title
from corpuscle.report import Axis, Cell, Column, Result, frame_table, prose, table, unfold, value_cell
from corpuscle.report.format import count, defined, fixed, interval, megabytes, seconds, share

__all__ = ["NO_SCORE", "board_section", "comparisons_table", "summary"]

NO_SCORE = "no run of the method ended well; see Failures"
HELP = {
    "d2_error": ("Relative error of squared distances; 0 is best", "error ± sd"),
    "d2_correlation": ("Correlation of squared distances with the true ones", "of distances"),
    "knn_recall_distances": ("Share of the 15 nearest cells that is found from the distances", "recall ± sd"),
    "knn_recall_pcs": ("Share of the 15 nearest cells in the coordinates that is found", "recall"),
    "sin_theta": ("Angle to the true leading subspace; 0 is best", "error ± sd"),
    "gram_error": ("Relative error of inner products about the mean; 0 is best", "error"),
    "ari": ("k-means on the coordinates against the labels", "clusters"),
}
FROM_FILL = (
    Column("d2_error_ratio", "× mean fill", "Error of distances over that of the mean fill", note="distances"),
    Column("sin_theta_change", "From mean fill", "Change of the subspace error from the mean fill", note="directions"),
)
LAST = (
    Column("n_sets", "Sets", "Data sets with a score, of those with this mask", note="done"),
    Column("failed_fraction", "Failed", "Share of runs that failed", note="of runs"),
    Column("seconds", "Time", "Median over draws, mean over data sets", note="a run"),
    Column("peak_mib", "Memory", "Highest rise of the resident memory", note="peak"),
)


def board_section(result: Result, *, dropout: bool) -> Markup:
    """One table a mask, of those that know no value or of those under which values decide."""
    board = leaderboard(result)
    parts = []
    for i, (task, kind, told) in enumerate(blocks(result)):
        if is_dropout(kind) == dropout:
            heading = Markup("<h3>{}</h3>").format(block_title(task, told))
            parts += [heading, _board(board[board["task"] == task], f"board-{i}", task)]
    return Markup().join(parts) or prose("There is no score to show.")


def _board(rows: pd.DataFrame, id: str, task: str) -> Markup:
    columns = [
        Column("method", "Method", numeric=False),
        *(Column(metric, title, HELP[metric][0], note=HELP[metric][1]) for metric, title in METRIC_TITLES.items()),
        *FROM_FILL,
        *LAST,
    ]
    axis = Axis.around([0.0, *rows[["d2_error", "d2_error_low", "d2_error_high"]].to_numpy(float).ravel()])
    caption = f"Methods under {task}, smallest error of distances first; the line is the 95 % interval over data sets"
    cells = [_row(row, axis) for row in rows.to_dict("records")]
    return table(id, caption, columns, cells, sorted_by="d2_error")


def _row(row: dict[Any, Any], axis: Axis) -> list[Cell]:
    method, told = str(row["method"]), str(row["told"])
    note = f"told {told}" if told != "nothing" else ""
    cells = [Cell(method, method, note=note)]
    cells += [_number(row, metric, axis) for metric in METRIC_TITLES]
    ratio, change = row["d2_error_ratio"], row["sin_theta_change"]
    cells.append(value_cell(ratio, fixed(ratio, 2), reason=_why(row, "d2_error_ratio")))
    cells.append(value_cell(change, ("+" if change > 0 else "") + fixed(change), reason=_why(row, "sin_theta_change")))
    whole = row["n_sets"] == row["of_sets"]
    cells.append(Cell(f"{row['n_sets']} of {row['of_sets']}", float(row["n_sets"]), note="" if whole else "not all"))
    for key, text in (
        ("failed_fraction", share(row["failed_fraction"])),
        ("seconds", seconds(row["seconds"])),
        ("peak_mib", megabytes(row["peak_mib"])),
    ):
        cells.append(value_cell(row[key], text, reason="not measured"))
    return cells


def _why(row: dict[Any, Any], metric: str) -> str:
    return UNDEFINED_BECAUSE.get(metric, NO_SCORE) if row["n_sets"] else NO_SCORE


def _number(row: dict[Any, Any], metric: str, axis: Axis) -> Cell:
    value, spread = row.get(metric), row.get(f"{metric}_sd")
    text = fixed(value) + (f" ± {fixed(spread)}" if defined(spread) else "")
    if metric == "ari" and defined(row.get("truth_ari")):
        hover = f"complete data {fixed(row['truth_ari'])}"
        return value_cell(value, text, hover=hover, reason=_why(row, metric))
    if metric != "d2_error":
        return value_cell(value, text, reason=_why(row, metric))
    low, high = row.get("d2_error_low"), row.get("d2_error_high")
    hover = f"95 % interval over data sets: {interval(low, high)}"
    return value_cell(value, text, low=low, high=high, axis=axis, hover=hover, reason=_why(row, metric))


def comparisons_table(result: Result) -> Markup:
    """Paired differences from the mean fill, where there are any."""
    comparisons = result.extras.get("comparisons")
    if comparisons is None or comparisons.empty:
        return Markup()
    shown = comparisons.assign(
        better=[f"{row.n_better} of {row.n_sets}" for row in comparisons.itertuples()],
        metric=comparisons["metric"].map(lambda metric: METRIC_TITLES.get(metric, metric)),
    )
    order = ["task", "metric", "method", "difference", "ci_low", "ci_high", "ratio", "worst", "better", "p", "p_holm"]
    shown = shown[[*order, "note"]].sort_values(["task", "metric", "difference"], kind="stable")
    titles = {"p_holm": "p, Holm", "better": "better on", "ci_low": "95 % low", "ci_high": "95 % high"}
    titles |= {"task": "mask", "worst": "worst set", "ratio": "× mean fill"}
    reasons = dict.fromkeys(("p", "p_holm"), "too few data sets for a test")
    reasons |= dict.fromkeys(("ci_low", "ci_high"), "it takes two data sets") | {"ratio": "the mean fill has 0 there"}
    body = frame_table("against", "Paired differences from the mean fill", shown, titles=titles, reasons=reasons)
    return unfold("Against filling with means, paired over data sets", body)


#: Columns that fit a line of 80 characters: what improves, and what does not.
SHORT = {
    "d2_error": "distances", "d2_error_ratio": "x mean", "knn_recall_distances": "kNN", "sin_theta": "sin", "ari": "ARI",
}  # fmt: skip
#: Letters of a name that leave room for the numbers.
ROOM = 32


def summary(result: Result) -> pd.DataFrame:
    """Give the leaderboard in few columns of text, a line of heading before each mask."""
    board = leaderboard(result)
    if board.empty:
        return board
    out: list[dict[str, str]] = []
    last = ""
    for row in board.to_dict("records"):
        if row["task"] != last:
            last = str(row["task"])
            out.append({"method": fitted(last, ROOM)})
        out.append({"method": f"  {fitted(str(row['method']), ROOM - 2)}", **_text(row)})
    return pd.DataFrame(out).fillna("")


def _text(row: dict[Any, Any]) -> dict[str, str]:
    out = {title: fixed(row.get(metric)) if defined(row.get(metric)) else "n/a" for metric, title in SHORT.items()}
    out["sets"] = f"{count(row['n_sets'])}/{count(row['of_sets'])}"
    if row["failed_fraction"] > 0:
        out["failed"] = share(row["failed_fraction"])
    return out
