"""Scatter of the inversely weighted inner products, against its draws."""

from __future__ import annotations

import numpy as np
import pytest

from corpuscle.reduce._values_checks import InputError
from corpuscle.reduce.variance import ht_variance


def test_variances_are_those_of_the_draws():
    rng = np.random.default_rng(0)
    x_nd, p_nd = rng.normal(size=(5, 30)), rng.uniform(0.3, 1, (5, 30))
    observed_rnd = rng.random((20_000, 5, 30)) < p_nd
    z_rnd = observed_rnd * (x_nd / p_nd)
    gram_rnn = z_rnd @ z_rnd.transpose(0, 2, 1)
    diagonal_rn = (observed_rnd * (x_nd**2 / p_nd)).sum(axis=2)
    gram_rnn[:, np.arange(5), np.arange(5)] = diagonal_rn
    np.testing.assert_allclose(gram_rnn.var(axis=0), ht_variance(x_nd, p_nd), rtol=0.06)


def test_variances_by_hand():
    # One feature: 4 * 9 * (1 / (.5 * .25) - 1) between the rows, 16 (2 - 1) and 81 (4 - 1) on the diagonal.
    found = ht_variance([[2.0], [3.0]], [[0.5], [0.25]])
    np.testing.assert_allclose(found, [[16, 252], [252, 243]])


def test_nothing_missing_has_no_variance():
    assert (ht_variance(np.random.default_rng(1).normal(size=(6, 9)), np.ones((6, 9))) == 0).all()


@pytest.mark.parametrize(
    ("x", "p", "says"),
    [
        (np.ones((2, 3)), np.ones((3, 2)), "shape"),
        (np.ones(3), np.ones(3), "shape"),
        (np.full((2, 3), np.nan), np.ones((2, 3)), "NaN"),
        (np.ones((2, 3)), np.zeros((2, 3)), "6 entries"),
    ],
)
def test_bad_input_is_refused(x, p, says):
    with pytest.raises(InputError, match=says):
        ht_variance(x, p)
