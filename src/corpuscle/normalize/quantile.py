"""Quantile normalisation of the cells: all get the mean sorted profile."""

from __future__ import annotations

from typing import Self

import numpy as np

from corpuscle.counts import Block, Counts, summarise
from corpuscle.normalize._base import Array
from corpuscle.normalize._cellwise import CellwiseNormalizer, Ties, ties

__all__ = ["Quantile"]


class Quantile(CellwiseNormalizer):
    r"""Each count replaced by the mean, over cells, of the counts at its rank.

    The reference is the mean over the fitted cells of their sorted counts. Genes that tie in a cell share the mean
    of the reference over the ranks they occupy, zeros included.

    Attributes
    ----------
    sorted_sum_g_
        (g,) sum over the fitted cells of their sorted counts, ascending; exact.
    n_cells_
        Number of cells fitted; the reference is ``sorted_sum_g_ / n_cells_``.

    Notes
    -----
    Needs each cell whole, one block at a time; two passes. Source: Bolstad et al., Bioinformatics 2003. Effect on
    correlations: assumes that all cells have one distribution of counts; zeros take a value that depends on how many
    genes were detected, which distorts sparse data.
    """

    name = "quantile"
    formula = "mean sorted profile at the ranks of x in its cell"

    def fit_genes(self, counts: Counts) -> None:
        """Learn the mean sorted profile."""
        sorted_sum = _SortedSum(counts.n_vars)
        summarise(counts.blocks(), sorted_sum)
        self.sorted_sum_g_ = sorted_sum.finish()
        self.n_cells_ = counts.n_obs

    def tie_values(self, ties: Ties) -> tuple[Array, Array]:
        """Mean of the reference over the ranks of each tie."""
        up_to = np.concatenate([[0], np.cumsum(self.sorted_sum_g_)])
        value = (up_to[ties.below + ties.tied] - up_to[ties.below]) / (ties.tied * self.n_cells_)
        return value, up_to[ties.zeros] / (np.maximum(ties.zeros, 1) * self.n_cells_)


class _SortedSum:
    """Mergeable sum of the sorted cells: whole numbers, so the same for any order and any split."""

    def __init__(self, n_vars: int) -> None:
        self.step_g = np.zeros(n_vars + 1, np.int64)

    def update(self, block: Block) -> None:
        """Add the cells of one block: a tie adds its count to the ranks it occupies, as a step up and a step down."""
        found = ties(block.x_ng)
        np.add.at(self.step_g, found.below, found.count)
        np.subtract.at(self.step_g, found.below + found.tied, found.count)

    def merge(self, other: Self) -> None:
        """Add what another has seen."""
        self.step_g += other.step_g

    def finish(self) -> Array:
        """(g,) sums at each rank, ascending."""
        return np.cumsum(self.step_g)[:-1]
