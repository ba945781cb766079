"""Conditional Wasserstein GAN with gradient penalty.

Gulrajani et al. 2017, Improved training of Wasserstein GANs, NeurIPS 30. All labels are learnt at once, so that a rare one
borrows what it shares with the others.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from corpuscle.models.expression._networks import ConditionalGenerator, Critic, initialised
from corpuscle.models.expression._training import Batches, MeanWeights, Task, Watch, adam, descend, torch_stream
from corpuscle.models.expression.recipe import GANRecipe

__all__ = ["fit_gan", "gan_network", "gradient_penalty"]


def gan_network(recipe: GANRecipe, n_features: int, n_codes: int) -> Callable[[], ConditionalGenerator]:
    """What makes the network that samples are drawn from."""
    return partial(ConditionalGenerator, n_features, n_codes, recipe.latent, recipe.condition)


def gradient_penalty(critic: Critic, real_nd: Tensor, fake_nd: Tensor, code_n: Tensor, mix_n: Tensor) -> Tensor:
    """Mean of ``(|gradient| - 1)^2`` of the critic's score at points between real and generated samples.

    Parameters
    ----------
    critic
        Gives the gradient.
    real_nd, fake_nd
        Pairs of samples of one label.
    code_n
        Their labels.
    mix_n
        Share of the real sample in the point, 0 to 1.
    """
    point_nd = torch.lerp(fake_nd, real_nd, mix_n[:, None])
    norm_n = critic.input_gradient(point_nd, code_n).square().sum(dim=1).add(1e-12).sqrt()
    return (norm_n - 1).square().mean()


class _Game:
    """Both networks and their optimisers."""

    def __init__(self, task: Task, recipe: GANRecipe) -> None:
        self.recipe = recipe
        n_features = task.x_nd.shape[1]
        make = gan_network(recipe, n_features, task.n_codes)
        weights, self.noise = torch_stream(task.seed, "weights"), torch_stream(task.seed, "noise")
        self.generator = initialised(make, weights)
        self.critic = initialised(lambda: Critic(n_features, task.n_codes, recipe.condition), weights)
        betas = (recipe.beta_1, recipe.beta_2)
        self.generator_adam = adam(self.generator, recipe.learning_rate, betas)
        self.critic_adam = adam(self.critic, recipe.learning_rate, betas)
        self.mean = MeanWeights(self.generator, initialised(make, weights), recipe.ema)
        self.batches = Batches(task, recipe.batch_size, recipe.balance, torch_stream(task.seed, "batches"))

    def step(self) -> tuple[Tensor, Tensor, Tensor]:
        """Some steps of the critic and one of the generator; their losses and the penalty."""
        loss = penalty = torch.zeros(())
        real = [self.batches.draw() for _ in range(self.recipe.critic_steps)]
        with torch.no_grad():
            fakes = self.generator.draw(torch.cat([code_n for _, code_n in real]), self.noise)
        for (x_nd, code_n), fake_nd in zip(real, fakes.split(self.recipe.batch_size), strict=True):
            score = self.critic(torch.cat((fake_nd, x_nd)), torch.cat((code_n, code_n)))
            fake_score, real_score = score.split(len(x_nd))
            mix_n = torch.rand(len(x_nd), generator=self.noise)
            penalty = gradient_penalty(self.critic, x_nd, fake_nd, code_n, mix_n)
            loss = fake_score.mean() - real_score.mean() + self.recipe.penalty * penalty
            descend(loss, self.critic, self.critic_adam)
        _, code_n = self.batches.draw()
        generator_loss = -self.critic(self.generator.draw(code_n, self.noise), code_n).mean()
        descend(generator_loss, self.generator, self.generator_adam)
        self.mean.update()
        return loss.detach(), generator_loss.detach(), penalty.detach()


def fit_gan(task: Task, recipe: GANRecipe) -> tuple[ConditionalGenerator, list[dict[str, float]]]:
    """Train; returns the generator with the weights of the least discrepancy, and the history."""
    game = _Game(task, recipe)
    kept = game.mean.copy
    watch = Watch(kept, task, recipe)
    for step in range(1, recipe.max_steps + 1):
        critic_loss, generator_loss, penalty = game.step()
        if step % recipe.check_every == 0 or step == recipe.max_steps:
            losses = {"critic_loss": critic_loss, "generator_loss": generator_loss, "penalty": penalty}
            if watch.look(step, {name: float(value) for name, value in losses.items()}):
                break
    watch.keep_best()
    assert isinstance(kept, ConditionalGenerator)
    return kept, watch.history
