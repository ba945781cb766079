"""Rough clusters, only so that cells pooled together are alike."""

from __future__ import annotations

import random

import numpy as np

from corpuscle.counts import Counts
from corpuscle.normalize._base import Array
from corpuscle.normalize._graph import neighbours
from corpuscle.normalize._pca import per_target, principal_components

__all__ = ["quick_clusters"]


def quick_clusters(
    counts: Counts, *, method: str, min_cells: int = 100, n_pcs: int = 20, k: int = 15, seed: int = 0
) -> Array:
    """Leiden clusters of the neighbour graph of log1p CP10k, (n,) numbers from 0, none below ``min_cells``.

    A cluster that is too small joins the one whose mean is nearest, smallest first.
    """
    if counts.n_obs < 2 * min_cells:
        return np.zeros(counts.n_obs, np.int64)
    log_ng = per_target(counts)
    np.log1p(log_ng.data, out=log_ng.data)
    score_nc = principal_components(log_ng, n_pcs, method=method)
    _, index_nk = neighbours(score_nc, k, method=method)
    return _merge_small(score_nc, _leiden(index_nk, seed), min_cells)


def _leiden(index_nk: Array, seed: int) -> Array:
    import igraph

    n, k = index_nk.shape
    edges = np.column_stack([np.repeat(np.arange(n), k), index_nk.ravel()])
    graph = igraph.Graph(n=n, edges=edges).simplify()
    igraph.set_random_number_generator(random.Random(seed))
    try:
        partition = graph.community_leiden(objective_function="modularity", n_iterations=2)
    finally:
        igraph.set_random_number_generator(random)
    return np.asarray(partition.membership, np.int64)


def _merge_small(score_nc: Array, label_n: Array, min_cells: int) -> Array:
    label_n = label_n.copy()
    while True:
        label, label_n, cells = np.unique(label_n, return_inverse=True, return_counts=True)
        smallest = int(np.argmin(cells))
        if label.size == 1 or cells[smallest] >= min_cells:
            return label_n
        mean_cc = np.stack([score_nc[label_n == i].mean(axis=0) for i in range(label.size)])
        distance = np.linalg.norm(mean_cc - mean_cc[smallest], axis=1)
        distance[smallest] = np.inf
        label_n[label_n == smallest] = int(np.argmin(distance))
