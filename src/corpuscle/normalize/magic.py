"""MAGIC: diffusion of expression over a graph of cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
import scipy.sparse as sp

from corpuscle.counts import Counts
from corpuscle.errors import MethodError, OptionError
from corpuscle.normalize._base import Array, MatrixNormalizer, nonzero_depth
from corpuscle.normalize._graph import adaptive_markov, neighbours, transform_in_chunks
from corpuscle.normalize._pca import per_target, principal_components

__all__ = ["Magic"]

#: Affinities below this are no edge.
THRESHOLD = 1e-4


class Magic(MatrixNormalizer):
    r"""Square-root CP10k diffused ``t`` steps, :math:`P^t L` with :math:`L = \sqrt{10^4 x_{ij} / n_i}`.

    :math:`P` is the Markov matrix of an alpha-decaying kernel between cells in the principal components of :math:`L`:
    :math:`K_{ij} = \exp(-(d_{ij} / \sigma_i)^\alpha)` over the nearest ``3 knn`` cells, :math:`\sigma_i` the distance
    to neighbour number ``knn``, made symmetric, rows divided by their sums.

    Parameters
    ----------
    t
        Diffusion steps; 0 gives :math:`L` itself.
    knn
        Neighbour that sets the width of the kernel.
    decay
        :math:`\alpha`.
    n_pcs
        Principal components; fewer where there are not as many cells or genes.

    Attributes
    ----------
    markov_nn_
        (n, n) sparse row-stochastic :math:`P`; its power is never formed.

    Notes
    -----
    ``fit`` holds the whole matrix once; ``transform`` takes ``t`` sparse products with the genes asked for. Source: van
    Dijk et al. 2018, Cell 174:716, with the defaults of the authors' later releases (t = 3, knn = 5, alpha = 1, 100
    components). Effect on correlations: strong inflation, and exclusive cell states are merged.
    """

    name = "magic"
    formula = "P^t sqrt(1e4 x / n)"

    def __init__(self, t: int = 3, knn: int = 5, decay: float = 1.0, n_pcs: int = 100) -> None:
        self.t = t
        self.knn = knn
        self.decay = decay
        self.n_pcs = n_pcs

    def fit(self, counts: Counts) -> Self:
        """Build the Markov matrix.

        Raises
        ------
        MethodError
            There are not more than ``knn`` cells, a cell is empty, or all cells are alike.
        """
        if self.t < 0 or self.knn < 1 or self.n_pcs < 1 or not self.decay > 0:
            raise OptionError(f"{self.name}: t must be 0 or more, knn and n_pcs 1 or more, and decay above 0")
        if counts.n_obs <= self.knn:
            raise MethodError(f"{self.name}: {counts.n_obs:,} cells have no {self.knn} neighbours each; lower knn")
        root_ng = per_target(counts)
        np.sqrt(root_ng.data, out=root_ng.data)
        score_nc = principal_components(root_ng, self.n_pcs, method=self.name)
        distance_nk, index_nk = neighbours(score_nc, min(3 * self.knn, counts.n_obs - 1), method=self.name)
        self.markov_nn_ = adaptive_markov(distance_nk, index_nk, knn=self.knn, decay=self.decay, threshold=THRESHOLD)
        self.n_cells_, self.n_genes_ = counts.n_obs, counts.n_vars
        return self

    def transform(self, counts: Counts, genes: Sequence[str] | Array | None = None) -> Array:
        """Diffused values of ``genes``, n_obs x len(genes)."""
        self._check(counts)
        scale_n = 1e4 / nonzero_depth(counts)

        def diffuse(x_nk: sp.csc_matrix, _: Array) -> Array:
            value_nk: Array = np.sqrt(x_nk.toarray() * scale_n[:, None])
            for _step in range(self.t):
                value_nk = self.markov_nn_ @ value_nk
            return value_nk

        return transform_in_chunks(counts, genes, diffuse)
