"""Observed, centred values held as a dense array."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from corpuscle.reduce._block_mask import BlockMask
from corpuscle.reduce._values_checks import as_float_dense, float_dtype, refuse_not_finite
from corpuscle.reduce._values_masks import block_observed, dense_observed

__all__ = ["BUFFER_ENTRIES", "DenseValues", "dense_values", "row_blocks"]

Floats = npt.NDArray[np.float64]
#: Entries of the float64 block that is held at a time (32 MB).
BUFFER_ENTRIES = 4_000_000
#: Entries of a float32 copy (1 GB) beyond which none is made.
ROUNDED_ENTRIES = 250_000_000


def row_blocks(shape: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """First and last row of blocks that fill the buffer."""
    rows = max(1, BUFFER_ENTRIES // max(shape[1], 1))
    for start in range(0, shape[0], rows):
        yield start, min(start + rows, shape[0])


class DenseValues:
    """W = M o (X - 1 mu') as a dense array of float64 or float32; sums are in float64 either way.

    Parameters
    ----------
    w_nd : ndarray of float, shape (n, d)
        Centred values, zero where missing. It is kept, not copied.
    observed_nd : ndarray of bool, shape (n, d), or None
        M; None where everything is observed.
    mean_d : ndarray of float64, shape (d,)
        mu, as it was already subtracted.
    columns_d : ndarray of int64, shape (d,)
        Columns of the matrix given that are kept.
    n_features_in : int
        Columns of the matrix given.
    """

    def __init__(
        self,
        w_nd: npt.NDArray[Any],
        observed_nd: npt.NDArray[np.bool_] | None,
        mean_d: Floats,
        columns_d: npt.NDArray[np.int64],
        n_features_in: int,
    ) -> None:
        self._w_nd, self._observed_nd = w_nd, observed_nd
        self.mean_d, self.columns_d, self.n_features_in = mean_d, columns_d, n_features_in
        self.shape = (w_nd.shape[0], w_nd.shape[1])
        n, d = self.shape
        if observed_nd is None:
            self.row_counts_n, self.column_counts_d = np.full(n, d), np.full(d, n)
        else:
            self.row_counts_n = np.count_nonzero(observed_nd, axis=1)
            self.column_counts_d = np.count_nonzero(observed_nd, axis=0)
        self.complete = int(self.row_counts_n.sum()) == n * d

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type that the values are held in."""
        return self._w_nd.dtype

    def dot(self, v_dk: Floats) -> Floats:
        """W @ v."""
        if self.dtype == np.float64:
            # Few columns: BLAS is a third faster when W is the wide factor, so both are transposed.
            return np.asarray((np.ascontiguousarray(v_dk.T) @ self._w_nd.T).T)
        out_nk = np.empty((self.shape[0], *np.shape(v_dk)[1:]))
        for start, stop, block_bd in self._blocks():
            out_nk[start:stop] = block_bd @ v_dk
        return out_nk

    def tdot(self, u_nk: Floats) -> Floats:
        """W' @ u."""
        if self.dtype == np.float64:
            return np.asarray((np.ascontiguousarray(u_nk.T) @ self._w_nd).T)
        out_dk = np.zeros((self.shape[1], *np.shape(u_nk)[1:]))
        for start, stop, block_bd in self._blocks():
            out_dk += block_bd.T @ u_nk[start:stop]
        return out_dk

    def rounded(self) -> npt.NDArray[np.float32] | None:
        """W in float32, for products that need not be exact; None where it is too large or float32 does not reach."""
        if self._w_nd.size > ROUNDED_ENTRIES:
            return None
        w_nd = self._w_nd.astype(np.float32, copy=False)
        largest = max(float(w_nd.max()), -float(w_nd.min()))
        return w_nd if 1e-9 < largest < 1e9 else None

    def row_sums(self, weight_d: Floats | None = None, power: int = 2) -> Floats:
        """sum_k weight_k * W_ik ** power of each row; power is 1 or 2."""
        weight_d = np.ones(self.shape[1]) if weight_d is None else np.asarray(weight_d, dtype=np.float64)
        if power == 1:
            return self.dot(weight_d)
        out_n = np.empty((self.shape[0], *weight_d.shape[1:]))
        for start, stop, block_bd in self._blocks():
            out_n[start:stop] = np.square(block_bd) @ weight_d
        return out_n

    def rows(self, start: int, stop: int) -> Floats:
        """W of consecutive rows, in float64."""
        return self._w_nd[start:stop].astype(np.float64)

    def observed_rows(self, start: int, stop: int) -> npt.NDArray[np.bool_]:
        """M of consecutive rows."""
        if self._observed_nd is None:
            return np.ones((len(range(self.shape[0])[start:stop]), self.shape[1]), dtype=bool)
        return self._observed_nd[start:stop].copy()

    def take(self, rows: Any) -> DenseValues:
        """The values of some rows, with the same columns and means."""
        observed_nd = None if self._observed_nd is None else self._observed_nd[rows]
        return DenseValues(self._w_nd[rows], observed_nd, self.mean_d, self.columns_d, self.n_features_in)

    def observed_mean(self) -> Floats:
        """Mean of the observed entries of each column, on the scale of the matrix given."""
        sums_d = self._w_nd.sum(axis=0, dtype=np.float64)
        return np.asarray(self.mean_d + sums_d / np.maximum(self.column_counts_d, 1))

    def with_mean(self, mean_d: Floats, *, copy: bool = True) -> DenseValues:
        """The same entries less other column means."""
        w_nd = self._w_nd.copy() if copy else self._w_nd
        change_d = np.asarray(mean_d, dtype=np.float64) - self.mean_d
        for start, stop in row_blocks(self.shape):
            where = True if self._observed_nd is None else self._observed_nd[start:stop]
            np.subtract(w_nd[start:stop], change_d, out=w_nd[start:stop], where=where, casting="same_kind")
        return DenseValues(w_nd, self._observed_nd, np.array(mean_d, float), self.columns_d, self.n_features_in)

    def keep_columns(self, columns: npt.NDArray[np.int64]) -> DenseValues:
        """The values of some of the columns that there are."""
        observed_nd = None if self._observed_nd is None else self._observed_nd[:, columns]
        return DenseValues(
            self._w_nd[:, columns], observed_nd, self.mean_d[columns], self.columns_d[columns], self.n_features_in
        )

    def _blocks(self) -> Iterator[tuple[int, int, Floats]]:
        """Blocks of W in float64; of float32 values one buffer that is filled again and again."""
        buffer: Floats | None = None
        for start, stop in row_blocks(self.shape):
            if self.dtype == np.float64:
                yield start, stop, self._w_nd[start:stop]
                continue
            buffer = np.empty((stop - start, self.shape[1])) if buffer is None else buffer
            block_bd = buffer[: stop - start]
            block_bd[:] = self._w_nd[start:stop]
            yield start, stop, block_bd


def dense_values(X: Any, mask: Any, dtype: npt.DTypeLike | None) -> DenseValues:
    """Values of a dense matrix, not yet centred, with every column."""
    x_nd = as_float_dense(X)
    if mask is None:
        observed_nd = ~np.isnan(x_nd)
    elif isinstance(mask, BlockMask):
        observed_nd = block_observed(mask, x_nd)
    else:
        observed_nd = dense_observed(mask, x_nd.shape)
    with np.errstate(over="ignore"):  # what float32 cannot hold is infinite, and refused as that
        w_nd = x_nd.astype(float_dtype(dtype, x_nd.dtype), order="C", copy=True)
    refuse_not_finite(w_nd, observed_nd)
    complete = bool(observed_nd.all())
    if not complete:
        w_nd[~observed_nd] = 0
    d = w_nd.shape[1]
    # A mask that was given belongs to the caller, who may change it.
    observed_nd = None if complete else observed_nd.copy()
    return DenseValues(w_nd, observed_nd, np.zeros(d), np.arange(d), d)
