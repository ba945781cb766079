"""Figures of single units: the pair against its background, every unit in one table, and the pair cell by cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from corpuscle.report import (
    Axis,
    Cell,
    Cloud,
    Column,
    Lane,
    Mark,
    Result,
    Section,
    Span,
    frame_table,
    histogram_path,
    lanes,
    panels,
    prose,
    scatter,
    table,
    unfold,
    value_cell,
)
from corpuscle.report.format import count, defined, fixed, interval

__all__ = ["unit_sections"]

Array = np.ndarray[Any, Any]
UNIT = ["sample_id", "pair"]
#: More units than this are not drawn one by one; their numbers are all in the table of units.
MAX_DRAWN = 60
KEY = (
    ("shape", "background genes"),
    ("range", "middle 95 % of them"),
    ("median", "their median"),
    ("target", "the pair"),
    ("interval", "its 95 % interval"),
)
NUMBERS = ["sample_id", "pair", "method", "r", "ci_low", "ci_high", "percentile", "p_emp", "z_robust", "rank",
           "n_ranked", "r_null_mean", "excess", "n_cells", "n_background", "status"]  # fmt: skip


def unit_sections(result: Result, units: pd.DataFrame, methods: Sequence[str]) -> list[Section]:
    """Make the sections that show units one by one; ``methods`` gives the order of rows."""
    return [
        Section("background", "The pair against its background", "Background", _backgrounds(result, units, methods)),
        Section("units", "Every pair in every sample", "Every sample", _heat(units, methods)),
        Section("pair", "The pair, cell by cell", "Cells", _pair(result, units, methods)),
    ]


def _title(sample: str, pair: str) -> str:
    return f"{sample} · {pair}"


def _by_method(rows: pd.DataFrame, methods: Sequence[str]) -> list[dict[Any, Any]]:
    of_method = {row["method"]: row for row in rows.to_dict("records")}
    return [of_method[method] for method in methods if method in of_method]


# -- the pair against its background -----------------------------------------------------------------------------


def _backgrounds(result: Result, units: pd.DataFrame, methods: Sequence[str]) -> Markup:
    values = _default(result.extras.get("background"))
    drawn = {} if values.empty else {key: v.to_numpy(float) for key, v in values.groupby([*UNIT, "method"])["r"]}
    groups = list(units.groupby(UNIT, sort=True))
    entries = [(_title(*key), _background_figure(rows, drawn, methods, key)) for key, rows in groups[:MAX_DRAWN]]
    left_out = len(groups) - len(entries)
    intro = prose(
        "Grey is how strongly the first gene of the pair correlates with genes as abundant as the second. A good "
        "method puts the pair far outside the grey, on the expected side; a large r in a wide background is no merit.",
        f"{count(left_out)} more units are not drawn; their numbers are in the table of every unit."
        if left_out
        else "",
    )
    return intro + panels("background-of", "Sample and pair", entries, topic="unit")


def _background_figure(rows: pd.DataFrame, drawn: dict[Any, Array], methods: Sequence[str], key: Any) -> Markup:
    ordered = _by_method(rows, methods)
    background = {row["method"]: drawn.get((*key, row["method"]), np.empty(0)) for row in ordered}
    seen = [rows[name].to_numpy(float) for name in ("r", "ci_low", "ci_high", "bg_low", "bg_high")]
    seen += [np.nanquantile(r_k, [0.005, 0.995]) for r_k in background.values() if np.isfinite(r_k).any()]
    first = ordered[0]
    axis = Axis.around(
        np.concatenate(seen), f"correlation of {first['gene_a']} ({first['association']})", reference=0.0
    )
    side = "right" if first["sign"] > 0 else "left"
    caption = (
        f"{first['gene_a']} and {first['gene_b']} in {count(first['n_cells'])} cells, against "
        f"{count(first['n_background'])} genes. Expected: far to the {side}."
    )
    return lanes(
        [_background_lane(row, background[row["method"]], axis) for row in ordered],
        axis,
        caption=caption,
        heads=["r", "95 % interval", "percentile", "robust z"],
        key=KEY,
    )


def _background_lane(row: dict[Any, Any], r_k: Array, axis: Axis) -> Lane:
    label = str(row["method"])
    if not defined(row["r"]):
        what = "failed" if row["status"] == "failed" else "undefined"
        return Lane(label, message=f"{what}: {row['reason'] or 'no reason was recorded'}")
    weak = f" ({row['status']})" if row["status"] not in ("ok", "") else ""
    spans = [Span(row["bg_low"], row["bg_high"], "range"), Span(row["ci_low"], row["ci_high"], "interval")]
    marks = [
        Mark(row["bg_median"], "median", f"median of the background {fixed(row['bg_median'])}"),
        Mark(row["r"], "target", f"{label}: r {fixed(row['r'])}, {interval(row['ci_low'], row['ci_high'])}{weak}"),
    ]
    numbers = [
        fixed(row["r"]),
        interval(row["ci_low"], row["ci_high"]),
        fixed(row["percentile"]),
        fixed(row["z_robust"], 2),
    ]
    return Lane(label, marks, spans, histogram_path(r_k, axis), numbers)


# -- every unit --------------------------------------------------------------------------------------------------


def _heat(units: pd.DataFrame, methods: Sequence[str]) -> Markup:
    keys = sorted(set(units[UNIT].itertuples(index=False, name=None)))
    by_key = units.set_index([*UNIT, "method"]).sort_index()
    columns = [Column("method", "Method", numeric=False)]
    columns += [
        Column(str(i), key[0], "Percentile; point at a number for the robust z", note=key[1])
        for i, key in enumerate(keys)
    ]
    rows = []
    for method in methods:
        cells = [Cell(method, method)]
        for key in keys:
            cells.append(
                _heat_cell(by_key.loc[[(*key, method)]].iloc[0]) if (*key, method) in by_key.index else _absent()
            )
        rows.append(cells)
    intro = prose(
        "Percentile of the pair; point at a number for its robust z. The stronger the tint, the further from 1."
    )
    numbers = units[[name for name in NUMBERS if name in units]].sort_values([*UNIT, "method"])
    full = frame_table("unit-numbers", "Every unit in numbers", numbers)
    return (
        intro
        + table("percentiles", "Percentile by method and unit", columns, rows)
        + unfold("All numbers of every unit", full)
    )


def _heat_cell(row: pd.Series) -> Cell:
    value = row["percentile"]
    if not defined(value):
        return value_cell(value, "", reason=str(row["reason"] or "no reason was recorded"))
    weak = row["status"] == "underpowered"
    hover = f"robust z {fixed(row['z_robust'], 2)}, r {fixed(row['r'])}"
    note = "underpowered" if weak else ""
    return Cell(fixed(value), float(value), note, hover, shade=None if weak else min(9, int(10 * (1 - value))))


def _absent() -> Cell:
    return Cell("undefined", reason="the method was not run on this unit; see Failures")


# -- the pair, cell by cell --------------------------------------------------------------------------------------


def _pair(result: Result, units: pd.DataFrame, methods: Sequence[str]) -> Markup:
    cells = _default(result.extras.get("cells"))
    body = prose("Each dot is a cell that the pair was judged in, at the values the method gave to both genes.")
    if cells.empty:
        body = prose("No values of single cells were kept.")
    else:
        caption = "At most 1,000 cells a sample; dots in one place lie on top of each other."
        body += scatter("cells", caption, _clouds(cells, units, methods), topic="unit")
    return body + _four_way(result)


def _clouds(cells: pd.DataFrame, units: pd.DataFrame, methods: Sequence[str]) -> list[Cloud]:
    described = {(row["sample_id"], row["pair"], row["method"]): row for row in units.to_dict("records")}
    clouds = []
    for key, of_unit in cells.groupby(UNIT, sort=True):
        grouped = dict(list(of_unit.groupby("method", sort=False)))
        grouped = {method: grouped[method] for method in methods if method in grouped}
        if not grouped:
            continue
        first = next(iter(grouped.values()))
        size = len(first)
        rows = [described[(*key, method)] for method in grouped if (*key, method) in described]
        genes = (rows[0]["gene_a"], rows[0]["gene_b"]) if rows else ("first gene", "second gene")
        raw = (first["raw_a"].to_numpy(float), first["raw_b"].to_numpy(float)) if "raw_a" in first else None
        clouds.append(
            Cloud(
                _title(*key),
                genes[0],
                genes[1],
                list(first["cell"].astype(str)),
                {m: (g["a"].to_numpy(float), g["b"].to_numpy(float)) for m, g in grouped.items() if len(g) == size},
                raw,
                {row["method"]: f"r {fixed(row['r'])}, percentile {fixed(row['percentile'])}" for row in rows},
            )
        )
    return clouds


def _four_way(result: Result) -> Markup:
    quadrants = _default(result.extras.get("quadrants"))
    if quadrants.empty:
        return Markup()
    columns = [
        Column("sample", "Sample", numeric=False),
        Column("pair", "Pair", numeric=False),
        *(
            Column(name, title)
            for name, title in (("a", "First only"), ("b", "Second only"), ("both", "Both"), ("neither", "Neither"))
        ),
        Column("share", "Both, of cells with either"),
        Column("rule", "Cells judged", numeric=False),
    ]
    rows = []
    for row in quadrants.to_dict("records"):
        either = row["a_only"] + row["b_only"] + row["both"]
        part = row["both"] / either if either else float("nan")
        cells = [Cell(str(row["sample_id"]), str(row["sample_id"])), Cell(str(row["pair"]), str(row["pair"]))]
        cells += [Cell(count(row[name]), float(row[name])) for name in ("a_only", "b_only", "both", "neither")]
        cells.append(value_cell(part, f"{part:.0%}", reason="no cell has either gene"))
        rows.append([*cells, Cell(str(row.get("rule", "")), str(row.get("rule", "")))])
    intro = prose(
        "Cells with both genes of an exclusion pair are doublets or ambient RNA. They limit how negative r can be, "
        "whatever the method."
    )
    return (
        Markup("<h3>Who expresses what</h3>")
        + intro
        + table("four-way", "Cells by the genes they express", columns, rows)
    )


def _default(frame: pd.DataFrame | None) -> pd.DataFrame:
    """Rows of the default variant; empty where there is no such table."""
    if frame is None:
        return pd.DataFrame()
    return frame[frame["variant"] == "default"] if "variant" in frame else frame
