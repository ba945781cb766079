"""How far the inversely weighted inner products scatter around the truth."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from corpuscle.reduce._propensity_given import checked_probabilities
from corpuscle.reduce._values_checks import InputError

__all__ = ["ht_variance"]


def ht_variance(x_nd: Any, p_nd: Any) -> npt.NDArray[np.float64]:
    """Exact variances of the Horvitz-Thompson inner products, over masks, of values that are fixed.

    Parameters
    ----------
    x_nd
        (n, d) complete values, centred as the inner products are to be.
    p_nd
        (n, d) probabilities of being observed, above 0 and at most 1; entries are observed independently.

    Returns
    -------
    ndarray
        (n, n), in the units of the values to the fourth power: ``sum_k x_ik^2 x_jk^2 (1 / (P_ik P_jk) - 1)``, and
        ``sum_k x_ik^4 (1 / P_ik - 1)`` on the diagonal, which is weighted by 1/P once.

    Raises
    ------
    InputError
        Another shape of the probabilities, or values outside their range; values that are not finite.
    """
    x_nd, p_nd = np.asarray(x_nd, dtype=np.float64), np.asarray(p_nd, dtype=np.float64)
    if x_nd.ndim != 2 or x_nd.shape != p_nd.shape:
        raise InputError(f"values of shape {x_nd.shape} with probabilities of shape {p_nd.shape}; give one an entry")
    if not np.isfinite(x_nd).all():
        raise InputError("values hold NaN or infinity; the variance is that of complete values")
    checked_probabilities(p_nd)
    square_nd = x_nd**2
    weighted_nd = square_nd / p_nd
    variance_nn = weighted_nd @ weighted_nd.T - square_nd @ square_nd.T
    np.fill_diagonal(variance_nn, np.einsum("nd,nd->n", square_nd, weighted_nd - square_nd))
    # The two sums are equal where everything is observed; their difference may then be a rounding error below 0.
    return np.asarray(np.maximum(variance_nn, 0.0))
