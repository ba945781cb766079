"""Parts of the classifier: metrics, calibration, resampled series, links of trees."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from corpuscle.bulk.classify._held_out import Held
from corpuscle.bulk.classify.bootstrap import Scorer, drawn_series, interval_of
from corpuscle.bulk.classify.calibration import Calibrator, abstention_threshold
from corpuscle.bulk.classify.metrics import (
    answers,
    auprc,
    auroc,
    expected_calibration_error,
    samples_f1,
    wilson_interval,
)
from corpuscle.bulk.classify.models._trees import check_links


def held(n: int = 60, n_labels: int = 3, seed: int = 0) -> Held:
    random = np.random.default_rng(seed)
    y_ml = np.arange(n_labels) == random.integers(n_labels, size=n)[:, None]
    p_ml = np.clip(0.3 * y_ml + random.random((n, n_labels)) * 0.7, 0, 1).round(2)
    return Held(y_ml, p_ml, p_ml, np.zeros(n, np.int64), np.full(n, np.nan), True)


def test_calibration_error_by_hand() -> None:
    p_n, right_n = np.array([0.95, 0.95, 0.35, 0.35, 1.0]), np.array([1, 0, 0, 0, 1], bool)
    # 0.95 and 1.0 share the last of 15 bins: mean 2.9 / 3 against 2 / 3; the others are alone: 0.35 against 0
    assert expected_calibration_error(p_n, right_n) == pytest.approx((0.9 + 0.7) / 5)
    assert expected_calibration_error(np.array([1.0, 0.0]), np.array([1, 0])) == 0
    assert np.isnan(expected_calibration_error(np.zeros(0), np.zeros(0)))


@pytest.mark.parametrize(
    ("k", "n", "low", "high"), [(8, 10, 0.49016, 0.94331), (0, 30, 0.0, 0.11351), (30, 30, 0.88649, 1.0)]
)
def test_wilson_intervals_are_the_published_ones(k: int, n: int, low: float, high: float) -> None:
    assert wilson_interval(k, n) == pytest.approx((low, high), abs=1e-5)
    assert np.isnan(wilson_interval(0, 0)).all()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.integers(0, 3)), min_size=4, max_size=40))
def test_weighted_areas_are_those_of_repeated_samples(rows: list[tuple[int, bool, int]]) -> None:
    score_n, y_n, times_n = (np.array(column) for column in zip(*rows, strict=True))
    repeated = np.repeat(np.arange(len(rows)), times_n)
    found, precision = auroc(score_n, y_n, times_n[None, :]), auprc(score_n, y_n, times_n[None, :])
    if len(np.unique(y_n[repeated])) < 2:
        assert np.isnan(found[0])
        return
    assert found[0] == pytest.approx(roc_auc_score(y_n[repeated], score_n[repeated]))
    assert precision[0] == pytest.approx(average_precision_score(y_n[repeated], score_n[repeated]))


def test_scores_are_those_of_scikit_learn() -> None:
    made = held()
    found = Scorer(made, np.arange(60)).estimate()
    y, told = made.y_ml, made.told_ml
    for name, average in (("macro_f1", "macro"), ("micro_f1", "micro"), ("samples_f1", "samples")):
        assert found[name][0] == pytest.approx(f1_score(y, told, average=average, zero_division=0))
    assert found["label f1"][0] == pytest.approx(f1_score(y, told, average=None))
    assert found["ece"][0] == pytest.approx(expected_calibration_error(made.confidence_m, made.right_m))
    assert samples_f1(y, told) == pytest.approx(found["samples_f1"][0])


def test_whole_series_are_drawn() -> None:
    made, series_m = held(), np.repeat(np.arange(12), 5)
    scorer = Scorer(made, series_m)
    times_bs = next(drawn_series(12, 3, 0, 8))
    assert times_bs.shape == (3, 12) and (times_bs.sum(axis=1) == 12).all() and (times_bs == 0).any()
    one = times_bs[1].astype(int)
    rows = np.concatenate([np.flatnonzero(series_m == s) for s in np.repeat(np.arange(12), one)])
    again = Held(made.y_ml[rows], made.raw_ml[rows], made.p_ml[rows], made.fold_m[rows], made.threshold_m[rows], True)
    direct = Scorer(again, np.arange(len(rows))).estimate()
    for name, values in scorer.scores(times_bs).items():
        assert values[1] == pytest.approx(direct[name][0], nan_ok=True), name
    whole = scorer.resampled(40, 7)
    assert whole["macro_f1"].shape == (40,) and np.array_equal(whole["macro_f1"], scorer.resampled(40, 7)["macro_f1"])
    # copies of every sample within a series add no certainty
    twice = np.repeat(np.arange(60), 2)
    doubled = Held(*(part[twice] for part in (made.y_ml, made.raw_ml, made.p_ml, made.fold_m, made.threshold_m)), True)
    assert np.allclose(Scorer(doubled, series_m[twice]).resampled(40, 7)["macro_f1"], whole["macro_f1"])


def test_an_interval_needs_defined_resamples() -> None:
    assert np.isnan(interval_of(np.array([1.0, np.nan, np.nan]))).all()
    assert interval_of(np.arange(101.0)) == (2.5, 97.5)


def test_calibration_mends_scores_that_say_too_much() -> None:
    random = np.random.default_rng(0)
    true_n = random.random(4000)
    y_n = random.random(4000) < true_n
    logit = np.log(true_n / (1 - true_n))
    p_n = 1 / (1 + np.exp(-3 * logit))
    for part, kind in ((slice(0, 600), "sigmoid"), (slice(0, 4000), "isotonic")):
        made = Calibrator.fit(np.column_stack([p_n, p_n])[part], np.column_stack([y_n, y_n])[part])
        assert made.curves[0][0] == kind
        after = made(np.column_stack([p_n, p_n]))[:, 0]
        assert expected_calibration_error(after, y_n) < 0.04 < expected_calibration_error(p_n, y_n)
        again = Calibrator.from_json(made.to_json(), 2)
        assert np.array_equal(again(np.column_stack([p_n, p_n]))[:, 0], after)
    assert made.curves[0][1] is not None and after.min() > 0 and after.max() < 1


def test_scores_that_say_the_contrary_become_the_share() -> None:
    y_n = np.repeat([0, 1], [30, 10])
    made = Calibrator.fit(np.column_stack([1 - y_n, y_n]) * 0.8 + 0.1, np.column_stack([y_n, y_n]))
    backwards, right = made(np.array([[0.1, 0.1], [0.9, 0.9]])).T
    assert backwards[0] == backwards[1] == pytest.approx(0.25, abs=0.02)
    assert right[0] < 0.1 < 0.8 < right[1]
    with pytest.raises(ValueError, match="no calibration curve"):
        Calibrator.from_json([["sigmoid", 1.0, float("nan")], ["none"]], 2)


def test_the_threshold_of_abstention() -> None:
    confidence = np.linspace(1, 0.51, 50)
    right = np.arange(50) < 40
    assert abstention_threshold(confidence, right, 0.8) == pytest.approx(0.51)
    assert abstention_threshold(confidence, right, 1.0) == pytest.approx(confidence[39])
    assert abstention_threshold(confidence, ~right, 0.9) is None
    assert abstention_threshold(confidence / 10, right, 0.8) == 0.5


def test_of_equal_probabilities_the_higher_score_wins() -> None:
    p_nl, raw_nl = np.array([[0.7, 0.7, 0.1]]), np.array([[0.2, 0.9, 0.1]])
    assert answers(p_nl, True, raw_nl).tolist() == [[False, True, False]]
    assert answers(p_nl, False).tolist() == [[True, True, False]]


@pytest.mark.parametrize(
    ("left", "feature"), [([1, -1, -1], [9, 0, 0]), ([7, -1, -1], [0] * 3), ([0, -1, -1], [0] * 3)]
)
def test_trees_whose_links_lead_astray_are_refused(left: list[int], feature: list[int]) -> None:
    right, leaf = np.array([2, -1, -1]), np.array([False, True, True])
    check_links(np.array([1, -1, -1]), right, np.zeros(3, int), leaf, 2)
    with pytest.raises(ValueError, match="a tree"):
        check_links(np.array(left), right, np.array(feature), leaf, 2)
