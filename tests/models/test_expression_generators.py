"""Generators on arrays: what they learn, that they repeat, and the exact pieces they are made of."""

from __future__ import annotations

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from corpuscle.errors import MethodError, OptionError, SourceError  # noqa: E402
from corpuscle.models.expression._diffusion import cosine_schedule  # noqa: E402
from corpuscle.models.expression._gan import gradient_penalty  # noqa: E402
from corpuscle.models.expression._mmd import LabelledMMD, median_bandwidth, mmd_squared  # noqa: E402
from corpuscle.models.expression._networks import (  # noqa: E402
    Critic,
    initialised,
    reference_parameters,
    reference_widths,
)
from corpuscle.models.expression._training import Batches, Task, split_held_out, torch_stream  # noqa: E402
from corpuscle.models.expression.generator import Generator, fit_generator  # noqa: E402
from corpuscle.models.expression.recipe import (  # noqa: E402
    DiffusionRecipe,
    GANRecipe,
    ReferenceGANRecipe,
    VAERecipe,
    recipe_of,
)

CENTRE = np.array([[3.0, -2.0, 0.5, 10.0], [-3.0, 2.0, 0.5, 12.0]])
SPREAD = np.array([0.5, 1.0, 2.0, 0.2])
SHORT = {
    "gan": GANRecipe(max_steps=160, check_every=80, learning_rate=1e-3, ema=0.98, critic_steps=2, batch_size=32),
    "vae": VAERecipe(epochs=40, warm_up=5),
    "diffusion": DiffusionRecipe(max_steps=400, check_every=200, hidden=128, ema=0.98, sampling_steps=20),
}
TINY = {
    "gan": GANRecipe(max_steps=4, check_every=2),
    "vae": VAERecipe(max_steps=4, check_every=2),
    "diffusion": DiffusionRecipe(max_steps=4, check_every=2, hidden=16, timesteps=20, sampling_steps=5),
    "reference": ReferenceGANRecipe(epochs=2, width=1 / 512),
}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def two_classes(n0=150, n1=50, seed=0):
    """Samples of two Gaussian classes, the second rarer; no multiple of the batch size."""
    code_n = np.repeat([0, 1], [n0, n1])
    noise_nd = np.random.default_rng(seed).normal(size=(n0 + n1, 4))
    return (CENTRE[code_n] + noise_nd * SPREAD).astype(np.float32), code_n


def kind_of(name):
    return "gan" if name == "reference" else name


@pytest.mark.parametrize("kind", SHORT)
def test_two_classes_are_learnt_each_under_its_own_label(kind):
    x_nd, code_n = two_classes()
    generator = fit_generator(kind, x_nd, code_n, recipe=SHORT[kind], seed=1)
    for code in (0, 1):
        drawn_nd = generator.sample(code, 1000, seed=2)
        assert drawn_nd.shape == (1000, 4) and drawn_nd.dtype == np.float32
        # In units of all samples' spread, since so short a game of two networks ends near the centres and no nearer.
        off_d = np.abs(drawn_nd.mean(axis=0) - CENTRE[code]) / x_nd.std(axis=0)
        np.testing.assert_array_less(off_d, 0.6 if kind == "gan" else 0.35)
        log_ratio = np.log(drawn_nd.std(axis=0) / SPREAD).mean()
        assert abs(log_ratio) < np.log(3 if kind == "gan" else 1.5)
    assert {"step", "mmd"} <= set(generator.history.columns)
    assert generator.history["mmd"].min() < 0.2


@pytest.mark.parametrize("name", TINY)
def test_a_seed_repeats_and_another_does_not_and_the_global_generators_are_left_alone(name):
    x_nd, code_n = two_classes(30, 7)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, same, other = (
        fit_generator(kind_of(name), x_nd, code_n, recipe=TINY[name], seed=seed).sample(1, 9, seed=3)
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("name", TINY)
def test_state_and_back_gives_the_same_samples(name):
    x_nd, code_n = two_classes(30, 7)
    generator = fit_generator(kind_of(name), x_nd, code_n, recipe=TINY[name])
    arrays, about = generator.state()
    again = Generator.from_state(arrays, json.loads(json.dumps(about, allow_nan=False)))
    np.testing.assert_array_equal(again.sample(0, 5, 1), generator.sample(0, 5, 1))
    assert again.recipe == generator.recipe and again.history.equals(generator.history)
    assert not np.array_equal(again.sample(0, 5, 1), again.sample(0, 5, 2))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda arrays, about: arrays.pop("mean"),
        lambda arrays, about: arrays.pop("network.condition.weight"),
        lambda arrays, about: about.update(n_codes=3),
        lambda arrays, about: about.update(n_codes=10**9),
        lambda arrays, about: about["recipe"].update(latent=10**12),
        lambda arrays, about: about["recipe"].update(name="nothing"),
        lambda arrays, about: about.pop("recipe"),
    ],
)
def test_a_state_that_does_not_fit_is_refused(spoil):
    arrays, about = fit_generator("gan", *two_classes(8, 8), recipe=TINY["gan"]).state()
    spoil(arrays, about)
    with pytest.raises(SourceError, match="do not fit"):
        Generator.from_state(arrays, about)


@pytest.mark.parametrize("name", TINY)
@pytest.mark.parametrize("n", [(2, 2), (3, 66)])
def test_any_number_of_samples_will_do(name, n):
    generator = fit_generator(kind_of(name), *two_classes(*n), recipe=TINY[name])
    assert np.isfinite(generator.sample(0, 3)).all()


def test_a_constant_feature_stays_one():
    x_nd, code_n = two_classes(20, 20)
    x_nd[:, 2] = 7.0
    drawn_nd = fit_generator("vae", x_nd, code_n, recipe=VAERecipe(max_steps=200)).sample(0, 200)
    assert np.abs(drawn_nd[:, 2].mean() - 7.0) < 0.5


def test_the_penalty_of_a_linear_critic_is_exact():
    critic = initialised(lambda: Critic(3, 2, 4), torch_stream(0, "critic"))
    with torch.no_grad():
        for layer in (critic.first, critic.second, critic.last):
            layer.weight.zero_()
            layer.bias.fill_(1.0)  # every unit is above its kink: the score is linear
        critic.first.weight[0, :3] = torch.tensor([0.02, 0.0, 0.01])
        critic.second.weight[0, 0] = 10.0
        critic.last.weight[0, 0] = 10.0
    x_nd = torch.randn(5, 3, generator=torch_stream(0, "x")).clamp(-3, 3)
    penalty = gradient_penalty(critic, x_nd, -x_nd, torch.zeros(5, dtype=torch.long), torch.rand(5))
    assert float(penalty.detach()) == pytest.approx((np.hypot(2.0, 1.0) - 1) ** 2, rel=1e-6)


def test_the_penalty_and_its_derivative_are_those_of_differentiating_twice():
    critic = initialised(lambda: Critic(6, 3, 4), torch_stream(1, "critic")).double()
    rng = torch_stream(1, "x")
    real, fake = (torch.randn(10, 6, generator=rng, dtype=torch.float64) for _ in range(2))
    code_n, mix_n = torch.arange(10) % 3, torch.rand(10, generator=rng, dtype=torch.float64)
    ours = gradient_penalty(critic, real, fake, code_n, mix_n)
    point = (mix_n[:, None] * real + (1 - mix_n[:, None]) * fake).requires_grad_()
    (slope,) = torch.autograd.grad(critic(point, code_n).sum(), point, create_graph=True)
    theirs = (slope.norm(dim=1) - 1).square().mean()
    assert float(ours.detach()) == pytest.approx(float(theirs.detach()), rel=1e-9)
    weights = [critic.first.weight, critic.second.weight, critic.last.weight]
    for a, b in zip(torch.autograd.grad(ours, weights), torch.autograd.grad(theirs, weights), strict=True):
        torch.testing.assert_close(a, b)


def test_discrepancy_of_equal_sets_is_zero_and_a_small_one_is_exact():
    x = torch.tensor([[0.0], [1.0]])
    assert mmd_squared(x, x.clone(), 0.7) == 0.0
    assert mmd_squared(x, x.flip(0), 0.7) == pytest.approx(0.0, abs=1e-7)
    y = torch.tensor([[2.0]])
    k = np.exp(-0.5 * np.array([0.0, 1.0, 4.0]))
    expected = (2 * k[0] + 2 * k[1]) / 4 + k[0] - 2 * (k[2] + k[1]) / 2
    assert mmd_squared(x, y, 1.0) == pytest.approx(expected, rel=1e-6)
    assert median_bandwidth([torch.tensor([[0.0], [1.0], [5.0]])]) == pytest.approx(4.0)
    assert median_bandwidth([torch.zeros(3, 2)]) == 1.0


def test_discrepancy_sees_labels_that_are_mixed_up():
    x_nd, code_n = (torch.from_numpy(a) for a in two_classes(40, 40))
    mmd = LabelledMMD(x_nd, code_n)
    assert mmd.wanted.bincount().tolist() == [40, 40]
    assert mmd(x_nd) == 0.0
    assert mmd(x_nd.flip(0)) > 0.5


def test_rare_labels_are_held_out_and_drawn_as_said():
    code_n = np.repeat([0, 1, 2], [400, 100, 4])
    train, held = split_held_out(code_n, 0.1, seed=3)
    assert np.bincount(code_n[held], minlength=3).tolist() == [40, 10, 0]
    assert np.array_equal(np.sort(np.concatenate((train, held))), np.arange(504))
    x_nd = torch.arange(504.0)[:, None]
    task = Task(x_nd, torch.from_numpy(code_n), 3, torch.arange(504), torch.arange(0), 0, None)
    batches = Batches(task, 64, 0.5, torch_stream(0, "batches"))
    drawn = [batches.draw() for _ in range(400)]
    share = torch.cat([codes for _, codes in drawn]).bincount().double() / (400 * 64)
    np.testing.assert_allclose(share, np.array([20, 10, 2]) / 32, atol=0.01)
    assert all(torch.equal(code_n_of(x, code_n), codes) for x, codes in drawn)
    equal = Batches(task, 64, 0.0, torch_stream(0, "batches"))
    share = torch.cat([equal.draw()[1] for _ in range(400)]).bincount().double() / (400 * 64)
    np.testing.assert_allclose(share, 1 / 3, atol=0.02)


def code_n_of(x_nd, code_n):
    return torch.from_numpy(code_n)[x_nd[:, 0].long()]


def test_held_out_samples_are_never_trained_on():
    code_n = np.repeat([0, 1], [30, 30])
    train, held = split_held_out(code_n, 0.2, seed=0)
    x_nd = torch.arange(60.0)[:, None]
    task = Task(x_nd, torch.from_numpy(code_n), 2, torch.from_numpy(train), torch.from_numpy(held), 0, None)
    batches = Batches(task, 16, 0.5, torch_stream(0, "batches"))
    seen = {int(x) for _ in range(100) for x in batches.draw()[0][:, 0]}
    assert seen == set(train.tolist())


def test_parameters_of_the_reference():
    generator, discriminator = reference_parameters()
    assert generator == 4_534_254_113
    assert discriminator == 61_155_841
    assert reference_widths(50, 1 / 64) == (50, 512, 32, 8, 32, 256, 512, 50)
    network = fit_generator("gan", *two_classes(4, 4), recipe=ReferenceGANRecipe(epochs=1, width=1 / 512)).network
    assert sum(p.numel() for p in network.of_code[0].parameters()) == reference_parameters(4, 1 / 512)[0]


def test_the_reference_takes_features_as_they_are_and_counts_its_steps():
    generator = fit_generator("gan", *two_classes(65, 10), recipe=ReferenceGANRecipe(epochs=3, width=1 / 512))
    np.testing.assert_array_equal(generator.mean_d_, 0)
    np.testing.assert_array_equal(generator.sd_d_, 1)
    assert generator.history["step"].tolist() == [6, 9]


def test_the_schedule_falls_from_one_to_nothing():
    left_t = cosine_schedule(500)
    assert (left_t.diff() < 0).all() and 0.999 < left_t[0] < 1 and 0 < left_t[-1] < 1e-5
    middle = np.cos((0.5 + 0.008) / 1.008 * np.pi / 2) ** 2 / np.cos(0.008 / 1.008 * np.pi / 2) ** 2
    assert float(left_t[249]) == pytest.approx(middle, rel=1e-4)


def test_diffusion_walks_all_steps_and_keeps_to_the_range_and_guidance_matters():
    x_nd, code_n = two_classes(40, 40)
    recipe = DiffusionRecipe(max_steps=60, hidden=32, timesteps=30, sampling_steps=30)
    full = fit_generator("diffusion", x_nd, code_n, recipe=recipe)
    low_d, high_d = x_nd.min(axis=0), x_nd.max(axis=0)
    slack_d = 0.1 * (high_d - low_d) + 1e-3
    drawn_nd = full.sample(0, 50)
    assert (drawn_nd >= low_d - slack_d).all() and (drawn_nd <= high_d + slack_d).all()
    arrays, about = full.state()
    guided = Generator.from_state(arrays, {**about, "recipe": {**about["recipe"], "guidance": 2.0}})
    assert not np.array_equal(guided.sample(0, 50), drawn_nd)


def test_training_stops_when_it_no_longer_helps_and_keeps_the_best():
    said = []
    recipe = VAERecipe(check_every=5, patience=3, max_steps=2000, epochs=10**6, warm_up=1)
    generator = fit_generator(
        "vae", *two_classes(12, 12), recipe=recipe, progress=lambda done, total, text: said.append((done, total))
    )
    history = generator.history
    assert history["step"].iloc[-1] < 2000
    assert said == [(step, 2000) for step in history["step"]]
    best = history["held_out_loss"].to_numpy().argmin()
    assert best <= len(history) - 4
    again = fit_generator("vae", *two_classes(12, 12), recipe=recipe_of("vae", recipe, max_steps=5 * (int(best) + 1)))
    np.testing.assert_array_equal(again.sample(0, 5), generator.sample(0, 5))


@pytest.mark.parametrize("kind", ["gan", "diffusion"])
def test_only_a_vae_encodes(kind):
    x_nd, code_n = two_classes(8, 8)
    with pytest.raises(OptionError, match="no latent space"):
        fit_generator(kind, x_nd, code_n, recipe=TINY[kind]).encode(x_nd, code_n)
    assert fit_generator("vae", x_nd, code_n, recipe=TINY["vae"]).encode(x_nd, code_n).shape == (16, 32)


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (lambda x, c: (np.where(x > 11, np.nan, x), c), MethodError, "not finite"),
        (
            lambda x, c: (x, np.where(np.arange(20) == 0, 2, c)),
            MethodError,
            "fewer than 2 samples, first label 2 with 1",
        ),
        (lambda x, c: (x, c * 2), MethodError, "first label 1 with 0"),
        (lambda x, c: (x, c - 1), OptionError, "without a label"),
        (lambda x, c: (x, c.astype(float)), OptionError, "whole numbers"),
        (lambda x, c: (x[:0], c[:0]), MethodError, "n x d"),
        (lambda x, c: (x, c[:-1]), MethodError, "n x d"),
    ],
)
def test_bad_samples_are_one_line(spoil, error, message):
    with pytest.raises(error, match=message) as caught:
        fit_generator("gan", *spoil(*two_classes(10, 10)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("n", [0, -1, 2.5, True])
def test_a_number_of_samples_that_makes_no_sense(n):
    generator = fit_generator("vae", *two_classes(8, 8), recipe=TINY["vae"])
    with pytest.raises(OptionError, match="1 or more"):
        generator.sample(0, n)
    for code in (2, -1, "a"):
        with pytest.raises(OptionError, match="one of 0 to 1"):
            generator.sample(code, 1)


@pytest.mark.parametrize(
    ("kind", "recipe", "changes", "message"),
    [
        ("flow", None, {}, "must be one of: gan, vae, diffusion"),
        ("vae", "reference", {}, "must be one of: corpuscle"),
        ("gan", VAERecipe(), {}, "of kind 'vae'"),
        ("gan", None, {"hidden": 3}, "no choice 'hidden'"),
        ("gan", None, {"latent": 0}, "more than 0"),
        ("gan", None, {"latent": 2.5}, "whole number"),
        ("gan", None, {"ema": 1.0}, "below 1"),
        ("gan", None, {"penalty": -1}, "not be negative"),
        ("vae", None, {"learning_rate": float("nan")}, "more than 0"),
        ("diffusion", None, {"sampling_steps": 501}, "at most timesteps"),
        ("diffusion", None, {"time_width": 7}, "even"),
    ],
)
def test_choices_that_make_no_sense(kind, recipe, changes, message):
    with pytest.raises(OptionError, match=message):
        recipe_of(kind, recipe, **changes)


def test_divergence_is_one_line():
    x_nd, code_n = two_classes(20, 20)
    with pytest.raises(MethodError, match="the vae diverged after"):
        fit_generator("vae", x_nd, code_n, recipe=VAERecipe(learning_rate=1e12, check_every=5))
