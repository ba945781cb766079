"""Methods whose value depends on where a count stands among all counts of its cell.

A cell has few distinct counts (some dozens in droplet data), so what such a method must know of a cell is a short
table: each distinct count, how many genes are below it, and the value that all genes with that count get.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import scipy.sparse as sp

from corpuscle.counts import Counts
from corpuscle.normalize._base import Array, ColumnNormalizer

__all__ = ["CellwiseNormalizer", "Ties", "ties"]

#: Counts below this are sorted by counting them; the few above, by comparison.
BUCKETS = 1024


@dataclass(frozen=True, slots=True)
class Ties:
    """The distinct non-zero counts of each cell, ascending, as ragged rows.

    Attributes
    ----------
    indptr
        (n + 1,) where the row of each cell starts.
    count
        (m,) the distinct counts.
    below
        (m,) genes of the cell with a smaller count, zeros included.
    tied
        (m,) genes of the cell with just that count.
    zeros
        (n,) genes of each cell with no count.
    """

    indptr: Array
    count: Array
    below: Array
    tied: Array
    zeros: Array


@numba.njit(cache=True, nogil=True)
def _distinct(count: Array, indptr: Array, n_vars: int, bucket: Array, out: tuple[Array, Array, Array, Array]) -> int:
    out_indptr, out_count, out_below, out_tied = out
    m = 0
    for i in range(indptr.size - 1):
        start, stop = indptr[i], indptr[i + 1]
        below, top, n_large = n_vars - (stop - start), 0, 0
        for k in range(start, stop):
            c = count[k]
            if c < bucket.size:
                bucket[c] += 1
                top = max(top, c)
            else:
                n_large += 1
        for c in range(1, top + 1):
            if bucket[c]:
                out_count[m], out_below[m], out_tied[m] = c, below, bucket[c]
                below += bucket[c]
                bucket[c] = 0
                m += 1
        if n_large:
            row = count[start:stop]
            for c in np.sort(row[row >= bucket.size]):
                if m > out_indptr[i] and out_count[m - 1] == c:
                    out_tied[m - 1] += 1
                else:
                    out_count[m], out_below[m], out_tied[m] = c, below, 1
                    m += 1
                below += 1
        out_indptr[i + 1] = m
    return m


def ties(x_ng: sp.csr_matrix) -> Ties:
    """Ties of every cell of a canonical CSR block."""
    n, n_vars = x_ng.shape
    indptr = np.zeros(n + 1, np.int64)
    count, below, tied = (np.empty(x_ng.nnz, np.int64) for _ in range(3))
    bucket = np.zeros(BUCKETS, np.int64)
    m = _distinct(x_ng.data, x_ng.indptr, n_vars, bucket, (indptr, count, below, tied))
    return Ties(indptr, count[:m].copy(), below[:m].copy(), tied[:m].copy(), n_vars - np.diff(x_ng.indptr))


@dataclass(frozen=True, slots=True)
class _Table:
    """What each cell's counts become; ``table[rows]`` is that of some consecutive cells."""

    indptr: Array
    count: Array
    value: Array
    zero: Array

    def __getitem__(self, rows: slice) -> _Table:
        start, stop, _ = rows.indices(self.zero.size)
        kept = slice(self.indptr[start], self.indptr[stop])
        indptr = self.indptr[start : stop + 1] - self.indptr[start]
        return _Table(indptr, self.count[kept], self.value[kept], self.zero[start:stop])


@numba.njit(cache=True, nogil=True)
def _find(c: int, start: int, stop: int, distinct: Array) -> int:
    # Counts from 1 up are mostly all there, so that the c-th entry is the first guess.
    k = start + c - 1
    if k < stop and distinct[k] == c:
        return k
    # A count that the cell does not have (a counterfactual) stands at the next larger one, or at the largest.
    return min(start + int(np.searchsorted(distinct[start:stop], c)), stop - 1)


@numba.njit(cache=True, nogil=True)
def _look_up_rows(count: Array, x_indptr: Array, indptr: Array, distinct: Array, value: Array, out: Array) -> None:
    for i in range(x_indptr.size - 1):
        for k in range(x_indptr[i], x_indptr[i + 1]):
            out[k] = value[_find(count[k], indptr[i], indptr[i + 1], distinct)]


@numba.njit(cache=True, nogil=True)
def _look_up_columns(count: Array, row: Array, indptr: Array, distinct: Array, value: Array, out: Array) -> None:
    for k in range(count.size):
        out[k] = value[_find(count[k], indptr[row[k]], indptr[row[k] + 1], distinct)]


class CellwiseNormalizer(ColumnNormalizer):
    """Base of the methods that map each cell's counts by where they stand in that cell.

    ``transform`` streams all cells once for their tables, keeps those, and then reads only the columns asked for.
    """

    gene_free = True

    @abstractmethod
    def tie_values(self, ties: Ties) -> tuple[Array, Array]:
        """Values of the distinct counts (m,) and of the zeros of each cell (n,)."""

    def values(self, x: Array, gene: Array, *cell: Array) -> Array:
        """Not to be had from one count alone: :meth:`transform` looks it up in the cell's table."""
        raise NotImplementedError(f"{self.name} is a formula of a whole cell, not of one count")

    def per_cell(self, counts: Counts) -> tuple[Any, ...]:
        """Tables of all cells."""
        parts = [self._table(block.x_ng) for block in counts.blocks()]
        ends = np.cumsum([0, *(part.count.size for part in parts)])
        starts = [part.indptr[:-1] + end for part, end in zip(parts, ends[:-1], strict=True)]
        return (
            _Table(
                np.concatenate([*starts, ends[-1:]]),
                np.concatenate([part.count for part in parts]),
                np.concatenate([part.value for part in parts]),
                np.concatenate([part.zero for part in parts]),
            ),
        )

    def _table(self, x_ng: sp.csr_matrix) -> _Table:
        found = ties(x_ng)
        value, zero = self.tie_values(found)
        return _Table(found.indptr, found.count, value, zero)

    def _prepare_blocks(self, counts: Counts) -> None:
        return  # a block holds its cells whole, so a stream needs no table of all

    def _block_numbers(self, counts: Counts, x_ng: sp.csr_matrix, rows: slice) -> tuple[Any, ...]:
        return (self._table(x_ng),)

    def _at_counts(self, x: sp.csr_matrix | sp.csc_matrix, gene: Array, cell: tuple[Any, ...], out: Array) -> Array:
        table: _Table = cell[0]
        if x.format == "csr":
            _look_up_rows(x.data, x.indptr, table.indptr, table.count, table.value, out)
        else:
            _look_up_columns(x.data, x.indices, table.indptr, table.count, table.value, out)
        return out

    def _at_zeros(self, gene: Array, cell: tuple[Any, ...], out_nk: Array) -> None:
        out_nk[:] = cell[0].zero[:, None]
