"""Masks: entries are lost with the probabilities that they say, and methods see what they should."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from corpuscle.benchmarks._method_words import split_methods
from corpuscle.benchmarks.missingness.masks import DEFAULT, draw_mask, mask_names, mask_of, parse_mask
from corpuscle.benchmarks.missingness.methods import parse_method
from corpuscle.errors import OptionError

RANDOM = ["constant:p=0.5", "uniform:low=0.2", "authors", "logit_normal:sd=1.2"]


def zero_heavy(n: int = 60, d: int = 50, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.where(rng.random((n, d)) < 0.4, 0.0, rng.gamma(2, size=(n, d)))


@pytest.mark.parametrize("word", RANDOM)
def test_entries_are_kept_with_the_probabilities_that_are_told(word: str):
    mask, truth_nd = parse_mask(word), np.ones((400, 300))
    kept_nd, p_nd = mask.draw(truth_nd, np.random.default_rng(0))
    assert p_nd is not None and (p_nd > 0).all() and (p_nd <= 1).all()
    spread = np.sqrt((p_nd * (1 - p_nd)).sum(axis=1))
    z_n = (kept_nd - p_nd).sum(axis=1) / spread
    assert abs(z_n.mean()) < 4 / np.sqrt(400) and 0.8 < z_n.std() < 1.2
    z_d = (kept_nd - p_nd).sum(axis=0) / np.sqrt((p_nd * (1 - p_nd)).sum(axis=0))
    assert 0.8 < z_d.std() < 1.2


def test_the_families_have_the_shapes_that_they_say():
    truth_nd, rng = np.ones((200, 150)), np.random.default_rng(1)
    uniform_nd = parse_mask("uniform:low=0.2").draw(truth_nd, rng)[1]
    assert np.linalg.matrix_rank(uniform_nd) == 1 and uniform_nd.min() >= 0.04
    authors_nd = parse_mask("authors").draw(truth_nd, rng)[1]
    assert np.linalg.matrix_rank(1 - authors_nd, tol=1e-8) == 1
    assert 1 - authors_nd.mean() == pytest.approx(0.4, abs=0.01)
    assert (1 - authors_nd).min() >= 0.28 and (1 - authors_nd).max() <= 0.54
    logit_nd = parse_mask("logit_normal:sd=1.2").draw(truth_nd, rng)[1]
    additive_nd = np.log(logit_nd / (1 - logit_nd))
    assert np.linalg.matrix_rank(additive_nd, tol=1e-6) == 2
    assert additive_nd.std() == pytest.approx(1.2 * np.sqrt(2), rel=0.15)
    assert (parse_mask("constant:p=0.3").draw(truth_nd, rng)[1] == 0.3).all()


@pytest.mark.parametrize("word", RANDOM)
def test_what_is_missing_does_not_depend_on_the_values(word: str):
    first = draw_mask(parse_mask(word), zero_heavy(seed=0), 3)
    second = draw_mask(parse_mask(word), zero_heavy(seed=1), 3)
    np.testing.assert_array_equal(np.isnan(first.x_nd), np.isnan(second.x_nd))


def test_observed_values_are_the_truth_and_a_seed_repeats():
    truth_nd = zero_heavy()
    drawn, again = (draw_mask(parse_mask("uniform"), truth_nd, 5, "data") for _ in range(2))
    other = draw_mask(parse_mask("uniform"), truth_nd, 6, "data")
    seen_nd = ~np.isnan(drawn.x_nd)
    np.testing.assert_array_equal(drawn.x_nd[seen_nd], truth_nd[seen_nd])
    np.testing.assert_array_equal(drawn.x_nd, again.x_nd)
    assert (np.isnan(other.x_nd) == seen_nd).any()
    assert drawn.missing_share == drawn.lost_share == pytest.approx(1 - seen_nd.mean())


def test_dropout_loses_only_values_above_zero_by_the_product_of_two_factors():
    truth_nd = zero_heavy(500, 400)
    kept_nd, p_nd = parse_mask("dropout:low=0.6").draw(truth_nd, np.random.default_rng(0))
    assert p_nd is None
    assert kept_nd[truth_nd == 0].all()
    lost = 1 - kept_nd[truth_nd > 0].mean()
    assert lost == pytest.approx(1 - 0.8**2, abs=0.02)
    strong_nd, _ = parse_mask("dropout:low=0.3").draw(truth_nd, np.random.default_rng(0))
    assert 1 - strong_nd[truth_nd > 0].mean() == pytest.approx(1 - 0.65**2, abs=0.03)


def test_the_choice_of_missing_zeros_changes_what_is_seen_and_not_what_is_lost():
    truth_nd = zero_heavy()
    drawn = {
        policy: draw_mask(parse_mask(f"dropout:low=0.6,mask={policy}"), truth_nd, 1)
        for policy in ("none", "oracle", "consensus", "zeros")
    }
    values = [np.nan_to_num(one.x_nd) for one in drawn.values()]
    for one in values[1:]:
        np.testing.assert_array_equal(values[0], one)
    assert drawn["none"].missing_share == 0 and drawn["none"].lost_share > 0.1
    assert (drawn["oracle"].found_share, drawn["oracle"].false_share) == (1, 0)
    assert (drawn["zeros"].found_share, drawn["zeros"].false_share) == (1, 1)
    np.testing.assert_array_equal(np.isnan(drawn["zeros"].x_nd), values[0] == 0)
    consensus = drawn["consensus"]
    assert (values[0][np.isnan(consensus.x_nd)] == 0).all() and consensus.missing_share > 0
    assert all(one.p_nd is None for one in drawn.values())
    told = {parse_mask(f"dropout:mask={policy}").told for policy in drawn}
    assert len(told) == 4


def test_only_a_method_that_asks_is_told_probabilities_and_nothing_can_be_written():
    drawn = draw_mask(parse_mask("uniform"), zero_heavy(), 0)
    blind, oracle = drawn.given(parse_method("unbiased")), drawn.given(parse_method("ratio_oracle"))
    assert blind.p_nd is None and oracle.p_nd is not None
    np.testing.assert_array_equal(blind.observed_nd, ~np.isnan(blind.x_nd))
    for array in (blind.x_nd, blind.observed_nd, oracle.p_nd):
        with pytest.raises(ValueError, match="read-only"):
            array[0, 0] = 1
    assert {field.name for field in dataclasses.fields(blind)} == {"x_nd", "observed_nd", "p_nd", "seed"}
    dropout = draw_mask(parse_mask("dropout"), zero_heavy(), 0)
    assert dropout.suits(parse_method("unbiased")) and not dropout.suits(parse_method("ht_oracle"))


def test_words_are_read_and_named_with_all_their_parameters():
    assert parse_mask("constant").name == "constant:p=0.5"
    assert parse_mask("dropout:low=0.3,mask=oracle").name == "dropout:low=0.3,mask=oracle"
    assert parse_mask("dropout:low=0.3,mask=oracle").key == parse_mask("dropout:low=0.3").key
    assert [parse_mask(word).name for word in DEFAULT] == list(DEFAULT)
    assert split_methods(",".join(DEFAULT)) == list(DEFAULT)
    assert {parse_mask(word).word for word in DEFAULT} == set(mask_names())


@pytest.mark.parametrize(
    "word",
    [
        "nothing", "constant:p=0", "constant:p=1.5", "constant:p=x", "constant:q=1", "uniform:low=-1",
        "logit_normal:sd=-1", "logit_normal:sd=nan", "dropout:mask=some", "constant:p=nan", "authors:p=1",
    ],
)  # fmt: skip
def test_a_word_that_makes_no_sense_is_refused_in_one_line(word: str):
    with pytest.raises(OptionError) as refused:
        parse_mask(word)
    assert "\n" not in str(refused.value)


def test_an_object_that_is_no_mask_is_refused():
    with pytest.raises(OptionError):
        mask_of("constant")
