"""Term frequency times inverse document frequency, with a log."""

from __future__ import annotations

import numpy as np

from corpuscle.counts import Counts
from corpuscle.normalize._base import Array, ColumnNormalizer, require_positive

__all__ = ["TFIDF"]


class TFIDF(ColumnNormalizer):
    r"""Log TF-IDF, :math:`\ln(1 + L \frac{x_{ij}}{n_i} \mathrm{idf}_j)`, :math:`\mathrm{idf}_j = \ln(1 + N / N_j)`.

    :math:`N_j` is the number of cells with a count of gene j, so a gene that few cells have weighs more.

    Parameters
    ----------
    target
        Counts each cell is scaled to, :math:`L`.

    Attributes
    ----------
    idf_g_
        (g,) inverse document frequency; infinite for a gene that no fitted cell has.

    Notes
    -----
    Needs only the columns asked for, and the number of cells of each gene. Source: Spärck Jones 1972; in this form
    from single-cell chromatin analysis (Stuart et al., Nature Methods 2021). Effect on correlations: near log1p with
    a pseudo-count of its own for each gene.
    """

    name = "tfidf"
    formula = "ln(1 + 1e4 x / n ln(1 + N / N_g))"
    keeps_zeros = True

    def __init__(self, target: float = 1e4) -> None:
        self.target = target

    def check_params(self) -> None:
        """Refuse a target that is not above 0."""
        require_positive(self, "target")

    def fit_genes(self, counts: Counts) -> None:
        """Learn in how many cells each gene is."""
        with np.errstate(divide="ignore"):
            self.idf_g_ = np.log1p(counts.n_obs / counts.profile().cells_g)

    def values(self, x: Array, gene: Array, *cell: Array) -> Array:
        """Evaluate the formula elementwise."""
        (depth,) = cell
        return np.log1p(self.target * x / depth * self.idf_g_[gene])
