"""Observed, centred values held as a sparse matrix over a background of few distinct rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from scipy import sparse

from corpuscle.counts._threads import map_ordered, n_threads
from corpuscle.reduce import _values_kernels as kernels
from corpuscle.reduce._values_checks import InputError, as_float_csr, refuse_value
from corpuscle.reduce._values_dense import row_blocks
from corpuscle.reduce._values_masks import missing_pattern, n_missing, observed_pattern

__all__ = ["SparseValues", "sparse_values"]

Floats = npt.NDArray[np.float64]
Item = TypeVar("Item")
Result = TypeVar("Result")
#: Stored entries that a thread works through at a time.
PART_ENTRIES = 1_000_000
#: Nanoseconds of a product with k vectors, fixed and for each vector, measured on one core at 20,000 x 2,000 for k
#: from 1 to 180: of an entry of a dense block that is filled and given to BLAS, and of a stored entry. For 60
#: vectors the block is quicker where more than a third is stored.
DENSE_COST, STORED_COST = (3.5, 0.04), (6.0, 0.2)
#: Entries of a block from which threads are worth starting.
THREADED_ENTRIES = 500_000


class SparseValues:
    """W = M o (X - 1 mu') as stored entries over a background, never dense as a whole.

    A stored entry is a value, or NaN where the entry is missing. Of the entries that are not stored, all of a
    row's label are alike: in column k they are zeros that were observed (``zeros_cd`` true, so that W is -mu_k) or
    missing (false, so that W is 0). Hence W = S + L B, with S as sparse as what is stored, L one-hot labels and
    B = -(zeros o 1 mu'), of as many rows as there are labels. Few missing entries, few observed ones, and a mask
    by clusters of cells are all of this form.

    Parameters
    ----------
    stored : csr_array of float64 or float32, shape (n, d)
        Values and NaN; sorted, without duplicates. It is kept, not copied.
    labels_n : ndarray of int64, shape (n,)
        Row of ``zeros_cd`` of each row.
    zeros_cd : ndarray of bool, shape (c, d)
        Whether an entry that is not stored is an observed zero.
    mean_d : ndarray of float64, shape (d,)
        mu.
    columns_d : ndarray of int64, shape (d,)
        Columns of the matrix given that are kept.
    n_features_in : int
        Columns of the matrix given.
    """

    def __init__(
        self,
        stored: sparse.csr_array,
        labels_n: npt.NDArray[np.int64],
        zeros_cd: npt.NDArray[np.bool_],
        mean_d: Floats,
        columns_d: npt.NDArray[np.int64],
        n_features_in: int,
    ) -> None:
        self._stored, self._labels_n, self._zeros_cd = stored, labels_n, zeros_cd
        self.mean_d, self.columns_d, self.n_features_in = mean_d, columns_d, n_features_in
        n, d = self.shape = (int(stored.shape[0]), int(stored.shape[1]))
        self._background_cd = np.where(zeros_cd, -mean_d, 0.0)
        self.row_counts_n = np.count_nonzero(zeros_cd, axis=1)[labels_n]
        self.column_counts_d = np.bincount(labels_n, minlength=len(zeros_cd)) @ zeros_cd.astype(np.int64)
        self._sums_d = np.zeros(d)
        kernels.count_entries(*self._entries, labels_n, zeros_cd, self.row_counts_n, self.column_counts_d, self._sums_d)
        self.complete = int(self.row_counts_n.sum()) == n * d

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type that the values are held in."""
        return np.dtype(self._stored.dtype)

    @property
    def _entries(self) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
        return self._stored.indptr, self._stored.indices, self._stored.data

    def dot(self, v_dk: Floats) -> Floats:
        """W @ v."""
        v_dk = np.ascontiguousarray(v_dk, dtype=np.float64)
        if self._is_dense_for(v_dk):
            out_nk = np.empty((self.shape[0], *v_dk.shape[1:]))
            for start, stop, block_bd in self._blocks():
                np.matmul(block_bd, v_dk, out=out_nk[start:stop])
            return out_nk
        out_nk = (self._background_cd @ v_dk)[self._labels_n]
        v_two, out_two = v_dk.reshape(self.shape[1], -1), out_nk.reshape(self.shape[0], -1)

        def part(rows: tuple[int, int]) -> None:
            kernels.add_dot(*rows, *self._entries, self._labels_n, self._background_cd, self.mean_d, v_two, out_two)

        for _ in _in_order(part, self._parts()):
            pass
        return out_nk

    def tdot(self, u_nk: Floats) -> Floats:
        """W' @ u."""
        u_nk = np.ascontiguousarray(u_nk, dtype=np.float64)
        if self._is_dense_for(u_nk):
            out_dk = np.zeros((self.shape[1], *u_nk.shape[1:]))
            for start, stop, block_bd in self._blocks():
                out_dk += block_bd.T @ u_nk[start:stop]
            return out_dk
        out_dk = self._background_cd.T @ self._sum_by_label(u_nk)
        u_two = u_nk.reshape(self.shape[0], -1)

        def part(rows: tuple[int, int]) -> Floats:
            sums_dk = np.zeros((self.shape[1], u_two.shape[1]))
            kernels.add_tdot(*rows, *self._entries, self._labels_n, self._background_cd, self.mean_d, u_two, sums_dk)
            return sums_dk

        # Added in the order of the parts, which do not depend on how many threads there are.
        for sums_dk in _in_order(part, self._parts()):
            out_dk += sums_dk.reshape(out_dk.shape)
        return out_dk

    def row_sums(self, weight_d: Floats | None = None, power: int = 2) -> Floats:
        """sum_k weight_k * W_ik ** power of each row; power is 1 or 2."""
        weight_d = np.ones(self.shape[1]) if weight_d is None else np.asarray(weight_d, dtype=np.float64)
        if power == 1:
            return self.dot(weight_d)
        out_n = np.empty((self.shape[0], *weight_d.shape[1:]))
        for start, stop, block_bd in self._blocks():
            out_n[start:stop] = np.square(block_bd, out=block_bd) @ weight_d
        return out_n

    def rows(self, start: int, stop: int) -> Floats:
        """W of consecutive rows, in float64."""
        start, stop, _ = slice(start, stop).indices(self.shape[0])
        out_bd = np.empty((max(stop - start, 0), self.shape[1]))
        self._fill(start, out_bd)
        return out_bd

    def observed_rows(self, start: int, stop: int) -> npt.NDArray[np.bool_]:
        """M of consecutive rows."""
        start, stop, _ = slice(start, stop).indices(self.shape[0])
        out_bd = np.empty((max(stop - start, 0), self.shape[1]), dtype=bool)
        kernels.fill_observed(start, *self._entries, self._labels_n, self._zeros_cd, out_bd)
        return out_bd

    def take(self, rows: Any) -> SparseValues:
        """The values of some rows, with the same columns and means."""
        return type(self)(
            self._stored[rows], self._labels_n[rows], self._zeros_cd, self.mean_d, self.columns_d, self.n_features_in
        )

    def observed_mean(self) -> Floats:
        """Mean of the observed entries of each column, on the scale of the matrix given."""
        return np.asarray(self._sums_d / np.maximum(self.column_counts_d, 1))

    def with_mean(self, mean_d: Floats, *, copy: bool = True) -> SparseValues:
        """The same entries less other column means; what is stored is shared."""
        mean_d = np.array(mean_d, dtype=np.float64)
        return type(self)(self._stored, self._labels_n, self._zeros_cd, mean_d, self.columns_d, self.n_features_in)

    def keep_columns(self, columns: npt.NDArray[np.int64]) -> SparseValues:
        """The values of some of the columns that there are."""
        return type(self)(
            self._stored[:, columns],
            self._labels_n,
            self._zeros_cd[:, columns],
            self.mean_d[columns],
            self.columns_d[columns],
            self.n_features_in,
        )

    def _is_dense_for(self, vectors: Floats) -> bool:
        """Whether filling dense rows for BLAS is quicker than a walk over the stored entries for so many vectors."""
        k = vectors.shape[1] if vectors.ndim > 1 else 1
        dense, stored = (fixed + each * k for fixed, each in (DENSE_COST, STORED_COST))
        return dense * self.shape[0] * self.shape[1] < stored * self._stored.nnz

    def _fill(self, start: int, out_bd: Floats) -> None:
        def part(at: int) -> None:
            rows_bd = out_bd[at : at + step]
            kernels.fill_rows(start + at, *self._entries, self._labels_n, self._background_cd, self.mean_d, rows_bd)

        threads = n_threads() if out_bd.size >= THREADED_ENTRIES else 1
        step = max(1, -(-len(out_bd) // threads))
        parts = range(0, len(out_bd), step)
        for _ in _in_order(part, list(parts)):
            pass

    def _blocks(self) -> Iterator[tuple[int, int, Floats]]:
        """Dense blocks of W in one buffer that is filled again and again; the reader may write in it."""
        buffer: Floats | None = None
        for start, stop in row_blocks(self.shape):
            buffer = np.empty((stop - start, self.shape[1])) if buffer is None else buffer
            block_bd = buffer[: stop - start]
            self._fill(start, block_bd)
            yield start, stop, block_bd

    def _parts(self) -> list[tuple[int, int]]:
        """First and last row of parts of about equally many stored entries."""
        indptr, n = self._stored.indptr, self.shape[0]
        wanted = np.arange(PART_ENTRIES, int(indptr[-1]), PART_ENTRIES)
        bounds = np.unique([0, *np.searchsorted(indptr, wanted).tolist(), n])
        return [(int(start), int(stop)) for start, stop in pairwise(bounds)]

    def _sum_by_label(self, u_nk: Floats) -> Floats:
        n, c = self.shape[0], len(self._zeros_cd)
        one_hot = sparse.csr_array((np.ones(n), self._labels_n, np.arange(n + 1)), (n, c))
        return np.asarray(one_hot.T @ u_nk)


def _in_order(work: Callable[[Item], Result], items: list[Item]) -> Iterator[Result]:
    """Results in the order of the items, by several threads where there are several items."""
    return map(work, items) if len(items) < 2 else map_ordered(work, items)


def sparse_values(X: Any, mask: Any, dtype: npt.DTypeLike | None) -> SparseValues:
    """Values of a sparse matrix with a mask that is not by blocks, not yet centred, with every column.

    What is stored is the sparser of two: the non-zeros and the missing entries, or the observed entries.
    """
    if mask is None:
        raise InputError(
            "sparse X without a mask: nothing would be missing, since the zeros of a sparse matrix are values; "
            "give mask= (for single cells from corpuscle.reduce.dropout_mask), or X.toarray() for ordinary PCA"
        )
    x_nd = as_float_csr(X, dtype)
    n, d = x_nd.shape
    missing = n_missing(mask, (n, d))
    few_missing = x_nd.nnz + missing <= n * d - missing
    stored = (
        _with_gaps(x_nd, missing_pattern(mask, (n, d)))
        if few_missing
        else _observed_only(x_nd, observed_pattern(mask, (n, d)))
    )
    zeros_cd = np.full((1, d), few_missing)
    return SparseValues(stored, np.zeros(n, dtype=np.int64), zeros_cd, np.zeros(d), np.arange(d), d)


def _with_gaps(x_nd: sparse.csr_array, missing: sparse.csr_array) -> sparse.csr_array:
    n, most = x_nd.shape[0], x_nd.nnz + missing.nnz
    indptr = np.zeros(n + 1, dtype=np.int64)
    indices, data = np.empty(most, dtype=np.int32), np.empty(most, dtype=x_nd.dtype)
    bad = kernels.merge_missing(
        x_nd.indptr, x_nd.indices, x_nd.data, missing.indptr, missing.indices, indptr, indices, data
    )
    _refuse_bad(x_nd, bad)
    return sparse.csr_array((data[: indptr[-1]], indices[: indptr[-1]], indptr), x_nd.shape)


def _observed_only(x_nd: sparse.csr_array, observed: sparse.csr_array) -> sparse.csr_array:
    data = np.empty(observed.nnz, dtype=x_nd.dtype)
    bad = kernels.gather_observed(x_nd.indptr, x_nd.indices, x_nd.data, observed.indptr, observed.indices, data)
    _refuse_bad(x_nd, bad)
    return sparse.csr_array((data, observed.indices, observed.indptr), x_nd.shape)


def _refuse_bad(x_nd: sparse.csr_array, bad: tuple[int, int, int]) -> None:
    row, entry, count = bad
    if count:
        refuse_value(float(x_nd.data[entry]), row, int(x_nd.indices[entry]), count)
