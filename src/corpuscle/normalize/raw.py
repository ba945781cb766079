"""Raw counts, unchanged: the floor that a normalisation has to beat."""

from __future__ import annotations

from typing import Any

from corpuscle.counts import Counts
from corpuscle.normalize._base import Array, ColumnNormalizer

__all__ = ["Raw"]


class Raw(ColumnNormalizer):
    r"""The counts themselves, :math:`x_{ij}`.

    Notes
    -----
    Needs only the columns asked for. Effect on correlations: a positive bias everywhere, because all genes of a
    cell share its depth; Pearson's r hangs on the few largest counts.
    """

    name = "raw"
    formula = "x"
    keeps_zeros = True
    gene_free = True

    def per_cell(self, counts: Counts) -> tuple[Any, ...]:
        """Nothing: an empty cell is no trouble here."""
        return ()

    def values(self, x: Array, gene: Array, *cell: Array) -> Array:
        """Evaluate the formula elementwise."""
        return x
