"""Columns of ``obs`` that go into a data set, with one type over all sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import pyarrow as pa

from corpuscle.counts import Counts
from corpuscle.errors import OptionError

__all__ = ["RESERVED", "attribute_array", "attribute_type", "check_attributes", "common_type"]

#: Columns that every data set has or may have.
RESERVED = ("input_ids", "counts", "length")
#: Input name under which the names of the cells can be had.
CELL_NAMES = "obs_names"
UNITS = ("s", "ms", "us", "ns")


def check_attributes(attrs: Mapping[str, str] | Sequence[str] | None) -> dict[str, str]:
    """Column of ``obs`` -> name in the data set, checked.

    Raises
    ------
    OptionError
        A name is empty, reserved, or given to two columns.
    """
    named = dict(attrs) if isinstance(attrs, Mapping) else {name: name for name in attrs or ()}
    if not isinstance(attrs, Mapping) and attrs is not None and len(named) < len(attrs):
        raise OptionError("an attribute is named twice; name each once")
    for column, name in named.items():
        if not isinstance(name, str) or not name:
            raise OptionError(f"attribute {column!r} has no name in the data set; give one")
        if name in RESERVED:
            raise OptionError(
                f"attribute {column!r} cannot be called {name!r}, a column of every data set; rename it: {column}:NAME"
            )
    names = list(named.values())
    if len(set(names)) < len(names):
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise OptionError(f"two attributes would be called {twice!r}; rename one of them")
    return named


def attribute_type(counts: Counts, column: str) -> pa.DataType:
    """Arrow type that a column of this source has: string, bool, int64, float64, a time, or null if all is missing.

    Raises
    ------
    OptionError
        There is no such column, or its values are of several kinds or of one that cannot be stored.
    """
    values = _column(counts, column)
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.cat.categories.to_series()
    return _stored_type(_arrow(counts, column, values).type, counts, column)


def attribute_array(counts: Counts, column: str, rows: slice, arrow_type: pa.DataType) -> pa.Array:
    """Some rows of a column as the type that all sources have in common."""
    array = _arrow(counts, column, _column(counts, column).iloc[rows])
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    try:
        return array.cast(arrow_type)
    except pa.ArrowInvalid as error:
        reason = " ".join(str(error).split())
        raise OptionError(f"{counts.name}: obs column {column!r} does not fit {arrow_type}: {reason}") from None


def common_type(column: str, types: Mapping[str, pa.DataType]) -> pa.DataType:
    """The type of a column over all sources (source name -> type).

    Raises
    ------
    OptionError
        Two sources have types that do not go together, such as text and numbers.
    """
    known = {name: one for name, one in types.items() if not pa.types.is_null(one)}
    if not known:
        return pa.string()
    (first, common), *others = known.items()
    for name, one in others:
        wider = _wider(common, one)
        if wider is None:
            raise OptionError(
                f"obs column {column!r} is {common} in {first} but {one} in {name}; make it the same in all sources"
            )
        common = wider
    return common


def _wider(a: pa.DataType, b: pa.DataType) -> pa.DataType | None:
    if a == b:
        return a
    if {a, b} == {pa.int64(), pa.float64()}:
        return pa.float64()
    if pa.types.is_timestamp(a) and pa.types.is_timestamp(b) and a.tz == b.tz:
        return pa.timestamp(UNITS[max(UNITS.index(a.unit), UNITS.index(b.unit))], a.tz)
    if pa.types.is_duration(a) and pa.types.is_duration(b):
        return pa.duration(UNITS[max(UNITS.index(a.unit), UNITS.index(b.unit))])
    return None


def _stored_type(found: pa.DataType, counts: Counts, column: str) -> pa.DataType:
    if pa.types.is_string(found) or pa.types.is_large_string(found) or str(found) == "string_view":
        return pa.string()
    if pa.types.is_integer(found):
        return pa.int64()
    if pa.types.is_floating(found):
        return pa.float64()
    if pa.types.is_boolean(found) or pa.types.is_null(found):
        return found
    if pa.types.is_timestamp(found) or pa.types.is_duration(found):
        return found
    raise OptionError(
        f"{counts.name}: obs column {column!r} holds values of type {found}, which no data set column has; "
        f"make it text or numbers"
    )


def _column(counts: Counts, column: str) -> pd.Series[Any]:
    if column in counts.obs:
        values = counts.obs[column]
        if values.ndim > 1:
            raise OptionError(f"{counts.name}: there are several obs columns {column!r}; rename all but one")
        return values
    if column in (CELL_NAMES, counts.obs.index.name):
        return counts.obs.index.to_series()
    names = [str(name) for name in counts.obs.columns]
    have = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "") if names else "none"
    raise OptionError(
        f"{counts.name}: there is no obs column {column!r}; it has: {have} ({CELL_NAMES!r} stands for the cell names)"
    )


def _arrow(counts: Counts, column: str, values: pd.Series[Any]) -> pa.Array:
    # Missing text is null; a missing float stays NaN, as it is in the file.
    missing_is_null = values.dtype.kind != "f" or isinstance(values.dtype, pd.api.extensions.ExtensionDtype)
    try:
        array = pa.array(values if missing_is_null else values.to_numpy(), from_pandas=missing_is_null)
    except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise OptionError(
            f"{counts.name}: obs column {column!r} mixes kinds of values ({reason}); make it text or numbers"
        ) from None
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
