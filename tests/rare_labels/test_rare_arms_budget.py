"""Amounts of synthetic samples, and the same weight of the rare label in every arm."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given as cases
from hypothesis import strategies as st

from corpuscle.benchmarks.rare_labels.budget import AMOUNTS, n_synthetic, read_amount, sample_weights
from corpuscle.errors import OptionError

CODE_N = np.array([0] * 50 + [1] * 20 + [2] * 5 + [-1] * 3)


@cases(sizes=st.lists(st.integers(1, 60), min_size=2, max_size=5), n_new=st.integers(0, 200), n_none=st.integers(0, 5))
def test_the_weight_of_every_class_is_the_same_however_many_samples_are_added(sizes, n_new, n_none):
    code_n = np.concatenate([np.repeat(np.arange(len(sizes)), sizes), np.full(n_none, -1)])
    w_n, w_s = sample_weights(code_n, np.zeros(n_new, dtype=int), 0)
    alone_n, _ = sample_weights(code_n, np.empty(0, dtype=int), 0)
    n = sum(sizes)
    for code in range(len(sizes)):
        added = w_s.sum() if code == 0 else 0.0
        np.testing.assert_allclose(w_n[code_n == code].sum() + added, n / len(sizes), rtol=1e-12)
        np.testing.assert_allclose(alone_n[code_n == code].sum(), n / len(sizes), rtol=1e-12)
    assert (w_n[code_n < 0] == 0).all()
    if n_new:
        np.testing.assert_allclose(w_s, w_n[0], rtol=1e-14)


def test_without_synthetic_samples_it_is_the_balanced_weight_of_scikit_learn():
    from sklearn.utils.class_weight import compute_sample_weight

    code_n = CODE_N[CODE_N >= 0]
    w_n, w_s = sample_weights(code_n, np.empty(0, dtype=int), 2)
    np.testing.assert_allclose(w_n, compute_sample_weight("balanced", code_n), rtol=1e-14)
    assert len(w_s) == 0


def test_copies_within_the_budget_train_the_same_classifier_as_weights():
    """Each sample copied as often: same sum of weights at each place, so the same coefficients."""
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    x_nd = rng.normal(size=(75, 3)) + CODE_N[:75, None]
    code_n = CODE_N[:75]
    copies_sd, code_s = np.tile(x_nd[code_n == 2], (4, 1)), np.full(20, 2)
    alone_n, _ = sample_weights(code_n, code_s[:0], 2)
    w_n, w_s = sample_weights(code_n, code_s, 2)
    one = LogisticRegression(tol=1e-10, max_iter=2000).fit(x_nd, code_n, sample_weight=alone_n)
    two = LogisticRegression(tol=1e-10, max_iter=2000).fit(
        np.vstack([x_nd, copies_sd]), np.append(code_n, code_s), sample_weight=np.append(w_n, w_s)
    )
    np.testing.assert_allclose(one.coef_, two.coef_, atol=1e-5)


def test_no_budget_is_one_for_each_and_takes_no_synthetic_samples():
    w_n, _ = sample_weights(CODE_N, np.empty(0, dtype=int), 2, None)
    np.testing.assert_array_equal(w_n, CODE_N >= 0)
    with pytest.raises(OptionError, match="without a budget"):
        sample_weights(CODE_N, np.array([2]), 2, None)
    with pytest.raises(OptionError, match="must all be"):
        sample_weights(CODE_N, np.array([1]), 2)
    for target in (7, -1):
        with pytest.raises(OptionError, match="no training sample"):
            sample_weights(CODE_N, np.empty(0, dtype=int), target)


def test_amounts():
    assert [n_synthetic(amount, CODE_N, 2) for amount in AMOUNTS] == [5, 25, 50, 15]
    assert n_synthetic("median", CODE_N, 0) == 0 and n_synthetic("median", CODE_N, 1) == 0
    assert n_synthetic(0.5, CODE_N, 2) == 3 and n_synthetic(0.1, np.zeros(10, int), 0) == 1
    assert [read_amount(word) for word in ("1", "median", " Median ", 2.5)] == [1.0, "median", "median", 2.5]
    for word in ("0", "-1", "many", "nan", "inf", "1e9"):
        with pytest.raises(OptionError, match="amount"):
            read_amount(word)
