"""Who goes to train, validation and test."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpuscle.corpus.pairs.split import SPLITS, given_split, split_cells
from corpuscle.errors import OptionError


def donors(sizes):
    return pd.DataFrame({"donor": np.repeat([f"d{i}" for i in range(len(sizes))], sizes)})


@given(st.lists(st.integers(1, 60), min_size=3, max_size=40), st.integers(0, 5))
def test_no_group_is_divided_and_no_split_is_empty(sizes, seed):
    obs = donors(sizes)
    split = split_cells(obs, group="donor", seed=seed)
    assert (obs.assign(split=split).groupby("donor")["split"].nunique() == 1).all()
    assert set(split) == set(SPLITS)


def test_shares_are_met_where_groups_allow_it():
    obs = donors([100] * 40 + [7] * 60)
    for seed in range(5):
        share = pd.Series(split_cells(obs, group="donor", seed=seed)).value_counts(normalize=True)
        assert share["train"] == pytest.approx(0.8, abs=0.05)
        assert share["test"] == pytest.approx(0.1, abs=0.05)


def test_one_huge_group_is_for_training():
    obs = donors([1000] + [20] * 12)
    assert set(split_cells(obs, group="donor")[:1000]) == {"train"}


def test_the_seed_decides_and_the_order_of_cells_does_not():
    obs = donors([30] * 20)
    one = split_cells(obs, group="donor", seed=3)
    assert (one == split_cells(obs, group="donor", seed=3)).all()
    assert (one != split_cells(obs, group="donor", seed=4)).any()
    order = np.random.default_rng(0).permutation(len(obs))
    assert (split_cells(obs.iloc[order], group="donor", seed=3) == one[order]).all()


def test_a_random_split_is_made_only_when_asked_for():
    obs = donors([50, 50])
    with pytest.raises(OptionError, match="--random-split"):
        split_cells(obs)
    split = split_cells(obs, random=True, seed=1)
    assert pd.Series(split).value_counts().to_dict() == {"train": 80, "validation": 10, "test": 10}
    assert (split == split_cells(obs, random=True, seed=1)).all()
    assert (split != split_cells(obs, random=True, seed=2)).any()
    with pytest.raises(OptionError, match="one or the other"):
        split_cells(obs, group="donor", random=True)


def test_a_share_of_nil_is_an_empty_split():
    obs = donors([10] * 6)
    assert set(split_cells(obs, group="donor", shares=(0, 0, 1))) == {"test"}
    assert set(split_cells(obs, group="donor", shares=(0.5, 0, 0.5))) == {"train", "test"}
    assert set(split_cells(obs, shares=(1, 0, 0))) == {"train"}


def test_too_few_groups_say_what_to_do():
    with pytest.raises(OptionError, match="2 groups for 3 splits; set shares of 0"):
        split_cells(donors([50, 50]), group="donor")
    assert set(split_cells(donors([50, 50]), group="donor", shares=(0.5, 0, 0.5))) == {"train", "test"}


def test_a_cell_without_a_group_is_refused():
    obs = pd.DataFrame({"donor": ["a", "b", None, "c"]})
    with pytest.raises(OptionError, match="1 cells have no value of 'donor'"):
        split_cells(obs, group="donor")


@pytest.mark.parametrize("shares", [(0.8, 0.1), (0.8, 0.3, 0.1), (1.2, -0.1, -0.1), (float("nan"), 0.5, 0.5)])
def test_shares_that_make_no_sense_are_refused(shares):
    with pytest.raises(OptionError, match="add up to 1"):
        split_cells(donors([10] * 5), group="donor", shares=shares)


# -- given by a column ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("categorical", [False, True])
def test_a_column_gives_the_split_and_only_training_needs_cells(categorical):
    words = ["train", "test", "train", "validation"]
    obs = pd.DataFrame({"part": pd.Categorical(words) if categorical else words})
    assert list(given_split(obs, "part")) == words
    assert list(given_split(obs[:1], "part")) == ["train"]
    with pytest.raises(OptionError, match="'train' of no cell"):
        given_split(obs[1:2], "part")


@pytest.mark.parametrize(
    ("value", "said"), [("Train", "'Train'"), (None, "no value"), (float("nan"), "no value"), (1, "1")]
)
def test_another_word_or_none_names_the_first_cell(value, said):
    obs = pd.DataFrame({"part": ["train", value, "train", value]}, index=["a", "b", "c", "d"])
    with pytest.raises(OptionError, match=f"cell 'b' has {said} there, as one of 2"):
        given_split(obs, "part")
    with pytest.raises(OptionError, match="no column 'parts' that gives the split; it has: part"):
        given_split(obs, "parts")
