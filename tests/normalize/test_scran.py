"""Deconvolved size factors, where the truth is known."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone

from corpuscle import Counts, open_counts
from corpuscle.counts import MemorySource
from corpuscle.errors import MethodError, OptionError
from corpuscle.normalize import normalizer
from corpuscle.normalize._pools import SINGLE_CELL_WEIGHT, positive_factors, ring_order, solve_ring

PBMC = (
    Path(os.environ.get("CORPUSCLE_DATA", Path(__file__).parents[3] / "shared" / "data"))
    / "coregulation/pbmc_1k_v3.h5ad"
)


def as_counts(x_ng: np.ndarray) -> Counts:
    obs = pd.DataFrame(index=[f"c{i}" for i in range(x_ng.shape[0])])
    var = pd.DataFrame(index=[f"g{i}" for i in range(x_ng.shape[1])])
    return Counts([MemorySource(sp.csr_matrix(x_ng.astype(np.int32)), obs, var)])


def simulated(
    n_cells: int = 240, n_genes: int = 800, changed: float = 0.0, seed: int = 0
) -> tuple[Counts, np.ndarray, np.ndarray]:
    """Poisson counts, true factors (mean 1), and group: in group 1 a share of the genes is 6 times up."""
    rng = np.random.default_rng(seed)
    factor_n = rng.lognormal(0, 0.4, n_cells)
    group_n = np.arange(n_cells) % 3 == 0
    rate_g = rng.gamma(1.0, 1.5, n_genes) + 0.1
    fold_g = np.where(np.arange(n_genes) < changed * n_genes, 6.0, 1.0)
    mean_ng = factor_n[:, None] * rate_g * np.where(group_n[:, None], fold_g, 1.0)
    return as_counts(rng.poisson(mean_ng)), factor_n / factor_n.mean(), group_n


def group_bias(estimate_n: np.ndarray, truth_n: np.ndarray, group_n: np.ndarray) -> float:
    """How far the estimate favours one group, as a log fold."""
    off = np.log(estimate_n / truth_n)
    return abs(off[group_n].mean() - off[~group_n].mean())


def dense_solution(ratio_sn: np.ndarray, sizes: tuple[int, ...]) -> np.ndarray:
    """The same equations written out and solved by dense least squares."""
    n = ratio_sn.shape[1]
    rows, right = [], []
    for size, ratio_n in zip(sizes, ratio_sn, strict=True):
        for start in range(n):
            row = np.zeros(n)
            row[(start + np.arange(size)) % n] = 1.0
            rows.append(row)
            right.append(ratio_n[start])
    faint = np.sqrt(SINGLE_CELL_WEIGHT)
    return np.linalg.lstsq(np.vstack([*rows, faint * np.eye(n)]), np.r_[right, np.full(n, faint)], rcond=None)[0]


def test_ring_is_a_permutation_of_neighbours_of_similar_depth() -> None:
    depth_n = np.random.default_rng(0).permutation(101).astype(float)
    ring = depth_n[ring_order(depth_n)]
    assert sorted(ring) == list(range(101))
    assert np.abs(ring - np.roll(ring, 1)).max() <= 2


def test_fourier_solution_is_that_of_dense_least_squares() -> None:
    ratio_sn = np.random.default_rng(1).lognormal(size=(4, 37))
    sizes = (5, 8, 11, 21)
    np.testing.assert_allclose(solve_ring(ratio_sn, sizes), dense_solution(ratio_sn, sizes), rtol=1e-6)


@settings(max_examples=30, deadline=None)
@given(n=st.integers(30, 90), seed=st.integers(0, 2**16))
def test_consistent_pools_give_back_the_factors(n: int, seed: int) -> None:
    true_n = np.random.default_rng(seed).lognormal(size=n)
    sizes = (21, 26, 27)
    around = np.r_[true_n, true_n]
    ratio_sn = np.stack([[around[i : i + size].sum() for i in range(n)] for size in sizes])
    np.testing.assert_allclose(solve_ring(ratio_sn, sizes), true_n, rtol=1e-3)


def test_without_differences_between_cells_factors_are_the_depth() -> None:
    counts, truth_n, _ = simulated()
    found_n = normalizer("scran").fit(counts).size_factors_
    depth_n = counts.profile().depth_n
    assert found_n.mean() == pytest.approx(1)
    np.testing.assert_allclose(np.log(found_n), np.log(depth_n / depth_n.mean()), atol=0.2)
    assert np.std(np.log(found_n / depth_n)) < 0.06
    assert np.std(np.log(found_n / truth_n)) < 0.06


@pytest.mark.parametrize("by_cluster", [False, True])
def test_composition_bias_is_removed(by_cluster: bool) -> None:
    counts, truth_n, group_n = simulated(changed=0.2)
    depth_n = counts.profile().depth_n
    found_n = normalizer("scran", clusters=group_n if by_cluster else None).fit(counts).size_factors_
    assert group_bias(depth_n, truth_n, group_n) > 0.5
    assert group_bias(found_n, truth_n, group_n) < (0.1 if by_cluster else 0.25)


def test_quick_clusters_find_the_groups() -> None:
    counts, truth_n, group_n = simulated(n_cells=330, changed=0.2, seed=3)
    method = normalizer("scran", clusters="quick").fit(counts)
    assert group_bias(method.size_factors_, truth_n, group_n) < 0.1
    np.testing.assert_array_equal(method.size_factors_, clone(method).fit(counts).size_factors_)


def test_values_are_logs_of_counts_over_factors_and_keep_zeros() -> None:
    counts, _, _ = simulated(n_cells=60)
    method = normalizer("scran").fit(counts)
    some = method.transform(counts, ["g5", "g1"])
    expected = np.log2(counts.to_csr().toarray() / method.size_factors_[:, None] + 1)
    assert sp.issparse(some) and some.dtype == np.float64
    np.testing.assert_allclose(some.toarray(), expected[:, [5, 1]])
    np.testing.assert_allclose(method.transform(counts).toarray(), expected)


def test_fewer_than_a_hundred_cells_use_the_pools_that_fit() -> None:
    counts, truth_n, _ = simulated(n_cells=40)
    np.testing.assert_allclose(np.log(normalizer("scran").fit(counts).size_factors_), np.log(truth_n), atol=0.3)


def test_fewer_cells_than_the_smallest_pool_are_refused() -> None:
    counts, _, _ = simulated(n_cells=20)
    with pytest.raises(MethodError, match=r"20 cells in a cluster are fewer than the smallest pool \(21\)"):
        normalizer("scran").fit(counts)
    assert normalizer("scran", sizes=(5, 8)).fit(counts).size_factors_.shape == (20,)


def test_an_empty_cell_is_named() -> None:
    x_ng = np.ones((40, 30))
    x_ng[7] = 0
    with pytest.raises(MethodError, match="c7 has no counts"):
        normalizer("scran").fit(as_counts(x_ng))


def test_genes_that_are_all_too_low_are_refused() -> None:
    x_ng = np.zeros((50, 600))
    x_ng[np.arange(50), np.arange(50)] = 1
    with pytest.raises(MethodError, match=r"no gene has a mean count of 0\.1 or more"):
        normalizer("scran").fit(as_counts(x_ng))


def test_factors_that_are_not_positive_are_read_off_the_curve_of_detected_genes() -> None:
    rng = np.random.default_rng(2)
    true_n = rng.lognormal(0, 0.5, 200)
    genes_n = (2000 * true_n / (true_n + 1.0)).round()
    broken_n = true_n.copy()
    low = np.argsort(true_n)[[3, 9]]
    broken_n[low] = [-0.2, 0.0]
    fixed_n, n_fixed = positive_factors(broken_n, genes_n, method="scran")
    assert n_fixed == 2
    np.testing.assert_allclose(fixed_n[low], true_n[low], rtol=0.05)
    np.testing.assert_array_equal(np.delete(fixed_n, low), np.delete(true_n, low))


def test_mostly_failed_factors_are_an_error() -> None:
    with pytest.raises(MethodError, match="3 of 4 size factors are not positive"):
        positive_factors(np.array([-1.0, 0.0, -2.0, 1.0]), np.array([5, 5, 5, 5]), method="scran")


def test_real_cells_that_fail_are_reported() -> None:
    if not PBMC.is_file():
        pytest.skip(f"needs {PBMC.name} from the shared data (CORPUSCLE_DATA)")
    counts = open_counts(PBMC)
    with pytest.warns(UserWarning, match="size factors were not positive"):
        method = normalizer("scran").fit(counts)
    assert 0 < method.n_repaired_ < 20
    assert (method.size_factors_ > 0).all()
    depth_n = counts.profile().depth_n
    assert np.corrcoef(np.log(method.size_factors_), np.log(depth_n))[0, 1] > 0.85


def test_other_cells_are_refused() -> None:
    counts, _, _ = simulated(n_cells=60)
    method = normalizer("scran").fit(counts)
    with pytest.raises(MethodError, match="belong to the cells they were fitted on"):
        method.transform(counts.select_cells(np.arange(59, -1, -1)), ["g1"])


@pytest.mark.parametrize(
    "params", [{"sizes": ()}, {"sizes": (1, 5)}, {"min_mean": 0}, {"clusters": "louvain"}, {"clusters": [0, 1]}]
)
def test_parameters_without_sense_are_refused(params: dict) -> None:
    with pytest.raises(OptionError):
        normalizer("scran", **params).fit(simulated(n_cells=30)[0])
