"""Denoising diffusion of feature vectors, given a label.

Ho et al. 2020, Denoising diffusion probabilistic models; Nichol & Dhariwal 2021 for the cosine schedule; Song et al. 2021,
Denoising diffusion implicit models, for sampling in few steps; Ho & Salimans 2022 for guidance without a classifier;
Salimans & Ho 2022, Progressive distillation, for the velocity.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from corpuscle.models.expression._networks import initialised, mlp, normal
from corpuscle.models.expression._training import Batches, MeanWeights, Task, Watch, adam, descend, torch_stream
from corpuscle.models.expression.recipe import DiffusionRecipe

__all__ = ["Denoiser", "cosine_schedule", "diffusion_network", "fit_diffusion"]

#: A sample may leave the range of the training samples by this share of it.
SLACK = 0.1
#: Times at which samples are denoised when training is looked at: enough to rank weights by.
LOOK_STEPS = 20


def cosine_schedule(timesteps: int) -> Tensor:
    """Share (t,) of the signal's variance that is left after each step; no step takes more than 99.9 % of it."""
    t = torch.arange(timesteps + 1, dtype=torch.float64) / timesteps
    left = torch.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2
    return torch.cumprod((left[1:] / left[:-1]).clamp(min=1e-3), 0).float()


def _time_vectors(timesteps: int, width: int) -> Tensor:
    """(t, width) sines and cosines of the time at wavelengths from 1 to 10,000."""
    rate = torch.exp(-math.log(10_000) * torch.arange(width // 2) / (width // 2))
    angle = torch.arange(timesteps)[:, None] * rate
    return torch.cat((angle.sin(), angle.cos()), dim=1)


class Denoiser(nn.Module):
    """A noisy sample, its time and its label in, its velocity out: three hidden layers.

    The velocity is ``sqrt(left) noise - sqrt(1 - left) sample``; sample and noise both follow from it. A network that gives
    the noise itself must scale a wide input by its time, which a small one does badly: on features of variance 1 its
    samples came out with 1.8 times the spread. With the velocity, an output of 0 is already right for such features.
    The label after the last stands for "any".
    """

    def __init__(self, n_features: int, n_codes: int, recipe: DiffusionRecipe) -> None:
        super().__init__()
        self.n_features, self.any_label, self.recipe = n_features, n_codes, recipe
        self.sampling_steps = recipe.sampling_steps
        self.condition = nn.Embedding(n_codes + 1, recipe.condition)
        width = n_features + recipe.time_width + recipe.condition
        self.layers = mlp((width, *(recipe.hidden,) * 3, n_features), nn.SiLU)
        # Outside the module's device: these are functions of the recipe, not weights.
        with torch.device("cpu"):
            self.left_t = cosine_schedule(recipe.timesteps)
            self.time_te = _time_vectors(recipe.timesteps, recipe.time_width)
        self.low_d = nn.Parameter(torch.zeros(n_features), requires_grad=False)
        self.high_d = nn.Parameter(torch.zeros(n_features), requires_grad=False)

    def forward(self, x_nd: Tensor, time_n: Tensor, code_n: Tensor) -> Tensor:
        """Velocity (n, d)."""
        out: Tensor = self.layers(torch.cat((x_nd, self.time_te[time_n], self.condition(code_n)), dim=1))
        return out

    def draw(self, code_n: Tensor, rng: torch.Generator) -> Tensor:
        """Draw one sample of each label in ``sampling_steps`` steps."""
        x_nd = normal(len(code_n), self.n_features, rng)
        full = self.sampling_steps == self.recipe.timesteps
        times = torch.linspace(self.recipe.timesteps - 1, 0, self.sampling_steps).round().long().tolist()
        for time, earlier in zip(times, [*times[1:], -1], strict=True):
            left = float(self.left_t[time])
            left_before = float(self.left_t[earlier]) if earlier >= 0 else 1.0
            velocity_nd = self._guided(x_nd, torch.full_like(code_n, time), code_n)
            clean_nd = math.sqrt(left) * x_nd - math.sqrt(1 - left) * velocity_nd
            clean_nd = torch.clamp(clean_nd, self.low_d, self.high_d)
            noise_nd = (x_nd - math.sqrt(left) * clean_nd) / math.sqrt(1 - left)
            # The variance of the full walk's posterior; in fewer steps all noise is the network's own.
            fresh = (1 - left_before) / (1 - left) * (1 - left / left_before) if full else 0.0
            x_nd = math.sqrt(left_before) * clean_nd + math.sqrt(max(1 - left_before - fresh, 0.0)) * noise_nd
            if fresh > 0:
                x_nd = x_nd + math.sqrt(fresh) * normal(len(code_n), self.n_features, rng)
        return x_nd

    def _guided(self, x_nd: Tensor, time_n: Tensor, code_n: Tensor) -> Tensor:
        given: Tensor = self(x_nd, time_n, code_n)
        if self.recipe.guidance == 1:
            return given
        free = self(x_nd, time_n, torch.full_like(code_n, self.any_label))
        return torch.lerp(free, given, self.recipe.guidance)


def diffusion_network(recipe: DiffusionRecipe, n_features: int, n_codes: int) -> Callable[[], Denoiser]:
    """What makes the network."""
    return partial(Denoiser, n_features, n_codes, recipe)


def _ranged(network: Denoiser, x_nd: Tensor) -> Denoiser:
    low_d, high_d = x_nd.amin(dim=0), x_nd.amax(dim=0)
    with torch.no_grad():
        network.low_d.copy_(low_d - SLACK * (high_d - low_d))
        network.high_d.copy_(high_d + SLACK * (high_d - low_d))
    return network


def fit_diffusion(task: Task, recipe: DiffusionRecipe) -> tuple[Denoiser, list[dict[str, float]]]:
    """Train; returns the network with the weights of the least discrepancy, and the history."""
    make, weights = diffusion_network(recipe, task.x_nd.shape[1], task.n_codes), torch_stream(task.seed, "weights")
    network = _ranged(initialised(make, weights), task.x_nd[task.train])
    kept = initialised(make, weights)
    mean = MeanWeights(network, kept, recipe.ema)
    kept.sampling_steps = min(recipe.sampling_steps, LOOK_STEPS)
    optimiser = adam(network, recipe.learning_rate)
    batches = Batches(task, recipe.batch_size, recipe.balance, torch_stream(task.seed, "batches"))
    noise = torch_stream(task.seed, "noise")
    watch = Watch(kept, task, recipe)
    for step in range(1, recipe.max_steps + 1):
        x_nd, code_n = batches.draw()
        loss = _loss(network, x_nd, code_n, noise)
        descend(loss, network, optimiser)
        mean.update()
        due = step % recipe.check_every == 0 or step == recipe.max_steps
        if due and watch.look(step, {"loss": float(loss.detach())}):
            break
    watch.keep_best()
    kept.sampling_steps = recipe.sampling_steps
    return kept, watch.history


def _loss(network: Denoiser, x_nd: Tensor, code_n: Tensor, rng: torch.Generator) -> Tensor:
    """Mean squared error of the velocity at random times."""
    n = len(x_nd)
    time_n = torch.randint(network.recipe.timesteps, (n,), generator=rng)
    hidden_n = torch.rand(n, generator=rng) < network.recipe.condition_dropout
    noise_nd = normal(n, network.n_features, rng)
    left_n = network.left_t[time_n][:, None]
    noised_nd = left_n.sqrt() * x_nd + (1 - left_n).sqrt() * noise_nd
    velocity_nd = left_n.sqrt() * noise_nd - (1 - left_n).sqrt() * x_nd
    guess_nd = network(noised_nd, time_n, code_n.masked_fill(hidden_n, network.any_label))
    loss: Tensor = (guess_nd - velocity_nd).square().mean()
    return loss
