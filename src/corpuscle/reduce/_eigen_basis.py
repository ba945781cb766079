"""Blocks of vectors beside an orthonormal basis."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["fresh", "orthonormal", "project"]

Array = npt.NDArray[np.float64]


def project(basis_nm: Array, image_nw: Array, local: int = 0) -> Array:
    """Take a basis out of a block, in place, and give the coordinates in it.

    Passes are made until one takes out little, for then what is left is orthogonal to rounding. ``local``: from this column
    on the basis holds nearly all of it, as the last blocks do of the next product; taken out first, one pass over all follows.
    """
    seen_mw = np.zeros((basis_nm.shape[1], image_nw.shape[1]))
    while True:
        before_w = np.linalg.norm(image_nw, axis=0)
        part_nm = basis_nm[:, local:]
        part_mw = part_nm.T @ image_nw
        image_nw -= part_nm @ part_mw
        seen_mw[local:] += part_mw
        if local == 0:
            little_w = np.linalg.norm(image_nw, axis=0) > 0.7 * before_w
            rounding_w = before_w <= 1e-13 * np.linalg.norm(seen_mw, axis=0)
            if (little_w | rounding_w).all():
                return seen_mw
        local = 0


def orthonormal(basis_nm: Array, image_nw: Array, least: float) -> tuple[Array, Array]:
    """Orthonormal directions of a block that is beside a basis, and the coordinates of the block in them.

    Directions in which the block has less than ``least`` are left out.
    """
    n, m = basis_nm.shape
    next_nw, leads_ww = np.linalg.qr(image_nw)
    left_ww, singular_w, right_ww = np.linalg.svd(leads_ww)
    kept_w = singular_w > max(least, np.finfo(float).tiny)
    kept_w[n - m :] = False
    if kept_w.all():
        return next_nw, leads_ww
    # Some directions are exhausted: what is left of them is rounding, which need not be orthogonal to the basis.
    return _beside(basis_nm, next_nw @ left_ww[:, kept_w]), singular_w[kept_w, None] * right_ww[kept_w]


def fresh(basis_nm: Array, width: int, rng: np.random.Generator) -> Array:
    """A random block beside a basis that no product leads out of."""
    n, m = basis_nm.shape
    return _beside(basis_nm, rng.standard_normal((n, min(width, n - m))))


def _beside(basis_nm: Array, next_nw: Array) -> Array:
    for _ in range(2):
        next_nw = np.linalg.qr(next_nw - basis_nm @ (basis_nm.T @ next_nw))[0]
    return next_nw
