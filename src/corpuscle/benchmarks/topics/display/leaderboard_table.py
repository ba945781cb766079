"""The leaderboard as a sortable table."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd
from markupsafe import Markup

from corpuscle.benchmarks.topics.display.standings import ALL, leaderboard, ranking_metric
from corpuscle.benchmarks.topics.names import METRICS, names_table
from corpuscle.report import Axis, Cell, Column, Result, frame_table, table, value_cell
from corpuscle.report.format import defined, fixed, interval, megabytes, seconds, share, significant

__all__ = ["by_data_set", "leaderboard_table", "names", "summary"]

VIEWS = (("ten", "The ten numbers"), ("more", "More numbers"))
#: Columns of the terminal: few, under short headings.
SHORT = {
    "topic_quality": "quality", "topic_coherence": "coherence", "topic_diversity": "diversity",
    "interpretation_purity": "purity", "ora_n_unique": "ORA sets", "gsea_n_unique": "GSEA sets",
    "topic_stability_centred": "stability",
}  # fmt: skip
COSTS = (
    Column("failed_fraction", "Failed", "Share of the fits that failed", note="of fits"),
    Column("seconds", "Time", "Median seconds a fit, mean over data sets", note="a fit"),
    Column("peak_mib", "Memory", "Highest rise of the resident memory", note="peak"),
)


def leaderboard_table(result: Result) -> Markup:
    """Draw method, the ten numbers, those beyond them, and the cost."""
    board = leaderboard(result)
    shown = [one for one in METRICS if one.name in board]
    columns = [Column("method", "Method", numeric=False)]
    for one in shown:
        ten = bool(one.published) and one.task != "seeds"
        columns.append(
            Column(
                one.name, one.title, f"{one.meaning} {one.note}".strip(), view="ten" if ten else "more", note=_note(one)
            )
        )
    used = {column.view for column in columns}
    reasons = _reasons(result)
    axes = {one.name: _axis(board, one.name) for one in shown}
    rows = [_row(row, axes, reasons) for row in board.to_dict("records")]
    caption = "Methods by topic quality, the control among them; below each number its standard deviation over seeds"
    return table(
        "board", caption, [*columns, *COSTS], rows, views=[view for view in VIEWS if view[0] in used],
        sorted_by=ranking_metric(result), descending=True,
    )  # fmt: skip


def names(result: Result) -> Markup:
    """Draw our names beside the published ones."""
    frame = result.extras.get("names", names_table())
    shown = frame[["name", "published", "meaning", "note"]].replace("", "-")
    return frame_table("names", "Names of the numbers; '-' where there is no published one", shown)


def by_data_set(result: Result) -> Markup:
    """Draw the mean over seeds of every number on every data set."""
    runs = result.table[result.table["dataset"] != ALL]
    wide = runs.groupby(["dataset", "method", "metric"], sort=False)["value"].mean().unstack("metric").reset_index()
    wide = wide.rename_axis(columns=None)
    order = [one.name for one in METRICS if one.name in wide]
    titles = {one.name: one.title for one in METRICS}
    return frame_table("by-data-set", "Means over seeds", wide[["dataset", "method", *order]], titles=titles)


def summary(result: Result) -> pd.DataFrame:
    """Give the leaderboard in few columns of text, for a terminal."""
    board = leaderboard(result)
    if board.empty:
        return board
    out = pd.DataFrame({"method": board["method"]})
    for name, title in SHORT.items():
        if name in board and board[name].notna().any():
            out[title] = [_text(value) for value in board[name]]
    out["time"] = board["seconds"].map(seconds)
    return out


def _note(one: Any) -> str:
    return str(one.published).replace(" or ", "/")


def _axis(board: pd.DataFrame, name: str) -> Axis | None:
    if name.endswith(("_n_enriched", "_n_unique")) or name == "topics_used":
        return None
    return Axis.around(board[name].to_numpy(float), reference=0.0)


def _text(value: Any) -> str:
    return significant(value, 3) if defined(value) and abs(value) >= 2 else fixed(value)


def _row(row: dict[Any, Any], axes: dict[str, Axis | None], reasons: dict[tuple[str, str], str]) -> list[Cell]:
    method = str(row["method"])
    cells = [Cell(method, method, note="control" if row["control"] else "")]
    for name, axis in axes.items():
        low, high, sd = (row[f"{name}_{what}"] for what in ("low", "high", "sd"))
        reason = reasons.get((method, name)) or reasons.get((method, "")) or "not computed on every data set"
        hover = f"95 % interval over data sets: {interval(low, high)}" if defined(low) else ""
        cell = value_cell(row[name], _text(row[name]), low=low, high=high, axis=axis, hover=hover, reason=reason)
        cells.append(replace(cell, note=f"± {_text(sd)}") if defined(sd) and defined(row[name]) else cell)
    texts = (share(row["failed_fraction"]), seconds(row["seconds"]), megabytes(row["peak_mib"]))
    for column, text in zip(COSTS, texts, strict=True):
        cells.append(value_cell(row[column.key], text, reason=reasons.get((method, "")) or "not measured"))
    return cells


def _reasons(result: Result) -> dict[tuple[str, str], str]:
    """Find (method, number) -> why it has none; (method, "") -> its first failure."""
    out: dict[tuple[str, str], str] = {}
    for row in result.failures.to_dict("records"):
        out.setdefault((str(row["method"]), ""), f"{row['dataset']}: {row['reason']}")
    undefined = result.extras.get("undefined")
    if undefined is not None:
        for row in undefined.to_dict("records"):
            out.setdefault((str(row["method"]), str(row["metric"])), f"{row['dataset']}: {row['reason']}")
    return out
