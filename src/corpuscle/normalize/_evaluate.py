"""Kernels that evaluate a formula at every stored count, or fill what is not stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numba
import numpy as np
import scipy.sparse as sp

__all__ = ["SMALL_COUNTS", "by_lookup", "dense_rows", "major_positions", "row_chunks", "scatter"]

Array = np.ndarray[Any, Any]

#: Counts below this are looked up. In droplet data they are all but a few percent of the non-zeros.
SMALL_COUNTS = 32
#: Elements of a dense temporary: 2 MB as float64, so that a formula of several steps stays in cache.
CHUNK_ELEMENTS = 1 << 18
#: Elements of a dense block of whole cells: 64 MB as float64.
BLOCK_ELEMENTS = 1 << 23


@numba.njit(cache=True, nogil=True)
def _look_up_rows(count: Array, indptr: Array, table_nt: Array, out: Array) -> int:
    n_large, n_small = 0, table_nt.shape[1]
    for i in range(indptr.size - 1):
        row, row_out, table = count[indptr[i] : indptr[i + 1]], out[indptr[i] : indptr[i + 1]], table_nt[i]
        for k in range(row.size):
            c = np.uint64(row[k])  # unsigned: no test for an index from the end
            if c < n_small:
                row_out[k] = table[c]
            else:
                n_large += 1
    return n_large


@numba.njit(cache=True, nogil=True)
def _look_up_columns(count: Array, row: Array, table_nt: Array, out: Array) -> int:
    n_large = 0
    for k in range(count.size):
        c = count[k]
        if c < table_nt.shape[1]:
            out[k] = table_nt[row[k], c]
        else:
            n_large += 1
    return n_large


@numba.njit(cache=True, nogil=True)
def _scatter_rows(out_nk: Array, indptr: Array, indices: Array, value: Array) -> None:
    for i in range(indptr.size - 1):
        for k in range(indptr[i], indptr[i + 1]):
            out_nk[i, indices[k]] = value[k]


def by_lookup(formula: Callable[[Array, Array], Array], x: sp.csr_matrix | sp.csc_matrix, out: Array) -> None:
    """Evaluate a formula of count and cell at every stored count, each (cell, small count) once.

    Counts are small whole numbers that repeat within a cell, so a table of cells x small counts costs far fewer
    logarithms than the matrix has non-zeros.

    Parameters
    ----------
    formula
        ``formula(count, row)``, elementwise: float64 counts and row numbers of ``x`` that broadcast.
    x
        Counts, CSR or CSC.
    out
        (nnz,) filled in storage order.
    """
    rows, count = np.arange(x.shape[0])[:, None], np.arange(SMALL_COUNTS, dtype=np.float64)[None, :]
    table_nt = np.broadcast_to(formula(count, rows), (x.shape[0], SMALL_COUNTS))  # the kernels check no bounds
    if x.format == "csr":
        n_large = _look_up_rows(x.data, x.indptr, table_nt, out)
    else:
        n_large = _look_up_columns(x.data, x.indices, table_nt, out)
    if n_large:
        large = np.flatnonzero(x.data >= SMALL_COUNTS)
        row = np.searchsorted(x.indptr, large, side="right") - 1 if x.format == "csr" else x.indices[large]
        out[large] = formula(x.data[large].astype(np.float64), row)


def major_positions(x: sp.csr_matrix | sp.csc_matrix) -> Array:
    """(nnz,) row (CSR) or column (CSC) of every stored count."""
    return np.repeat(np.arange(x.indptr.size - 1), np.diff(x.indptr))


def dense_rows(n_vars: int, most: int) -> int:
    """Cells in a dense block of all genes, at most ``most``."""
    return max(1, min(most, BLOCK_ELEMENTS // max(1, n_vars)))


def chunks(n: int) -> Iterator[slice]:
    """Yield slices of n elements, so that the temporaries of a formula of several steps stay in cache."""
    for start in range(0, n, CHUNK_ELEMENTS):
        yield slice(start, min(start + CHUNK_ELEMENTS, n))


def row_chunks(shape: tuple[int, int]) -> Iterator[slice]:
    """Yield slices of rows whose dense values stay in cache."""
    rows = max(1, CHUNK_ELEMENTS // max(1, shape[1]))
    for start in range(0, shape[0], rows):
        yield slice(start, min(start + rows, shape[0]))


def scatter(out_nk: Array, x: sp.csr_matrix | sp.csc_matrix, value: Array) -> None:
    """Put the values of the stored counts of ``x`` in their places of a dense array of the same shape."""
    # A CSC matrix is the CSR of its transpose, and a transposed view writes to the same memory.
    _scatter_rows(out_nk if x.format == "csr" else out_nk.T, x.indptr, x.indices, value)
