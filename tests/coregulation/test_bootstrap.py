"""Bootstrap by weights equals resampled rows; permuted, split and thinned counts keep what they promise."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from corpuscle.benchmarks.coregulation import bootstrap
from corpuscle.benchmarks.coregulation.association import MEASURES, associate
from corpuscle.benchmarks.coregulation.bootstrap import (
    bootstrap_associate,
    bootstrap_pearson,
    bootstrap_weights,
    interval,
)
from corpuscle.benchmarks.coregulation.null import permute_depth_preserving, split_counts, thin_counts
from corpuscle.errors import MethodError, OptionError


def values(n=150, k=12, seed=0):
    """Log values with tied zeros; gene 3 is absent, gene 4 found in two cells, gene 5 far from zero."""
    rng = np.random.default_rng(seed)
    x_nk = np.log1p(rng.poisson(rng.gamma(0.5, 2.0, k) * np.ones((n, 1))))
    x_nk[:, 3] = 0.0
    x_nk[:, 4] = np.isin(np.arange(n), [5, 50])
    x_nk[:, 5] = 1e6 + rng.normal(size=n)
    return x_nk[:, 0] + rng.poisson(0.5, n), x_nk


def by_rows(t_n, x_nk, weights_bn, measure="pearson", **given):
    rows = [np.repeat(np.arange(t_n.size), w_n) for w_n in weights_bn]
    return np.array([associate(t_n[r], x_nk[r], measure, **{k: v[r] for k, v in given.items()}) for r in rows])


def test_weights_are_draws_with_replacement():
    weights_bn = bootstrap_weights(2000, 50, np.random.default_rng(0))
    assert weights_bn.dtype == np.uint8
    assert (weights_bn.sum(axis=1, dtype=int) == 2000).all()
    # Binomial(n, 1/n): variance 1 - 1/n, and a share (1 - 1/n)^n of cells never drawn.
    assert weights_bn.var() == pytest.approx(1.0, abs=0.02)
    assert (weights_bn == 0).mean() == pytest.approx(np.exp(-1), abs=0.01)
    assert not (weights_bn[0] == weights_bn[1]).all()


def test_more_replicates_leave_the_first_as_they_were():
    few, many = (bootstrap_weights(40, b, np.random.default_rng(3)) for b in (5, 20))
    np.testing.assert_array_equal(few, many[:5])


def test_strata_keep_their_size():
    strata_n = np.array(["a", "b", "c"])[np.r_[np.zeros(30, int), np.ones(50, int), 2]]
    weights_bn = bootstrap_weights(81, 20, np.random.default_rng(0), strata_n=strata_n)
    for label, size in (("a", 30), ("b", 50), ("c", 1)):
        assert (weights_bn[:, strata_n == label].sum(axis=1) == size).all()
    assert weights_bn[:, strata_n == "a"].std() > 0.5


def test_pearson_equals_corrcoef_of_the_drawn_rows():
    t_n, x_nk = values()
    weights_bn = bootstrap_weights(t_n.size, 40, np.random.default_rng(1))
    r_bk = bootstrap_pearson(t_n, x_nk, weights_bn)
    rows = np.repeat(np.arange(t_n.size), weights_bn[7])
    assert r_bk[7, 1] == pytest.approx(np.corrcoef(t_n[rows], x_nk[rows, 1])[0, 1], abs=1e-13)
    np.testing.assert_allclose(r_bk, by_rows(t_n, x_nk, weights_bn), atol=1e-9)
    np.testing.assert_allclose(bootstrap_pearson(t_n, sp.csc_matrix(x_nk), weights_bn), r_bk, atol=1e-12)


def test_unit_weights_give_the_association_itself():
    t_n, x_nk = values()
    ones_bn = np.ones((1, t_n.size), np.uint8)
    for measure in ("pearson", "spearman", "kendall", "bicor"):
        np.testing.assert_allclose(
            bootstrap_associate(measure, t_n, x_nk, ones_bn)[0], associate(t_n, x_nk, measure), atol=1e-12
        )


def test_a_gene_that_no_drawn_cell_has_is_undefined_in_that_replicate_alone():
    t_n, x_nk = values()
    weights_bn = bootstrap_weights(t_n.size, 200, np.random.default_rng(2))
    missed_b = (weights_bn[:, [5, 50]] == 0).all(axis=1)
    assert 0 < missed_b.sum() < 200
    for measure in ("pearson", "spearman", "kendall"):
        r_bk = bootstrap_associate(measure, t_n, x_nk, weights_bn)
        assert (np.isnan(r_bk[:, 4]) == missed_b).all()
        assert np.isnan(r_bk[:, 3]).all()
        assert np.isfinite(r_bk[:, [0, 5]]).all()


def test_an_outlier_that_is_not_drawn_leaves_exact_digits():
    rng = np.random.default_rng(0)
    t_n = rng.normal(size=60)
    x_n = 1e-3 * (t_n + rng.normal(size=60))
    x_n[0] = 1e6
    weights_bn = bootstrap_weights(60, 50, rng)
    assert (weights_bn[:, 0] == 0).any()
    r_bk = bootstrap_pearson(t_n, x_n[:, None], weights_bn)
    np.testing.assert_allclose(r_bk, by_rows(t_n, x_n[:, None], weights_bn), atol=1e-6)


@pytest.mark.parametrize("measure", [name for name in MEASURES if not name.endswith("_retied")])
def test_every_measure_equals_itself_on_the_drawn_rows(measure):
    rng = np.random.default_rng(5)
    depth_n = rng.gamma(3, 1000, 90)
    x_nk = rng.poisson(np.outer(depth_n, [2e-3, 1e-3, 5e-4, 0]) * rng.gamma(2, 0.5, (90, 1)))
    weights_bn = bootstrap_weights(90, 6, rng)
    given = {"depth_n": depth_n} if measure == "cscore" else {}
    expected = by_rows(x_nk[:, 0], x_nk, weights_bn, measure, **given)
    assert np.isfinite(expected[:, 1]).all()
    for columns in (x_nk, sp.csc_matrix(x_nk)):
        r_bk = bootstrap_associate(measure, x_nk[:, 0], columns, weights_bn, **given)
        np.testing.assert_allclose(r_bk, expected, atol=1e-11)


@pytest.mark.parametrize("measure", ["spearman", "kendall"])
def test_retied_ranks_equal_the_plain_ones_of_values_that_keep_zeros(measure):
    t_n, x_nk = values()
    x_nk = x_nk[:, :5]
    weights_bn = bootstrap_weights(t_n.size, 10, np.random.default_rng(0))
    shift_n = 0.1 * np.random.default_rng(1).normal(size=t_n.size)
    moved_nk = np.where(x_nk == 0, shift_n[:, None], x_nk + 10)
    r_bk = bootstrap_associate(f"{measure}_retied", t_n, moved_nk, weights_bn, zero_n=t_n == 0, zero_nk=x_nk == 0)
    np.testing.assert_allclose(r_bk, bootstrap_associate(measure, t_n, x_nk, weights_bn), atol=1e-12)
    with pytest.raises(OptionError, match="zero_n"):
        bootstrap_associate(f"{measure}_retied", t_n, moved_nk, weights_bn)


@given(st.integers(0, 10_000), st.integers(3, 25), st.sampled_from(["pearson", "spearman", "kendall"]))
@settings(max_examples=60, deadline=None)
def test_weights_equal_rows_on_few_tied_cells(seed, n, measure):
    rng = np.random.default_rng(seed)
    t_n, x_nk = rng.integers(-1, 3, n).astype(float), rng.integers(-1, 3, (n, 3)).astype(float)
    weights_bn = bootstrap_weights(n, 4, rng)
    np.testing.assert_allclose(
        bootstrap_associate(measure, t_n, x_nk, weights_bn), by_rows(t_n, x_nk, weights_bn, measure), atol=1e-10
    )


def test_small_chunks_give_the_same(monkeypatch):
    t_n, x_nk = values()
    weights_bn = bootstrap_weights(t_n.size, 30, np.random.default_rng(1))
    whole = bootstrap_pearson(t_n, x_nk, weights_bn)
    monkeypatch.setattr(bootstrap, "CHUNK_BYTES", 16 * t_n.size * 4)
    np.testing.assert_allclose(bootstrap_pearson(t_n, x_nk, weights_bn), whole, atol=1e-12)


def test_the_spread_is_that_of_theory():
    """For normal data the standard error of r is (1 - rho^2) / sqrt(n)."""
    rng = np.random.default_rng(0)
    a_n = rng.normal(size=2000)
    b_n = 0.6 * a_n + 0.8 * rng.normal(size=2000)
    r_b = bootstrap_pearson(a_n, b_n[:, None], bootstrap_weights(2000, 600, rng))[:, 0]
    assert r_b.std() == pytest.approx((1 - 0.36) / np.sqrt(2000), rel=0.15)
    low, high = interval(r_b)
    assert low < 0.6 < high


def test_interval_leaves_out_what_is_undefined():
    samples_b = np.r_[np.arange(101.0), np.nan, np.nan]
    assert interval(samples_b) == pytest.approx((2.5, 97.5))
    assert interval(samples_b, 0.5) == pytest.approx((25, 75))
    assert np.isnan(interval(np.full(5, np.nan))).all()
    low_k, high_k = interval(np.column_stack([samples_b, np.full(103, np.nan)]))
    np.testing.assert_allclose(low_k, [2.5, np.nan])
    np.testing.assert_allclose(high_k, [97.5, np.nan])
    with pytest.raises(OptionError, match="level"):
        interval(samples_b, 95)


def test_mistakes_are_named():
    t_n, x_nk = values()
    with pytest.raises(MethodError, match="same cells"):
        bootstrap_pearson(t_n, x_nk, np.ones((3, 10), np.uint8))
    with pytest.raises(OptionError, match="one label for each cell"):
        bootstrap_weights(10, 5, np.random.default_rng(0), strata_n=np.zeros(9))
    with pytest.raises(OptionError, match="at least 1"):
        bootstrap_weights(10, 0, np.random.default_rng(0))


@given(st.integers(0, 10_000), st.integers(1, 5000))
@settings(max_examples=40, deadline=None)
def test_between_cells_of_equal_depth_a_permutation_is_exact(seed, depth):
    rng = np.random.default_rng(seed)
    x_n = rng.integers(0, depth + 1, 50)
    permuted = permute_depth_preserving(x_n, np.full(50, depth), rng)
    assert permuted.dtype == np.int64
    np.testing.assert_array_equal(np.sort(permuted), np.sort(x_n))


def test_a_permuted_gene_follows_depth_and_nothing_else():
    rng = np.random.default_rng(0)
    depth_n = rng.lognormal(8, 0.6, 3000)
    group_n = np.arange(3000) % 2
    x_n = rng.poisson(depth_n * np.where(group_n, 2e-2, 5e-3))
    permuted_n = permute_depth_preserving(x_n, depth_n, rng)
    assert np.corrcoef(np.log(depth_n), np.log1p(permuted_n))[0, 1] > 0.4
    share_n = permuted_n / depth_n
    assert abs(np.corrcoef(group_n, share_n)[0, 1]) < 0.06
    assert share_n.mean() == pytest.approx((x_n / depth_n).mean(), rel=0.02)
    assert (permuted_n <= depth_n + 0.5).all()
    with pytest.raises(MethodError, match="cell 4 has count 0 of depth 0"):
        permute_depth_preserving(np.arange(5) * 0, np.r_[np.ones(4), 0], rng)


@given(st.integers(0, 10_000), st.floats(0.05, 0.95))
@settings(max_examples=30, deadline=None)
def test_halves_sum_to_the_gene(seed, p):
    rng = np.random.default_rng(seed)
    x_n = rng.poisson(3, 40)
    half_n, rest_n = split_counts(x_n, rng, p)
    np.testing.assert_array_equal(half_n + rest_n, x_n)
    assert (half_n >= 0).all()
    assert (rest_n >= 0).all()


def test_halves_of_a_poisson_gene_are_independent():
    rng = np.random.default_rng(0)
    half_n, rest_n = split_counts(rng.poisson(4, 20_000), rng)
    assert abs(np.corrcoef(half_n, rest_n)[0, 1]) < 0.03
    assert half_n.mean() == pytest.approx(2, rel=0.03)
    with pytest.raises(OptionError, match="between 0 and 1"):
        split_counts(half_n, rng, 1.0)


def test_thinned_counts_are_binomial_and_canonical():
    rng = np.random.default_rng(0)
    x_ng = sp.csr_matrix(rng.poisson(2.0, (300, 50)).astype(np.int32))
    before = x_ng.copy()
    thin = thin_counts(x_ng, 0.25, np.random.default_rng(1))
    assert (thin.dtype, thin.shape) == (np.int32, (300, 50))
    assert thin.has_canonical_format
    assert (thin.data > 0).all()
    assert (thin.toarray() <= x_ng.toarray()).all()
    assert thin.sum() == pytest.approx(0.25 * x_ng.sum(), rel=0.03)
    assert (before != x_ng).nnz == 0
    np.testing.assert_array_equal(thin_counts(x_ng, 1.0, rng).toarray(), x_ng.toarray())
    again = thin_counts(x_ng.tocsc(), 0.25, np.random.default_rng(1))
    np.testing.assert_array_equal(again.toarray(), thin.toarray())
    with pytest.raises(OptionError, match="to keep"):
        thin_counts(x_ng, 0.0, rng)
