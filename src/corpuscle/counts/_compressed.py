"""Compressed sparse matrices in HDF5 or zarr: by cell, which streams as it is, and by gene, which is turned first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.sparse as sp

from corpuscle.counts._matrix import Matrix, native
from corpuscle.counts._spill import Piece, SpilledMatrix
from corpuscle.counts._store import Store, reading
from corpuscle.errors import SourceError

__all__ = ["CompressedColumns", "CompressedRows"]

Array = np.ndarray[Any, Any]
#: Entries read at a time when a matrix by gene is turned or searched: about 16 MB.
PIECE_ENTRIES = 1 << 21
#: Unwanted entries that are read rather than skipped, because a second read would cost more.
GAP_ENTRIES = 1 << 14


class _Compressed:
    """The three arrays; only ``indptr`` is held. Whatever is read of the others is checked against the shape."""

    def __init__(self, store: Store, key: str, n_major: int, n_minor: int) -> None:
        self.store, self.key, self.n_minor = store, key, n_minor
        data, indices = store[f"{key}/data"], store[f"{key}/indices"]
        with reading(store.name):
            self.indptr = np.asarray(store[f"{key}/indptr"][:]).astype(np.int64)
            self.dtype = np.dtype(data.dtype)
            n_stored = (data.shape[0], indices.shape[0])
        indptr = self.indptr
        if indptr.size != n_major + 1 or indptr[0] != 0 or (np.diff(indptr) < 0).any() or n_stored != (indptr[-1],) * 2:
            raise SourceError(
                f"{store.name}: {key}/indptr does not fit a matrix of {n_major:,} rows with {n_stored[0]:,} values and "
                f"{n_stored[1]:,} indices; the file is damaged: get it again"
            )
        _refuse_missing_chunks(data, f"{store.name}: {key}/data")

    def entries(self, start: int, stop: int) -> tuple[Array, Array]:
        """Indices and values of the entries ``start`` to ``stop``."""
        if start == stop:
            return np.zeros(0, np.int32), np.zeros(0, native(np.zeros(0, self.dtype)).dtype)
        with reading(self.store.name):
            indices = np.asarray(self.store[f"{self.key}/indices"][start:stop])
            data = np.asarray(self.store[f"{self.key}/data"][start:stop])
        low, high = indices.min(), indices.max()
        if low < 0 or high >= self.n_minor:
            bad = int(np.argmax((indices < 0) | (indices >= self.n_minor)))
            row = int(np.searchsorted(self.indptr, start + bad, side="right")) - 1
            raise SourceError(
                f"{self.store.name}: {self.key}/indices has {indices[bad]} in row {row:,}, outside 0 to "
                f"{self.n_minor - 1:,}; the file is damaged: get it again"
            )
        small = self.n_minor <= np.iinfo(np.int32).max
        return indices.astype(np.int32 if small else np.int64, copy=False), native(data)


class CompressedRows(Matrix):
    """Cells one after the other: a row range is one slice of the file."""

    def __init__(self, store: Store, key: str, shape: tuple[int, int], layout: str = "CSR") -> None:
        self.shape, self.layout, self.store = shape, layout, store
        self._arrays = _Compressed(store, key, *shape)
        self.dtype = self._arrays.dtype

    def rows(self, start: int, stop: int) -> sp.csr_matrix:
        """Cells ``start`` to ``stop``."""
        indptr = self._arrays.indptr[start : stop + 1]
        indices, data = self._arrays.entries(int(indptr[0]), int(indptr[-1]))
        return sp.csr_matrix((data, indices, indptr - indptr[0]), shape=(stop - start, self.shape[1]))

    def close(self) -> None:
        """Close the file."""
        self.store.close()


class CompressedColumns(SpilledMatrix):
    """Genes one after the other: some genes are cheap, cells need the whole matrix turned once."""

    def __init__(self, store: Store, key: str, shape: tuple[int, int], layout: str = "CSC") -> None:
        arrays = _Compressed(store, key, shape[1], shape[0])
        super().__init__(shape, arrays.dtype, layout)
        self.store, self._arrays = store, arrays

    def pieces(self) -> Iterator[Piece]:
        """Every entry, gene by gene."""
        indptr, first = self._arrays.indptr, 0
        while first < self.shape[1]:
            fits = int(np.searchsorted(indptr, indptr[first] + PIECE_ENTRIES, side="right")) - 1
            last = max(fits, first + 1)
            genes = np.repeat(np.arange(first, last, dtype=np.int32), np.diff(indptr[first : last + 1]))
            cells, values = self._arrays.entries(int(indptr[first]), int(indptr[last]))
            yield cells, genes, values
            first = last

    def columns(self, index: Array) -> sp.csc_matrix:
        """Genes at ``index``, reading little more than their entries."""
        wanted = np.unique(index)
        parts, genes = [], []
        for run in self._runs(wanted):
            parts.append(self._run(run))
            genes.append(run)
        x_nk = sp.hstack(parts, format="csc") if parts else sp.csc_matrix((self.shape[0], 0), dtype=self.dtype)
        return x_nk[:, np.searchsorted(wanted, index)]

    def _runs(self, wanted: Array) -> list[Array]:
        """``wanted`` cut where the entries between two genes are not worth reading, or a run gets long."""
        start, stop = self._arrays.indptr[wanted], self._arrays.indptr[wanted + 1]
        cuts, held = [], 0
        for i in range(1, wanted.size):
            held += int(stop[i] - stop[i - 1])
            if start[i] - stop[i - 1] > GAP_ENTRIES or held > PIECE_ENTRIES:
                cuts.append(i)
                held = 0
        return [run for run in np.split(wanted, cuts) if run.size]

    def _run(self, genes: Array) -> sp.csc_matrix:
        first, last = int(genes[0]), int(genes[-1])
        indptr = self._arrays.indptr[first : last + 2]
        cells, values = self._arrays.entries(int(indptr[0]), int(indptr[-1]))
        x_nk = sp.csc_matrix((values, cells, indptr - indptr[0]), shape=(self.shape[0], last - first + 1))
        return x_nk if x_nk.shape[1] == genes.size else x_nk[:, genes - first]

    def close(self) -> None:
        """Close the file and remove temporary space."""
        super().close()
        self.store.close()


def _refuse_missing_chunks(array: Any, where: str) -> None:
    """A chunk file that a copy left out would be read as zeros."""
    there = getattr(array, "nchunks_initialized", None)
    if there is None or getattr(array, "shards", None) is not None:
        return
    if there < array.nchunks:
        raise SourceError(
            f"{where}: {array.nchunks - there} of its {array.nchunks} chunks are missing; copy the folder again"
        )
