"""Samples that share a series, and splits that keep them together."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpuscle.bulk.series import grouped_folds, random_folds, series_groups, series_per_label
from corpuscle.errors import OptionError


def groups(*texts: object) -> list[int]:
    return series_groups(pd.DataFrame({"series_id": list(texts)}))[0].tolist()


@pytest.mark.parametrize("between", [",", "\t", ";", " ", ", ", " ;\t"])
def test_samples_of_several_series_join_them(between: str) -> None:
    assert groups("GSE1", f"GSE1{between}GSE2", "GSE2", "GSE3") == [0, 0, 0, 1]


def test_a_chain_of_series_is_one_group() -> None:
    assert groups("GSE1,GSE2", "GSE9", "GSE3,GSE4", "GSE2\tGSE3", "GSE4") == [0, 1, 0, 0, 0]


def test_names_with_spaces_are_not_taken_apart() -> None:
    assert groups("donor 1", "donor 2", "donor 1") == [0, 1, 0]


def test_samples_without_a_series_are_alone_and_counted() -> None:
    codes_n, notes = series_groups(pd.DataFrame({"series_id": ["GSE1", None, "", "nan", np.nan, "GSE1"]}))
    assert codes_n.tolist() == [0, 1, 2, 3, 4, 0]
    assert notes == ["4 of 6 samples have no series_id; each is taken for a series of its own"]


def test_joined_series_are_counted() -> None:
    notes = series_groups(pd.DataFrame({"series_id": ["GSE1,GSE2", "GSE3"]}))[1]
    assert notes == ["3 series are 2 groups, since some samples are of several series"]


def test_a_categorical_column_and_numbers_will_do() -> None:
    assert series_groups(pd.DataFrame({"batch": pd.Categorical(["b", "a", "b"])}), "batch")[0].tolist() == [0, 1, 0]
    assert series_groups(pd.DataFrame({"batch": [7, 3, 7]}), "batch")[0].tolist() == [0, 1, 0]


def test_a_missing_column_names_those_there_are() -> None:
    with pytest.raises(OptionError, match=r"no column 'series_id'.*: title, batch"):
        series_groups(pd.DataFrame({"title": ["a"], "batch": ["b"]}))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 8)), min_size=8, max_size=60),
    st.integers(2, 5),
    st.integers(0, 9),
)
def test_a_grouped_split_never_shares_a_series(rows: list[tuple[int, int]], n_splits: int, seed: int) -> None:
    labels_n, groups_n = np.array(rows).T
    if len(np.unique(groups_n)) < 2:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folds = grouped_folds(labels_n, groups_n, n_splits, seed)
        again = grouped_folds(labels_n, groups_n, n_splits, seed)
    assert len(folds) >= 2
    for (train, test), (train_again, test_again) in zip(folds, again, strict=True):
        assert not set(groups_n[train]) & set(groups_n[test])
        assert sorted([*train, *test]) == list(range(len(rows)))
        assert np.array_equal(train, train_again) and np.array_equal(test, test_again)
    assert sorted(np.concatenate([test for _, test in folds])) == list(range(len(rows)))


def test_another_seed_gives_another_split() -> None:
    labels_n, groups_n = np.tile([0, 1], 60), np.repeat(np.arange(40), 3)
    tests = [grouped_folds(labels_n, groups_n, 4, seed)[0][1] for seed in (0, 1)]
    assert not np.array_equal(*tests)


def test_one_series_cannot_be_split() -> None:
    with pytest.raises(OptionError, match=r"all 6 samples are of one series.*random split"):
        grouped_folds(np.arange(6) % 2, np.zeros(6, int), 3, 0)


def test_fewer_series_than_folds_give_fewer_folds_and_a_warning() -> None:
    with pytest.warns(UserWarning, match="3 folds instead of 5"):
        assert len(grouped_folds(np.arange(12) % 2, np.repeat(np.arange(3), 4), 5, 0)) == 3


def test_labels_in_one_series_are_named() -> None:
    labels_n = np.array(["liver", "liver", "brain", "brain"])
    groups_n = np.array([0, 1, 1, 1])
    with pytest.warns(UserWarning, match=r"1 of 2 labels are in one series only \(brain\)"):
        grouped_folds(labels_n, groups_n, 2, 0)
    table = series_per_label(labels_n, groups_n)
    assert table.to_dict("list") == {"label": ["brain", "liver"], "n_samples": [2, 2], "n_series": [1, 2]}


def test_random_folds_cover_all_and_balance_labels() -> None:
    labels_n = np.array([0] * 40 + [1] * 20)
    folds = random_folds(labels_n, 4, 0)
    assert sorted(np.concatenate([test for _, test in folds])) == list(range(60))
    assert all(np.bincount(labels_n[test]).tolist() == [10, 5] for _, test in folds)


@pytest.mark.parametrize(
    "split", [lambda: random_folds(np.zeros(5), 1, 0), lambda: grouped_folds(np.zeros(5), np.arange(5), 1, 0)]
)
def test_one_fold_is_refused(split) -> None:
    with pytest.raises(OptionError, match="2 or more"):
        split()
