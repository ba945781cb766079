"""Coordinates of samples whose inner products are a corrected Gram matrix."""

from __future__ import annotations

import warnings
from typing import Any, Literal

import numpy as np

from corpuscle.errors import MethodError, OptionError
from corpuscle.reduce.distances import SMALL_SAMPLES, gram_blocks

__all__ = ["LARGE_COMPONENTS", "coordinates", "dense_gram", "warn_of_fewer"]

Array = np.ndarray[Any, Any]

#: Coordinates that stand for all where there are too many samples for a full decomposition.
LARGE_COMPONENTS = 50
#: An eigenvalue below this share of the largest is 0 with rounding.
ROUNDING = 1e-10


def dense_gram(estimator: Any, what: str) -> Array:
    """The whole (n, n) Gram matrix, symmetric float64, of at most 5,000 samples.

    Parameters
    ----------
    estimator
        As :func:`~corpuscle.reduce.distances.gram_blocks` takes it.
    what
        Who needs it, for the error.

    Raises
    ------
    OptionError
        There are more samples.
    MethodError
        An inner product is NaN or infinite.
    """
    gram = gram_blocks(estimator)
    n = gram.shape[0]
    if n > SMALL_SAMPLES:
        raise OptionError(
            f"{what} needs all pairs of {n:,} samples; take at most {SMALL_SAMPLES:,} of them, or the method 'umap'"
        )
    gram_nn = np.asarray(gram.block(np.arange(n), np.arange(n)), dtype=np.float64)
    if not np.isfinite(gram_nn).all():
        raise MethodError(f"{what}: the Gram matrix has a NaN or infinite entry; drop samples that share no feature")
    return (gram_nn + gram_nn.T) / 2


def coordinates(estimator: Any, n_components: int | Literal["all"], *, random_state: int = 0) -> Array:
    """Eigenvectors scaled by the square roots of their eigenvalues, largest eigenvalue first.

    Parameters
    ----------
    estimator
        As :func:`~corpuscle.reduce.distances.gram_blocks` takes it. Coordinates that it was fitted with are taken from it
        where they are enough, and always where it replaced the diagonal (``diagonal="hetero"``).
    n_components
        How many, or ``"all"`` for all with a positive eigenvalue, of at most 5,000 samples.
    random_state
        Seed of the eigen-solver.

    Returns
    -------
    numpy.ndarray
        (n, k) float64; fewer than asked for where fewer eigenvalues are positive.

    Raises
    ------
    OptionError
        ``n_components`` is less than 1, or ``"all"`` of too many samples.
    MethodError
        No eigenvalue is positive.
    """
    if n_components != "all" and n_components < 1:
        raise OptionError(f"n_components={n_components}: ask for 1 or more, or 'all'")
    fitted_nk = getattr(estimator, "embedding_", None)
    if fitted_nk is not None:
        if n_components != "all" and fitted_nk.shape[1] >= n_components:
            return np.asarray(fitted_nk[:, :n_components], dtype=np.float64)
        if getattr(estimator, "diagonal", None) == "hetero":
            return np.asarray(fitted_nk, dtype=np.float64)
    if n_components == "all":
        value_k, vector_nk = np.linalg.eigh(dense_gram(estimator, "n_components='all'"))
        value_k, vector_nk = value_k[::-1], vector_nk[:, ::-1]
    else:
        value_k, vector_nk = _leading(estimator, n_components, random_state)
    positive_k = value_k > ROUNDING * np.abs(value_k).max()
    if not positive_k.any():
        raise MethodError(
            "no eigenvalue of the Gram matrix is positive, so it has no coordinates; are all samples alike?"
        )
    return vector_nk[:, positive_k] * np.sqrt(value_k[positive_k])


def warn_of_fewer(n_positive: int, n_components: int) -> None:
    """Say that fewer eigenvalues are positive than components were asked for."""
    if n_positive < n_components:
        warnings.warn(
            f"{n_positive} eigenvalues are positive where {n_components} components were asked for; there are {n_positive}",
            UserWarning,
            stacklevel=3,
        )


def _leading(estimator: Any, k: int, random_state: int) -> tuple[Array, Array]:
    from corpuscle.reduce._eigen import leading

    gram = gram_blocks(estimator)
    value_k, vector_nk, _ = leading(gram, min(k, gram.shape[0]), random_state=random_state)
    return value_k, vector_nk
