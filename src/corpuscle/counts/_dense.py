"""Dense matrices in HDF5 or zarr, cells x genes or genes x cells, read without ever holding more than a tile."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.sparse as sp

from corpuscle.counts._matrix import Bands, native
from corpuscle.counts._source import SAMPLE_ROWS
from corpuscle.counts._spill import Piece, SpilledMatrix
from corpuscle.counts._store import Store, reading

__all__ = ["DenseMatrix"]

Array = np.ndarray[Any, Any]
#: Bytes of a dense tile in memory.
TILE_BYTES = 32 * 2**20


class DenseMatrix(SpilledMatrix):
    """A two-dimensional array.

    Where the chunks that hold some cells are small, those cells are read straight from them. Where they are large
    (an array chunked by gene, or not chunked and stored by gene), every row range would decode the whole array, so it
    is spilled to rows once.

    Parameters
    ----------
    store, key
        Where the array is.
    cells_axis
        0 for cells x genes, 1 for genes x cells.
    """

    def __init__(self, store: Store, key: str, cells_axis: int = 0) -> None:
        array = store[key]
        with reading(store.name):
            n_cells, n_genes = array.shape[cells_axis], array.shape[1 - cells_axis]
            dtype = np.dtype(array.dtype)
            chunks = array.chunks or (1, array.shape[1])  # contiguous: by rows
        super().__init__((n_cells, n_genes), dtype, "dense" if cells_axis == 0 else "genes x cells, dense")
        self.store, self.key, self.cells_axis = store, key, cells_axis
        self._chunk = max(1, chunks[cells_axis]), max(1, chunks[1 - cells_axis])
        row_bytes = max(1, n_genes * dtype.itemsize)
        height = max(1, TILE_BYTES // row_bytes // self._chunk[0]) * self._chunk[0]
        self._direct = Bands(height, self._read_rows) if self._chunk[0] * row_bytes <= 4 * TILE_BYTES else None

    def rows(self, start: int, stop: int) -> sp.csr_matrix:
        """Cells ``start`` to ``stop``."""
        return super().rows(start, stop) if self._direct is None else self._direct.rows(start, stop)

    def sample(self) -> sp.csr_matrix:
        """The first cells, or the first tile where cells are dear."""
        return super().sample() if self._direct is None else self.rows(0, min(SAMPLE_ROWS, self.shape[0]))

    def pieces(self) -> Iterator[Piece]:
        """Non-zeros tile by tile, each tile made of whole chunks."""
        height, width = self._chunk
        tile = TILE_BYTES // self.dtype.itemsize
        height = min(height, max(1, tile))
        width = max(1, tile // height // width) * width if height * width < tile else max(1, tile // height)
        for first in range(0, self.shape[0], height):
            for gene in range(0, self.shape[1], width):
                x_ng = self._tile(slice(first, first + height), slice(gene, gene + width))
                cells, genes = np.nonzero(x_ng)  # NaN is not zero and stays to be refused
                yield cells + first, genes + gene, x_ng[cells, genes]

    def _read_rows(self, band: int) -> sp.csr_matrix:
        assert self._direct is not None
        first = band * self._direct.height
        return sp.csr_matrix(self._tile(slice(first, first + self._direct.height), slice(None)))

    def _tile(self, cells: slice, genes: slice) -> Array:
        with reading(self.store.name):
            if self.cells_axis == 0:
                return native(np.asarray(self.store[self.key][cells, genes]))
            return native(np.asarray(self.store[self.key][genes, cells])).T

    def close(self) -> None:
        """Close the file and remove temporary space."""
        super().close()
        self.store.close()
