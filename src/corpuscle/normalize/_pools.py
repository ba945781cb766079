"""Size factors of single cells, deconvolved from those of pools of cells (Lun, Bach and Marioni 2016)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp

from corpuscle.errors import MethodError
from corpuscle.normalize._base import Array

__all__ = ["pool_ratios", "positive_factors", "ring_order", "solve_ring"]

#: Weight of the equations that say a cell's factor is its depth; it only decides what the pools leave open.
SINGLE_CELL_WEIGHT = 1e-6
#: Pools of this many starts are summed at once.
CHUNK_STARTS = 128


def ring_order(depth_n: Array) -> Array:
    """Cells on a ring whose neighbours have similar depth: up over the odd ranks, back down over the even ones."""
    ranked = np.argsort(depth_n, kind="stable")
    return np.concatenate([ranked[0::2], ranked[1::2][::-1]])


def pool_ratios(share_ng: sp.csr_matrix, reference_g: Array, sizes: Sequence[int]) -> Array:
    """Median over genes of (sum over a pool) / reference, for the pool of each size that starts at each cell of a ring.

    Parameters
    ----------
    share_ng
        Each cell's counts divided by its depth, cells in ring order.
    reference_g
        Average pseudo-cell, all above 0.
    sizes
        Pool sizes, none above the number of cells.

    Returns
    -------
    Array
        (sizes, n); pool (s, i) holds the cells i, i + 1, ..., i + sizes[s] - 1 around the ring.
    """
    n = share_ng.shape[0]
    ratio_sn = np.empty((len(sizes), n))
    ratio_ng = (share_ng @ sp.diags(1.0 / reference_g)).tocsr()
    for start in range(0, n, CHUNK_STARTS):
        stop = min(start + CHUNK_STARTS, n)
        around = np.arange(start, stop + max(sizes) - 1) % n
        running = np.zeros((around.size + 1, reference_g.size))
        np.cumsum(ratio_ng[around].toarray(), axis=0, out=running[1:])
        for row, size in enumerate(sizes):
            pooled = running[size : size + stop - start] - running[: stop - start]
            ratio_sn[row, start:stop] = np.median(pooled, axis=1, overwrite_input=True)
    return ratio_sn


def solve_ring(ratio_sn: Array, sizes: Sequence[int]) -> Array:
    """Least-squares factors on a ring, (n,): the factors of each pool's cells sum to the pool's ratio.

    Every pool size slides around the whole ring, so the normal equations are a sum of circulant matrices and the
    discrete Fourier transform solves them exactly, in n log n, with nothing but the sparse equations' own weights:
    1 for a pool, ``SINGLE_CELL_WEIGHT`` for "this cell's factor is 1 (its depth)".
    """
    n = ratio_sn.shape[1]
    left = np.full(n // 2 + 1, SINGLE_CELL_WEIGHT)
    right = SINGLE_CELL_WEIGHT * np.fft.rfft(np.ones(n))
    for size, ratio_n in zip(sizes, ratio_sn, strict=True):
        window = np.fft.rfft(np.arange(n) < size)
        left += np.abs(window) ** 2
        right += window * np.fft.rfft(ratio_n)
    return np.fft.irfft(right / left, n)


def positive_factors(factor_n: Array, genes_n: Array, *, method: str) -> tuple[Array, int]:
    r"""Factors with those that are not positive replaced, and how many were.

    Cells with a positive factor define a saturating curve of detected genes, :math:`d = D f / (f + c)`, fitted
    robustly on the log scale; a failed cell takes the factor at which the curve meets its own number of genes, kept
    within the range of the positive ones. A factor of 0 or less is otherwise what a cell gets whose neighbours on the
    ring explain all of its pools: a cell of very low depth.

    Parameters
    ----------
    factor_n, genes_n
        Factors, and genes detected in each cell.

    Raises
    ------
    MethodError
        Most factors are not positive.
    """
    from scipy.optimize import least_squares

    good = factor_n > 0
    n_bad = int((~good).sum())
    if not n_bad:
        return factor_n, 0
    if n_bad > factor_n.size / 2:
        raise MethodError(
            f"{method}: {n_bad:,} of {factor_n.size:,} size factors are not positive; "
            f"remove cells of low depth, or raise min_mean"
        )
    factor, genes = factor_n[good], np.maximum(genes_n[good], 1).astype(np.float64)

    def off_curve(log_parameters: Array) -> Array:
        log_top, log_half = log_parameters
        return log_top + np.log(factor) - np.logaddexp(np.log(factor), log_half) - np.log(genes)

    start = np.log([2.0 * genes.max(), np.median(factor)])
    top, half = np.exp(least_squares(off_curve, start, loss="soft_l1", f_scale=0.1).x)
    reached = np.minimum(genes_n[~good], 0.99 * top)
    fixed = factor_n.copy()
    fixed[~good] = np.clip(half * reached / (top - reached), factor.min(), factor.max())
    return fixed, n_bad
