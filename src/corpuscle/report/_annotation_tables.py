"""The tables of the page of named cells: types, markers, diagnosis and the path over strengths."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from corpuscle.annotate._naming import Naming
from corpuscle.report._page import unfold
from corpuscle.report._table import Cell, Column, frame_table, table, value_cell
from corpuscle.report.format import count, significant

__all__ = ["markers_table", "numbers_table", "path_table", "types_table"]

Array = np.ndarray[Any, Any]
#: Types shown at once.
SHOWN = 40
NO_CELL = "no cell has this type"


def types_table(naming: Naming) -> Markup:
    """Cells before and after, and how clear the names are, for every type."""
    refined = bool(naming.refined)
    columns = [Column("type", "type", numeric=False), Column("cl", "Cell Ontology", numeric=False)]
    columns += [Column("before", "before"), Column("after", "after"), Column("kept", "kept")] if refined else []
    columns += [] if refined else [Column("after", "cells")]
    columns += [Column("margin", "median margin", help="Highest score minus the second, of the type's cells.")]
    homophily = [
        np.asarray(naming.refined.get(side, {}).get("type_homophily", ()), float) for side in ("before", "after")
    ]
    shown = refined and all(values.size == len(naming.types) for values in homophily)
    columns += [
        Column("homophily", "among its own", help="Share of the graph's weight that stays within the type.")
    ] * shown
    before_k, after_k, flow_kk = naming.counts(naming.before_n), naming.counts(naming.after_n), naming.flows_kk
    ids = naming.cl_ids or (None,) * len(naming.types)
    rows = []
    for k in np.argsort(-np.maximum(before_k, after_k), kind="stable"):
        margins = naming.margin_n[naming.after_n == k]
        note = "erased" if naming.erased_k[k] else ""
        row = [Cell(naming.types[k], naming.types[k], note=note), Cell(ids[k] or "not known", ids[k])]
        if refined:
            row += [_number(before_k[k]), _number(after_k[k]), _number(flow_kk[k, k])]
        else:
            row.append(_number(after_k[k]))
        middle = float(np.nanmedian(margins)) if np.isfinite(margins).any() else float("nan")
        row.append(value_cell(middle, significant(middle), reason=NO_CELL))
        if shown:
            row.append(value_cell(homophily[1][k], f"{homophily[1][k]:.0%}", reason="no cell, or no neighbour"))
        rows.append(row)
    body = table("types-table", "Every type that could be chosen", columns, rows[:SHOWN])
    if len(rows) > SHOWN:
        body += unfold(
            f"The other {len(rows) - SHOWN:,} types", table("types-rest", "Other types", columns, rows[SHOWN:])
        )
    return body


def _number(value: Any) -> Cell:
    return Cell(count(value), float(value))


def markers_table(naming: Naming) -> Markup:
    """Marker genes that the source has, for each type, where markers made the scores."""
    found, missing = naming.about.get("genes"), naming.about.get("missing")
    if not isinstance(found, Mapping):
        return Markup()
    columns = [
        Column("type", "type", numeric=False), Column("n", "found"), Column("genes", "genes found", numeric=False),
        Column("missing", "not in the data", numeric=False),
    ]  # fmt: skip
    rows = []
    for name in naming.types:
        genes = [str(gene) for gene in found.get(name, [])]
        lost = [str(gene) for gene in (missing.get(name, []) if isinstance(missing, Mapping) else [])]
        row = [Cell(name, name), Cell(count(len(genes)), float(len(genes))), _genes(genes), _genes(lost)]
        rows.append(row)
    return unfold("Marker genes that were used", table("markers-table", "Marker genes of each type", columns, rows))


def _genes(names: list[str], shown: int = 12) -> Cell:
    text = ", ".join(names[:shown]) + (f" and {len(names) - shown} more" if len(names) > shown else "")
    return Cell(text or "none", hover=", ".join(names))


MEASURES = (
    ("entropy", "mean entropy of the scores", "0 is certain, 1 knows nothing."),
    ("margin", "mean margin", "Highest score minus the second."),
    ("homophily", "homophily", "Share of the graph's weight between cells of the same type."),
    ("chance_homophily", "homophily by chance", "The same if names had nothing to do with the graph."),
    ("n_tied", "cells with a tie", "More than one highest score."),
    ("n_isolated", "cells without neighbours", "Their scores stay as they are."),
    ("n_components", "parts of the graph", "Nothing is smoothed across them."),
    ("median_degree", "median degree", "Sum of a cell's edge weights; times lambda it is the strength."),
)


def numbers_table(naming: Naming) -> Markup:
    """The diagnosis before and after."""
    before, after = naming.refined.get("before"), naming.refined.get("after")
    if not isinstance(before, Mapping) or not isinstance(after, Mapping):
        return Markup()
    columns = [Column("what", "what", numeric=False), Column("before", "before"), Column("after", "after")]
    rows = []
    for name, title, meaning in MEASURES:
        if name in before:
            cells = [
                value_cell(one, _plain(one), reason="not defined here") for one in (before.get(name), after.get(name))
            ]
            rows.append([Cell(title, title, hover=meaning), *cells])
    return table("diagnosis-table", "Scores on the graph, before and after", columns, rows, sortable=False)


def _plain(value: Any) -> str:
    return count(value) if isinstance(value, int | np.integer) else significant(value)


def path_table(naming: Naming) -> Markup:
    """What each strength would have done, where the strength was chosen."""
    path = naming.refined.get("path")
    if not isinstance(path, Mapping) or "lam" not in path:
        return Markup()
    titles = {
        "lam": "lambda",
        "changed": "share of the cells that change",
        "erased": "types erased",
        "entropy": "mean entropy",
    }
    found = {name: np.ravel(path[name]) for name in titles if name in path}
    caption = "What each strength would have done, as published"
    return Markup("<h3>Strengths that were tried</h3>") + frame_table(
        "path-table", caption, pd.DataFrame(found), titles=titles
    )
