"""Simple second views of cells: principal components of another normalisation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import scipy.sparse as sp

from corpuscle.counts import Counts, open_counts
from corpuscle.errors import MethodError, OptionError
from corpuscle.models._expression import highly_variable, log_normalise
from corpuscle.normalize import ColumnNormalizer, Normalizer, normalizer, strip
from corpuscle.normalize._base import nonzero_depth
from corpuscle.seeds import stream_seed

__all__ = ["add_view"]

Array = np.ndarray[Any, Any]
BLOCK_CELLS = 512
#: Below this share of the total, the variance along a component is rounding noise.
NOISE = 1e-10


def add_view(
    adata: Any,
    method: str = "pearson_analytic",
    key: str | None = None,
    *,
    layer: str | None = None,
    n_pcs: int = 50,
    n_top_genes: int | None = 2000,
    normalize_rows: bool = True,
    seed: int = 0,
    **params: Any,
) -> str:
    """Write a second view of the cells, made of the same counts in another way, to ``obsm``.

    Such a view carries no knowledge from outside the data: it can only show a model what another normalisation
    makes of the same counts. It serves where no embedding by a foundation model is at hand, and as the control
    that tells what such an embedding adds.

    Parameters
    ----------
    adata
        Cells x genes with raw counts.
    method
        Any name of :func:`corpuscle.normalize.normalizer_names`.
    key
        Where to write in ``obsm``; by default ``X_view_<method>``.
    layer
        Layer of the counts; None is ``X``.
    n_pcs
        Principal components; fewer where the cells do not have so many.
    n_top_genes
        Highly variable genes used; None is every gene that some cell expresses.
    normalize_rows
        Scale every cell's components to length 1, as embeddings of foundation models have it.
    seed
        For normalisations that draw at random; the components themselves are exact.
    **params
        Of the normalisation.

    Returns
    -------
    str
        The key: pass it as ``foundation_key``. ``uns["views"][key]`` says how the view was made.

    Raises
    ------
    NotCountsError, MethodError
        The matrix is not raw counts, a cell is empty, or the cells are too few or all alike.
    OptionError
        No such method or parameter, or ``n_pcs`` is below 1.

    Examples
    --------
    >>> key = add_view(adata)  # doctest: +SKIP
    >>> SCE2TM.setup_anndata(adata, foundation_key=key)  # doctest: +SKIP
    """
    if n_pcs < 1 or (n_top_genes is not None and n_top_genes < 2):
        raise OptionError(f"n_pcs={n_pcs} must be 1 or more, and n_top_genes={n_top_genes} 2 or more")
    made = _seeded(normalizer(method, **params), seed)
    key = f"X_view_{method}" if key is None else key
    with open_counts(adata, layer) as counts:
        bare = strip(counts)
        if min(bare.n_obs, bare.n_vars) < 3:
            raise MethodError(
                f"{counts.name}: a view needs 3 cells and genes or more, not {bare.n_obs} x {bare.n_vars}"
            )
        nonzero_depth(bare)  # names the empty cell
        gene_k = highly_variable(log_normalise(bare.to_csr(), 1e4), n_top_genes)
        made.fit(bare)
        view_np = _components(made, bare, gene_k, n_pcs)
    if normalize_rows:
        length_n = np.linalg.norm(view_np, axis=1, keepdims=True)
        view_np = np.divide(view_np, length_n, out=np.zeros_like(view_np), where=length_n > 0)
    adata.obsm[key] = view_np.astype(np.float32)
    adata.uns.setdefault("views", {})[key] = {
        "method": method,
        "params": {name: str(value) for name, value in made.get_params().items()},
        "layer": "" if layer is None else layer,
        "n_pcs": int(view_np.shape[1]),
        "n_genes": int(gene_k.size),
        "normalize_rows": normalize_rows,
        "seed": seed,
    }
    return key


def _seeded(method: Normalizer, seed: int) -> Normalizer:
    for name in ("seed", "random_state"):
        if name in method.get_params():
            return method.set_params(**{name: stream_seed(seed, "view")})
    return method


def _components(method: Normalizer, counts: Counts, gene_k: Array, n_pcs: int) -> Array:
    """(n, p) float64 scores: exact, of the genes' covariance, summed over blocks so that no dense matrix is held."""
    blocks = _reader(method, counts, gene_k)
    shift_k = next(blocks())[1].mean(axis=0)
    sum_k, product_kk = np.zeros(gene_k.size), np.zeros((gene_k.size, gene_k.size))
    for _, x_bk in blocks():
        x_bk -= shift_k
        sum_k += x_bk.sum(axis=0)
        product_kk += x_bk.T @ x_bk
    mean_k = sum_k / counts.n_obs
    covariance_kk = product_kk / counts.n_obs - np.outer(mean_k, mean_k)
    loadings_kp = _leading(covariance_kk, min(n_pcs, counts.n_obs - 1, gene_k.size), product_kk, counts.name)
    view_np = np.empty((counts.n_obs, loadings_kp.shape[1]))
    for rows, x_bk in blocks():
        view_np[rows] = (x_bk - shift_k - mean_k) @ loadings_kp
    return view_np


def _leading(covariance_kk: Array, p: int, product_kk: Array, name: str) -> Array:
    """Eigenvectors of the largest eigenvalues, each with its largest entry positive so that the sign repeats."""
    from scipy.linalg import eigh

    total = float(np.trace(covariance_kk))
    if not total > NOISE * max(float(np.trace(product_kk)), np.finfo(float).tiny):
        raise MethodError(f"{name}: all cells have the same profile, so there is no view of how they differ")
    g = len(covariance_kk)
    value_p, vector_kp = eigh(covariance_kk, subset_by_index=(g - p, g - 1))
    vector_kp = vector_kp[:, ::-1][:, value_p[::-1] > NOISE * total]
    largest = np.abs(vector_kp).argmax(axis=0)
    return np.asarray(vector_kp * np.sign(vector_kp[largest, np.arange(vector_kp.shape[1])]))


def _reader(method: Normalizer, counts: Counts, gene_k: Array) -> Callable[[], Iterator[tuple[slice, Array]]]:
    """What yields (cells, their dense float64 values of some genes), a few cells at a time, as often as it is called."""
    if isinstance(method, ColumnNormalizer):

        def stream() -> Iterator[tuple[slice, Array]]:
            for block in counts.blocks(BLOCK_CELLS):
                yield block.rows, _dense(method.transform_rows(counts, block.x_ng, block.rows)[:, gene_k])

        return stream
    values_nk = method.transform(counts, gene_k)  # these methods hold the whole matrix by their nature
    values_nk = values_nk.tocsr() if sp.issparse(values_nk) else values_nk

    def slices() -> Iterator[tuple[slice, Array]]:
        for start in range(0, counts.n_obs, BLOCK_CELLS):
            rows = slice(start, min(start + BLOCK_CELLS, counts.n_obs))
            yield rows, _dense(values_nk[rows])

    return slices


def _dense(values_bk: Any) -> Array:
    dense_bk = values_bk.toarray() if sp.issparse(values_bk) else values_bk
    return np.array(dense_bk, np.float64)
