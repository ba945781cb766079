"""The variance-stabilising transform of an overdispersed count."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from corpuscle.counts import Block, Counts, summarise
from corpuscle.normalize._base import Array, ColumnNormalizer, require_number
from corpuscle.normalize._evaluate import major_positions

__all__ = ["Acosh"]


class Acosh(ColumnNormalizer):
    r"""Inverse hyperbolic cosine, :math:`\operatorname{acosh}(2 \alpha x_{ij} / s_i + 1) / \sqrt\alpha`.

    It stabilises :math:`\mathrm{Var}\,x = \mu + \alpha \mu^2`; for :math:`\alpha \to 0` it is
    :math:`2 \sqrt{x_{ij} / s_i}`. Computed as :math:`2 \operatorname{asinh}\sqrt{\alpha x / s} / \sqrt\alpha`,
    which is the same and keeps its digits for small :math:`\alpha`.

    Parameters
    ----------
    alpha
        Overdispersion of all genes; None estimates one per gene by the method of moments.

    Attributes
    ----------
    alpha_g_
        (g,) overdispersion of each gene. With ``alpha=None``: excess of the observed over the Poisson variance,
        :math:`\sum_i [(x_{ij} - s_i m_j)^2 - s_i m_j] / \sum_i (s_i m_j)^2` with
        :math:`m_j = \sum_i x_{ij} / \sum_i s_i`; 0 where that is negative.

    Notes
    -----
    Needs only the columns asked for. Source: Ahlmann-Eltze & Huber, Nature Methods 2023. Effect on correlations:
    close to the logarithm.
    """

    name = "acosh"
    formula = "acosh(2 alpha x / s + 1) / sqrt(alpha)"
    keeps_zeros = True

    def __init__(self, alpha: float | None = 0.05) -> None:
        self.alpha = alpha

    def check_params(self) -> None:
        """Refuse a negative overdispersion."""
        if self.alpha is not None:
            require_number(self, "alpha", at_least=0.0)

    def fit_genes(self, counts: Counts) -> None:
        """Take the overdispersion that was given, or estimate it gene by gene."""
        if self.alpha is not None:
            self.alpha_g_ = np.full(counts.n_vars, float(self.alpha))
            return
        size_n = self.size_factors(counts)
        moments = _Moments(size_n, counts.n_vars)
        summarise(counts.blocks(), moments)
        self.alpha_g_ = moments.finish()

    def per_cell(self, counts: Counts) -> tuple[Any, ...]:
        """Size factors."""
        return (self.size_factors(counts),)

    def values(self, x: Array, gene: Array, *cell: Array) -> Array:
        """Evaluate the formula elementwise."""
        (size,) = cell
        alpha, root = self.alpha_g_[gene], np.sqrt(x / size)
        spread = np.sqrt(alpha)
        return 2 * np.divide(np.arcsinh(spread * root), spread, out=root, where=alpha > 0)


class _Moments:
    """Mergeable sums that give each gene's overdispersion."""

    def __init__(self, size_n: Array, n_vars: int) -> None:
        self.size_n = size_n
        self.x_g, self.xx_g, self.sx_g = np.zeros(n_vars), np.zeros(n_vars), np.zeros(n_vars)

    def update(self, block: Block) -> None:
        """Add the cells of one block."""
        x_ng, n_vars = block.x_ng, self.x_g.size
        x = x_ng.data.astype(np.float64)
        size = self.size_n[block.rows][major_positions(x_ng)]
        self.x_g += np.bincount(x_ng.indices, x, n_vars)
        self.xx_g += np.bincount(x_ng.indices, x * x, n_vars)
        self.sx_g += np.bincount(x_ng.indices, size * x, n_vars)

    def merge(self, other: Self) -> None:
        """Add what another has seen."""
        self.x_g, self.xx_g, self.sx_g = self.x_g + other.x_g, self.xx_g + other.xx_g, self.sx_g + other.sx_g

    def finish(self) -> Array:
        """(g,) overdispersion; 0, the Poisson limit, where there is no excess variance or no count."""
        mean_g = self.x_g / self.size_n.sum()
        expected_g = mean_g**2 * (self.size_n**2).sum()
        excess_g = self.xx_g - 2 * mean_g * self.sx_g + expected_g - self.x_g
        return np.divide(excess_g, expected_g, out=np.zeros_like(mean_g), where=excess_g > 0)
