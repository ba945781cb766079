"""Analytic Pearson residuals of a negative-binomial model with one overdispersion."""

from __future__ import annotations

import numpy as np

from corpuscle.counts import Counts
from corpuscle.normalize._base import Array, ColumnNormalizer, expected_share, require_number, require_positive

__all__ = ["PearsonAnalytic"]


class PearsonAnalytic(ColumnNormalizer):
    r"""Pearson residuals, :math:`(x_{ij} - \mu_{ij}) / \sqrt{\mu_{ij} + \mu_{ij}^2 / \theta}`, clipped.

    :math:`\mu_{ij} = n_i p_j`, where :math:`p_j` is the gene's share of all counts.

    Parameters
    ----------
    theta
        Inverse overdispersion :math:`\theta`, shared by all genes; ``inf`` is Poisson.
    clip
        Residuals are clipped to plus and minus this; None is the square root of the number of cells fitted.

    Attributes
    ----------
    share_g_
        (g,) :math:`p_j`. A gene without a count has residual 0, the limit for :math:`\mu \to 0`.
    clip_
        The clip in use.

    Notes
    -----
    Needs only the columns asked for, and gene totals. Source: Lause, Berens & Kobak, Genome Biology 2021. Effect on
    correlations: up-weights rare bursts; zeros take a value that depends on depth.
    """

    name = "pearson_analytic"
    formula = "(x - mu) / sqrt(mu + mu^2 / theta), mu = n p, clipped to sqrt(N)"

    def __init__(self, theta: float = 100.0, clip: float | None = None) -> None:
        self.theta = theta
        self.clip = clip

    def check_params(self) -> None:
        """Refuse an inverse overdispersion or a clip that makes no sense."""
        require_positive(self, "theta")
        if self.clip is not None:
            require_number(self, "clip", at_least=0.0)

    def fit_genes(self, counts: Counts) -> None:
        """Learn each gene's share of all counts."""
        self.share_g_ = expected_share(counts)
        self.clip_ = float(np.sqrt(counts.n_obs)) if self.clip is None else float(self.clip)

    def values(self, x: Array, gene: Array, *cell: Array) -> Array:
        """Evaluate the formula elementwise."""
        (depth,) = cell
        mu = depth * self.share_g_[gene]
        spread = np.sqrt(mu + mu**2 / self.theta)
        limit = np.where(np.broadcast_to(x, spread.shape) > 0, np.inf, 0.0)  # at mu = 0
        residual = np.divide(x - mu, spread, out=limit, where=spread > 0)
        return np.clip(residual, -self.clip_, self.clip_, out=residual)

    def at_zero(self, gene: Array, *cell: Array) -> Array:
        """Evaluate the formula at a count of zero: no case of its own for a gene without counts, and no copies."""
        (depth,) = cell
        mu = depth * self.share_g_[gene]
        residual = mu / self.theta
        residual += 1.0
        np.divide(mu, residual, out=residual)
        np.sqrt(residual, out=residual)
        np.negative(residual, out=residual)
        return np.maximum(residual, -self.clip_, out=residual)
