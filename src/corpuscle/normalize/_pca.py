"""Exact, repeatable principal components and singular vectors of a sparse matrix of values."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from corpuscle.counts import Counts
from corpuscle.errors import MethodError
from corpuscle.normalize._base import Array, nonzero_depth

__all__ = ["per_target", "principal_components", "top_singular"]

#: Up to this many cells the n x n products are cheaper than Lanczos' iterations, and as exact for what is used here.
GRAM_CELLS = 2500
GRAM_GENES = 2048
#: Below this share of the sum of squares, the variance between cells is rounding noise.
CONSTANT = 1e-12


def per_target(counts: Counts, target: float = 1e4) -> sp.csr_matrix:
    """Scale each cell to ``target`` counts: one float64 CSR matrix (12 bytes a non-zero): n_obs x n_vars."""
    depth_n = nonzero_depth(counts)
    x_ng = counts.to_csr()
    scale_n = target / depth_n
    data = x_ng.data * np.repeat(scale_n, np.diff(x_ng.indptr))
    return sp.csr_matrix((data, x_ng.indices, x_ng.indptr), shape=x_ng.shape)


def principal_components(x_ng: sp.csr_matrix, n_components: int, *, method: str) -> Array:
    """Scores of the first principal components, n_obs x min(n_components, n_obs - 1, n_vars - 1).

    The columns are centred without making the matrix dense, and the decomposition is exact (of the cells' inner
    products, or Lanczos' for many cells): a randomised one leaves the last components, which are close to noise,
    depending on its seed.

    Raises
    ------
    MethodError
        Fewer than 3 cells or genes, or all cells are alike.
    """
    from sklearn.decomposition import PCA

    n, g = x_ng.shape
    if min(n, g) < 3:
        raise MethodError(f"{method}: principal components need 3 cells and 3 genes or more, not {n:,} x {g:,}")
    squares = float(x_ng.data @ x_ng.data)
    mean_g = np.asarray(x_ng.mean(axis=0)).ravel()
    if squares - n * float(mean_g @ mean_g) <= CONSTANT * squares:
        raise MethodError(f"{method}: all {n:,} cells have the same profile, so no cell is nearer than another")
    k = min(n_components, n - 1, g - 1)
    if n <= GRAM_CELLS:
        gram_nn = _inner_products(x_ng)
        gram_nn -= gram_nn.mean(axis=0)
        gram_nn -= gram_nn.mean(axis=1)[:, None]
        left_nk, value_k = _top_eigen(gram_nn, k)
        return left_nk * value_k
    pca = PCA(n_components=k, svd_solver="arpack", random_state=0)
    return np.asarray(pca.fit_transform(x_ng), np.float64)


def top_singular(x_ng: sp.csr_matrix, k: int) -> tuple[Array, Array, Array]:
    """Largest ``k`` singular triplets, not centred: (n, k) left, (k,) values in falling order, (k, g) right."""
    if x_ng.shape[0] <= GRAM_CELLS:
        left_nk, value_k = _top_eigen(_inner_products(x_ng), k)
        return left_nk, value_k, (x_ng.T @ left_nk / np.where(value_k > 0, value_k, 1.0)).T
    from scipy.sparse.linalg import svds

    start: np.ndarray[Any, Any] = np.random.default_rng(0).standard_normal(min(x_ng.shape))
    left_nk, value_k, right_kg = svds(x_ng, k=k, solver="arpack", v0=start)
    order = np.argsort(-value_k)
    return left_nk[:, order], value_k[order], right_kg[order]


def _inner_products(x_ng: sp.csr_matrix) -> Array:
    """(n, n) inner products of the cells, from some genes at a time made dense."""
    x_ng = x_ng[:, np.flatnonzero(np.bincount(x_ng.indices, minlength=x_ng.shape[1]))].tocsc()
    gram_nn = np.zeros((x_ng.shape[0], x_ng.shape[0]))
    for start in range(0, x_ng.shape[1], GRAM_GENES):
        dense_nc = x_ng[:, start : start + GRAM_GENES].toarray()
        gram_nn += dense_nc @ dense_nc.T
    return gram_nn


def _top_eigen(gram_nn: Array, k: int) -> tuple[Array, Array]:
    """Left singular vectors (n, k) and singular values (k,) in falling order of the matrix behind inner products."""
    from scipy.linalg import eigh

    n = gram_nn.shape[0]
    value_k, left_nk = eigh(gram_nn, subset_by_index=(n - k, n - 1))
    return left_nk[:, ::-1], np.sqrt(np.maximum(value_k[::-1], 0.0))
