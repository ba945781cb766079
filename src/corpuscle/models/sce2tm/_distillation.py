"""The terms of the loss that are functions of assignments alone: prior, agreement of two views, balance."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["balance", "consistency", "distillation", "kl_to_prior", "prior_variance"]

#: Least agreement of two assignments of which the logarithm is taken: far below what float32 training meets.
LEAST_AGREEMENT = 1e-30


def prior_variance(n_topics: int, alpha: float) -> float:
    """Variance of the Laplace approximation, in softmax space, of a symmetric Dirichlet.

    Its mean is 0 for every topic [1]_.

    References
    ----------
    .. [1] Srivastava and Sutton, Autoencoding variational inference for topic models. ICLR 2017.
    """
    return (1.0 / alpha) * (1.0 - 2.0 / n_topics) + 1.0 / (n_topics * alpha)


def kl_to_prior(mu_bk: Tensor, lv_bk: Tensor, prior_var: float) -> Tensor:
    """Kullback-Leibler divergence of N(mu, exp(lv)) from N(0, prior_var), summed over topics, shape (b,)."""
    ratio_bk = (lv_bk.exp() + mu_bk.square()) / prior_var - lv_bk
    return 0.5 * (ratio_bk.sum(1) + mu_bk.shape[1] * (math.log(prior_var) - 1.0))


def distillation(p_bk: Tensor, q_bk: Tensor, temperature: float) -> Tensor:
    """Contrast of clusters: a topic in one view should win the same cells as in the other, and no other topic.

    The 2K columns of both assignments are scaled to length 1; each is to be recognised by its cosine, divided by
    ``temperature``, with its partner in the other view among the 2K - 1 other columns. Mean cross-entropy: ln(2K - 1)
    when all columns are parallel, ln(1 + (2K - 2) exp(-1 / temperature)) when partners are equal and all else
    orthogonal [1]_.

    References
    ----------
    .. [1] Li et al., Image clustering with external guidance. ICML 2024.
    """
    n_topics = p_bk.shape[1]
    columns_cb = functional.normalize(torch.cat([p_bk, q_bk], dim=1).T, dim=1)
    similarity_cc = columns_cb @ columns_cb.T / temperature
    itself_cc = torch.eye(2 * n_topics, dtype=torch.bool, device=similarity_cc.device)
    partner_c = torch.arange(2 * n_topics, device=similarity_cc.device).roll(n_topics)
    return functional.cross_entropy(similarity_cc.masked_fill(itself_cc, -torch.inf), partner_c)


def consistency(p_bk: Tensor, q_bk: Tensor) -> Tensor:
    """Mean over cells of -ln(p . q): 0 when both views put a cell into the same one topic."""
    # Rounding can carry the product of two equal assignments above 1.
    return -(p_bk * q_bk).sum(1).clamp(LEAST_AGREEMENT, 1.0).log().mean()


def balance(p_bk: Tensor) -> Tensor:
    """Entropy of the mean assignment of a mini-batch, in nats: ln K when topics are used evenly."""
    mean_k = p_bk.mean(0).clamp_min(1e-9)
    return -(mean_k * mean_k.log()).sum()
