"""Inner products between samples, corrected for what was not observed."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from corpuscle.errors import OptionError
from corpuscle.reduce._input import checked_matrix
from corpuscle.reduce._operator import ESTIMATORS, SCALES, GramOperator
from corpuscle.reduce._propensity import Propensity, fit_propensity
from corpuscle.reduce._values import Values, hajek_mean, values_of

__all__ = ["UnbiasedGram"]

Array = npt.NDArray[np.float64]

CENTERS = ("observed", "hajek", None)
CAPS = ("clip", "authors")


class UnbiasedGram(BaseEstimator):
    """Gram matrix of samples whose entries are missing with probabilities that differ by sample and by feature.

    Zero-filled inner products shrink by what is missing in either sample, and squared norms by less. Each is divided by
    its expected shrinkage. That is right on average where an entry is missing or not independently of its value.
    The n x n matrix is applied, not held: memory is that of the values.

    Parameters
    ----------
    estimator : {"ratio", "ht", "pairwise"}, default="ratio"
        ``"ratio"``: the inner product of two samples is divided by the number of features that both are expected to have.
        It estimates the inner product over all features where those are draws of one law, and otherwise one that weights
        features by how often they are observed. ``"ht"`` (Horvitz-Thompson): values are divided by their probability,
        which is unbiased for any values if the probabilities are known, with a larger variance. ``"pairwise"``: divided by
        the number of features that both samples do have, which needs no probabilities; at most 5,000 samples.
    propensity : {"logit", "rank1", "rows", "columns", "constant"}, array of shape (n, d), or (a, b), default="logit"
        Probabilities that an entry is observed: fitted from the counts of observed entries by row and column, or given,
        as a matrix or as one number a row and one a column that are multiplied.
    center : {"observed", "hajek", None}, default="observed"
        What is subtracted from each feature first: the mean of its observed values; their mean with weights 1/P, which
        well-observed samples do not dominate; or nothing.
    double_center : bool, default=True
        Centre rows and columns of the corrected matrix, which the correction leaves off centre.
    p_min : float, default=0.01
        Probabilities below are raised to it, and counted.
    scale : {"total", "per_feature"}, default="total"
        Inner products summed, or averaged, over the features that were ever observed.
    rank_reciprocal : int, default=3
        Terms that stand for the reciprocal of the expected numbers of shared features under ``"logit"``. Three are exact to
        about 0.1 %; where probabilities are products of row and column, one is exact.
    cap : {"clip", "authors"}, default="clip"
        What becomes of ``"rank1"`` probabilities above 1: they are clipped one by one, or all are divided by the largest, as
        the code that was published with the method does. That inflates inner products and norms unequally wherever rows or
        columns are uneven; it is here for comparison.

    Attributes
    ----------
    operator_ : GramOperator
        The n x n matrix as a SciPy ``LinearOperator``, float64, with ``block`` and ``diagonal``.
    values_ : Values
        Observed, centred values, as a product of them with vectors; sparse where ``X`` is.
    propensity_ : Propensity or None
        Probabilities; None for ``"pairwise"``, unless the means needed them.
    mean_ : ndarray of float64, shape (d,)
        What was subtracted from each feature; NaN for one that was never observed.
    columns_ : ndarray of int64
        Features that were observed at least once.
    n_unobserved_columns_ : int
        Features that never were; they are left out.
    delta_ : ndarray of float64, shape (n,)
        What is added to the diagonal that the rest of the matrix would give; not above 0.
    n_clipped_ : int
        Probabilities that were raised to ``p_min`` or lowered to 1.
    observed_share_ : float
        Share of entries observed, of the features that ever were.
    n_features_in_ : int
        Features of ``X``.
    feature_names_in_ : ndarray of str
        Their names, where ``X`` has names.

    Notes
    -----
    The ratio estimator is that of Ling, Liu and Xue, Dimension Reduction for Data with Heterogeneous Missingness, UAI 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from corpuscle.reduce import UnbiasedGram
    >>> x = np.random.default_rng(0).normal(size=(40, 300))
    >>> x[np.random.default_rng(1).random(x.shape) < 0.3] = np.nan
    >>> UnbiasedGram().fit(x).gram().shape
    (40, 40)
    """

    def __init__(
        self,
        estimator: str = "ratio",
        propensity: Any = "logit",
        center: str | None = "observed",
        double_center: bool = True,
        p_min: float = 0.01,
        scale: str = "total",
        rank_reciprocal: int = 3,
        cap: str = "clip",
    ) -> None:
        self.estimator = estimator
        self.propensity = propensity
        self.center = center
        self.double_center = double_center
        self.p_min = p_min
        self.scale = scale
        self.rank_reciprocal = rank_reciprocal
        self.cap = cap

    def fit(self, X: Any, y: Any = None, mask: Any = None) -> Self:
        """Fit probabilities and means, and set up the matrix.

        Parameters
        ----------
        X : array or sparse matrix, shape (n, d)
            Values; NaN where missing. A zero of a sparse matrix is a value, unless the mask says that it is missing.
        y
            Not used.
        mask : array or sparse matrix of 0 and 1, shape (n, d), Missing, or BlockMask, optional
            1 where an entry is observed; :class:`Missing` wraps the opposite. A sparse ``X`` needs one.

        Raises
        ------
        InputError
            A MethodError and a ValueError: fewer than 3 samples, a sample without observed entries, infinity, NaN that the
            mask calls observed, a mask of another shape or with values other than 0 and 1, no mask for a sparse ``X``.
        OptionError
            A parameter is not one that exists or makes sense.
        MethodError
            The estimator has nothing to divide by, or needs more memory than it may take.
        """
        self._check_options()
        x_nd = checked_matrix(self, X, reset=True)
        values = values_of(x_nd, mask, center="observed" if self.center == "observed" else None)
        wanted = self.estimator != "pairwise" or self.center == "hajek"
        propensity = self._fit_propensity(values) if wanted else None
        if self.center == "hajek" and propensity is not None:
            values = values.with_mean(hajek_mean(values, propensity), copy=False)
        self.operator_ = GramOperator(
            values,
            propensity,
            estimator=self.estimator,
            rank_reciprocal=self.rank_reciprocal,
            double_center=self.double_center,
            scale=self.scale,
        )
        self.values_, self.propensity_ = values, propensity
        self.columns_ = values.columns_d
        self.n_unobserved_columns_ = self.n_features_in_ - len(values.columns_d)
        self.mean_ = np.full(self.n_features_in_, np.nan)
        self.mean_[values.columns_d] = values.mean_d
        self.delta_ = self.operator_.delta_n
        self.n_clipped_ = 0 if propensity is None else propensity.n_clipped
        self.observed_share_ = float(np.mean(values.row_counts_n) / values.shape[1])
        return self

    def gram(self, rows: Any = None, cols: Any = None) -> Array:
        """Entries of the matrix as a dense array.

        Parameters
        ----------
        rows, cols
            Positions of samples: a slice, integers or (n,) booleans; all if not given.

        Raises
        ------
        MethodError
            More entries than 5,000 x 5,000 are asked for.
        OptionError
            A position is outside the samples.
        """
        check_is_fitted(self, "operator_")
        return self.operator_.block(rows, cols)

    def distances(self, rows: Any = None, cols: Any = None) -> Array:
        """Squared distances ``G_ii + G_jj - 2 G_ij``, negative estimates set to 0.

        :func:`~corpuscle.reduce.corrected_distances` also says how many were negative.

        Parameters
        ----------
        rows, cols
            As for :meth:`gram`.

        Raises
        ------
        OptionError
            More pairs than 5,000 x 5,000 are asked for, or a position is outside the samples.
        """
        from corpuscle.reduce.distances import corrected_distances

        check_is_fitted(self, "operator_")
        squared_rc: Array = corrected_distances(self, rows, cols).squared_rc
        return squared_rc

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = True
        return tags

    def _check_options(self) -> None:
        for name, allowed in (("estimator", ESTIMATORS), ("scale", SCALES), ("center", CENTERS), ("cap", CAPS)):
            if getattr(self, name) not in allowed:
                raise OptionError(f"{name}={getattr(self, name)!r}: choose one of {', '.join(map(str, allowed))}")
        if not 0 < self.p_min < 1:
            raise OptionError(f"p_min={self.p_min!r}: give a probability above 0 and below 1")
        if self.rank_reciprocal < 1:
            raise OptionError(f"rank_reciprocal={self.rank_reciprocal!r}: give 1 or more terms")
        if self.cap == "authors" and not (isinstance(self.propensity, str) and self.propensity == "rank1"):
            raise OptionError(
                'cap="authors" is about probabilities above 1 of propensity="rank1"; choose both, or neither'
            )

    def _fit_propensity(self, values: Values) -> Propensity:
        if self.cap == "authors":
            return fit_propensity(_authors_factors(values), values, p_min=0.0)
        return fit_propensity(self.propensity, values, p_min=self.p_min)


def _authors_factors(values: Values) -> tuple[Array, Array]:
    """Rank-one probabilities whose common divisor is raised until none is above 1."""
    n, d = values.shape
    row_n, column_d = values.row_counts_n / d, values.column_counts_d / n
    divisor = max(float(row_n.mean()), float(row_n.max() * column_d.max()))
    return row_n, column_d / divisor
