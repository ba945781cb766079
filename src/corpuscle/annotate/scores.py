"""Class scores of cells: one number a cell and type, from whatever named them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from corpuscle.errors import OptionError, SourceError

__all__ = ["Scores", "as_table", "checked_values", "not_finite"]

Array = np.ndarray[Any, Any]
#: Cells that an error names, before it says "and more".
NAMED = 3


@dataclass(frozen=True)
class Scores:
    """Scores of n cells for K named types; the highest of a row names the cell.

    Parameters
    ----------
    values_nk
        (n, K) finite numbers. They need not be probabilities.
    types
        K different names, in the order of the columns.
    cl_ids
        K Cell Ontology ids (``"CL:0000236"``), None where a type has none that is known.
    source
        What made them, in a few words.
    cells
        (n,) names of the cells, where they have any.
    about
        Plain values worth keeping: parameters, genes used, what was left out.

    Raises
    ------
    SourceError
        Values are not a finite table of n x K.
    OptionError
        A type has no name, or two have the same.
    """

    values_nk: Array
    types: Sequence[str]
    cl_ids: Sequence[str | None] = ()
    source: str = "scores"
    cells: Array | None = None
    about: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        types = _named(self.types, self.source)
        ids = tuple(self.cl_ids) or (None,) * len(types)
        if len(ids) != len(types):
            raise OptionError(f"{self.source}: {len(ids)} Cell Ontology ids for {len(types)} types; give one for each")
        object.__setattr__(self, "types", types)
        object.__setattr__(self, "cl_ids", ids)
        object.__setattr__(self, "values_nk", checked_values(self.values_nk, len(types), what=self.source))
        if self.cells is not None and len(self.cells) != len(self.values_nk):
            raise SourceError(f"{self.source}: {len(self.cells):,} names for {len(self.values_nk):,} cells")

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return int(self.values_nk.shape[0])

    @property
    def n_types(self) -> int:
        """Number of types."""
        return len(self.types)

    def best_n(self) -> Array:
        """(n,) column of the highest score; the first of equal ones."""
        best: Array = self.values_nk.argmax(axis=1)
        return best

    def labels(self) -> Array:
        """(n,) name of the type with the highest score."""
        names: Array = np.asarray(self.types, dtype=object)[self.best_n()]
        return names


def checked_values(values: Any, n_types: int | None = None, *, what: str = "scores") -> Array:
    """Values as a finite (n, K) array of float32 or float64, made dense if it was sparse.

    Raises
    ------
    SourceError
        It is no table, has another number of columns, no row or column, or holds NaN or infinity; the first cells
        that do are named.
    """
    values_nk = as_table(values, what=what, shape="cells x types")
    if n_types is not None and values_nk.shape[1] != n_types:
        raise SourceError(f"{what}: {values_nk.shape[1]} columns for {n_types} types; name each column")
    bad = not_finite(values_nk)
    if bad.size:
        named = ", ".join(str(row) for row in bad[:NAMED]) + (", ..." if bad.size > NAMED else "")
        raise SourceError(
            f"{what}: {bad.size:,} of {len(values_nk):,} cells have a NaN or infinite score (cells {named}); drop those "
            "cells or score them again"
        )
    return values_nk


def as_table(values: Any, *, what: str, shape: str) -> Array:
    """Values as a dense two-dimensional array of float32 or float64 with a row and a column.

    Raises
    ------
    SourceError
        They are not numbers, or not such a table; ``shape`` says what its rows and columns should be.
    """
    dense = values.toarray() if hasattr(values, "toarray") else values
    try:
        table = np.asarray(dense)
        if table.dtype not in (np.float32, np.float64):
            table = table.astype(np.float64)
    except (TypeError, ValueError):
        raise SourceError(f"{what}: not all values are numbers") from None
    if table.ndim != 2 or 0 in table.shape:
        raise SourceError(f"{what}: shape {table.shape} is not {shape}")
    return table


def not_finite(table: Array) -> Array:
    """Rows that hold NaN or infinity."""
    return np.flatnonzero(~np.isfinite(table).all(axis=1))


def _named(types: Sequence[str], source: str) -> tuple[str, ...]:
    names = tuple(types)
    if any(not isinstance(name, str) or not name.strip() for name in names):
        raise OptionError(
            f"{source}: type {next(i for i, n in enumerate(names) if not isinstance(n, str) or not n.strip())} has no name"
        )
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise OptionError(f"{source}: type {twice[0]!r} is named twice; give every type a name of its own")
    return names
