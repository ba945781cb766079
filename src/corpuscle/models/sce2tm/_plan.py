"""How scE2TM is trained: optimiser, schedule, history, and a watch over the geometry of the topics."""

from __future__ import annotations

import math
import warnings
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from corpuscle.errors import MethodError
from corpuscle.models.sce2tm.module import SCE2TMModule
from corpuscle.models.sce2tm.recipe import Recipe

__all__ = ["SCE2TMTrainingPlan"]

#: Collapse, as multiples of ``ecr_epsilon`` (mean distance) and of 1 / K (mean over genes of the largest weight).
NEAR_IN_EPSILON = 4.0
FLAT_IN_UNIFORM = 1.5
#: ... and of the value before training, so that few topics or short vectors are not blamed on the training.
SHRUNK = 0.5


class SCE2TMTrainingPlan(pl.LightningModule):
    """Training of a `SCE2TMModule` by the choices of its recipe.

    RMSprop, or Adam, with PyTorch's own constants; the learning rate is multiplied by ``lr_gamma`` every ``lr_step``
    epochs. The history has one row per epoch, the mean over cells of: ``train_loss``, its parts ``rec``, ``kl``,
    ``ecr`` (with its weight), ``cross_view`` (with its weight) made of ``distill``, ``consistency`` and ``balance``;
    ``elbo_train`` = rec + kl; ``sinkhorn_iters``; and at the end of the epoch ``mean_cost``, the mean squared distance
    of topics and genes, and ``max_beta``, the mean over genes of their largest weight. With validation cells there
    are ``validation_loss`` and ``elbo_validation`` too.

    Parameters
    ----------
    module
        The network.
    recipe
        Choices of the training; those of the module by default.
    grad_ratio_every
        Epochs between two measurements of ``grad_ratio``, on the epoch's first mini-batch: the norm of the second
        view's gradient in the encoder over that of the reconstruction's. Each costs as much as two more backward
        passes through the encoder; 0 never measures.

    Warns
    -----
    UserWarning
        Once, when topics and genes have drawn together so far that topics no longer differ.
    """

    def __init__(self, module: SCE2TMModule, recipe: Recipe | None = None, *, grad_ratio_every: int = 10) -> None:
        super().__init__()
        self.module = module
        self.recipe = module.recipe if recipe is None else recipe
        self.grad_ratio_every = grad_ratio_every
        self._start: tuple[float, float] | None = None
        self._warned = False

    def configure_optimizers(self) -> dict[str, Any]:
        """Build the optimiser and the schedule."""
        r = self.recipe
        kinds = {"rmsprop": torch.optim.RMSprop, "adam": torch.optim.Adam}
        optimizer = kinds[r.optimizer](self.module.parameters(), lr=r.lr)
        if r.lr_step is None:
            return {"optimizer": optimizer}
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=r.lr_step, gamma=r.lr_gamma)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "epoch"}}

    def on_train_start(self) -> None:
        """Remember the geometry that training starts from."""
        self._start = geometry(self.module)

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """Give the loss of a mini-batch, and note its parts."""
        out = self.module(batch)[2]
        parts, n_cells = out.extra_metrics, out.n_obs_minibatch
        if batch_idx == 0 and self._measures_ratio() and "cross_view" in parts:
            self.log("grad_ratio", self._gradient_ratio(parts), on_step=False, on_epoch=True, batch_size=1)
        noted = {name: value.detach() for name, value in parts.items()}
        noted["elbo_train"] = noted["rec"] + noted["kl"]
        self.log("train_loss", out.loss.detach(), on_step=False, on_epoch=True, prog_bar=True, batch_size=n_cells)
        self.log_dict(noted, on_step=False, on_epoch=True, batch_size=n_cells)
        return out.loss

    def _measures_ratio(self) -> bool:
        return self.grad_ratio_every > 0 and self.current_epoch % self.grad_ratio_every == 0

    def _gradient_ratio(self, parts: dict[str, Tensor]) -> float:
        weights = list(self.module.encoder.parameters())
        norms = []
        for part in ("cross_view", "rec"):
            gradients = torch.autograd.grad(parts[part], weights, retain_graph=True, allow_unused=True)
            norms.append(math.sqrt(sum(float(one.square().sum()) for one in gradients if one is not None)))
        return norms[0] / norms[1] if norms[1] > 0 else math.nan

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Note the loss of validation cells, in evaluation mode, under the names that early stopping looks for."""
        out = self.module(batch)[2]
        rec, kl = out.extra_metrics["rec"], out.extra_metrics["kl"]
        noted = {
            "validation_loss": out.loss,
            "elbo_validation": rec + kl,
            "reconstruction_loss_validation": rec,
            "kl_local_validation": kl,
        }
        self.log_dict(noted, on_step=False, on_epoch=True, batch_size=out.n_obs_minibatch)

    def on_train_epoch_end(self) -> None:
        """Note the geometry of the topics, and warn once if it has collapsed.

        Raises
        ------
        MethodError
            The loss is no longer finite.
        """
        loss = float(self.trainer.callback_metrics.get("train_loss", 0.0))
        mean_cost, max_beta = geometry(self.module)
        if not (math.isfinite(loss) and math.isfinite(mean_cost)):
            raise MethodError(
                f"SCE2TM: the loss is {loss} in epoch {self.current_epoch + 1}; use a smaller lr "
                f"(now {self.recipe.lr}) and check that the expression is logged"
            )
        self.log_dict({"mean_cost": mean_cost, "max_beta": max_beta}, on_step=False, on_epoch=True)
        if not self._warned and (why := self._collapse(mean_cost, max_beta)) is not None:
            self._warned = True
            warnings.warn(why, UserWarning, stacklevel=1)  # every caller is Lightning's

    def _collapse(self, mean_cost: float, max_beta: float) -> str | None:
        """Say what has collapsed since the start, or give None."""
        r = self.recipe
        start_cost, start_beta = self._start or (math.inf, math.inf)
        near = min(NEAR_IN_EPSILON * r.ecr_epsilon, SHRUNK * start_cost)
        flat = min(FLAT_IN_UNIFORM / r.n_topics, SHRUNK * start_beta)
        if mean_cost >= near and max_beta >= flat:
            return None
        if mean_cost < near:
            seen = f"the mean squared distance of topics and genes is {mean_cost:.3g} (below {near:.3g})"
        else:
            seen = f"the largest topic weight of a gene is {max_beta:.3g} on average (1/K is {1 / r.n_topics:.3g})"
        advice = f"use a smaller ecr_weight (now {self.module.ecr_weight:.3g})"
        if not r.normalize_embeddings:
            advice += " or normalize_embeddings=True"
        elif not r.ecr_contrast:
            advice += " or ecr_contrast=True"
        return f"SCE2TM: topics are collapsing in epoch {self.current_epoch + 1}: {seen}, so they list the same genes; {advice}"


@torch.no_grad()
def geometry(module: SCE2TMModule) -> tuple[float, float]:
    """Mean over all pairs of the topic-gene distance, and mean over genes of the largest topic weight."""
    cost_kg = module.decoder.cost_kg()
    beta_kg = module.decoder.beta_kg(cost_kg)
    return float(cost_kg.mean()), float(beta_kg.amax(0).mean())
