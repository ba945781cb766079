"""Proportional fitting before and after the logarithm, and its centred sibling."""

from __future__ import annotations

from typing import Any

import numpy as np

from corpuscle.counts import Counts
from corpuscle.normalize._base import Array, ColumnNormalizer
from corpuscle.normalize._evaluate import by_lookup

__all__ = ["PFLog1pPF", "PFLogCLR"]


def log1p_sums(counts: Counts, size_n: Array) -> Array:
    r"""(n_obs,) sums over all genes of :math:`\ln(1 + x_{ij} / s_i)`: one pass."""
    sum_n = np.zeros(counts.n_obs)
    for block in counts.blocks():
        x_ng, size = block.x_ng, size_n[block.rows]
        log = x_ng.astype(np.float64)
        by_lookup(lambda count, row, size=size: np.log1p(count / size[row]), x_ng, log.data)  # type: ignore[misc]
        sum_n[block.rows] = np.asarray(log.sum(axis=1)).ravel()
    return sum_n


class PFLog1pPF(ColumnNormalizer):
    r"""Proportional fitting of the log of proportionally fitted counts.

    :math:`y_{ij} = \ln(1 + x_{ij} / s_i)`, then :math:`y_{ij} \cdot \overline{Y} / Y_i` with
    :math:`Y_i = \sum_j y_{ij}`, so that all cells have the same sum of logs.

    Attributes
    ----------
    mean_log_sum_
        Mean of :math:`Y_i` over the cells fitted, :math:`\overline{Y}`.

    Notes
    -----
    Needs the sums :math:`Y_i` over all genes (one streamed pass), then only the columns asked for. Source:
    Booeshaghi et al., bioRxiv 2022. Effect on correlations: equalises the depth that is left after the log; zeros
    stay zero.
    """

    name = "pf_log1p_pf"
    formula = "y mean(Y) / Y, y = ln(1 + x / s), Y = sum of y over genes"
    keeps_zeros = True
    gene_free = True

    def fit_genes(self, counts: Counts) -> None:
        """Learn the mean sum of logs."""
        _, log_sum_n = self._cell_numbers(counts)
        self.mean_log_sum_ = float(log_sum_n.mean())

    def per_cell(self, counts: Counts) -> tuple[Any, ...]:
        """Size factors and sums of logs."""
        size_n = self.size_factors(counts)
        return size_n, log1p_sums(counts, size_n)

    def values(self, x: Array, gene: Array, *cell: Array) -> Array:
        """Evaluate the formula elementwise."""
        size, log_sum = cell
        return np.log1p(x / size) * (self.mean_log_sum_ / log_sum)


class PFLogCLR(ColumnNormalizer):
    r"""Shifted centred log-ratio, :math:`\ln(1 + x_{ij} / s_i) - \frac{1}{G} \sum_k \ln(1 + x_{ik} / s_i)`.

    Notes
    -----
    Needs the means over all genes (one streamed pass), then only the columns asked for. Source: Booeshaghi et al.,
    bioRxiv 2022, later version; Aitchison's log-ratio with a pseudo-count of one. Effect on correlations: an offset
    per cell is subtracted, so zeros take a value that depends on depth and a rank correlation then sees depth.
    """

    name = "pflog_clr"
    formula = "ln(1 + x / s) - mean over genes of ln(1 + x / s)"
    gene_free = True

    def per_cell(self, counts: Counts) -> tuple[Any, ...]:
        """Size factors and mean logs."""
        size_n = self.size_factors(counts)
        return size_n, log1p_sums(counts, size_n) / counts.n_vars

    def values(self, x: Array, gene: Array, *cell: Array) -> Array:
        """Evaluate the formula elementwise."""
        size, mean_log = cell
        return np.log1p(x / size) - mean_log
