"""Sources to data sets: named, opened one at a time, the labels apart from what methods may see."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from corpuscle.benchmarks._provenance import sha256
from corpuscle.benchmarks._sources import Unread, each_data_set
from corpuscle.benchmarks.clustering.methods import Cells, cells_of
from corpuscle.benchmarks.clustering.options import Options
from corpuscle.errors import SourceError

__all__ = ["DataSet", "data_sets"]

Array = np.ndarray[Any, Any]
#: The name under which means over all data sets are in the tidy table.
ALL = "all"


@dataclass
class DataSet:
    """A labelled count matrix, read when it is first needed.

    Attributes
    ----------
    name, path
        Unique name, and where it came from.
    sha256
        Checksum of the file, or of what was read where there is none.
    """

    name: str
    path: str
    sha256: str
    source: Any = field(repr=False)
    options: Options = field(repr=False)
    notes: list[str] = field(default_factory=list)
    _read: tuple[Cells, Array] | None = field(default=None, repr=False)

    def read(self) -> tuple[Cells, Array]:
        """(cells without labels, label of each cell); kept for the next call.

        Raises
        ------
        CorpuscleError
            Not counts, or labels, batches or the view are not there.
        """
        if self._read is None:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                self._read = self._opened()
            self.notes = list(dict.fromkeys(str(one.message) for one in caught if one.category is UserWarning))
        return self._read

    def _opened(self) -> tuple[Cells, Array]:
        o = self.options
        cells, labels_n = cells_of(
            self.source, layer=o.layer, labels=o.labels, batch=o.batch_key, view=o.view_key, name=self.name
        )
        assert labels_n is not None
        return cells, labels_n

    def release(self) -> None:
        """Forget the matrix."""
        self._read = None

    @property
    def described(self) -> dict[str, Any]:
        """What a run on it depends on."""
        o = self.options
        return {"sha256": self.sha256, "labels": o.labels, "layer": o.layer, "batch": o.batch_key, "view": o.view_key}


def data_sets(sources: Sequence[Any], options: Options) -> Iterator[DataSet | Unread]:
    """Each file or AnnData in turn; one that cannot be found does not stop the others."""
    return each_data_set(sources, ALL, lambda name, item: _data_set(name, item, options))


def _data_set(name: str, item: Any, options: Options) -> DataSet:
    if isinstance(item, Path):
        if not item.exists():
            raise SourceError(f"{item}: there is no such file or folder; check the path")
        return DataSet(name, str(item), sha256(item), item, options)
    data = DataSet(name, name, "", item, options)
    data.sha256 = _content(*data.read())
    return data


def _content(cells: Cells, labels_n: Array) -> str:
    """SHA-256 of what was read of an object in memory."""
    digest = hashlib.sha256("\0".join([*map(str, cells.genes), *map(str, labels_n)]).encode())
    for array in (cells.counts_ng.data, cells.counts_ng.indices, cells.counts_ng.indptr, cells.view_ne):
        digest.update(b"" if array is None else np.ascontiguousarray(array).tobytes())
    batches: Iterable[Any] = [] if cells.batch_n is None else cells.batch_n
    digest.update("\0".join(map(str, batches)).encode())
    return digest.hexdigest()
