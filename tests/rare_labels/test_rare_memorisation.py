"""Copying and collapse: the alarm rings for copiers and for generators of one sample, and for no fresh samples."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from scipy.special import comb

from corpuscle.benchmarks.rare_labels._figures import COLUMNS
from corpuscle.benchmarks.rare_labels.arms import Given, arm
from corpuscle.benchmarks.rare_labels.memorisation import FIGURES, effective_rank, memorisation, rarefied, verdict
from corpuscle.errors import OptionError


def expression(n: int, seed: int, d: int = 50) -> np.ndarray:
    """Normal samples with a spectrum that falls off, as principal components have it."""
    return np.random.default_rng(seed).normal(size=(n, d)) * np.linspace(3, 0.3, d)


@pytest.mark.parametrize("n", [5, 10, 30, 150])
@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_fresh_real_samples_ring_nothing(n: int, seed: int):
    table = memorisation(expression(n, seed), expression(5 * n, seed + 100), expression(n, seed + 200))
    assert verdict(table) == [], table


@pytest.mark.parametrize("n", [5, 10, 30, 150])
@pytest.mark.parametrize("jitter", [0.0, 0.05])
def test_a_generator_that_copies_training_samples_is_caught(n: int, jitter: float):
    rng, train = np.random.default_rng(0), expression(n, 0)
    copies = train[rng.integers(n, size=5 * n)] + jitter * rng.normal(size=(5 * n, 50))
    assert verdict(memorisation(train, copies, expression(n, 2))) == ["copies"]
    assert verdict(memorisation(train, copies)) == ["copies"]


@pytest.mark.parametrize("n", [5, 10, 30, 150])
@pytest.mark.parametrize("jitter", [0.0, 0.05])
def test_a_generator_that_returns_the_mean_has_collapsed(n: int, jitter: float):
    train = expression(n, 0)
    mean = train.mean(axis=0) + jitter * np.random.default_rng(1).normal(size=(5 * n, 50))
    assert verdict(memorisation(train, mean, expression(n, 2))) == ["collapsed"]


def test_one_training_sample_over_and_over_is_both():
    train = expression(40, 0)
    assert verdict(memorisation(train, np.tile(train[3], (40, 1)), expression(40, 1))) == ["copies", "collapsed"]


def test_a_line_through_the_label_has_collapsed_by_its_rank():
    train = expression(100, 0)
    line = train.mean(axis=0) + np.random.default_rng(1).normal(size=(100, 1)) * 10 * np.linspace(1, 0, 50)
    value = memorisation(train, line).set_index("figure").value
    assert value["rank_ratio"] < 0.1 and value["spread_ratio"] > 1
    assert "collapsed" in verdict(memorisation(train, line))


def test_other_series_of_the_held_out_samples_do_not_make_a_copier():
    """Held-out samples far off by a batch effect: fresh samples of the training series are nearer, and innocent."""
    table = memorisation(expression(60, 0), expression(60, 1), expression(60, 2) + 20)
    value = table.set_index("figure").value
    assert value["nearest_ratio"] < 0.5 and 0.8 < value["nearest_ratio_left_out"] < 1.2 and verdict(table) == []


def test_the_arms_that_copy_are_caught():
    train = expression(20, 0)
    x_nd = np.vstack([train, expression(60, 5) + 4]).astype(np.float32)
    at = Given(x_nd, np.repeat([1, 0], [20, 60]), 1, 100, 0, np.arange(80))
    caught = {name: verdict(memorisation(x_nd[:20], arm(name)(at).x_sd, expression(30, 2))) for name in
              ("oversample", "noise", "mvn")}  # fmt: skip
    assert caught == {"oversample": ["copies"], "noise": ["copies"], "mvn": []}


def test_figures_by_hand():
    train = np.array([[0.0], [1.0], [3.0], [7.0]])
    fake = np.array([[0.1], [0.2], [6.5], [20.0]])
    table = memorisation(train, fake, np.array([[2.0], [9.0]]))
    assert tuple(table.columns) == COLUMNS and tuple(table.figure) == FIGURES and (table.reason == "").all()
    value, reference = table.set_index("figure").value, table.set_index("figure").reference
    np.testing.assert_allclose(value["nearest_ratio"], 0.35 / 1.5)  # medians of .1 .2 .5 13, and of 1 2
    np.testing.assert_allclose(value["nearest_ratio_left_out"], 0.35 / 1.5)  # left out: 1 1 2 4
    assert value["close_share"] == 0.75 and reference["nearest_ratio"] == 1
    assert value["distinct_share"] == 0.5  # nearest are 0 0 7 7
    np.testing.assert_allclose(value["distinct_relative"], 2 / 3)  # left out, nearest are 1 0 1 3: three of four
    np.testing.assert_allclose(value["duplicate_share"], 1 / 6)
    assert value["support"] == pytest.approx(6)
    np.testing.assert_allclose(value["spread_ratio"], (0.1 + 6.4 + 19.9 + 6.3 + 19.8 + 13.5) / (1 + 3 + 7 + 2 + 6 + 4))
    np.testing.assert_allclose(value["rank_ratio"], 1)


def test_the_birthday_paradox_counts_the_samples_of_a_copier():
    train = expression(25, 0)
    copies = train[np.random.default_rng(0).integers(25, size=600)]
    support = memorisation(train, copies).set_index("figure").value["support"]
    assert 20 < support < 30
    assert memorisation(train, expression(300, 1)).set_index("figure").value["support"] > 150


def test_distinct_samples_are_judged_by_what_so_many_draws_can_reach():
    """Ten training samples and a thousand synthetic ones: at most 1 % distinct, and yet nothing has collapsed."""
    value = memorisation(expression(10, 0), expression(1000, 1)).set_index("figure").value
    assert value["distinct_share"] <= 0.01 and value["distinct_relative"] > 0.6


def test_rarefied_is_the_hypergeometric_expectation():
    count_i, m = np.array([5, 3, 1, 1]), 4
    want = sum(1 - comb(10 - c, m) / comb(10, m) for c in count_i)
    np.testing.assert_allclose(rarefied(count_i, m), want, rtol=1e-10)
    assert rarefied(count_i, 10) == 4 and rarefied(count_i, 1) == pytest.approx(1) and rarefied(np.array([7]), 3) == 1


def test_effective_rank_of_known_spectra():
    assert effective_rank(np.ones((5, 3))) == 0
    np.testing.assert_allclose(effective_rank(np.vstack([np.eye(4), -np.eye(4)])), 4)
    np.testing.assert_allclose(effective_rank(np.outer([-1.0, 0, 1], [1.0, 2, 3])), 1)


def real_thirds(n_pcs: int) -> list[list[np.ndarray]]:
    """Principal components of real cells of each label in thirds, fitted without the second and third of it."""
    anndata = pytest.importorskip("anndata")
    from sklearn.decomposition import PCA

    shared = Path(os.environ.get("CORPUSCLE_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
    path = shared / "batch" / "zilionis_mouse_lung.h5ad"
    if not path.exists():
        pytest.skip(f"no real cells: {path.name} is not there; set CORPUSCLE_DATA")
    cells = anndata.read_h5ad(path)
    x_ng = cells.X[:, np.argsort(-np.asarray(cells.X.mean(axis=0)).ravel())[:3000]].toarray().astype(float)
    x_ng = np.log2(x_ng / x_ng.sum(axis=1, keepdims=True) * 1e4 + 1)
    out, rng = [], np.random.default_rng(0)
    for label in cells.obs["cell_type"].unique():
        own = rng.permutation(np.flatnonzero(cells.obs["cell_type"] == label))
        r = len(own) // 3
        z_nd = PCA(n_pcs, random_state=0).fit(np.delete(x_ng, own[r:], axis=0)).transform(x_ng)
        out.append([z_nd[own[i * r : (i + 1) * r]] for i in range(3)])
    return out


def test_real_cells_that_were_not_seen_ring_nothing_though_components_were_fitted_without_them():
    """Unseen cells spread less than those that the components were fitted on, half as much of one label here."""
    thirds = real_thirds(50)
    spreads = []
    for train, fresh, held in thirds:
        table = memorisation(train, fresh, held)
        assert verdict(table) == [], table
        spreads.append(table.set_index("figure").value["spread_ratio"])
        assert verdict(memorisation(train, np.tile(train, (2, 1)), held)) == ["copies"]
        assert "collapsed" in verdict(memorisation(train, np.tile(train.mean(axis=0), (60, 1)), held))
    assert max(spreads) < 0.9


def test_too_few_samples_accuse_nobody_and_say_why():
    for train, fake in ((expression(1, 0), expression(9, 1)), (expression(9, 0), expression(0, 1))):
        table = memorisation(train, fake, expression(5, 2))
        assert table.value.isna().all() and table.reason.str.contains("takes").all() and verdict(table) == []
    two = memorisation(expression(2, 0), expression(2, 1)).set_index("figure")
    assert two.reason["nearest_ratio"] == "no held-out samples" and np.isfinite(two.value["distinct_relative"])
    assert "takes 3" in two.reason["rank_ratio"]
    doubled = np.repeat(expression(4, 0), 2, axis=0)
    table = memorisation(doubled, doubled).set_index("figure")
    assert "copy among the training" in table.reason["nearest_ratio_left_out"] and table.value["close_share"] == 1


def test_arrays_that_do_not_fit_are_refused():
    for arrays in ((expression(4, 0), expression(4, 1, d=3)), (expression(4, 0), expression(4, 1) * np.nan)):
        with pytest.raises(OptionError):
            memorisation(*arrays)
    with pytest.raises(OptionError, match="n_max"):
        memorisation(expression(4, 0), expression(4, 1), n_max=1)
