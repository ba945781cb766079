"""Real counts with a mask whose truth is known: distances that fills bend, and the components that they do not."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from corpuscle import open_counts
from corpuscle.datasets import bundled_path
from corpuscle.reduce import UnbiasedGram, UnbiasedPCA


@cache
def expression() -> np.ndarray:
    """400 cells by their 600 most variable genes, log1p of counts per 10,000."""
    x_nd = open_counts(bundled_path("pbmc_1k_v3")).to_csr()[:400].toarray().astype(float)
    x_nd = np.log1p(1e4 * x_nd / x_nd.sum(axis=1, keepdims=True))
    return x_nd[:, np.sort(np.argsort(-x_nd.var(axis=0), kind="stable")[:600])]


def masked(name: str) -> np.ndarray:
    rng = np.random.default_rng(3)
    n, d = expression().shape
    if name == "uniform":
        p_nd = np.outer(rng.uniform(0.2, 1, n), rng.uniform(0.2, 1, d))
    elif name == "logit":
        p_nd = 1 / (1 + np.exp(-rng.normal(0, 1.2, (n, 1)) - rng.normal(0, 1.2, d)))
    elif name == "generator":
        p_nd = 1 - np.outer(rng.uniform(0.4, 0.6, n), rng.uniform(0.7, 0.9, d))
    else:
        p_nd = np.full((n, d), 0.5)
    return np.where(rng.random((n, d)) < p_nd, expression(), np.nan)


def squared(x_nd: np.ndarray) -> np.ndarray:
    square_n = (x_nd**2).sum(axis=1)
    return np.maximum(square_n[:, None] + square_n - 2 * x_nd @ x_nd.T, 0)


def error(found_nn: np.ndarray) -> float:
    truth_nn = squared(expression())
    return float(np.linalg.norm(found_nn - truth_nn) / np.linalg.norm(truth_nn))


def fills(x_nd: np.ndarray) -> tuple[float, float]:
    """Errors with zeros, and with means, in place of what is missing."""
    return error(squared(np.nan_to_num(x_nd))), error(squared(np.where(np.isnan(x_nd), np.nanmean(x_nd, axis=0), x_nd)))


@pytest.mark.parametrize("name", ["constant", "generator", "uniform", "logit"])
def test_squared_distances_are_far_nearer_the_truth_than_with_fills(name: str) -> None:
    x_nd = masked(name)
    found = error(UnbiasedGram().fit(x_nd).distances())
    assert found <= 0.35 * min(fills(x_nd))
    assert found < 0.18


def test_uneven_missingness_does_no_harm_where_the_published_formula_does() -> None:
    x_nd = masked("logit")
    authors = error(UnbiasedGram(propensity="rank1", cap="authors").fit(x_nd).distances())
    assert authors > 0.6
    assert error(UnbiasedGram(propensity="rank1").fit(x_nd).distances()) < 0.3 * authors
    assert error(UnbiasedGram().fit(x_nd).distances()) < 0.25 * authors


def test_leading_components_are_as_good_as_with_filled_means_and_no_better_is_claimed() -> None:
    from sklearn.decomposition import PCA

    x_nd = masked("constant")
    truth_nk = np.linalg.qr(PCA(10, random_state=0).fit_transform(expression()))[0]
    filled_nd = np.where(np.isnan(x_nd), np.nanmean(x_nd, axis=0), x_nd)
    space = [np.linalg.qr(found)[0] for found in (
        UnbiasedPCA(10).fit_transform(x_nd), PCA(10, random_state=0).fit_transform(filled_nd))]  # fmt: skip
    ours, means = (np.sqrt(1 - np.square(truth_nk.T @ q_nk).sum() / 10) for q_nk in space)
    assert ours <= means + 0.06


def test_hardly_any_missingness_changes_little() -> None:
    x_nd = np.where(np.random.default_rng(0).random(expression().shape) < 0.95, expression(), np.nan)
    assert error(UnbiasedGram().fit(x_nd).distances()) < 0.06
