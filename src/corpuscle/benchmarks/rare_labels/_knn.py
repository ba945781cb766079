"""Distances between sets of samples, exactly: copies are at a distance of 0, which inner products would blur."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

__all__ = ["distances", "kth_distance", "nearest", "no_taller", "pair_distances"]

Array = np.ndarray[Any, Any]
#: Distances held at once.
MAX_HELD = 2**24


def distances(a_nd: Array, b_md: Array) -> Array:
    """(n, m) float64 Euclidean distances."""
    from scipy.spatial.distance import cdist

    return np.asarray(cdist(np.asarray(a_nd, dtype=np.float64), np.asarray(b_md, dtype=np.float64)))


def pair_distances(x_nd: Array) -> Array:
    """Distances of all pairs of samples, n (n - 1) / 2 of them."""
    from scipy.spatial.distance import pdist

    return np.asarray(pdist(np.asarray(x_nd, dtype=np.float64)))


def nearest(a_nd: Array, b_md: Array | None = None) -> tuple[Array, Array]:
    """Nearest of ``b`` to each of ``a``: distances and places, the first where several are as near.

    Parameters
    ----------
    a_nd
        (n, d) samples.
    b_md
        (m, d) samples; None for the other samples of ``a``, each without itself.
    """
    held = a_nd if b_md is None else b_md
    d_n, at_n = np.empty(len(a_nd)), np.empty(len(a_nd), dtype=np.int64)
    for start, d_bm in _blocks(a_nd, held, themselves=b_md is None):
        stop = start + len(d_bm)
        at_n[start:stop] = d_bm.argmin(axis=1)
        d_n[start:stop] = d_bm[np.arange(len(d_bm)), at_n[start:stop]]
    return d_n, at_n


def kth_distance(x_nd: Array, k: int) -> Array:
    """(n,) distance of each sample to the k-th nearest of the others; there must be more than k."""
    parts = [np.partition(d_bn, k - 1, axis=1)[:, k - 1] for _, d_bn in _blocks(x_nd, x_nd, themselves=True)]
    return np.concatenate(parts)


def no_taller(root_nd: Array) -> Array:
    """A factor with the same R'R that has no more rows than columns: itself, or the triangle of its QR decomposition."""
    if len(root_nd) <= root_nd.shape[1]:
        return root_nd
    triangle: Any = np.linalg.qr(root_nd, mode="r")
    return np.asarray(triangle)


def _blocks(a_nd: Array, b_md: Array, *, themselves: bool) -> Iterator[tuple[int, Array]]:
    """Consecutive rows of the distances; infinite from a sample to itself where the two sets are one."""
    size = max(1, MAX_HELD // max(1, len(b_md)))
    for start in range(0, len(a_nd), size):
        d_bm = distances(a_nd[start : start + size], b_md)
        if themselves:
            rows = np.arange(len(d_bm))
            d_bm[rows, start + rows] = np.inf
        yield start, d_bm
