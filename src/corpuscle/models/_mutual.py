"""Mutual nearest neighbours, and the few edges of the spanning tree that join what falls apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree

__all__ = ["Edges", "bridges", "components", "neighbour_lists", "undirected"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Edges:
    """Undirected edges between cells, shortest first.

    Attributes
    ----------
    low_e, high_e
        The two cells of each edge, the smaller number in ``low_e``.
    length_e
        Distance between them.
    mutual_e
        Whether each is in the other's list.
    """

    low_e: Array
    high_e: Array
    length_e: Array
    mutual_e: Array

    def __getitem__(self, chosen: Array) -> Edges:
        return Edges(self.low_e[chosen], self.high_e[chosen], self.length_e[chosen], self.mutual_e[chosen])


def undirected(distance_nk: Array, index_nk: Array) -> Edges:
    """Edges of lists of nearest *other* cells, (n, k) each, -1 where there is no cell."""
    n, k = index_nk.shape
    one = np.repeat(np.arange(n), k)
    other, length = index_nk.ravel().astype(np.int64), distance_nk.ravel()
    one, other, length = (part[other >= 0] for part in (one, other, length))
    # Shortest first, so that of the two directions of an edge the first found has its length.
    order = np.lexsort((np.maximum(one, other), np.minimum(one, other), length))
    pair = (np.minimum(one, other) * n + np.maximum(one, other))[order]
    pair_e, first_e, times_e = np.unique(pair, return_index=True, return_counts=True)
    shortest = np.argsort(first_e)
    pair_e, first_e, times_e = pair_e[shortest], first_e[shortest], times_e[shortest]
    return Edges(pair_e // n, pair_e % n, length[order][first_e], times_e == 2)


def components(edges: Edges, n: int) -> tuple[int, Array]:
    """Number of connected components and (n,) the component of each cell."""
    graph = sp.coo_matrix((np.ones(edges.low_e.size), (edges.low_e, edges.high_e)), shape=(n, n))
    count, component_n = connected_components(graph, directed=False)
    return int(count), component_n


def bridges(edges: Edges, component_n: Array) -> Array:
    """Positions of the edges that join components, as a walk along the minimum spanning tree would choose them.

    The walk takes the edges of the tree of all cells by increasing length, and keeps one where it joins two components
    that are still apart. It ends with the minimum spanning tree between components, which is found here at once: an
    edge is left out of either tree just when it is the longest of a cycle, and joining cells into components makes no
    cycle longer. Edges are compared by their place in the order of lengths, not by length: it breaks ties the same way
    everywhere, and a sparse matrix would take the zero distance of two identical cells for no edge at all.
    """
    one, other = component_n[edges.low_e].astype(np.int64), component_n[edges.high_e].astype(np.int64)
    apart = np.flatnonzero(one != other)
    if not apart.size:
        return apart
    count = int(component_n.max()) + 1
    pair = np.minimum(one, other)[apart] * count + np.maximum(one, other)[apart]
    pair_p, shortest_p = np.unique(pair, return_index=True)
    weights = sp.csr_matrix((apart[shortest_p] + 1.0, (pair_p // count, pair_p % count)), shape=(count, count))
    return np.sort(minimum_spanning_tree(weights).data.astype(np.int64) - 1)


def neighbour_lists(edges: Edges, n: int, k: int) -> Array:
    """(n, k) int32: the cell itself, then the cells it has an edge with, nearest first, -1 where there are no more."""
    itself = np.arange(n)
    row = np.concatenate([itself, edges.low_e, edges.high_e])
    column = np.concatenate([itself, edges.high_e, edges.low_e])
    # An identical cell has distance 0 too; the cell itself comes before it.
    length = np.concatenate([np.full(n, -1.0), edges.length_e, edges.length_e])
    order = np.lexsort((column, length, row))
    row, column = row[order], column[order]
    start_n = np.searchsorted(row, itself)
    place = np.arange(row.size) - start_n[row]
    index_nk = np.full((n, k), -1, np.int32)
    fits = place < k
    index_nk[row[fits], place[fits]] = column[fits]
    return index_nk
