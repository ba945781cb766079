"""The neighbour graph that scores are smoothed on, and the representation of the cells that it is built from."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from corpuscle.errors import MethodError, OptionError, SourceError

if TYPE_CHECKING:
    from corpuscle.counts import Counts

__all__ = ["check_neighbours", "default_representation", "umap_graph"]

Array = np.ndarray[Any, Any]

TARGET_SUM = 1e4
N_TOP_GENES = 2000
N_COMPS = 50
N_NEIGHBORS = 15
#: From so many cells on the search is approximate.
EXACT_CELLS = 8192
#: Scaled values are cut here, so that one cell with a gene of its own does not make a component.
LARGEST = 10.0
#: Genes are compared with those of like mean, in so many bins.
MEAN_BINS = 20
#: Cells that an error names, before it says "and more".
NAMED = 3


def default_representation(
    source: Any, *, layer: str | None = None, n_top_genes: int = N_TOP_GENES, n_comps: int = N_COMPS
) -> Array:
    """Principal components of the cells themselves, from raw counts.

    Counts are scaled to 10,000 a cell and logged; the genes that vary most are scaled to unit variance, cut at 10, and
    decomposed exactly. Two passes over the counts; only the chosen genes are held, sparse.

    Parameters
    ----------
    source
        :class:`~corpuscle.counts.Counts`, or what :func:`corpuscle.open_counts` opens: an AnnData, a path.
    layer
        Where the counts are, if not in the main matrix.
    n_top_genes
        Genes to choose by dispersion; fewer if fewer are expressed.
    n_comps
        Components; fewer if there are fewer cells or genes.

    Returns
    -------
    numpy.ndarray
        (n, d) float32.

    Raises
    ------
    NotCountsError
        The values are not raw counts.
    MethodError
        A cell has no count, or there are fewer than 3 cells or genes, or all cells are alike.

    Notes
    -----
    Dispersions are those of Satija et al. 2015, Nature Biotechnology 33:495. Values below ``mean - 10 sd`` are not cut.
    """
    from corpuscle.counts import Counts, open_counts
    from corpuscle.models._expression import principal_components

    if n_top_genes < 3 or n_comps < 1:
        raise OptionError(f"{n_comps} components of {n_top_genes} genes: ask for 1 or more, of 3 genes or more")
    counts = source if isinstance(source, Counts) else open_counts(source, layer)
    try:
        genes = _variable_genes(counts, n_top_genes)
        logged = [_logged(x_bg[:, genes]) for x_bg in _scaled_blocks(counts)]
    finally:
        if counts is not source:
            counts.close()
    return principal_components(_unit_variance(sp.vstack(logged, format="csr")), n_comps)


def umap_graph(x_nd: Any, n_neighbors: int = N_NEIGHBORS, seed: int = 0) -> sp.csr_matrix:
    """Weights of the neighbour graph that scanpy builds: UMAP's fuzzy union of nearest neighbours.

    Parameters
    ----------
    x_nd
        (n, d) coordinates of the cells; distances are Euclidean.
    n_neighbors
        Neighbours of a cell, the cell itself among them.
    seed
        Of the approximate search, from 8,192 cells on; it repeats exactly with the same number of threads.

    Returns
    -------
    scipy.sparse.csr_matrix
        (n, n) float32, symmetric, zero diagonal, weights in (0, 1].

    Raises
    ------
    OptionError
        There are not more cells than ``n_neighbors``, or it is less than 2.
    SourceError
        A coordinate is NaN or infinite.

    Notes
    -----
    Source: McInnes, Healy and Melville 2018, arXiv 1802.03426. A cell's own memberships sum to log2(n_neighbors), so no
    degree is below it.
    """
    coordinates = x_nd if sp.issparse(x_nd) else np.asarray(x_nd)
    if coordinates.dtype.kind != "f":
        coordinates = coordinates.astype(np.float32)
    n = coordinates.shape[0]
    check_neighbours(n_neighbors, n)
    _check_finite(coordinates)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        weights_nn = (_exact if n < EXACT_CELLS else _approximate)(coordinates, n_neighbors, seed)
    return sp.csr_matrix(weights_nn, dtype=np.float32)


def _exact(x_nd: Any, n_neighbors: int, seed: int) -> Any:
    import scanpy as sc
    from anndata import AnnData

    adata = AnnData(obs={"cell": np.arange(x_nd.shape[0]).astype(str)}, obsm={"x": x_nd})
    sc.pp.neighbors(adata, n_neighbors=n_neighbors, use_rep="x", random_state=seed)
    return adata.obsp["connectivities"]


def _approximate(x_nd: Any, n_neighbors: int, seed: int) -> Any:
    """What scanpy does for many cells, by the same two packages; its own call fails with pynndescent 0.7."""
    from pynndescent import NNDescent
    from umap.umap_ import fuzzy_simplicial_set

    index_nk, distance_nk = NNDescent(x_nd, n_neighbors=n_neighbors, random_state=seed).neighbor_graph
    return fuzzy_simplicial_set(
        x_nd, n_neighbors, np.random.RandomState(seed), "euclidean", knn_indices=index_nk, knn_dists=distance_nk
    )[0]


def check_neighbours(n_neighbors: int, n_cells: int) -> None:
    """Refuse a number of neighbours that makes no graph of so many cells.

    Raises
    ------
    OptionError
        There are not more cells than ``n_neighbors``, or it is less than 2.
    """
    if n_neighbors < 2:
        raise OptionError(f"n_neighbors={n_neighbors}: a cell counts as its own first neighbour; ask for 2 or more")
    if n_neighbors >= n_cells:
        raise OptionError(f"n_neighbors={n_neighbors} for {n_cells:,} cells: ask for fewer neighbours than cells")


def _check_finite(coordinates: Any) -> None:
    if sp.issparse(coordinates):
        bad = np.unique(coordinates.tocoo().row[~np.isfinite(coordinates.tocoo().data)])
    elif coordinates.ndim != 2 or coordinates.shape[1] == 0:
        raise SourceError(f"coordinates of shape {coordinates.shape} are not cells x dimensions")
    else:
        bad = np.flatnonzero(~np.isfinite(coordinates).all(axis=1))
    if bad.size:
        named = ", ".join(str(row) for row in bad[:NAMED]) + (", ..." if bad.size > NAMED else "")
        raise SourceError(
            f"{bad.size:,} of {coordinates.shape[0]:,} cells have a NaN or infinite coordinate (cells {named}); drop them"
        )


def _scaled_blocks(counts: Counts) -> Iterator[sp.csr_matrix]:
    """Counts per 10,000, float32, a block of cells at a time."""
    for block in counts.blocks():
        x_bg = block.x_ng
        depth_b = np.asarray(x_bg.sum(axis=1, dtype=np.float64)).ravel()
        if not depth_b.all():
            first = block.rows.start + int(np.argmin(depth_b > 0))
            raise MethodError(
                f"{counts.name}: cell {counts.obs.index[first]} has no count to scale by; drop empty cells"
            )
        value = x_bg.data * np.repeat(TARGET_SUM / depth_b, np.diff(x_bg.indptr))
        yield sp.csr_matrix((value.astype(np.float32), x_bg.indices, x_bg.indptr), shape=x_bg.shape)


def _logged(x_bg: sp.csr_matrix) -> sp.csr_matrix:
    np.log1p(x_bg.data, out=x_bg.data)
    return x_bg


def _variable_genes(counts: Counts, n_top: int) -> Array:
    """Sorted positions of the genes whose dispersion is highest among genes of like mean."""
    total_g, squares_g = np.zeros(counts.n_vars), np.zeros(counts.n_vars)
    for x_bg in _scaled_blocks(counts):
        value = x_bg.data.astype(np.float64)
        total_g += np.bincount(x_bg.indices, value, counts.n_vars)
        squares_g += np.bincount(x_bg.indices, value * value, counts.n_vars)
    expressed = np.flatnonzero(total_g > 0)
    if expressed.size <= n_top:
        return expressed
    mean_g = total_g / counts.n_obs
    variance_g = np.maximum(squares_g - counts.n_obs * mean_g**2, 0) / max(counts.n_obs - 1, 1)
    standing_g = _standardised_dispersion(mean_g, variance_g)
    # A gene that does not vary comes after all that do, and one that is not expressed after it.
    order = np.lexsort((-np.nan_to_num(standing_g, nan=-np.inf), total_g == 0))
    return np.sort(order[:n_top])


def _standardised_dispersion(mean_g: Array, variance_g: Array) -> Array:
    """Log of variance over mean, centred and scaled within bins of the log mean; NaN for a gene that does not vary."""
    import pandas as pd

    with np.errstate(divide="ignore", invalid="ignore"):
        dispersion_g = np.log(variance_g / mean_g)
    dispersion_g[np.isneginf(dispersion_g)] = np.nan
    per_bin = pd.Series(dispersion_g).groupby(pd.cut(np.log1p(mean_g), MEAN_BINS, labels=False))
    centre_g, scale_g = per_bin.transform("mean"), per_bin.transform("std")
    # A gene alone in its bin has nothing to be compared with, and stands at 1, as in scanpy.
    alone_g = scale_g.isna()
    scale_g[alone_g], centre_g[alone_g] = centre_g[alone_g], 0.0
    return ((dispersion_g - centre_g) / scale_g).to_numpy()


def _unit_variance(x_ng: sp.csr_matrix) -> sp.csr_matrix:
    """Genes over their standard deviation and cut at 10 above the mean, which stays where it is.

    The decomposition subtracts the means, so subtracting them here would only make the matrix dense:
    ``min((x - m) / s, 10)`` is ``min(x / s, 10 + m / s)`` less a constant of the gene.
    """
    n = x_ng.shape[0]
    value = x_ng.data.astype(np.float64)
    mean_g = np.bincount(x_ng.indices, value, x_ng.shape[1]) / n
    variance_g = np.bincount(x_ng.indices, value * value, x_ng.shape[1]) - n * mean_g**2
    sd_g = np.sqrt(np.maximum(variance_g, 0) / max(n - 1, 1))
    sd_g[sd_g == 0] = 1.0
    ceiling_g = LARGEST + mean_g / sd_g
    scaled = np.minimum(value / sd_g[x_ng.indices], ceiling_g[x_ng.indices])
    return sp.csr_matrix((scaled.astype(np.float32), x_ng.indices, x_ng.indptr), shape=x_ng.shape)
