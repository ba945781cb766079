"""Probabilities of being observed: what they are fitted to, their short forms, and what is refused."""

from __future__ import annotations

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from corpuscle.errors import CorpuscleError, MethodError, OptionError
from corpuscle.reduce import _propensity_grouped, _propensity_logit
from corpuscle.reduce._propensity import (
    KINDS,
    GivenPropensity,
    LogitPropensity,
    Propensity,
    RankOnePropensity,
    fit_propensity,
)
from corpuscle.reduce._values_checks import InputError


def counted(observed_nd, **more):
    """What a fit reads of the values."""
    observed_nd = np.asarray(observed_nd)
    return SimpleNamespace(
        shape=observed_nd.shape, row_counts_n=observed_nd.sum(1), column_counts_d=observed_nd.sum(0), **more
    )


def of_counts(row_counts_n, column_counts_d):
    row_counts_n, column_counts_d = np.asarray(row_counts_n), np.asarray(column_counts_d)
    return SimpleNamespace(
        shape=(len(row_counts_n), len(column_counts_d)), row_counts_n=row_counts_n, column_counts_d=column_counts_d
    )


def drawn(n=60, d=90, sd=0.8, seed=0):
    """A mask from log-odds, without a row or column that is wholly one or the other."""
    rng = np.random.default_rng(seed)
    p_nd = expit(rng.normal(0.3, sd, n)[:, None] + rng.normal(0, sd, d))
    observed_nd = rng.random((n, d)) < p_nd
    observed_nd[np.arange(n), rng.integers(0, d, n)] = True
    observed_nd[rng.integers(0, n, d), np.arange(d)] = True
    return observed_nd


def uneven():
    """Log-odds of standard deviation 1.2 on both axes, at their quantiles."""
    from scipy.stats import norm

    return 1.2 * norm.ppf((np.arange(500) + 0.5) / 500), 1.2 * norm.ppf((np.arange(700) + 0.5) / 700)


def known_logit(alpha_n, beta_d, p_min=0.0):
    values = of_counts(np.ones(len(alpha_n)), np.ones(len(beta_d)))
    return fit_propensity("logit", values, given=(alpha_n, beta_d), p_min=p_min)


def worst_reciprocal(propensity, rank):
    s_r, q_nr = propensity.gram_reciprocal(rank)
    assert len(s_r) <= rank
    p_nd = propensity.p()
    return np.abs((q_nr * s_r) @ q_nr.T * (p_nd @ p_nd.T) - 1).max()


# ------------------------------------------------------------------------------------------ the logit and its counts


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**20), n=st.integers(5, 70), d=st.integers(5, 70), sd=st.floats(0, 1.0))
def test_logit_probabilities_sum_to_the_counts(seed, n, d, sd):
    observed_nd = drawn(n, d, sd, seed)
    full_rows, full_columns = observed_nd.all(axis=1), observed_nd.all(axis=0)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = fit_propensity("logit", counted(observed_nd), p_min=0.0)
    p_nd = found.p()
    # Counts of a small matrix can be such that only infinite log-odds meet them; that is said, and else they are met.
    assert found.converged == (not said)
    if found.converged and not full_rows.any() and not full_columns.any():
        np.testing.assert_allclose(p_nd.sum(1), observed_nd.sum(1), rtol=1e-6)
        np.testing.assert_allclose(p_nd.sum(0), observed_nd.sum(0), rtol=1e-6)
    assert found.beta_d.sum() == pytest.approx(0, abs=1e-8)
    np.testing.assert_allclose(found.row_sum_n(), p_nd.sum(1), rtol=1e-12)
    np.testing.assert_allclose(found.row_sq_n(), (p_nd**2).sum(1), rtol=1e-12)


def test_logit_meets_every_count_closely_and_says_so():
    observed_nd = drawn(120, 150, 1.0, 3)
    assert not observed_nd.all(axis=1).any() and not observed_nd.all(axis=0).any()
    found = fit_propensity("logit", counted(observed_nd), p_min=0.0)
    assert isinstance(found, LogitPropensity) and found.converged and 1 < found.n_iter < 60
    np.testing.assert_allclose(found.p().sum(1), observed_nd.sum(1), atol=1e-6)
    np.testing.assert_allclose(found.p().sum(0), observed_nd.sum(0), atol=1e-6)


def test_logit_recovers_probabilities_that_are_known():
    rng = np.random.default_rng(5)
    p_nd = expit(rng.normal(0, 0.8, 900)[:, None] + rng.normal(0, 0.8, 1100))
    found = fit_propensity("logit", counted(rng.random(p_nd.shape) < p_nd)).p()
    assert np.abs(found - p_nd).max() < 0.12
    assert np.sqrt(np.mean((found - p_nd) ** 2)) < 0.025
    # Products of shares are another family: they miss these probabilities by far more.
    products = fit_propensity("rank1", counted(rng.random(p_nd.shape) < p_nd)).p()
    assert np.sqrt(np.mean((products - p_nd) ** 2)) > 0.04


def test_logit_of_expected_counts_is_exact():
    # Counts that are the sums of such probabilities themselves leave nothing to estimate.
    alpha_n, beta_d = np.linspace(-1, 1.5, 40), np.linspace(-1.2, 1.2, 31)
    p_nd = expit(alpha_n[:, None] + beta_d)
    found = fit_propensity("logit", of_counts(p_nd.sum(1), p_nd.sum(0)))
    np.testing.assert_allclose(found.p(), p_nd, atol=1e-9)
    np.testing.assert_allclose(found.alpha_, alpha_n, atol=1e-8)
    np.testing.assert_allclose(found.beta_, beta_d, atol=1e-8)


def test_cost_is_that_of_the_different_counts():
    # 200,000 x 100,000 probabilities would be 160 GB.
    n, d = 200_000, 100_000
    row_counts_n = np.resize(np.array([20_000, 40_000, 70_000]), n)
    column_counts_d = np.resize(np.array([50_000, 110_000]), d).astype(float)
    column_counts_d *= row_counts_n.sum() / column_counts_d.sum()
    found = fit_propensity("logit", of_counts(row_counts_n, column_counts_d))
    np.testing.assert_allclose(found.row_sum_n(), row_counts_n, rtol=1e-9)
    assert found.p(slice(0, 2)).shape == (2, d)
    s_r, q_nr = found.gram_reciprocal(3)
    exact = found.pair_sums(np.array([0, 1, 2]), np.array([0, 1, 2]))
    np.testing.assert_allclose((q_nr[:3] * s_r) @ q_nr[:3].T * exact, 1, atol=1e-4)


def test_tables_are_made_in_parts_with_the_same_result(monkeypatch):
    values = counted(drawn(50, 70, 1.0, 8))
    whole = fit_propensity("logit", values)
    monkeypatch.setattr(_propensity_grouped, "TABLE_VALUES", 64)
    monkeypatch.setattr(_propensity_logit, "TABLE_VALUES", 64)
    parts = fit_propensity("logit", values)
    np.testing.assert_allclose(parts.alpha_n, whole.alpha_n, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(parts.row_sq_n(), whole.row_sq_n(), rtol=1e-9)
    np.testing.assert_allclose(parts.pair_sums(), whole.pair_sums(), rtol=1e-9)


def test_full_rows_and_columns_have_finite_log_odds_and_settle():
    observed_nd = drawn(40, 50, 0.7, 2)
    observed_nd[:6] = True
    observed_nd[:, 7:10] = True
    full_rows, full_columns = observed_nd.all(axis=1), observed_nd.all(axis=0)
    found = fit_propensity("logit", counted(observed_nd), p_min=0.0)
    assert found.converged and np.isfinite(found.alpha_n).all() and np.isfinite(found.beta_d).all()
    p_nd = found.p()
    np.testing.assert_allclose(p_nd[full_rows].sum(1), 50 - 0.5, rtol=1e-6)
    np.testing.assert_allclose(p_nd[:, full_columns].sum(0), 40 - 0.5, rtol=1e-6)
    # The half entries of all full columns are spread over the rows that miss something, and the other way round.
    lost_n = observed_nd.sum(1) - p_nd.sum(1)
    assert lost_n[~full_rows].min() > 0
    assert lost_n[~full_rows].sum() == pytest.approx(0.5 * full_columns.sum(), rel=1e-6)
    assert (observed_nd.sum(0) - p_nd.sum(0))[~full_columns].sum() == pytest.approx(0.5 * full_rows.sum(), rel=1e-6)


def test_blocks_that_are_wholly_missing_warn_and_are_close():
    # The second half of the rows has the first half of the columns only: no finite log-odds meet these counts.
    observed_nd = np.ones((20, 30), dtype=bool)
    observed_nd[10:, 15:] = False
    with pytest.warns(UserWarning, match="look for blocks that are wholly missing"):
        found = fit_propensity("logit", counted(observed_nd))
    assert np.isfinite(found.alpha_n).all() and np.isfinite(found.beta_d).all() and not found.converged
    p_nd = found.p()
    assert p_nd[:10].min() > 0.94 and p_nd[:, :15].min() > 0.94 and p_nd[10:, 15:].max() == 0.01
    np.testing.assert_allclose(p_nd.sum(1), observed_nd.sum(1), rtol=0.06)


def test_fit_that_does_not_settle_warns(monkeypatch):
    monkeypatch.setattr(_propensity_logit, "MAX_ITER", 1)
    with pytest.warns(UserWarning, match="had not settled after 1 iterations"):
        found = fit_propensity("logit", counted(drawn(40, 50, 1.2, 4)))
    assert not found.converged


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_missing_is_probability_one_exactly(kind):
    found = fit_propensity(kind, counted(np.ones((5, 8), dtype=int)))
    assert (found.p() == 1.0).all() and found.n_clipped == 0
    (u_n, v_d), *rest = found.inverse_factors()
    assert not rest and (np.outer(u_n, v_d) == 1.0).all()
    s_r, q_nr = found.gram_reciprocal(3)
    assert ((q_nr * s_r) @ q_nr.T == 1 / 8).all()
    assert (found.row_sum_n() == 8).all() and (found.row_sq_n() == 8).all()


# ------------------------------------------------------------------------------------------------------ products


def test_rank_one_is_the_product_of_the_marginals():
    observed_nd = drawn(50, 80, 0.3, 1)
    row_n, column_d, share = observed_nd.mean(1), observed_nd.mean(0), observed_nd.mean()
    found = fit_propensity("rank1", counted(observed_nd), p_min=0.0)
    product_nd = np.outer(row_n, column_d) / share
    assert found.n_lowered == np.count_nonzero(product_nd > 1)
    np.testing.assert_allclose(found.p(), np.minimum(product_nd, 1), rtol=1e-14)
    assert (fit_propensity("rows", counted(observed_nd)).p() == row_n[:, None]).all()
    assert (fit_propensity("columns", counted(observed_nd)).p() == column_d).all()
    np.testing.assert_allclose(fit_propensity("constant", counted(observed_nd)).p(), share, rtol=1e-14)


@pytest.mark.parametrize("kind", ["rank1", "rows", "columns", "constant"])
def test_products_need_one_term(kind):
    rng = np.random.default_rng(4)
    observed_nd = rng.random((40, 60)) < np.outer(rng.uniform(0.5, 0.8, 40), rng.uniform(0.5, 0.8, 60))
    found = fit_propensity(kind, counted(observed_nd))
    assert found.n_clipped == 0
    s_r, q_nr = found.gram_reciprocal(3)
    assert s_r.shape == (1,) and q_nr.shape == (40, 1)
    p_nd = found.p()
    np.testing.assert_allclose((q_nr * s_r) @ q_nr.T, 1 / (p_nd @ p_nd.T), rtol=1e-12)
    (u_n, v_d), *rest = found.inverse_factors()
    assert not rest
    np.testing.assert_allclose(np.outer(u_n, v_d), 1 / p_nd, rtol=1e-12)


def test_products_above_one_are_lowered_and_the_others_stay():
    observed_nd = drawn(200, 300, 1.2, 9)
    found = fit_propensity("rank1", counted(observed_nd), p_min=0.0)
    product_nd = np.outer(observed_nd.mean(1), observed_nd.mean(0)) / observed_nd.mean()
    assert found.n_lowered == np.count_nonzero(product_nd > 1) > 0
    below = product_nd < 1
    np.testing.assert_allclose(found.p()[below], product_nd[below], rtol=1e-13)
    assert found.p().max() == 1.0
    assert found.inverse_factors() is None
    # Lowered products are one curve of the rows as well, so that a few terms still serve.
    assert worst_reciprocal(found, 4) < 5e-3


# ------------------------------------------------------------------------------------------------- short forms


def test_reciprocal_of_uneven_log_odds_needs_three_terms():
    found = known_logit(*uneven())
    assert worst_reciprocal(found, 1) > 0.03
    assert worst_reciprocal(found, 2) < 3e-2
    assert worst_reciprocal(found, 3) < 1.5e-3
    assert worst_reciprocal(found, 4) < 1e-4
    assert found.reciprocal_error(3) == pytest.approx(worst_reciprocal(found, 3), rel=0.5)


@pytest.mark.parametrize("seed", range(3))
def test_reciprocal_of_drawn_log_odds(seed):
    rng = np.random.default_rng(seed)
    found = known_logit(rng.normal(0, 1.2, 600), rng.normal(0, 1.2, 500))
    assert worst_reciprocal(found, 3) < 1.5e-3
    assert worst_reciprocal(found, 4) < 2e-4


def test_reciprocal_of_equal_rows_is_one_exact_term():
    found = known_logit(np.full(7, 0.4), np.linspace(-1, 1, 11))
    s_r, q_nr = found.gram_reciprocal(3)
    assert s_r.shape == (1,) and (q_nr == 1).all()
    assert worst_reciprocal(found, 3) < 1e-14


def test_reciprocal_of_nearly_equal_rows_is_accurate():
    assert worst_reciprocal(known_logit(np.array([0.4, 0.4 + 1e-9, 0.4]), np.linspace(-1, 1, 11)), 3) < 1e-7


def test_reciprocal_of_floored_probabilities_is_that_of_the_floored():
    found = known_logit(*uneven(), p_min=0.05)
    assert found.n_raised > 1000
    assert worst_reciprocal(found, 6) < 5e-3


@pytest.mark.parametrize("rank", [0, -1, 2.5, True, None])
def test_reciprocal_refuses_a_rank_that_is_none(rank):
    with pytest.raises(OptionError, match="rank"):
        known_logit(np.zeros(4), np.zeros(5)).gram_reciprocal(rank)


def test_inverse_of_the_logit_is_two_pairs():
    found = known_logit(*uneven())
    pairs = found.inverse_factors()
    assert len(pairs) == 2
    np.testing.assert_allclose(sum(np.outer(u_n, v_d) for u_n, v_d in pairs), 1 / found.p(), rtol=1e-12)


def test_pair_sums_are_those_of_the_probabilities():
    found = fit_propensity("logit", counted(drawn(30, 40, 0.9, 6)))
    p_nd = found.p()
    np.testing.assert_allclose(found.pair_sums(), p_nd @ p_nd.T, rtol=1e-12)
    rows, cols = np.array([4, 1, 1]), slice(5, 20, 3)
    np.testing.assert_allclose(found.pair_sums(rows, cols), p_nd[rows] @ p_nd[cols].T, rtol=1e-12)
    other = found.with_rows(np.array([3, 20, 39, 3]))
    np.testing.assert_allclose(found.pair_sums(cols=cols, other=other), other.p() @ p_nd[cols].T, rtol=1e-12)


@pytest.mark.parametrize("rows", [slice(3, 9), slice(None), np.array([7, 0, 7]), np.arange(30) % 3 == 0])
def test_rows_of_probabilities(rows):
    found = fit_propensity("logit", counted(drawn(30, 40, 0.9, 6)))
    expected_nd = expit(found.alpha_n[:, None] + found.beta_d)
    np.testing.assert_allclose(found.p(rows), expected_nd[rows], rtol=1e-12)


# ------------------------------------------------------------------------------------------------------- bounds


@pytest.mark.parametrize("p_min", [0.01, 0.2])
def test_floor_is_met_and_counted(p_min):
    alpha_n, beta_d = uneven()
    below = expit(alpha_n[:, None] + beta_d) < p_min
    found = known_logit(alpha_n, beta_d, p_min=p_min)
    assert found.n_raised == found.n_clipped == np.count_nonzero(below) > 0
    p_nd = found.p()
    assert p_nd.min() == p_min and (p_nd[below] == p_min).all()
    np.testing.assert_allclose(found.row_sum_n(), p_nd.sum(1), rtol=1e-12)
    np.testing.assert_allclose(found.row_sq_n(), (p_nd**2).sum(1), rtol=1e-12)
    # No short sum gives a floored reciprocal exactly, so none is offered.
    assert found.inverse_factors() is None


def test_floor_of_products_is_counted():
    a_n, b_d = np.linspace(0.05, 1, 30), np.linspace(0.1, 1, 40)
    found = fit_propensity((a_n, b_d), of_counts(np.ones(30), np.ones(40)), p_min=0.1)
    assert found.n_raised == np.count_nonzero(np.outer(a_n, b_d) < 0.1 * (1 - 1e-12)) > 0
    assert found.p().min() == 0.1 and found.n_lowered == 0


@pytest.mark.parametrize("p_min", [-0.1, 1.0, 2, np.nan, True])
def test_floor_that_is_none_is_refused(p_min):
    with pytest.raises(OptionError, match="p_min"):
        fit_propensity("logit", counted(drawn()), p_min=p_min)


# ----------------------------------------------------------------------------------------------------- new rows


def test_new_rows_get_the_parameters_of_rows_with_their_counts():
    observed_nd = drawn(80, 60, 0.9, 7)
    assert not observed_nd.all(axis=0).any()
    values = counted(observed_nd)
    for kind in ("logit", "rank1", "rows", "columns", "constant"):
        found = fit_propensity(kind, values)
        np.testing.assert_allclose(found.of_rows(values.row_counts_n), found.alpha_n, rtol=1e-7, atol=1e-8)
        again = found.with_rows(values.row_counts_n[:5])
        assert again.shape == (5, 60) and type(again) is type(found)
        np.testing.assert_allclose(again.p(), found.p(slice(0, 5)), rtol=1e-7)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**20), sd=st.floats(0, 3), count=st.integers(0, 40))
def test_new_rows_of_the_logit_sum_to_their_counts(seed, sd, count):
    found = known_logit(np.zeros(3), np.random.default_rng(seed).normal(0, sd, 40))
    new = found.with_rows([count])
    np.testing.assert_allclose(new.row_sum_n(), np.clip(count, 0.5, 39.5), rtol=1e-8)


def test_new_rows_after_complete_data_have_their_share():
    found = fit_propensity("logit", counted(np.ones((4, 10), dtype=int)))
    np.testing.assert_allclose(found.with_rows([10, 4]).p(), np.repeat([[1.0], [0.4]], 10, axis=1))


# ----------------------------------------------------------------------------------------------- what is given


def test_given_matrix_has_blocks_and_no_short_forms():
    p_nd = np.random.default_rng(0).uniform(0.005, 1, (20, 30))
    found = fit_propensity(p_nd, counted(np.ones((20, 30), dtype=int)))
    assert isinstance(found, GivenPropensity) and isinstance(found, Propensity)
    floored_nd = np.maximum(p_nd, 0.01)
    assert found.n_raised == np.count_nonzero(p_nd < 0.01)
    assert (found.p() == floored_nd).all() and (found.p(np.array([3, 1])) == floored_nd[[3, 1]]).all()
    np.testing.assert_allclose(found.row_sum_n(), floored_nd.sum(1), rtol=1e-13)
    np.testing.assert_allclose(found.row_sq_n(), (floored_nd**2).sum(1), rtol=1e-13)
    np.testing.assert_allclose(found.pair_sums(slice(2, 5)), floored_nd[2:5] @ floored_nd.T, rtol=1e-13)
    assert found.gram_reciprocal(3) is None and found.inverse_factors() is None
    with pytest.raises(MethodError, match="new rows"):
        found.of_rows([3])
    with pytest.raises(MethodError, match="new rows"):
        found.with_rows([3])


def test_given_matrix_refuses_all_pairs_of_many_rows():
    found = fit_propensity(np.full((6000, 2), 0.5), of_counts(np.ones(6000), np.ones(2)))
    with pytest.raises(MethodError, match="6,000 x 6,000"):
        found.pair_sums()
    assert found.pair_sums(slice(0, 3)).shape == (3, 6000)


def test_what_is_given_stays_where_nothing_is_missing():
    # Unbiasedness over draws needs the draw in which all was observed to be weighted like the others.
    values = counted(np.ones((4, 5), dtype=int))
    assert (fit_propensity(np.full((4, 5), 0.5), values).p() == 0.5).all()
    assert (fit_propensity((np.full(4, 0.5), np.ones(5)), values).p() == 0.5).all()


def test_given_factors_are_a_product():
    values = of_counts(np.ones(3), np.ones(4))
    a_n, b_d = np.array([0.2, 0.5, 1.0]), np.array([0.3, 0.6, 0.9, 1.0])
    for found in (fit_propensity((a_n, b_d), values), fit_propensity("rank1", values, given=(a_n, b_d))):
        assert isinstance(found, RankOnePropensity)
        np.testing.assert_allclose(found.p(), np.outer(a_n, b_d), rtol=1e-15)
        np.testing.assert_allclose(found.with_rows([2]).row_sum_n(), 2)


def test_given_for_all_columns_is_taken_at_those_that_are_kept():
    kept = np.array([0, 2, 3])
    values = counted(np.ones((5, 3), dtype=int), columns_d=kept, n_features_in=4)
    p_nd = np.random.default_rng(1).uniform(0.1, 1, (5, 4))
    p_nd[:, 1] = 0  # never observed, and left out
    assert (fit_propensity(p_nd, values).p() == p_nd[:, kept]).all()
    b_d = np.array([0.5, np.nan, 0.7, 0.9])
    np.testing.assert_allclose(fit_propensity((np.ones(5), b_d), values).beta_d, b_d[kept])


def bad_matrix(value):
    p_nd = np.full((5, 6), 0.5)
    p_nd[2, 4] = value
    return p_nd


@pytest.mark.parametrize("value", [0.0, -0.1, 1.5, np.nan, np.inf])
def test_given_matrix_with_what_is_no_probability_is_refused(value):
    with pytest.raises(InputError, match=r"1 entries are not probabilities.*row 2, column 4") as refused:
        fit_propensity(bad_matrix(value), of_counts(np.ones(5), np.ones(6)))
    assert isinstance(refused.value, CorpuscleError) and isinstance(refused.value, ValueError)
    assert "\n" not in str(refused.value)


def test_row_of_a_bad_entry_is_right_beyond_the_first_block(monkeypatch):
    from corpuscle.reduce import _propensity_given

    monkeypatch.setattr(_propensity_given, "BLOCK_VALUES", 6)
    with pytest.raises(InputError, match="row 2, column 4"):
        fit_propensity(bad_matrix(0.0), of_counts(np.ones(5), np.ones(6)))


@pytest.mark.parametrize(
    ("given_p", "says"),
    [
        (np.full((6, 5), 0.5), r"shape \(6, 5\)"),
        (np.full(6, 0.5), r"shape \(6,\)"),
        (0.5, r"shape \(\)"),
        (np.array([["a"] * 6] * 5), "not numbers"),
        ((np.ones(6), np.ones(5)), "5 and 6"),
        ((np.array([1, 1, 0, 1, 1.0]), np.ones(6)), "row 2 has 0"),
        ((np.ones(5), np.array([1, np.nan, 1, 1, 1, 1])), "column 1 has nan"),
        ((np.ones(5), np.array([1, 1, 1, 1, 1.25, 1])), "a_i b_k is 1.25 in row 0, column 4"),
    ],
)
def test_given_values_that_do_not_fit_are_refused(given_p, says):
    with pytest.raises(InputError, match=says):
        fit_propensity(given_p, of_counts(np.ones(5), np.ones(6)))


def test_words_that_are_none_are_refused():
    values = counted(drawn())
    with pytest.raises(OptionError, match="'probit' is not known; choose logit"):
        fit_propensity("probit", values)
    with pytest.raises(OptionError, match="given="):
        fit_propensity("rows", values, given=(np.ones(60), np.ones(90)))
    with pytest.raises(OptionError, match="given twice"):
        fit_propensity(np.ones((60, 90)), values, given=np.ones((60, 90)))


@pytest.mark.parametrize("axis", [0, 1])
def test_line_without_an_observed_entry_is_refused(axis):
    observed_nd = np.ones((6, 7), dtype=int)
    observed_nd[(3, slice(None)) if axis == 0 else (slice(None), 3)] = 0
    with pytest.raises(InputError, match=("row 3" if axis == 0 else "column 3") + " has no observed entry"):
        fit_propensity("logit", counted(observed_nd))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_keeps_the_contract(kind):
    found = fit_propensity(kind, counted(drawn()))
    assert isinstance(found, Propensity) and found.kind == kind and found.shape == (60, 90)
    assert found.alpha_n.shape == (60,) and found.beta_d.shape == (90,) and found.p_min == 0.01
    assert found.p().min() >= 0.01 and found.p().max() <= 1
    assert found.p().dtype == np.float64
