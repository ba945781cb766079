"""Trimmed mean of M-values: library sizes corrected for what a sample's most abundant genes take from the rest."""

from __future__ import annotations

from functools import partial
from typing import Any

import numba
import numpy as np

from corpuscle.counts import Block, Counts, map_blocks
from corpuscle.errors import OptionError
from corpuscle.normalize._base import Array, require_number
from corpuscle.normalize._bulk import BulkNormalizer, as_dense, refuse_samples, sample_depths
from corpuscle.normalize._select import select

__all__ = ["TMM"]

#: Quantile of a sample's counts that the choice of the reference goes by.
UPPER = 0.75
#: Below this the upper quartiles are taken as none: most genes of most samples are zero.
NO_QUARTILE = 1e-20


class TMM(BulkNormalizer):
    r"""Counts per million of the effective library size, :math:`\log_2(1 + 10^6 x_{ij} / (n_i f_i))`.

    The factor :math:`f_i` is two to the weighted mean, over genes with counts in the sample and in the reference
    sample, of :math:`M = \log_2 \frac{x / n}{r / n_r}`, after trimming the extremes of M and of
    :math:`A = \frac12 \log_2 (\frac{x}{n} \frac{r}{n_r})`; weights are inverse asymptotic variances. Factors are
    scaled so that their geometric mean over the samples fitted is 1.

    Parameters
    ----------
    log
        False for counts per million without the logarithm.
    log_ratio_trim
        Share of genes trimmed at each end of M.
    sum_trim
        Share of genes trimmed at each end of A.

    Attributes
    ----------
    reference_
        Name of the reference sample: that whose upper quartile over depth is nearest the mean of all.
    reference_g_, reference_depth_
        Its counts (g,) and depth.
    log2_scale_
        Mean of the log2 factors of the samples fitted, which is taken from every sample's.

    Notes
    -----
    Two passes over the samples to fit, a third where some genes have no count in any; reference and scale are frozen
    for new samples. Source: Robinson & Oshlack, Genome Biology 2010; ``calcNormFactors`` of edgeR. Effect on
    correlations: as :class:`~corpuscle.normalize.log_cpm.LogCPM`, without the shift of all genes by a few very
    abundant ones.
    """

    name = "tmm_cpm"
    formula = "log2(1 + 1e6 x / (n f)), f by trimmed mean of M-values"
    keeps_zeros = True
    gene_free = True

    def __init__(self, log: bool = True, log_ratio_trim: float = 0.3, sum_trim: float = 0.05) -> None:
        self.log = log
        self.log_ratio_trim = log_ratio_trim
        self.sum_trim = sum_trim

    def check_params(self) -> None:
        """Refuse trims that leave nothing."""
        for param in ("log_ratio_trim", "sum_trim"):
            require_number(self, param, at_least=0.0)
            if getattr(self, param) >= 0.5:
                raise OptionError(f"{self.name}: {param} is {getattr(self, param)!r} and must be below 0.5")

    def fit_genes(self, counts: Counts) -> None:
        """Choose the reference sample and learn the scale of the factors."""
        place = _reference(counts)
        self.reference_ = str(counts.obs.index[place])
        self.reference_g_ = counts.take_dense(np.array([place]))[0].astype(np.int64)
        self.reference_depth_ = float(self.reference_g_.sum())
        self.log2_scale_ = 0.0
        _, log2_factor_n = self.per_cell(counts)
        self.log2_scale_ = float(log2_factor_n.mean())

    def factors(self, counts: Counts) -> Array:
        """(n,) normalisation factors of the samples, to multiply their library sizes by."""
        self._check(counts)
        _, log2_factor_n = self._cell_numbers(counts)
        return np.exp2(log2_factor_n)

    def _block_numbers(self, counts: Counts, x_ng: Any, rows: slice) -> tuple[Any, ...]:
        depth_n = sample_depths(counts, x_ng, rows)
        trims = (float(self.log_ratio_trim), float(self.sum_trim))
        log2_factor_n = _log2_factors(as_dense(x_ng), depth_n, self.reference_g_, self.reference_depth_, trims)
        shares_none = np.isnan(log2_factor_n)
        refuse_samples(
            counts, rows, shares_none, f"shares no gene with the reference sample {self.reference_}", "remove it first"
        )
        return depth_n, log2_factor_n - self.log2_scale_

    def values(self, x: Array, gene: Array, *cell: Array) -> Array:
        """Evaluate the formula elementwise."""
        depth, log2_factor = cell
        per_million = 1e6 * x / (depth * np.exp2(log2_factor))
        return np.log2(1.0 + per_million) if self.log else per_million


def _reference(counts: Counts) -> int:
    """Place of the sample whose upper quartile over depth is nearest the mean of all."""
    here = counts if counts.scheduler is None else counts.local()
    seen_g, depths, quartiles = np.zeros(counts.n_vars, bool), [], []
    for depth_n, quartile_n, seen in map_blocks(counts, partial(_first_look, here), dense=True, what="samples"):
        seen_g |= seen
        depths.append(depth_n)
        quartiles.append(quartile_n)
    n_without = counts.n_vars - int(seen_g.sum())
    if n_without:  # genes without a count anywhere are left out of the quartile
        quartiles = list(map_blocks(counts, partial(_quartiles_of, n_without), dense=True, what="samples"))
    share_n = np.concatenate(quartiles) / np.concatenate(depths)
    if np.median(share_n) < NO_QUARTILE:
        return int(np.argmax(np.concatenate(list(map_blocks(counts, _root_sums, dense=True, what="samples")))))
    return int(np.argmin(np.abs(share_n - share_n.mean())))


def _first_look(counts: Counts, block: Block) -> tuple[Array, Array, Array]:
    depth_n = sample_depths(counts, block.x_ng, block.rows)
    return depth_n, _quartiles_of(0, block), block.x_ng.any(axis=0)


def _quartiles_of(n_without: int, block: Block) -> Array:
    """(n,) upper quartiles of the counts of each sample, of which ``n_without`` zeros are not to be counted."""
    n_vars = block.x_ng.shape[1]
    at = (n_vars - n_without - 1) * UPPER
    low = int(at) + n_without
    sorted_nk = np.partition(block.x_ng, [low, min(low + 1, n_vars - 1)], axis=1)
    below_n, above_n = sorted_nk[:, low].astype(np.float64), sorted_nk[:, min(low + 1, n_vars - 1)]
    quartile_n: Array = below_n + (at - int(at)) * (above_n - below_n)
    return quartile_n


def _root_sums(block: Block) -> Array:
    sums_n: Array = np.sqrt(block.x_ng).sum(axis=1)
    return sums_n


@numba.njit(cache=True, nogil=True)
def _kept_range(value: Array, trim: float) -> tuple[float, float]:
    """Smallest and largest of the values whose mean rank is not among the trimmed."""
    low = int(np.floor(value.size * trim)) + 1
    high = value.size + 1 - low
    reordered = value.copy()
    at_low = select(reordered, low - 1)
    at_high = select(reordered[low - 1 :], high - low)
    below_low, up_to_low, below_high, up_to_high = 0, 0, 0, 0
    for v in value:
        below_low += v < at_low
        up_to_low += v <= at_low
        below_high += v < at_high
        up_to_high += v <= at_high
    # Values that tie share the mean of their ranks, and stay or go together.
    if below_low + up_to_low + 1 < 2 * low:
        at_low = np.nextafter(at_low, np.inf)
    if below_high + up_to_high + 1 > 2 * high:
        at_high = np.nextafter(at_high, -np.inf)
    return at_low, at_high


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _log2_factors(
    x_ng: Array, depth_n: Array, reference_g: Array, reference_depth: float, trims: tuple[float, float]
) -> Array:
    """(n,) log2 of the factors before scaling; NaN where a sample shares no gene with the reference."""
    log2_factor_n = np.full(depth_n.size, np.nan)
    m, a, variance = np.empty(reference_g.size), np.empty(reference_g.size), np.empty(reference_g.size)
    share_g = reference_g / reference_depth
    log2_share_g = np.log2(share_g)
    for i in range(depth_n.size):
        depth, k, largest = depth_n[i], 0, 0.0
        for j in range(reference_g.size):
            if x_ng[i, j] == 0 or reference_g[j] == 0:
                continue
            x, r = float(x_ng[i, j]), float(reference_g[j])
            # Rounded in this order, on which it hangs which genes tie in rank.
            m[k] = np.log2((x / depth) / share_g[j])
            a[k] = (np.log2(x / depth) + log2_share_g[j]) / 2
            variance[k] = (depth - x) / depth / x + (reference_depth - r) / reference_depth / r
            largest = max(largest, abs(m[k]))
            k += 1
        if k:
            log2_factor_n[i] = 0.0 if largest < 1e-6 else _weighted_mean(m[:k], a[:k], variance[:k], trims)
    return log2_factor_n


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _weighted_mean(m: Array, a: Array, variance: Array, trims: tuple[float, float]) -> float:
    m_low, m_high = _kept_range(m, trims[0])
    a_low, a_high = _kept_range(a, trims[1])
    total, weight = 0.0, 0.0
    for k in range(m.size):
        if m_low <= m[k] <= m_high and a_low <= a[k] <= a_high:
            total += m[k] / variance[k]
            weight += 1.0 / variance[k]
    mean = total / weight
    return 0.0 if np.isnan(mean) else mean
