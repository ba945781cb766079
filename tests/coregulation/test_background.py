"""Background genes: alike, unrelated, and the same for every method."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpuscle.benchmarks.coregulation.background import GenePool, choose_background, eligible_genes, related_genes
from corpuscle.counts import Profile
from corpuscle.datasets import Pair
from corpuscle.errors import MethodError, OptionError

EXCLUSION = Pair("IGKC_vs_IGLC2", "exclusion", "IGKC", "IGLC2")
REPORTER = Pair("eGFP", "reporter", "eGFP", "Sox9")


def test_related_genes_of_an_exclusion_pair():
    names = ["IGKC", "IGLC2", "IGHM", "IGLL5", "IGHMBP2", "IGLON5", "JCHAIN", "CD19", "Igkv1"]
    assert related_genes(names, [EXCLUSION]).tolist() == [True, True, True, True, False, False, True, False, True]


def test_related_genes_of_a_reporter():
    names = ["eGFP", "Sox9", "tdTomato", "Cre", "CreERT2", "Creb1", "Neo1", "WPRE", "Ighm", "Krt7"]
    related = dict(zip(names, related_genes(names, [REPORTER]), strict=True))
    assert related["eGFP"] and related["Sox9"] and related["tdTomato"] and related["CreERT2"] and related["WPRE"]
    assert not related["Ighm"] and not related["Krt7"]


def pool_of(mean):
    mean = np.asarray(mean, float)
    return GenePool(np.arange(mean.size), 1 - np.exp(-mean), mean)


def test_matched_takes_the_nearest():
    pool = pool_of(np.geomspace(0.05, 20, 400))
    chosen = choose_background(pool, 200, n=50)
    assert 200 not in chosen
    assert np.abs(chosen - 200).max() <= 30
    assert (np.diff(chosen) > 0).all()


@settings(deadline=None, max_examples=40)
@given(
    means=st.lists(st.floats(0.02, 50), min_size=5, max_size=80),
    target=st.integers(0, 4),
    mode=st.sampled_from(["matched", "matched_random", "random_expressed", "all"]),
    n=st.integers(1, 60),
)
def test_any_mode_gives_distinct_eligible_genes_without_the_target(means, target, mode, n):
    pool = pool_of(means)
    first = choose_background(pool, target, mode=mode, n=n, rng=np.random.default_rng(1))
    again = choose_background(pool, target, mode=mode, n=n, rng=np.random.default_rng(1))
    assert (first == again).all()
    assert target not in first
    assert np.unique(first).size == first.size
    assert np.isin(first, pool.genes).all()
    if mode.startswith("matched"):
        assert first.size == min(n, max(1, (len(means) - 1) // 2))


def test_eligible_means_ten_cells_and_one_percent():
    n = 2000
    profile = Profile(np.full(n, 9), np.full(n, 3), np.array([50, 40, 30]), np.array([20, 19, 25]))
    assert eligible_genes(profile, np.array([False, False, True])).genes.tolist() == [0]


def test_refusals():
    with pytest.raises(OptionError, match="unknown"):
        choose_background(pool_of([1, 2, 3]), 0, mode="best")
    with pytest.raises(MethodError, match="nothing to compare with"):
        choose_background(pool_of([1.0]), 0)
    silent = pool_of([1.0, 1.0, 1.0])
    silent.rate_g[0] = 0
    with pytest.raises(MethodError, match="zero in every"):
        choose_background(silent, 0)
