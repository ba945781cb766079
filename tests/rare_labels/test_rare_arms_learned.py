"""Arms that train a generator: what they are shown, and that the nulls are shown what cannot help."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from corpuscle.benchmarks.rare_labels.arms import LEARNED, NULLS, Given, arm, parse_arm
from corpuscle.errors import MethodError

CENTRE = {0: 0.0, 1: 8.0, 4: -8.0}


def given(n_wanted: int = 40) -> Given:
    """Labels 0, 1 and 4 far apart, label 3 of a single sample, some without one."""
    rng = np.random.default_rng(2)
    code_n = np.repeat([0, 1, 4, 3, -1], [40, 30, 12, 1, 4])
    x_nd = np.stack([rng.normal(CENTRE.get(code, 100.0), 1.0, 5) for code in code_n]).astype(np.float32)
    return Given(x_nd, code_n, 4, n_wanted, 0, np.arange(len(code_n)))


@pytest.mark.parametrize("name", [*LEARNED, *NULLS])
def test_each_trains_and_draws_samples(name: str):
    pytest.importorskip("torch")
    options = {"epochs": 2} if name == "gan_reference" else {"steps": 6}
    made = arm(name, **options)(given())
    assert made.x_sd.shape == (40, 5) and (made.code_s == 4).all() and made.class_weight == "balanced"


def test_the_same_seed_gives_the_same_samples_and_diffusion_finds_the_label():
    pytest.importorskip("torch")
    one = parse_arm("diffusion:steps=150")
    x_sd = one(given()).x_sd
    np.testing.assert_array_equal(x_sd, one(given()).x_sd)
    assert abs(x_sd.mean() + 8) < 2.5


def test_one_training_serves_every_amount():
    pytest.importorskip("torch")
    one = parse_arm("gan:steps=10")
    trained = one.train(given(5))
    np.testing.assert_array_equal(one.drawn(trained, given(40)), one(given(40)).x_sd)


def test_what_each_is_shown():
    at = given()
    x_nd, code_n, asked = arm("gan").data(at)
    assert len(x_nd) == 82 and sorted(np.unique(code_n)) == [0, 1, 2] and asked == 2
    np.testing.assert_array_equal(x_nd[code_n == asked], at.own_cd)

    x_nd, code_n, asked = arm("gan_shuffled").data(at)
    assert (code_n == asked).sum() <= 12
    assert len(np.unique(np.sign(x_nd[code_n == asked].mean(axis=1).round()))) > 1  # samples of several labels
    assert np.abs(x_nd).max() < 120 and not (x_nd == at.x_nd[at.code_n == -1][0]).all(axis=1).any()

    x_nd, code_n, asked = arm("gan_other").data(at)
    assert len(x_nd) == 12 and (code_n == 0).all() and asked == 0
    assert min(abs(x_nd.mean() - 0), abs(x_nd.mean() - 8)) < 1

    x_nd, code_n, _ = arm("gan_reference").data(at)
    np.testing.assert_array_equal(x_nd, at.own_cd)


def test_no_other_label_to_train_on():
    at = given()
    own = at.code_n == 4
    with pytest.raises(MethodError, match="no other label"):
        arm("gan_other")(Given(at.x_nd[own], at.code_n[own], 4, 5, 0, at.groups_n[own]))


def test_parameters_are_every_choice_of_the_recipe():
    assert parse_arm("gan:steps=500").name == "gan:steps=500"
    assert parse_arm("gan:steps=500").params["max_steps"] == 500
    assert parse_arm("diffusion:guidance=2").params["guidance"] == 2
    assert arm("gan_reference").params["recipe"] == "reference"


def test_without_the_extra_it_is_one_line(monkeypatch: pytest.MonkeyPatch):
    for name in [name for name in sys.modules if name.startswith("corpuscle.models.expression.")]:
        if not name.endswith(".recipe"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MethodError, match=r"corpuscle\[models\]"):
        arm("gan", steps=1)(given())
