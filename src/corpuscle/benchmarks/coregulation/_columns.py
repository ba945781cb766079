"""Columns of values, a bounded chunk at a time, dense or sparse."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import scipy.sparse as sp

from corpuscle.errors import MethodError

__all__ = ["CHUNK_BYTES", "Array", "Chunk", "Moments", "column_chunks", "comoments", "is_constant", "retie", "stored"]

Array = np.ndarray[Any, Any]

#: What one densified chunk of columns may take.
CHUNK_BYTES = 32 * 2**20

#: A column whose standard deviation is below this times max(1, \|mean\|) is constant up to rounding.
CONSTANT_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some consecutive columns as float64: a dense array or a CSC matrix with 32-bit row numbers.

    ``base_c`` is the value that many entries of a column share (where nothing is stored, or the re-tied zeros), so
    that rank measures touch only the other entries.
    """

    columns: slice
    x_nc: Any
    base_c: Array

    def select(self, keep_c: Array) -> Chunk:
        """Only the columns of a boolean mask; ``columns`` still names the whole chunk."""
        if keep_c.all():
            return self
        return Chunk(self.columns, self.x_nc[:, keep_c], self.base_c[keep_c])

    def dense(self) -> Array:
        """Return the columns as a dense array, n x c."""
        return self.x_nc.toarray(order="F") if sp.issparse(self.x_nc) else self.x_nc


def column_chunks(values_nk: Any, zero_nk: Any = None, *, chunk_bytes: int = CHUNK_BYTES) -> Iterator[Chunk]:
    """Yield consecutive columns, at most ``chunk_bytes`` a chunk if it were dense.

    With ``zero_nk`` the entries it marks get their common mean in each column (see :func:`retie`).
    """
    if values_nk.ndim != 2:
        raise MethodError(f"values must be cells x genes, got an array of shape {values_nk.shape}; pass a 2-D matrix")
    n, k = values_nk.shape
    width = max(1, chunk_bytes // (8 * max(n, 1)))
    values = canonical_csc(values_nk) if sp.issparse(values_nk) else np.asarray(values_nk)
    zeros = None if zero_nk is None else _zero_mask_source(zero_nk, values.shape)
    for start in range(0, k, width):
        columns = slice(start, min(start + width, k))
        x_nc = _csc_slice(values, columns) if sp.issparse(values) else np.asarray(values[:, columns], np.float64)
        if zeros is None or _zeros_already_tied(x_nc, zeros, columns):
            yield Chunk(columns, x_nc, np.zeros(x_nc.shape[1]))
        else:
            zero_nc = _csc_slice(zeros, columns).toarray() == 0 if sp.issparse(zeros) else zeros[:, columns]
            dense_nc = Chunk(columns, x_nc, np.zeros(0)).dense()
            yield Chunk(columns, *retie(dense_nc, zero_nc))


def canonical_csc(values_nk: Any) -> sp.csc_matrix:
    """Return the matrix as CSC with sorted rows and no duplicates; copied only if it must change."""
    values = values_nk.tocsc()
    if not values.has_canonical_format:
        values = values.copy()
        values.sum_duplicates()
    return values


def _csc_slice(values: sp.csc_matrix, columns: slice) -> sp.csc_matrix:
    first, last = values.indptr[columns.start], values.indptr[columns.stop]
    data = values.data[first:last].astype(np.float64, copy=False)
    indices = values.indices[first:last].astype(np.int32, copy=False)
    indptr = (values.indptr[columns.start : columns.stop + 1] - first).astype(np.int32)
    return sp.csc_matrix((data, indices, indptr), shape=(values.shape[0], indptr.size - 1))


def _zero_mask_source(zero_nk: Any, shape: tuple[int, int]) -> Any:
    if zero_nk.shape != shape:
        raise MethodError(
            f"zero_nk has shape {zero_nk.shape}, the values {shape}; give both for the same cells and genes"
        )
    return canonical_csc(zero_nk) if sp.issparse(zero_nk) else np.asarray(zero_nk, bool)


def _zeros_already_tied(x_nc: Any, zeros: Any, columns: slice) -> bool:
    """Whether sparse values are stored exactly where raw counts are, so that raw zeros are zeros."""
    if not (sp.issparse(x_nc) and sp.issparse(zeros)):
        return False
    raw = _csc_slice(zeros, columns)
    return (
        bool(raw.data.all()) and np.array_equal(raw.indptr, x_nc.indptr) and np.array_equal(raw.indices, x_nc.indices)
    )


def retie(x_nc: Array, zero_nc: Array) -> tuple[Array, Array]:
    """Give the entries whose raw count is zero their common mean, column by column.

    Parameters
    ----------
    x_nc
        (n, c) values.
    zero_nc
        (n, c) True where the raw count is zero.

    Returns
    -------
    x_nc, base_c
        The re-tied copy, and that mean (0 for a column without zeros).
    """
    n_zero = zero_nc.sum(axis=0)
    base_c = np.where(zero_nc, x_nc, 0.0).sum(axis=0) / np.maximum(n_zero, 1)
    return np.where(zero_nc, base_c, x_nc), base_c


def stored(chunk: Chunk) -> tuple[Array, Array, Array]:
    """CSC arrays (data, row numbers, column pointers) of the entries that differ from ``base_c``."""
    if sp.issparse(chunk.x_nc):
        x_nc = chunk.x_nc
        if not x_nc.data.all():
            x_nc = x_nc.copy()
            x_nc.eliminate_zeros()
        return x_nc.data, x_nc.indices, x_nc.indptr
    x_cn = chunk.x_nc.T
    differs_cn = x_cn != chunk.base_c[:, None]
    indptr = np.zeros(x_cn.shape[0] + 1, np.int32)
    np.cumsum(differs_cn.sum(axis=1), out=indptr[1:])
    return x_cn[differs_cn], np.nonzero(differs_cn)[1].astype(np.int32), indptr


@dataclass(frozen=True, slots=True)
class Moments:
    """Mean and variance (divided by n) of each column, and its covariance with the target."""

    target_var: float
    mean_c: Array
    var_c: Array
    cov_c: Array

    @property
    def finite_c(self) -> Array:
        """Columns without NaN or infinite values."""
        return np.isfinite(self.mean_c) & np.isfinite(self.var_c)

    @property
    def constant_c(self) -> Array:
        """Columns that are finite and do not vary."""
        var_c = np.where(self.finite_c, self.var_c, 1.0)
        return self.finite_c & is_constant(np.where(self.finite_c, self.mean_c, 0.0), var_c)

    def select(self, keep_c: Array) -> Moments:
        """Only the columns of a boolean mask."""
        return Moments(self.target_var, self.mean_c[keep_c], self.var_c[keep_c], self.cov_c[keep_c])


def comoments(target_n: Array, x_nc: Any) -> Moments:
    """Two-pass moments of a target and columns; sparse columns cost their stored entries only."""
    t_n = target_n - target_n.mean()
    target_var = float(np.einsum("n,n->", t_n, t_n)) / t_n.size
    if sp.issparse(x_nc):
        return Moments(target_var, *_sparse_comoments(x_nc.data, x_nc.indices, x_nc.indptr, t_n))
    with np.errstate(invalid="ignore", over="ignore"):
        # einsum, not BLAS: the order of its sums does not depend on the number of threads.
        mean_c = x_nc.mean(axis=0)
        y_nc = x_nc - mean_c
        var_c = np.einsum("nc,nc->c", y_nc, y_nc) / t_n.size
        cov_c = np.einsum("n,nc->c", t_n, y_nc) / t_n.size
    return Moments(target_var, mean_c, var_c, cov_c)


def is_constant(mean: Any, var: Any) -> Any:
    """Whether a standard deviation is nothing but rounding; an exact test would let log(x/s + c) noise pass."""
    return np.sqrt(var) < CONSTANT_TOLERANCE * np.maximum(1.0, np.abs(mean))


@numba.njit(cache=True, nogil=True)
def _sparse_comoments(data: Array, indices: Array, indptr: Array, t_n: Array) -> tuple[Array, Array, Array]:
    n, k = t_n.size, indptr.size - 1
    t_all = t_n.sum()
    mean_c, var_c, cov_c = np.empty(k), np.empty(k), np.empty(k)
    for j in range(k):
        first, last = indptr[j], indptr[j + 1]
        total = 0.0
        for p in range(first, last):
            total += data[p]
        mean = total / n
        squares = mean * mean * (n - (last - first))
        cross, t_stored = 0.0, 0.0
        for p in range(first, last):
            y = data[p] - mean
            t = t_n[indices[p]]
            squares += y * y
            cross += t * y
            t_stored += t
        mean_c[j] = mean
        var_c[j] = squares / n
        cov_c[j] = (cross - mean * (t_all - t_stored)) / n
    return mean_c, var_c, cov_c
