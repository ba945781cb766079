"""The published notebook's GAN at reduced width: unconditional, one pair of networks per label.

It is here to be compared with. On features as small as the notebook's (about 1e-4) its discriminator stayed at chance
for the first 40 of 100 epochs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from corpuscle.models.expression._networks import REFERENCE_DISCRIMINATOR, initialised, mlp, normal, reference_widths
from corpuscle.models.expression._training import Task, Watch, adam, descend, torch_stream
from corpuscle.models.expression.recipe import ReferenceGANRecipe

__all__ = ["fit_reference", "reference_network"]


class ReferenceGenerators(nn.Module):
    """One generator per label; noise has as many dimensions as a sample."""

    def __init__(self, n_features: int, n_codes: int, width: float) -> None:
        super().__init__()
        self.n_features = n_features
        self.of_code = nn.ModuleList(mlp(reference_widths(n_features, width), nn.ReLU) for _ in range(n_codes))

    def draw(self, code_n: Tensor, rng: torch.Generator) -> Tensor:
        """Draw one sample of each label."""
        out_nd = normal(len(code_n), self.n_features, rng)
        for code in torch.unique(code_n).tolist():
            of_code = code_n == code
            out_nd[of_code] = self.of_code[code](out_nd[of_code])
        return out_nd


class _Discriminator(nn.Module):
    """ReLU layers with dropout, 1,024-256-128-64-1; gives the logit."""

    def __init__(self, n_features: int, dropout: float) -> None:
        super().__init__()
        self.layers = mlp((n_features, *REFERENCE_DISCRIMINATOR, 1), nn.ReLU)
        self.keep = 1 - dropout

    def forward(self, x_nd: Tensor, rng: torch.Generator) -> Tensor:
        """Logits (n,) that samples are real."""
        h = x_nd
        for layer in self.layers:
            h = layer(h)
            if isinstance(layer, nn.ReLU):
                h = h * torch.empty_like(h).bernoulli_(self.keep, generator=rng) / self.keep
        return h.squeeze(1)


def reference_network(recipe: ReferenceGANRecipe, n_features: int, n_codes: int) -> Callable[[], ReferenceGenerators]:
    """What makes the networks that samples are drawn from."""
    return partial(ReferenceGenerators, n_features, n_codes, recipe.width)


def fit_reference(task: Task, recipe: ReferenceGANRecipe) -> tuple[ReferenceGenerators, list[dict[str, float]]]:
    """Train label after label; returns the generators with the weights of the last step, and the history."""
    make = reference_network(recipe, task.x_nd.shape[1], task.n_codes)
    networks = initialised(make, torch_stream(task.seed, "weights"))
    watch = Watch(networks, task, recipe)
    done = 0
    for code in range(task.n_codes):
        x_nd = task.x_nd[task.train][task.code_n[task.train] == code]
        steps = min(recipe.epochs * math.ceil(len(x_nd) / recipe.batch_size), recipe.max_steps)
        loss_d, loss_g = _train_one(networks.of_code[code], x_nd, steps, recipe, task, code)
        done += steps
        watch.look(done, {"critic_loss": loss_d, "generator_loss": loss_g}, may_stop=False)
    return networks, watch.history


def _train_one(
    generator: nn.Module, x_nd: Tensor, steps: int, recipe: ReferenceGANRecipe, task: Task, code: int
) -> tuple[float, float]:
    """Train one generator against its discriminator; their last losses."""
    rng = torch_stream(task.seed, "label", str(code))
    n, n_features = recipe.batch_size, x_nd.shape[1]
    judge = initialised(lambda: _Discriminator(n_features, recipe.dropout), rng)
    adam_g, adam_d = adam(generator, recipe.learning_rate), adam(judge, recipe.learning_rate)
    one, zero = torch.ones(n), torch.zeros(n)
    loss_d = loss_g = torch.zeros(())
    bce = F.binary_cross_entropy_with_logits
    for _ in range(steps):
        real_nd = x_nd[torch.randint(len(x_nd), (n,), generator=rng)]
        with torch.no_grad():
            fake_nd = generator(normal(n, n_features, rng))
        loss_d = (bce(judge(real_nd, rng), one) + bce(judge(fake_nd, rng), zero)) / 2
        descend(loss_d, judge, adam_d)
        loss_g = bce(judge(generator(normal(n, n_features, rng)), rng), one)
        descend(loss_g, generator, adam_g)
    return float(loss_d.detach()), float(loss_g.detach())
