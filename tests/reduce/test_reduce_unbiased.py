"""Means over many masks: the corrected Gram matrix is right on average and the zero-filled one is not."""

from __future__ import annotations

from functools import cache

import numpy as np

from corpuscle.reduce import UnbiasedGram

N, D, DRAWS = 8, 30, 2_000


@cache
def design() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(11)
    x_nd = rng.normal(size=(N, 2)) @ rng.normal(size=(2, D)) + rng.normal(size=(N, D))
    return x_nd, np.outer(rng.uniform(0.4, 0.95, N), rng.uniform(0.5, 1.0, D))


def draws(estimator: str, redraw: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Corrected and zero-filled Gram matrices of many masks; with ``redraw``, of values with that covariance of rows.

    One fit has all draws of the mask below each other: the estimator is a formula for each pair of rows, so the blocks on
    the diagonal are what single fits would give, as nothing is centred and the probabilities are known.
    """
    x_nd, p_nd = design()
    rng = np.random.default_rng(5)
    found_tnn, naive_tnn = [], []
    for _ in range(DRAWS // 100):
        observed_bd = rng.random((100 * N, D)) < np.tile(p_nd, (100, 1))
        if redraw is None:
            values_bd = np.tile(x_nd, (100, 1))
        else:
            values_bd = (np.linalg.cholesky(redraw) @ rng.normal(size=(100, N, D))).reshape(-1, D)
        kept = np.repeat(observed_bd.reshape(100, N, D).any(axis=2).all(axis=1), N)
        assert kept.all()
        gram = UnbiasedGram(estimator, propensity=np.tile(p_nd, (100, 1)), center=None, double_center=False)
        if redraw is not None:
            gram.set_params(scale="per_feature")
        whole_bb = gram.fit(values_bd, mask=observed_bd).gram()
        w_tnd = (values_bd * observed_bd).reshape(100, N, D)
        found_tnn.append(whole_bb.reshape(100, N, 100, N)[np.arange(100), :, np.arange(100), :])
        naive_tnn.append(w_tnd @ w_tnd.transpose(0, 2, 1) / (1 if redraw is None else D))
    return np.concatenate(found_tnn), np.concatenate(naive_tnn)


def share_within(found_tnn: np.ndarray, truth_nn: np.ndarray, errors: float = 4.0) -> float:
    """Share of entries whose mean is within so many standard errors of the truth."""
    standard_nn = found_tnn.std(axis=0, ddof=1) / np.sqrt(len(found_tnn))
    upper = np.triu_indices(N)
    return float(np.mean((np.abs(found_tnn.mean(axis=0) - truth_nn) <= errors * standard_nn)[upper]))


def test_horvitz_thompson_is_unbiased_for_any_values_and_zero_filling_is_not() -> None:
    x_nd, p_nd = design()
    found_tnn, naive_tnn = draws("ht")
    truth_nn = x_nd @ x_nd.T
    assert share_within(found_tnn, truth_nn) >= 0.99
    assert share_within(naive_tnn, truth_nn) <= 0.3
    # Neither is a matrix whose diagonal is corrected as the rest is: a squared norm shrinks by P and not by its square.
    doubly_tnn = found_tnn.copy()
    at = np.arange(N)
    doubly_tnn[:, at, at] = naive_tnn[:, at, at] / (p_nd**2).mean(1)
    assert share_within(doubly_tnn, truth_nn) < 0.9


def test_horvitz_thompson_varies_as_its_formula_says() -> None:
    x_nd, p_nd = design()
    found_tnn, _ = draws("ht")
    expected_nn = (x_nd**2 / p_nd) @ (x_nd**2 / p_nd).T - x_nd**2 @ (x_nd**2).T
    np.fill_diagonal(expected_nn, (x_nd**4 * (1 / p_nd - 1)).sum(1))
    relative_nn = found_tnn.var(axis=0, ddof=1) / expected_nn
    assert abs(np.median(relative_nn) - 1) < 0.05
    assert np.abs(relative_nn - 1).max() < 0.25


def test_ratio_is_unbiased_for_the_kernel_when_features_are_draws_of_one_law() -> None:
    position_n = np.linspace(0, 2, N)
    kernel_nn = np.exp(-((position_n[:, None] - position_n) ** 2)) + 0.3 * np.eye(N)
    found_tnn, naive_tnn = draws("ratio", redraw=kernel_nn)
    assert share_within(found_tnn, kernel_nn) >= 0.99
    assert share_within(naive_tnn, kernel_nn) <= 0.1


def test_ratio_targets_the_weighted_inner_product_of_fixed_values() -> None:
    x_nd, p_nd = design()
    found_tnn, naive_tnn = draws("ratio")
    weighted_nn = D * (p_nd * x_nd) @ (p_nd * x_nd).T / (p_nd @ p_nd.T)
    np.fill_diagonal(weighted_nn, D * (p_nd * x_nd**2).sum(1) / p_nd.sum(1))
    assert share_within(found_tnn, weighted_nn) >= 0.99
    assert share_within(naive_tnn, weighted_nn) <= 0.3
