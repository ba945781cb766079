import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import softmax

from corpuscle.annotate.transform import KINDS, TRANSFORMS, probabilities, transform
from corpuscle.errors import MethodError, OptionError, SourceError

SCORES = np.random.default_rng(0).normal(size=(60, 4)) * [1, 2, 0.1, 30] + [0, 5, -1, 100]
finite = st.floats(-1e6, 1e6, width=32)


def test_none_is_the_scores_themselves():
    assert transform(SCORES).tobytes() == SCORES.tobytes()


def test_softmax_is_stable_and_divides_by_the_temperature_first():
    np.testing.assert_allclose(transform(SCORES, "softmax", 7), softmax(SCORES / 7, axis=1))
    far = transform(np.array([[1e6, 1e6 - 1, -1e6]]), "softmax")
    np.testing.assert_allclose(far, [[0.731059, 0.268941, 0]], atol=1e-6)


def test_zscore_takes_away_that_a_type_scores_high_everywhere():
    got = transform(SCORES, "zscore")
    np.testing.assert_allclose(got.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(got.std(axis=0), 1)
    assert np.bincount(SCORES.argmax(axis=1), minlength=4)[3] >= 59
    assert np.bincount(got.argmax(axis=1), minlength=4).max() < 30


def test_center_keeps_the_spread_and_rank_keeps_the_order_with_ties_shared():
    np.testing.assert_allclose(transform(SCORES, "center"), SCORES - SCORES.mean(axis=0))
    got = transform(np.array([[1.0, 9], [5, 7], [5, 8], [100, 1]]), "rank")
    np.testing.assert_allclose(got, [[0.125, 0.875], [0.5, 0.375], [0.5, 0.625], [0.875, 0.125]])


def test_log_has_a_floor_and_refuses_what_is_negative():
    np.testing.assert_allclose(transform(np.array([[1.0, 0.0]]), "log"), [[0, np.log(1e-12)]])
    with pytest.raises(MethodError, match=r"score -0\.5 of cell 1, column 0 is negative"):
        transform(np.array([[1.0, 0], [-0.5, 1]]), "log")


@pytest.mark.parametrize("how", ["zscore", "rank", "center"])
def test_a_type_with_one_score_names_no_cell_and_that_is_said(how):
    scores = SCORES.copy()
    scores[:, 1] = 3
    with pytest.warns(UserWarning, match=r"1 of 4 types \(columns 1\) have one score in all cells"):
        got = transform(scores, how)
    assert not (got.argmax(axis=1) == 1).any() and np.isfinite(got).all()
    np.testing.assert_allclose(got[:, [0, 2, 3]], transform(SCORES[:, [0, 2, 3]], how))
    with pytest.raises(MethodError, match="no type varies"):
        transform(np.ones((5, 2)), how)


@pytest.mark.parametrize("how", TRANSFORMS)
def test_precision_and_the_scores_given_are_kept(how):
    scores = np.abs(SCORES).astype(np.float32)
    kept = scores.copy()
    assert transform(scores, how).dtype == np.float32
    assert transform(scores.astype(float), how).dtype == np.float64
    np.testing.assert_array_equal(scores, kept)


@settings(max_examples=40, deadline=None)
@given(
    values=arrays(np.float32, st.tuples(st.integers(1, 12), st.integers(1, 5)), elements=finite),
    how=st.sampled_from(TRANSFORMS),
)
def test_nothing_finite_becomes_nan(values, how):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            got = transform(values, how)
        except MethodError:
            assert how == "log" or not np.ptp(values, axis=0).any()
            return
    assert got.shape == values.shape and np.isfinite(got).all()
    if how == "softmax":
        np.testing.assert_allclose(got.sum(axis=1), 1, rtol=1e-5)


def test_probabilities_are_shares_of_what_is_positive_and_softmax_of_the_rest():
    one_against_all = np.array([[0.9, 0.6, 0], [0.2, 0.1, 0.1]])
    np.testing.assert_allclose(probabilities(one_against_all), [[0.6, 0.4, 0], [0.5, 0.25, 0.25]])
    np.testing.assert_allclose(probabilities(SCORES), softmax(SCORES, axis=1))
    np.testing.assert_allclose(probabilities(one_against_all, "logits"), softmax(one_against_all, axis=1))
    rounded = probabilities(np.array([[1.0, -1e-7]]))
    assert rounded.tolist() == [[1.0, 0.0]]


def test_a_row_without_any_share_is_undefined_and_not_zero():
    got = probabilities(np.array([[0.0, 0], [1, 3]]))
    assert np.isnan(got[0]).all() and got[1].tolist() == [0.25, 0.75]
    with pytest.raises(MethodError, match="negative"):
        probabilities(SCORES, "shares")


def test_what_does_not_exist_is_refused():
    with pytest.raises(OptionError, match="there are: none, softmax, log"):
        transform(SCORES, "zscores")
    with pytest.raises(OptionError, match=f"there are: {', '.join(KINDS)}"):
        probabilities(SCORES, "odds")
    for bad in (0, -1, np.nan, np.inf):
        with pytest.raises(OptionError, match="temperature"):
            transform(SCORES, "softmax", bad)
    with pytest.raises(OptionError, match="no use with transform='zscore'"):
        transform(SCORES, "zscore", 2)
    with pytest.raises(SourceError, match="NaN"):
        transform(np.array([[np.nan, 1]]), "softmax")
