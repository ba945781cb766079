"""What the training of every generator needs: batches, held-out samples, mean weights, and when to stop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from corpuscle.errors import MethodError
from corpuscle.models.expression._mmd import LabelledMMD
from corpuscle.models.expression.recipe import Recipe
from corpuscle.seeds import stream, stream_seed

__all__ = ["Batches", "MeanWeights", "Progress", "Task", "Watch", "adam", "descend", "split_held_out", "torch_stream"]

Array = np.ndarray[Any, Any]
#: Called with (steps done, in all, what).
Progress = Callable[[int, int, str], None]
#: Labels of fewer samples hold out none; no label holds out more than the last.
LEAST_TO_HOLD_OUT, MOST_HELD_OUT = 5, 200
#: Steps whose batches are drawn at once.
STEPS_AT_ONCE = 64


def torch_stream(seed: int, *keys: str) -> torch.Generator:
    """Random generator of the substream that the names say; the global one is left alone."""
    return torch.Generator().manual_seed(stream_seed(seed, "expression generator", *keys))


@dataclass(frozen=True)
class Task:
    """Samples to learn from, as the networks see them.

    Attributes
    ----------
    x_nd, code_n
        All samples and their labels, 0 to ``n_codes`` - 1.
    train, held
        Positions of the samples trained on and of those that choose the weights.
    """

    x_nd: Tensor
    code_n: Tensor
    n_codes: int
    train: Tensor
    held: Tensor
    seed: int
    progress: Progress | None


def split_held_out(code_n: Array, share: float, seed: int) -> tuple[Array, Array]:
    """Positions of samples to train on and of those held out: ``share`` of every label, at least one if it has 5."""
    rng = stream(seed, "expression generator", "held out")
    held: list[Array] = []
    for code in np.unique(code_n):
        of_code = np.flatnonzero(code_n == code)
        if share > 0 and of_code.size >= LEAST_TO_HOLD_OUT:
            n_held = min(max(1, round(share * of_code.size)), MOST_HELD_OUT)
            held.append(rng.permutation(of_code)[:n_held])
    index = np.sort(np.concatenate(held)) if held else np.empty(0, np.int64)
    return np.setdiff1d(np.arange(code_n.size), index), index


class Batches:
    """Mini-batches drawn with replacement, a label as often as its size ** ``balance`` says.

    Parameters
    ----------
    task
        Samples.
    batch_size, balance
        See :class:`Recipe`.
    rng
        Decides all draws.
    """

    def __init__(self, task: Task, batch_size: int, balance: float, rng: torch.Generator) -> None:
        self.x_nd, self.code_n = task.x_nd[task.train], task.code_n[task.train]
        self.batch_size, self.rng = batch_size, rng
        size_l = torch.bincount(self.code_n, minlength=task.n_codes).double()
        weight_n = size_l[self.code_n] ** (balance - 1)
        self.edge_n = torch.cumsum(weight_n / weight_n.sum(), 0)[:-1]
        self.rows = self._rows()

    def _rows(self) -> Iterator[Tensor]:
        while True:
            u = torch.rand((STEPS_AT_ONCE, self.batch_size), generator=self.rng, dtype=torch.float64)
            yield from torch.searchsorted(self.edge_n, u, right=True)

    def draw(self) -> tuple[Tensor, Tensor]:
        """Samples (b, d) and labels (b,) of the next batch."""
        row = next(self.rows)
        return self.x_nd[row], self.code_n[row]


class MeanWeights:
    """A copy of a network whose weights are the running mean of those trained; the first steps count less."""

    def __init__(self, network: nn.Module, copy: nn.Module, decay: float) -> None:
        copy.load_state_dict(network.state_dict())
        self.network, self.copy, self.decay, self.step = network, copy, decay, 0
        self._of, self._to = list(network.parameters()), list(copy.parameters())

    @torch.no_grad()
    def update(self) -> None:
        """Move the mean towards the weights of now."""
        self.step += 1
        decay = min(self.decay, (1 + self.step) / (10 + self.step)) if self.decay else 0.0
        torch._foreach_lerp_(self._to, self._of, 1 - decay)


def adam(network: nn.Module, learning_rate: float, betas: tuple[float, float] = (0.9, 0.999)) -> torch.optim.Adam:
    """Adam with all weights updated by one kernel."""
    return torch.optim.Adam(network.parameters(), lr=learning_rate, betas=betas, fused=True)


def descend(loss: Tensor, network: nn.Module, optimiser: torch.optim.Adam) -> None:
    """One step down the loss; gradients of other networks are not computed."""
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    for weight, gradient in zip(weights, torch.autograd.grad(loss, weights), strict=True):
        weight.grad = gradient
    optimiser.step()


@dataclass
class Watch:
    """Looks at the network now and then, keeps the best weights, and says when to stop.

    Attributes
    ----------
    network
        What samples are drawn from, with ``draw(code_n, rng)``.
    task, recipe
        What is learnt and how.
    history
        One row for each look.
    """

    network: nn.Module
    task: Task
    recipe: Recipe
    history: list[dict[str, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        # Without held-out samples the discrepancy is to those trained on: it still tells a generator that collapsed.
        of = self.task.held if len(self.task.held) else self.task.train
        self.mmd = LabelledMMD(self.task.x_nd[of], self.task.code_n[of])
        self.best = float("inf")
        self.best_step = 0
        self._weights: dict[str, Tensor] = {}
        self._since = 0

    def look(self, step: int, losses: dict[str, float], *, judge: float | None = None, may_stop: bool = True) -> bool:
        """Note the discrepancy after ``step`` steps; returns whether to stop.

        Parameters
        ----------
        step
            Steps done.
        losses
            For the history.
        judge
            What to choose the weights by, less being better; the discrepancy by default.
        may_stop
            Whether training may stop now; the weights may be chosen all the same.

        Raises
        ------
        MethodError
            A loss is not finite.
        """
        mmd = self.discrepancy()
        self.history.append({"step": step, **losses, "mmd": mmd})
        if not np.isfinite([mmd, *losses.values()]).all():
            raise MethodError(
                f"the {self.recipe.kind} diverged after {step:,} steps; lower learning_rate, or look at extreme values"
            )
        if self.task.progress is not None:
            self.task.progress(step, self.recipe.max_steps, f"mmd {mmd:.4f}")
        found = mmd if judge is None else judge
        if found < self.best:
            self.best, self.best_step, self._since = found, step, 0
            self._weights = {name: weight.clone() for name, weight in self.network.state_dict().items()}
        else:
            self._since += 1
        return may_stop and self._since >= self.recipe.patience and step >= self.recipe.min_steps

    @torch.no_grad()
    def discrepancy(self) -> float:
        """Discrepancy now, always with the same noise, so that two looks differ by the weights alone."""
        rng = torch_stream(self.task.seed, "look")
        return self.mmd(self.network.draw(self.mmd.wanted, rng))

    def keep_best(self) -> None:
        """Put the best weights back."""
        if self._weights:
            self.network.load_state_dict(self._weights)
