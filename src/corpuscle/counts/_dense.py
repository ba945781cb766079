"""Dense matrices in HDF5 or zarr, cells x genes or genes x cells, read in bands of whole chunks."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Lock
from typing import Any

import numba
import numpy as np
import scipy.sparse as sp

from corpuscle.counts._chunks import ChunkReader, decodable
from corpuscle.counts._matrix import native
from corpuscle.counts._source import BLOCK_ROWS, SAMPLE_ROWS, csr_of
from corpuscle.counts._spill import Piece, SpilledMatrix
from corpuscle.counts._store import Store, reading

__all__ = ["DenseMatrix"]

Array = np.ndarray[Any, Any]
#: Bytes of a dense tile in memory.
TILE_BYTES = 32 * 2**20
#: Tiles of a band of chunks that is still held in memory rather than spilled: 512 MB.
BAND_TILES = 16


class DenseMatrix(SpilledMatrix):
    """A two-dimensional array.

    Cells are read in bands as high as a chunk. A band that a request covers is decoded to where it is wanted; one
    that it cuts is decoded to a buffer that is kept, so that reading on costs each chunk once, whatever the size of
    the requests. Where a band is too large for that (an array chunked by gene over very many cells), the array is
    spilled to rows once.

    Parameters
    ----------
    store, key
        Where the array is.
    cells_axis
        0 for cells x genes, 1 for genes x cells.
    complete
        A chunk that was never written is damage, and not a chunk of zeros.
    """

    def __init__(self, store: Store, key: str, cells_axis: int = 0, *, complete: bool = False) -> None:
        array = store[key]
        with reading(store.name):
            n_cells, n_genes = array.shape[cells_axis], array.shape[1 - cells_axis]
            dtype = np.dtype(array.dtype)
            filters = decodable(array) if store.kind == "hdf5" else None
        super().__init__((n_cells, n_genes), dtype, "dense" if cells_axis == 0 else "genes x cells, dense")
        self.store, self.key, self.cells_axis = store, key, cells_axis
        self._row_bytes = max(1, n_genes * dtype.itemsize)
        self._chunk = self._chunk_of(array.chunks)
        self._direct = self._chunk[0] * self._row_bytes <= BAND_TILES * TILE_BYTES
        self.stored_dense = self._direct
        self.stored_together = self._chunk[0] if self._direct else BLOCK_ROWS
        self._decode = None if filters is None else ChunkReader(store, key, cells_axis, filters, complete=complete)
        self._kept: tuple[int, Array] | None = None  # a band and its number
        self._lock = Lock()

    def _chunk_of(self, chunks: tuple[int, ...] | None) -> tuple[int, int]:
        """(cells, genes) that are read together."""
        n_cells, n_genes = self.shape
        if chunks is not None:
            return max(1, min(chunks[self.cells_axis], n_cells)), max(1, chunks[1 - self.cells_axis])
        if self.cells_axis == 0:
            return 1, max(1, n_genes)
        # By gene and not chunked: a short run of every gene, so that a band is worth its many small reads.
        return max(1, min(n_cells, 4 * TILE_BYTES // self._row_bytes)), 1

    def dense(self, start: int, stop: int) -> Array:
        """Cells ``start`` to ``stop``, as a new array."""
        if not self._direct:
            return super().dense(start, stop)
        stop = min(stop, self.shape[0])
        out_ng = np.empty((stop - start, self.shape[1]), native(np.empty(0, self.dtype)).dtype)
        with self._lock:  # on a cluster several threads of a worker read the same file
            self._fill(out_ng, start, stop)
        return out_ng

    def rows(self, start: int, stop: int) -> sp.csr_matrix:
        """Cells ``start`` to ``stop``."""
        if not self._direct:
            return super().rows(start, stop)
        height = max(1, TILE_BYTES // self._row_bytes)
        tiles = range(start, max(min(stop, self.shape[0]), start + 1), height)
        parts = [_compressed(self.dense(first, min(first + height, stop))) for first in tiles]
        return parts[0] if len(parts) == 1 else sp.vstack(parts, format="csr")

    def sample(self) -> sp.csr_matrix:
        """The first cells, or the first tile where cells are dear."""
        dear = self._chunk[0] * self._row_bytes > 4 * TILE_BYTES
        return super().sample() if dear or not self._direct else self.rows(0, min(SAMPLE_ROWS, self.shape[0]))

    def columns(self, index: Array) -> sp.csc_matrix | None:
        """Genes at ``index`` where the array is by gene and they lie in few of its chunks."""
        width = self._chunk[1]
        bands = np.unique(np.asarray(index) // width)
        if self.cells_axis == 0 or self._chunk[0] * width < 256 or 4 * bands.size * width > self.shape[1]:
            return None
        height = max(1, TILE_BYTES // (max(1, bands.size * width) * self.dtype.itemsize) // self._chunk[0])
        parts = []
        for first in range(0, self.shape[0], height * self._chunk[0]):
            cells = slice(first, first + height * self._chunk[0])
            tiles = [self._tile(cells, slice(band * width, (band + 1) * width)) for band in bands]
            wanted = np.searchsorted(bands, index // width)
            parts.append(
                _compressed(
                    np.stack([tiles[w][:, g % width] for w, g in zip(wanted, index.tolist(), strict=True)], axis=1)
                )
            )
        return sp.vstack(parts, format="csc")

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

    def _fill(self, out_ng: Array, start: int, stop: int) -> None:
        height, n_cells = self._chunk[0], self.shape[0]
        place = start
        while place < stop:
            band = place // height
            first, last = band * height, min((band + 1) * height, n_cells)
            if (self._kept is not None and self._kept[0] == band) or place > first or last > stop:
                until = min(last, stop)
                out_ng[place - start : until - start] = self._band(band)[place - first : until - first]
            else:
                # As many whole bands as are wanted, at once; what is kept stays for who reads on.
                until = stop if stop == n_cells else stop // height * height
                if self._kept is not None and self._kept[0] * height > place:
                    until = min(until, self._kept[0] * height)
                self._read(first, out_ng[place - start : until - start])
            place = until

    def _band(self, band: int) -> Array:
        """One band, kept until another is asked for; its memory is used again."""
        if self._kept is not None and self._kept[0] == band:
            return self._kept[1]
        first = band * self._chunk[0]
        n_cells = min(self._chunk[0], self.shape[0] - first)
        buffer = self._kept[1].base if self._kept is not None else None
        self._kept = None  # what fails half-way is not kept
        if buffer is None:
            buffer = np.empty((self._chunk[0], self.shape[1]), native(np.empty(0, self.dtype)).dtype)
        self._read(first, buffer[:n_cells])
        self._kept = (band, buffer[:n_cells])
        return self._kept[1]

    def _read(self, first: int, out_ng: Array) -> None:
        """Decode whole bands from ``first`` on."""
        if self._decode is not None:
            self._decode.read(first, out_ng)
            return
        height = max(1, TILE_BYTES // self._row_bytes // self._chunk[0]) * self._chunk[0]
        for part in range(0, out_ng.shape[0], height):
            cells = slice(first + part, first + min(part + height, out_ng.shape[0]))
            out_ng[part : part + height] = self._tile(cells, slice(None))

    def _tile(self, cells: slice, genes: slice) -> Array:
        with reading(self.store.name):
            if self.cells_axis == 0:
                return native(np.asarray(self.store[self.key][cells, genes]))
            return native(np.asarray(self.store[self.key][genes, cells])).T

    def close(self) -> None:
        """Close the file and remove temporary space."""
        super().close()
        self._kept = None
        self.store.close()


def _compressed(x_ng: Array) -> sp.csr_matrix:
    """The same values as CSR; NaN is not zero and stays to be refused."""
    n_cells, n_genes = x_ng.shape
    indptr = np.zeros(n_cells + 1, np.int64)
    _count_stored(x_ng, indptr)
    np.cumsum(indptr, out=indptr)
    index_dtype = np.int32 if max(int(indptr[-1]), n_genes) <= np.iinfo(np.int32).max else np.int64
    indices, data = np.empty(indptr[-1], index_dtype), np.empty(indptr[-1], x_ng.dtype)
    _fill_stored(x_ng, indptr, indices, data)
    return csr_of(data, indices, indptr.astype(index_dtype), (n_cells, n_genes))


@numba.njit(cache=True, nogil=True)
def _count_stored(x_ng: Array, indptr: Array) -> None:
    for i in range(x_ng.shape[0]):
        n = 0
        for j in range(x_ng.shape[1]):
            n += x_ng[i, j] != 0
        indptr[i + 1] = n


@numba.njit(cache=True, nogil=True)
def _fill_stored(x_ng: Array, indptr: Array, indices: Array, data: Array) -> None:
    for i in range(x_ng.shape[0]):
        k = indptr[i]
        for j in range(x_ng.shape[1]):
            if x_ng[i, j] != 0:
                indices[k], data[k] = j, x_ng[i, j]
                k += 1
