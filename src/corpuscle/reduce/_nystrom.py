"""Components of new rows, from their corrected inner products with the rows that were fitted.

With a Gram matrix of eigenpairs (lambda_k, v_k), a row whose centred inner products with the fitted rows are g has the
coordinates ``v_k' g / sqrt(lambda_k)`` (Nystrom). For the estimators that are products of rescaled rows, ``v_k' W`` is a
d x k array, so new rows are multiplied by that and the fitted rows are not needed.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from corpuscle.errors import MethodError
from corpuscle.reduce._gram_forms import ElementwiseForm, InverseForm, RatioForm, row_blocks
from corpuscle.reduce._operator import GramOperator
from corpuscle.reduce._propensity import GivenPropensity, Propensity
from corpuscle.reduce._values import Values
from corpuscle.reduce.gram import UnbiasedGram

__all__ = ["Nystrom"]

Array = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
#: Different fitted rows, evenly chosen, by which the terms of new rows are found.
TERM_ROWS = 512


class Sums(Protocol):
    """Inner products of new rows with the fitted ones, summed over these with the weights of each eigenvector."""

    def __call__(self, values: Values) -> Array:
        """(m, k), in the units of the operator before its factor."""


class Nystrom:
    """Coordinates of new rows on fitted components.

    Parameters
    ----------
    gram
        Fitted estimator.
    operator
        The matrix that the eigenpairs are of.
    value_k, vector_nk
        Eigenvalues, positive, and eigenvectors.
    """

    def __init__(self, gram: UnbiasedGram, operator: GramOperator, value_k: Array, vector_nk: Array) -> None:
        self._factor = operator.factor
        self._root_k = np.sqrt(value_k)
        # Centring the inner products of a new row as those of the fitted rows are: eigenvectors of the centred matrix sum to
        # zero, so that of the centring only the means over the fitted rows are left.
        self._offset_k = vector_nk.T @ operator.mean_n if operator.double_center else np.zeros(value_k.size)
        self._gram, self._operator, self._vector_nk = gram, operator, vector_nk

    @cached_property
    def _sums(self) -> Sums:
        # A pass over the fitted rows, which only new rows need.
        return _sums_of(self._gram, self._operator, self._vector_nk)

    def coordinates(self, values: Values) -> Array:
        """Coordinates of rows that have the columns and means of the fitted ones, shape (m, k).

        Raises
        ------
        MethodError
            The probabilities were given entry by entry, which says nothing about new rows; or a new row shares no feature
            with a fitted one (``"pairwise"``).
        """
        return (self._factor * self._sums(values) - self._offset_k) / self._root_k


def _sums_of(gram: UnbiasedGram, operator: GramOperator, vector_nk: Array) -> Sums:
    form: Any = operator.form
    propensity: Any = gram.propensity_
    if gram.estimator == "pairwise":
        return _PairwiseSums(gram.values_, vector_nk)
    if isinstance(propensity, GivenPropensity):
        return _NoSums(propensity)
    if isinstance(form, RatioForm):
        return _RatioSums(gram.values_, propensity, form, vector_nk)
    return _InverseSums(gram.values_, propensity, form, vector_nk)


class _NoSums:
    """Probabilities that were given entry by entry have no new rows, and say so when asked."""

    def __init__(self, propensity: GivenPropensity) -> None:
        self._propensity = propensity

    def __call__(self, values: Values) -> Array:
        return self._propensity.with_rows(values.row_counts_n)


class _RatioSums:
    """sum_r s_r q_ir w_i' (W' (q_r o v_k)), with the terms q_i of a new row's own number of observed entries.

    The exact reciprocals of a new row with the different fitted rows are written in the fitted terms by least squares: where
    the new row is like a fitted one these are that one's terms, and where it is not, the closest there are.
    """

    def __init__(self, fitted: Values, propensity: Propensity, form: RatioForm, vector_nk: Array) -> None:
        self._propensity, self._k, self._r = propensity, vector_nk.shape[1], form.width
        self._loading_dz = fitted.tdot(_products(vector_nk, form.factor_nr))
        _, first_u = np.unique(np.asarray(propensity.alpha_n), return_index=True)
        self._first_u = first_u[np.unique(np.linspace(0, first_u.size - 1, TERM_ROWS).astype(np.intp))]
        # Reciprocals with well-observed rows are small; weighted by the rows' lengths, all errors are relative ones.
        self._length_u = np.sqrt(propensity.row_sq_n()[self._first_u])
        self._term_ur = form.factor_nr[self._first_u] * self._length_u[:, None]

    def __call__(self, values: Values) -> Array:
        inner_mrk = values.dot(self._loading_dz).reshape(-1, self._r, self._k)
        sums_mk: Array = np.einsum("mrk,mr->mk", inner_mrk, self._terms(values.row_counts_n))
        return sums_mk

    def _terms(self, row_counts_m: Counts) -> Array:
        """Terms of new rows, (m, r), times their weights."""
        count_c, where_m = np.unique(row_counts_m, return_inverse=True)
        sums_cu = self._propensity.pair_sums(cols=self._first_u, other=self._propensity.with_rows(count_c))
        term_rc: Any = np.linalg.lstsq(self._term_ur, (self._length_u / sums_cu).T)[0]
        terms_mr: Array = term_rc.T[where_m]
        return terms_mr


class _InverseSums:
    """(w_i / p_i)' (W / P)' v_k."""

    def __init__(
        self, fitted: Values, propensity: Propensity, form: InverseForm | ElementwiseForm, vector_nk: Array
    ) -> None:
        self._propensity = propensity
        if isinstance(form, InverseForm):
            inner_dz = fitted.tdot(_products(vector_nk, form.row_nt))
            inner_dtk = inner_dz.reshape(-1, form.width, vector_nk.shape[1])
            self._loading_dk: Any = np.einsum("dtk,dt->dk", inner_dtk, form.column_dt)
        else:
            self._loading_dk = np.zeros((fitted.shape[1], vector_nk.shape[1]))
            for start, stop in row_blocks(*fitted.shape):
                z_bd = fitted.rows(start, stop) / propensity.p(slice(start, stop))
                self._loading_dk += z_bd.T @ vector_nk[start:stop]

    def __call__(self, values: Values) -> Array:
        new = self._propensity.with_rows(values.row_counts_n)
        sums_mk = np.empty((values.shape[0], self._loading_dk.shape[1]))
        for start, stop in row_blocks(*values.shape):
            sums_mk[start:stop] = (values.rows(start, stop) / new.p(slice(start, stop))) @ self._loading_dk
        return sums_mk


class _PairwiseSums:
    """Inner products over the features that both rows have, divided by their number; this needs the fitted rows."""

    def __init__(self, fitted: Values, vector_nk: Array) -> None:
        self._fitted, self._vector_nk = fitted, vector_nk

    def __call__(self, values: Values) -> Array:
        sums_mk = np.empty((values.shape[0], self._vector_nk.shape[1]))
        for start, stop in row_blocks(values.shape[0], max(self._fitted.shape)):
            inner_bn = self._fitted.dot(values.rows(start, stop).T).T
            common_bn = self._common(values.observed_rows(start, stop))
            if common_bn.min() == 0:
                row = start + int(np.argmin(common_bn.min(axis=1)))
                raise MethodError(
                    f"row {row} shares no observed feature with some fitted row: the pairwise estimator has nothing to "
                    "divide by; leave it out, or fit with estimator='ratio'"
                )
            sums_mk[start:stop] = (inner_bn / common_bn) @ self._vector_nk
        return sums_mk

    def _common(self, observed_bd: npt.NDArray[np.bool_]) -> Array:
        """Features observed in each of some rows and in each fitted one, (b, n)."""
        some_bd = observed_bd.astype(np.float32)
        common_bn = np.empty((len(some_bd), self._fitted.shape[0]))
        for start, stop in row_blocks(*self._fitted.shape):
            common_bn[:, start:stop] = some_bd @ self._fitted.observed_rows(start, stop).astype(np.float32).T
        return common_bn


def _products(vector_nk: Array, factor_nr: Array) -> Array:
    """Every vector times every factor, (n, r k), the vectors of one factor side by side."""
    products_nrk: Any = vector_nk[:, None, :] * factor_nr[:, :, None]
    products_nz: Array = products_nrk.reshape(len(vector_nk), -1)
    return products_nz
