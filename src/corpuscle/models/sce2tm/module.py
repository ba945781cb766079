"""scE2TM as a scvi-tools module: how a mini-batch becomes a loss."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from scvi.module.base import BaseModuleClass, LossOutput, auto_move_data
from torch import Tensor

from corpuscle.errors import MethodError, OptionError
from corpuscle.models.sce2tm._distillation import balance, consistency, distillation, kl_to_prior, prior_variance
from corpuscle.models.sce2tm._likelihood import softmax_cross_entropy
from corpuscle.models.sce2tm._network import Decoder, Encoder, ViewHead, sample_topics
from corpuscle.models.sce2tm._rows import Rows
from corpuscle.models.sce2tm._transport import Transport
from corpuscle.models.sce2tm.recipe import Recipe

__all__ = ["SCE2TMModule"]


class SCE2TMModule(BaseModuleClass):
    """Network and loss of scE2TM [1]_.

    The loss of a mini-batch is the sum of the reconstruction (multinomial cross-entropy), the divergence of the topic
    logits from their prior, ``ecr_weight`` times the transport between genes and topics [2]_ (less their mean distance,
    if ``recipe.ecr_contrast``) and, with a second view, ``recipe.cross_view_weight`` times the agreement of both
    views [3]_.

    Parameters
    ----------
    n_genes
        V.
    recipe
        Every choice.
    ecr_weight
        Weight of the transport; 0 leaves it out.
    view_width
        Width E of the second view; None for none. A ``cross_view_weight`` of 0 leaves the second view out.
    n_batches
        Batches with an intercept of their own in the decoder; 0 for none.
    gene_mass_g
        Share of the transported mass of each gene, shape (V,); None for equal shares.

    Raises
    ------
    OptionError
        ``ecr_contrast`` without ``normalize_embeddings``: the loss of free vectors would have no lower bound.

    References
    ----------
    .. [1] Chen et al., scE2TM: toward interpretable single-cell embedding via topic modeling. arXiv 2507.08355.
    .. [2] Wu et al., Effective neural topic modeling with embedding clustering regularization. ICML 2023.
    .. [3] Li et al., Image clustering with external guidance. ICML 2024.
    """

    def __init__(
        self,
        n_genes: int,
        recipe: Recipe,
        *,
        ecr_weight: float,
        view_width: int | None,
        n_batches: int = 0,
        gene_mass_g: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.recipe = recipe
        self.ecr_weight = float(ecr_weight)
        if self.ecr_weight > 0 and recipe.ecr_contrast and not recipe.normalize_embeddings:
            raise OptionError(
                "ecr_contrast=True rewards free vectors for growing without end; "
                "give ecr_contrast=False with normalize_embeddings=False"
            )
        self.prior_var = prior_variance(recipe.n_topics, recipe.prior_alpha)
        self.encoder = Encoder(n_genes, recipe.n_topics, recipe.n_hidden, recipe.dropout)
        self.decoder = Decoder(
            n_genes,
            recipe.n_topics,
            recipe.n_embed,
            beta_temp=recipe.beta_temp,
            normalize_embeddings=recipe.normalize_embeddings,
            n_batches=n_batches,
        )
        has_view = view_width is not None and recipe.cross_view_weight > 0
        self.view_head = ViewHead(view_width, recipe.n_topics) if has_view and view_width is not None else None
        self.transport = (
            Transport(recipe.n_topics, n_genes, recipe.ecr_epsilon, solver=recipe.ecr_solver, gene_mass_g=gene_mass_g)
            if self.ecr_weight > 0
            else None
        )

    def _get_inference_input(self, tensors: dict[str, Any], **_: Any) -> dict[str, Any]:
        return {"x": tensors["x"], "x_neighbour": tensors.get("x_neighbour")}

    def inference(self, x: Any, x_neighbour: Any | None = None) -> dict[str, Any]:
        """Encode cells, and with a second view their expression neighbours.

        Parameters
        ----------
        x, x_neighbour
            Log expression of the cells and of one neighbour of each, b x V: dense tensors, or compressed rows.

        Returns
        -------
        dict
            ``rows`` (the cells, ready to multiply), ``mu``, ``lv`` and ``theta`` (b, K); with a second view also
            ``anchor`` and ``neighbour``, the assignments that it is compared with. In evaluation mode nothing is
            drawn: every assignment is softmax(mu).
        """
        rows = Rows(x)
        if self.training and rows.shape[0] < 2:
            raise MethodError("a mini-batch of one cell cannot be normalised: train on two cells or more")
        mu, lv = self.encoder(rows)
        out = {"rows": rows, "mu": mu, "lv": lv, "theta": self._assign(mu, lv)}
        if self.view_head is not None and x_neighbour is not None:
            out["neighbour"] = self._assign(*self.encoder(Rows(x_neighbour)))
            out["anchor"] = self._assign(*(self.encoder(rows) if self.recipe.anchor_pass else (mu, lv)))
        return out

    def _assign(self, mu: Tensor, lv: Tensor) -> Tensor:
        return sample_topics(mu, lv) if self.training else torch.softmax(mu, dim=1)

    def _get_generative_input(
        self, tensors: dict[str, Any], inference_outputs: dict[str, Any], **_: Any
    ) -> dict[str, Any]:
        return {"theta": inference_outputs["theta"], "batch": tensors.get("batch")}

    def generative(self, theta: Tensor, batch: Tensor | None = None) -> dict[str, Tensor]:
        """Give the gene logits as a product: ``design`` (b, K') x ``weight`` (K', V); and ``cost``, ``beta`` (K, V)."""
        cost_kg = self.decoder.cost_kg()
        beta_kg = self.decoder.beta_kg(cost_kg)
        weight = self.decoder.gene_logits_map(theta, beta_kg)
        return {"design": self.decoder.design(theta, batch), "weight": weight, "cost": cost_kg, "beta": beta_kg}

    def loss(
        self, tensors: dict[str, Any], inference_outputs: dict[str, Any], generative_outputs: dict[str, Tensor]
    ) -> LossOutput:
        """Sum the terms of the objective.

        Returns
        -------
        scvi.module.base.LossOutput
            ``extra_metrics`` has the parts: ``rec``, ``kl``, ``ecr`` (with its weight), ``sinkhorn_iters``; with a
            second view ``distill``, ``consistency``, ``balance`` (entropies of both views) and ``cross_view``, their
            weighted sum.
        """
        rows = inference_outputs["rows"]
        row_sum = tensors["row_sum"] if "row_sum" in tensors else rows.sums()
        rec, rec_b = softmax_cross_entropy(generative_outputs["design"], generative_outputs["weight"], rows, row_sum)
        kl_b = kl_to_prior(inference_outputs["mu"], inference_outputs["lv"], self.prior_var)
        parts = {"rec": rec, "kl": kl_b.mean()}
        total = parts["rec"] + parts["kl"]
        if self.transport is not None:
            parts["ecr"] = self.ecr_weight * self._transport_term(self.transport, generative_outputs["cost"])
            total = total + parts["ecr"]
            parts["sinkhorn_iters"] = torch.as_tensor(float(self.transport.iterations), device=total.device)
        if "anchor" in inference_outputs:
            parts |= self._cross_view(tensors, inference_outputs["anchor"], inference_outputs["neighbour"])
            total = total + parts["cross_view"]
        return LossOutput(loss=total, reconstruction_loss=rec_b, kl_local=kl_b, extra_metrics=parts)

    def _transport_term(self, transport: Transport, cost_kg: Tensor) -> Tensor:
        paid = transport(cost_kg)
        if not self.recipe.ecr_contrast:
            return paid
        # What the plan that matches genes to topics at random would pay.
        mean_g, mass_g = cost_kg.mean(0), transport.gene_mass_g
        return paid - (mean_g.mean() if mass_g is None else mean_g @ mass_g.to(mean_g.dtype))

    def _cross_view(self, tensors: dict[str, Any], anchor: Tensor, neighbour: Tensor) -> dict[str, Tensor]:
        assert self.view_head is not None
        view, view_neighbour = self.view_head(tensors["view"]), self.view_head(tensors["view_neighbour"])
        r = self.recipe
        distill = distillation(view, neighbour, r.distill_temp) + distillation(anchor, view_neighbour, r.distill_temp)
        agree = consistency(anchor, view)
        even = balance(anchor) + balance(view)
        cross_view = r.cross_view_weight * (distill + agree - r.balance_weight * even)
        return {"distill": distill, "consistency": agree, "balance": even, "cross_view": cross_view}

    @auto_move_data
    def encode(self, x: Any) -> Tensor:
        """Topic logits of cells, shape (b, K): mu in evaluation mode, which depends on no other cell."""
        with _evaluating(self), torch.no_grad():
            return self.encoder(Rows(x))[0]

    @auto_move_data
    def decode(self, theta: Tensor, batch: Tensor | None = None) -> Tensor:
        """Log of the reconstructed share of each gene, shape (b, V), in evaluation mode.

        Parameters
        ----------
        theta
            Topic proportions, shape (b, K).
        batch
            Batch of each cell, shape (b,); None decodes with the mean of all batches' intercepts.
        """
        with _evaluating(self), torch.no_grad():
            return torch.log_softmax(self.decoder.logits(theta, batch), dim=1)

    @torch.no_grad()
    def sample(self, tensors: dict[str, Any], n_samples: int = 1) -> Tensor:
        """Draw topic proportions of cells from their posterior in evaluation mode, shape (n_samples, b, K)."""
        with _evaluating(self):
            mu, lv = self.encoder(Rows(tensors["x"]))
        return torch.stack([sample_topics(mu, lv) for _ in range(n_samples)])


@contextmanager
def _evaluating(module: torch.nn.Module) -> Iterator[None]:
    """Evaluation mode for the time being; a whole-module switch costs a walk over it, so only when needed."""
    if not module.training:
        yield
        return
    module.eval()
    try:
        yield
    finally:
        module.train()
