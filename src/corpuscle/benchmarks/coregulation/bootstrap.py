"""Resampling of cells: associations in every bootstrap replicate, by weights instead of copied rows.

A replicate draws n cells with replacement; how often it drew each cell is a vector of whole-number weights that sums
to n, and a correlation over the drawn rows equals the weighted correlation over all rows.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import scipy.sparse as sp

from corpuscle.benchmarks.coregulation._columns import (
    CHUNK_BYTES,
    CONSTANT_TOLERANCE,
    Array,
    Chunk,
    canonical_csc,
    column_chunks,
    comoments,
    is_constant,
    retie,
)
from corpuscle.benchmarks.coregulation._ranks import kendall_bk, spearman_bk
from corpuscle.benchmarks.coregulation.association import associate, measure_named
from corpuscle.counts._threads import for_each
from corpuscle.errors import MethodError, OptionError

__all__ = ["bootstrap_associate", "bootstrap_pearson", "bootstrap_weights", "interval"]

RANK_KERNELS = {
    "spearman": spearman_bk,
    "spearman_retied": spearman_bk,
    "kendall": kendall_bk,
    "kendall_retied": kendall_bk,
}

#: A variance below this share of the mean square has lost half of its digits and is computed again from the rows.
CANCELLATION = 1e-8


def bootstrap_weights(
    n: int, n_boot: int, rng: np.random.Generator, *, strata_n: Array | None = None
) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """How often each of ``n_boot`` replicates draws each of n cells.

    Parameters
    ----------
    n, n_boot
        Cells, and replicates.
    rng
        Source of randomness; a replicate depends on those before it, not on how many follow.
    strata_n
        (n,) labels: each stratum (a sample, a batch) is resampled within itself and keeps its size.

    Returns
    -------
    ndarray
        (n_boot, n) of one byte each; every row sums to n. A cell drawn more than 255 times of n has a probability
        below 1e-500 and is not provided for.
    """
    if n < 1 or n_boot < 1:
        raise OptionError(f"bootstrap: {n_boot} replicates of {n} cells; both must be at least 1")
    groups = [np.arange(n)]
    if strata_n is not None:
        labels_n = np.asarray(strata_n)
        if labels_n.shape != (n,):
            raise OptionError(
                f"bootstrap: strata of shape {labels_n.shape} for {n:,} cells; give one label for each cell"
            )
        _, code_n = np.unique(labels_n, return_inverse=True)
        groups = [np.flatnonzero(code_n == code) for code in range(code_n.max() + 1)]
    weights_bn = np.empty((n_boot, n), np.uint8)
    for b in range(n_boot):
        for cells in groups:
            weights_bn[b, cells] = np.bincount(rng.integers(cells.size, size=cells.size), minlength=cells.size)
    return weights_bn


def bootstrap_pearson(target_n: Array, values_nk: Any, weights_bn: Array) -> Array:
    """Pearson correlation of a target with k columns in every replicate.

    Parameters
    ----------
    target_n, values_nk
        (n,) and (n, k) values, dense or sparse.
    weights_bn
        (B, n) non-negative whole numbers, as from :func:`bootstrap_weights`.

    Returns
    -------
    ndarray
        (B, k) float64; NaN where target or column is constant among the drawn cells.

    Notes
    -----
    With columns centred beforehand, means, variances and covariances under all weights are one matrix product
    W [y, y^2, y t]. Where a replicate's variance is too small a part of its mean square to be trusted it is computed
    again in two passes. Memory beside the answer stays near 100 MB for any n, k and B up to a million cells.
    """
    target_n = np.asarray(target_n, np.float64)
    _check_shapes(target_n, values_nk, weights_bn)
    r_bk = np.full((len(weights_bn), values_nk.shape[1]), np.nan)
    if not np.isfinite(target_n).all() or is_constant(target_n.mean(), target_n.var()):
        return r_bk
    for chunk in column_chunks(values_nk, chunk_bytes=CHUNK_BYTES // 4):
        r_bk[:, chunk.columns] = _pearson_chunk(target_n, chunk.dense(), weights_bn)
    return r_bk


def bootstrap_associate(
    measure: str,
    target_n: Array,
    values_nk: Any,
    weights_bn: Array,
    *,
    zero_n: Array | None = None,
    zero_nk: Any = None,
    depth_n: Array | None = None,
) -> Array:
    """Association of a target with k columns in every replicate, (B, k); NaN where undefined.

    Parameters are those of :func:`bootstrap_pearson` and
    :func:`~corpuscle.benchmarks.coregulation.association.associate`. Pearson and the rank measures work on weights and
    cost little more per replicate than one pass; the rest copy the drawn rows and run B times. Re-tied zeros have
    their common mean over all cells, not over the drawn ones.
    """
    chosen = measure_named(measure)
    if measure == "pearson":
        return bootstrap_pearson(target_n, values_nk, weights_bn)
    target_n = np.asarray(target_n, np.float64)
    _check_shapes(target_n, values_nk, weights_bn)
    if chosen.reties and (zero_n is None or zero_nk is None):
        raise OptionError(f"{measure} needs to know which raw counts are zero; pass zero_n and zero_nk")
    if measure not in RANK_KERNELS:
        return _by_copied_rows(target_n, values_nk, weights_bn, measure, depth_n)
    if chosen.reties:
        target_n = retie(target_n[:, None], np.asarray(zero_n, bool)[:, None])[0][:, 0]
    return _rank_bootstrap(target_n, values_nk, weights_bn, measure, zero_nk if chosen.reties else None)


def interval(samples_b: Array, level: float = 0.95) -> tuple[Any, Any]:
    """Percentile interval (low, high) of bootstrap samples, leaving out NaN.

    Floats for samples of shape (B,), arrays over columns for (B, k); NaN where no sample is left.
    """
    if not 0.0 < level < 1.0:
        raise OptionError(f"interval level {level:g} is not between 0 and 1; 0.95 is usual")
    samples_bk = np.asarray(samples_b, np.float64).reshape(len(samples_b), -1)
    some_k = ~np.isnan(samples_bk).all(axis=0)
    bounds = np.full((2, samples_bk.shape[1]), np.nan)
    if some_k.any():
        tail = (1.0 - level) / 2.0
        bounds[:, some_k] = np.nanquantile(samples_bk[:, some_k], [tail, 1.0 - tail], axis=0)
    if np.ndim(samples_b) == 1:
        return float(bounds[0, 0]), float(bounds[1, 0])
    return bounds[0], bounds[1]


def _check_shapes(target_n: Array, values_nk: Any, weights_bn: Array) -> None:
    n = target_n.size
    if target_n.ndim != 1 or values_nk.shape[0] != n or weights_bn.ndim != 2 or weights_bn.shape[1] != n:
        raise MethodError(
            f"bootstrap: target {target_n.shape}, values {values_nk.shape} and weights {weights_bn.shape} "
            "do not have the same cells; expected (n,), (n, k) and (B, n)"
        )


def _pearson_chunk(target_n: Array, x_nc: Array, weights_bn: Array) -> Array:
    moments = comoments(target_n, x_nc)
    usable_c = moments.finite_c & ~moments.constant_c
    r_bc = np.full((len(weights_bn), x_nc.shape[1]), np.nan)
    y_nc = np.ascontiguousarray((x_nc[:, usable_c] - moments.mean_c[usable_c]).T).T
    t_n = target_n - target_n.mean()
    c = y_nc.shape[1]
    if not c:
        return r_bc
    products_nc = np.hstack([y_nc, y_nc * y_nc, y_nc * t_n[:, None], t_n[:, None], (t_n * t_n)[:, None]])
    step = max(1, CHUNK_BYTES // (32 * t_n.size))

    def replicates(start: int) -> None:
        w_bn = weights_bn[start : start + step]
        sums = (w_bn.astype(np.float64) @ products_nc) / w_bn.sum(axis=1, dtype=np.int64)[:, None]
        y, yy, yt, t, tt = sums[:, :c], sums[:, c : 2 * c], sums[:, 2 * c : 3 * c], sums[:, -2:-1], sums[:, -1:]
        var_bc, var_b, cov_bc = yy - y * y, tt - t * t, yt - y * t
        doubtful_bc = (var_bc <= CANCELLATION * yy) | (var_b <= CANCELLATION * tt)
        with np.errstate(invalid="ignore", divide="ignore"):
            r = np.clip(cov_bc / np.sqrt(var_bc * var_b), -1.0, 1.0)
        b, j = np.nonzero(doubtful_bc)
        r[b, j] = _two_pass(target_n, x_nc, w_bn, b, np.flatnonzero(usable_c)[j])
        r_bc[start : start + step, usable_c] = r

    # The parts do not depend on the number of workers, so neither do the sums.
    for_each(replicates, range(0, len(weights_bn), step))
    return r_bc


@numba.njit(cache=True, nogil=True)
def _two_pass(target_n: Array, x_nc: Array, w_bn: Array, b_p: Array, j_p: Array) -> Array:
    """Weighted Pearson correlation of each pair (replicate, column), the slow and safe way; NaN if constant."""
    r_p = np.full(b_p.size, np.nan)
    for p in range(b_p.size):
        b, j = b_p[p], j_p[p]
        total, x_mean, t_mean = 0.0, 0.0, 0.0
        for i in range(target_n.size):
            w = float(w_bn[b, i])
            total += w
            x_mean += w * x_nc[i, j]
            t_mean += w * target_n[i]
        x_mean /= total
        t_mean /= total
        xx, tt, xt = 0.0, 0.0, 0.0
        for i in range(target_n.size):
            w = float(w_bn[b, i])
            x, t = x_nc[i, j] - x_mean, target_n[i] - t_mean
            xx += w * x * x
            tt += w * t * t
            xt += w * x * t
        x_varies = np.sqrt(xx / total) >= CONSTANT_TOLERANCE * max(1.0, abs(x_mean))
        if x_varies and np.sqrt(tt / total) >= CONSTANT_TOLERANCE * max(1.0, abs(t_mean)):
            r_p[p] = min(1.0, max(-1.0, xt / np.sqrt(xx * tt)))
    return r_p


def _rank_bootstrap(target_n: Array, values_nk: Any, weights_bn: Array, measure: str, zero_nk: Any) -> Array:
    r_bk = np.full((len(weights_bn), values_nk.shape[1]), np.nan)
    if not np.isfinite(target_n).all() or is_constant(target_n.mean(), target_n.var()):
        return r_bk
    for chunk in column_chunks(values_nk, zero_nk):
        moments = comoments(target_n, chunk.x_nc)
        usable_c = moments.finite_c & ~moments.constant_c
        if usable_c.any():
            kept: Chunk = chunk.select(usable_c)
            places = np.arange(chunk.columns.start, chunk.columns.stop)[usable_c]
            r_bk[:, places] = RANK_KERNELS[measure](target_n, kept, weights_bn)
    return r_bk


def _by_copied_rows(target_n: Array, values_nk: Any, weights_bn: Array, measure: str, depth_n: Array | None) -> Array:
    values = canonical_csc(values_nk).tocsr() if sp.issparse(values_nk) else np.asarray(values_nk)
    r_bk = np.empty((len(weights_bn), values.shape[1]))
    for b, w_n in enumerate(weights_bn):
        rows = np.repeat(np.arange(target_n.size), w_n)
        depth = None if depth_n is None else np.asarray(depth_n)[rows]
        r_bk[b] = associate(target_n[rows], values[rows], measure, depth_n=depth)
    return r_bk
