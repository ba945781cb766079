"""Differential topics: against SciPy's own test, under permutation, and on groups that cannot be tested."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import false_discovery_control, mannwhitneyu

from corpuscle.errors import MethodError, OptionError
from corpuscle.models.sce2tm.differential import differential_topics


def made(n=120, k=6, seed=0, effect=2.0):
    rng = np.random.default_rng(seed)
    groups = np.array(["b", "a", "c"])[rng.integers(3, size=n)]
    logits_nk = rng.normal(size=(n, k))
    logits_nk[groups == "b", 2] += effect
    return logits_nk, groups


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), decimals=st.integers(0, 3))
def test_p_values_are_those_of_scipy_with_and_without_ties(seed, decimals):
    logits_nk, groups = made(n=60, seed=seed)
    logits_nk = np.round(logits_nk, decimals)
    table = differential_topics(logits_nk, groups, min_cells=2).set_index(["group", "topic"])
    for group in "abc":
        inside = groups == group
        expected = mannwhitneyu(logits_nk[inside], logits_nk[~inside], axis=0, method="asymptotic")
        for topic in range(logits_nk.shape[1]):
            row = table.loc[(group, topic)]
            assert row["p"] == pytest.approx(expected.pvalue[topic], rel=1e-9)
            assert row["auroc"] == pytest.approx(expected.statistic[topic] / (inside.sum() * (~inside).sum()))


def test_the_shifted_topic_is_found_and_no_other():
    logits_nk, groups = made()
    table = differential_topics(logits_nk, groups)
    found = table[table["significant"]]
    assert set(found["topic"]) == {2} and set(found.loc[found["difference"] > 0, "group"]) == {"b"}
    row = found[found["group"] == "b"].iloc[0]
    inside = groups == "b"
    assert row["difference"] == pytest.approx(logits_nk[inside, 2].mean() - logits_nk[~inside, 2].mean())
    assert row["mean_group"] - row["mean_rest"] == pytest.approx(row["difference"])
    assert table["p_adjusted"].to_numpy() == pytest.approx(false_discovery_control(table["p"].to_numpy()))


def test_a_small_difference_is_not_significant_however_small_its_p():
    logits_nk, groups = made(n=3000, effect=0.5)
    row = differential_topics(logits_nk, groups).query("group == 'b' and topic == 2").iloc[0]
    assert row["p_adjusted"] < 1e-6 and not row["significant"]
    assert (
        differential_topics(logits_nk, groups, min_diff=0.2).query("group == 'b' and topic == 2")["significant"].all()
    )


def test_permutation_p_is_smoothed_repeats_and_agrees():
    logits_nk, groups = made()
    table = differential_topics(logits_nk, groups, test="permutation", n_permutations=199, seed=1)
    assert table["p"].min() == pytest.approx(1 / 200)
    again = differential_topics(logits_nk, groups, test="permutation", n_permutations=199, seed=1)
    pd.testing.assert_frame_equal(table, again)
    other = differential_topics(logits_nk, groups, test="permutation", n_permutations=199, seed=2)
    assert not np.array_equal(table["p"], other["p"])
    ranks = differential_topics(logits_nk, groups).set_index(["group", "topic"])["p"]
    assert np.corrcoef(table.set_index(["group", "topic"])["p"].loc[ranks.index], ranks)[0, 1] > 0.9


def test_p_of_no_difference_is_uniform():
    p = np.concatenate([differential_topics(*made(n=200, k=20, seed=s, effect=0.0))["p"].to_numpy() for s in range(5)])
    assert abs((p < 0.1).mean() - 0.1) < 0.06 and abs((p < 0.5).mean() - 0.5) < 0.12


def test_a_constant_topic_has_p_one():
    logits_nk, groups = made()
    logits_nk[:, 0] = 3.0
    table = differential_topics(logits_nk, groups)
    assert (table.loc[table["topic"] == 0, "p"] == 1.0).all()


def test_small_groups_are_listed_with_a_reason_and_count_for_no_adjustment():
    logits_nk, groups = made()
    groups = groups.astype(object)
    groups[:3] = "rare"
    table = differential_topics(logits_nk, groups)
    rare = table[table["group"] == "rare"]
    assert len(rare) == 6 and rare[["difference", "p", "p_adjusted"]].isna().all(axis=None)
    assert not rare["significant"].any() and (rare["reason"] == "3 cells in the group, fewer than 5").all()
    assert table["p_adjusted"].dropna().to_numpy() == pytest.approx(false_discovery_control(table["p"].dropna()))


def test_cells_without_a_group_are_on_neither_side():
    logits_nk, groups = made()
    with_none = np.append(groups.astype(object), [None, np.nan])
    table = differential_topics(np.vstack([logits_nk, np.full((2, 6), 50.0)]), with_none)
    pd.testing.assert_frame_equal(table, differential_topics(logits_nk, groups.astype(object)))


def test_a_data_frame_names_the_topics_and_categories_may_be_unused():
    logits_nk, groups = made()
    frame = pd.DataFrame(logits_nk, columns=[f"topic {k}" for k in range(6)])
    table = differential_topics(frame, pd.Categorical(groups, categories=["a", "b", "c", "never"]))
    assert set(table["topic"]) == set(frame.columns) and set(table["group"]) == {"a", "b", "c"}


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"groups": ["a"] * 120}, OptionError, "one group"),
        ({"groups": ["a", "b"]}, OptionError, "groups for 2"),
        ({"test": "ttest"}, OptionError, "no test is called 'ttest'"),
        ({"fdr": 0.0}, OptionError, "fdr"),
        ({"min_diff": -1.0}, OptionError, "min_diff"),
        ({"n_permutations": 0}, OptionError, "n_permutations"),
        ({"logits_nk": np.full((120, 6), np.nan)}, MethodError, "topic 0 of cell 0 is nan"),
        ({"logits_nk": np.zeros(120)}, OptionError, "cells x topics"),
    ],
)
def test_bad_input_is_refused_in_one_line(change, error, words):
    logits_nk, groups = made()
    with pytest.raises(error, match=words) as caught:
        differential_topics(**({"logits_nk": logits_nk, "groups": groups} | change))
    assert "\n" not in str(caught.value)
