"""log1p after proportional fitting: scaled to the data's own depth, so the pseudo-count is one count."""

from __future__ import annotations

from typing import Any

import numpy as np

from corpuscle.counts import Counts
from corpuscle.errors import OptionError
from corpuscle.normalize._base import Array, ColumnNormalizer, nonzero_depth, require_positive

__all__ = ["Log1pPF"]


class Log1pPF(ColumnNormalizer):
    r"""Natural log of one plus proportionally fitted counts, :math:`\ln(1 + x_{ij} / s_i)`, :math:`s_i = n_i / L`.

    Parameters
    ----------
    target
        Depth each cell is scaled to, :math:`L`: ``"mean"`` or ``"median"`` depth of the cells fitted, or a number.

    Attributes
    ----------
    target_
        That depth as a number.

    Notes
    -----
    Needs only the columns asked for. Source: Booeshaghi et al., bioRxiv 2022 (proportional fitting); the median is
    scanpy's default. Effect on correlations: the mildest of the logarithms.
    """

    name = "log1p_pf"
    formula = "ln(1 + x / s), s = n / mean n"
    keeps_zeros = True
    gene_free = True

    def __init__(self, target: str | float = "mean") -> None:
        self.target = target

    def check_params(self) -> None:
        """Refuse a target that is no depth."""
        if isinstance(self.target, str):
            if self.target not in {"mean", "median"}:
                raise OptionError(f"{self.name}: target is {self.target!r} and must be 'mean', 'median' or a number")
        else:
            require_positive(self, "target")

    def fit_genes(self, counts: Counts) -> None:
        """Learn the depth to scale to."""
        if isinstance(self.target, str):
            depth_n = counts.profile().depth_n
            self.target_ = self.mean_depth_ if self.target == "mean" else float(np.median(depth_n))
        else:
            self.target_ = float(self.target)

    def per_cell(self, counts: Counts) -> tuple[Any, ...]:
        """Size factors."""
        return (nonzero_depth(counts) / self.target_,)

    def values(self, x: Array, gene: Array, *cell: Array) -> Array:
        """Evaluate the formula elementwise."""
        (size,) = cell
        return np.log1p(x / size)
