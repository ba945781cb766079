"""What a file format must offer so that :class:`corpuscle.counts.Counts` can stream it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from corpuscle.counts._pick import pick_columns
from corpuscle.errors import SourceError

__all__ = ["BLOCK_ROWS", "SAMPLE_ROWS", "MemorySource", "Source"]

#: Rows a block holds unless the caller says otherwise: about 50 MB at 3,000 genes a cell.
BLOCK_ROWS = 2048
#: Rows that are looked at when a source is opened, so that a normalised file is refused at once.
SAMPLE_ROWS = 256


class Source(ABC):
    """One matrix, cells x genes, read in row ranges. Values are as stored: nothing is checked here.

    Attributes
    ----------
    name
        What messages call it: a path, with the layer where one was asked for.
    path
        The file or folder, or None for a matrix in memory.
    obs, var
        Cell and gene tables; the index of ``var`` holds the gene names.
    uns
        Unstructured metadata (plain ``str``, ``dict`` and arrays).
    layout
        How the values are stored, for people: ``"CSR"``, ``"CSC"``, ``"dense"``, ``"genes x cells, CSC"``, ...
    dtype
        The stored dtype of the values.
    layers
        Other matrices of the same shape that could be asked for instead.
    stored_together
        Rows that are best read together: those of one chunk.
    stored_dense
        Reading them dense is cheaper than as CSR.
    reopen
        (path, layer) with which another process opens the same; None where there is no such path.
    """

    name: str
    path: Path | None
    obs: pd.DataFrame
    var: pd.DataFrame
    uns: dict[str, Any]
    layout: str
    dtype: np.dtype[Any]
    layers: tuple[str, ...] = ()
    stored_together: int = 1024
    stored_dense: bool = False
    reopen: tuple[Path, str | None] | None = None

    @property
    def n_obs(self) -> int:
        """Number of cells."""
        return len(self.obs)

    @property
    def n_vars(self) -> int:
        """Number of genes."""
        return len(self.var)

    @abstractmethod
    def rows(self, start: int, stop: int) -> sp.csr_matrix:
        """Cells ``start`` to ``stop`` as CSR, (stop - start) x n_vars, any numeric dtype."""

    def dense(self, start: int, stop: int) -> np.ndarray[Any, Any]:
        """Cells ``start`` to ``stop`` as an array; worth writing where they are stored dense."""
        return self.rows(start, stop).toarray()

    def sample(self) -> sp.csr_matrix:
        """Some of the stored values, cheaply: cells from the first on, all of their genes or only some."""
        return self.rows(0, min(SAMPLE_ROWS, self.n_obs))

    def columns(self, index: np.ndarray[Any, Any]) -> sp.csc_matrix | None:
        """Genes at these positions as n_obs x len(index), or None where that is no cheaper than reading all rows."""
        return None

    def fingerprint(self) -> tuple[int, int, int] | None:
        """(inode, size, mtime in ns) of the file, to notice that it changes while it is read."""
        if self.path is None or not self.path.is_file():
            return None
        try:
            stat = self.path.stat()
        except OSError as error:
            raise SourceError(
                f"{self.name}: the file went away while it was read ({error.strerror}); run again"
            ) from None
        return stat.st_ino, stat.st_size, stat.st_mtime_ns

    def close(self) -> None:
        """Let go of open files and temporary space. Calling it twice is harmless."""
        return


class MemorySource(Source):
    """A CSR matrix that is already in memory.

    Attributes
    ----------
    checked
        Its maker knows it to be canonical integer CSR that nobody else changes, so that it need not be checked again.
    """

    def __init__(
        self,
        x_ng: sp.csr_matrix,
        obs: pd.DataFrame,
        var: pd.DataFrame,
        *,
        uns: dict[str, Any] | None = None,
        name: str = "AnnData",
        layout: str = "CSR",
        layers: tuple[str, ...] = (),
        checked: bool = False,
    ) -> None:
        self.x_ng, self.obs, self.var, self.checked = x_ng, obs, var, checked
        self.uns, self.name, self.layout = uns or {}, name, layout
        self.path, self.dtype, self.layers = None, x_ng.dtype, layers

    def rows(self, start: int, stop: int) -> sp.csr_matrix:
        """Cells ``start`` to ``stop``, as a view: nothing is copied."""
        x_ng, stop = self.x_ng, min(stop, self.n_obs)
        if start == 0 and stop == self.n_obs:
            return x_ng
        indptr = x_ng.indptr[start : stop + 1]
        stored = slice(indptr[0], indptr[-1])
        return csr_of(x_ng.data[stored], x_ng.indices[stored], indptr - indptr[0], (stop - start, x_ng.shape[1]))

    def columns(self, index: np.ndarray[Any, Any]) -> sp.csc_matrix | None:
        """Some genes of all cells as CSC, if the matrix is known to be canonical."""
        return pick_columns(self.x_ng, index) if self.checked else None


def csr_of(
    data: np.ndarray[Any, Any], indices: np.ndarray[Any, Any], indptr: np.ndarray[Any, Any], shape: tuple[int, int]
) -> sp.csr_matrix:
    """CSR of these very arrays; SciPy's constructor copies an array that is a view of a much larger one."""
    out = sp.csr_matrix(shape, dtype=data.dtype)
    out.data, out.indices, out.indptr = data, indices, indptr
    return out
