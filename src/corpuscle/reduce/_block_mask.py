"""Which entries are missing, where only zeros can be: one row of a clusters x genes table per cell."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from corpuscle.errors import OptionError

__all__ = ["BlockMask"]

#: Entries of the boolean block that is held at a time.
BLOCK_ENTRIES = 4_000_000


@dataclass(frozen=True, eq=False)
class BlockMask:
    """Observed and missing entries of a non-negative matrix, by clusters of cells.

    A non-zero is always observed. A zero of gene k in a cell of cluster c is a value where ``table_cd[c, k]``
    is true, and missing where it is false. The mask of n cells by d genes is held as n labels and one c x d
    table, so an operator on it can stay sparse plus a matrix of rank c.

    Parameters
    ----------
    labels_n : ndarray of int64, shape (n,)
        Cluster of each cell, 0 <= label < c.
    table_cd : ndarray of bool, shape (c, d)
        Whether a zero of the gene is real in the cluster.
    threshold : float
        Share of zeros within a cluster from which a zero is taken as real; NaN for a table made otherwise.
    n_clusterings : int
        Clusterings that voted.
    n_signatures : int
        Distinct tuples of labels over the clusterings, before any were merged.
    words : tuple of str
        What the reader of a result should know of the mask, a line each.

    Raises
    ------
    OptionError
        The labels are not whole numbers within the table, or the table is not boolean with two axes.
    """

    labels_n: npt.NDArray[np.int64]
    table_cd: npt.NDArray[np.bool_]
    threshold: float = float("nan")
    n_clusterings: int = 1
    n_signatures: int = 0
    words: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        labels_n, table_cd = np.asarray(self.labels_n), np.asarray(self.table_cd)
        if labels_n.ndim != 1 or not np.issubdtype(labels_n.dtype, np.integer):
            raise OptionError(f"labels of a block mask are {labels_n.dtype} {labels_n.shape}; give one integer a cell")
        if table_cd.ndim != 2 or table_cd.dtype != np.bool_:
            raise OptionError(
                f"table of a block mask is {table_cd.dtype} {table_cd.shape}; give booleans, clusters x genes"
            )
        if labels_n.size and not (labels_n.min() >= 0 and labels_n.max() < len(table_cd)):
            raise OptionError(
                f"labels of a block mask run from {labels_n.min()} to {labels_n.max()}; its table has {len(table_cd)} rows"
            )
        object.__setattr__(self, "labels_n", labels_n.astype(np.int64, copy=False))
        object.__setattr__(self, "table_cd", table_cd)
        if not self.n_signatures:
            object.__setattr__(self, "n_signatures", len(table_cd))

    @property
    def shape(self) -> tuple[int, int]:
        """Cells and genes."""
        return len(self.labels_n), self.table_cd.shape[1]

    @property
    def n_blocks(self) -> int:
        """Rows of the table."""
        return len(self.table_cd)

    def take(self, rows: npt.NDArray[Any] | slice | None = None, columns: npt.NDArray[Any] | None = None) -> BlockMask:
        """The mask of some cells and some genes."""
        labels_n = self.labels_n if rows is None else self.labels_n[rows]
        table_cd = self.table_cd if columns is None else self.table_cd[:, columns]
        return BlockMask(labels_n, table_cd, self.threshold, self.n_clusterings, self.n_signatures, self.words)

    def to_csr_missing(self, X: Any) -> sparse.csr_matrix:
        """Missing entries of ``X`` as a CSR matrix of ones.

        Parameters
        ----------
        X : array or sparse matrix, shape (n, d)
            The matrix masked; only which of its entries are zero is read. Explicit zeros count as zeros.

        Returns
        -------
        scipy.sparse.csr_matrix of int8, shape (n, d)
            1 where an entry is missing. Its size is the number of missing entries.

        Raises
        ------
        OptionError
            ``X`` is of another shape.
        """
        parts = [
            sparse.csr_matrix(missing_bd.view(np.int8)) for _, missing_bd in self._missing_blocks(self._non_zeros(X))
        ]
        return parts[0] if len(parts) == 1 else sparse.vstack(parts, format="csr", dtype=np.int8)

    def n_missing(self, X: Any) -> int:
        """Missing entries of ``X``: the zeros that the table does not call real."""
        return int(self.missing_by_cell(X).sum())

    def missing_by_cell(self, X: Any) -> npt.NDArray[np.int64]:
        """Missing entries of each cell of ``X``, shape (n,)."""
        at_nd = self._non_zeros(X)
        missing_n = (~self.table_cd).sum(axis=1)[self.labels_n]
        cells_z = np.repeat(np.arange(self.shape[0]), np.diff(at_nd.indptr))
        in_missing_z = ~self.table_cd[self.labels_n[cells_z], at_nd.indices]
        return np.asarray(missing_n - np.bincount(cells_z[in_missing_z], minlength=self.shape[0]), dtype=np.int64)

    def missing_by_gene(self, X: Any) -> npt.NDArray[np.int64]:
        """Missing entries of each gene of ``X``, shape (d,)."""
        at_nd = self._non_zeros(X)
        sizes_c = np.bincount(self.labels_n, minlength=self.n_blocks)
        missing_d = sizes_c @ (~self.table_cd).astype(np.int64)
        cells_z = np.repeat(np.arange(self.shape[0]), np.diff(at_nd.indptr))
        in_missing_z = ~self.table_cd[self.labels_n[cells_z], at_nd.indices]
        return np.asarray(missing_d - np.bincount(at_nd.indices[in_missing_z], minlength=self.shape[1]), dtype=np.int64)

    def _non_zeros(self, X: Any) -> sparse.csr_matrix:
        """CSR with one stored entry for each non-zero of ``X``; ``X`` itself is left alone."""
        if tuple(X.shape) != self.shape:
            raise OptionError(f"the block mask is of {self.shape[0]:,} x {self.shape[1]:,} entries, the matrix of "
                              f"{X.shape[0]:,} x {X.shape[1]:,}; make the mask of the matrix it is used with")  # fmt: skip
        at_nd = sparse.csr_matrix(X)
        if not at_nd.has_canonical_format or not at_nd.data.all():
            at_nd = at_nd.copy()
            at_nd.sum_duplicates()
            at_nd.eliminate_zeros()
        return at_nd

    def _missing_blocks(self, at_nd: sparse.csr_matrix) -> Iterator[tuple[int, npt.NDArray[np.bool_]]]:
        """The missing entries, some thousands of cells at a time."""
        n, d = self.shape
        rows = max(1, BLOCK_ENTRIES // max(d, 1))
        for start in range(0, max(n, 1), rows):
            stop = min(start + rows, n)
            missing_bd = ~self.table_cd[self.labels_n[start:stop]]
            first, last = at_nd.indptr[start], at_nd.indptr[stop]
            cells_z = np.repeat(np.arange(stop - start), np.diff(at_nd.indptr[start : stop + 1]))
            missing_bd[cells_z, at_nd.indices[first:last]] = False
            yield start, missing_bd
