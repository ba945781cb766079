"""Deviance residuals of count models with one mean per gene."""

from __future__ import annotations

import numpy as np
from scipy.special import kl_div, rel_entr

from corpuscle.counts import Counts
from corpuscle.normalize._base import Array, ColumnNormalizer, expected_share

__all__ = ["DevianceBinomial", "DeviancePoisson"]


class DeviancePoisson(ColumnNormalizer):
    r"""Poisson deviance residuals, :math:`\mathrm{sign}(x - \mu) \sqrt{2 [x \ln(x / \mu) - (x - \mu)]}`.

    :math:`\mu_{ij} = n_i p_j`, where :math:`p_j` is the gene's share of all counts, and :math:`0 \ln 0 = 0`.

    Attributes
    ----------
    share_g_
        (g,) :math:`p_j`. A count of a gene that no fitted cell has is impossible under the model: infinite.

    Notes
    -----
    Needs only the columns asked for, and gene totals. Source: Townes et al., Genome Biology 2019. Effect on
    correlations: like Pearson residuals, less swayed by outliers; zeros take a value that depends on depth.
    """

    name = "deviance_poisson"
    formula = "sign(x - mu) sqrt(2 (x ln(x / mu) - (x - mu))), mu = n p"

    def fit_genes(self, counts: Counts) -> None:
        """Learn each gene's share of all counts."""
        self.share_g_ = expected_share(counts)

    def values(self, x: Array, gene: Array, *cell: Array) -> Array:
        """Evaluate the formula elementwise."""
        (depth,) = cell
        mu = depth * self.share_g_[gene]
        return np.sign(x - mu) * np.sqrt(2 * kl_div(x, mu))

    def at_zero(self, gene: Array, *cell: Array) -> Array:
        """Evaluate the formula at a count of zero."""
        (depth,) = cell
        return -np.sqrt(2 * depth) * np.sqrt(self.share_g_[gene])


class DevianceBinomial(DeviancePoisson):
    r"""Binomial deviance residuals, of :math:`x` counts of a gene among the :math:`n` of its cell.

    :math:`\mathrm{sign}(x - n p) \sqrt{2 [x \ln \frac{x}{n p} + (n - x) \ln \frac{n - x}{n (1 - p)}]}`, with
    :math:`0 \ln 0 = 0`.

    Notes
    -----
    Needs only the columns asked for, and gene totals. Tends to :class:`DeviancePoisson` for small :math:`p`. Where
    depth leaves a gene out, so that :math:`x` may exceed :math:`n`, the counts of other genes are taken as none.
    Source: Townes et al., Genome Biology 2019. Effect on correlations: like Pearson residuals, less swayed by
    outliers; zeros take a value that depends on depth.
    """

    name = "deviance_binomial"
    formula = "sign(x - n p) sqrt(2 (x ln(x / (n p)) + (n - x) ln((n - x) / (n (1 - p)))))"

    def values(self, x: Array, gene: Array, *cell: Array) -> Array:
        """Evaluate the formula elementwise."""
        (depth,) = cell
        share = self.share_g_[gene]
        others = rel_entr(np.maximum(depth - x, 0.0), depth * (1 - share))
        half = rel_entr(x, depth * share) + others
        return np.sign(x - depth * share) * np.sqrt(2 * np.maximum(half, 0.0))

    def at_zero(self, gene: Array, *cell: Array) -> Array:
        """Evaluate the formula at a count of zero."""
        (depth,) = cell
        with np.errstate(divide="ignore"):  # a gene that has all counts
            return -np.sqrt(2 * depth) * np.sqrt(-np.log1p(-np.minimum(self.share_g_[gene], 1.0)))
