"""The three networks of scE2TM: expression -> topics, second view -> topics, topics -> expression."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from corpuscle.models.sce2tm._rows import Rows
from corpuscle.models.sce2tm._transport_distance import squared_distances

__all__ = ["Decoder", "Encoder", "ViewHead", "sample_topics"]


def sample_topics(mu_bk: Tensor, lv_bk: Tensor) -> Tensor:
    """Draw topic proportions: softmax of mu + exp(lv / 2) x a standard normal draw, shape (b, K)."""
    return torch.softmax(mu_bk + (0.5 * lv_bk).exp() * torch.randn_like(mu_bk), dim=1)


class GeneLinear(nn.Module):
    """A linear layer whose weight has one row per gene, so that sparse cells read whole rows of it."""

    def __init__(self, n_genes: int, n_out: int) -> None:
        super().__init__()
        bound = 1.0 / math.sqrt(n_genes)  # as torch.nn.Linear
        self.weight_gh = nn.Parameter(torch.empty(n_genes, n_out).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(n_out).uniform_(-bound, bound))

    def forward(self, rows: Rows) -> Tensor:
        return rows.times(self.weight_gh) + self.bias


class Encoder(nn.Module):
    """Expression to the mean and log-variance of a cell's topic logits.

    ``h = W2 tanh(BN(W1 x + b1)) + b2``, dropout, then ``mu = BN(Wm h + bm)`` and ``lv = BN(Wv h + bv)``.

    Parameters
    ----------
    n_genes, n_topics, n_hidden
        V, K, H.
    dropout
        Share of h dropped in training.
    """

    def __init__(self, n_genes: int, n_topics: int, n_hidden: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.genes = GeneLinear(n_genes, n_hidden)
        self.norm = nn.BatchNorm1d(n_hidden)
        self.hidden = nn.Linear(n_hidden, n_hidden)
        self.dropout = nn.Dropout(dropout)
        self.mean = nn.Linear(n_hidden, n_topics)
        self.mean_norm = nn.BatchNorm1d(n_topics)
        self.log_variance = nn.Linear(n_hidden, n_topics)
        self.log_variance_norm = nn.BatchNorm1d(n_topics)

    def forward(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """Give mu and lv, each (b, K), of the cells in ``rows``."""
        h = self.dropout(self.hidden(torch.tanh(self.norm(self.genes(rows)))))
        return self.mean_norm(self.mean(h)), self.log_variance_norm(self.log_variance(h))


class ViewHead(nn.Module):
    """Second view of a cell to an assignment: ``softmax(Linear(tanh(BN(Linear(v)))))``, shape (b, K)."""

    def __init__(self, view_width: int, n_topics: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(view_width, view_width)
        self.norm = nn.BatchNorm1d(view_width)
        self.topics = nn.Linear(view_width, n_topics)

    def forward(self, view_be: Tensor) -> Tensor:
        """Give the assignment of each cell to topics."""
        return torch.softmax(self.topics(torch.tanh(self.norm(self.hidden(view_be)))), dim=1)


class Decoder(nn.Module):
    """Topic proportions to gene logits, by distances of topics and genes in one space.

    ``beta = softmax over topics of (-C / beta_temp)`` with C the squared distances; gene logits are
    ``BN(theta beta)``, and their softmax over genes is the reconstruction.

    Parameters
    ----------
    n_genes, n_topics, n_embed
        V, K, D.
    beta_temp
        Temperature of the softmax over topics.
    normalize_embeddings
        Project topic and gene vectors to the unit sphere wherever they are used.
    n_batches
        With more than 0, every batch adds an intercept per gene to the logits, learned from 0. Intercepts are centred
        over the batches, so that their mean, which is what decoding without a batch uses, is 0.
    """

    def __init__(
        self,
        n_genes: int,
        n_topics: int,
        n_embed: int,
        *,
        beta_temp: float,
        normalize_embeddings: bool,
        n_batches: int = 0,
    ) -> None:
        super().__init__()
        self.beta_temp = beta_temp
        self.normalize_embeddings = normalize_embeddings
        self.topic_kd = nn.Parameter(_unit_rows(n_topics, n_embed))
        self.gene_gd = nn.Parameter(_unit_rows(n_genes, n_embed))
        self.norm = nn.BatchNorm1d(n_genes)
        self.intercept_bg = nn.Parameter(torch.zeros(n_batches, n_genes)) if n_batches > 0 else None

    def topic_vectors(self) -> Tensor:
        """Topic vectors as the model uses them, shape (K, D)."""
        return functional.normalize(self.topic_kd, dim=1) if self.normalize_embeddings else self.topic_kd

    def gene_vectors(self) -> Tensor:
        """Gene vectors as the model uses them, shape (V, D)."""
        return functional.normalize(self.gene_gd, dim=1) if self.normalize_embeddings else self.gene_gd

    def cost_kg(self) -> Tensor:
        """Squared Euclidean distances of topics and genes, shape (K, V)."""
        return squared_distances(self.topic_kd, self.gene_gd, on_sphere=self.normalize_embeddings)

    def beta_kg(self, cost_kg: Tensor | None = None) -> Tensor:
        """Topic-gene weights, shape (K, V): each gene's sum to 1 over topics."""
        return torch.softmax((self.cost_kg() if cost_kg is None else cost_kg) / -self.beta_temp, dim=0)

    def gene_logits_map(self, theta_bk: Tensor, beta_kg: Tensor | None = None) -> Tensor:
        """Linear map from topics, and the batch, to gene logits; batch normalisation is folded into it.

        In training this uses the statistics of ``theta_bk beta_kg`` over the mini-batch, and updates the running ones.
        The product need not be formed: its mean is the mean of theta times beta, and its variance at gene g is
        ``beta_g' Cov(theta) beta_g``.

        Returns
        -------
        Tensor
            Shape (K + max(n_batches, 1), V): the logits of a cell are its row of `design` times this.
        """
        beta_kg = self.beta_kg() if beta_kg is None else beta_kg
        norm = self.norm
        if self.training:
            mean_g, variance_g = _moments(theta_bk, beta_kg)
            _update_running(norm, mean_g, variance_g, len(theta_bk))
        else:
            mean_g, variance_g = norm.running_mean, norm.running_var
        scale_g = norm.weight * (variance_g + norm.eps).rsqrt()
        offset_g = norm.bias - mean_g * scale_g
        offsets = offset_g[None] if self.intercept_bg is None else offset_g + self._centred_intercepts()
        return torch.cat([beta_kg * scale_g, offsets])

    def _centred_intercepts(self) -> Tensor:
        assert self.intercept_bg is not None
        return self.intercept_bg - self.intercept_bg.mean(0)

    def design(self, theta_bk: Tensor, batch_b: Tensor | None = None) -> Tensor:
        """Topics of each cell beside the indicator of its batch; equal shares of all batches if none is given."""
        n_offsets = 1 if self.intercept_bg is None else len(self.intercept_bg)
        if n_offsets == 1 or batch_b is None:
            indicator = theta_bk.new_full((len(theta_bk), n_offsets), 1.0 / n_offsets)
        else:
            indicator = functional.one_hot(batch_b.reshape(-1), n_offsets).to(theta_bk.dtype)
        return torch.cat([theta_bk, indicator], dim=1)

    def logits(self, theta_bk: Tensor, batch_b: Tensor | None = None) -> Tensor:
        """Gene logits of cells, shape (b, V)."""
        return self.design(theta_bk, batch_b) @ self.gene_logits_map(theta_bk)


def _unit_rows(n_rows: int, n_columns: int) -> Tensor:
    rows = nn.init.trunc_normal_(torch.empty(n_rows, n_columns), std=0.02)
    return functional.normalize(rows, dim=1)


def _moments(theta_bk: Tensor, beta_kg: Tensor) -> tuple[Tensor, Tensor]:
    mean_k = theta_bk.mean(0)
    centred_bk = theta_bk - mean_k
    covariance_kk = centred_bk.T @ centred_bk / len(theta_bk)
    # Proportions sum to 1, so what all topics share of a gene's weight adds rounding to the variance and nothing else.
    contrast_kg = beta_kg - beta_kg.mean(0)
    variance_g = ((covariance_kk @ contrast_kg) * contrast_kg).sum(0)
    return mean_k @ beta_kg, variance_g.clamp_min(0.0)


@torch.no_grad()
def _update_running(norm: nn.BatchNorm1d, mean_g: Tensor, variance_g: Tensor, n_cells: int) -> None:
    norm.num_batches_tracked.add_(1)
    norm.running_mean.lerp_(mean_g, norm.momentum)
    norm.running_var.lerp_(variance_g * (n_cells / (n_cells - 1)), norm.momentum)
