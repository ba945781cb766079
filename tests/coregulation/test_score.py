"""Scores are oriented, survive NaN, and do not reward inflating everything."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpuscle.benchmarks.coregulation.score import percentiles, robust_z, score_pair


def test_a_clear_winner_and_its_mirror():
    background = np.linspace(-0.1, 0.1, 101)
    up, down = score_pair(0.5, background, 1), score_pair(-0.5, background, -1)
    assert up.percentile == down.percentile == 1.0
    assert up.p_emp == pytest.approx(1 / 102)
    assert up.z_robust == pytest.approx(0.5 / (1.4826 * 0.05))
    assert up.z_robust == pytest.approx(down.z_robust)
    assert score_pair(0.5, background, -1).percentile == 0.0


def test_ties_count_half():
    assert score_pair(0.0, np.array([-1.0, 0.0, 0.0, 1.0]), 1).percentile == 0.5


def test_nan_background_is_dropped_and_counted():
    score = score_pair(0.2, np.array([0.1, np.nan, 0.3]), 1)
    assert (score.n_background, score.n_nan_background, score.percentile) == (2, 1, 0.5)


def test_undefined_stays_undefined():
    score = score_pair(float("nan"), np.array([0.1, 0.2]), 1)
    assert np.isnan([score.percentile, score.z, score.z_robust, score.p_emp, score.delta]).all()
    assert np.isnan(score_pair(0.2, np.full(5, 0.1), 1).z_robust)


@given(
    r=st.floats(-1, 1),
    background=st.lists(st.floats(-1, 1), min_size=3, max_size=30),
    factor=st.floats(0.1, 3),
    sign=st.sampled_from([1, -1]),
)
def test_inflating_everything_changes_neither_percentile_nor_robust_z(r, background, factor, sign):
    b = np.round(np.array(background), 6)
    r = round(r, 6)
    before, after = score_pair(r, b, sign), score_pair(r * factor, b * factor, sign)
    if np.isfinite(before.z_robust) and before.bg_mad > 1e-6:
        assert after.z_robust == pytest.approx(before.z_robust, rel=1e-6, abs=1e-9)
    distinct = np.abs(b - r) > 1e-9
    if distinct.all():
        assert after.percentile == before.percentile


def test_rowwise_forms_agree_with_the_scalar_form():
    rng = np.random.default_rng(0)
    r_b, background_bk = rng.normal(size=20), rng.normal(size=(20, 50))
    background_bk[3, :10] = np.nan
    for sign in (1, -1):
        scores = [score_pair(r, row, sign) for r, row in zip(r_b, background_bk, strict=True)]
        np.testing.assert_allclose(percentiles(r_b, background_bk, sign), [s.percentile for s in scores])
        np.testing.assert_allclose(robust_z(r_b, background_bk, sign), [s.z_robust for s in scores])
