"""What the normalisations of bulk samples share: numbers of a sample from its block alone, and dense blocks."""

from __future__ import annotations

import weakref
from functools import partial
from typing import Any, Self

import numba
import numpy as np
import scipy.sparse as sp

from corpuscle.counts import Block, Counts, map_blocks, reduce_blocks
from corpuscle.counts._check import as_unsigned
from corpuscle.counts._identity import check_genes
from corpuscle.errors import GeneError, MethodError
from corpuscle.normalize._base import Array, ColumnNormalizer, Values
from corpuscle.normalize._evaluate import row_chunks

__all__ = ["BulkNormalizer", "as_dense", "gene_totals", "refuse_other_genes", "refuse_samples", "sample_depths"]


class BulkNormalizer(ColumnNormalizer):
    """A normalisation whose numbers of a sample need no more than that sample and what ``fit`` has learnt.

    A block anywhere can therefore be transformed without a pass over the others, and new samples get the values
    that they would have had among any others. A subclass writes :meth:`values` and :meth:`_block_numbers`, and
    :meth:`fit_genes` where there is something to learn.

    Attributes
    ----------
    genes_
        Names of the genes it was fitted on; it is applied to no others.
    """

    reads_dense = True
    genes_: Array
    _per_cell_memo: Any = None
    _checked: Any = None

    def fit(self, counts: Counts) -> Self:
        """Learn what the formula needs; methods that need nothing read nothing."""
        self.check_params()
        self.n_genes_, self.genes_ = counts.n_vars, np.array(counts.var_names.astype(str), dtype=str)
        self._per_cell_memo, self._checked = None, None
        self.fit_genes(counts)
        return self

    def per_cell(self, counts: Counts) -> tuple[Any, ...]:
        """Per-sample numbers of all samples, in one pass."""
        here = counts if counts.scheduler is None else counts.local()
        parts = list(map_blocks(counts, partial(_numbers_of, self, here), dense=self.reads_dense))
        return tuple(np.concatenate(numbers) for numbers in zip(*parts, strict=True))

    def transform_rows(self, counts: Counts, x_ng: Any, rows: slice, *, dtype: Any = np.float64) -> Values:
        """Values of all genes for one block of samples, dense of a dense block.

        Raises
        ------
        MethodError
            A sample of the block has no counts, or the method cannot do with it; the sample is named.
        """
        if sp.issparse(x_ng):
            return super().transform_rows(counts, x_ng, rows, dtype=dtype)
        self._check(counts)
        cell, gene_g = self._block_numbers(counts, x_ng, rows), np.arange(x_ng.shape[1])[None, :]
        out_ng = np.empty(x_ng.shape, dtype)
        for part in row_chunks(x_ng.shape):
            out_ng[part] = self.values(x_ng[part].astype(np.float64), gene_g, *(c[part, None] for c in cell))
        return out_ng

    def _check(self, counts: Counts) -> None:
        if self._checked is None or self._checked() is not counts:
            if hasattr(self, "genes_"):
                refuse_other_genes(self.name, self.genes_, counts)
            super()._check(counts)
            self._checked = weakref.ref(counts)

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        state.pop("_checked", None)  # of counts of this process, like the numbers of the cells
        return state

    def _prepare_blocks(self, counts: Counts) -> None:
        return  # a block says all about its samples

    def _block_numbers(self, counts: Counts, x_ng: Any, rows: slice) -> tuple[Any, ...]:
        return (sample_depths(counts, x_ng, rows),)


def _numbers_of(method: BulkNormalizer, counts: Counts, block: Block) -> tuple[Any, ...]:
    return method._block_numbers(counts, block.x_ng, block.rows)


def as_dense(x_ng: Any) -> Array:
    """The block as a C-contiguous array of uint32 (int64 where a count is larger), for which kernels are compiled."""
    return np.ascontiguousarray(as_unsigned(x_ng.toarray() if sp.issparse(x_ng) else x_ng))


def refuse_other_genes(name: str, genes: Array, counts: Counts) -> None:
    """Raise GeneError unless counts have just these genes, in this order."""
    if np.array_equal(genes, counts.var_names.to_numpy(str)):
        return
    check_genes(list(genes), counts, f"the fitted {name}")
    raise GeneError(
        f"{counts.name}: has the {len(genes):,} genes of the fitted {name} among others or in another order; take "
        "them as they were fitted: counts.view(genes=check_genes(...))"
    )


def sample_depths(counts: Counts, x_ng: Any, rows: slice) -> Array:
    """(n,) total counts of the samples of a block as float64.

    Raises
    ------
    MethodError
        A sample has none; it is named.
    """
    depth_n = np.asarray(x_ng.sum(axis=1, dtype=np.int64)).ravel()
    if counts._depth_without is not None:
        depth_n = depth_n - counts._depth_without[rows]
    refuse_samples(counts, rows, depth_n == 0, "has no counts", "remove empty samples first")
    return depth_n.astype(np.float64)


def refuse_samples(counts: Counts, rows: slice, bad_n: Array, what: str, advice: str) -> None:
    """Raise MethodError naming the first sample of a block where ``bad_n`` is true."""
    if bad_n.any():
        first = counts.obs.index[rows.start + int(np.argmax(bad_n))]
        raise MethodError(f"{counts.name}: sample {first!s} {what}; {advice}")


class _GeneTotals:
    """Mergeable counts by gene: whole numbers."""

    def __init__(self, n_vars: int) -> None:
        self.total_g = np.zeros(n_vars, np.int64)

    def update(self, block: Block) -> None:
        """Add the samples of one block."""
        _add_totals(as_dense(block.x_ng), self.total_g)

    def merge(self, other: Self) -> None:
        """Add what another has seen."""
        self.total_g += other.total_g


@numba.njit(cache=True, nogil=True)
def _add_totals(x_ng: Array, total_g: Array) -> None:
    for i in range(x_ng.shape[0]):
        for j in range(x_ng.shape[1]):
            total_g[j] += x_ng[i, j]


def gene_totals(counts: Counts) -> Array:
    """(g,) counts of each gene in all samples, in one pass."""
    return reduce_blocks(counts, partial(_GeneTotals, counts.n_vars), dense=True, what="samples").total_g
