"""Tables: sortable by their header buttons, with interval bars, views and shades where asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from corpuscle.report._axis import Axis
from corpuscle.report._templates import piece
from corpuscle.report.format import UNDEFINED, count, defined, significant

__all__ = ["Cell", "Column", "frame_table", "table", "value_cell"]


@dataclass(frozen=True)
class Cell:
    """One cell: what it shows, what it sorts by, and optionally an interval bar, a shade and a second line.

    Attributes
    ----------
    text, note
        First and second line.
    sort
        Value to sort by; None sorts last, in either direction.
    bar
        (low, middle, high, reference) in percent of the bar's width; each may be None.
    shade
        0 to 9, light to strong; None for no shade.
    hover
        Shown when pointed at.
    reason
        Why the value is undefined.
    """

    text: str
    sort: float | str | None = None
    note: str = ""
    hover: str = ""
    bar: tuple[float | None, ...] = ()
    shade: int | None = None
    reason: str = ""


@dataclass(frozen=True)
class Column:
    """A column's heading, a second line under it, its explanation, and its view (empty: always shown)."""

    key: str
    title: str
    help: str = ""
    numeric: bool = True
    view: str = ""
    note: str = ""


def value_cell(
    value: Any,
    text: str,
    *,
    low: Any = None,
    high: Any = None,
    axis: Axis | None = None,
    hover: str = "",
    reason: str = "",
) -> Cell:
    """Make the cell of a number that may be undefined; with an axis, an interval bar is drawn too."""
    if not defined(value):
        return Cell(UNDEFINED, reason=reason or "no reason was recorded")
    bar: tuple[float | None, ...] = ()
    if axis is not None:
        reference = None if axis.reference is None else axis.at(axis.reference)
        bar = (axis.at(low), axis.at(value), axis.at(high), reference)
    return Cell(text, float(value), hover=hover, bar=bar)


@dataclass(frozen=True)
class _Sort:
    key: str = ""
    descending: bool = field(default=False)


def table(
    id: str,
    caption: str,
    columns: Sequence[Column],
    rows: Iterable[Sequence[Cell]],
    *,
    views: Sequence[tuple[str, str]] = (),
    sorted_by: str = "",
    descending: bool = False,
    sortable: bool = True,
) -> Markup:
    """Draw a table in a box of its own that scrolls sideways; the first column stays in sight.

    Parameters
    ----------
    id
        Names the table in the address (``#sort=ID:COLUMN:desc``), so that a sorted table can be shared.
    caption
        One line that says what it shows.
    columns, rows
        As many cells a row as there are columns; the first is the row's heading.
    views
        (key, title) of alternative sets of columns; the first is shown.
    sorted_by, descending
        The order that ``rows`` already has.
    """
    return piece(
        "table.html",
        id=id,
        caption=caption,
        columns=columns,
        rows=list(rows),
        views=views,
        shown=views[0][0] if views else "",
        order=_Sort(sorted_by, descending),
        sortable=sortable,
    )


def frame_table(
    id: str,
    caption: str,
    frame: pd.DataFrame,
    *,
    titles: Mapping[str, str] | None = None,
    reasons: Mapping[str, str] | None = None,
) -> Markup:
    """Draw any data frame as a table.

    Parameters
    ----------
    titles
        Column -> heading, where the name is not enough.
    reasons
        Column -> why a value of it can be undefined.
    """
    titles, reasons = titles or {}, reasons or {}
    names = [str(name) for name in frame]
    columns = [
        Column(name, titles.get(name, name.replace("_", " ")), numeric=dtype.kind in "iuf")
        for name, dtype in zip(names, frame.dtypes, strict=True)
    ]
    why = [reasons.get(name, "missing in the table") for name in names]
    rows = [[_cell(*cell) for cell in zip(row, why, strict=True)] for row in frame.itertuples(index=False)]
    return table(id, caption, columns, rows)


def _cell(value: Any, reason: str) -> Cell:
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.number):
        if value is None or value is pd.NA or value is pd.NaT:
            return Cell(UNDEFINED, reason=reason)
        return Cell(str(value), str(value))
    whole = isinstance(value, int | np.integer)
    return value_cell(value, count(value) if whole else significant(value, 4), reason=reason)
