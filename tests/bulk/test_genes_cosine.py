"""Mean cosines by the fast formula, against the matrix of all pairs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.metrics.pairwise import cosine_similarity

from corpuscle.bulk.genes import mean_cosine
from corpuscle.bulk.genes.cosine import add_inner_products, from_gram, from_scores, from_sums, repo_scale
from corpuscle.counts import Counts, MemorySource
from corpuscle.normalize import normalizer


def by_pairs(x_kd):
    cosine_kk = cosine_similarity(x_kd)
    return cosine_kk[np.triu_indices(len(x_kd), 1)].mean()


@pytest.fixture(scope="module")
def profiles():
    return np.random.default_rng(0).gamma(0.7, 2.0, (300, 40))


def test_fast_formula_is_the_mean_of_all_pairs(profiles):
    assert mean_cosine(profiles[:20]) == pytest.approx(by_pairs(profiles[:20]), abs=1e-12)


def test_formula_of_the_repository_is_twice_that_and_the_diagonal(profiles):
    cosine_kk = cosine_similarity(profiles[:100])
    published = cosine_kk.sum() / (100 * 99 / 2)
    assert repo_scale(np.array([mean_cosine(profiles[:100])]), 100)[0] == pytest.approx(published, abs=1e-12)


def test_profiles_without_direction_are_left_out(profiles):
    with_zero = np.concatenate([profiles[:9], np.zeros((1, 40))])
    assert mean_cosine(with_zero) == pytest.approx(by_pairs(profiles[:9]))
    assert np.isnan(mean_cosine(with_zero[-2:]))
    members = np.arange(10)[None]
    gram_nn = with_zero @ with_zero.T
    assert from_gram(gram_nn, members) == pytest.approx(from_scores(with_zero, members))
    assert from_scores(with_zero, members)[0] == pytest.approx(by_pairs(profiles[:9]))


@pytest.mark.parametrize("centred", [False, True])
def test_three_ways_agree(centred):
    rng = np.random.default_rng(1)
    x_ng = rng.poisson(rng.gamma(0.5, 20.0, (600, 70))).astype(np.int32)
    x_ng[:, 0] += 1
    counts = made_counts(x_ng)
    method = normalizer("log_cpm").fit(counts)
    value_ng = method.transform(counts)
    value_ng = np.asarray(value_ng.todense()) if hasattr(value_ng, "todense") else value_ng
    mean_g = value_ng.mean(axis=0) if centred else np.zeros(70)
    member_wk = np.stack([rng.choice(600, 15, replace=False) for _ in range(30)])
    pairs_w = [by_pairs(value_ng[member] - mean_g) for member in member_wk]
    gram_nn = np.zeros((600, 600))
    for genes in (slice(0, 33), slice(33, 70)):
        add_inner_products(value_ng.T[genes], mean_g[genes], gram_nn)
    assert from_gram(gram_nn, member_wk) == pytest.approx(pairs_w, abs=1e-10)
    assert from_scores(value_ng - mean_g, member_wk) == pytest.approx(pairs_w, abs=1e-10)
    for budget in (10**9, 4 * 70 * 7):  # all windows in one pass, and seven a pass
        summed = from_sums(counts, method, member_wk, mean_g if centred else None, budget=budget)
        assert summed == pytest.approx(pairs_w, abs=1e-5)


def made_counts(x_ng):
    obs = pd.DataFrame(index=[f"s{i}" for i in range(x_ng.shape[0])])
    var = pd.DataFrame(index=[f"g{i}" for i in range(x_ng.shape[1])])
    return Counts([MemorySource(sp.csr_matrix(x_ng), obs, var, name="made")])
