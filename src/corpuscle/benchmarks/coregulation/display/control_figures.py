"""Controls as figures and tables: invented correlation, depth, less data, split genes, other ways to ask."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from corpuscle.benchmarks.coregulation.options import BASELINE
from corpuscle.report import (
    Axis,
    Cell,
    Column,
    Lane,
    Mark,
    Result,
    Section,
    Span,
    frame_table,
    lanes,
    prose,
    side_by_side,
    table,
    value_cell,
)
from corpuscle.report.format import fixed

__all__ = ["controls_section"]

KEY = (("sample", "one unit"), ("target", "median of the units"), ("range", "their range"))
HOLDING = (
    ("depth_half_low", "Shallow half of the cells"),
    ("depth_half_high", "Deep half of the cells"),
    ("default", "All cells, all counts"),
    ("thinned_50", "50 % of counts"),
    ("thinned_25", "25 % of counts"),
)
#: Median of |x| for a standard normal x: under independence |r| has median 0.6745 / sqrt(cells).
NORMAL_MEDIAN = 0.6745
SCORED = (("percentile", "Percentile"), ("r", "r"))
VARIANTS = (
    ("default", "as it is"),
    ("leave_pair_out_depth", "pair left out of depth"),
    ("composite_lambda", "all lambda genes"),
)


def controls_section(result: Result, units: pd.DataFrame, methods: Sequence[str]) -> Section:
    """Every control that the result holds."""
    return Section("controls", "Controls", "Controls", Markup().join(_parts(result, units, methods)))


def _parts(result: Result, units: pd.DataFrame, methods: Sequence[str]) -> Iterator[Markup]:
    controls = result.extras.get("controls", pd.DataFrame(columns=["control", "metric", "method", "value"]))
    null = controls[controls["control"] == "null_genes"]
    yield _heading("Does it invent correlation, or measure depth?")
    inflation = (
        f"Inflation: median |r| of 2,000 unrelated gene pairs over the same under {BASELINE}. Above 1: invented."
    )
    leakage = "Depth leakage: median |r| between a background gene and the cells' log total counts. 0 is best."
    permuted = "between genes permuted over cells, depth kept, before the method ran"
    of_null = {metric: null[null["metric"] == metric] for metric in ("median_abs_r", "mean_r")}
    noise = NORMAL_MEDIAN / float(np.sqrt(units["n_cells"].median()))
    yield side_by_side(
        _spread(units, methods, "inflation_index", caption=inflation, reference=1.0, digits=2, log=True, key=KEY),
        _spread(units, methods, "depth_corr", caption=leakage, reference=0.0),
        _spread(
            of_null["median_abs_r"],
            methods,
            "value",
            caption=f"Median |r| {permuted}. Only sampling noise should be left, about the dashed line.",
            reference=noise,
        ),
        _spread(of_null["mean_r"], methods, "value", caption=f"Mean r {permuted}. 0 is best.", reference=0.0, digits=4),
    )
    yield from _holding(controls, units, methods)
    yield from _splits(result, methods)
    yield from _variants(result, methods)
    yield from _card(result, units)


def _heading(text: str) -> Markup:
    return Markup("<h3>{}</h3>").format(text)


def _spread(
    rows: pd.DataFrame,
    methods: Sequence[str],
    column: str,
    *,
    caption: str,
    reference: float,
    digits: int = 3,
    log: bool = False,
    key: Sequence[tuple[str, str]] = (),
) -> Markup:
    """One lane a method: every unit, their range and their median."""
    if rows.empty or not np.isfinite(rows[column].to_numpy(float)).any():
        return Markup()
    axis = Axis.around(rows[column].to_numpy(float), log=log, reference=reference)
    grouped = {str(method): group for method, group in rows.groupby("method", sort=False)}
    drawn = [_spread_lane(method, grouped[method], column, digits) for method in methods if method in grouped]
    return lanes(drawn, axis, caption=caption, heads=["median"], key=key, slim=True)


def _spread_lane(method: str, group: pd.DataFrame, column: str, digits: int) -> Lane:
    known = group[np.isfinite(group[column].to_numpy(float))]
    if known.empty:
        reasons = group["reason"].dropna() if "reason" in group else pd.Series(dtype=object)
        return Lane(method, message=f"undefined: {next((r for r in reasons if r), 'no unit has a value')}")
    values = known[column].to_numpy(float)
    marks = [
        Mark(value, "sample", f"{sample} {pair}: {fixed(value, digits)}")
        for value, sample, pair in zip(values, known["sample_id"], known["pair"], strict=True)
    ]
    middle = float(np.median(values))
    marks.append(Mark(middle, "target", f"{method}: median {fixed(middle, digits)}"))
    return Lane(method, marks, [Span(values.min(), values.max(), "range")], numbers=[fixed(middle, digits)])


def _method_table(
    id: str,
    caption: str,
    methods: Sequence[str],
    columns: Sequence[tuple[str, str, str]],
    values: dict[tuple[str, str], float],
    views: Sequence[tuple[str, str]] = (),
) -> Markup:
    """Methods x columns (key, title, view) of means; ``values`` by (method, key)."""
    heads = [Column("method", "Method", numeric=False)] + [
        Column(key, title, view=view) for key, title, view in columns
    ]
    rows = []
    for method in methods:
        cells = [Cell(method, method)]
        for key, _, _ in columns:
            value = values.get((method, key), float("nan"))
            cells.append(value_cell(value, fixed(value), reason="no unit has this number; see Failures"))
        rows.append(cells)
    return table(id, caption, heads, rows, views=views)


def _holding(controls: pd.DataFrame, units: pd.DataFrame, methods: Sequence[str]) -> Iterator[Markup]:
    rows = controls[controls["control"].isin([name for name, _ in HOLDING])]
    if rows.empty:
        return
    first = rows[["sample_id", "pair"]].drop_duplicates()
    full = units.merge(first, on=["sample_id", "pair"])
    values: dict[tuple[str, str], float] = {}
    columns = []
    for metric, _ in SCORED:
        means = rows[rows["metric"] == metric].groupby(["method", "control"])["value"].mean()
        values |= {(str(method), f"{control}_{metric}"): value for (method, control), value in means.items()}
        whole = full.groupby("method")[metric].mean()
        values |= {(str(method), f"default_{metric}"): value for method, value in whole.items()}
        columns += [(f"{name}_{metric}", title, metric) for name, title in HOLDING]
    yield _heading("Does it hold with less data?")
    yield prose("Means over units. Halves are judged without normalising again; thinned counts are normalised again.")
    yield _method_table("holding", "The score with fewer cells and fewer counts", methods, columns, values, SCORED)


def _splits(result: Result, methods: Sequence[str]) -> Iterator[Markup]:
    splits = result.extras.get("count_split")
    if splits is None or splits.empty:
        return
    views = [("percentile", "Percentile"), ("z_robust", "Robust z"), ("r", "r")]
    bins = list(splits.drop_duplicates("bin")["bin"])
    values: dict[tuple[str, str], float] = {}
    columns = []
    for metric, _ in views:
        means = splits.groupby(["method", "bin"])[metric].mean()
        values |= {(str(method), f"{name}_{metric}"): value for (method, name), value in means.items()}
        columns += [(f"{name}_{metric}", str(name), metric) for name in bins]
    yield _heading("Does it find two halves of one gene?")
    yield prose(
        "Genes whose counts were split at random before normalising, by mean UMI a cell. Means over genes and samples."
    )
    yield _method_table("splits", "Split genes by abundance", methods, columns, values, views)


def _variants(result: Result, methods: Sequence[str]) -> Iterator[Markup]:
    details = result.details
    if "variant" not in details or details["variant"].nunique() < 2:
        return
    rows = details[details["primary"].astype(bool)] if "primary" in details else details
    signed = rows.assign(oriented=rows["sign"] * rows["r"])
    exclusion = signed[signed["task"] == "allelic_exclusion"]
    values: dict[tuple[str, str], float] = {}
    for column in ("percentile", "r"):
        means = exclusion.groupby(["method", "variant"])[column].mean()
        values |= {(str(method), f"{variant}_{column}"): value for (method, variant), value in means.items()}
    columns = [(f"{name}_{view}", title, view) for view, _ in SCORED for name, title in VARIANTS]
    yield _heading("Does the way of asking matter?")
    yield prose(
        "Light chains are a large part of some cells' counts, so dividing by depth can by itself make them negatively "
        "correlated: here they are also left out of the depth. And a cell may use any lambda gene: here all are "
        "added up. Means over units."
    )
    yield _method_table("variants", "Exclusion pairs under three definitions", methods, columns, values, SCORED)


def _card(result: Result, units: pd.DataFrame) -> Iterator[Markup]:
    compat = result.extras.get("compat")
    if compat is None or compat.empty:
        return
    repaired = units[units["method"] == BASELINE][["sample_id", "pair", "r", "bg_median", "percentile", "n_cells"]]
    shown: Any = compat.drop(columns="variant", errors="ignore").merge(repaired, on=["sample_id", "pair"], how="left")
    titles = {
        "sample_id": "sample", "card_r": "card: r", "card_median": "card: median",
        "card_median_defined": "median, defined only",
        "card_n_nan": "undefined genes", "card_n_genes": "of genes", "card_n_cells": "card: cells",
        "r": "here: r", "bg_median": "here: median", "percentile": "here: percentile", "n_cells": "here: cells",
    }  # fmt: skip
    reasons = {
        "card_median": "the correlation with a gene that no cell expresses is undefined, and then so is the median"
    }
    yield _heading("What the data card's own snippet gives")
    yield prose(
        "The card draws background genes from all names, so many are never expressed and their correlation, and then "
        "the median, is undefined. "
        "For light chains it keeps cells with any of them, which alone makes the pair negatively "
        f"correlated. Beside it the same pair judged as on this page, under {BASELINE}."
    )
    yield frame_table("card", "The card's numbers and the repaired ones", shown, titles=titles, reasons=reasons)
