"""Principal components of samples with missing entries, from their corrected Gram matrix."""

from __future__ import annotations

import numbers
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin, clone
from sklearn.utils.validation import check_is_fitted

from corpuscle.errors import MethodError, OptionError
from corpuscle.reduce._components import n_components_of
from corpuscle.reduce._eigen import SOLVERS, leading
from corpuscle.reduce._hetero import refilled
from corpuscle.reduce._input import checked_matrix, integer_seed
from corpuscle.reduce._nystrom import Nystrom
from corpuscle.reduce._operator import GramOperator
from corpuscle.reduce._values import new_values
from corpuscle.reduce.gram import UnbiasedGram

__all__ = ["UnbiasedPCA"]

Array = npt.NDArray[np.float64]

#: Parameters that are those of the Gram matrix.
OF_GRAM = ("estimator", "propensity", "center", "double_center", "p_min", "scale", "rank_reciprocal")
DIAGONALS = ("estimated", "hetero")
#: Up to so many samples all eigenvalues are found; above, only the leading ones.
ALL_EIGENVALUES = 1_000
#: Most samples whose eigenvalues are all found because a share of them, or all, is asked for.
MOST_FOR_ALL = 5_000
#: Leading eigenvalues that the scree test sees where not all are found.
SCREE = 100
#: An eigenvalue below this share of the largest is zero with rounding.
ROUNDING = 1e-10


class UnbiasedPCA(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Principal components of samples whose entries are missing with uneven probabilities; nothing is imputed.

    Coordinates are leading eigenvectors of :class:`UnbiasedGram`'s matrix, scaled by the square roots of their eigenvalues.
    Where nothing is missing they are the scores of ordinary principal component analysis. The corrected matrix can have
    negative eigenvalues; their components are left out.

    Parameters
    ----------
    n_components : int, "cng", "all" or float, default=50
        How many; ``"cng"``: those before the largest bend of the eigenvalues (the scree test of Cattell, Nelson and Gorsuch,
        as nFactors defines it); ``"all"``: all with a positive eigenvalue; a share in (0, 1): as many as make up that share
        of the sum of positive eigenvalues. ``"all"`` and a share need at most 5,000 samples.
    estimator, propensity, center, double_center, p_min, scale, rank_reciprocal
        As for :class:`UnbiasedGram`.
    solver : {"auto", "randomized", "arpack", "dense"}, default="auto"
        Eigen-solver: block Krylov iteration, SciPy's Lanczos, or LAPACK on the n x n matrix, which ``"auto"`` takes up to
        1,000 samples.
    diagonal : {"estimated", "hetero"}, default="estimated"
        The corrected squared norms as they are, or replaced, in up to 30 decompositions, by those of the approximation by
        the components kept, which takes out noise that differs between samples.
    random_state : int, RandomState or None, default=None
        Seed of the solver's random start; None is 0, so that the same input always gives the same numbers.
    gram : UnbiasedGram, optional
        Its parameters are used instead of those above.

    Attributes
    ----------
    embedding_ : ndarray of float64, shape (n, k)
        Coordinates of the samples fitted.
    eigenvalues_ : ndarray of float64, shape (k,)
        Of the components kept, descending, all positive; squared units of the values.
    eigenvectors_ : ndarray of float64, shape (n, k)
        Orthonormal; the entry of largest magnitude of each is positive.
    n_components_ : int
        Components kept: fewer than asked for, with a warning, where fewer eigenvalues are positive.
    n_negative_ : int or None
        Negative eigenvalues of the matrix; None above 1,000 samples, where not all are found (unless all were needed).
    explained_ : ndarray of float64, shape (k,)
        Eigenvalues over the sum of all positive ones; NaN where not all are found.
    explained_variance_ratio_ : ndarray of float64, shape (k,)
        Eigenvalues over the trace, which estimates the total sum of squares. As the trace has the negative ones too, the
        shares can add up to more than 1.
    gram_ : UnbiasedGram
        The fitted matrix.
    operator_, propensity_, mean_, columns_, n_unobserved_columns_, delta_, n_clipped_
        Those of ``gram_``. With ``diagonal="hetero"`` the operator still has the estimated diagonal.
    solver_ : dict
        What the eigen-solver says of its work.
    n_rounds_ : int
        How often the diagonal was replaced; 0 for ``"estimated"``.
    n_features_in_, feature_names_in_
        Number of features of ``X``, and their names, where it has names.

    See Also
    --------
    UnbiasedGram : the matrix, with its distances.

    Notes
    -----
    The ratio estimator is that of Ling, Liu and Xue, Dimension Reduction for Data with Heterogeneous Missingness, UAI 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from corpuscle.reduce import UnbiasedPCA
    >>> x = np.random.default_rng(0).normal(size=(60, 3)) @ np.random.default_rng(1).normal(size=(3, 400))
    >>> x[np.random.default_rng(2).random(x.shape) < 0.3] = np.nan
    >>> UnbiasedPCA(n_components=3).fit_transform(x).shape
    (60, 3)
    """

    def __init__(
        self,
        n_components: int | float | str = 50,
        estimator: str = "ratio",
        propensity: Any = "logit",
        center: str | None = "observed",
        double_center: bool = True,
        p_min: float = 0.01,
        scale: str = "total",
        rank_reciprocal: int = 3,
        solver: str = "auto",
        diagonal: str = "estimated",
        random_state: Any = None,
        gram: UnbiasedGram | None = None,
    ) -> None:
        self.n_components = n_components
        self.estimator = estimator
        self.propensity = propensity
        self.center = center
        self.double_center = double_center
        self.p_min = p_min
        self.scale = scale
        self.rank_reciprocal = rank_reciprocal
        self.solver = solver
        self.diagonal = diagonal
        self.random_state = random_state
        self.gram = gram

    def fit(self, X: Any, y: Any = None, mask: Any = None) -> Self:
        """Find the components.

        Parameters
        ----------
        X, y, mask
            As for :meth:`UnbiasedGram.fit`.

        Raises
        ------
        InputError
            As :meth:`UnbiasedGram.fit`; a MethodError and a ValueError.
        OptionError
            A parameter is not one that exists or makes sense, or the rule for components needs too many samples.
        MethodError
            No eigenvalue is positive: all samples are alike.

        Warns
        -----
        RuntimeWarning
            Fewer eigenvalues are positive than components were asked for, or the solver did not get to its tolerance.
        """
        self._check_options()
        self.gram_ = self._gram().fit(X, mask=mask)
        for name in ("operator_", "propensity_", "mean_", "columns_", "n_unobserved_columns_", "delta_", "n_clipped_"):
            setattr(self, name, getattr(self.gram_, name))
        self.n_features_in_ = self.gram_.n_features_in_
        if hasattr(self.gram_, "feature_names_in_"):
            self.feature_names_in_ = self.gram_.feature_names_in_
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        self._decompose(self.gram_.operator_)
        return self

    def fit_transform(self, X: Any, y: Any = None, mask: Any = None) -> Array:
        """Find the components, and give the coordinates of the samples, shape (n, k)."""
        coordinates_nk: Array = self.fit(X, y, mask=mask).embedding_
        return coordinates_nk

    def transform(self, X: Any, mask: Any = None) -> Array:
        """Coordinates of new samples on the components (Nystrom), shape (m, k).

        A new sample's probabilities follow from its own number of observed entries and the features' fitted ones. The
        samples that were fitted come out as by :meth:`fit_transform`, but that their inner product with themselves counts as
        one with another sample: coordinates of component k differ by about ``delta_ / eigenvalues_[k]`` of themselves,
        and not at all where nothing was missing.

        Parameters
        ----------
        X
            Samples x features, with the features of ``fit``.
        mask
            As for :meth:`fit`.

        Raises
        ------
        InputError
            Other features, or as :meth:`fit`.
        MethodError
            New samples have no probabilities: these were given entry by entry.
        """
        check_is_fitted(self, "embedding_")
        x_md = checked_matrix(self, X, reset=False)
        return self._nystrom.coordinates(new_values(x_md, mask, like=self.gram_.values_))

    def distances(self, rows: Any = None, cols: Any = None) -> Array:
        """Corrected squared distances, as :meth:`UnbiasedGram.distances`: of all components, not of those kept."""
        check_is_fitted(self, "gram_")
        return self.gram_.distances(rows, cols)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = True
        return tags

    @property
    def _n_features_out(self) -> int:
        return self.n_components_

    def _check_options(self) -> None:
        for name, allowed in (("solver", SOLVERS), ("diagonal", DIAGONALS)):
            if getattr(self, name) not in allowed:
                raise OptionError(f"{name}={getattr(self, name)!r}: choose one of {', '.join(allowed)}")
        rule: Any = self.n_components
        share = isinstance(rule, numbers.Real) and 0 < float(rule) < 1
        if not (share or _is_count(rule) or rule in ("cng", "all")):
            raise OptionError(
                f"n_components={rule!r}: give a whole number from 1, a share between 0 and 1, 'cng' or 'all'"
            )

    def _gram(self) -> UnbiasedGram:
        if self.gram is None:
            return UnbiasedGram(**{name: getattr(self, name) for name in OF_GRAM})
        if not isinstance(self.gram, UnbiasedGram):
            raise OptionError(f"gram={self.gram!r}: give an UnbiasedGram, or leave it out")
        made: UnbiasedGram = clone(self.gram)
        return made

    def _decompose(self, operator: GramOperator) -> None:
        every = self._needs_all(operator.shape[0])
        value_m, vector_nm, self.solver_ = self._solve(operator, every)
        # Zero with rounding is zero: its component would be noise of rounding.
        value_m = np.where(np.abs(value_m) > ROUNDING * np.abs(value_m).max(), value_m, 0.0)
        if not (value_m > 0).any():
            raise MethodError(
                "no eigenvalue of the Gram matrix is positive, so it has no components; are all samples alike?"
            )
        k = n_components_of(self.n_components, value_m)
        self.n_negative_ = int((value_m < 0).sum()) if every else None
        value_k, vector_nk, self.n_rounds_ = value_m[:k], vector_nm[:, :k], 0
        if self.diagonal == "hetero":
            operator, self.n_rounds_ = refilled(operator, lambda current: self._leading(current, k)[:2])
            value_k, vector_nk, self.solver_ = self._leading(operator, k)
            k = int((value_k > ROUNDING * np.abs(value_k).max()).sum())
            value_k, vector_nk = value_k[:k], vector_nk[:, :k]
        self.eigenvalues_, self.eigenvectors_, self.n_components_ = value_k, vector_nk, k
        self.explained_ = value_k / value_m[value_m > 0].sum() if every else np.full(k, np.nan)
        self.explained_variance_ratio_ = value_k / float(operator.diagonal().sum())
        self.embedding_ = vector_nk * np.sqrt(value_k)
        self._nystrom = Nystrom(self.gram_, operator, value_k, vector_nk)

    def _needs_all(self, n: int) -> bool:
        """Whether all eigenvalues are found, and not only the leading ones."""
        if not (self.n_components == "cng" or _is_count(self.n_components)):
            if n > MOST_FOR_ALL:
                raise OptionError(
                    f"n_components={self.n_components!r} needs all eigenvalues of {n:,} samples, and that is done for at most "
                    f"{MOST_FOR_ALL:,}; give a number, or 'cng'"
                )
            return True
        return n <= ALL_EIGENVALUES and self.solver in ("auto", "dense")

    def _solve(self, operator: GramOperator, every: bool) -> tuple[Array, Array, dict[str, Any]]:
        n = operator.shape[0]
        if every:
            return leading(operator, n, solver="dense")
        return self._leading(operator, min(SCREE if isinstance(self.n_components, str) else self.n_components, n))

    def _leading(self, operator: GramOperator, k: int) -> tuple[Array, Array, dict[str, Any]]:
        return leading(operator, k, solver=self.solver, random_state=integer_seed(self.random_state))


def _is_count(rule: Any) -> bool:
    """Whether it is a whole number from 1; True is none."""
    return isinstance(rule, numbers.Integral) and rule is not True and int(rule) >= 1
