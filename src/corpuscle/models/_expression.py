"""From raw counts to what a network sees: logged, and restricted to the genes that vary."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import scipy.sparse as sp

from corpuscle.errors import MethodError
from corpuscle.normalize import _pca

__all__ = ["highly_variable", "log_normalise", "principal_components"]

Array = np.ndarray[Any, Any]

#: A batch of fewer cells has no dispersions to speak of and no say in which genes vary.
LEAST_BATCH = 3


def log_normalise(x_ng: sp.csr_matrix, target_sum: float | None) -> sp.csr_matrix:
    """Log expression, ``log(1 + c)``, of counts or of counts scaled to the same sum in every cell.

    Parameters
    ----------
    x_ng
        Counts, cells x genes, of all the genes that a cell's sum is to be taken over.
    target_sum
        Sum of a cell after scaling; None takes the counts as they are.

    Returns
    -------
    scipy.sparse.csr_matrix
        (n, g) float32 with the same entries stored.

    Raises
    ------
    MethodError
        A cell to scale has no count.
    """
    value = x_ng.data.astype(np.float32)
    if target_sum is not None:
        depth_n = np.asarray(x_ng.sum(axis=1, dtype=np.float64)).ravel()
        if not depth_n.all():
            empty = np.flatnonzero(depth_n == 0)
            raise MethodError(
                f"{empty.size:,} of {depth_n.size:,} cells have no count to scale by, first cell {empty[0]:,}; drop them"
            )
        value *= np.repeat((target_sum / depth_n).astype(np.float32), np.diff(x_ng.indptr))
    return sp.csr_matrix((np.log1p(value, out=value), x_ng.indices, x_ng.indptr), shape=x_ng.shape)


def highly_variable(x_ng: sp.csr_matrix, n_top: int | None, batch_n: Array | None = None) -> Array:
    """Genes whose dispersion is highest among genes of like mean, as sorted int64 positions.

    Parameters
    ----------
    x_ng
        Log expression, cells x genes.
    n_top
        Genes to choose, fewer if fewer are expressed; None takes every gene that some cell expresses.
    batch_n
        (n,) batches: genes are chosen in each, and those chosen in most batches win, by mean dispersion where equal.
        Batches of fewer than 3 cells have no say.

    Notes
    -----
    The ``"seurat"`` flavour of scanpy (Satija et al. 2015, Nature Biotechnology 33:495): log of variance over mean,
    standardised within 20 bins of the mean. A gene that no cell expresses is never chosen.
    """
    expressed_g = np.bincount(x_ng.indices[x_ng.data > 0], minlength=x_ng.shape[1]) > 0
    if n_top is None or n_top >= expressed_g.sum():
        return np.flatnonzero(expressed_g)
    times_g, dispersion_g = _dispersions(x_ng, n_top, batch_n)
    # A gene with the same value in every cell has no dispersion; one that is not expressed comes after it.
    order = np.lexsort((-np.nan_to_num(dispersion_g, nan=-np.inf), -times_g, ~expressed_g))
    return np.sort(order[:n_top])


def _dispersions(x_ng: sp.csr_matrix, n_top: int, batch_n: Array | None) -> tuple[Array, Array]:
    """(g,) in how many batches a gene is chosen, and (g,) its standardised dispersion."""
    import anndata as ad
    import pandas as pd
    import scanpy as sc

    options: dict[str, Any] = {}
    obs = pd.DataFrame(index=np.arange(x_ng.shape[0]).astype(str))
    if batch_n is not None:
        _, code_n, size_b = np.unique(batch_n, return_inverse=True, return_counts=True)
        large_n = size_b[code_n] >= LEAST_BATCH
        if np.unique(code_n[large_n]).size > 1:
            x_ng, obs = x_ng[large_n], obs[large_n]
            obs["batch"] = pd.Categorical(code_n[large_n].astype(str))
            options = {"batch_key": "batch", "n_top_genes": n_top}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of batches with fewer dispersions than genes asked for
        table = sc.pp.highly_variable_genes(ad.AnnData(x_ng, obs=obs), flavor="seurat", inplace=False, **options)
    times_g = table["highly_variable_nbatches"] if options else np.zeros(x_ng.shape[1])
    return np.asarray(times_g, np.float64), table["dispersions_norm"].to_numpy(np.float64)


def principal_components(x_ng: sp.csr_matrix, n_pcs: int) -> Array:
    """Scores of the cells on their first principal components, (n, at most ``n_pcs``) float32.

    The matrix is centred without being made dense, and the decomposition is exact, so it takes no seed.

    Raises
    ------
    MethodError
        Fewer than 3 cells or genes, or all cells are alike.
    """
    return _pca.principal_components(x_ng, n_pcs, method="neighbours of cells").astype(np.float32)
