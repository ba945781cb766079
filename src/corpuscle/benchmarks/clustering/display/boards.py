"""Tables of scores: one board a block, the comparisons, and the board for a terminal."""

from __future__ import annotations

from typing import Any

import pandas as pd
from markupsafe import Markup

from corpuscle.benchmarks._display import fitted
from corpuscle.benchmarks.clustering.display.standings import blocks, leaderboard, of_block
from corpuscle.benchmarks.clustering.display.words import (
    METRIC_TITLES,
    TOLD,
    UNDEFINED_BECAUSE,
    block_title,
)
from corpuscle.report import Axis, Cell, Column, Result, frame_table, prose, table, unfold, value_cell
from corpuscle.report.format import count, defined, fixed, interval, megabytes, seconds, share

__all__ = ["board_section", "comparisons_table", "summary"]

AXIS = Axis(0.0, 1.0, reference=0.0)
SHOWN = ("ari", "ami", "nmi", "acc", "macro_f1", "rare_recall", "silhouette", "stability")
LAST = (
    Column("n_sets", "Sets", "Data sets with a score, of those that could be read", note="done"),
    Column("failed_fraction", "Failed", "Share of runs that failed", note="of runs"),
    Column("seconds", "Time", "Of a run of the method: median over seeds, mean over data sets", note="a run"),
    Column("peak_mib", "Memory", "Highest rise of the resident memory", note="peak"),
)
NO_SCORE = "no run of the method ended well; see Failures"


def board_section(result: Result) -> Markup:
    """One table a block, each under what its scores were told."""
    board = leaderboard(result)
    parts = []
    for i, block in enumerate(blocks(result)):
        rows = of_block(board, block)
        parts.append(Markup("<h3>{}</h3>").format(block_title(*block)))
        if block[0] == "labels":
            parts.append(prose("No one who needs a clustering has these labels: read this as an upper bound."))
        parts.append(_board(rows, f"board-{block[0]}-{block[1]}", block_title(*block), i))
    return Markup().join(parts) or prose("There is no score to show.")


def _board(rows: pd.DataFrame, id: str, title: str, place: int) -> Markup:
    columns = [
        Column("method", "Method", numeric=False),
        *(
            Column(metric, METRIC_TITLES[metric], note="mean ± sd" if metric == "ari" else "mean")
            for metric in SHOWN
            if metric in rows
        ),
        *LAST,
    ]
    caption = f"{title}; best first, the line is the 95 % interval over data sets"
    cells = [_row(row) for row in rows.to_dict("records")]
    return table(id, caption, columns, cells, sorted_by="ari", descending=True)


def _row(row: dict[Any, Any]) -> list[Cell]:
    cells = [Cell(str(row["method"]), str(row["method"]))]
    for metric in SHOWN:
        if metric not in row:
            continue
        spread, reason = row.get(f"{metric}_sd"), UNDEFINED_BECAUSE.get(metric, NO_SCORE)
        hover = f"sd over seeds {fixed(spread)}" if defined(spread) else ""
        if metric == "ari":
            low, high = row.get("ari_low"), row.get("ari_high")
            text = f"{fixed(row[metric])} ± {fixed(spread)}" if defined(spread) else fixed(row[metric])
            hover = f"95 % interval over data sets: {interval(low, high)}"
            cells.append(value_cell(row[metric], text, low=low, high=high, axis=AXIS, hover=hover, reason=reason))
        else:
            cells.append(value_cell(row[metric], fixed(row[metric]), hover=hover, reason=reason))
    whole = row["n_sets"] == row["of_sets"]
    cells.append(Cell(f"{row['n_sets']} of {row['of_sets']}", float(row["n_sets"]), note="" if whole else "not all"))
    for key, text in (
        ("failed_fraction", share(row["failed_fraction"])),
        ("seconds", seconds(row["seconds"])),
        ("peak_mib", megabytes(row["peak_mib"])),
    ):
        cells.append(value_cell(row[key], text, reason="not measured"))
    return cells


def comparisons_table(result: Result) -> Markup:
    """Paired differences to the best simple baseline, where there are any."""
    comparisons = result.extras.get("comparisons")
    if comparisons is None or comparisons.empty:
        return Markup()
    shown = comparisons.assign(
        told=[TOLD.get(str(told), str(told)).removeprefix("told ") for told in comparisons["told"]],
        metric=comparisons["metric"].map(lambda metric: METRIC_TITLES.get(metric, metric)),
        better=[f"{row.n_better} of {row.n_sets}" for row in comparisons.itertuples()],
    )
    order = ["method", "told", "protocol", "metric", "difference", "ci_low", "ci_high", "better", "p", "p_holm"]
    shown = shown[[*order, "baseline", "baseline_protocol", "note"]].sort_values(
        ["metric", "told", "protocol", "difference"], ascending=[True, True, True, False], kind="stable"
    )
    titles = {"p_holm": "p, Holm", "better": "better on", "ci_low": "95 % low", "ci_high": "95 % high"}
    titles["baseline_protocol"] = "baseline under"
    why = "too few data sets for a test"
    reasons = {"p": why, "p_holm": why, "ci_low": "it takes two data sets", "ci_high": "it takes two data sets"}
    body = frame_table(
        "against", "Paired differences to the best simple baseline", shown, titles=titles, reasons=reasons
    )
    return unfold("Against the best simple baseline told the same, paired over data sets", body)


def summary(result: Result) -> pd.DataFrame:
    """Give the leaderboard in few columns of text, a heading before each block."""
    board = leaderboard(result)
    if board.empty:
        return board
    out: list[dict[str, str]] = []
    last = None
    for row in board.to_dict("records"):
        block = (row["told"], row["protocol"])
        if block != last:
            out.append({"method": f"{TERSE.get(block[0], block[0])}: {TERSE.get(block[1], block[1])}"})
        last = block
        out.append({"method": f"  {fitted(str(row['method']), ROOM)}", **_text(row)})
    return pd.DataFrame(out).fillna("")


#: Headings that leave room for numbers on a line of 80 characters.
TERSE = {
    "nothing": "nothing", "n_types": "n types", "labels": "labels", "": "no score", "fixed": "resolution 1.0",
    "own": "own clusters", "matched": "matched", "kmeans": "k-means", "oracle": "oracle",
}  # fmt: skip


def _text(row: dict[Any, Any]) -> dict[str, str]:
    whole = {"sets": f"{count(row['n_sets'])}/{count(row['of_sets'])}"}
    if row["failed_fraction"] > 0:
        whole["failed"] = share(row["failed_fraction"])
    if not row["protocol"]:
        return whole
    spread = row["ari_sd"]
    return {
        "ARI": _short(row["ari"]) + (f"±{fixed(spread)}" if defined(spread) else ""),
        **{title: _short(row[metric]) for metric, title in SHORT.items()},
        "time": seconds(row["seconds"]),
        **whole,
    }


#: Letters of a method's name that leave room for the numbers.
ROOM = 22
SHORT = {"ami": "AMI", "acc": "acc", "macro_f1": "F1", "rare_recall": "rare", "stability": "stable"}


def _short(value: Any) -> str:
    return fixed(value) if defined(value) else "n/a"
