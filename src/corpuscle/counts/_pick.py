"""Some columns of a CSR matrix as CSC: two passes over its indices, nothing sorted and nothing densified."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numba
import numpy as np
import scipy.sparse as sp

__all__ = ["CompactColumns", "pick_columns"]

Array = np.ndarray[Any, Any]


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
    indptr = np.zeros(unique.size + 1, np.int64)
    _count(x_ng.indices, slot_g, indptr)
    np.cumsum(indptr, out=indptr)
    data, row = np.empty(indptr[-1], x_ng.data.dtype), np.empty(indptr[-1], np.int32)
    _fill(x_ng.data, x_ng.indices, x_ng.indptr, slot_g, indptr[:-1].copy(), data, row)
    picked = sp.csc_matrix((data, row, indptr), shape=(x_ng.shape[0], unique.size), copy=False)
    in_order = unique.size == index.size and (back == np.arange(index.size)).all()
    return picked if in_order else picked[:, back]


@numba.njit(cache=True, nogil=True)
def _count(indices: Array, slot_g: Array, indptr: Array) -> None:
    for k in range(indices.size):
        slot = slot_g[indices[k]]
        if slot >= 0:
            indptr[slot + 1] += 1


@numba.njit(cache=True, nogil=True)
def _fill(data: Array, indices: Array, x_indptr: Array, slot_g: Array, place: Array, out: Array, row: Array) -> None:
    for i in range(x_indptr.size - 1):
        for k in range(x_indptr[i], x_indptr[i + 1]):
            slot = slot_g[indices[k]]
            if slot >= 0:
                out[place[slot]] = data[k]
                row[place[slot]] = i
                place[slot] += 1
