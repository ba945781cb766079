r"""CS-CORE: correlation between the expression rates behind the counts, free of Poisson noise and depth.

Counts are modelled as :math:`x_{ij} \mid z_{ij} \sim Poisson(s_i z_{ij})` with depth :math:`s_i`, so that
:math:`E = s_i \mu_j`, :math:`Var = s_i \mu_j + s_i^2 \sigma_{jj}` and :math:`Cov = s_i^2 \sigma_{jk}`; these moments
are regressed on the depths by iteratively reweighted least squares. Valid inside a homogeneous population only: over
mixed cells the estimate saturates.

References
----------
Su, Xu, Shan, Cai, Zhao & Zhang. Cell-type-specific co-expression inference from single cell RNA-sequencing data.
Nature Communications 14, 4846 (2023).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import scipy.sparse as sp

from corpuscle.benchmarks.coregulation._columns import Array, Chunk, column_chunks, stored
from corpuscle.errors import MethodError

__all__ = ["CsCore", "cscore", "cscore_one_to_many"]

MAX_ROUNDS = 20
RELATIVE_CHANGE = 1e-2
BLOCK_CELLS = 1024


@dataclass(frozen=True, slots=True)
class CsCore:
    """Result of CS-CORE.

    Attributes
    ----------
    rho
        (k,) correlation of each gene with the target, or (k, k) of all pairs; clipped to [-1, 1]; NaN if undefined.
    clipped
        Same shape: True where the estimate lay outside [-1, 1].
    mu_k, sigma_k
        (k,) mean and variance of each gene's rate per count of depth (``sigma_k`` may come out negative).
    rounds_k
        (k,) rounds of reweighting used, at most 20.
    reason
        Why rho is NaN ("zero_variance" for a gene without counts, "non_positive_variance", and both with the prefix
        "target_"), or "": (k,), for the matrix one for each gene.
    """

    rho: Array
    clipped: Array
    mu_k: Array
    sigma_k: Array
    rounds_k: Array
    reason: Array


def cscore_one_to_many(target_n: Array, counts_nk: Any, depth_n: Array) -> CsCore:
    """CS-CORE correlation of one gene with each of k others.

    Parameters
    ----------
    target_n
        (n,) raw counts of the target.
    counts_nk
        (n, k) raw counts, dense or sparse; densified a column at a time.
    depth_n
        (n,) total counts of each cell.

    Raises
    ------
    MethodError
        What was given is not counts, or a cell has no depth.
    """
    scale, s_n = _scaled_depth(depth_n, counts_nk.shape[0])
    target = Chunk(slice(0, 1), np.asarray(target_n, np.float64)[:, None], np.zeros(1))
    zeros_n = np.zeros(s_n.size)
    target_mu, target_sigma, _, _ = _fit(_counts_only(target), s_n, zeros_n, zeros_n)
    residual_n, weight_n = _weighted_residual(target_n, s_n, target_mu[0], target_sigma[0])
    k = counts_nk.shape[1]
    mu_k, sigma_k, cov_k, rounds_k = np.empty(k), np.empty(k), np.empty(k), np.empty(k, np.int64)
    for chunk in column_chunks(counts_nk):
        c = chunk.columns
        mu_k[c], sigma_k[c], cov_k[c], rounds_k[c] = _fit(_counts_only(chunk), s_n, residual_n, weight_n)
    reason_k = _reasons(mu_k, sigma_k)
    target_reason = str(_reasons(target_mu, target_sigma)[0])
    if target_reason:
        reason_k[:] = f"target_{target_reason}"
    rho_k, clipped_k = _correlation(cov_k, target_sigma[0] * sigma_k, reason_k == "")
    return CsCore(rho_k, clipped_k, mu_k / scale, sigma_k / scale**2, rounds_k, reason_k)


def cscore(counts_nk: Any, depth_n: Array) -> CsCore:
    """CS-CORE correlation of all pairs of k genes; parameters as in :func:`cscore_one_to_many`.

    Memory: the k x k answer and blocks of about a thousand cells.
    """
    scale, s_n = _scaled_depth(depth_n, counts_nk.shape[0])
    k = counts_nk.shape[1]
    mu_k, sigma_k, rounds_k = np.empty(k), np.empty(k), np.empty(k, np.int64)
    zeros_n = np.zeros(s_n.size)
    for chunk in column_chunks(counts_nk):
        c = chunk.columns
        mu_k[c], sigma_k[c], _, rounds_k[c] = _fit(_counts_only(chunk), s_n, zeros_n, zeros_n)
    reason_k = _reasons(mu_k, sigma_k)
    defined = reason_k == ""
    rows: Any = counts_nk.tocsr() if sp.issparse(counts_nk) else np.asarray(counts_nk)
    numerator_kk, denominator_kk = np.zeros((k, k)), np.zeros((k, k))
    for start in range(0, s_n.size, BLOCK_CELLS):
        block = slice(start, start + BLOCK_CELLS)
        x_nk = np.asarray(rows[block].toarray() if sp.issparse(rows) else rows[block], np.float64)
        residual_nk, weight_nk = _weighted_residual(x_nk, s_n[block, None], np.where(defined, mu_k, 1.0), sigma_k)
        numerator_kk += residual_nk.T @ residual_nk
        denominator_kk += weight_nk.T @ weight_nk
    rho_kk, clipped_kk = _correlation(
        numerator_kk / denominator_kk, np.outer(sigma_k, sigma_k), np.outer(defined, defined)
    )
    own = np.flatnonzero(defined)
    rho_kk[own, own], clipped_kk[own, own] = 1.0, False
    return CsCore(rho_kk, clipped_kk, mu_k / scale, sigma_k / scale**2, rounds_k, reason_k)


def _scaled_depth(depth_n: Array, n: int) -> tuple[float, Array]:
    """Mean depth, and depths over it: the estimate does not change, and fourth powers stay small."""
    depth_n = np.asarray(depth_n, np.float64)
    if depth_n.shape != (n,):
        raise MethodError(f"cscore: depth_n has shape {depth_n.shape} for {n:,} cells; give one depth for each cell")
    if not (np.isfinite(depth_n) & (depth_n > 0)).all():
        cell = int(np.argmin(np.isfinite(depth_n) & (depth_n > 0)))
        raise MethodError(f"cscore: cell {cell} has depth {depth_n[cell]:g}; remove cells without counts first")
    scale = float(depth_n.mean())
    return scale, depth_n / scale


def _counts_only(chunk: Chunk) -> Chunk:
    data = chunk.x_nc.data if sp.issparse(chunk.x_nc) else chunk.x_nc
    if data.size and not (np.isfinite(data).all() and data.min() >= 0 and (data == np.floor(data)).all()):
        raise MethodError(
            "cscore models raw counts, and these are negative, fractional or not finite; pass counts, not values"
        )
    return chunk


def _fit(chunk: Chunk, s_n: Array, residual_n: Array, weight_n: Array) -> tuple[Array, Array, Array, Array]:
    mu_c, sigma_c, cov_c, rounds_c = _fit_genes(*stored(chunk), s_n, residual_n, weight_n)
    return mu_c, sigma_c, cov_c, rounds_c


def _weighted_residual(x: Any, s: Array, mu: Any, sigma: Any) -> tuple[Array, Array]:
    """``w s (x - s mu)`` and ``w s^2``: their products over two genes are the terms of the covariance regression."""
    if np.ndim(mu) == 0 and mu <= 0:
        return np.zeros_like(s), np.zeros_like(s)
    w = 1.0 / (s * mu + s * s * np.maximum(sigma, 0.0))
    return w * s * (x - s * mu), w * s * s


def _reasons(mu_k: Array, sigma_k: Array) -> Array:
    reason_k = np.full(mu_k.size, "", object)
    reason_k[~(sigma_k > 0)] = "non_positive_variance"
    reason_k[mu_k <= 0] = "zero_variance"
    return reason_k


def _correlation(cov: Array, variance_product: Array, defined: Array) -> tuple[Array, Array]:
    rho = np.full(cov.shape, np.nan)
    rho[defined] = cov[defined] / np.sqrt(variance_product[defined])
    clipped = defined & (np.abs(np.where(defined, rho, 0.0)) > 1.0)
    return np.clip(rho, -1.0, 1.0), clipped


@numba.njit(cache=True, nogil=True, parallel=True)
def _fit_genes(
    data: Array, indices: Array, indptr: Array, s_n: Array, residual_n: Array, weight_n: Array
) -> tuple[Array, Array, Array, Array]:
    """Mean and variance of each gene's rate, its covariance with the target, and the rounds used."""
    n, k = s_n.size, indptr.size - 1
    mu_k, sigma_k, cov_k = np.zeros(k), np.zeros(k), np.full(k, np.nan)
    rounds_k = np.zeros(k, np.int64)
    for j in numba.prange(k):
        if indptr[j] == indptr[j + 1]:
            continue
        x_n = np.zeros(n)
        for p in range(indptr[j], indptr[j + 1]):
            x_n[indices[p]] = data[p]
        mu, sigma, rounds_k[j] = _fit_gene(x_n, s_n)
        mu_k[j], sigma_k[j] = mu, sigma
        above, below = 0.0, 0.0
        for i in range(n):
            s = s_n[i]
            w = 1.0 / (s * mu + s * s * max(sigma, 0.0))
            above += residual_n[i] * w * s * (x_n[i] - s * mu)
            below += weight_n[i] * w * s * s
        if below > 0.0:
            cov_k[j] = above / below
    return mu_k, sigma_k, cov_k, rounds_k


@numba.njit(cache=True, nogil=True)
def _fit_gene(x_n: Array, s_n: Array) -> tuple[float, float, int]:
    mu, sigma, rounds = 0.0, 0.0, 0
    while rounds < MAX_ROUNDS:
        old_mu, old_sigma = mu, sigma
        above, below = 0.0, 0.0
        for i in range(x_n.size):
            s = s_n[i]
            w = 1.0 if rounds == 0 else 1.0 / (s * old_mu + s * s * max(old_sigma, 0.0))
            above += w * s * x_n[i]
            below += w * s * s
        mu = above / below
        above, below = 0.0, 0.0
        for i in range(x_n.size):
            s = s_n[i]
            w = 1.0 if rounds == 0 else 1.0 / (s * old_mu + s * s * max(old_sigma, 0.0))
            h = w * w * s * s
            residual = x_n[i] - s * mu
            above += h * (residual * residual - s * mu)
            below += h * s * s
        sigma = above / below
        rounds += 1
        steady_mu = abs(mu - old_mu) <= RELATIVE_CHANGE * abs(old_mu)
        steady_sigma = abs(sigma - old_sigma) <= RELATIVE_CHANGE * abs(old_sigma)
        if rounds > 1 and steady_mu and steady_sigma:
            break
    return mu, sigma, rounds
