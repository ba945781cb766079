"""The corrected Gram matrix as a linear operator.

The zero-filled, centred inner products W W' shrink by what is missing in either row, their diagonal by less; each is
divided by what is expected to be left (Ling, Liu and Xue, UAI 2021). Everything here is that division as a few diagonal
scalings around W and one correction of the diagonal, so that a product with vectors costs passes over W only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy.sparse.linalg import LinearOperator

from corpuscle.errors import MethodError, OptionError
from corpuscle.reduce._gram_forms import (
    DenseForm,
    ElementwiseForm,
    Form,
    InverseForm,
    RatioForm,
    check_size,
    inner_products,
    row_blocks,
)
from corpuscle.reduce._gram_rounded import rounded_form

if TYPE_CHECKING:
    from corpuscle.reduce._propensity import Propensity
    from corpuscle.reduce._values import Values

__all__ = ["ESTIMATORS", "SCALES", "GramOperator", "pairwise_gram"]

Array = npt.NDArray[np.float64]
#: A slice, integers, booleans, or None for all.
Rows = Any

ESTIMATORS = ("ratio", "ht", "pairwise")
SCALES = ("total", "per_feature")
#: Numbers in the working memory of one product with many vectors.
_PRODUCT_NUMBERS = 32_000_000


class GramOperator(LinearOperator):
    """Corrected Gram matrix of n samples, n x n and symmetric, applied without being formed.

    It is ``form + diag(delta_n)``, with both sides centred if asked: the form is a sum of inner products of rescaled rows,
    and ``delta_n`` corrects its diagonal, which shrinks by another factor than the rest.

    Parameters
    ----------
    values
        The observed, centred matrix W, n x d.
    propensity
        Probabilities of being observed.
    estimator
        ``"ratio"``: inner products divided by the expected number of features that both rows have; ``"ht"``: products of
        inversely weighted values (Horvitz-Thompson); ``"pairwise"``: divided by the number that both have, held as n x n
        numbers and so for at most 5,000 rows.
    rank_reciprocal
        Terms by which the reciprocal of the expected numbers is written; one suffices where the probabilities are
        products of a number a row and a number a column.
    double_center
        Make the rows and columns sum to zero.
    scale
        ``"total"``: sums over the d features; ``"per_feature"``: means over them.

    Raises
    ------
    OptionError
        If there is no such estimator or scale.
    MethodError
        If the probabilities have no structure that the estimator can use and the rows are too many to hold all pairs, or
        two rows have no feature in common (``"pairwise"``).

    Notes
    -----
    The ratio is the estimator of Ling, Liu and Xue, Dimension reduction for data with heterogeneous missingness, UAI 2021.
    """

    def __init__(
        self,
        values: Values,
        propensity: Propensity | None = None,
        *,
        estimator: str = "ratio",
        rank_reciprocal: int = 3,
        double_center: bool = True,
        scale: str = "total",
    ) -> None:
        if estimator not in ESTIMATORS:
            raise OptionError(f"estimator {estimator!r}: choose one of {', '.join(ESTIMATORS)}")
        if scale not in SCALES:
            raise OptionError(f"scale {scale!r}: choose one of {', '.join(SCALES)}")
        d = values.shape[1]
        form: Form
        if estimator == "pairwise":
            form, diagonal_n = _pairwise(values)
        elif propensity is None:
            raise OptionError(f"estimator {estimator!r} needs the probabilities of being observed")
        elif estimator == "ratio":
            form, diagonal_n = _ratio(values, propensity, rank_reciprocal)
        else:
            form, diagonal_n = _horvitz_thompson(values, propensity)
        # Ratios are means over the features by themselves, Horvitz-Thompson sums are totals.
        factor = (d if scale == "total" else 1.0) if estimator != "ht" else (1.0 if scale == "total" else 1.0 / d)
        self._setup(form, diagonal_n, factor, double_center)
        self.estimator, self.scale = estimator, scale

    @classmethod
    def of_matrix(cls, gram_nn: Array, *, double_center: bool = False) -> GramOperator:
        """Operator of a Gram matrix that is already there, n x n and symmetric."""
        made = cls.__new__(cls)
        form = DenseForm(gram_nn)
        made._setup(form, form.diagonal(), 1.0, double_center)
        made.estimator, made.scale = "given", "given"
        return made

    def _setup(self, form: Form, diagonal_n: Array, factor: float, double_center: bool) -> None:
        LinearOperator.__init__(self, np.dtype(np.float64), (form.n, form.n))
        self.form, self.factor, self.double_center = form, float(factor), bool(double_center)
        self.delta_n: Array = factor * (diagonal_n - form.diagonal())
        self._mean_n: Array | None = None

    def with_delta(self, delta_n: Array) -> GramOperator:
        """The same operator with another correction of the diagonal; nothing is copied."""
        made = GramOperator.__new__(GramOperator)
        made.__dict__.update(self.__dict__)
        made.delta_n, made._mean_n = np.asarray(delta_n, dtype=np.float64), None
        return made

    def with_diagonal(self, diagonal_n: Array) -> GramOperator:
        """The same operator with another diagonal, that of before the centring and in the units of the operator."""
        return self.with_delta(np.asarray(diagonal_n, dtype=np.float64) - self.factor * self.form.diagonal())

    def rounded(self) -> GramOperator | None:
        """The same operator with products in float32, to about seven digits; None where there is no faster one."""
        form, made = rounded_form(self.form), self.with_delta(self.delta_n)
        made.form = self.form if form is None else form
        return None if form is None else made

    @property
    def shift(self) -> float:
        """What makes the operator positive semi-definite when added to its eigenvalues; zero if nothing has to be."""
        return max(0.0, -float(self.delta_n.min())) - self.factor * self.form.lowest()

    @property
    def mean_n(self) -> Array:
        """Row means of the matrix before the centring."""
        if self._mean_n is None:
            self._mean_n = self._plain(np.full((self.shape[0], 1), 1.0 / self.shape[0]))[:, 0]
        return self._mean_n

    def _plain(self, v_nk: Array) -> Array:
        return self.factor * self.form.product(v_nk) + self.delta_n[:, None] * v_nk

    def _matmat(self, v_nk: Any) -> Array:
        v_nk = np.asarray(v_nk, dtype=np.float64)
        n, k = v_nk.shape
        product_nk = np.empty((n, k))
        step = max(1, _PRODUCT_NUMBERS // (n * self.form.width))
        for start in range(0, k, step):
            part_nk = v_nk[:, start : start + step]
            if self.double_center:
                part_nk = part_nk - part_nk.mean(axis=0)
            part_nk = self._plain(part_nk)
            product_nk[:, start : start + step] = part_nk - part_nk.mean(axis=0) if self.double_center else part_nk
        return product_nk

    def _matvec(self, v_n: Any) -> Array:
        return self._matmat(np.reshape(v_n, (-1, 1)))[:, 0]

    def _adjoint(self) -> GramOperator:
        return self

    def _transpose(self) -> GramOperator:
        return self

    def diagonal(self, *, centered: bool | None = None) -> Array:
        """The diagonal, by default centred as the operator is."""
        diagonal_n = self.factor * self.form.diagonal() + self.delta_n
        if self.double_center if centered is None else centered:
            diagonal_n = diagonal_n - 2 * self.mean_n + self.mean_n.mean()
        return diagonal_n

    def block(self, rows: Rows = None, cols: Rows = None, *, centered: bool | None = None) -> Array:
        """Entries of the matrix for some rows and columns (all: None), b x c, by default centred as the operator is.

        Raises
        ------
        OptionError
            If a row or column is not one of the n.
        MethodError
            If the entries are more than 5,000 x 5,000.
        """
        row_b, col_c = _index(rows, self.shape[0], "row"), _index(cols, self.shape[0], "column")
        if row_b.size * col_c.size > 5_000**2:
            raise MethodError(
                f"block of {row_b.size:,} x {col_c.size:,} entries: ask for fewer rows or columns at once"
            )
        block_bc = self.factor * self.form.block(row_b, col_c)
        same_bc = row_b[:, None] == col_c[None, :]
        block_bc += np.where(same_bc, self.delta_n[row_b][:, None], 0.0)
        if self.double_center if centered is None else centered:
            block_bc -= self.mean_n[row_b][:, None] + self.mean_n[col_c][None, :] - self.mean_n.mean()
        return block_bc


def _ratio(values: Values, propensity: Propensity, rank: int) -> tuple[Form, Array]:
    reciprocal = propensity.gram_reciprocal(rank)
    diagonal_n = values.row_sums(np.ones(values.shape[1]), 2) / propensity.row_sum_n()
    form: Form
    if reciprocal is None:
        check_size(values.shape[0], "the ratio estimator with probabilities given one by one")
        form = DenseForm(_divided(values, propensity))
    else:
        form = RatioForm(values, *(np.asarray(part, dtype=np.float64) for part in reciprocal))
    # Probabilities of at most one lower the diagonal only; estimated ones may leave that range.
    return form, np.minimum(diagonal_n, form.diagonal())


def _divided(values: Values, propensity: Propensity) -> Array:
    """W W' / P P' for probabilities without structure."""
    n, d = values.shape
    every = np.arange(n)
    gram_nn = inner_products(values, every, every)
    blocks = row_blocks(n, d)
    for start, stop in blocks:
        p_bd = propensity.p(slice(start, stop))
        for first, last in blocks:
            gram_nn[start:stop, first:last] /= p_bd @ propensity.p(slice(first, last)).T
    return gram_nn


def _horvitz_thompson(values: Values, propensity: Propensity) -> tuple[Form, Array]:
    factors = propensity.inverse_factors()
    form = ElementwiseForm(values, propensity) if factors is None else InverseForm(values, list(factors))
    return form, form.weighted_square()


def pairwise_gram(values: Values, *, scale: str = "total") -> Array:
    """Inner products over the features that both rows have, divided by their number, as an n x n matrix.

    Raises
    ------
    MethodError
        If there are more than 5,000 rows, or two rows have no feature in common.
    """
    gram_nn = _pairwise(values)[0].block(np.arange(values.shape[0]), np.arange(values.shape[0]))
    return gram_nn * (values.shape[1] if scale == "total" else 1.0)


def _pairwise(values: Values) -> tuple[DenseForm, Array]:
    n, d = values.shape
    check_size(n, "the pairwise estimator")
    every = np.arange(n)
    gram_nn = inner_products(values, every, every)
    blocks = row_blocks(n, d)
    for start, stop in blocks:
        observed_bd = values.observed_rows(start, stop).astype(np.float32)
        for first, last in blocks:
            # Numbers of features are whole, so float32 is exact for them.
            common_bc = observed_bd @ values.observed_rows(first, last).astype(np.float32).T
            if common_bc.min() == 0:
                i, j = np.unravel_index(int(np.argmin(common_bc)), common_bc.shape)
                raise MethodError(
                    f"rows {start + i} and {first + j} have no feature in common: the pairwise estimator has nothing to "
                    "divide by; choose estimator='ratio'"
                )
            gram_nn[start:stop, first:last] /= common_bc
    form = DenseForm((gram_nn + gram_nn.T) / 2)
    return form, form.diagonal()


def _index(chosen: Any, n: int, what: str) -> npt.NDArray[np.intp]:
    if chosen is None:
        return np.arange(n)
    if isinstance(chosen, slice):
        return np.arange(n)[chosen]
    index = np.atleast_1d(np.asarray(chosen))
    if index.dtype == bool and index.shape == (n,):
        return np.flatnonzero(index)
    if index.ndim != 1 or not np.issubdtype(index.dtype, np.integer):
        raise OptionError(f"{what}s must be given by whole numbers, a slice or {n} booleans")
    if index.size and (index.min() < -n or index.max() >= n):
        raise OptionError(f"{what} {int(index.min() if index.min() < -n else index.max())}: there are {n} of them")
    return (index % n).astype(np.intp)
