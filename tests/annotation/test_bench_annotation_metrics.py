"""Numbers of the annotation benchmark against their definitions and against other libraries."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpuscle.benchmarks.annotation.metrics import (
    calibration_bins,
    expected_calibration_error,
    judge,
    mcnemar,
    ontology_distance,
    per_type,
)

TYPES = ("a", "b", "c", "d")


def judged(found, truth, raw=None, confidence=None, distance="no ids"):
    found, truth = np.asarray(found), np.asarray(truth)
    confidence = np.ones(found.size) if confidence is None else np.asarray(confidence, float)
    return judge(found, found if raw is None else np.asarray(raw), truth, confidence, TYPES, distance)


@given(st.lists(st.tuples(st.integers(-1, 3), st.integers(0, 3)), min_size=1, max_size=60))
@settings(max_examples=60, deadline=None)
def test_scores_are_those_of_scikit_learn_over_the_types_that_are_there(pairs):
    from sklearn.metrics import accuracy_score, f1_score, recall_score

    found, truth = map(np.array, zip(*pairs, strict=True))
    there = np.unique(truth)
    numbers = judged(found, truth).numbers
    f1 = f1_score(truth, found, labels=there, average=None, zero_division=0)
    assert numbers["macro_f1"] == pytest.approx(f1.mean())
    assert numbers["worst_f1"] == pytest.approx(f1.min())
    assert numbers["accuracy"] == pytest.approx(accuracy_score(truth, found))
    recall = recall_score(truth, found, labels=there, average="macro", zero_division=0)
    assert numbers["balanced_accuracy"] == pytest.approx(recall)


def test_a_type_that_is_never_found_has_f1_zero_and_no_precision():
    table = per_type(np.array([0, 0, 0]), np.array([0, 0, 1]), TYPES).set_index("type")
    assert table.loc["b", "f1"] == 0 and np.isnan(table.loc["b", "precision"]) and list(table.index) == ["a", "b"]


def test_a_label_outside_the_candidates_is_wrong_and_counts_for_no_type():
    numbers = judged([-1, 0, 1], [0, 0, 1]).numbers
    assert numbers["accuracy"] == pytest.approx(2 / 3)
    assert numbers["macro_f1"] == pytest.approx((2 / 3 + 1) / 2)


def test_accuracy_can_rise_while_macro_f1_falls():
    truth = np.repeat([0, 1], [90, 10])
    raw = truth.copy()
    raw[:20] = 1
    better = np.zeros(100, int)
    before, after = judged(raw, truth).numbers, judged(better, truth, raw=raw).numbers
    assert after["accuracy"] > before["accuracy"] and after["macro_f1"] < before["macro_f1"]
    assert (after["wrong_to_right"], after["right_to_wrong"]) == (20, 10)


def test_mcnemar_is_the_exact_binomial_test():
    before, after = np.array([True] * 5 + [False] * 15), np.array([False] * 2 + [True] * 11 + [False] * 7)
    gained, lost, p = mcnemar(before, after)
    assert (gained, lost) == (8, 2) and p == pytest.approx(0.109375)
    assert mcnemar(before, before)[2] == 1.0


def test_calibration_error_is_the_gap_of_confidence_and_accuracy():
    confidence, right = np.array([0.9, 0.9, 0.9, 0.9, 0.2, 0.2]), np.array([1, 1, 1, 0, 0, 0], bool)
    assert expected_calibration_error(confidence, right) == pytest.approx((4 * 0.15 + 2 * 0.2) / 6)
    bins = calibration_bins(np.array([1.0, 0.0]), np.array([True, False]))
    assert bins["cells"].sum() == 2 and bins["bin"].max() == 14
    perfect = np.arange(1000) % 4 < 3
    assert expected_calibration_error(np.full(1000, 0.75), perfect) == pytest.approx(0)


def test_a_missing_confidence_makes_calibration_undefined_with_a_reason():
    found = judged([0, 1], [0, 1], confidence=[np.nan, 0.9])
    assert np.isnan(found.numbers["ece"]) and np.isnan(found.numbers["brier"])
    assert found.reasons["ece"].startswith("1 cells have no reported confidence")
    assert found.reasons["ontology_distance"] == "no ids" and np.isnan(found.numbers["ontology_distance"])


def test_distance_counts_edges_to_the_true_type():
    cd4, cd8, mono = "CL:0000624", "CL:0000625", "CL:0000576"
    distance = ontology_distance(np.array([0, 1, 2]), [cd4, cd8, mono], np.array([0, 0, 0]), [cd4, cd8])
    assert distance[0] == 0 and 0 < distance[1] < distance[2]


def test_distance_says_why_there_is_none():
    assert "no Cell Ontology id" in ontology_distance(
        np.array([0, 1]), ["CL:0000624", None], np.array([0, 0]), ["CL:0000624"]
    )
    unused = ontology_distance(np.array([0, 0]), ["CL:0000624", None], np.array([0, 0]), ["CL:0000624"])
    assert unused.tolist() == [0, 0], "a column that names no cell needs no id"
    assert "CL:9999999" in ontology_distance(np.array([0]), ["CL:9999999"], np.array([0]), ["CL:0000624"])
