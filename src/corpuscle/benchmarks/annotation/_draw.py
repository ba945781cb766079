"""A seed's draw from a data set, and the neighbour graph of the cells that are judged."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from corpuscle.benchmarks._labelled import LabelledCells
from corpuscle.errors import MethodError
from corpuscle.seeds import stream, stream_seed

if TYPE_CHECKING:
    from anndata import AnnData

    from corpuscle.annotate._graph import Graph

__all__ = ["Draw", "draw_cells"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Draw:
    """A random part of the cells of a data set.

    So that scores which have no randomness of their own still have a spread over seeds.

    Attributes
    ----------
    cells
        The data set.
    row_n
        (n,) its cells that were drawn, in order.
    seed
        That drew them.
    n_neighbors
        Of the graph.
    organs
        Organs whose marker tables are read; empty for all.
    """

    cells: LabelledCells
    row_n: Array
    seed: int
    n_neighbors: int = 15
    organs: tuple[str, ...] = ()
    _graphs: dict[bytes, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def n_cells(self) -> int:
        """Number of cells drawn."""
        return int(self.row_n.size)

    @cached_property
    def counts(self) -> AnnData:
        """Raw counts of the cells drawn."""
        return self.cells.counts[self.row_n].copy()

    @property
    def code_n(self) -> Array:
        """(n,) position of each cell's type."""
        return self.cells.code_n[self.row_n]

    def embedding(self, judged_n: Array) -> Array:
        """Principal components of some of the cells drawn, (n, d) float32."""
        return self._of(judged_n)[0]

    def graph(self, judged_n: Array) -> Graph:
        """Neighbour graph of some of the cells drawn; the same object for the same cells.

        Parameters
        ----------
        judged_n
            Positions of these cells among those drawn.
        """
        found: Graph = self._of(judged_n)[1]
        return found

    def _of(self, judged_n: Array) -> tuple[Array, Graph]:
        from corpuscle.annotate._graph import as_graph
        from corpuscle.annotate.neighbours import default_representation, umap_graph

        key = np.asarray(judged_n, np.int64).tobytes()
        if key not in self._graphs:
            if judged_n.size <= self.n_neighbors:
                raise MethodError(
                    f"{judged_n.size:,} cells have no graph of {self.n_neighbors} neighbours; give more cells or fewer "
                    "neighbours"
                )
            x_nd = default_representation(self.counts[judged_n].copy())
            graph = as_graph(umap_graph(x_nd, self.n_neighbors, seed=stream_seed(self.seed, "annotation", "graph")))
            self._graphs[key] = x_nd, graph
        found: tuple[Array, Graph] = self._graphs[key]
        return found


def draw_cells(
    cells: LabelledCells, seed: int, share: float, *, n_neighbors: int = 15, organs: tuple[str, ...] = ()
) -> Draw:
    """Draw a share of the cells, whatever their type.

    Parameters
    ----------
    cells
        All cells.
    seed
        The same cells for the same seed and number of cells.
    share
        Above 0, at most 1.
    """
    order = stream(seed, "annotation", "cells").permutation(cells.n_cells)
    return Draw(cells, np.sort(order[: round(share * cells.n_cells)]), seed, n_neighbors, organs)
