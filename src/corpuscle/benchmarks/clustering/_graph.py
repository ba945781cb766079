"""Clusters of an embedding: communities of its neighbour graph, built once and asked often, and k-means."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
import scipy.sparse as sp

from corpuscle.annotate._leiden import igraph_of, partition
from corpuscle.annotate.neighbours import umap_graph
from corpuscle.errors import MethodError, OptionError

__all__ = ["Algorithm", "NeighbourGraph", "kmeans", "matched_resolution", "require_louvain"]

Array = np.ndarray[Any, Any]
Algorithm = Literal["leiden", "louvain"]

N_NEIGHBORS = 15
KMEANS_STARTS = 10
#: Where the search for a number of clusters begins, how far it may go, and the width at which it gives up.
FIRST_CEILING = 2.0
LAST_CEILING = 128.0
NARROWEST = 2.0**-8


class NeighbourGraph:
    """Nearest neighbours of cells and the communities among them, as scanpy finds them.

    Parameters
    ----------
    embedding_nd
        (n, d) float32, finite; distances are Euclidean on it as it is.
    algorithm
        ``"leiden"`` (igraph's, two iterations, weighted, undirected) or ``"louvain"`` (the package of that name,
        directed and without weights, as scanpy calls it).
    random_state
        Seed of the approximate neighbour search (used by scanpy for many cells) and of every partition.

    Notes
    -----
    The graph is ``scanpy.pp.neighbors(n_neighbors=15)``: UMAP's weights on 15 neighbours, the cell among them. The
    partitions are those of ``scanpy.tl.leiden(flavor="igraph", n_iterations=2)`` and of
    ``scanpy.tl.louvain(flavor="vtraag")``, label for label.
    """

    def __init__(self, embedding_nd: Array, *, algorithm: str = "leiden", random_state: int = 0) -> None:
        if algorithm not in get_args(Algorithm):
            raise OptionError(f"algorithm {algorithm!r} must be one of: {', '.join(get_args(Algorithm))}")
        self._partition: Callable[[float], Array] = self._leiden if algorithm == "leiden" else self._louvain
        if algorithm == "louvain":
            self._louvain_package = require_louvain()
        self.random_state = random_state
        self._weights_nn = _connectivities(embedding_nd, random_state)
        self._clusters: dict[float, Array] = {}

    def clusters(self, resolution: float) -> Array:
        """Cluster of each cell, (n,) int64 from 0; the same array every time."""
        if resolution not in self._clusters:
            self._clusters[resolution] = self._partition(resolution)
        return self._clusters[resolution]

    def n_clusters(self, resolution: float) -> int:
        """Number of clusters at a resolution."""
        return int(self.clusters(resolution).max()) + 1

    @cached_property
    def _undirected(self) -> Any:
        return igraph_of(self._weights_nn, directed=False)

    @cached_property
    def _directed(self) -> Any:
        return igraph_of(self._weights_nn, directed=True)

    def _leiden(self, resolution: float) -> Array:
        return partition(self._undirected, resolution, self.random_state)

    def _louvain(self, resolution: float) -> Array:
        package = self._louvain_package
        found = package.find_partition(
            self._directed,
            package.RBConfigurationVertexPartition,
            resolution_parameter=resolution,
            seed=self.random_state,
        )
        return np.asarray(found.membership, np.int64)


def matched_resolution(graph: NeighbourGraph, n_types: int) -> float:
    """Resolution at which the number of clusters equals ``n_types``, or comes nearest to it.

    Bisection: the number of clusters rises with the resolution, nearly always. Of resolutions equally near, the
    smallest that was tried. Labels are not looked at, only their number.
    """
    tried: dict[float, int] = {}

    def count(resolution: float) -> int:
        return tried.setdefault(resolution, graph.n_clusters(resolution))

    low, high = 0.0, FIRST_CEILING
    if count(low) < n_types:
        while count(high) < n_types and high < LAST_CEILING:
            low, high = high, 2 * high
        while n_types not in tried.values() and high - low > NARROWEST:
            middle = (low + high) / 2
            low, high = (middle, high) if count(middle) < n_types else (low, middle)
    return min(tried, key=lambda resolution: (abs(tried[resolution] - n_types), resolution))


def kmeans(embedding_nd: Array, k: int, random_state: int) -> Array:
    """k-means clusters of the cells, (n,), the best of 10 starts.

    Raises
    ------
    MethodError
        More clusters than cells.
    """
    from sklearn.cluster import KMeans

    if k > len(embedding_nd):
        raise MethodError(f"k-means cannot make {k} clusters of {len(embedding_nd)} cells")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fewer distinct cells than clusters: the number found is in the table
        return KMeans(n_clusters=k, n_init=KMEANS_STARTS, random_state=random_state).fit_predict(embedding_nd)


def _connectivities(embedding_nd: Array, random_state: int) -> sp.csr_matrix:
    """Weights of the neighbour graph, (n, n), symmetric."""
    if len(embedding_nd) < 3:
        raise MethodError(f"{len(embedding_nd)} cells have no neighbour graph; it takes 3 or more")
    return umap_graph(embedding_nd, min(N_NEIGHBORS, len(embedding_nd) - 1), random_state)


def require_louvain() -> Any:
    """Import the louvain package, without the warning it starts with.

    Raises
    ------
    MethodError
        It is not installed, or lacks what it needs itself.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import louvain
    except ImportError:
        raise MethodError(
            "algorithm 'louvain': needs an extra; run: pip install 'corpuscle[louvain]', or use leiden"
        ) from None
    return louvain
