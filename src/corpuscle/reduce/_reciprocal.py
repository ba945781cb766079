"""A symmetric function of two numbers as a short sum of products, by eigenvectors on a grid and splines between.

The denominators of the corrected Gram matrix are ``Gam_ij = sum_k P_ik P_jk``. Where the rows of P are one curve,
told apart by one number each, ``1 / Gam_ij`` is a smooth function of two such numbers and needs very few terms.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["GRID_POINTS", "reciprocal_terms"]

Array = np.ndarray[Any, Any]

GRID_POINTS = 128
# Terms below this share of the first are rounding.
NEGLIGIBLE = 1e-14


def reciprocal_terms(
    curve: Callable[[Array], Array], x_u: Array, *, rank: int, points: int = GRID_POINTS
) -> tuple[Array, Array]:
    """Short sum for the reciprocal inner products of points on a curve.

    Parameters
    ----------
    curve
        Takes (m,) places and gives the (m, d) points of the curve there, all with positive inner products.
    x_u
        (u,) places at which the terms are wanted.
    rank
        Terms at most.
    points
        Points of the uniform grid between the smallest and the largest place.

    Returns
    -------
    s_r, q_ur
        ``1 / (curve(x_i) . curve(x_j)) ~= sum_r s_r q_ir q_jr``, terms by falling weight; s may be negative.

    Notes
    -----
    What is decomposed is the reciprocal cosine of two points, not the reciprocal product: it is 1 on the diagonal and
    nowhere less, so that an error is a relative one, for short points as for long ones. Points of the grid count as
    those of Chebyshev do, more at both ends, where an even weight leaves the largest error.
    """
    low, high = float(x_u.min()), float(x_u.max())
    if not high > low:
        point_d = curve(x_u[:1])[0]
        return np.array([1.0 / float(point_d @ point_d)]), np.ones((len(x_u), 1))
    from scipy.interpolate import CubicSpline

    grid_g = np.linspace(low, high, points)
    curve_gd = curve(grid_g)
    curve_gd /= np.linalg.norm(curve_gd, axis=1)[:, None]
    end_g = np.linspace(-1.0, 1.0, points)
    weight_g = (1.01 - end_g**2) ** -0.25
    kernel_gg = np.outer(weight_g, weight_g) / (curve_gd @ curve_gd.T)
    value_g, vector_gg = np.linalg.eigh((kernel_gg + kernel_gg.T) / 2)
    order_r = np.argsort(-np.abs(value_g), kind="stable")[:rank]
    order_r = order_r[np.abs(value_g[order_r]) > NEGLIGIBLE * np.abs(value_g).max()]
    smooth = CubicSpline(grid_g, vector_gg[:, order_r] / weight_g[:, None])
    return value_g[order_r], smooth(x_u) / _lengths(curve, x_u)[:, None]


def _lengths(curve: Callable[[Array], Array], x_u: Array, step: int = 512) -> Array:
    """Lengths (u,) of the points of the curve, a few at a time."""
    return np.concatenate([np.linalg.norm(curve(x_u[at : at + step]), axis=1) for at in range(0, len(x_u), step)])
