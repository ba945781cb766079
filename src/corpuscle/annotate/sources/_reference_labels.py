"""Types of the cells of a reference, and their ids in the Cell Ontology."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from corpuscle.annotate.sources._known_types import known_cl_ids
from corpuscle.errors import OptionError

if TYPE_CHECKING:
    from corpuscle.annotate._expression import Expression

__all__ = ["Labels", "labels_of", "ontology_ids"]

Array = np.ndarray[Any, Any]
CL_ID = re.compile(r"CL:\d{7}$")
#: Where CELLxGENE files have the id of the cell's type.
ID_COLUMN = "cell_type_ontology_term_id"
#: Columns that an error lists.
LISTED = 8


@dataclass(frozen=True)
class Labels:
    """Types of n cells.

    Attributes
    ----------
    types
        Names, sorted.
    code_n
        (n,) place of each cell's type in ``types``, -1 where it has none.
    """

    types: tuple[str, ...]
    code_n: Array

    @property
    def n_k(self) -> Array:
        """(K,) cells of each type."""
        return np.bincount(self.code_n[self.code_n >= 0], minlength=len(self.types))

    @property
    def n_unlabelled(self) -> int:
        """Cells without a type."""
        return int((self.code_n < 0).sum())


def labels_of(reference: Expression, labels: str | Sequence[Any] | Array | pd.Series) -> Labels:
    """Read labels from a column of ``obs``, or take those given; missing and empty ones are no label.

    Raises
    ------
    OptionError
        There is no such column, the number of labels is another one, or there are fewer than two types.
    """
    if isinstance(labels, str):
        if labels not in reference.obs:
            there = ", ".join(map(str, reference.obs.columns[:LISTED])) or "none"
            raise OptionError(f"{reference.name}: obs has no column {labels!r} with labels; its columns: {there}")
        values = reference.obs[labels]
    else:
        values = pd.Series(np.asarray(labels, dtype=object))
        if len(values) != reference.n_cells:
            raise OptionError(f"{reference.name}: {len(values):,} labels for {reference.n_cells:,} cells")
    names_n = np.array(
        ["" if missing else str(value).strip() for value, missing in zip(values, pd.isna(values), strict=True)]
    )
    types = sorted({str(name) for name in names_n} - {""})
    if len(types) < 2:
        found = f"only {types[0]!r}" if types else "no labels"
        raise OptionError(f"{reference.name}: {found}; a classifier needs cells of at least two types")
    place = {name: i for i, name in enumerate(types)}
    return Labels(tuple(types), np.array([place.get(str(name), -1) for name in names_n], np.int64))


def ontology_ids(
    reference: Expression, labels: Labels, given: str | Mapping[str, str] | None
) -> tuple[str | None, ...]:
    """(K,) Cell Ontology id of each type, None where none is known.

    Parameters
    ----------
    given
        Type -> id; or a column of ``obs`` with ids; None looks for the column of CELLxGENE files. A type whose cells
        bear several ids has none from there. Types without one are looked up by name in the Cell Ontology.
    """
    known: dict[str, str] = {}
    if isinstance(given, Mapping):
        known = dict(given)
    elif given is not None or ID_COLUMN in reference.obs:
        known = _column_ids(reference, labels, given or ID_COLUMN)
    wrong = next((f"{name!r}: {cl_id!r}" for name, cl_id in known.items() if not CL_ID.match(cl_id)), None)
    if wrong:
        raise OptionError(f"{reference.name}: type {wrong} is no Cell Ontology id; they look like CL:0000236")
    named = known_cl_ids(labels.types)
    return tuple(known.get(name) or cl_id for name, cl_id in zip(labels.types, named, strict=True))


def _column_ids(reference: Expression, labels: Labels, column: str) -> dict[str, str]:
    if column not in reference.obs:
        raise OptionError(f"{reference.name}: obs has no column {column!r} with Cell Ontology ids")
    ids = reference.obs[column].astype(object).to_numpy()
    found: dict[str, set[str]] = {}
    for code, cl_id in {(int(c), str(i)) for c, i in zip(labels.code_n, ids, strict=True) if c >= 0 and not pd.isna(i)}:
        found.setdefault(labels.types[code], set()).add(cl_id)
    single = {name: next(iter(several)) for name, several in found.items() if len(several) == 1}
    return {name: cl_id for name, cl_id in single.items() if CL_ID.match(cl_id)}
