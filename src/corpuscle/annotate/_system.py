"""The three published systems, written as one.

With W the weights, D their row sums and C the fidelity of each cell, all three are

    (F + lam (D - W)) Y = F Y0,    P = S Y,    P0 = S Y0

``unnormalized``: F = C, S = 1. ``random_walk``: F = C D, S = 1, since (C + lam (I - D^-1 W)) P = C P0 times D.
``symmetric``: F = C D, S = D^1/2, since (C + lam (I - D^-1/2 W D^-1/2)) P = C P0 times D^1/2. So one operator, whose
kernel is the constant of each component, serves them all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from corpuscle.annotate._graph import Graph
from corpuscle.errors import MethodError, OptionError

__all__ = ["LAPLACIANS", "System", "make_system"]

Array = np.ndarray[Any, Any]
LAPLACIANS = ("unnormalized", "symmetric", "random_walk")


@dataclass(frozen=True)
class System:
    """One linear system, the same for every type.

    Attributes
    ----------
    graph
        Weights and components.
    lam
        Strength of smoothing.
    fidelity_n
        (n,) F, what the scores of a cell weigh.
    scale_n
        (n,) S.
    keeps_rows
        Whether rows whose sums are equal keep that sum.
    """

    graph: Graph
    lam: float
    fidelity_n: Array
    scale_n: Array
    keeps_rows: bool

    @property
    def diagonal_n(self) -> Array:
        """(n,) diagonal of the system."""
        diagonal: Array = self.fidelity_n + self.lam * self.graph.degree_n
        return diagonal


def make_system(graph: Graph, lam: float, laplacian: str, weights: Any = None) -> System:
    """Set up the system of one graph.

    An isolated cell has the row of the identity whatever the Laplacian, so it keeps its scores.

    Raises
    ------
    OptionError
        There is no such Laplacian, or the weights are not n finite numbers >= 0.
    MethodError
        No cell of some component has a weight, so nothing determines its values.
    """
    if laplacian not in LAPLACIANS:
        raise OptionError(f"no Laplacian is called {laplacian!r}; there are: {', '.join(LAPLACIANS)}")
    weight_n = _checked_weights(weights, graph.n_cells)
    _check_determined(graph, weight_n)
    ones_n = np.ones(graph.n_cells)
    if laplacian == "unnormalized":
        return System(graph, lam, weight_n, ones_n, keeps_rows=True)
    degree_n = np.where(graph.isolated_n, 1.0, graph.degree_n)
    scale_n = np.sqrt(degree_n) if laplacian == "symmetric" else ones_n
    return System(graph, lam, weight_n * degree_n, scale_n, keeps_rows=laplacian == "random_walk")


def _checked_weights(weights: Any, n_cells: int) -> Array:
    if weights is None:
        return np.ones(n_cells)
    try:
        weight_n = np.asarray(weights, dtype=np.float64)
    except (TypeError, ValueError):
        raise OptionError("weights: not all are numbers; give one >= 0 for each cell") from None
    if weight_n.shape != (n_cells,):
        raise OptionError(f"weights: shape {weight_n.shape} for {n_cells:,} cells; give one number for each cell")
    bad = np.flatnonzero(~np.isfinite(weight_n) | (weight_n < 0))
    if bad.size:
        raise OptionError(
            f"weights: {bad.size:,} of {n_cells:,} are negative, NaN or infinite (first: cell {bad[0]:,}, "
            f"{weight_n[bad[0]]:g}); give numbers >= 0, 0 for a cell that has no scores of its own"
        )
    return weight_n


def _check_determined(graph: Graph, weight_n: Array) -> None:
    weight_b = np.bincount(graph.component_n, weights=weight_n, minlength=graph.n_components)
    lost_n = (weight_b == 0)[graph.component_n]
    if lost_n.any():
        cells = np.flatnonzero(lost_n)
        raise MethodError(
            f"{cells.size:,} cells (first: cell {cells[0]:,}) have no answer: every cell of their part of the graph has "
            "weight 0; give one of them a weight, or leave them out"
        )
