"""Where the edges of a graph stay within a label."""

from __future__ import annotations

from typing import Any

import numpy as np

from corpuscle.annotate._graph import Graph

__all__ = ["ROWS", "agreement_of", "same_label_weight", "sum_of_squares"]

Array = np.ndarray[Any, Any]
#: Cells that are looked at at a time.
ROWS = 65_536


def same_label_weight(best_n: Array, graph: Graph) -> Array:
    """(n,) weight of each cell's edges to cells of its own label.

    Parameters
    ----------
    best_n
        (n,) label of each cell, a number from 0.
    graph
        Of the same cells.
    """
    return _by_row(graph, lambda own_e, other_e, weight_e: np.where(own_e == other_e, weight_e, 0), best_n)


def sum_of_squares(graph: Graph) -> Array:
    """(n,) sum of each cell's squared weights."""
    return _by_row(graph, lambda own_e, other_e, weight_e: weight_e**2, np.zeros(graph.n_cells, np.int8))


def agreement_of(homophily: float, chance: float) -> float:
    """How far labels and graph agree: 0 is chance, 1 is every edge within a label; NaN where nothing else is possible."""
    room = 1 - chance
    return (homophily - chance) / room if room > 0 else float("nan")


def _by_row(graph: Graph, value: Any, label_n: Array) -> Array:
    weights_nn, out_n = graph.weights_nn, np.zeros(graph.n_cells)
    for start in range(0, graph.n_cells, ROWS):
        stop = min(start + ROWS, graph.n_cells)
        edges = slice(weights_nn.indptr[start], weights_nn.indptr[stop])
        degree_n = np.diff(weights_nn.indptr[start : stop + 1])
        row_e = np.repeat(np.arange(stop - start), degree_n)
        value_e = value(label_n[start:stop][row_e], label_n[weights_nn.indices[edges]], weights_nn.data[edges])
        out_n[start:stop] = np.bincount(row_e, value_e, stop - start)
    return out_n
