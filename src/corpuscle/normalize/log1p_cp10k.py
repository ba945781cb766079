"""log1p of counts per 10,000, the field's default, and of counts per million."""

from __future__ import annotations

import numpy as np

from corpuscle.normalize._base import Array, ColumnNormalizer, require_positive

__all__ = ["Log1pCP10k", "Log1pCPM"]


class Log1pCP10k(ColumnNormalizer):
    r"""Natural log of one plus counts per ``target`` counts, :math:`\ln(1 + L x_{ij} / n_i)`.

    The base of the logarithm changes no correlation. Removes the linear effect of depth; the pseudo-count is
    ``mean depth / target`` on the scale of the counts.

    Parameters
    ----------
    target
        Counts each cell is scaled to, :math:`L`.

    Notes
    -----
    Needs only the columns asked for. Source: the usual practice of scanpy and Seurat. Effect on correlations: the
    baseline that others are compared with.
    """

    name = "log1p_cp10k"
    formula = "ln(1 + 1e4 x / n)"
    keeps_zeros = True
    gene_free = True

    def __init__(self, target: float = 1e4) -> None:
        self.target = target

    def check_params(self) -> None:
        """Refuse a target that is not above 0."""
        require_positive(self, "target")

    def values(self, x: Array, gene: Array, *cell: Array) -> Array:
        """Evaluate the formula elementwise."""
        (depth,) = cell
        return np.log1p(self.target * x / depth)


class Log1pCPM(Log1pCP10k):
    r"""Natural log of one plus counts per million, :math:`\ln(1 + 10^6 x_{ij} / n_i)`.

    Notes
    -----
    Needs only the columns asked for. Source: usual bulk practice; Ahlmann-Eltze & Huber, Nature Methods 2023,
    show what it assumes. Effect on correlations: a pseudo-count of ``mean depth / 1e6`` makes shallow data nearly
    binary and implies an overdispersion far above the realistic.
    """

    name = "log1p_cpm"
    formula = "ln(1 + 1e6 x / n)"

    def __init__(self, target: float = 1e6) -> None:
        super().__init__(target)
