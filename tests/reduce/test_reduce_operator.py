"""The corrected Gram matrix as an operator: the same numbers as its formulas."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpuscle.errors import MethodError, OptionError
from corpuscle.reduce import _gram_forms, _operator
from corpuscle.reduce._operator import GramOperator, pairwise_gram
from corpuscle.reduce._propensity import fit_propensity
from corpuscle.reduce._values import values_of

SEEDS = st.integers(0, 2**31 - 1)


def table(seed: int, n: int = 40, d: int = 60, spread: float = 0.7):
    """Values, what is observed of them and with which probabilities."""
    rng = np.random.default_rng(seed)
    x_nd = rng.normal(size=(n, 3)) @ rng.normal(size=(3, d)) + rng.normal(size=(n, d)) + 2
    logit_nd = 1 + spread * rng.normal(size=(n, 1)) + spread * rng.normal(size=d)
    p_nd = 1 / (1 + np.exp(-logit_nd))
    observed_nd = rng.random((n, d)) < p_nd
    observed_nd[:, 0] = observed_nd[0] = True
    return x_nd, observed_nd


def centred(x_nd, observed_nd):
    mean_d = (x_nd * observed_nd).sum(axis=0) / observed_nd.sum(axis=0)
    return np.where(observed_nd, x_nd - mean_d, 0.0)


def by_formula(w_nd, p_nd, estimator):
    """Both estimators entry by entry, totals."""
    n, d = w_nd.shape
    if estimator == "ratio":
        gram_nn = d * (w_nd @ w_nd.T) / (p_nd @ p_nd.T)
        diagonal_n = d * (w_nd**2).sum(axis=1) / p_nd.sum(axis=1)
    else:
        gram_nn = (w_nd / p_nd) @ (w_nd / p_nd).T
        diagonal_n = (w_nd**2 / p_nd).sum(axis=1)
    gram_nn[np.arange(n), np.arange(n)] = diagonal_n
    return gram_nn


def centre(gram_nn):
    h_nn = np.eye(len(gram_nn)) - 1 / len(gram_nn)
    return h_nn @ gram_nn @ h_nn


def off(got, expected):
    return np.linalg.norm(got - expected) / np.linalg.norm(expected)


@settings(max_examples=15, deadline=None)
@given(
    SEEDS, st.booleans(), st.sampled_from([("ratio", "columns"), ("ratio", "rows"), ("ht", "rank1"), ("ht", "logit")])
)
def test_the_operator_is_the_formula(seed, double_center, choice):
    x_nd, observed_nd = table(seed)
    values = values_of(x_nd, observed_nd)
    propensity = fit_propensity(choice[1], values, p_min=1e-4)
    operator = GramOperator(values, propensity, estimator=choice[0], double_center=double_center)
    expected = by_formula(centred(x_nd, observed_nd), propensity.p(), choice[0])
    expected = centre(expected) if double_center else expected
    assert off(operator @ np.eye(40), expected) < 1e-10
    assert off(operator.block(), expected) < 1e-10
    assert off(operator.diagonal(), np.diagonal(expected)) < 1e-10
    np.testing.assert_allclose(
        operator @ np.arange(40.0), expected @ np.arange(40.0), rtol=1e-8, atol=1e-8 * off(expected, 1)
    )


@settings(max_examples=10, deadline=None)
@given(SEEDS, st.booleans())
def test_rank_one_probabilities_need_one_term(seed, double_center):
    rng = np.random.default_rng(seed)
    x_nd, _ = table(seed)
    a_n, b_d = rng.uniform(0.4, 1, 40), rng.uniform(0.4, 1, 60)
    observed_nd = rng.random((40, 60)) < np.outer(a_n, b_d)
    observed_nd[:, 0] = observed_nd[0] = True
    values = values_of(x_nd, observed_nd)
    operator = GramOperator(values, fit_propensity((a_n, b_d), values), double_center=double_center)
    expected = by_formula(centred(x_nd, observed_nd), np.outer(a_n, b_d), "ratio")
    assert operator.form.width == 1
    assert off(operator @ np.eye(40), centre(expected) if double_center else expected) < 1e-10


@settings(max_examples=8, deadline=None)
@given(SEEDS)
def test_four_terms_are_the_division(seed):
    x_nd, observed_nd = table(seed, n=120, d=200, spread=1.2)
    values = values_of(x_nd, observed_nd)
    propensity = fit_propensity("logit", values, p_min=1e-6)
    expected = by_formula(centred(x_nd, observed_nd), propensity.p(), "ratio")
    one, four = (GramOperator(values, propensity, rank_reciprocal=rank, double_center=False).block() for rank in (1, 4))
    assert off(four, expected) < 1e-3
    assert off(one, expected) > 10 * off(four, expected)


@pytest.mark.parametrize("estimator", ["ratio", "ht"])
def test_probabilities_without_structure(estimator, monkeypatch):
    monkeypatch.setattr(_gram_forms, "_BLOCK_NUMBERS", 600)
    x_nd, observed_nd = table(3)
    values = values_of(x_nd, observed_nd)
    p_nd = np.random.default_rng(0).uniform(0.2, 1, x_nd.shape)
    operator = GramOperator(values, fit_propensity(p_nd, values), estimator=estimator)
    expected = centre(by_formula(centred(x_nd, observed_nd), p_nd, estimator))
    assert off(operator @ np.eye(40), expected) < 1e-10
    assert off(operator.block([3, 9, 3], slice(5, 30)), expected[[3, 9, 3]][:, 5:30]) < 1e-10


def test_pairwise_divides_by_common_features():
    x_nd, observed_nd = table(5)
    values = values_of(x_nd, observed_nd)
    w_nd, m_nd = centred(x_nd, observed_nd), observed_nd.astype(float)
    expected = (w_nd @ w_nd.T) / (m_nd @ m_nd.T)
    np.testing.assert_allclose(pairwise_gram(values, scale="per_feature"), expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(pairwise_gram(values), 60 * expected, rtol=1e-12, atol=1e-12)
    operator = GramOperator(values, estimator="pairwise")
    assert off(operator @ np.eye(40), 60 * centre(expected)) < 1e-12


def test_rows_without_a_common_feature():
    x_nd, observed_nd = table(5)
    observed_nd[:, :] = True
    observed_nd[4, :30] = observed_nd[7, 30:] = False
    with pytest.raises(MethodError, match=r"rows 4 and 7 have no feature in common"):
        pairwise_gram(values_of(x_nd, observed_nd))


@pytest.mark.parametrize("estimator", ["ratio", "ht", "pairwise"])
def test_scales_differ_by_the_number_of_features(estimator):
    x_nd, observed_nd = table(6)
    values = values_of(x_nd, observed_nd)
    propensity = fit_propensity("logit", values)
    total, mean = (GramOperator(values, propensity, estimator=estimator, scale=s) for s in ("total", "per_feature"))
    np.testing.assert_allclose(total.block(), 60 * mean.block(), rtol=1e-12, atol=1e-9)


@pytest.mark.parametrize("estimator", ["ratio", "ht", "pairwise"])
def test_nothing_missing_is_the_ordinary_gram(estimator):
    x_nd, _ = table(7)
    values = values_of(x_nd)
    operator = GramOperator(values, fit_propensity("logit", values), estimator=estimator)
    w_nd = x_nd - x_nd.mean(axis=0)
    assert off(operator @ np.eye(40), w_nd @ w_nd.T) < 1e-12
    assert np.abs(operator.delta_n).max() < 1e-10 * np.abs(operator.diagonal()).max()


@settings(max_examples=10, deadline=None)
@given(SEEDS, st.sampled_from(["ratio", "ht", "pairwise"]))
def test_the_shift_makes_it_positive(seed, estimator):
    x_nd, observed_nd = table(seed, spread=1.2)
    values = values_of(x_nd, observed_nd)
    operator = GramOperator(values, fit_propensity("logit", values), estimator=estimator)
    lowest = np.linalg.eigvalsh(operator.block())[0]
    assert lowest < 0
    assert lowest + operator.shift >= -1e-9 * operator.shift


def test_the_correction_lowers_the_diagonal_only():
    x_nd, observed_nd = table(8)
    values = values_of(x_nd, observed_nd)
    for estimator in ("ratio", "ht"):
        for kind in ("logit", "rank1"):
            assert GramOperator(values, fit_propensity(kind, values), estimator=estimator).delta_n.max() <= 0


def test_another_diagonal():
    x_nd, observed_nd = table(9)
    values = values_of(x_nd, observed_nd)
    operator = GramOperator(values, fit_propensity("logit", values), double_center=False)
    other = operator.with_diagonal(np.arange(40.0))
    expected = operator.block()
    np.fill_diagonal(expected, np.arange(40.0))
    np.testing.assert_allclose(other @ np.eye(40), expected, atol=1e-9)
    np.testing.assert_allclose(operator.diagonal(), np.diagonal(operator @ np.eye(40)), rtol=1e-10)


def test_wide_products_are_cut(monkeypatch):
    x_nd, observed_nd = table(10)
    values = values_of(x_nd, observed_nd)
    operator = GramOperator(values, fit_propensity("logit", values))
    whole = operator @ np.eye(40)
    monkeypatch.setattr(_operator, "_PRODUCT_NUMBERS", 40 * 3 * 7)
    np.testing.assert_allclose(operator @ np.eye(40), whole, rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(operator.T @ np.eye(40), whole, rtol=1e-12, atol=1e-9)


def test_a_given_matrix():
    gram_nn = np.random.default_rng(0).normal(size=(9, 9))
    gram_nn += gram_nn.T
    np.testing.assert_allclose(GramOperator.of_matrix(gram_nn) @ np.eye(9), gram_nn, rtol=1e-14)
    np.testing.assert_allclose(GramOperator.of_matrix(gram_nn, double_center=True).block(), centre(gram_nn), atol=1e-12)


def test_options_that_do_not_exist(monkeypatch):
    x_nd, observed_nd = table(11)
    values = values_of(x_nd, observed_nd)
    propensity = fit_propensity("logit", values)
    with pytest.raises(OptionError, match="estimator 'mean': choose one of ratio, ht, pairwise"):
        GramOperator(values, propensity, estimator="mean")
    with pytest.raises(OptionError, match="scale 'sum'"):
        GramOperator(values, propensity, scale="sum")
    with pytest.raises(OptionError, match="needs the probabilities"):
        GramOperator(values)
    operator = GramOperator(values, propensity)
    with pytest.raises(OptionError, match="row 40: there are 40 of them"):
        operator.block([0, 40])
    with pytest.raises(OptionError, match="columns must be given by whole numbers"):
        operator.block(cols=[0.5])
    monkeypatch.setattr(_gram_forms, "DENSE_LIMIT", 30)
    with pytest.raises(MethodError, match="the pairwise estimator holds all pairs of rows: 40 rows are more than 30"):
        GramOperator(values, estimator="pairwise")
    with pytest.raises(MethodError, match="probabilities given one by one"):
        GramOperator(values, fit_propensity(np.full((40, 60), 0.5), values))
