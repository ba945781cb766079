"""The networks; each draws its weights from a generator of its own and leaves the global one alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = [
    "LEAK",
    "ConditionalGenerator",
    "Critic",
    "hollow",
    "initialised",
    "mlp",
    "normal",
    "reference_parameters",
    "reference_widths",
]

#: Slope of LeakyReLU below zero.
LEAK = 0.2
#: Hidden widths of the published notebook's generator, and the widths of its discriminator.
REFERENCE_GENERATOR = (32_768, 2_048, 512, 2_048, 16_384, 32_768)
REFERENCE_DISCRIMINATOR = (1_024, 256, 128, 64)
Module = TypeVar("Module", bound=nn.Module)


def hollow(make: Callable[[], Module]) -> Module:
    """Build a module whose weights are not there yet: it takes no memory and no random number."""
    with torch.device("meta"):
        return make()


def initialised(make: Callable[[], Module], rng: torch.Generator) -> Module:
    """Build a module and draw its weights: uniform within 1/sqrt(inputs) for layers, standard normal for labels, else 0."""
    module = hollow(make).to_empty(device="cpu")
    with torch.no_grad():
        for weight in module.parameters():
            weight.zero_()  # those that are of no layer stay so
        for part in module.modules():
            if isinstance(part, nn.Linear):
                bound = 1 / math.sqrt(part.in_features)
                part.weight.uniform_(-bound, bound, generator=rng)
                part.bias.uniform_(-bound, bound, generator=rng)
            elif isinstance(part, nn.Embedding):
                part.weight.normal_(generator=rng)
            elif isinstance(part, nn.LayerNorm):
                part.reset_parameters()
    return module


def normal(n: int, d: int, rng: torch.Generator) -> Tensor:
    """(n, d) standard normal numbers."""
    return torch.randn((n, d), generator=rng)


def mlp(widths: Sequence[int], activation: Callable[[], nn.Module], *, layer_norm: bool = False) -> nn.Sequential:
    """Linear layers of the given widths with an activation between them, and none after the last."""
    layers: list[nn.Module] = []
    for wide, (width_in, width_out) in enumerate(pairwise(widths)):
        layers.append(nn.Linear(width_in, width_out))
        if wide < len(widths) - 2:
            layers += [nn.LayerNorm(width_out)] if layer_norm else []
            layers.append(activation())
    return nn.Sequential(*layers)


class ConditionalGenerator(nn.Module):
    """Noise and a label in, a sample out: (latent + condition)-256-512-d."""

    def __init__(self, n_features: int, n_codes: int, latent: int, condition: int) -> None:
        super().__init__()
        self.latent = latent
        self.condition = nn.Embedding(n_codes, condition)
        self.layers = mlp((latent + condition, 256, 512, n_features), lambda: nn.LeakyReLU(LEAK), layer_norm=True)

    def forward(self, z_nl: Tensor, code_n: Tensor) -> Tensor:
        """Samples (n, d)."""
        out: Tensor = self.layers(torch.cat((z_nl, self.condition(code_n)), dim=1))
        return out

    def draw(self, code_n: Tensor, rng: torch.Generator) -> Tensor:
        """Draw one sample of each label."""
        out: Tensor = self(normal(len(code_n), self.latent, rng), code_n)
        return out


class Critic(nn.Module):
    """A sample and a label in, a score out: (d + condition)-512-256-1, without normalisation.

    A layer that normalises over the batch would make the score of one sample depend on the others, and the penalty on the
    gradient of each sample meaningless.
    """

    def __init__(self, n_features: int, n_codes: int, condition: int) -> None:
        super().__init__()
        self.n_features = n_features
        self.condition = nn.Embedding(n_codes, condition)
        self.first = nn.Linear(n_features + condition, 512)
        self.second = nn.Linear(512, 256)
        self.last = nn.Linear(256, 1)

    def forward(self, x_nd: Tensor, code_n: Tensor) -> Tensor:
        """Scores (n,)."""
        h = F.leaky_relu(self.first(torch.cat((x_nd, self.condition(code_n)), dim=1)), LEAK)
        h = F.leaky_relu(self.second(h), LEAK)
        out: Tensor = self.last(h)
        return out.squeeze(1)

    def input_gradient(self, x_nd: Tensor, code_n: Tensor) -> Tensor:
        """Gradient (n, d) of the scores by the samples, differentiable by the weights.

        Between its kinks the network is linear, so the gradient is the product of the weights and of the slopes at hand.
        Those slopes are constants: this is what differentiating twice gives, in one pass less.
        """
        with torch.no_grad():
            h = self.first(torch.cat((x_nd, self.condition(code_n)), dim=1))
            slope_1 = _slope(h)
            slope_2 = _slope(self.second(h * slope_1))
        v = (self.last.weight * slope_2) @ self.second.weight
        return (v * slope_1) @ self.first.weight[:, : self.n_features]


def _slope(h: Tensor) -> Tensor:
    return torch.where(h > 0, 1.0, LEAK)


def reference_widths(n_features: int, width: float) -> tuple[int, ...]:
    """Widths of the reference generator from noise to sample, the hidden ones times ``width`` (at least 2)."""
    return (n_features, *(max(2, round(w * width)) for w in REFERENCE_GENERATOR), n_features)


def reference_parameters(n_features: int = 59_425, width: float = 1.0) -> tuple[int, int]:
    """Parameters of the reference GAN's generator and discriminator.

    At full width on 59,425 genes the generator has 4,534,254,113: 18.1 GB in float32, four times that in training.
    """

    def count(widths: Sequence[int]) -> int:
        return sum((a + 1) * b for a, b in pairwise(widths))

    return count(reference_widths(n_features, width)), count((n_features, *REFERENCE_DISCRIMINATOR, 1))
