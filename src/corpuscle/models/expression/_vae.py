"""Conditional variational autoencoder with a Gaussian likelihood of learnt variance.

Kingma & Welling 2014, Auto-encoding variational Bayes; Higgins et al. 2017 for the weight beta.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from corpuscle.models.expression._networks import LEAK, initialised, mlp, normal
from corpuscle.models.expression._training import Batches, MeanWeights, Task, Watch, adam, descend, torch_stream
from corpuscle.models.expression.recipe import VAERecipe

__all__ = ["ConditionalVAE", "fit_vae", "vae_network"]

#: Bounds of the logarithms of variances: features are standardised, so none is far from 1 and none may vanish.
LOG_VARIANCE = (-7.0, 2.0)
#: The variance of the likelihood must fall as fast as the decoder learns, or samples get too much noise: Adam's steps are
#: this much longer for it.
PACE = 20.0


class ConditionalVAE(nn.Module):
    """Encoder (d + condition)-256-128-2 latent, decoder (latent + condition)-128-256-d, a variance per feature."""

    def __init__(self, n_features: int, n_codes: int, latent: int, condition: int) -> None:
        super().__init__()
        self.latent = latent
        self.condition = nn.Embedding(n_codes, condition)
        self.encoder = mlp((n_features + condition, 256, 128, 2 * latent), lambda: nn.LeakyReLU(LEAK))
        self.decoder = mlp((latent + condition, 128, 256, n_features), lambda: nn.LeakyReLU(LEAK))
        self.slow_log_variance_d = nn.Parameter(torch.zeros(n_features))

    def encode(self, x_nd: Tensor, code_n: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance (n, latent) of the posterior."""
        out = self.encoder(torch.cat((x_nd, self.condition(code_n)), dim=1))
        mean_nl, log_variance_nl = out.chunk(2, dim=1)
        return mean_nl, log_variance_nl.clamp(*LOG_VARIANCE)

    def decode(self, z_nl: Tensor, code_n: Tensor) -> Tensor:
        """Mean (n, d) of the likelihood."""
        out: Tensor = self.decoder(torch.cat((z_nl, self.condition(code_n)), dim=1))
        return out

    def log_variance_d(self) -> Tensor:
        """Log variance (d,) of the likelihood."""
        return (PACE * self.slow_log_variance_d).clamp(*LOG_VARIANCE)

    def draw(self, code_n: Tensor, rng: torch.Generator) -> Tensor:
        """Draw one sample of each label, the noise of the likelihood included: without it samples are too alike."""
        noise_n = normal(len(code_n), self.latent + len(self.slow_log_variance_d), rng)
        z_nl, e_nd = noise_n[:, : self.latent], noise_n[:, self.latent :]
        return self.decode(z_nl, code_n) + e_nd * (0.5 * self.log_variance_d()).exp()

    def loss(self, x_nd: Tensor, code_n: Tensor, e_nl: Tensor) -> tuple[Tensor, Tensor]:
        """Mean over samples of the negative log likelihood and of the divergence of the posterior from the prior."""
        mean_nl, log_variance_nl = self.encode(x_nd, code_n)
        fit_nd = self.decode(mean_nl + e_nl * (log_variance_nl * 0.5).exp(), code_n)
        log_variance_d = self.log_variance_d()
        square = (x_nd - fit_nd).square() * (-log_variance_d).exp()
        nll = 0.5 * (square + log_variance_d + math.log(2 * math.pi)).sum(dim=1).mean()
        kl = 0.5 * (mean_nl.square() + log_variance_nl.exp() - 1 - log_variance_nl).sum(dim=1).mean()
        return nll, kl


def vae_network(recipe: VAERecipe, n_features: int, n_codes: int) -> Callable[[], ConditionalVAE]:
    """What makes the network."""
    return partial(ConditionalVAE, n_features, n_codes, recipe.latent, recipe.condition)


def fit_vae(task: Task, recipe: VAERecipe) -> tuple[ConditionalVAE, list[dict[str, float]]]:
    """Train; returns the network with the weights of the least held-out loss, and the history.

    The weights are chosen by the loss rather than by the discrepancy of samples: the loss has no noise of drawing.
    """
    make, weights = vae_network(recipe, task.x_nd.shape[1], task.n_codes), torch_stream(task.seed, "weights")
    network = initialised(make, weights)
    optimiser = adam(network, recipe.learning_rate)
    mean = MeanWeights(network, initialised(make, weights), recipe.ema)
    batches = Batches(task, recipe.batch_size, recipe.balance, torch_stream(task.seed, "batches"))
    noise = torch_stream(task.seed, "noise")
    epoch_steps = max(recipe.epoch_steps, math.ceil(len(task.train) / recipe.batch_size))
    last = min(recipe.epochs * epoch_steps, recipe.max_steps)
    warm = min(recipe.warm_up * epoch_steps, last // 2)
    watch = Watch(mean.copy, task, recipe)
    for step in range(1, last + 1):
        x_nd, code_n = batches.draw()
        nll, kl = network.loss(x_nd, code_n, normal(len(x_nd), recipe.latent, noise))
        descend(nll + recipe.beta * min(1.0, step / max(warm, 1)) * kl, network, optimiser)
        mean.update()
        if step % recipe.check_every == 0 or step == last:
            held = _held_out_loss(mean.copy, task, recipe)
            losses = {"nll": float(nll.detach()), "kl": float(kl.detach()), "held_out_loss": held}
            if watch.look(step, losses, judge=held, may_stop=step >= warm):
                break
    watch.keep_best()
    assert isinstance(mean.copy, ConditionalVAE)
    return mean.copy, watch.history


@torch.no_grad()
def _held_out_loss(network: nn.Module, task: Task, recipe: VAERecipe) -> float:
    assert isinstance(network, ConditionalVAE)
    rows = task.held if len(task.held) else task.train[:1_000]
    noise_nl = normal(len(rows), recipe.latent, torch_stream(task.seed, "held-out loss"))
    nll, kl = network.loss(task.x_nd[rows], task.code_n[rows], noise_nl)
    return float(nll + recipe.beta * kl)
