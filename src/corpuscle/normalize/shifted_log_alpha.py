"""Log with the pseudo-count that a given overdispersion implies."""

from __future__ import annotations

from typing import Any

import numpy as np

from corpuscle.counts import Counts
from corpuscle.normalize._base import Array, ColumnNormalizer, require_positive

__all__ = ["ShiftedLogAlpha"]


class ShiftedLogAlpha(ColumnNormalizer):
    r"""Shifted logarithm, :math:`\ln(x_{ij} / s_i + 1 / (4\alpha))`.

    Parameters
    ----------
    alpha
        Overdispersion :math:`\alpha` of :math:`\mathrm{Var}\,x = \mu + \alpha \mu^2`; 0.05 is a pseudo-count of 5.

    Notes
    -----
    Needs only the columns asked for. Zeros become :math:`-\ln 4\alpha`, the same in all cells. Source:
    Ahlmann-Eltze & Huber, Nature Methods 2023. Effect on correlations: shrinks small counts strongly.
    """

    name = "shifted_log_alpha"
    formula = "ln(x / s + 1 / (4 alpha))"
    gene_free = True

    def __init__(self, alpha: float = 0.05) -> None:
        self.alpha = alpha

    def check_params(self) -> None:
        """Refuse an overdispersion that is not above 0."""
        require_positive(self, "alpha")

    def per_cell(self, counts: Counts) -> tuple[Any, ...]:
        """Size factors."""
        return (self.size_factors(counts),)

    def values(self, x: Array, gene: Array, *cell: Array) -> Array:
        """Evaluate the formula elementwise."""
        (size,) = cell
        return np.log(x / size + 0.25 / self.alpha)
