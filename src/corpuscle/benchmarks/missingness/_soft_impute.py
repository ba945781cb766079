"""Matrix completion by soft-thresholded singular values, the threshold chosen on entries that were held out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Completion", "soft_impute"]

Array = np.ndarray[Any, Any]

#: Random directions added to those of the last step, so that new ones can enter.
EXTRA_DIRECTIONS = 5


@dataclass(frozen=True)
class Completion:
    """A low-rank matrix U diag(s) V'.

    Attributes
    ----------
    left_nk, value_k, right_dk
        Left factors, thresholded singular values in falling order, right factors.
    threshold
        What was taken off each singular value.
    iterations
        Steps at this threshold.
    """

    left_nk: Array
    value_k: Array
    right_dk: Array
    threshold: float
    iterations: int

    @property
    def rank(self) -> int:
        """Number of factors."""
        return int(self.value_k.size)

    def dense(self) -> Array:
        """(n, d) values of every entry."""
        return np.asarray((self.left_nk * self.value_k) @ self.right_dk.T)


def soft_impute(
    x_nd: Array,
    observed_nd: Array,
    rng: np.random.Generator,
    *,
    max_rank: int = 50,
    n_thresholds: int = 12,
    held_out: float = 0.05,
    max_iter: int = 50,
    tol: float = 1e-3,
) -> Completion:
    r"""Complete a matrix by :math:`\min_Z \frac12 \|P_\Omega(X - Z)\|_F^2 + \lambda \|Z\|_*`.

    Each step replaces missing entries by the present solution and takes lambda off the singular values of the result.
    Thresholds fall from 4/5 to a 50th of the largest singular value of the zero-filled matrix, each started from the
    solution before; the best on held-out entries is then solved again with all that is observed. The decomposition is
    a step of subspace iteration from the factors before, exact as they settle.

    Parameters
    ----------
    x_nd
        (n, d) values; those missing are not read. Columns should be about 0, since the solution shrinks towards it.
    observed_nd
        (n, d) bool.
    rng
        For the held-out entries and for the directions of the decomposition.
    max_rank
        Factors at most.
    n_thresholds, held_out
        Thresholds tried, and share of the observed entries, above 0, that they are judged on.
    max_iter, tol
        Steps at a threshold, and relative change of the solution at which they end.

    Notes
    -----
    Source: Mazumder, Hastie & Tibshirani, JMLR 2010. Randomised decomposition: Halko, Martinsson & Tropp, SIAM Review
    2011.
    """
    rank = min(max_rank, *x_nd.shape)
    zeroed_nd = np.where(observed_nd, x_nd, 0.0)
    largest = _largest(zeroed_nd, rng)
    thresholds = largest * np.geomspace(0.8, 0.02, n_thresholds)
    chosen = _best(zeroed_nd, observed_nd, thresholds, held_out, rank, max_iter, tol, rng) if largest else 0
    found = _empty(x_nd.shape)
    for threshold in thresholds[: chosen + 1]:
        found = _solve(zeroed_nd, observed_nd, threshold, found, rank, max_iter, tol, rng)
    return found


def _best(
    zeroed_nd: Array, observed_nd: Array, thresholds: Array, held_out: float, rank: int, max_iter: int, tol: float,
    rng: np.random.Generator,
) -> int:  # fmt: skip
    """Position of the threshold with the least squared error on held-out entries; after two that are worse it stops."""
    test_nd = observed_nd & (rng.random(observed_nd.shape) < held_out)
    train_nd = observed_nd & ~test_nd
    shown_nd = np.where(train_nd, zeroed_nd, 0.0)
    error_t: list[float] = []
    found = _empty(zeroed_nd.shape)
    for threshold in thresholds:
        found = _solve(shown_nd, train_nd, threshold, found, rank, max_iter, tol, rng)
        error_t.append(float(np.sum((found.dense()[test_nd] - zeroed_nd[test_nd]) ** 2)))
        if len(error_t) - int(np.argmin(error_t)) > 2:
            break
    return int(np.argmin(error_t))


def _solve(
    zeroed_nd: Array, observed_nd: Array, threshold: float, found: Completion, rank: int, max_iter: int, tol: float,
    rng: np.random.Generator,
) -> Completion:  # fmt: skip
    """Fixed point at one threshold, from the solution before."""
    z_nd = found.dense()
    start_dk = found.right_dk
    for iteration in range(1, max_iter + 1):
        filled_nd = np.where(observed_nd, zeroed_nd, z_nd)
        left_nk, value_k, right_dk = _leading(filled_nd, start_dk, rank, rng)
        kept_k = value_k > threshold
        found = Completion(left_nk[:, kept_k], value_k[kept_k] - threshold, right_dk[:, kept_k], threshold, iteration)
        new_nd = found.dense()
        change, size = float(np.linalg.norm(new_nd - z_nd)), float(np.linalg.norm(z_nd))
        z_nd, start_dk = new_nd, right_dk
        if change <= tol * max(size, np.finfo(np.float64).tiny):
            break
    return found


def _leading(x_nd: Array, start_dk: Array, rank: int, rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """Leading singular triplets by two steps of subspace iteration from right factors and some random directions."""
    d = x_nd.shape[1]
    random_dk = rng.standard_normal((d, max(rank - start_dk.shape[1], 0) + EXTRA_DIRECTIONS))
    left_nk = np.linalg.qr(x_nd @ np.hstack([start_dk, random_dk])[:, : min(*x_nd.shape, rank + EXTRA_DIRECTIONS)])[0]
    left_nk = np.linalg.qr(x_nd @ (x_nd.T @ left_nk))[0]
    small_nk, value_k, right_kd = np.linalg.svd(left_nk.T @ x_nd, full_matrices=False)
    return (left_nk @ small_nk)[:, :rank], value_k[:rank], right_kd[:rank].T


def _largest(x_nd: Array, rng: np.random.Generator) -> float:
    """Largest singular value."""
    from scipy.sparse.linalg import svds

    if not x_nd.any():
        return 0.0
    start = rng.standard_normal(min(x_nd.shape))
    return float(svds(x_nd, k=1, v0=start, return_singular_vectors=False)[0])


def _empty(shape: tuple[int, ...]) -> Completion:
    """The solution 0."""
    n, d = shape
    return Completion(np.zeros((n, 0)), np.zeros(0), np.zeros((d, 0)), float("inf"), 0)
