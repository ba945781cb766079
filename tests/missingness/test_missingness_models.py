"""Soft-thresholded completion and probabilistic components, against problems whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from corpuscle.benchmarks.missingness._ppca import ppca
from corpuscle.benchmarks.missingness._soft_impute import soft_impute


def low_rank(n: int = 80, d: int = 60, rank: int = 3, noise: float = 0.0, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, rank)) @ rng.normal(size=(rank, d)) + noise * rng.normal(size=(n, d))


def half(shape: tuple[int, int], p: float = 0.6, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).random(shape) < p


def test_completion_recovers_a_low_rank_matrix():
    truth_nd = low_rank()
    observed_nd = half(truth_nd.shape)
    found = soft_impute(np.where(observed_nd, truth_nd, np.nan), observed_nd, np.random.default_rng(0), max_iter=300)
    lost = truth_nd[~observed_nd]
    assert np.linalg.norm(found.dense()[~observed_nd] - lost) < 0.1 * np.linalg.norm(lost)


def test_the_threshold_grows_with_the_noise():
    observed_nd = half((80, 60))
    found = [
        soft_impute(low_rank(noise=noise), observed_nd, np.random.default_rng(0)).threshold
        for noise in (0.05, 0.5, 2.0)
    ]
    assert found[0] < found[1] < found[2]


def test_completion_is_a_fixed_point_of_the_exact_step():
    """One exact decomposition from the solution leads back to it, so the randomised steps have settled."""
    x_nd, observed_nd = low_rank(noise=0.3), half((80, 60))
    found = soft_impute(x_nd, observed_nd, np.random.default_rng(0), max_iter=500, tol=1e-8)
    z_nd = found.dense()
    left, value, right = np.linalg.svd(np.where(observed_nd, x_nd, z_nd), full_matrices=False)
    step_nd = (left * np.maximum(value - found.threshold, 0)) @ right
    assert np.linalg.norm(step_nd - z_nd) < 1e-5 * np.linalg.norm(z_nd)


def test_of_a_complete_matrix_it_is_the_soft_threshold():
    x_nd = low_rank(noise=0.5)
    whole_nd = np.ones(x_nd.shape, bool)
    found = soft_impute(x_nd, whole_nd, np.random.default_rng(0), tol=1e-10, max_iter=200)
    value = np.linalg.svd(x_nd, compute_uv=False)
    expected = value[value > found.threshold] - found.threshold
    np.testing.assert_allclose(found.value_k, expected[: found.rank], rtol=1e-6)


def test_completion_of_nothing_but_zeros_is_zero():
    found = soft_impute(np.zeros((9, 7)), half((9, 7)), np.random.default_rng(0))
    assert found.rank == 0 and not found.dense().any()


def test_completion_does_not_read_what_is_missing():
    x_nd, observed_nd = low_rank(noise=0.3), half((80, 60))
    one, other = (
        soft_impute(np.where(observed_nd, x_nd, hidden), observed_nd, np.random.default_rng(0))
        for hidden in (np.nan, 9)
    )
    np.testing.assert_array_equal(one.dense(), other.dense())


def test_without_holes_the_components_are_the_principal_ones():
    x_nd = 3 + low_rank(noise=0.4)
    model = ppca(x_nd, np.ones(x_nd.shape, bool), 3)
    mean_d = x_nd.mean(axis=0)
    value_m, right_md = np.linalg.svd(x_nd - mean_d, full_matrices=False)[1:]
    value_m = value_m**2 / len(x_nd)
    np.testing.assert_allclose(model.mean_d, mean_d, atol=1e-6)
    assert model.noise == pytest.approx(value_m[3:].sum() / (60 - 3), rel=1e-6)
    strengths = np.linalg.svd(model.loading_dk, compute_uv=False) ** 2
    np.testing.assert_allclose(strengths, value_m[:3] - model.noise, rtol=1e-6)
    basis_dk = np.linalg.qr(model.loading_dk)[0]
    assert np.sum((right_md[:3] @ basis_dk) ** 2) == pytest.approx(3, abs=1e-8)
    assert model.converged


def observed_log_likelihood(x_nd: np.ndarray, observed_nd: np.ndarray, model) -> float:
    """Straight from the density of what is observed of each row."""
    total = 0.0
    for x_d, seen_d in zip(x_nd, observed_nd, strict=True):
        w = model.loading_dk[seen_d]
        covariance = w @ w.T + model.noise * np.eye(len(w))
        rest = x_d[seen_d] - model.mean_d[seen_d]
        total -= 0.5 * (len(w) * np.log(2 * np.pi) + np.linalg.slogdet(covariance)[1])
        total -= 0.5 * rest @ np.linalg.solve(covariance, rest)
    return total


def test_every_step_raises_the_likelihood_of_what_is_observed():
    x_nd, observed_nd = 3 + low_rank(40, 30, noise=0.4), half((40, 30))
    likelihood = [
        observed_log_likelihood(x_nd, observed_nd, ppca(x_nd, observed_nd, 3, max_iter=steps, tol=0))
        for steps in (1, 2, 3, 5, 10, 30, 100)
    ]
    assert (np.diff(likelihood) > 0).all()


def test_the_model_is_recovered_through_holes():
    truth_nd = 3 + low_rank(300, 60)
    x_nd = truth_nd + 0.5 * np.random.default_rng(5).normal(size=truth_nd.shape)
    observed_nd = half(x_nd.shape)
    model = ppca(np.where(observed_nd, x_nd, np.nan), observed_nd, 3)
    assert np.sqrt(model.noise) == pytest.approx(0.5, rel=0.05)
    lost = ~observed_nd
    assert np.sqrt(np.mean((model.dense() - truth_nd)[lost] ** 2)) < 0.25


def test_a_feature_that_was_never_observed_gets_no_loading():
    x_nd, observed_nd = low_rank(noise=0.3), half((80, 60))
    observed_nd[:, 7] = False
    model = ppca(x_nd, observed_nd, 3)
    assert np.abs(model.loading_dk[7]).max() < 1e-8 and abs(model.mean_d[7]) < 1e-8
    assert np.isfinite(model.dense()).all()
