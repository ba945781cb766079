"""CS-CORE against closed-form covariances and a plain transcription of its formulas."""

import numpy as np
import pytest
import scipy.sparse as sp

from corpuscle.benchmarks.coregulation.cscore import cscore, cscore_one_to_many
from corpuscle.errors import MethodError


def lognormal(n, seed):
    """Poisson counts whose rates are log-normal with a known covariance."""
    rng = np.random.default_rng(seed)
    depth_n = rng.lognormal(np.log(2000), 0.5, n)
    log_mean = np.log([2e-3, 1e-3, 3e-3])
    log_cov = np.array([[0.5, 0.3, -0.2], [0.3, 0.6, 0.0], [-0.2, 0.0, 0.4]])
    mu = np.exp(log_mean + np.diag(log_cov) / 2)
    cov = np.outer(mu, mu) * (np.exp(log_cov) - 1)
    rate_nk = np.exp(rng.multivariate_normal(log_mean, log_cov, n))
    return rng.poisson(depth_n[:, None] * rate_nk), depth_n, mu, cov


def gamma(n, seed):
    """Poisson counts whose gamma rates share a part."""
    rng = np.random.default_rng(seed)
    depth_n = rng.lognormal(np.log(2000), 0.5, n)
    rate_nk = 1e-3 * (rng.gamma(1.5, size=(n, 1)) + rng.gamma(1.0, size=(n, 3)))
    return rng.poisson(depth_n[:, None] * rate_nk), depth_n, np.full(3, 2.5e-3), 1e-6 * (1.5 + np.eye(3))


@pytest.mark.parametrize("simulate", [lognormal, gamma])
def test_estimates_the_closed_form_within_monte_carlo_error(simulate):
    fits = []
    for seed in range(8):
        x_nk, depth_n, mu, cov = simulate(4000, seed)
        fits.append(cscore(x_nk, depth_n))
    truth = cov / np.sqrt(np.outer(np.diag(cov), np.diag(cov)))
    upper = np.triu_indices(3, 1)
    for got, expected in (
        (np.array([fit.mu_k / mu for fit in fits]), 1.0),
        (np.array([fit.sigma_k / np.diag(cov) for fit in fits]), 1.0),
        (np.array([fit.rho[upper] for fit in fits]), truth[upper]),
    ):
        error = got.std(axis=0, ddof=1) / np.sqrt(len(fits))
        assert (np.abs(got.mean(axis=0) - expected) < 4 * error + 0.01).all()
        assert (error < 0.04).all()
    # What Poisson noise does to the plain correlation of log values is what this estimator is free of.
    log_nk = np.log1p(1e4 * x_nk / depth_n[:, None])
    assert np.corrcoef(log_nk.T)[0, 1] < truth[0, 1] - 0.1


def transcribed(x_n, s_n):
    """The published formulas, in the units of the depths."""
    w = np.ones_like(s_n)
    mu = sigma = np.inf
    for rounds in range(1, 21):
        old = mu, sigma
        mu = (w * s_n * x_n).sum() / (w * s_n**2).sum()
        h = w**2
        sigma = (h * s_n**2 * ((x_n - s_n * mu) ** 2 - s_n * mu)).sum() / (h * s_n**4).sum()
        w = 1 / (s_n * mu + s_n**2 * max(sigma, 0))
        if rounds > 1 and abs(mu - old[0]) <= 0.01 * abs(old[0]) and abs(sigma - old[1]) <= 0.01 * abs(old[1]):
            break
    return mu, sigma, w, rounds


def test_equals_the_formulas():
    x_nk, depth_n, _, _ = lognormal(500, 0)
    fit = cscore_one_to_many(x_nk[:, 0], x_nk[:, 1:], depth_n)
    mu, sigma, w, _ = transcribed(x_nk[:, 0], depth_n)
    for k in range(2):
        mu_k, sigma_k, w_k, rounds = transcribed(x_nk[:, 1 + k], depth_n)
        g = w * w_k
        product = (x_nk[:, 0] - depth_n * mu) * (x_nk[:, 1 + k] - depth_n * mu_k)
        cov = (g * depth_n**2 * product).sum() / (g * depth_n**4).sum()
        assert fit.rho[k] == pytest.approx(cov / np.sqrt(sigma * sigma_k), rel=1e-8)
        assert (fit.mu_k[k], fit.sigma_k[k]) == pytest.approx((mu_k, sigma_k), rel=1e-8)
        assert fit.rounds_k[k] == rounds


def test_one_to_many_equals_the_matrix_dense_and_sparse(monkeypatch):
    monkeypatch.setattr("corpuscle.benchmarks.coregulation.cscore.BLOCK_CELLS", 333)
    x_nk, depth_n, _, _ = lognormal(1000, 3)
    for values in (x_nk, sp.csc_matrix(x_nk), sp.csr_matrix(x_nk.astype(np.float32))):
        matrix = cscore(values, depth_n)
        row = cscore_one_to_many(x_nk[:, 0], values, depth_n)
        np.testing.assert_allclose(row.rho[1:], matrix.rho[0, 1:], rtol=1e-10)
        np.testing.assert_allclose(matrix.rho, matrix.rho.T)
    np.testing.assert_array_equal(np.diag(matrix.rho), 1.0)
    assert not np.diag(matrix.clipped).any()


def test_a_gene_without_extra_variance_is_undefined():
    x_nk, depth_n, _, _ = lognormal(600, 1)
    even_n = np.rint(depth_n / 400).astype(int)  # varies with depth alone, so less than Poisson
    x_nk = np.column_stack([x_nk, even_n, np.zeros(600, int)])
    fit = cscore_one_to_many(x_nk[:, 0], x_nk[:, 1:], depth_n)
    assert fit.sigma_k[2] < 0
    assert list(fit.reason) == ["", "", "non_positive_variance", "zero_variance"]
    assert (np.isnan(fit.rho) == [False, False, True, True]).all()
    assert set(cscore_one_to_many(even_n, x_nk, depth_n).reason) == {"target_non_positive_variance"}
    matrix = cscore(x_nk, depth_n)
    assert np.isnan(matrix.rho[3]).all()
    assert np.isnan(matrix.rho[:, 4]).all()
    assert np.isfinite(matrix.rho[:3, :3]).all()


def test_an_estimate_above_one_is_clipped_and_flagged():
    rng = np.random.default_rng(0)
    depth_n = rng.lognormal(np.log(2000), 0.3, 800)
    x_n = rng.poisson(depth_n * 1e-3 * rng.gamma(2.0, 0.5, 800))
    # The very same counts share their Poisson noise as well as their rate: more than a correlation of 1.
    fit = cscore_one_to_many(x_n, x_n[:, None], depth_n)
    assert fit.rho[0] == 1.0
    assert fit.clipped[0]
    other = cscore_one_to_many(x_n, rng.permutation(x_n)[:, None], depth_n)
    assert abs(other.rho[0]) < 0.3
    assert not other.clipped[0]


def test_depths_in_other_units_change_no_correlation():
    x_nk, depth_n, _, _ = lognormal(500, 2)
    plain, scaled = cscore(x_nk, depth_n), cscore(x_nk, depth_n * 1e6)
    np.testing.assert_allclose(scaled.rho, plain.rho, rtol=1e-8)
    np.testing.assert_allclose(scaled.mu_k * 1e6, plain.mu_k, rtol=1e-8)


def test_what_is_not_counts_is_refused():
    x_nk, depth_n, _, _ = lognormal(50, 0)
    with pytest.raises(MethodError, match="pass counts"):
        cscore_one_to_many(x_nk[:, 0], np.log1p(x_nk), depth_n)
    with pytest.raises(MethodError, match="pass counts"):
        cscore_one_to_many(np.full(50, -1.0), x_nk, depth_n)
    with pytest.raises(MethodError, match="cell 7 has depth 0"):
        cscore(x_nk, np.where(np.arange(50) == 7, 0, depth_n))
    with pytest.raises(MethodError, match="one depth for each cell"):
        cscore(x_nk, depth_n[:-1])
