"""Scores that another program left in a file, brought into the order of the cells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from corpuscle.annotate.scores import Scores, checked_values
from corpuscle.annotate.sources._known_types import known_cl_ids
from corpuscle.annotate.sources._score_tables import FORMATS, Table, ending, read_names, read_table
from corpuscle.errors import OptionError, SourceError

__all__ = ["ORIENTATIONS", "read_scores"]

Array = np.ndarray[Any, Any]
Names = tuple[str, ...]
ORIENTATIONS = ("auto", "cells", "texts")
#: Names that an error shows.
NAMED = 3


def read_scores(
    path: str | Path,
    *,
    cells: Sequence[str] | Array | None = None,
    orientation: str = "auto",
    key: str | None = None,
    types: Sequence[str] | str | Path | None = None,
) -> Scores:
    """Read a matrix of scores: of LangCell, CellWhisperer, decoupler, scANVI or anything that scores cells by type.

    Parameters
    ----------
    path
        ``.csv``, ``.tsv`` or ``.txt`` (also ``.gz``; names in the first line and column), ``.parquet``, ``.npy``, ``.npz``
        (arrays ``values``, ``types``, ``cells``), or ``.h5ad``.
    cells
        Names of the cells that are wanted, in their order. The file may have them in any order, and others besides.
    orientation
        ``"cells"``: cells in rows, types in columns. ``"texts"``: types in rows, as CellWhisperer writes. ``"auto"``: what
        fits the names of the cells; where both fit, nothing is guessed.
    key
        Name of the array in an ``.npz``, or in ``obsm`` of an ``.h5ad``.
    types
        Names of the types where the file has none, in its order; or a text file of one name a line.

    Returns
    -------
    Scores
        (n, K) in the order of ``cells``, or of the file. ``about["notes"]`` says what was left out or taken on trust.

    Raises
    ------
    SourceError
        The file cannot be read, holds other things than numbers, has a NaN, or lacks a cell (the first are named).
    OptionError
        The orientation cannot be told, types have no name, or an option does not exist.

    Notes
    -----
    Values are taken as they are. CellWhisperer's are scaled cosines of texts x cells; for refinement take them raw, or
    standardise each type first (``transform="zscore"``) where some texts score high for every cell. LangCell's are mixtures
    of probabilities and CellTypist's decisions are linear: both raw.

    Nothing is unpickled, so text in NumPy files must be stored as text (``np.array(names, dtype=str)``).
    """
    path = Path(path)
    if orientation not in ORIENTATIONS:
        raise OptionError(f"orientation {orientation!r} is not one of {', '.join(ORIENTATIONS)}")
    wanted = None if cells is None else tuple(str(cell) for cell in cells)
    named = read_names(Path(types)) if isinstance(types, str | Path) else types
    named = None if named is None else tuple(str(name) for name in named)
    if not path.is_file():
        raise SourceError(f"{path}: no such file; give a file of scores ({', '.join(FORMATS)} or .h5ad)")
    if ending(path) == ".h5ad":
        return _from_h5ad(path, wanted, orientation, key, named)
    if ending(path) not in FORMATS:
        raise SourceError(
            f"{path.name}: scores are read from {', '.join(FORMATS)} and .h5ad; convert it to one of these"
        )
    table = _named(read_table(path, key, frozenset(wanted or ())), named, path.name)
    way = _orientation(table, wanted, orientation, path.name)
    values_nk, names_n, names_k = _turned(table, way)
    if names_k is None:
        raise OptionError(f"{path.name}: its {values_nk.shape[1]} types have no names; give them (types)")
    if named is not None and names_k != named:
        raise OptionError(f"{path.name}: names its types itself, beginning with {names_k[0][:40]!r}; leave types out")
    about: dict[str, Any] = {"file": path.name, "orientation": way}
    return _aligned(values_nk, names_n, names_k, wanted, path.name, about)


def _named(table: Table, types: Names | None, what: str) -> Table:
    """The table, known to be of numbers on two axes, with the names that the caller gave."""
    if table.values.ndim != 2 or 0 in table.values.shape:
        raise SourceError(f"{what}: shape {table.values.shape} is not cells x types; store a table of two axes")
    if table.values.dtype.kind not in "biuf":
        raise SourceError(f"{what}: values of type {table.values.dtype} are not numbers; store scores as floats")
    return table if types is None else replace(table, types=table.types or types)


def _orientation(table: Table, wanted: Names | None, asked: str, what: str) -> str:
    ways = ("cells", "texts") if asked == "auto" else (asked,)
    problems = {way: _misfit(table, way, wanted) for way in ways}
    fitting = [way for way in ways if problems[way] is None]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise OptionError(
            f"{what}: {table.values.shape[0]:,} x {table.values.shape[1]:,} scores, and cells may be its rows or its columns; "
            "say which (orientation 'cells' or 'texts'), or give the names of the cells"
        )
    words = {"cells": "with cells in rows", "texts": "with cells in columns"}
    reasons = "; ".join(f"{words[way]}, {problem}" for way, problem in problems.items())
    raise SourceError(f"{what}: does not fit: {reasons}; give the scores of these cells, with their names")


def _misfit(table: Table, way: str, wanted: Names | None) -> str | None:
    """Why the table cannot be read this way; None if it can."""
    _, names_n, names_k = _turned(table, way)
    n, k = table.values.shape if way == "cells" else table.values.shape[::-1]
    if names_k is None:
        return "types have no names"
    if len(names_k) != k:
        return f"{len(names_k)} names of types are given for {k:,}"
    if names_n is not None and len(names_n) != n:
        return f"{len(names_n):,} names of cells are given for {n:,}"
    if wanted is None:
        return None
    if names_n is None:
        return None if n == len(wanted) else f"{n:,} unnamed cells are there for {len(wanted):,}"
    if set(names_n).isdisjoint(wanted):
        return f"none is named as one of the cells ({names_n[0][:40]!r}, not {wanted[0][:40]!r})"
    return None


def _turned(table: Table, way: str) -> tuple[Array, Names | None, Names | None]:
    """Values as cells x types with the names of both."""
    if way == "cells":
        values, names_n, names_k = table.values, table.rows, table.columns
    else:
        values, names_n, names_k = table.values.T, table.columns, table.rows
    return values, names_n or table.cells, names_k or table.types


def _aligned(
    values_nk: Array, names_n: Names | None, types: Names, wanted: Names | None, what: str, about: dict[str, Any]
) -> Scores:
    order, notes = _order(names_n, wanted, what)
    values_nk = np.array(values_nk, order="C") if order is None else values_nk[order]
    cells = wanted or names_n
    return Scores(
        checked_values(values_nk, len(types), what=what),
        types,
        known_cl_ids(types),
        f"file {what}",
        None if cells is None else np.array(cells, dtype=object),
        {**about, "notes": notes},
    )


def _order(names_n: Names | None, wanted: Names | None, what: str) -> tuple[Array | None, Names]:
    """Rows in the order of the wanted cells, None if they are so already; and what a user should know."""
    if wanted is None:
        return None, ()
    if names_n is None:
        return None, ("cells have no names in the file and are taken to be in the order of the source",)
    if names_n == wanted:
        return None, ()
    for names, where in ((wanted, "the source"), (names_n, what)):
        name, times = Counter(names).most_common(1)[0]
        if times > 1:
            raise SourceError(f"{what}: cell {name[:60]!r} is {times} times in {where}; make the names of cells unique")
    place = {name: i for i, name in enumerate(names_n)}
    missing = [name for name in wanted if name not in place]
    if missing:
        shown = ", ".join(name[:60] for name in missing[:NAMED]) + (", ..." if len(missing) > NAMED else "")
        raise SourceError(
            f"{what}: has no scores for {len(missing):,} of {len(wanted):,} cells ({shown}); score them, or leave them out"
        )
    extra = len(names_n) - len(wanted)
    notes = (f"{extra:,} cells of the file are not in the source and were left out",) if extra else ()
    return np.fromiter((place[name] for name in wanted), dtype=np.int64, count=len(wanted)), notes


def _from_h5ad(path: Path, wanted: Names | None, orientation: str, key: str | None, types: Names | None) -> Scores:
    from corpuscle.annotate._door import read_scores_of
    from corpuscle.annotate._light import members, read_light

    if orientation == "texts":
        raise OptionError(f"{path.name}: an .h5ad has cells in rows; leave orientation out")
    there = members(path)["obsm"]
    if key is None or key not in there:
        asked = "the scores need a name (key)" if key is None else f"obsm has no {key[:60]!r}"
        raise OptionError(f"{path.name}: {asked}; it has {', '.join(there[:8]) or 'nothing in obsm'}")
    light = read_light(path, obsm=[key], uns=[key])
    stored = read_scores_of(light, key, class_names=types)
    names_n = tuple(str(name) for name in light.obs_names)
    found = _aligned(
        stored.values_nk,
        names_n,
        tuple(stored.types),
        wanted,
        path.name,
        {**stored.about, "file": path.name, "key": key},
    )
    cl_ids = [own or known for own, known in zip(stored.cl_ids, found.cl_ids, strict=True)]
    return Scores(found.values_nk, found.types, cl_ids, found.source, found.cells, found.about)
