"""Some columns of a CSR matrix as CSC: two passes over its indices, nothing sorted and nothing densified."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self

import numba
import numpy as np
import scipy.sparse as sp

from corpuscle.counts._threads import for_each, n_threads

__all__ = ["CompactColumns", "pick_columns"]

Array = np.ndarray[Any, Any]
#: Matrices with fewer non-zeros are not worth a second thread.
SMALL = 1_000_000


@dataclass(frozen=True, slots=True)
class CompactColumns:
    """CSC in the smallest integer types that hold it: a third to a half of what SciPy needs."""

    data: Array
    row: Array
    indptr: Array
    n_obs: int

    @classmethod
    def of(cls, x_nk: sp.csc_matrix) -> Self:
        """Compact copy of a CSC matrix of counts."""
        value = np.min_scalar_type(int(x_nk.data.max(initial=0)))
        return cls(
            x_nk.data.astype(value), x_nk.indices.astype(np.min_scalar_type(x_nk.shape[0])), x_nk.indptr, x_nk.shape[0]
        )

    def expanded(self) -> sp.csc_matrix:
        """The CSC matrix again."""
        data = self.data.astype(np.int32 if self.data.dtype.itemsize < 4 else np.int64)
        shape = (self.n_obs, self.indptr.size - 1)
        return sp.csc_matrix((data, self.row.astype(np.int32), self.indptr), shape=shape, copy=False)

    @property
    def nbytes(self) -> int:
        """Memory taken."""
        return int(self.data.nbytes + self.row.nbytes + self.indptr.nbytes)


def pick_columns(x_ng: sp.csr_matrix, index: Array) -> sp.csc_matrix:
    """Columns ``index`` (positions, in any order, repeats allowed) of a canonical CSR matrix, as canonical CSC."""
    unique, back = np.unique(index, return_inverse=True)
    slot_g = np.full(x_ng.shape[1], -1, np.int32)
    slot_g[unique] = np.arange(unique.size, dtype=np.int32)
    parts = _row_parts(x_ng)
    count_pk = np.zeros((len(parts), unique.size), np.int64)

    def count(part: int) -> None:
        start, stop = x_ng.indptr[list(parts[part])]
        _count(x_ng.indices[start:stop], slot_g, count_pk[part])

    for_each(count, range(len(parts)))
    indptr = np.concatenate([[0], np.cumsum(count_pk.sum(axis=0))])
    place_pk = indptr[:-1] + np.cumsum(count_pk, axis=0) - count_pk  # where each part's entries of a column begin
    data, row = np.empty(indptr[-1], x_ng.data.dtype), np.empty(indptr[-1], np.int32)
    arrays = (x_ng.data, x_ng.indices, x_ng.indptr, slot_g)
    for_each(lambda p: _fill(*arrays, *parts[p], place_pk[p], data, row), range(len(parts)))
    picked = sp.csc_matrix((data, row, indptr), shape=(x_ng.shape[0], unique.size), copy=False)
    in_order = unique.size == index.size and (back == np.arange(index.size)).all()
    return picked if in_order else picked[:, back]


def _row_parts(x_ng: sp.csr_matrix) -> list[tuple[int, int]]:
    """Ranges of rows for the threads; one for a small matrix."""
    n = n_threads() if x_ng.nnz > SMALL else 1
    edges = np.linspace(0, x_ng.shape[0], n + 1).astype(int)
    return [(int(start), int(stop)) for start, stop in pairwise(edges)]


@numba.njit(cache=True, nogil=True)
def _count(indices: Array, slot_g: Array, count_k: Array) -> None:
    for k in range(indices.size):
        slot = slot_g[indices[k]]
        if slot >= 0:
            count_k[slot] += 1


@numba.njit(cache=True, nogil=True)
def _fill(
    data: Array,
    indices: Array,
    indptr: Array,
    slot_g: Array,
    start: int,
    stop: int,
    place: Array,
    out: Array,
    row: Array,
) -> None:
    for i in range(start, stop):
        for k in range(indptr[i], indptr[i + 1]):
            slot = slot_g[indices[k]]
            if slot >= 0:
                out[place[slot]] = data[k]
                row[place[slot]] = i
                place[slot] += 1
