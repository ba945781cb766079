"""Arms: what they make, that they repeat, and that each says why where it cannot run."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from corpuscle.benchmarks.rare_labels._arms import checked_augmented
from corpuscle.benchmarks.rare_labels.arms import (
    ALWAYS,
    CHEAP,
    LEARNED,
    NULLS,
    Augmented,
    Given,
    arm,
    arm_entrants,
    arm_names,
    arm_of,
    parse_arm,
)
from corpuscle.errors import MethodError, OptionError

SYNTHETIC = [name for name in CHEAP if name not in ALWAYS]
BETWEEN = ["smote", "borderline_smote", "adasyn"]


def given(n_rare: int = 12, n_wanted: int = 30, d: int = 6, shift: float = 1.5, seed: int = 0) -> Given:
    """Two large labels, a rare one that overlaps the first, and samples without one label."""
    rng = np.random.default_rng(5)
    size = {0: 60, 1: 40, 2: n_rare, -1: 5, -2: 3}
    code_n = np.concatenate([np.full(n, code) for code, n in size.items()])
    centre = {0: 0.0, 1: 6.0, 2: shift, -1: 50.0, -2: 50.0}
    x_nd = np.stack([rng.normal(centre[code], 1.0, d) for code in code_n]).astype(np.float32)
    order = rng.permutation(len(code_n))
    return Given(x_nd[order], code_n[order], 2, n_wanted, seed, np.arange(len(code_n)))


@pytest.mark.parametrize("name", SYNTHETIC)
def test_an_arm_makes_finite_samples_of_the_label_and_repeats(name: str):
    pytest.importorskip("imblearn")
    one, at = arm(name), given()
    made, again = one(at), one(at)
    assert made.class_weight == "balanced" and made.x_sd.dtype == np.float32
    assert abs(len(made.x_sd) - 30) <= (6 if name == "adasyn" else 0)
    assert (made.code_s == 2).all() and checked_augmented(made, at, name) is made
    np.testing.assert_array_equal(made.x_sd, again.x_sd)
    other = one(dataclasses.replace(at, seed=1))
    assert not np.array_equal(made.x_sd[:5], other.x_sd[:5])


@pytest.mark.parametrize("name", [*SYNTHETIC, "gan"])
def test_no_sample_wanted_is_the_arm_of_weights(name: str):
    made = arm(name)(given(n_wanted=0))
    assert made.x_sd.shape == (0, 6) and len(made.code_s) == 0 and made.class_weight == "balanced"


def test_the_two_arms_of_every_table_add_nothing():
    none, weights = arm("none"), arm("class_weight")
    assert none(given()).class_weight is None and weights(given()).class_weight == "balanced"
    assert len(none(given()).x_sd) == len(weights(given()).x_sd) == 0
    assert (none.kind, weights.kind) == ("none", "weights")


@pytest.mark.parametrize("name", [n for n in SYNTHETIC if n not in ("noise", "mvn")])
def test_samples_lie_within_the_label(name: str):
    """Copies, and points between two samples, never leave the box of the label's samples."""
    pytest.importorskip("imblearn")
    at = given()
    x_sd = arm(name)(at).x_sd
    assert (x_sd >= at.own_cd.min(axis=0) - 1e-5).all() and (x_sd <= at.own_cd.max(axis=0) + 1e-5).all()


@pytest.mark.parametrize("name", SYNTHETIC)
def test_samples_without_one_label_and_their_place_change_nothing(name: str):
    pytest.importorskip("imblearn")
    at = given()
    moved = np.where((at.code_n < 0)[:, None], np.float32(-999), at.x_nd)
    np.testing.assert_array_equal(arm(name)(at).x_sd, arm(name)(dataclasses.replace(at, x_nd=moved)).x_sd)


def test_oversampling_copies_every_sample_about_as_often():
    at = given(n_rare=4, n_wanted=4000)
    rows, count = np.unique(arm("oversample")(at).x_sd, axis=0, return_counts=True)
    np.testing.assert_array_equal(rows, np.unique(at.own_cd, axis=0))
    assert (np.abs(count - 1000) < 120).all()


def test_smote_is_on_a_line_between_two_samples_and_cuts_its_neighbours():
    pytest.importorskip("imblearn")
    at = given(n_rare=2)
    made = arm("smote")(at)
    first_d, second_d = at.own_cd
    share_s = (made.x_sd - first_d) @ (second_d - first_d) / ((second_d - first_d) ** 2).sum()
    np.testing.assert_allclose(made.x_sd, first_d + share_s[:, None] * (second_d - first_d), atol=1e-5)
    assert (share_s >= -1e-6).all() and (share_s <= 1 + 1e-6).all()
    assert made.notes == ("k cut from 5 to 1",)
    assert arm("smote", k=3)(given()).notes == ()


@pytest.mark.parametrize("name", [*BETWEEN, "mixup", "gan", "vae", "diffusion", "gan_reference"])
def test_one_training_sample_is_too_few_to_draw_between(name: str):
    with pytest.raises(MethodError, match="1 training sample; it takes 2 or more"):
        arm(name)(given(n_rare=1))


@pytest.mark.parametrize("name", SYNTHETIC)
def test_no_training_sample(name: str):
    with pytest.raises(MethodError, match="no training sample"):
        arm(name)(given(n_rare=0))


def test_far_from_all_others_there_is_no_border():
    pytest.importorskip("imblearn")
    far = given(n_rare=30, shift=80.0)
    with pytest.raises(MethodError, match="no sample of the label is at the border"):
        arm("borderline_smote")(far)
    with pytest.raises(MethodError, match=r"adasyn: .*majority"):
        arm("adasyn")(far)
    assert len(arm("smote")(far).x_sd) == 30


def test_one_label_alone():
    pytest.importorskip("imblearn")
    at = given()
    alone = dataclasses.replace(at, x_nd=at.own_cd, code_n=np.full(12, 2))
    with pytest.raises(MethodError, match="takes others beside it"):
        arm("smote")(alone)
    assert len(arm("mvn")(alone).x_sd) == 30


def test_noise_has_the_spread_that_was_asked_for():
    at = given(n_rare=1, n_wanted=20_000)
    x_sd = arm("noise", scale=0.5)(at).x_sd - at.own_cd
    within = [at.x_nd[at.code_n == code].astype(float) for code in (0, 1)]
    sd_d = np.sqrt(sum(((x - x.mean(0)) ** 2).sum(0) for x in within) / 98)
    np.testing.assert_allclose(x_sd.std(axis=0), 0.5 * sd_d, rtol=0.03)
    np.testing.assert_allclose(x_sd.mean(axis=0), 0, atol=0.02)


@pytest.mark.parametrize("d", [4, 80])
def test_mvn_draws_have_the_shrunk_covariance(d: int):
    """With more and with fewer samples than features: two ways to the same covariance."""
    from sklearn.covariance import ledoit_wolf

    at = given(n_rare=30, n_wanted=60_000, d=d)
    own_cd = at.own_cd.astype(float)
    want_dd = ledoit_wolf(own_cd - own_cd.mean(0), assume_centered=True)[0] * 30 / 29
    x_sd = arm("mvn", covariance="class")(at).x_sd.astype(float)
    got_dd = np.cov(x_sd, rowvar=False)
    assert np.linalg.norm(got_dd - want_dd) < 0.06 * np.linalg.norm(want_dd)
    np.testing.assert_allclose(x_sd.mean(axis=0), own_cd.mean(axis=0), atol=0.03)


def test_mvn_pools_where_the_label_has_one_sample_only():
    at = given(n_rare=1)
    assert len(arm("mvn")(at).x_sd) == 30
    with pytest.raises(MethodError, match="two of one label"):
        arm("mvn", covariance="class")(at)


def test_mixup_takes_two_different_samples():
    at = given(n_rare=3, n_wanted=400)
    x_sd = arm("mixup", alpha=1)(at).x_sd
    weights_s3 = np.linalg.lstsq(at.own_cd.T.astype(float), x_sd.T.astype(float), rcond=None)[0].T
    np.testing.assert_allclose(weights_s3.sum(axis=1), 1, atol=1e-4)
    assert ((np.abs(weights_s3) < 1e-4).sum(axis=1) >= 1).all()
    assert (weights_s3.max(axis=1) < 1).all()


def test_words_have_names_parameters_and_are_refused():
    assert parse_arm("smote:k=3").name == "smote:k=3" and parse_arm("smote:k=3").params == {"k": 3}
    assert parse_arm("mvn:covariance=class").params == {"covariance": "class"}
    for word in ("smote:k=0", "noise:scale=-1", "noise:scale=nan", "mixup:alpha=0", "mvn:covariance=full", "smotes",
                 "smote:m=3", "borderline_smote:m=0", "gan:stepz=3", "gan:steps=0", "gan:steps=5,max_steps=6"):  # fmt: skip
        with pytest.raises(OptionError):
            parse_arm(word)
    assert {*CHEAP, *LEARNED, *NULLS} == set(arm_names())


def test_entrants_start_with_the_two_of_every_table():
    found = arm_entrants("smote:k=3,noise")
    assert [one.name for one in found] == ["none", "class_weight", "smote:k=3", "noise"]
    assert len({one.code for one in found}) > 1 and all(len(one.code) == 64 for one in found)
    assert [one.name for one in arm_entrants()] == list(CHEAP)
    with pytest.raises(OptionError, match="twice"):
        arm_entrants(["noise", "noise"])


class Doubled:
    name, told, kind = "doubled", "samples of the label", "synthetic"

    def __call__(self, at: Given) -> Augmented:
        return Augmented(2 * at.own_cd, np.full(len(at.own_cd), at.target), "balanced", 0.0)


def test_an_arm_of_ones_own_and_what_is_none():
    assert arm_entrants([Doubled()])[-1].name == "doubled"
    bad = Doubled()
    bad.kind = "magic"
    for one in (Doubled, object(), bad):
        with pytest.raises(OptionError):
            arm_of(one)


def test_what_an_arm_returns_is_checked():
    at = given()
    good = Doubled()(at)
    for wrong, words in (
        ({"x_sd": np.ones((12, 5), np.float32)}, "shape"),
        ({"x_sd": good.x_sd * np.float32(np.nan)}, "not a finite"),
        ({"code_s": np.full(12, 9)}, "no training sample"),
        ({"code_s": np.full(12, -1)}, "no training sample"),
        ({"code_s": good.code_s[:3]}, "shape"),
        ({"class_weight": "heavy"}, "neither"),
    ):
        with pytest.raises(MethodError, match=words):
            checked_augmented(dataclasses.replace(good, **wrong), at, "doubled")
    with pytest.raises(MethodError, match="not an Augmented"):
        checked_augmented(good.x_sd, at, "doubled")
