"""Matrices of an ``.h5ad`` file, written piece by piece in AnnData's on-disk encoding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import scipy.sparse as sp

if TYPE_CHECKING:
    import h5py

__all__ = ["DenseWriter", "SparseWriter"]

Array = np.ndarray[Any, Any]
INT32_MAX = np.iinfo(np.int32).max
#: Elements of an HDF5 chunk: half a megabyte of float32.
CHUNK = 1 << 17


class SparseWriter:
    """A CSR matrix that grows by blocks of rows, or a CSC matrix that grows by blocks of columns.

    Parameters
    ----------
    file, key
        Open HDF5 file and the name of the matrix in it.
    shape
        Cells x genes.
    axis
        ``"csr"`` or ``"csc"``.
    dtype
        Of the values.
    compression
        An HDF5 filter, or None.
    """

    def __init__(
        self,
        file: h5py.File,
        key: str,
        shape: tuple[int, int],
        axis: Literal["csr", "csc"],
        dtype: Any,
        compression: str | None = None,
    ) -> None:
        self.group, self.axis, self.ends = file.create_group(key), axis, [np.zeros(1, np.int64)]
        self.group.attrs.update({"encoding-type": f"{axis}_matrix", "encoding-version": "0.1.0", "shape": shape})
        filters = _filters(compression)
        self.data = self.group.create_dataset("data", (0,), dtype, maxshape=(None,), chunks=(CHUNK,), **filters)
        self.indices = self.group.create_dataset("indices", (0,), "i4", maxshape=(None,), chunks=(CHUNK,), **filters)

    def append(self, block: sp.csr_matrix | sp.csc_matrix) -> None:
        """Add the next rows (CSR) or columns (CSC)."""
        block = block.asformat(self.axis)
        start, stop = self.data.shape[0], self.data.shape[0] + block.nnz
        self.data.resize((stop,))
        self.indices.resize((stop,))
        self.data[start:stop], self.indices[start:stop] = block.data, block.indices
        self.ends.append(block.indptr[1:].astype(np.int64) + start)

    def finish(self) -> None:
        """Write where the rows or columns end; the matrix is complete then."""
        indptr = np.concatenate(self.ends)
        self.group.create_dataset("indptr", data=indptr.astype(np.int32) if indptr[-1] <= INT32_MAX else indptr)


class DenseWriter:
    """A dense matrix that is filled by blocks of rows, or by blocks of columns.

    Parameters
    ----------
    file, key, shape, dtype, compression
        As for :class:`SparseWriter`.
    by_columns
        Blocks are columns; HDF5 chunks are shaped to suit.
    together
        Rows of an HDF5 chunk, which holds all columns; by default as many as make half a megabyte.
    """

    def __init__(
        self,
        file: h5py.File,
        key: str,
        shape: tuple[int, int],
        dtype: Any,
        compression: str | None = None,
        *,
        by_columns: bool = False,
        together: int | None = None,
    ) -> None:
        n, g = shape
        rows = CHUNK // max(1, g) if together is None else together
        wide = (max(1, min(n, CHUNK // 64)), min(g, 64)) if by_columns else (max(1, min(n, rows)), g)
        self.dataset = file.create_dataset(key, shape, dtype, chunks=wide, **_filters(compression))
        self.dataset.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
        self.by_columns, self.at = by_columns, 0

    def append(self, block: Any) -> None:
        """Fill the next rows or columns."""
        dense = block.toarray() if sp.issparse(block) else np.asarray(block)
        stop = self.at + dense.shape[1 if self.by_columns else 0]
        place = np.s_[:, self.at : stop] if self.by_columns else np.s_[self.at : stop]
        self.dataset[place] = dense
        self.at = stop

    def finish(self) -> None:
        """Nothing is left to write."""
        return


def _filters(compression: str | None) -> dict[str, Any]:
    return {} if compression is None else {"compression": compression, "shuffle": True}
