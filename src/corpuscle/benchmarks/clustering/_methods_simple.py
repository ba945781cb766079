"""The simple baselines: principal components of scaled log counts, for Leiden or k-means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from corpuscle.benchmarks.clustering._graph import kmeans
from corpuscle.benchmarks.clustering._methods_cells import Cells, Embedded
from corpuscle.errors import MethodError, OptionError
from corpuscle.models._expression import highly_variable, log_normalise
from corpuscle.normalize._pca import principal_components

__all__ = ["PCAKMeans", "PCALeiden", "chosen_genes"]

Array = np.ndarray[Any, Any]

#: Modules besides this one whose code makes the numbers.
CODE = ("corpuscle.models._expression", "corpuscle.normalize._pca")
TARGET_SUM = 1e4
#: With no more genes than this, somebody has chosen them already, and all are used.
FEW_GENES = 2500
#: Scaled values are cut off at so many standard deviations.
MAX_VALUE = 10.0
#: Below this share of its mean, the deviation of a gene is rounding noise.
CONSTANT = 1e-10


@dataclass
class PCALeiden:
    """Scanpy's usual way: counts to 10,000 a cell, ``log1p``, 2,000 variable genes, scaled, 50 principal components.

    All genes where there are 2,500 or fewer; variable genes are chosen within batches where there are batches. The
    decomposition is exact, so the embedding does not depend on the seed. The clusters are then those of the protocol.

    Parameters
    ----------
    n_pcs
        Principal components; fewer for fewer cells or genes.
    n_top_genes
        Variable genes.
    """

    n_pcs: int = 50
    n_top_genes: int = 2000
    name = "pca_leiden"
    told = "nothing"
    code = CODE

    def __call__(self, cells: Cells, *, seed: int, n_types: int | None = None) -> Embedded:
        """Embed the cells, (n, n_pcs) float32."""
        return Embedded(embedding_nd=_components(cells, self.n_pcs, self.n_top_genes, self.name))


@dataclass
class PCAKMeans:
    """k-means, the best of 10 starts, on the principal components of :class:`PCALeiden`; told the number of types."""

    n_pcs: int = 50
    n_top_genes: int = 2000
    name = "pca_kmeans"
    told = "n_types"
    code = CODE

    def __call__(self, cells: Cells, *, seed: int, n_types: int | None = None) -> Embedded:
        """Cluster the cells.

        Raises
        ------
        MethodError
            The number of types was not given, or is more than there are cells.
        """
        if n_types is None:
            raise MethodError(f"{self.name}: needs the number of types")
        embedding_nd = _components(cells, self.n_pcs, self.n_top_genes, self.name)
        return Embedded(labels_n=kmeans(embedding_nd, n_types, seed))


def chosen_genes(cells: Cells, log_ng: sp.csr_matrix, n_top_genes: int) -> Array:
    """Genes that every method works on, int64: the variable ones, or all that are expressed where genes are few.

    Parameters
    ----------
    cells
        The data set.
    log_ng
        Its log-normalised values.
    n_top_genes
        How many, where there are more than 2,500.
    """
    if n_top_genes < 2:
        raise OptionError(f"n_top_genes={n_top_genes} must be 2 or more")
    return highly_variable(log_ng, n_top_genes if log_ng.shape[1] > FEW_GENES else None, cells.batch_n)


def _components(cells: Cells, n_pcs: int, n_top_genes: int, method: str) -> Array:
    if n_pcs < 1:
        raise OptionError(f"{method}: n_pcs={n_pcs} must be 1 or more")
    log_ng = log_normalise(cells.counts_ng, TARGET_SUM)
    chosen_ng = log_ng[:, chosen_genes(cells, log_ng, n_top_genes)]
    return principal_components(scaled(chosen_ng), n_pcs, method=method).astype(np.float32)


def scaled(x_ng: sp.csr_matrix) -> sp.csr_matrix:
    """Values to unit variance and mean zero, cut off at 10, less what a zero becomes: float64, as sparse as it was.

    So every cell lacks the same row of numbers, which centring takes away anyway: principal components are the same.
    """
    n = x_ng.shape[0]
    x_ng = x_ng.astype(np.float64).tocsr()
    genes = x_ng.shape[1]
    mean_g = np.bincount(x_ng.indices, weights=x_ng.data, minlength=genes) / n
    zeros_g = n - np.bincount(x_ng.indices, minlength=genes)
    squares_g = np.bincount(x_ng.indices, weights=(x_ng.data - mean_g[x_ng.indices]) ** 2, minlength=genes)
    sd_g = np.sqrt((squares_g + zeros_g * mean_g**2) / max(n - 1, 1))
    sd_g[sd_g <= CONSTANT * np.abs(mean_g)] = 1.0
    zero_g = np.maximum(-mean_g / sd_g, -MAX_VALUE)
    cut = np.clip((x_ng.data - mean_g[x_ng.indices]) / sd_g[x_ng.indices], -MAX_VALUE, MAX_VALUE)
    return sp.csr_matrix((cut - zero_g[x_ng.indices], x_ng.indices, x_ng.indptr), shape=x_ng.shape)
