"""SCTransform v2: residuals of a regularised negative binomial regression on depth."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from corpuscle.counts import Counts
from corpuscle.errors import MethodError
from corpuscle.normalize._base import Array, ColumnNormalizer

__all__ = ["SCTv2"]


class SCTv2(ColumnNormalizer):
    r"""Pearson residuals of a regularised regression on depth, clipped to :math:`\pm\sqrt{N}`.

    :math:`y = (x - \mu) / \sqrt{\max(\mu + \mu^2 / \theta_j, v)}` with :math:`\mu = e^{b_j} n_i`.
    Intercept :math:`b_j` and :math:`\theta_j` are fitted gene by gene with the slope on log depth fixed, then smoothed
    over genes of similar mean; genes without overdispersion are Poisson. The variance floor is
    :math:`v = (\mathrm{median\ non\text{-}zero\ count} / 5)^2`. Depth is that over the genes kept.

    Parameters
    ----------
    min_cells
        Genes detected in fewer cells are dropped: their values are NaN, never 0.
    n_genes, n_cells
        Genes and cells drawn to fit the regression.
    random_state
        Seed of that draw.

    Attributes
    ----------
    dropped_
        (g,) bool: genes that have no values.

    Notes
    -----
    The regression is the ``sctransform`` package's (extra ``sct``): ``fit`` holds the whole matrix and takes from
    seconds to a minute. The residuals are computed here, for the genes asked for, and equal that package's. Source:
    Choudhary and Satija 2022, Genome Biology 23:27. Effect on correlations: a zero becomes a negative value that
    depends on depth, so rank correlations need the zeros tied again; Pearson correlations of a true pair are lower
    than after a log.
    """

    name = "sct_v2"
    formula = "(x - mu) / sqrt(mu + mu^2 / theta), regularised NB, clipped"
    needs = "matrix"

    def __init__(self, min_cells: int = 5, n_genes: int = 2000, n_cells: int = 2000, random_state: int = 42) -> None:
        self.min_cells = min_cells
        self.n_genes = n_genes
        self.n_cells = n_cells
        self.random_state = random_state

    def fit_genes(self, counts: Counts) -> None:
        """Fit and smooth the regression.

        Raises
        ------
        MethodError
            The package is not installed, or the regression cannot be fitted on so few cells or genes.
        """
        x_gn = counts.to_csr().T.tocsr()
        kept = np.flatnonzero(np.diff(x_gn.indptr) >= self.min_cells)
        if not kept.size:
            raise MethodError(f"{self.name}: no gene is detected in {self.min_cells} cells; lower min_cells")
        fitted = self._regress(x_gn[kept], kept)
        self.intercept_g_ = np.full(counts.n_vars, np.nan)
        self.theta_g_ = np.full(counts.n_vars, np.nan)
        position = fitted.index.astype(np.int64)
        self.intercept_g_[position] = fitted["Intercept"]
        self.theta_g_[position] = fitted["theta"]
        self.dropped_ = np.isnan(self.intercept_g_)
        self.min_variance_ = (float(np.median(x_gn[kept].data)) / 5.0) ** 2
        self.clip_ = float(np.sqrt(counts.n_obs))

    def _regress(self, x_gn: Any, kept: Array) -> Any:
        """Table of ``Intercept`` and ``theta``, a row a gene; genes go by position, since names may repeat."""
        try:
            from sctransform import vst
        except ImportError:
            raise MethodError(f"{self.name}: needs an extra; run: pip install 'corpuscle[sct]'") from None
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                model = vst(
                    x_gn,
                    gene_names=[str(i) for i in kept],
                    vst_flavor="v2",
                    min_cells=self.min_cells,
                    n_genes=self.n_genes,
                    n_cells=self.n_cells,
                    seed=self.random_state,
                    residual_type="none",
                    return_gene_attr=False,
                    verbosity=0,
                )
        except (ValueError, IndexError, ZeroDivisionError, FloatingPointError, np.linalg.LinAlgError) as error:
            raise MethodError(
                f"{self.name}: the regression failed on {x_gn.shape[1]:,} cells x {x_gn.shape[0]:,} genes ({error}); "
                f"it needs hundreds of cells and genes that vary"
            ) from error
        return model["model_parameters_fit"]

    def per_cell(self, counts: Counts) -> tuple[Array, ...]:
        """Depth over the genes kept."""
        kept = ~self.dropped_
        depth = np.concatenate([np.asarray(block.x_ng @ kept, np.float64) for block in counts.blocks()])
        if not depth.all():
            cell = counts.obs.index[int(np.argmin(depth))]
            raise MethodError(f"{self.name}: cell {cell!s} has no counts in the genes kept; remove such cells first")
        return (depth,)

    def values(self, x: Array, gene: Array, *cell: Array) -> Array:
        """Evaluate the formula elementwise; NaN for genes that were dropped."""
        (depth,) = cell
        mu = np.exp(self.intercept_g_[gene]) * depth
        variance = np.maximum(mu + mu**2 / self.theta_g_[gene], self.min_variance_)
        return np.clip((x - mu) / np.sqrt(variance), -self.clip_, self.clip_)
