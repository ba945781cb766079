"""Matrices and seeds as scikit-learn's conventions take them, with the errors of this package."""

from __future__ import annotations

import numbers
from typing import Any

from corpuscle.reduce._values_checks import InputError

__all__ = ["checked_matrix", "integer_seed"]


def checked_matrix(estimator: Any, X: Any, *, reset: bool) -> Any:
    """``X`` as a float array or CSR; number and names of features are learnt, or compared with those learnt.

    NaN and infinity pass: what they mean depends on the mask, which is checked with the values.

    Parameters
    ----------
    estimator
        Gets ``n_features_in_`` and ``feature_names_in_``, or has them.
    X
        Samples x features: an array, a data frame or a sparse matrix.
    reset
        Learn (``fit``) or compare (``transform``).

    Raises
    ------
    InputError
        ``X`` is not a matrix of numbers, or not of the features that were fitted.
    """
    from sklearn.utils.validation import validate_data

    try:
        return validate_data(
            estimator, X, reset=reset, accept_sparse="csr", dtype=["float64", "float32"], ensure_all_finite=False
        )
    except ValueError as error:
        raise InputError(" ".join(str(error).split())) from None  # of several lines, one


def integer_seed(random_state: Any) -> int:
    """An integer seed from an integer, a NumPy ``RandomState``, or None, which is 0."""
    from sklearn.utils import check_random_state

    if random_state is None:
        return 0
    if isinstance(random_state, numbers.Integral):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))
