"""Which cells are alike: exact neighbours, and the sparse matrices that average over them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import scipy.sparse as sp

from corpuscle.counts import Counts
from corpuscle.errors import MethodError
from corpuscle.normalize._base import Array

__all__ = ["adaptive_markov", "neighbour_mean", "neighbours", "transform_in_chunks"]

#: Genes worked on at once, so that what lies between input and output stays small.
CHUNK_GENES = 256


def neighbours(score_nc: Array, k: int, *, method: str) -> tuple[Array, Array]:
    """Distances and positions, each (n, k), of the ``k`` nearest *other* cells, nearest first.

    Exact: compares all pairs of cells in bounded memory, so time grows with the square of the number of cells
    (seconds for 10,000).
    """
    from sklearn.neighbors import NearestNeighbors

    n = score_nc.shape[0]
    if k >= n:
        raise MethodError(
            f"{method}: {k} other cells were asked for as neighbours and there are {n - 1:,}; ask for fewer"
        )
    distance_nk, index_nk = NearestNeighbors(n_neighbors=k).fit(score_nc).kneighbors()
    return distance_nk, index_nk


def neighbour_mean(index_nk: Array) -> sp.csr_matrix:
    """Row-stochastic n x n weights: the cell itself and its neighbours, all alike."""
    n, k = index_nk.shape
    column = np.column_stack([np.arange(n), index_nk]).ravel()
    weight = np.full(column.size, 1.0 / (k + 1))
    return sp.csr_matrix((weight, column, np.arange(0, column.size + 1, k + 1)), shape=(n, n))


def adaptive_markov(distance_nk: Array, index_nk: Array, *, knn: int, decay: float, threshold: float) -> sp.csr_matrix:
    r"""Markov matrix of an alpha-decaying kernel whose width at a cell is the distance to its ``knn``-th neighbour.

    :math:`K_{ij} = \exp(-(d_{ij} / \sigma_i)^{\alpha})`, entries below ``threshold`` dropped, :math:`K_{ii} = 1`,
    made symmetric as :math:`(K + K^T) / 2`, then each row divided by its sum.
    """
    n, k = index_nk.shape
    # A cell with knn exact copies has width 0: its copies get weight 1 and all others 0.
    width_n = np.maximum(distance_nk[:, knn - 1], np.finfo(np.float64).tiny)
    with np.errstate(over="ignore"):
        weight_nk = np.exp(-((distance_nk / width_n[:, None]) ** decay))
    weight_nk[weight_nk < threshold] = 0.0
    one_way = sp.csr_matrix((weight_nk.ravel(), index_nk.ravel(), np.arange(0, n * k + 1, k)), shape=(n, n))
    one_way.eliminate_zeros()
    kernel = ((one_way + one_way.T) * 0.5 + sp.identity(n, format="csr")).tocsr()
    return (sp.diags(1.0 / np.asarray(kernel.sum(axis=1)).ravel()) @ kernel).tocsr()


def transform_in_chunks(
    counts: Counts, genes: Sequence[str] | Array | None, values: Callable[[sp.csc_matrix, Array], Array]
) -> Array:
    """Dense n_obs x len(genes), filled :data:`CHUNK_GENES` at a time by ``values(x_nk, positions)`` of raw counts."""
    index = np.arange(counts.n_vars) if genes is None else counts.gene_index(genes)
    x_nk = counts.columns(index)
    out = np.empty(x_nk.shape, np.float64)
    for start in range(0, index.size, CHUNK_GENES):
        part = slice(start, start + CHUNK_GENES)
        out[:, part] = values(x_nk[:, part], index[part])
    return out
