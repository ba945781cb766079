"""Which cells are alike, as one list for each cell, from which training draws."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp

from corpuscle.errors import MethodError, OptionError
from corpuscle.models._mutual import bridges, components, neighbour_lists, undirected

__all__ = ["EXACT_CELLS", "NeighbourLists", "mutual_neighbours"]

Array = np.ndarray[Any, Any]

#: Up to so many cells all pairs are compared. On one core that takes 2 s for 20,000 cells in 50 dimensions, less than
#: the approximate search needs to be compiled, and it misses none where the search misses a tenth.
EXACT_CELLS = 20_000
#: Memory for distances between cells compared at a time, in MiB.
WORKING_MIB = 128


@dataclass(frozen=True)
class NeighbourLists:
    """Neighbours of every cell.

    Attributes
    ----------
    index_nk
        (n, k) int32 positions: the cell itself, then its neighbours, nearest first, -1 where there are no more.
    n_components
        Connected components of the graph, counted before a spanning tree joined them.
    include_self
        Whether a cell may be drawn as its own neighbour even when it has another.
    """

    index_nk: Array
    n_components: int
    include_self: bool

    def __len__(self) -> int:
        return self.index_nk.shape[0]

    @cached_property
    def size_n(self) -> Array:
        """(n,) length of each list, the cell itself included."""
        return (self.index_nk >= 0).sum(axis=1)

    def draw(self, rows: Array, rng: np.random.Generator) -> Array:
        """Draw one neighbour of each of ``rows``, (b,) int64, all in its list alike; itself only if it must or may."""
        size = self.size_n[rows]
        first = np.zeros_like(size) if self.include_self else np.minimum(1, size - 1)
        return self.index_nk[rows, rng.integers(first, size)].astype(np.int64)

    def among(self, kept_n: Array) -> NeighbourLists:
        """Keep only cells where (n,) ``kept_n`` is true in the lists, and the cell itself in its own."""
        stays_nk = (self.index_nk >= 0) & kept_n[self.index_nk]
        stays_nk[:, 0] = True
        order_nk = np.argsort(~stays_nk, axis=1, kind="stable")
        moved_nk = np.take_along_axis(np.where(stays_nk, self.index_nk, -1), order_nk, axis=1)
        return replace(self, index_nk=moved_nk.astype(np.int32))


def mutual_neighbours(
    x: Array | sp.csr_matrix,
    k: int,
    seed: int,
    kind: Literal["mutual", "knn"] = "mutual",
    *,
    include_self: bool = False,
) -> NeighbourLists:
    """Find the neighbours of every cell by Euclidean distance.

    ``"knn"`` lists the k nearest. ``"mutual"`` keeps a pair where each is in the other's list, and joins the components
    that this leaves by the minimum spanning tree of the graph of nearest neighbours, so that a cell has no neighbour
    only if that graph has none to offer. A list is cut to its k nearest.

    Parameters
    ----------
    x
        (n, p) coordinates of the cells, dense or sparse.
    k
        Length of a list, the cell itself included; fewer if there are fewer cells.
    seed
        Of the approximate search, which is used for more than :data:`EXACT_CELLS` cells.
    kind
        ``"mutual"`` or ``"knn"``.
    include_self
        Whether a cell may be drawn as its own neighbour even when it has another.

    Raises
    ------
    OptionError
        ``k`` is less than 2, or there is no such kind.
    MethodError
        No cells, or a coordinate is NaN or infinite.

    Notes
    -----
    Sources: McInnes et al. 2018, arXiv 1802.03426 (neighbours as an approximate search finds them); Dalmia and Sia 2021,
    arXiv 2108.05525 (mutual neighbours joined by a spanning tree).
    """
    if kind not in ("mutual", "knn"):
        raise OptionError(f"no neighbours are called {kind!r}; there are: mutual, knn")
    if k < 2:
        raise OptionError(f"a list of {k} neighbours has no other cell in it; ask for 2 or more")
    n = x.shape[0]
    _check_coordinates(x)
    distance_nk, index_nk = _nearest_others(x, min(k, n) - 1, seed)
    edges = undirected(distance_nk, index_nk)
    if kind == "knn":
        lists = np.full((n, k), -1, np.int32)
        lists[:, 0] = np.arange(n)
        lists[:, 1 : 1 + index_nk.shape[1]] = index_nk
        return NeighbourLists(lists, components(edges, n)[0], include_self)
    count, component_n = components(edges[edges.mutual_e], n)
    kept_e = edges.mutual_e.copy()
    kept_e[bridges(edges, component_n)] = True
    return NeighbourLists(neighbour_lists(edges[kept_e], n, k), count, include_self)


def _check_coordinates(x: Any) -> None:
    if x.shape[0] == 0:
        raise MethodError("there is no cell to find neighbours of")
    finite = np.isfinite(x.data) if sp.issparse(x) else np.isfinite(x).all(axis=1)
    if not finite.all():
        first = int(np.argmin(finite))
        cell = int(np.searchsorted(x.indptr, first, side="right")) - 1 if sp.issparse(x) else first
        raise MethodError(f"a coordinate of cell {cell:,} is NaN or infinite, so it has no distance to others; drop it")


def _nearest_others(x: Array | sp.csr_matrix, k: int, seed: int) -> tuple[Array, Array]:
    """Distances and positions, (n, k) each, of the nearest other cells, nearest first; -1 where none was found."""
    n = x.shape[0]
    if k == 0:
        return np.empty((n, 0)), np.empty((n, 0), np.int64)
    if n > EXACT_CELLS:
        return _searched(x, k, seed)
    import sklearn
    from sklearn.neighbors import NearestNeighbors

    with sklearn.config_context(working_memory=WORKING_MIB):
        # Asked without cells, it leaves out the cell itself, also where other cells are identical to it.
        distance_nk, index_nk = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(x).kneighbors()
    return distance_nk, index_nk


def _searched(x: Array | sp.csr_matrix, k: int, seed: int) -> tuple[Array, Array]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of lists that it could not fill; those are padded
        from pynndescent import NNDescent

        # One thread: what it finds depends on their number.
        found = NNDescent(x, n_neighbors=k + 1, random_state=seed, n_jobs=1).neighbor_graph
    index_nk, distance_nk = found[0].astype(np.int64), found[1].astype(np.float64)
    itself = index_nk == np.arange(x.shape[0])[:, None]
    # Among many identical cells it may have lost the cell itself; then its farthest is one too many.
    itself[~itself.any(axis=1), -1] = True
    distance_nk[itself | (index_nk < 0)] = np.inf
    index_nk[itself] = -1
    order_nk = np.argsort(distance_nk, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(distance_nk, order_nk, axis=1), np.take_along_axis(index_nk, order_nk, axis=1)
