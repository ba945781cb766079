"""Chunks of an HDF5 array, decoded by threads: the library itself decodes one at a time, under a lock of its own."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import numba
import numpy as np

from corpuscle.counts._store import Store
from corpuscle.counts._threads import for_each
from corpuscle.errors import SourceError

__all__ = ["ChunkReader", "decodable"]

Array = np.ndarray[Any, Any]
#: The HDF5 numbers of the filters that are undone here.
DEFLATE, SHUFFLE, FLETCHER32 = 1, 2, 3
#: Bytes of chunks that a thread decodes at a time: small chunks are handed on together.
BATCH_BYTES = 2**20


class Damaged(Exception):
    """Stored bytes that do not decode to a chunk."""


class Raw(NamedTuple):
    """A chunk as stored: where it begins in the array, which filters were left out (bits), and its bytes."""

    place: tuple[int, int]
    skipped: int
    content: bytes


def decodable(array: Any) -> tuple[int, ...] | None:
    """The filters of an HDF5 array in the order they were applied; None where its chunks cannot be decoded here."""
    dtype = array.dtype
    if array.chunks is None or not hasattr(array.id, "read_direct_chunk"):
        return None
    if dtype.kind not in "buif" or not dtype.isnative or dtype == np.float16:
        return None
    properties = array.id.get_create_plist()
    filters = tuple(int(properties.get_filter(i)[0]) for i in range(properties.get_nfilters()))
    return filters if set(filters) <= {DEFLATE, SHUFFLE, FLETCHER32} else None


class ChunkReader:
    """Whole chunks of an array into cells x genes.

    Parameters
    ----------
    store, key
        Where the array is.
    cells_axis
        0 for cells x genes, 1 for genes x cells.
    filters
        What :func:`decodable` said.
    complete
        A chunk that was never written is damage, and not a chunk of the fill value.
    """

    def __init__(self, store: Store, key: str, cells_axis: int, filters: tuple[int, ...], *, complete: bool) -> None:
        self.store, self.key, self.cells_axis, self.complete = store, key, cells_axis, complete
        self._filters = filters
        array = store[key]
        self.shape, self.chunk, self.dtype = array.shape, array.chunks, np.dtype(array.dtype)
        self._chunk_bytes = int(np.prod(self.chunk)) * self.dtype.itemsize

    def read(self, first: int, out_ng: Array) -> None:
        """Fill ``out_ng`` with the cells from ``first`` on; both of its ends are ends of chunks.

        Raises
        ------
        SourceError
            A chunk is damaged, or was never written though it should have been.
        """
        for_each(partial(self._decode, first, out_ng), self._batches(first, out_ng.shape))

    def _batches(self, first: int, shape: tuple[int, ...]) -> Iterator[list[Raw]]:
        """Stored chunks of so many cells and genes, some at a time."""
        array = self.store[self.key]
        n_cells, n_genes = shape
        genes = range(0, n_genes, self.chunk[1 - self.cells_axis])
        cells = range(first, first + n_cells, self.chunk[self.cells_axis])
        batch: list[Raw] = []
        for gene in genes:
            for cell in cells:
                batch.append(self._stored(array, (gene, cell) if self.cells_axis else (cell, gene)))
                if len(batch) * self._chunk_bytes >= BATCH_BYTES:
                    yield batch
                    batch = []
        if batch:
            yield batch

    def _stored(self, array: Any, place: tuple[int, int]) -> Raw:
        try:
            skipped, content = array.id.read_direct_chunk(place)
        except Exception as error:  # HDF5 raises several kinds, and a chunk that is not there is one of them
            if not self._was_written(array, place):
                if self.complete:
                    raise SourceError(f"{self._where(place)} was never written; get the file again") from None
                return Raw(place, -1, b"")
            raise SourceError(
                f"{self._where(place)} cannot be read ({_line(error)}); the file is truncated or damaged: get it again"
            ) from error
        return Raw(place, int(skipped), content)

    def _was_written(self, array: Any, place: tuple[int, int]) -> bool:
        try:
            return array.id.get_chunk_info_by_coord(place).byte_offset is not None
        except Exception:  # the index of chunks is damaged too
            return True

    def _decode(self, first: int, out_ng: Array, batch: list[Raw]) -> None:
        for raw in batch:
            try:
                values = self._values(raw)
            except (Damaged, zlib.error) as error:
                raise SourceError(f"{self._where(raw.place)} is damaged ({error}); get the file again") from None
            cell, gene = raw.place[self.cells_axis] - first, raw.place[1 - self.cells_axis]
            part = out_ng[cell : cell + self.chunk[self.cells_axis], gene : gene + self.chunk[1 - self.cells_axis]]
            if self.cells_axis == 0:
                part[...] = values[: part.shape[0], : part.shape[1]]
            else:
                _put_transposed(values, part)

    def _values(self, raw: Raw) -> Array:
        """(rows, columns) of one whole chunk, as they are in the array."""
        if raw.skipped == -1:
            return np.full(self.chunk, self.store[self.key].fillvalue, self.dtype)
        content: Any = raw.content
        for i in reversed(range(len(self._filters))):
            if not raw.skipped >> i & 1:
                content = self._undone(self._filters[i], content)
        if len(content) != self._chunk_bytes:
            raise Damaged(f"{len(content):,} bytes instead of {self._chunk_bytes:,}")
        return np.frombuffer(content, self.dtype).reshape(self.chunk)

    def _undone(self, what: int, content: Any) -> Any:
        if what == FLETCHER32:
            if len(content) < 4:
                raise Damaged("its checksum is missing")
            body, kept = content[:-4], int.from_bytes(content[-4:], "little")
            if int(_fletcher32(np.frombuffer(body, np.uint8))) != kept:
                raise Damaged("its checksum is wrong")
            return body
        if what == DEFLATE:
            inflater = zlib.decompressobj()
            # No more than a chunk: what claims to be larger is not followed.
            plain = inflater.decompress(content, self._chunk_bytes + 8)
            if not inflater.eof:
                raise Damaged("its compressed bytes end too early, or hold more than a chunk")
            return plain
        return _unshuffled(content, self.dtype.itemsize)

    def _where(self, place: tuple[int, int]) -> str:
        axes = ("genes", "samples") if self.cells_axis else ("cells", "genes")
        spans = [
            f"{what} {start + 1:,} to {min(start + width, n):,}"
            for what, start, width, n in zip(axes, place, self.chunk, self.shape, strict=True)
        ]
        return f"{self.store.name}: the chunk of {' and '.join(spans)} of {self.key}"


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _unshuffled(content: Any, itemsize: int) -> Any:
    """Bytes of elements, from all first bytes, then all second bytes, and so on."""
    if itemsize == 1:
        return content
    stored = np.frombuffer(content, np.uint8)
    whole = stored.size // itemsize * itemsize
    if whole != stored.size:
        raise Damaged("its bytes are no whole number of values")
    out = np.empty(stored.size, np.uint8)
    if itemsize == 4:
        _unshuffle4(stored, out.view(np.uint32))
    else:
        out.reshape(-1, itemsize).T[...] = stored.reshape(itemsize, -1)
    return out.data


@numba.njit(cache=True, nogil=True)
def _unshuffle4(stored: Array, out: Array) -> None:
    n = out.size
    one, two, three, four = stored[:n], stored[n : 2 * n], stored[2 * n : 3 * n], stored[3 * n :]
    for i in range(n):
        out[i] = (
            np.uint32(one[i]) | np.uint32(two[i]) << np.uint32(8) | np.uint32(three[i]) << np.uint32(16)
            | np.uint32(four[i]) << np.uint32(24)
        )  # fmt: skip


@numba.njit(cache=True, nogil=True)
def _put_transposed(values: Array, out: Array) -> None:
    """``out[i, j] = values[j, i]``, in squares that stay in the cache."""
    for j0 in range(0, out.shape[1], 64):
        j1 = min(j0 + 64, out.shape[1])
        for i0 in range(0, out.shape[0], 64):
            for i in range(i0, min(i0 + 64, out.shape[0])):
                for j in range(j0, j1):
                    out[i, j] = values[j, i]


@numba.njit(cache=True, nogil=True)
def _fletcher32(content: Array) -> np.uint64:
    """Fletcher's checksum of big-endian 16-bit words modulo 65,535, an odd last byte being the high one of a word."""
    low, high = np.uint64(0), np.uint64(0)
    for i in range(0, content.size, 2):
        word = np.uint64(content[i]) << np.uint64(8)
        if i + 1 < content.size:
            word |= np.uint64(content[i + 1])
        low += word
        high += low
        if i % 720 == 718:
            low = (low & np.uint64(0xFFFF)) + (low >> np.uint64(16))
            high = (high & np.uint64(0xFFFF)) + (high >> np.uint64(16))
    for _ in range(4):
        low = (low & np.uint64(0xFFFF)) + (low >> np.uint64(16))
        high = (high & np.uint64(0xFFFF)) + (high >> np.uint64(16))
    return (high << np.uint64(16)) | low
