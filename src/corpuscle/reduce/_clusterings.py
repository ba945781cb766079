"""Labels of cells from principal components, for the vote on zeros."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from corpuscle.errors import MethodError, OptionError
from corpuscle.seeds import stream_seed

__all__ = ["cluster_labels", "representation"]

#: Above this many cells k-means sees them in mini-batches.
FULL_CELLS = 20_000
RESTARTS = 10
BATCH = 4096
#: Up to this many genes the components are those of the genes' covariance, which takes one sparse product.
COVARIANCE_GENES = 4000
#: Resolutions tried for Leiden, halving the interval each time.
TRIED = 10
NEIGHBOURS = 15


def representation(x_nd: sparse.csr_matrix, n_comps: int, log: bool) -> npt.NDArray[np.float64]:
    """Scores of the leading principal components, shape (n, k); X stays sparse.

    With ``log``, of log2(1 + value) after each cell was scaled to the median total: without it the clusters of cells of
    which much was lost are clusters of how much.

    Raises
    ------
    MethodError
        All cells are alike.
    """
    from sklearn.decomposition import PCA

    n, d = x_nd.shape
    value_z = x_nd.data.astype(np.float64)
    if log:
        total_n = np.asarray(x_nd.sum(axis=1, dtype=np.float64)).ravel()
        some = total_n > 0
        scale_n = np.divide(np.median(total_n[some]) if some.any() else 1.0, total_n, out=np.ones(n), where=some)
        value_z = np.log2(1 + value_z * np.repeat(scale_n, np.diff(x_nd.indptr)))
    x_nd = sparse.csr_matrix((value_z, x_nd.indices, x_nd.indptr), shape=(n, d))
    k = min(n_comps, n - 1, d - 1)
    total = float(x_nd.power(2).sum())
    mean_d = np.asarray(x_nd.mean(axis=0)).ravel()
    if total - n * float(mean_d @ mean_d) <= 1e-12 * total:
        raise MethodError(f"all {n:,} cells are alike, so there is nothing to cluster; zeros cannot be judged")
    solver = "covariance_eigh" if d <= COVARIANCE_GENES else "arpack"
    return np.asarray(PCA(n_components=k, svd_solver=solver, random_state=0).fit_transform(x_nd), np.float64)


def cluster_labels(coordinates_nk: npt.NDArray[np.float64], c: int, method: str, seed: int) -> npt.NDArray[np.int64]:
    """Labels 0, 1, ... of about ``c`` clusters, none empty.

    Raises
    ------
    OptionError
        The method is not one of kmeans and leiden.
    MethodError
        Leiden's packages are not there.
    """
    if method not in ("kmeans", "leiden"):
        raise OptionError(f"method={method!r}: kmeans or leiden")
    seed = stream_seed(seed, "dropout", method, str(c))
    found_n = _kmeans(coordinates_nk, c, seed) if method == "kmeans" else _leiden(coordinates_nk, c, seed)
    return np.asarray(np.unique(found_n, return_inverse=True)[1], dtype=np.int64)


def _kmeans(coordinates_nk: npt.NDArray[np.float64], c: int, seed: int) -> Any:
    from sklearn.cluster import KMeans, MiniBatchKMeans

    if len(coordinates_nk) <= FULL_CELLS:
        model = KMeans(c, n_init=RESTARTS, random_state=seed)
    else:
        model = MiniBatchKMeans(c, n_init=RESTARTS, batch_size=BATCH, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fewer distinct cells than clusters: some stay empty, and are dropped
        return model.fit_predict(coordinates_nk)


def _leiden(coordinates_nk: npt.NDArray[np.float64], c: int, seed: int) -> Any:
    """The clustering whose number comes closest to ``c`` while the interval of resolutions is halved."""
    try:
        import igraph
    except ModuleNotFoundError:
        raise MethodError("method='leiden' needs igraph; run: pip install igraph, or take kmeans") from None
    import random

    from sklearn.neighbors import kneighbors_graph

    near_nn = kneighbors_graph(coordinates_nk, min(NEIGHBOURS, len(coordinates_nk) - 1))
    upper = sparse.triu(near_nn.maximum(near_nn.T), k=1).tocoo()
    graph = igraph.Graph(len(coordinates_nk), np.column_stack([upper.row, upper.col]))
    state = random.getstate()
    best: Any = None
    low, high = 0.0, 8.0
    try:
        for _ in range(TRIED):
            resolution = (low + high) / 2
            random.seed(seed)  # igraph draws from Python's own generator
            found = graph.community_leiden("modularity", resolution=resolution, n_iterations=5)
            if best is None or abs(len(found) - c) < abs(len(best) - c):
                best = found
            if len(found) == c:
                break
            low, high = (resolution, high) if len(found) < c else (low, resolution)
    finally:
        random.setstate(state)
    return np.asarray(best.membership)
