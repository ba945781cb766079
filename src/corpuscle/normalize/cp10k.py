"""Counts per so many counts: depth divided out, no logarithm."""

from __future__ import annotations

from corpuscle.normalize._base import Array, ColumnNormalizer, require_positive

__all__ = ["CPM", "CP10k"]


class CP10k(ColumnNormalizer):
    r"""Counts per ``target`` counts, :math:`L x_{ij} / n_i`.

    Parameters
    ----------
    target
        Counts each cell is scaled to, :math:`L`.

    Notes
    -----
    Needs only the columns asked for. Source: total-count scaling, the oldest practice of RNA-seq. Effect on
    correlations: the linear effect of depth is gone; Pearson's r hangs on the largest values. The choice of
    ``target`` changes no correlation.
    """

    name = "cp10k"
    formula = "1e4 x / n"
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
        return self.target * x / depth


class CPM(CP10k):
    r"""Counts per million, :math:`10^6 x_{ij} / n_i`.

    Notes
    -----
    Needs only the columns asked for. Source: total-count scaling, the oldest practice of RNA-seq. Effect on
    correlations: exactly that of :class:`CP10k`, from which it differs by a factor.
    """

    name = "cpm"
    formula = "1e6 x / n"

    def __init__(self, target: float = 1e6) -> None:
        super().__init__(target)
