"""Base-2 log of counts per million, with a fixed or a depth-scaled prior count, and its gene-wise z-score."""

from __future__ import annotations

from functools import partial

import numpy as np

from corpuscle.counts import Counts
from corpuscle.errors import MethodError
from corpuscle.normalize._base import Array, require_positive
from corpuscle.normalize._bulk import BulkNormalizer, gene_totals
from corpuscle.normalize._moments import GeneMoments
from corpuscle.normalize._stream import reduce_values

__all__ = ["LogCPM", "LogCPMPrior", "ZScoreLogCPM"]

MILLION = 1e6


class LogCPM(BulkNormalizer):
    r"""Base-2 log of one plus counts per million, :math:`\log_2(1 + 10^6 x_{ij} / n_i)`.

    Attributes
    ----------
    n_genes_
        Number of genes.

    Notes
    -----
    Nothing is fitted: a sample needs itself only. :class:`~corpuscle.normalize.log1p_cp10k.Log1pCPM` is the same to
    the base e. Source: usual practice of bulk RNA-seq. Effect on correlations: removes the linear effect of depth;
    what one sample has much of takes its share from all others, which :class:`~corpuscle.normalize.tmm.TMM`
    corrects.
    """

    name = "log_cpm"
    formula = "log2(1 + 1e6 x / n)"
    keeps_zeros = True
    gene_free = True

    def values(self, x: Array, gene: Array, *cell: Array) -> Array:
        """Evaluate the formula elementwise."""
        (depth,) = cell
        return np.log2(1.0 + MILLION * x / depth)


class LogCPMPrior(BulkNormalizer):
    r"""Log counts per million with a prior count in proportion to depth.

    :math:`\log_2(10^6 (x_{ij} + p_i) / (n_i + 2 p_i))` with :math:`p_i = p \, n_i / \bar n`.

    Parameters
    ----------
    prior
        Prior count :math:`p` of a sample of mean depth. edgeR's ``cpm(log=TRUE)`` adds 2 by default; 0.5 moves
        small counts less.

    Attributes
    ----------
    mean_depth_
        Mean depth :math:`\bar n` of the samples fitted, kept for new ones.

    Notes
    -----
    A count of zero has the same value in all samples, as the prior grows with depth. With a prior of 0.5 this is
    :math:`(x + 0.5 n / \bar n) / (n + n / \bar n)`. Source: ``cpm`` of edgeR (Robinson, McCarthy & Smyth,
    Bioinformatics 2010). Effect on correlations: as :class:`LogCPM`, with small counts shrunken towards each other.
    """

    name = "log_cpm_prior"
    formula = "log2(1e6 (x + p n / mean n) / (n + 2 p n / mean n))"
    gene_free = True

    def __init__(self, prior: float = 0.5) -> None:
        self.prior = prior

    def check_params(self) -> None:
        """Refuse a prior that is not above 0."""
        require_positive(self, "prior")

    def fit_genes(self, counts: Counts) -> None:
        """Learn the mean depth."""
        self.mean_depth_ = float(gene_totals(counts).sum()) / counts.n_obs

    def values(self, x: Array, gene: Array, *cell: Array) -> Array:
        """Evaluate the formula elementwise."""
        (depth,) = cell
        prior = self.prior * depth / self.mean_depth_
        return np.log2((x + prior) / (depth + 2 * prior) * MILLION)


class ZScoreLogCPM(LogCPM):
    r"""Log counts per million less their mean over the fitted samples, over their standard deviation, by gene.

    Attributes
    ----------
    mean_g_, sd_g_
        (g,) of :class:`LogCPM` over the samples fitted (divisor n - 1). A gene that does not vary there is 0
        everywhere.

    Notes
    -----
    Fit it on training samples only. Source: usual practice ahead of distances and cosines. Effect on correlations:
    those between samples are of deviations from the mean sample, and every gene weighs the same; those between
    genes are of :class:`LogCPM`.
    """

    name = "zscore_log_cpm"
    formula = "(y - mean(y)) / sd(y) by gene, y = log2(1 + 1e6 x / n)"
    keeps_zeros = False
    gene_free = False

    def fit_genes(self, counts: Counts) -> None:
        """Learn mean and standard deviation of every gene."""
        if counts.n_obs < 2:
            raise MethodError(f"{counts.name}: has one sample, and {self.name} needs at least 2; give more")
        method = LogCPM().fit(counts)
        make = partial(GeneMoments, counts.n_vars)
        moments = reduce_values(counts, method, make, dtype=np.float64, what="samples")
        self.mean_g_, self.sd_g_ = moments.mean_g, np.sqrt(moments.variance_g())

    def values(self, x: Array, gene: Array, *cell: Array) -> Array:
        """Evaluate the formula elementwise."""
        sd = self.sd_g_[gene]
        return np.where(sd > 0, (super().values(x, gene, *cell) - self.mean_g_[gene]) / np.where(sd > 0, sd, 1.0), 0.0)
