"""Median of ratios: a sample's size is the median of its counts over those of a mean sample."""

from __future__ import annotations

from functools import partial
from typing import Any, Self

import numba
import numpy as np

from corpuscle.counts import Block, Counts, reduce_blocks
from corpuscle.errors import MethodError, OptionError
from corpuscle.normalize._base import Array
from corpuscle.normalize._bulk import BulkNormalizer, as_dense, refuse_samples, sample_depths
from corpuscle.normalize._select import median_of

__all__ = ["MedianOfRatios"]

KINDS = ("poscounts", "ratio")


class MedianOfRatios(BulkNormalizer):
    r"""Counts over the sample's size factor, :math:`\log_2(1 + x_{ij} / s_i)`.

    :math:`s_i` is the median over genes of :math:`x_{ij} / g_j`, where the sample has counts and :math:`g_j` is the
    gene's geometric mean over the samples fitted.

    Parameters
    ----------
    kind
        ``"poscounts"``: the geometric mean is over positive counts, with the number of all samples as divisor, so
        that no gene needs counts in every sample; factors are scaled to a geometric mean of 1. ``"ratio"``: only
        genes with counts in every fitted sample, which large collections do not have.
    log
        False for :math:`x / s` without the logarithm.

    Attributes
    ----------
    log_mean_g_
        (g,) natural log of the geometric means, minus infinity for genes that do not count.
    log_scale_
        What is taken from the log of every size factor: the mean over the samples fitted (0 for ``"ratio"``).

    Notes
    -----
    Two passes over the samples to fit, one for ``"ratio"``; means and scale are frozen for new samples. Source:
    Anders & Huber, Genome Biology 2010; ``estimateSizeFactors`` of DESeq2 (Love, Huber & Anders, Genome Biology
    2014). Effect on correlations: as :class:`~corpuscle.normalize.log_cpm.LogCPM`, with a size that a few abundant
    genes cannot move; the pseudo-count is one count of a sample of mean size.
    """

    name = "mor"
    formula = "log2(1 + x / s), s = median of x / geometric mean"
    keeps_zeros = True
    gene_free = True

    def __init__(self, kind: str = "poscounts", log: bool = True) -> None:
        self.kind = kind
        self.log = log

    def check_params(self) -> None:
        """Refuse an unknown kind."""
        if self.kind not in KINDS:
            raise OptionError(f"{self.name}: kind is {self.kind!r} and must be one of: {', '.join(KINDS)}")

    def fit_genes(self, counts: Counts) -> None:
        """Learn the geometric means, and the scale of the size factors."""
        sums = reduce_blocks(counts, partial(_LogSums, counts.n_vars), dense=True, what="samples")
        usable_g = sums.positive_g == counts.n_obs if self.kind == "ratio" else sums.positive_g > 0
        if not usable_g.any():
            raise MethodError(
                f"{counts.name}: no gene has counts in all {counts.n_obs:,} samples, so there is no median of ratios; "
                "use kind=poscounts, or remove shallow samples"
            )
        self.log_mean_g_ = np.where(usable_g, sums.log_g / counts.n_obs, -np.inf)
        self.log_scale_ = 0.0
        if self.kind == "poscounts":
            (log_size_n,) = self.per_cell(counts)
            self.log_scale_ = float(log_size_n.mean())

    def size_factors(self, counts: Counts) -> Array:
        """(n,) size factors of the samples."""
        self._check(counts)
        (log_size_n,) = self._cell_numbers(counts)
        return np.exp(log_size_n)

    def _block_numbers(self, counts: Counts, x_ng: Any, rows: slice) -> tuple[Any, ...]:
        sample_depths(counts, x_ng, rows)  # an empty sample is called by that name
        log_size_n = _median_log_ratios(as_dense(x_ng), self.log_mean_g_)
        without = f"has no counts of the {np.isfinite(self.log_mean_g_).sum():,} genes that sizes are judged by"
        refuse_samples(counts, rows, np.isnan(log_size_n), without, "remove it first")
        return (log_size_n - self.log_scale_,)

    def values(self, x: Array, gene: Array, *cell: Array) -> Array:
        """Evaluate the formula elementwise."""
        (log_size,) = cell
        scaled = x / np.exp(log_size)
        return np.log2(1.0 + scaled) if self.log else scaled


class _LogSums:
    """Mergeable sums of the logs of positive counts by gene, and in how many samples they are positive."""

    def __init__(self, n_vars: int) -> None:
        self.log_g, self.positive_g = np.zeros(n_vars), np.zeros(n_vars, np.int64)

    def update(self, block: Block) -> None:
        """Add the samples of one block."""
        _add_logs(as_dense(block.x_ng), self.log_g, self.positive_g)

    def merge(self, other: Self) -> None:
        """Add what another has seen."""
        self.log_g += other.log_g
        self.positive_g += other.positive_g


@numba.njit(cache=True, nogil=True)
def _add_logs(x_ng: Array, log_g: Array, positive_g: Array) -> None:
    for i in range(x_ng.shape[0]):
        for j in range(x_ng.shape[1]):
            if x_ng[i, j] > 0:
                log_g[j] += np.log(float(x_ng[i, j]))
                positive_g[j] += 1


@numba.njit(cache=True, nogil=True)
def _median_log_ratios(x_ng: Array, log_mean_g: Array) -> Array:
    """(n,) medians of log(x) less the log mean; NaN where a sample has no count of a gene that counts."""
    log_size_n = np.full(x_ng.shape[0], np.nan)
    ratio = np.empty(log_mean_g.size)
    for i in range(x_ng.shape[0]):
        k = 0
        for j in range(log_mean_g.size):
            if x_ng[i, j] > 0 and log_mean_g[j] > -np.inf:
                ratio[k] = np.log(float(x_ng[i, j])) - log_mean_g[j]
                k += 1
        if k:
            log_size_n[i] = median_of(ratio[:k])
    return log_size_n
