"""Methods: what they compute, and that they see no more than they are told."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from corpuscle.benchmarks.missingness._methods_fill import column_means
from corpuscle.benchmarks.missingness.masks import Drawn, draw_mask, parse_mask
from corpuscle.benchmarks.missingness.methods import (
    ALWAYS,
    DEFAULT,
    Found,
    Given,
    checked_found,
    method_names,
    method_of,
    missingness_method,
    parse_method,
)
from corpuscle.benchmarks.missingness.metrics import judge, reference
from corpuscle.errors import MethodError, OptionError
from corpuscle.reduce import UnbiasedGram

QUICK = [name for name in (*ALWAYS, *DEFAULT) if name not in ("hetero", "iterative")]


def factors(n: int = 60, d: int = 50, noise: float = 0.3, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return 2 + rng.normal(size=(n, 3)) @ rng.normal(size=(3, d)) + noise * rng.normal(size=(n, d))


def holes(truth_nd: np.ndarray, word: str = "uniform:low=0.4", seed: int = 0) -> Drawn:
    return draw_mask(parse_mask(word), truth_nd, seed)


@pytest.mark.parametrize("word", [*QUICK, "hetero", "iterative:rounds=1,nearest=3"])
def test_every_method_gives_finite_arrays_and_repeats(word: str):
    drawn, method = holes(factors()), parse_method(word)
    found, again = method(drawn.given(method)), method(drawn.given(method))
    checked_found(found, 60, word)
    assert found.coords_nk.shape[1] <= 10 and found.seconds > 0
    for name in ("gram_nn", "d2_nn", "coords_nk"):
        np.testing.assert_array_equal(getattr(found, name), getattr(again, name))
    np.testing.assert_allclose(found.gram_nn, found.gram_nn.T, atol=1e-8 * np.abs(found.gram_nn).max())


@pytest.mark.parametrize("word", [*QUICK, "iterative:rounds=1,nearest=3"])
def test_no_method_sees_what_was_lost(word: str):
    """Other values under the holes change nothing."""
    truth_nd = factors()
    drawn = holes(truth_nd)
    other_nd = np.where(np.isnan(drawn.x_nd), 99.0, truth_nd)
    method = parse_method(word)
    np.testing.assert_array_equal(method(drawn.given(method)).gram_nn, method(holes(other_nd).given(method)).gram_nn)


@pytest.mark.parametrize("word", [*QUICK, "hetero", "iterative:rounds=1,nearest=3"])
def test_where_nothing_is_missing_all_agree_with_the_truth(word: str):
    truth_nd = factors()
    method = parse_method(word)
    given = Given(truth_nd, np.ones(truth_nd.shape, bool), np.ones(truth_nd.shape) if method.needs_p else None, 0)
    got = judge(method(given), reference(truth_nd, None, 0, n_coordinates=3))
    assert got["gram_error"] < 1e-8 and got["d2_error"] < 1e-8
    assert got["sin_theta"] < (0.02 if word == "hetero" else 1e-5)


def test_the_two_fills_by_hand():
    x_nd = np.array([[1.0, np.nan, 5.0], [3.0, 4.0, np.nan], [np.nan, 8.0, 7.0], [2.0, 6.0, 6.0]])
    given = Given(x_nd, ~np.isnan(x_nd), None, 0)
    zero_nd, mean_nd = np.nan_to_num(x_nd), np.where(np.isnan(x_nd), [2.0, 6.0, 6.0], x_nd)
    for word, filled_nd in (("zero_fill", zero_nd), ("mean_fill", mean_nd)):
        found = parse_method(word)(given)
        centred_nd = filled_nd - filled_nd.mean(axis=0)
        np.testing.assert_allclose(found.gram_nn, centred_nd @ centred_nd.T, atol=1e-12)
        d2_nn = ((filled_nd[:, None] - filled_nd) ** 2).sum(axis=2)
        np.testing.assert_allclose(found.d2_nn, d2_nn, atol=1e-12)
        np.testing.assert_allclose(found.coords_nk @ found.coords_nk.T, found.gram_nn, atol=1e-10)


def test_a_column_that_was_never_observed_tells_nothing_apart():
    drawn = holes(factors())
    x_nd = np.column_stack([drawn.x_nd, np.full(60, np.nan)])
    with_it, without = (Given(one, ~np.isnan(one), None, 0) for one in (x_nd, np.array(drawn.x_nd)))
    assert column_means(with_it)[-1] == 0
    for word in ("zero_fill", "mean_fill", "knn_impute", "ppca", "unbiased"):
        method = parse_method(word)
        np.testing.assert_allclose(method(with_it).gram_nn, method(without).gram_nn, rtol=1e-6, atol=1e-5, err_msg=word)


def test_the_corrected_gram_is_that_of_the_estimators_on_the_scale_of_the_truth():
    drawn = holes(factors())
    for word, options in (
        ("unbiased", {}),
        ("ht:propensity=rank1", {"estimator": "ht", "propensity": "rank1"}),
        ("pairwise", {"estimator": "pairwise"}),
        ("ratio_oracle", {"propensity": drawn.p_nd}),
    ):
        method = parse_method(word)
        estimator = UnbiasedGram(**options).fit(drawn.x_nd)
        found = method(drawn.given(method))
        np.testing.assert_allclose(found.gram_nn, estimator.gram(), atol=1e-8)
        np.testing.assert_allclose(found.d2_nn, estimator.distances(), atol=1e-8)


def test_the_authors_gram_is_their_formula():
    """Recomputed with the raised divisor, the mean over features times their number, and no centring afterwards."""
    drawn = holes(factors(), "logit_normal:sd=1.2")
    method = parse_method("authors")
    m_nd = ~np.isnan(drawn.x_nd)
    w_nd = np.where(m_nd, drawn.x_nd - np.nansum(drawn.x_nd, axis=0) / m_nd.sum(axis=0), 0.0)
    row_n, column_d = m_nd.mean(axis=1), m_nd.mean(axis=0)
    divisor = max(m_nd.mean(), (row_n[:, None] * column_d).max())
    p_nd = row_n[:, None] * column_d / divisor
    gram_nn = (w_nd @ w_nd.T) / (p_nd @ p_nd.T)
    np.fill_diagonal(gram_nn, (w_nd**2).sum(axis=1) / p_nd.sum(axis=1))
    np.testing.assert_allclose(method(drawn.given(method)).gram_nn, gram_nn * 50, rtol=1e-9, atol=1e-9)


def test_correction_gives_distances_that_no_fill_does():
    """The squared-distance error falls to a third and less of both fills under uneven holes."""
    rng = np.random.default_rng(3)
    truth_nd = 2 + rng.normal(size=(120, 8)) @ rng.normal(size=(8, 600)) / 2 + rng.normal(size=(120, 600))
    truth = reference(truth_nd, None, 0)
    drawn = holes(truth_nd, "uniform:low=0.2")
    error = {}
    for word in ("zero_fill", "mean_fill", "unbiased"):
        method = parse_method(word)
        error[word] = judge(method(drawn.given(method)), truth)["d2_error"]
    assert error["unbiased"] < 0.3 * min(error["zero_fill"], error["mean_fill"])


def test_oracles_refuse_to_guess():
    drawn = holes(np.maximum(factors(), 0), "dropout:low=0.6,mask=oracle")
    for word in ("ratio_oracle", "ht_oracle"):
        method = parse_method(word)
        assert not drawn.suits(method) and "probability" in method.told
        with pytest.raises(MethodError, match="leave it out"):
            method(drawn.given(method))


def test_all_names_can_be_made_and_only_oracles_are_told():
    for name in method_names():
        method = parse_method(name)
        assert method.name == name
        assert method.needs_p == name.endswith("oracle") == (method.told != "nothing")
    assert {*ALWAYS, *DEFAULT} <= set(method_names())
    assert missingness_method("ppca", rank=5).name == "ppca:rank=5"


@pytest.mark.parametrize(
    "word",
    ["nothing", "unbiased:p=1", "knn_impute:neighbors=0", "soft_impute:held_out=1", "soft_impute:max_rank=0",
     "ppca:rank=0", "iterative:rounds=0", "ht:propensity=mine"],
)  # fmt: skip
def test_a_word_that_makes_no_sense_is_refused(word: str):
    with pytest.raises(OptionError):
        parse_method(word)


def test_what_is_no_method_is_refused():
    class Nameless:
        told, needs_p = "nothing", False

        def __call__(self, given: Given) -> None:
            return None

    for bad in (Nameless(), Nameless, 3, print):
        with pytest.raises(OptionError):
            method_of(bad)


def test_what_a_method_returns_is_checked():
    good = Found(np.eye(4), np.zeros((4, 4)), np.ones((4, 2)), 0.0)
    assert checked_found(good, 4, "m") is good
    nan_nn = np.where(np.eye(4) > 0, np.nan, 0)
    for changes in (
        {"gram_nn": np.eye(3)}, {"gram_nn": nan_nn}, {"d2_nn": -np.eye(4)}, {"coords_nk": np.ones((4, 11))},
        {"coords_nk": np.ones((4, 0))}, {"coords_nk": np.ones(4)}, {"d2_nn": np.zeros((4, 3))},
    ):  # fmt: skip
        with pytest.raises(MethodError, match=r"^m: "):
            checked_found(dataclasses.replace(good, **changes), 4, "m")
    with pytest.raises(MethodError, match="not a Found"):
        checked_found(np.eye(4), 4, "m")
