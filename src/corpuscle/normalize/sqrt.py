"""Square roots: the variance-stabilising transforms of a Poisson count."""

from __future__ import annotations

from typing import Any

import numpy as np

from corpuscle.counts import Counts
from corpuscle.normalize._base import Array, ColumnNormalizer

__all__ = ["FreemanTukey", "Sqrt"]


class Sqrt(ColumnNormalizer):
    r"""Square root of size-normalised counts, :math:`\sqrt{x_{ij} / s_i}`, :math:`s_i = n_i / \overline{n}`.

    Notes
    -----
    Needs only the columns asked for. Source: Bartlett 1936; reviewed by Ahlmann-Eltze & Huber, Nature Methods 2023.
    Effect on correlations: mild.
    """

    name = "sqrt"
    formula = "sqrt(x / s)"
    keeps_zeros = True
    gene_free = True

    def per_cell(self, counts: Counts) -> tuple[Any, ...]:
        """Size factors."""
        return (self.size_factors(counts),)

    def values(self, x: Array, gene: Array, *cell: Array) -> Array:
        """Evaluate the formula elementwise."""
        (size,) = cell
        return np.sqrt(x / size)


class FreemanTukey(Sqrt):
    r"""Freeman-Tukey transform of size-normalised counts, :math:`\sqrt{x_{ij} / s_i} + \sqrt{x_{ij} / s_i + 1}`.

    Notes
    -----
    Needs only the columns asked for. A count of zero becomes one, so the values are dense. Source: Freeman & Tukey,
    Annals of Mathematical Statistics 1950. Effect on correlations: mild.
    """

    name = "freeman_tukey"
    formula = "sqrt(x / s) + sqrt(x / s + 1)"
    keeps_zeros = False

    def values(self, x: Array, gene: Array, *cell: Array) -> Array:
        """Evaluate the formula elementwise."""
        (size,) = cell
        return np.sqrt(x / size) + np.sqrt(x / size + 1)
