"""Communities of a neighbour graph by igraph's Leiden, with random numbers of their own."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

__all__ = ["igraph_of", "leiden", "partition"]

Array = np.ndarray[Any, Any]


def leiden(weights_nn: sp.csr_matrix, resolution: float, seed: int = 0) -> Array:
    """Cluster of each cell, (n,) int64 from 0; the same labels for the same seed.

    Parameters
    ----------
    weights_nn
        (n, n) symmetric weights.
    resolution
        Of the modularity: the higher, the more clusters.
    seed
        Of the order in which cells are visited. The process-wide random numbers are left alone.

    Notes
    -----
    The partition of ``scanpy.tl.leiden(flavor="igraph", n_iterations=2, directed=False)``, label for label: every
    stored weight is an edge, so each pair of cells has two. Source: Traag et al. 2019, Scientific Reports 9:5233.
    """
    return partition(igraph_of(weights_nn, directed=False), resolution, seed)


def partition(graph: Any, resolution: float, seed: int) -> Array:
    """Partition a graph of :func:`igraph_of` as :func:`leiden` does."""
    import random

    import igraph

    igraph.set_random_number_generator(_Draws(seed))
    try:
        found = graph.community_leiden(
            objective_function="modularity", weights="weight", resolution=resolution, n_iterations=2
        )
    finally:
        igraph.set_random_number_generator(random)
    return np.asarray(found.membership, np.int64)


def igraph_of(weights_nn: sp.csr_matrix, *, directed: bool) -> Any:
    """Every stored weight as an edge: each pair of cells twice, once each way, as scanpy has it."""
    import igraph

    pairs = weights_nn.tocoo()
    kept = pairs.data != 0
    ends = np.column_stack([pairs.row[kept], pairs.col[kept]])
    graph = igraph.Graph(n=weights_nn.shape[0], edges=ends, directed=directed)
    graph.es["weight"] = pairs.data[kept].astype(np.float64).tolist()
    return graph


class _Draws:
    """Random numbers for igraph from a NumPy stream of its own: the one that scanpy draws from."""

    def __init__(self, seed: int) -> None:
        self._state = np.random.RandomState(seed)

    def getrandbits(self, k: int) -> int:
        return int(self._state.tomaxint()) % (1 << k)

    def random(self) -> float:
        return float(self._state.random_sample())

    def randint(self, low: int, high: int) -> int:
        return int(self._state.randint(low, high + 1))

    def gauss(self, mean: float, sd: float) -> float:
        return float(self._state.normal(mean, sd))
