"""Entries in any order in, rows out: how a matrix stored by gene is read by cell in bounded memory.

Entries are dealt into bands of rows. While they are few the bands stay in memory; beyond that each band is appended
to its own temporary file. A band is put in row order when it is read. Every entry is written once and read once a
pass, always in long sequential runs, and no more than one band and one buffer are ever in memory.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from corpuscle.counts._matrix import Bands, Matrix, native
from corpuscle.counts._source import BLOCK_ROWS
from corpuscle.errors import OutputError

__all__ = ["Piece", "Spill", "SpilledMatrix"]

Array = np.ndarray[Any, Any]
#: Rows, columns and values of some entries.
Piece = tuple[Array, Array, Array]
#: Entries are held in memory up to this many bytes, then flushed to their bands' files.
BUFFER_BYTES = 64 * 2**20


class Spill:
    """Entries dealt into bands of ``height`` rows: first every :meth:`add`, then :meth:`finish`, then :meth:`rows`.

    Parameters
    ----------
    dtype
        Of the values; integers are kept as 64 bits, since duplicates are summed.
    buffer_bytes
        Memory for entries before they go to disk.
    """

    def __init__(self, dtype: np.dtype[Any], height: int = BLOCK_ROWS, buffer_bytes: int = BUFFER_BYTES) -> None:
        value = native(np.zeros(0, dtype)).dtype
        if value.kind in "bi" or (value.kind == "u" and value.itemsize < 8):
            value = np.dtype(np.int64)
        self._height, self._buffer_bytes = height, buffer_bytes
        self._record = np.dtype([("row", np.int32), ("column", np.int32), ("value", value)])
        self._held: dict[int, list[Array]] = {}
        self._held_bytes = 0
        self._folder: Path | None = None

    def add(self, rows: Array, columns: Array, values: Array) -> None:
        """Take in some entries."""
        band = rows // self._height
        if (np.diff(band) < 0).any():
            short = band.astype(np.uint16) if band.max() < 2**16 else band  # 16 bits are sorted in linear time
            order = np.argsort(short, kind="stable")
            band, rows, columns, values = band[order], rows[order], columns[order], values[order]
        records = np.empty(rows.size, self._record)
        records["row"], records["column"], records["value"] = rows - band * self._height, columns, values
        starts = np.flatnonzero(np.r_[True, np.diff(band) > 0]) if rows.size else np.zeros(0, np.intp)
        for i, part in zip(band[starts], np.split(records, starts[1:]), strict=False):
            self._held.setdefault(int(i), []).append(part)
        self._held_bytes += records.nbytes
        if self._held_bytes > self._buffer_bytes:
            self._flush()

    def _flush(self) -> None:
        try:
            if self._folder is None:
                self._folder = Path(tempfile.mkdtemp(prefix="corpuscle-"))
                self._cleanup = weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
            for band, parts in self._held.items():
                with (self._folder / str(band)).open("ab") as file:
                    for part in parts:
                        part.tofile(file)
        except OSError as error:
            raise OutputError(
                f"cannot write temporary files in {tempfile.gettempdir()} ({error.strerror or error}); "
                f"free space there or set TMPDIR to a larger disk"
            ) from error
        self._held, self._held_bytes = {}, 0

    def finish(self, shape: tuple[int, int]) -> None:
        """Say what shape it is, now that every entry is in."""
        self._shape = shape
        self._bands = Bands(self._height, self._band)

    def rows(self, start: int, stop: int) -> sp.csr_matrix:
        """Rows ``start`` to ``stop``."""
        return self._bands.rows(start, stop)

    def _band(self, band: int) -> sp.csr_matrix:
        shape = (min(self._height, self._shape[0] - band * self._height), self._shape[1])
        parts = list(self._held.get(band, []))
        if self._folder is not None and (self._folder / str(band)).exists():
            parts.insert(0, np.fromfile(self._folder / str(band), self._record))
        records = np.concatenate(parts) if parts else np.zeros(0, self._record)
        return sp.csr_matrix((records["value"], (records["row"], records["column"])), shape=shape)

    def close(self) -> None:
        """Forget everything and remove the temporary files."""
        self._held, self._held_bytes = {}, 0
        if self._folder is not None:
            self._cleanup()


class SpilledMatrix(Matrix):
    """A matrix that comes as a stream of entries; the first row asked for spills it."""

    def __init__(self, shape: tuple[int, int], dtype: np.dtype[Any], layout: str) -> None:
        self.shape, self.dtype, self.layout = shape, dtype, layout
        self._spill: Spill | None = None

    @abstractmethod
    def pieces(self) -> Iterator[Piece]:
        """Every entry once, some millions at a time, in any order, places already checked."""

    def rows(self, start: int, stop: int) -> sp.csr_matrix:
        """Cells ``start`` to ``stop``."""
        if self._spill is None:
            spill = Spill(self.dtype)
            try:
                for piece in self.pieces():
                    spill.add(*piece)
            except BaseException:
                spill.close()
                raise
            spill.finish(self.shape)
            self._spill = spill
        return self._spill.rows(start, stop)

    def sample(self) -> sp.csr_matrix:
        """The first entries of the stream, in place."""
        stream = self.pieces()
        rows, columns, values = next(iter(stream), (np.zeros(0, int), np.zeros(0, int), np.zeros(0, self.dtype)))
        stream.close()  # type: ignore[attr-defined]  # a generator
        return sp.csr_matrix((native(values), (rows, columns)), shape=self.shape)

    def close(self) -> None:
        """Remove temporary space; reading again spills again."""
        if self._spill is not None:
            self._spill.close()
            self._spill = None
