"""What every normalisation is: a small estimator that fits on counts and gives values for the genes asked for."""

from __future__ import annotations

import weakref
from abc import abstractmethod
from collections.abc import Sequence
from numbers import Real
from typing import Any, ClassVar, Literal, Self, TypeAlias

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator

from corpuscle.counts import Block, Counts
from corpuscle.counts._source import BLOCK_ROWS
from corpuscle.counts._threads import for_each
from corpuscle.errors import MethodError, OptionError
from corpuscle.normalize._evaluate import (
    SMALL_COUNTS,
    by_lookup,
    chunks,
    dense_rows,
    major_positions,
    row_chunks,
    scatter,
)

__all__ = ["ColumnNormalizer", "MatrixNormalizer", "Normalizer", "Values"]

Array = np.ndarray[Any, Any]
#: What ``transform`` returns: a dense array, or where zero counts stay zero CSC (some genes) or CSR (all genes).
Values: TypeAlias = Any  # SciPy has no types, so that a union with its matrices could not be told apart again
INT32_MAX = np.iinfo(np.int32).max


class Normalizer(BaseEstimator):
    """Base of all normalisations; the constructor only stores parameters.

    Attributes
    ----------
    name
        Id in the registry and in every table.
    formula
        One line, for lists and reports.
    needs
        ``"columns"``: values of some genes can be had without touching the others, given what ``fit`` learnt and
        a few numbers per cell. ``"matrix"``: ``fit`` holds the whole matrix.
    keeps_zeros
        A count of zero becomes a value of zero, so ``transform`` returns a sparse matrix.
    reads_dense
        ``transform_rows`` is given dense blocks, as bulk samples are stored.
    """

    name: ClassVar[str]
    formula: ClassVar[str]
    needs: ClassVar[Literal["columns", "matrix"]]
    keeps_zeros: ClassVar[bool] = False
    reads_dense: ClassVar[bool] = False

    @property
    def inductive(self) -> bool:
        """Whether cells that ``fit`` has not seen can be transformed."""
        return self.needs == "columns"

    @abstractmethod
    def fit(self, counts: Counts) -> Self:
        """Learn size factors, gene statistics or a model from the stream."""

    @abstractmethod
    def transform(self, counts: Counts, genes: Sequence[str] | Array | None = None) -> Values:
        """Values of ``genes`` (all if None): n_obs x len(genes), float64."""

    def transform_rows(self, counts: Counts, x_ng: Any, rows: slice, *, dtype: Any = np.float64) -> Values:
        """Values of all genes for one block of cells, where the method can do with a block.

        Raises
        ------
        MethodError
            It cannot.
        """
        raise MethodError(f"{self.name}: needs the whole matrix and cannot be streamed; choose another method")


class ColumnNormalizer(Normalizer):
    """A normalisation that is a formula of one count, its cell and its gene.

    A subclass writes :meth:`values`, and :meth:`per_cell` or :meth:`fit_genes` where depth alone is not enough.

    Attributes
    ----------
    gene_free
        The formula looks at the count and the cell only, never at the gene: values of small counts are then
        computed once a cell and looked up. :meth:`values` gets an empty ``gene``.
    mean_depth_
        Mean total count of the cells it was fitted on.
    n_genes_
        Number of genes it was fitted on.
    """

    needs: ClassVar[Literal["columns", "matrix"]] = "columns"
    gene_free: ClassVar[bool] = False
    mean_depth_: float
    n_genes_: int

    # -- what a method writes --------------------------------------------------------------------------------

    def check_params(self) -> None:
        """Refuse parameters that make no sense; nothing by default.

        Raises
        ------
        OptionError
            A parameter is out of range.
        """
        return

    def fit_genes(self, counts: Counts) -> None:
        """Learn gene statistics; nothing by default."""
        return

    def per_cell(self, counts: Counts) -> tuple[Any, ...]:
        """Per-cell numbers that the formula needs, each (n_obs,); by default the depth."""
        return (nonzero_depth(counts),)

    def size_factors(self, counts: Counts) -> Array:
        """(n_obs,) depth over the mean depth of the cells it was fitted on."""
        return nonzero_depth(counts) / self.mean_depth_

    @abstractmethod
    def values(self, x: Array, gene: Array, *cell: Array) -> Array:
        """Evaluate the formula elementwise: counts ``x``, gene positions and per-cell numbers, which all broadcast."""

    def at_zero(self, gene: Array, *cell: Array) -> Array:
        """Evaluate the formula at a count of zero; worth writing where that is cheaper than the formula itself."""
        return self.values(np.zeros(1), gene, *cell)

    # -- what every method then can --------------------------------------------------------------------------

    def fit(self, counts: Counts) -> Self:
        """Learn the mean depth and whatever gene statistics the formula needs."""
        self.check_params()
        self.mean_depth_ = float(counts.profile().depth_n.mean())
        self.n_genes_ = counts.n_vars
        self._per_cell_memo: tuple[weakref.ref[Counts], tuple[Any, ...]] | None = None
        self.fit_genes(counts)
        return self

    def transform(
        self, counts: Counts, genes: Sequence[str] | Array | None = None, *, dtype: Any = np.float64
    ) -> Values:
        """Values of ``genes``.

        Parameters
        ----------
        counts
            Cells to transform; the genes must be those it was fitted on.
        genes
            Names, ids or positions; all genes if None.
        dtype
            float64 or float32 of what is returned; the formula is always evaluated in float64.

        Returns
        -------
        array or sparse matrix, n_obs x len(genes)
            Sparse if the method keeps zeros: CSC of some genes, CSR of all. Else dense.
        """
        self._check(counts)
        if genes is None:
            return self._all_genes(counts, dtype)
        cell = self._cell_numbers(counts)
        gene_k = counts.gene_index(genes)
        x_nk = counts.columns(gene_k)
        if not self.keeps_zeros:
            return self._dense(x_nk, gene_k, cell, np.empty(x_nk.shape, dtype))
        data = self._at_counts(x_nk, gene_k, cell, np.empty(x_nk.nnz, dtype))
        # Counts keeps the columns for the next method: what the caller does to its values must not reach them.
        return sp.csc_matrix((data, x_nk.indices.copy(), x_nk.indptr.copy()), shape=x_nk.shape)

    def transform_rows(self, counts: Counts, x_ng: sp.csr_matrix, rows: slice, *, dtype: Any = np.float64) -> Values:
        """Values of all genes for one block of cells, for writing a whole matrix as a stream: CSR or dense."""
        self._check(counts)
        gene, cell = np.arange(x_ng.shape[1]), self._block_numbers(counts, x_ng, rows)
        if not self.keeps_zeros:
            return self._dense(x_ng, gene, cell, np.empty(x_ng.shape, dtype))
        data = self._at_counts(x_ng, gene, cell, np.empty(x_ng.nnz, dtype))
        return sp.csr_matrix((data, x_ng.indices.copy(), x_ng.indptr.copy()), shape=x_ng.shape)

    def counterfactual(self, counts: Counts, x_nk: Array, gene: int) -> Array:
        """Values that other counts of one gene would have, everything else of the cells as it is.

        Parameters
        ----------
        counts
            The cells.
        x_nk
            (n_obs, k) counts that the gene could have had, e.g. k permutations over cells.
        gene
            Its position.

        Returns
        -------
        array, n_obs x k
        """
        self._check(counts)
        gene_k = np.full(x_nk.shape[1], gene)
        return self._dense(sp.csc_matrix(x_nk), gene_k, self._cell_numbers(counts), np.empty(x_nk.shape))

    def _all_genes(self, counts: Counts, dtype: Any) -> Values:
        gene, shape = np.arange(counts.n_vars), (counts.n_obs, counts.n_vars)
        self._prepare_blocks(counts)
        if not self.keeps_zeros:
            out_ng = np.empty(shape, dtype)

            def fill(block: Block) -> None:
                cell = self._block_numbers(counts, block.x_ng, block.rows)
                self._dense(block.x_ng, gene, cell, out_ng[block.rows])

            for_each(fill, counts.blocks(dense_rows(counts.n_vars, BLOCK_ROWS)))
            return out_ng
        indptr = np.concatenate([[0], np.cumsum(counts.profile().genes_n)])
        index_dtype = np.int32 if indptr[-1] <= INT32_MAX else np.int64
        data, indices = np.empty(indptr[-1], dtype), np.empty(indptr[-1], index_dtype)

        def fill_stored(block: Block) -> None:
            stored = slice(indptr[block.rows.start], indptr[block.rows.stop])
            cell = self._block_numbers(counts, block.x_ng, block.rows)
            self._at_counts(block.x_ng, gene, cell, data[stored])
            indices[stored] = block.x_ng.indices

        for_each(fill_stored, counts.blocks())
        return sp.csr_matrix((data, indices, indptr.astype(index_dtype)), shape=shape, copy=False)

    # -- one block -------------------------------------------------------------------------------------------

    def _prepare_blocks(self, counts: Counts) -> None:
        """Compute what all blocks share, before threads read it."""
        self._cell_numbers(counts)

    def _block_numbers(self, counts: Counts, x_ng: sp.csr_matrix, rows: slice) -> tuple[Any, ...]:
        """Per-cell numbers of the cells of one block, given all their counts."""
        return tuple(c[rows] for c in self._cell_numbers(counts))

    def _at_counts(self, x: sp.csr_matrix | sp.csc_matrix, gene: Array, cell: tuple[Any, ...], out: Array) -> Array:
        """Fill ``out`` (nnz,) with the values of the stored counts; ``gene`` are the positions of the columns."""
        if self.gene_free and x.nnz > 2 * SMALL_COUNTS * x.shape[0]:
            by_lookup(lambda count, row: self.values(count, gene[:0], *(c[row] for c in cell)), x, out)
            return out
        major = major_positions(x)
        row, column = (major, x.indices) if x.format == "csr" else (x.indices, major)
        for part in chunks(x.nnz):
            place = gene[:0] if self.gene_free else gene[column[part]]
            out[part] = self.values(x.data[part].astype(np.float64), place, *(c[row[part]] for c in cell))
        return out

    def _at_zeros(self, gene: Array, cell: tuple[Any, ...], out_nk: Array) -> None:
        """Fill ``out_nk`` with the values at a count of zero."""
        if self.keeps_zeros:
            out_nk[:] = 0
            return
        if self.gene_free:
            out_nk[:] = self.at_zero(gene[:0], *(c[:, None] for c in cell))
            return
        for rows in row_chunks(out_nk.shape):
            out_nk[rows] = self.at_zero(gene[None, :], *(c[rows, None] for c in cell))

    def _dense(self, x: sp.csr_matrix | sp.csc_matrix, gene: Array, cell: tuple[Any, ...], out_nk: Array) -> Array:
        self._at_zeros(gene, cell, out_nk)
        scatter(out_nk, x, self._at_counts(x, gene, cell, np.empty(x.nnz, out_nk.dtype)))
        return out_nk

    # -- what is remembered ----------------------------------------------------------------------------------

    def _check(self, counts: Counts) -> None:
        if not hasattr(self, "n_genes_"):
            raise MethodError(f"{self.name}: call fit before transform")
        if counts.n_vars != self.n_genes_:
            raise MethodError(f"{self.name}: fitted on {self.n_genes_:,} genes, asked to transform {counts.n_vars:,}")

    def _cell_numbers(self, counts: Counts) -> tuple[Any, ...]:
        memo = self._per_cell_memo
        if memo is None or memo[0]() is not counts:
            memo = self._per_cell_memo = (weakref.ref(counts), self.per_cell(counts))
        return memo[1]

    def __getstate__(self) -> dict[str, Any]:
        # The memo belongs to counts of this process, and a weak reference cannot be pickled.
        state = dict(super().__getstate__())
        if "_per_cell_memo" in state:
            state["_per_cell_memo"] = None
        return state


class MatrixNormalizer(Normalizer):
    """A normalisation that must see the whole matrix and gives values only for the cells it was fitted on."""

    needs = "matrix"
    n_cells_: int
    n_genes_: int

    def _check(self, counts: Counts) -> None:
        if not hasattr(self, "n_cells_"):
            raise MethodError(f"{self.name}: call fit before transform")
        if (counts.n_obs, counts.n_vars) != (self.n_cells_, self.n_genes_):
            raise MethodError(
                f"{self.name}: fitted on {self.n_cells_:,} cells x {self.n_genes_:,} genes and knows no others; "
                "fit on these"
            )


def require_positive(method: Normalizer, *params: str) -> None:
    """Refuse a parameter that is not a number above zero."""
    for param in params:
        require_number(method, param, above=0.0)


def require_number(
    method: Normalizer, param: str, *, above: float | None = None, at_least: float | None = None
) -> None:
    """Refuse a parameter that is not a number above, or not at least, some other."""
    value = getattr(method, param)
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if above is not None and not (is_number and value > above):
        raise OptionError(f"{method.name}: {param} is {value!r} and must be a number above {above:g}")
    if at_least is not None and not (is_number and value >= at_least):
        raise OptionError(f"{method.name}: {param} is {value!r} and must be a number of {at_least:g} or more")


def expected_share(counts: Counts) -> Array:
    """(g,) share of each gene in all counts; times a cell's depth, the count expected there."""
    profile = counts.profile()
    return profile.total_g / float(profile.depth_n.sum())


def nonzero_depth(counts: Counts) -> Array:
    """(n_obs,) depth as float64; an empty cell cannot be divided by its depth and is refused by name."""
    depth_n = counts.profile().depth_n
    if not depth_n.all():
        empty = int(np.argmin(depth_n))
        n_empty = int((depth_n == 0).sum())
        raise MethodError(
            f"{counts.name}: cell {counts.obs.index[empty]!s} has no counts ({n_empty} such cells); "
            "remove empty cells first"
        )
    return depth_n.astype(np.float64)
