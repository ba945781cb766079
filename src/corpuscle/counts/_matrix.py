"""A matrix in a file, apart from the names of its cells and genes: what each layout on disk must offer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from corpuscle.counts._check import way_out
from corpuscle.counts._source import SAMPLE_ROWS, Source
from corpuscle.errors import NotCountsError, SourceError

__all__ = ["Bands", "FileSource", "Matrix", "native"]

Array = np.ndarray[Any, Any]


class Matrix(ABC):
    """Stored values, cells x features, read in row ranges.

    Attributes
    ----------
    shape
        (cells, features).
    dtype
        As stored.
    layout
        How it is stored, for people.
    stored_together
        Rows that are best read together: those of one chunk.
    stored_dense
        Reading them dense is cheaper than as CSR.
    """

    shape: tuple[int, int]
    dtype: np.dtype[Any]
    layout: str
    stored_together: int = 1024
    stored_dense: bool = False

    @abstractmethod
    def rows(self, start: int, stop: int) -> sp.csr_matrix:
        """Cells ``start`` to ``stop`` as CSR."""

    def dense(self, start: int, stop: int) -> Array:
        """The same as a new array; worth writing where they are stored dense."""
        return self.rows(start, stop).toarray()

    def sample(self) -> sp.csr_matrix:
        """Some of the values, cheaply; the first row is the first cell."""
        return self.rows(0, min(SAMPLE_ROWS, self.shape[0]))

    def columns(self, index: Array) -> sp.csc_matrix | None:
        """Features at ``index``, where the layout has them side by side."""
        return None

    def close(self) -> None:
        """Let go of files and temporary space."""
        return


def native(values: Array) -> Array:
    """The same values in a dtype that scipy and numba take: native byte order, no half precision."""
    if values.dtype == np.float16:
        return values.astype(np.float32)
    return values.astype(values.dtype.newbyteorder("="), copy=False)


class Bands:
    """Rows of a matrix that can only be had some ``height`` rows at a time; the last band is kept.

    Blocks that are read in order then cost each band once, whatever the block size.
    """

    def __init__(self, height: int, read: Callable[[int], sp.csr_matrix]) -> None:
        self.height, self._read = height, read
        self._last: tuple[int, sp.csr_matrix] | None = None
        self._lock = Lock()

    def rows(self, start: int, stop: int) -> sp.csr_matrix:
        """Rows ``start`` to ``stop``, glued from the bands they lie in."""
        parts = []
        for band in range(start // self.height, -(-stop // self.height)):
            first = band * self.height
            parts.append(self._band(band)[max(start - first, 0) : stop - first])
        return parts[0] if len(parts) == 1 else sp.vstack(parts, format="csr")

    def _band(self, band: int) -> sp.csr_matrix:
        with self._lock:  # on a cluster several threads of a worker read the same file
            if self._last is None or self._last[0] != band:
                self._last = None
                self._last = (band, self._read(band))
            return self._last[1]


class FileSource(Source):
    """A matrix in a file with the names of its cells and genes.

    Parameters
    ----------
    name
        What messages call it.
    path
        What the user named; ``watched`` is the file or folder whose change would change the values.
    matrix, obs, var
        Values and names; their lengths must agree.
    uns
        Metadata, or a function that reads it when it is first asked for.
    layers
        Other matrices that the file has.
    keep
        Positions of the features that are genes, where the file holds others too.
    """

    def __init__(
        self,
        name: str,
        path: Path,
        matrix: Matrix,
        obs: pd.DataFrame,
        var: pd.DataFrame,
        *,
        uns: dict[str, Any] | Callable[[], dict[str, Any]] | None = None,
        layers: tuple[str, ...] = (),
        keep: Array | None = None,
        watched: Path | None = None,
    ) -> None:
        self.name, self.path, self.matrix = name, path, matrix
        self.layers, self.keep, self.watched = layers, keep, watched or path
        self.layout, self.dtype = matrix.layout, matrix.dtype
        self.stored_together, self.stored_dense = matrix.stored_together, matrix.stored_dense
        self._uns = uns or {}
        if matrix.shape != (len(obs), len(var)):
            raise SourceError(
                f"{name}: its matrix is {matrix.shape[0]:,} x {matrix.shape[1]:,} but it names {len(obs):,} cells and "
                f"{len(var):,} genes; the file is damaged or was put together wrongly"
            )
        if self.dtype.kind not in "buif":
            raise NotCountsError(f"{name}: values of type {self.dtype} are not numbers; {way_out(layers)}")
        self.obs, self.var = obs, var if keep is None else var.iloc[keep]
        for n, what in ((len(self.obs), "cells"), (len(self.var), "genes")):
            if n == 0:
                raise SourceError(f"{name}: there are no {what} in it; choose a source that has some")

    @property
    def uns(self) -> dict[str, Any]:  # type: ignore[override]  # read when asked for: it can be large
        """Unstructured metadata."""
        if not isinstance(self._uns, dict):
            self._uns = self._uns()
        return self._uns

    def rows(self, start: int, stop: int) -> sp.csr_matrix:
        """Cells ``start`` to ``stop``, as stored."""
        return self._genes_of(self.matrix.rows(start, stop))

    def dense(self, start: int, stop: int) -> Array:
        """The same as a new array, never made sparse where they are stored dense."""
        x_nf = self.matrix.dense(start, stop)
        return x_nf if self.keep is None else x_nf[:, self.keep]

    def sample(self) -> sp.csr_matrix:
        """Some of the stored values, cheaply."""
        return self._genes_of(self.matrix.sample())

    def columns(self, index: Array) -> sp.csc_matrix | None:
        """Genes at ``index``, where the layout has them side by side."""
        return self.matrix.columns(index if self.keep is None else self.keep[index])

    def _genes_of(self, x_nf: sp.csr_matrix) -> sp.csr_matrix:
        return x_nf if self.keep is None else x_nf[:, self.keep]

    def fingerprint(self) -> tuple[int, int, int] | None:
        """(inode, size, mtime in ns) of the file, or of the folder that its chunks lie in."""
        try:
            stat = self.watched.stat()
        except OSError as error:
            raise SourceError(f"{self.name}: it went away while it was read ({error.strerror}); run again") from None
        return stat.st_ino, stat.st_size, stat.st_mtime_ns

    def close(self) -> None:
        """Close the file and remove temporary space."""
        self.matrix.close()

    def __del__(self) -> None:
        with suppress(Exception):
            self.close()
