"""The observed, centred matrix that every inner product is taken of, whatever the form it is held in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol, get_args

import numpy as np
import numpy.typing as npt
from scipy import sparse

from corpuscle.errors import OptionError
from corpuscle.reduce._block_mask import BlockMask
from corpuscle.reduce._values_block import BlockValues, block_values
from corpuscle.reduce._values_checks import FEWEST_ROWS, InputError, check_counts, check_shape
from corpuscle.reduce._values_dense import DenseValues, dense_values, row_blocks
from corpuscle.reduce._values_masks import Missing
from corpuscle.reduce._values_sparse import SparseValues, sparse_values

__all__ = [
    "BlockValues",
    "DenseValues",
    "InputError",
    "Missing",
    "SparseValues",
    "Values",
    "hajek_mean",
    "new_values",
    "values_of",
]

Floats = npt.NDArray[np.float64]
Center = Literal["observed", "hajek"]


class Values(Protocol):
    """W = M o (X - 1 mu'), n samples x d columns, zero where an entry is missing.

    Columns that were never observed are left out: ``columns_d`` are those of the matrix given that are kept, of
    ``n_features_in``. ``row_counts_n`` and ``column_counts_d`` are the observed entries, ``complete`` says that
    nothing is missing in the columns kept. Products are in float64.
    """

    shape: tuple[int, int]
    columns_d: npt.NDArray[np.int64]
    n_features_in: int
    row_counts_n: npt.NDArray[np.int64]
    column_counts_d: npt.NDArray[np.int64]
    mean_d: Floats
    complete: bool

    def dot(self, v_dk: Floats) -> Floats:
        """W @ v, for one vector (d,) or k of them (d, k)."""

    def tdot(self, u_nk: Floats) -> Floats:
        """W' @ u, for one vector (n,) or k of them (n, k)."""

    def row_sums(self, weight_d: Floats | None = None, power: int = 2) -> Floats:
        """sum_k weight_k * W_ik ** power of each row (power 1 or 2); weights of shape (d, t) give (n, t)."""

    def rows(self, start: int, stop: int) -> Floats:
        """W of consecutive rows, dense."""

    def observed_rows(self, start: int, stop: int) -> npt.NDArray[np.bool_]:
        """M of consecutive rows, dense."""

    def take(self, rows: Any) -> Values:
        """The values of some rows (an index array, a boolean array or a slice); columns and means stay."""

    def observed_mean(self) -> Floats:
        """Mean of the observed entries of each column."""

    def with_mean(self, mean_d: Floats, *, copy: bool = True) -> Values:
        """The same entries centred at other means; without a copy, these values may not be used any more."""

    def keep_columns(self, columns: npt.NDArray[np.int64]) -> Values:
        """Only these of the columns that are kept."""


class HasProbabilities(Protocol):
    """What centring reads of a propensity."""

    def p(self, rows: Any) -> Floats:
        """Probabilities of being observed, shape (rows, d)."""


def values_of(
    X: Any,
    mask: Any = None,
    *,
    center: Center | None = "observed",
    propensity: HasProbabilities | Callable[[Values], HasProbabilities] | None = None,
    dtype: npt.DTypeLike | None = None,
) -> Values:
    """Check a matrix with missing entries, and centre its observed ones.

    Parameters
    ----------
    X : array or sparse matrix, shape (n, d)
        Dense with NaN where missing, or dense or sparse with ``mask``. What the mask calls missing may hold anything.
    mask : array or sparse matrix of 0 and 1, Missing or BlockMask, optional
        1 where an entry is observed; :class:`Missing` turns it round. A sparse ``X`` needs one.
    center : {"observed", "hajek"} or None
        mu_k: the mean of the observed entries; the same with each weighted by 1/P_ik (Hajek), which does not lean
        towards samples of which much was observed; 0.
    propensity : object with p(rows), or function of the values that gives one
        P, for the Hajek mean; a function is given the values before they are centred.
    dtype : {"float64", "float32"}, optional
        Type to hold; float32 for a float32 ``X`` and else float64 when left out.

    Returns
    -------
    Values
        Dense for a dense ``X``, sparse for a sparse one.

    Raises
    ------
    InputError
        Fewer than 3 rows; infinite values, or NaN where the mask says observed; a mask of another shape or with
        values other than 0 and 1; rows without an observed entry; no column with one; sparse ``X`` and no mask.
    OptionError
        ``center`` is none of the three, or "hajek" without a propensity.
    """
    if center is not None and center not in get_args(Center):
        raise OptionError(f"center {center!r}: use 'observed', 'hajek' or None")
    if center == "hajek" and propensity is None:
        raise OptionError("center 'hajek' weighs entries by 1/P; give the propensity")
    values = _uncentred(X, mask, dtype, FEWEST_ROWS)
    kept = np.flatnonzero(values.column_counts_d)
    if 0 < len(kept) < values.shape[1]:
        values = values.keep_columns(kept)
    check_counts(values.row_counts_n, values.column_counts_d)
    if center is None:
        return values
    if center == "observed" or propensity is None:
        return values.with_mean(values.observed_mean(), copy=False)
    fitted = propensity if hasattr(propensity, "p") else propensity(values)
    return values.with_mean(hajek_mean(values, fitted), copy=False)


def new_values(X: Any, mask: Any = None, *, like: Values, dtype: npt.DTypeLike | None = None) -> Values:
    """Check new rows, and give them the columns and means of ``like``.

    Raises
    ------
    InputError
        As :func:`values_of`, but that one row is enough; another number of columns.
    """
    check_shape(np.shape(X), 1)
    if np.shape(X)[1] != like.n_features_in:
        raise InputError(
            f"X has {np.shape(X)[1]} features, but {like.n_features_in} were fitted; give the same columns"
        )
    values = _uncentred(X, mask, dtype, 1)
    if len(like.columns_d) < like.n_features_in:
        values = values.keep_columns(like.columns_d)
    check_counts(values.row_counts_n, values.column_counts_d)
    return values.with_mean(like.mean_d, copy=False)


def hajek_mean(values: Values, propensity: HasProbabilities) -> Floats:
    """sum_i M_ik X_ik / P_ik over sum_i M_ik / P_ik of each column, some rows at a time.

    Parameters
    ----------
    values
        At any centring; the mean is on the scale of the matrix given.
    propensity
        Probabilities of the same rows and columns.
    """
    if values.complete:
        return values.observed_mean()
    sums_d, weights_d = np.zeros(values.shape[1]), np.zeros(values.shape[1])
    for start, stop in row_blocks(values.shape):
        weight_bd = values.observed_rows(start, stop) / propensity.p(slice(start, stop))
        weights_d += weight_bd.sum(axis=0)
        sums_d += np.einsum("bd,bd->d", weight_bd, values.rows(start, stop))
    return np.asarray(values.mean_d + sums_d / weights_d)


def _uncentred(X: Any, mask: Any, dtype: npt.DTypeLike | None, fewest_rows: int) -> Values:
    check_shape(np.shape(X), fewest_rows)
    if not sparse.issparse(X):
        return dense_values(X, mask, dtype)
    if isinstance(mask, BlockMask):
        return block_values(X, mask, dtype)
    return sparse_values(X, mask, dtype)
