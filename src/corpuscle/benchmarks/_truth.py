"""From the labels of a file to the types that scores are judged by."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from corpuscle.benchmarks._choices import UNLABELLED
from corpuscle.errors import OptionError, SourceError

__all__ = ["Truth", "TypeMap", "read_type_map", "truth_of"]

Array = np.ndarray[Any, Any]
COLUMNS = ("label", "type", "cl_id")
#: No table of labels is longer; what is, is another file.
LARGEST_BYTES = 16 * 2**20
NAMED = 3


@dataclass(frozen=True)
class Truth:
    """Types of some cells.

    Attributes
    ----------
    code_n
        (n,) int64 position in ``types``; -1 where the cell has no type and is left out.
    types
        Names of the types that are present, sorted: the candidates of every scorer.
    cl_ids
        Cell Ontology id of each, or None.
    notes
        What a reader should know about the labels, a line each.
    """

    code_n: Array
    types: tuple[str, ...]
    cl_ids: tuple[str | None, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class TypeMap:
    """Which type a label stands for, in all data sets or in one.

    Attributes
    ----------
    entries
        (data set or "", label) -> (type, Cell Ontology id or None); an empty type leaves the label out.
    sha256
        Checksum of the file.
    """

    entries: Mapping[tuple[str, str], tuple[str, str | None]]
    sha256: str

    def lookup(self, dataset: str, label: str) -> tuple[str, str | None] | None:
        """Type and id of a label: what is said for this very data set, else for all; None if nothing is said."""
        return self.entries.get((dataset, label)) or self.entries.get(("", label))


def read_type_map(path: str | Path) -> TypeMap:
    """Read a tab-separated table with the columns ``label``, ``type``, ``cl_id`` and, if need be, ``dataset``.

    A row without a data set holds for all. A row with an empty type leaves its label out of the truth.

    Raises
    ------
    SourceError
        It cannot be read, lacks a column, or a row contradicts another; the line is named.
    """
    path = Path(path)
    try:
        raw = path.read_bytes() if path.stat().st_size <= LARGEST_BYTES else None
        if raw is None:
            raise SourceError(f"{path}: is larger than any table of labels; check the path")
        text = raw.decode("utf-8-sig")
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    except UnicodeDecodeError:
        raise SourceError(f"{path}: is not text in UTF-8") from None
    rows = csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    lacking = [name for name in COLUMNS if name not in (rows.fieldnames or [])]
    if lacking:
        raise SourceError(f"{path}: no column {lacking[0]!r}; it takes the tab-separated columns {', '.join(COLUMNS)}")
    return TypeMap(_entries(path, rows), hashlib.sha256(raw).hexdigest())


def _entries(path: Path, rows: Iterable[dict[str, Any]]) -> dict[tuple[str, str], tuple[str, str | None]]:
    out: dict[tuple[str, str], tuple[str, str | None]] = {}
    for line, row in enumerate(rows, start=2):
        cells = {name: (row.get(name) or "").strip() for name in (*COLUMNS, "dataset")}
        key, value = (cells["dataset"], cells["label"]), (cells["type"], cells["cl_id"] or None)
        if not cells["label"]:
            raise SourceError(f"{path}, line {line}: has no label")
        if out.setdefault(key, value) != value:
            raise SourceError(f"{path}, line {line}: label {cells['label']!r} was said to be another type before")
    return out


def truth_of(label_n: Iterable[Any], dataset: str, types: TypeMap | None) -> Truth:
    """Types of the cells from their labels.

    Parameters
    ----------
    label_n
        (n,) label of each cell; missing and empty ones, "unknown" and the like are none.
    dataset
        Name that the map may know the data set by.
    types
        What labels stand for; None takes each label as a type of its own and looks it up in the Cell Ontology.

    Raises
    ------
    OptionError
        Fewer than two types are left, or the map gives one type two ids.
    """
    text_n = np.array(["" if one is None or one != one else str(one).strip() for one in label_n], dtype=object)
    known = [label for label in sorted(set(text_n)) if label.lower() not in UNLABELLED]
    found = _by_ontology(known) if types is None else {label: types.lookup(dataset, label) for label in known}
    kept = {label: entry for label, entry in found.items() if entry and entry[0]}
    ids: dict[str, str | None] = {}
    for name, cl_id in kept.values():
        if ids.setdefault(name, cl_id) != cl_id:
            raise OptionError(f"{dataset}: the label map gives type {name!r} two ids, {ids[name]} and {cl_id}")
    names = tuple(sorted(ids))
    if len(names) < 2:
        have = ", ".join(known[:NAMED]) or "none"
        raise OptionError(f"{dataset}: {len(names)} types are left of the labels ({have}, ...); it takes two or more")
    place = {label: names.index(entry[0]) for label, entry in kept.items()}
    code_n = np.array([place.get(label, -1) for label in text_n], np.int64)
    return Truth(code_n, names, tuple(ids[name] for name in names), _notes(dataset, text_n, code_n, ids))


def _by_ontology(labels: list[str]) -> dict[str, tuple[str, str | None] | None]:
    from corpuscle.annotate.ontology import cell_ontology

    return {label: (label, cl_id) for label, cl_id in cell_ontology().map_labels(labels).items()}


def _notes(dataset: str, text_n: Array, code_n: Array, ids: Mapping[str, str | None]) -> tuple[str, ...]:
    notes = []
    out = code_n < 0
    if out.any():
        names = sorted(set(text_n[out]) - {""})
        named = f" ({_listed(names)})" if names else ""
        notes.append(f"{dataset}: {int(out.sum()):,} of {out.size:,} cells have no type{named} and were left out")
    without = [name for name, cl_id in ids.items() if cl_id is None]
    if without:
        notes.append(
            f"{dataset}: no Cell Ontology id is known for {_listed(sorted(without))}; --label-map can give them"
        )
    return tuple(notes)


def _listed(names: list[str]) -> str:
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
