"""Which cells are alike, as one checked symmetric matrix of weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from corpuscle.errors import OptionError, SourceError

__all__ = ["Graph", "as_graph"]

Array = np.ndarray[Any, Any]
#: Largest difference of the two weights of an edge, over the largest weight, that rounding explains.
ASYMMETRY = 1e-6


@dataclass(frozen=True)
class Graph:
    """Undirected neighbour graph of n cells.

    Attributes
    ----------
    weights_nn
        (n, n) float32 CSR: symmetric, positive where stored, no diagonal, sorted int32 indices.
    degree_n
        (n,) float64 sum of each row.
    component_n
        (n,) int32 connected component of each cell, numbered from 0.
    notes
        What was mended in the matrix that was given, a line each.
    """

    weights_nn: sp.csr_matrix
    degree_n: Array
    component_n: Array
    notes: tuple[str, ...] = ()

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return int(self.weights_nn.shape[0])

    @property
    def n_components(self) -> int:
        """Number of connected components; an isolated cell is one."""
        return int(self.component_n.max()) + 1

    @property
    def isolated_n(self) -> Array:
        """(n,) whether a cell has no neighbour."""
        alone: Array = self.degree_n == 0
        return alone

    @property
    def median_degree(self) -> float:
        """Median of the degrees, isolated cells included; ``lam`` times it says how strong smoothing is."""
        return float(np.median(self.degree_n))


def as_graph(graph: Any, n_cells: int | None = None) -> Graph:
    """Check a matrix of edge weights and bring it into the one form that the solvers read.

    The diagonal is dropped. Where the two weights of an edge differ by more than 1e-6 of the largest weight, both
    become their mean, and ``notes`` says so. The matrix that was given is not changed.

    Parameters
    ----------
    graph
        (n, n) SciPy sparse matrix of weights >= 0, such as scanpy's ``obsp["connectivities"]``, or a
        :class:`Graph`, which is returned as it is.
    n_cells
        Number of cells it has to be of.

    Raises
    ------
    OptionError
        It is no matrix of numbers.
    SourceError
        It is not square or of other cells, or a weight is negative, NaN, infinite or beyond float32.
    """
    if isinstance(graph, Graph):
        _check_shape(graph.weights_nn.shape, n_cells)
        return graph
    given = _sparse(graph)
    _check_shape(given.shape, n_cells)
    _check_weights(given)
    weights_nn = _without_diagonal(given)
    weights_nn, notes = _symmetric(weights_nn)
    degree_n = np.asarray(weights_nn @ np.ones(weights_nn.shape[0])).ravel()
    # Strong components of a symmetric matrix are its components, and are found without a transpose.
    component_n = connected_components(weights_nn, directed=True, connection="strong")[1].astype(np.int32, copy=False)
    return Graph(weights_nn, degree_n, component_n, notes)


def _sparse(graph: Any) -> sp.csr_matrix:
    if not (sp.issparse(graph) or (isinstance(graph, np.ndarray) and graph.ndim == 2)):
        raise OptionError(
            f"graph: a {type(graph).__name__} is not a matrix of weights; give a SciPy sparse matrix, cells x cells"
        )
    if graph.dtype.kind not in "buif":
        raise OptionError(f"graph: weights of type {graph.dtype} are not numbers >= 0")
    given = sp.csr_matrix(graph)
    if not given.has_canonical_format:
        given = given.copy()
        given.sum_duplicates()
    return given


def _check_shape(shape: tuple[int, ...], n_cells: int | None) -> None:
    if shape[0] != shape[1] or shape[0] == 0:
        raise SourceError(f"graph: shape {shape[0]:,} x {shape[1]:,} is not cells x cells")
    if n_cells is not None and shape[0] != n_cells:
        raise SourceError(
            f"graph of other cells: {shape[0]:,} x {shape[1]:,} for {n_cells:,} cells; give the graph of these cells"
        )


def _check_weights(given: sp.csr_matrix) -> None:
    for bad_e, what in (
        (~np.isfinite(given.data), "is NaN or infinite"),
        (given.data < 0, "is negative"),
        (np.abs(given.data) > np.finfo(np.float32).max, "is beyond float32"),
    ):
        if bad_e.any():
            place = int(np.argmax(bad_e))
            row = int(np.searchsorted(given.indptr, place, side="right")) - 1
            raise SourceError(
                f"graph: the weight of cells {row:,} and {int(given.indices[place]):,} {what}, as {int(bad_e.sum()):,} "
                "in all; weights are similarities >= 0, not distances"
            )


def _without_diagonal(given: sp.csr_matrix) -> sp.csr_matrix:
    """Weights as float32 CSR without diagonal or stored zeros; shares nothing that is written to later."""
    n = given.shape[0]
    data_e = given.data.astype(np.float32, copy=False)
    row_e = np.repeat(np.arange(n, dtype=given.indices.dtype), np.diff(given.indptr))
    kept_e = (row_e != given.indices) & (data_e > 0)
    if kept_e.all():
        kept = sp.csr_matrix((data_e, given.indices, given.indptr), shape=given.shape, copy=False)
    else:
        indptr = np.concatenate([[0], np.cumsum(np.bincount(row_e[kept_e], minlength=n))])
        kept = sp.csr_matrix((data_e[kept_e], given.indices[kept_e], indptr), shape=given.shape)
    return _narrow(kept)


def _symmetric(weights_nn: sp.csr_matrix) -> tuple[sp.csr_matrix, tuple[str, ...]]:
    mirror_nn = weights_nn.T.tocsr()
    mirror_nn.sort_indices()
    same_edges = np.array_equal(weights_nn.indptr, mirror_nn.indptr) and np.array_equal(
        weights_nn.indices, mirror_nn.indices
    )
    if same_edges:
        apart_e = np.abs(weights_nn.data - mirror_nn.data)
        apart = float(apart_e.max(initial=0))
    else:
        apart = float(abs(weights_nn - mirror_nn).max())
    if apart == 0:
        return weights_nn, ()
    largest = float(weights_nn.data.max())
    mean_nn = _narrow((weights_nn * np.float32(0.5) + mirror_nn * np.float32(0.5)).tocsr())
    if apart <= ASYMMETRY * largest:
        return mean_nn, ()
    note = f"the graph was not symmetric (weights of an edge up to {apart:.2g} apart); both became their mean"
    return mean_nn, (note,)


def _narrow(weights_nn: sp.csr_matrix) -> sp.csr_matrix:
    """Sorted, with int32 indices as far as the number of edges allows."""
    weights_nn.sort_indices()
    if weights_nn.nnz < np.iinfo(np.int32).max:
        weights_nn.indices = weights_nn.indices.astype(np.int32, copy=False)
        weights_nn.indptr = weights_nn.indptr.astype(np.int32, copy=False)
    return weights_nn
