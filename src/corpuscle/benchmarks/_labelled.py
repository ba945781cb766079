"""Sources to data sets: named, opened one at a time, the types apart from what scorers may see."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from corpuscle.benchmarks._provenance import sha256
from corpuscle.benchmarks._sources import Unread, each_data_set
from corpuscle.benchmarks._truth import Truth, TypeMap, truth_of
from corpuscle.errors import OptionError, SourceError

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["ALL", "DataSet", "LabelledCells", "data_sets"]

Array = np.ndarray[Any, Any]
#: The name under which means over all data sets are in the tidy table.
ALL = "all"


@dataclass(frozen=True)
class LabelledCells:
    """Cells of known types.

    Attributes
    ----------
    name
        Of the data set.
    counts
        AnnData with raw counts (CSR) and the genes' table; its ``obs`` has names and nothing else.
    code_n
        (n,) int64 position of each cell's type.
    types, cl_ids
        Types that are present, and their Cell Ontology ids or None.
    obs
        Table of the cells, the labels among it.
    source
        Path or AnnData that it came from, with the rows ``row_n`` that are kept of it.
    """

    name: str
    counts: AnnData
    code_n: Array
    types: tuple[str, ...]
    cl_ids: tuple[str | None, ...]
    obs: pd.DataFrame
    source: Any
    row_n: Array

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return int(self.code_n.size)


@dataclass
class DataSet:
    """A labelled count matrix, read when it is first needed.

    Attributes
    ----------
    name, path
        Unique name, and where it came from.
    sha256
        Checksum of the file, or of what was read where there is none.
    labels, layer
        ``obs`` column with the true types, and layer with the raw counts.
    types
        What labels stand for; None if each is a type of its own.
    depends
        What else a run on it depends on, by name.
    notes
        What was left out, a line each.
    """

    name: str
    path: str
    sha256: str
    source: Any = field(repr=False)
    labels: str
    layer: str | None = None
    types: TypeMap | None = field(default=None, repr=False)
    depends: Mapping[str, Any] = field(default_factory=dict, repr=False)
    notes: list[str] = field(default_factory=list)
    _read: LabelledCells | None = field(default=None, repr=False)

    def read(self) -> LabelledCells:
        """Cells and types; kept for the next call.

        Raises
        ------
        CorpuscleError
            Not counts, or no labels.
        """
        if self._read is None:
            self._read, self.notes = _opened(self.name, self.source, self.labels, self.layer, self.types)
        return self._read

    @property
    def is_read(self) -> bool:
        """Whether the matrix is in memory."""
        return self._read is not None

    def release(self) -> None:
        """Forget the matrix."""
        self._read = None

    @property
    def described(self) -> dict[str, Any]:
        """What a run on it depends on."""
        mapped = self.types.sha256 if self.types else None
        return {
            "sha256": self.sha256, "labels": self.labels, "layer": self.layer, "label_map": mapped,
            "name": self.name if mapped else None, **self.depends,
        }  # fmt: skip


def data_sets(
    sources: Sequence[Any],
    labels: str,
    layer: str | None = None,
    types: TypeMap | None = None,
    depends: Mapping[str, Any] | None = None,
) -> Iterator[DataSet | Unread]:
    """Each file or AnnData in turn; one that cannot be found does not stop the others.

    Parameters
    ----------
    sources
        Paths, globs or AnnData.
    labels, layer
        ``obs`` column with the true types, and layer with the raw counts.
    types
        What labels stand for.
    depends
        Options that change what is drawn from the cells, so that runs of other options are not taken for these.
    """

    def opened(name: str, item: Any) -> DataSet:
        about = (labels, layer, types, dict(depends or {}))
        if isinstance(item, Path):
            if not item.exists():
                raise SourceError(f"{item}: there is no such file or folder; check the path")
            return DataSet(name, str(item), sha256(item), item, *about)
        data = DataSet(name, name, "", item, *about)
        data.sha256 = _content(data.read())
        return data

    return each_data_set(sources, ALL, opened)


def _opened(
    name: str, source: Any, labels: str, layer: str | None, types: TypeMap | None
) -> tuple[LabelledCells, list[str]]:
    from anndata import AnnData

    from corpuscle.counts import open_counts

    with open_counts(source, layer) as counts:
        if labels not in counts.obs:
            have = ", ".join(map(str, counts.obs)) or "none"
            raise OptionError(f"{counts.name}: no obs column {labels!r} for labels; it has: {have}")
        truth = truth_of(counts.obs[labels].astype(object), name, types)
        x_ng, var, obs = counts.to_csr(), counts.var.copy(), counts.obs
    notes = list(truth.notes)
    empty = np.asarray(x_ng.sum(axis=1)).ravel() == 0
    if empty.any():
        notes.append(f"{name}: {int(empty.sum()):,} of {empty.size:,} cells have no count and were left out")
    kept = np.flatnonzero((truth.code_n >= 0) & ~empty)
    truth = _present(truth, kept)
    shown = AnnData(x_ng[kept], obs=pd.DataFrame(index=obs.index[kept].astype(str)), var=var)
    return LabelledCells(name, shown, truth.code_n, truth.types, truth.cl_ids, obs.iloc[kept], source, kept), notes


def _present(truth: Truth, kept: Array) -> Truth:
    """Truth of the cells that are left, without types that left with the others."""
    there, code_n = np.unique(truth.code_n[kept], return_inverse=True)
    return Truth(
        code_n.ravel(), tuple(truth.types[i] for i in there), tuple(truth.cl_ids[i] for i in there), truth.notes
    )


def _content(cells: LabelledCells) -> str:
    """SHA-256 of what was read of an object in memory."""
    words = [*map(str, cells.counts.var_names), *cells.types, *map(str, cells.cl_ids)]
    digest = hashlib.sha256("\0".join(words).encode())
    x_ng = cells.counts.X
    for array in (x_ng.data, x_ng.indices, x_ng.indptr, cells.code_n):
        digest.update(np.ascontiguousarray(array).tobytes())
    for column in cells.obs:  # groups and batches may be read from there
        digest.update("\0".join([str(column), *map(str, cells.obs[column])]).encode())
    for key in sorted(map(str, cells.source.obsm)):  # scores may be read from there
        digest.update(key.encode() + np.ascontiguousarray(np.asarray(cells.source.obsm[key])).tobytes())
    return digest.hexdigest()
