"""Some cells and genes of counts that stay where they are: nothing is read until it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from corpuscle.counts._source import Source

if TYPE_CHECKING:
    from corpuscle.counts._counts import Counts

__all__ = ["ViewSource"]

Array = np.ndarray[Any, Any]


class ViewSource(Source):
    """Cells and genes at the given places, in the given order.

    Parameters
    ----------
    base
        The counts looked at; they must stay open.
    cells, genes
        Positions, or None for all.
    """

    def __init__(self, base: Counts, cells: Array | None, genes: Array | None) -> None:
        self.base, self.cells, self.genes = base, cells, genes
        self.name, self.path, self.uns = base.name, base.sources[0].path, base.uns
        if cells is None or (np.diff(cells) > 0).all():
            self.stored_together = min(source.stored_together for source in base.sources)
        self.obs = base.obs if cells is None else base.obs.iloc[cells]
        self.var = base.var if genes is None else base.var.iloc[genes]
        self.layout, self.dtype = base.sources[0].layout, base.sources[0].dtype
        self.layers, self.stored_dense = base.sources[0].layers, base.stored_dense

    def rows(self, start: int, stop: int) -> sp.csr_matrix:
        """Cells ``start`` to ``stop`` of the view, checked where they come from."""
        x_ng = self.base.take(self._places(start, stop))
        return x_ng if self.genes is None else x_ng[:, self.genes]

    def dense(self, start: int, stop: int) -> Array:
        """The same as an array."""
        x_ng = self.base.take_dense(self._places(start, stop))
        return x_ng if self.genes is None else x_ng[:, self.genes]

    def fingerprint(self) -> tuple[int, int, int] | None:
        """None: the counts looked at watch their own files."""
        return None

    def _places(self, start: int, stop: int) -> Array:
        stop = min(stop, self.n_obs)
        return np.arange(start, stop) if self.cells is None else self.cells[start:stop]
