"""Rank of each gene within its cell."""

from __future__ import annotations

from corpuscle.normalize._base import Array
from corpuscle.normalize._cellwise import CellwiseNormalizer, Ties

__all__ = ["Rank"]


class Rank(CellwiseNormalizer):
    r"""Average rank of a count among all genes of its cell, over the number of genes, in (0, 1].

    Genes with equal counts share the mean of their ranks; the genes without a count are tied as well.

    Notes
    -----
    Needs each cell whole, one block at a time. Source: single-sample rank scores (e.g. Aibar et al., Nature Methods
    2017, AUCell; Foroutan et al., BMC Bioinformatics 2018, singscore). Effect on correlations: immune to any
    monotone distortion of a cell; the zeros tie at a rank that depends on how many genes were detected.
    """

    name = "rank"
    formula = "average rank of x in its cell / G"

    def tie_values(self, ties: Ties) -> tuple[Array, Array]:
        """Mean rank of each tie over the number of genes."""
        return (ties.below + (ties.tied + 1) / 2) / self.n_genes_, (ties.zeros + 1) / 2 / self.n_genes_
