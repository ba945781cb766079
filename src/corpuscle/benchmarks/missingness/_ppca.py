"""Probabilistic principal components of a matrix with holes, by expectation and maximisation over what is observed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["FactorModel", "ppca"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class FactorModel:
    """x_i = W z_i + mu + noise, with z_i standard normal and noise of one variance.

    Attributes
    ----------
    loading_dk, mean_d, noise
        W, mu, and the variance of the noise.
    score_nk
        Posterior means of z.
    iterations
        Steps taken.
    converged
        Whether the last of them changed W z less than asked.
    """

    loading_dk: Array
    mean_d: Array
    noise: float
    score_nk: Array
    iterations: int
    converged: bool

    def dense(self) -> Array:
        """(n, d) expected values, mean included."""
        return np.asarray(self.score_nk @ self.loading_dk.T + self.mean_d)


def ppca(x_nd: Array, observed_nd: Array, rank: int = 10, *, max_iter: int = 200, tol: float = 1e-3) -> FactorModel:
    r"""Maximum likelihood of what is observed, entries missing at random.

    The step of expectation is :math:`\Sigma_i = (I + W' D_i W / \sigma^2)^{-1}`,
    :math:`z_i = \Sigma_i W' D_i (x_i - \mu) / \sigma^2` with D_i the observed entries of row i; loadings and mean of a
    feature are then one least-squares fit to (z, 1) over its rows. It starts from the components of the mean-filled
    matrix, which are the answer where nothing is missing.

    Parameters
    ----------
    x_nd
        (n, d) values; those missing are not read. A feature that was never observed gets 0.
    observed_nd
        (n, d) bool.
    rank
        Factors, below n and d.
    max_iter, tol
        Steps at most, and the relative change of W z at which they end.

    Notes
    -----
    Nothing keeps the loadings small, so a feature observed in few rows more than there are factors is fitted too well.

    Source: Tipping & Bishop, J. R. Stat. Soc. B 1999; with missing values, Ilin & Raiko, JMLR 2010.
    """
    x_nd = np.where(observed_nd, x_nd, 0.0)
    weight_nd = observed_nd.astype(np.float64)
    rank = min(rank, *(side - 1 for side in x_nd.shape))
    mean_d, loading_dk, noise = _start(x_nd, weight_nd, rank)
    fitted_nd = np.zeros_like(x_nd)
    converged, steps = False, 0
    while steps < max_iter and not converged:
        steps += 1
        score_nk, covariance_nkk = _scores(x_nd, weight_nd, mean_d, loading_dk, noise)
        loading_dk, mean_d, noise = _loadings(x_nd, weight_nd, score_nk, covariance_nkk, noise)
        new_nd = score_nk @ loading_dk.T
        change, size = float(np.linalg.norm(new_nd - fitted_nd)), float(np.linalg.norm(new_nd))
        fitted_nd = new_nd
        converged = change <= tol * size
    score_nk, _ = _scores(x_nd, weight_nd, mean_d, loading_dk, noise)
    return FactorModel(loading_dk, mean_d, noise, score_nk, steps, converged)


def _start(x_nd: Array, weight_nd: Array, rank: int) -> tuple[Array, Array, float]:
    """Closed form of the mean-filled matrix: eigenvectors times roots of eigenvalues above the noise."""
    mean_d = x_nd.sum(axis=0) / np.maximum(weight_nd.sum(axis=0), 1.0)
    filled_nd = weight_nd * (x_nd - mean_d)
    value_m, right_md = np.linalg.svd(filled_nd, full_matrices=False)[1:]
    value_m = value_m**2 / len(x_nd)
    n_seen = int(weight_nd.any(axis=0).sum())  # a feature that was never observed must not count as one without noise
    noise = float(value_m[rank:].sum()) / max(n_seen - rank, 1)
    noise = max(noise, 1e-12 * float(value_m.sum()), np.finfo(np.float64).tiny)
    return mean_d, right_md[:rank].T * np.sqrt(np.maximum(value_m[:rank] - noise, 0.0)), noise


def _scores(x_nd: Array, weight_nd: Array, mean_d: Array, loading_dk: Array, noise: float) -> tuple[Array, Array]:
    """(n, k) posterior means and (n, k, k) covariances of the factors."""
    n, k = len(x_nd), loading_dk.shape[1]
    outer_dm = (loading_dk[:, :, None] * loading_dk[:, None, :]).reshape(-1, k * k)
    precision_nkk = (weight_nd @ outer_dm).reshape(n, k, k) / noise + np.eye(k)
    covariance_nkk = np.linalg.inv(precision_nkk)
    pulled_nk = (weight_nd * (x_nd - mean_d)) @ loading_dk / noise
    return np.einsum("nkl,nl->nk", covariance_nkk, pulled_nk), covariance_nkk


def _loadings(
    x_nd: Array, weight_nd: Array, score_nk: Array, covariance_nkk: Array, noise: float
) -> tuple[Array, Array, float]:
    """Loadings, means and noise that fit the posterior best; what was never observed keeps 0."""
    n, k = score_nk.shape
    design_nj = np.column_stack([score_nk, np.ones(n)])
    second_njj = design_nj[:, :, None] * design_nj[:, None, :]
    second_njj[:, :k, :k] += covariance_nkk
    normal_djj = (weight_nd.T @ second_njj.reshape(n, -1)).reshape(-1, k + 1, k + 1)
    ridge = noise * 1e-9  # keeps a feature seen in fewer rows than it has loadings from a singular system
    right_dj = (weight_nd * x_nd).T @ design_nj
    coefficient_dj = np.linalg.solve(normal_djj + ridge * np.eye(k + 1), right_dj[:, :, None])[:, :, 0]
    explained = 2 * np.sum(coefficient_dj * right_dj) - np.einsum(
        "dj,djl,dl->", coefficient_dj, normal_djj, coefficient_dj, optimize=True
    )
    residual = float(np.sum((weight_nd * x_nd) ** 2) - explained)
    floor = np.finfo(np.float64).eps * float(np.sum(x_nd**2)) + np.finfo(np.float64).tiny
    return coefficient_dj[:, :k], coefficient_dj[:, k], max(residual, floor) / float(weight_nd.sum())
