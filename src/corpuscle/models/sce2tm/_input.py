"""The door of the model: AnnData in, arrays over the model's genes out, and refusals in one line."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import scipy.sparse as sp

from corpuscle.counts import Counts, open_counts
from corpuscle.counts._gene_names import identifier_kind
from corpuscle.counts._source import csr_of
from corpuscle.errors import MethodError, OptionError, SourceError
from corpuscle.models._cells import checked_view
from corpuscle.models._expression import highly_variable, log_normalise
from corpuscle.models._genes import InputWarning, check_unique, match_genes
from corpuscle.models.sce2tm._card import Expression, Setup
from corpuscle.models.sce2tm.recipe import Recipe

__all__ = ["TrainingData", "check_setup", "expression_blocks", "open_expression", "prepare", "second_view"]

Array = np.ndarray[Any, Any]
#: Fewer cells are no data set to learn topics from.
FEWEST_CELLS = 10
#: Cells read, normalised and aligned at a time.
BLOCK_CELLS = 4096
#: Names looked at to tell barcodes from genes.
NAMES_SEEN = 1000


@dataclass(frozen=True)
class TrainingData:
    """Cells as the model sees them.

    Attributes
    ----------
    x_ng
        (n, V) float32 CSR of log expression.
    genes
        Names of the V genes.
    view_ne
        (n, E) float32 second view, or None.
    batch_n, batches
        (n,) int64 batch of each cell (-1: none that the model knows), or None, and the names of the batches.
    share_g, detected_g
        (V,) float32 share of all expression that a gene has, and share of cells that express it.
    """

    x_ng: sp.csr_matrix
    genes: list[str]
    view_ne: Array | None
    batch_n: Array | None
    batches: list[str]
    share_g: Array
    detected_g: Array

    @property
    def mean_row_sum(self) -> float:
        """Mean sum of a cell's expression over the genes."""
        return float(self.x_ng.sum(dtype=np.float64) / self.x_ng.shape[0])


def check_setup(adata: Any, setup: Setup) -> None:
    """Refuse an AnnData that lacks what the setup names, or whose axes are wrong.

    Raises
    ------
    OptionError
        It is a view, or there is no such layer, second view or batch column.
    GeneError
        A gene name repeats.
    SourceError
        The matrix is genes x cells.
    MethodError
        The second view is no matrix of finite numbers.
    """
    if not hasattr(adata, "obsm") or adata.is_view:
        what = "a view of an AnnData; use adata.copy()" if hasattr(adata, "obsm") else f"no AnnData but {type(adata)}"
        raise OptionError(f"the cells to set up are {what}")
    if setup.expression not in get_args(Expression):
        raise OptionError(f"expression={setup.expression!r} must be one of: {', '.join(get_args(Expression))}")
    if setup.layer is not None and setup.layer not in adata.layers:
        have = ", ".join(adata.layers) or "none"
        more = "; for raw, set up adata.raw.to_adata()" if setup.layer == "raw" else ""
        raise OptionError(f"AnnData: no layer is called {setup.layer!r}; it has: {have}{more}")
    if identifier_kind(adata.var_names[:NAMES_SEEN]).kind == "cell barcode":
        raise SourceError(
            f"AnnData: its genes are called like cells ({adata.var_names[0]}); it must be cells x genes: use adata.T"
        )
    check_unique(list(map(str, adata.var_names)), "AnnData")
    if setup.foundation_key is not None:
        second_view(adata, setup.foundation_key)
    if setup.batch_key is not None:
        _check_batches(adata, setup.batch_key)


def second_view(adata: Any, key: str) -> Array:
    """``obsm[key]`` as (n, E) float32.

    Raises
    ------
    OptionError
        It is not there.
    MethodError
        It is no matrix of finite numbers with a row for every cell.
    """
    if key not in adata.obsm:
        raise OptionError(
            f"AnnData: obsm has no {key!r} for the second view; it has: {', '.join(adata.obsm) or 'none'}"
        )
    return checked_view(adata.obsm[key], adata.n_obs, key=key, cells=adata.obs_names)


def _check_batches(adata: Any, key: str) -> None:
    if key not in adata.obs:
        raise OptionError(
            f"AnnData: obs has no column {key!r} for the batches; it has: {', '.join(adata.obs) or 'none'}"
        )
    unknown = adata.obs[key].isna().to_numpy()
    if unknown.any():
        raise OptionError(
            f"AnnData: the batch of cell {adata.obs_names[int(np.argmax(unknown))]} is not known (obs[{key!r}], "
            f"{int(unknown.sum()):,} such cells); name it or leave these cells out"
        )


def prepare(
    adata: Any,
    setup: Setup,
    recipe: Recipe,
    genes: Sequence[str] | None = None,
    batches: Sequence[str] | None = None,
) -> TrainingData:
    """Read, check and normalise the cells, and choose the genes.

    Parameters
    ----------
    adata
        Cells x genes that :func:`check_setup` has passed.
    setup, recipe
        Where the input is, and the choices.
    genes, batches
        Genes and batches of a model that is there already; by default the highly variable genes, chosen on these
        cells, and all their batches.

    Raises
    ------
    NotCountsError
        A value is not a count, or (logged values) is negative or not finite.
    MethodError
        Too few cells, or a cell without any expression.
    OptionError
        More topics than genes.
    """
    batch_n, batches = _batches(adata, setup.batch_key, batches)
    if genes is None:
        x_ng, genes = _chosen(adata, setup, recipe, batch_n)
    else:
        with open_expression(adata, setup.layer, setup.expression) as counts:
            blocks = list(expression_blocks(counts, genes, recipe.target_sum, setup.expression))
        x_ng = sp.vstack(blocks, format="csr")
    expressed_g = np.asarray(x_ng.sum(axis=0, dtype=np.float64)).ravel()
    return TrainingData(
        x_ng=x_ng,
        genes=list(genes),
        view_ne=None if setup.foundation_key is None else second_view(adata, setup.foundation_key),
        batch_n=batch_n,
        batches=batches,
        share_g=(expressed_g / max(expressed_g.sum(), np.finfo(float).tiny)).astype(np.float32),
        detected_g=(np.bincount(x_ng.indices, minlength=x_ng.shape[1]) / x_ng.shape[0]).astype(np.float32),
    )


def _chosen(adata: Any, setup: Setup, recipe: Recipe, batch_n: Array | None) -> tuple[sp.csr_matrix, list[str]]:
    """Log expression of all cells over the highly variable genes, and their names."""
    with open_expression(adata, setup.layer, setup.expression) as counts:
        if counts.n_obs < FEWEST_CELLS:
            raise MethodError(
                f"{counts.name}: {counts.n_obs} cells are too few to learn topics from; it takes hundreds"
            )
        blocks = [block.x_ng for block in counts.blocks(max(BLOCK_CELLS, counts.n_obs), fractional=_logged(setup))]
        x_ng = blocks[0] if len(blocks) == 1 else sp.vstack(blocks, format="csr")
        _check_depth(x_ng, counts)
        x_ng = _logged_values(x_ng, recipe.target_sum, setup.expression)
        chosen = highly_variable(x_ng, recipe.n_top_genes, batch_n)
        names = [str(counts.var_names[gene]) for gene in chosen]
    if recipe.n_topics > len(names):
        raise OptionError(
            f"n_topics={recipe.n_topics} is more than the {len(names):,} genes that the model sees; take fewer topics or "
            "more genes (n_top_genes)"
        )
    return x_ng[:, chosen].tocsr(), names


def _logged(setup: Setup) -> bool:
    return setup.expression == "log"


def _check_depth(x_ng: sp.csr_matrix, counts: Counts) -> None:
    empty_n = np.asarray(x_ng.sum(axis=1)).ravel() == 0
    if empty_n.any():
        raise MethodError(
            f"{counts.name}: cell {counts.obs.index[int(np.argmax(empty_n))]} has no counts ({int(empty_n.sum()):,} such "
            "cells); remove empty cells first"
        )


def _batches(adata: Any, key: str | None, known: Sequence[str] | None) -> tuple[Array | None, list[str]]:
    """Batch of each cell by its place among the names, and the names; -1 for a batch that is not known."""
    import pandas as pd

    if key is None:
        return None, []
    batch_n = adata.obs[key].astype(str).to_numpy()
    names = pd.Index(sorted(set(batch_n)) if known is None else known)
    # One batch has nothing to be told apart from.
    return (None, []) if len(names) < 2 else (names.get_indexer(batch_n).astype(np.int64), [str(one) for one in names])


@contextmanager
def open_expression(source: Any, layer: str | None, expression: Expression) -> Iterator[Counts]:
    """Open cells that a model is to see: an AnnData, or whatever :func:`corpuscle.counts.open_counts` takes."""
    if isinstance(source, Counts):  # whose owner closes it
        yield source
        return
    with open_counts(source, layer, check=expression == "counts") as counts:
        yield counts


def expression_blocks(
    counts: Counts, genes: Sequence[str], target_sum: float | None, expression: Expression
) -> Iterator[sp.csr_matrix]:
    """Yield the log expression of cells over the genes of a model, so many cells at a time.

    A cell without any expression has no profile: it gets a NaN, which makes NaN of all that follows from it.

    Parameters
    ----------
    counts
        Cells, with their genes in any order.
    genes
        (V,) names of the model's genes; missing ones are zero, with a warning.
    target_sum
        Of the normalisation; None for none.
    expression
        Whether the values are counts or logged already.

    Raises
    ------
    NotCountsError, GeneError
        See :func:`prepare` and :func:`corpuscle.models._genes.match_genes`.
    """
    match = match_genes([str(name) for name in counts.var_names], genes, source=counts.name)
    n_empty = 0
    for block in counts.blocks(BLOCK_CELLS, fractional=expression == "log"):
        filled_n = np.diff(block.x_ng.indptr) > 0
        x_ng = _logged_values(block.x_ng[filled_n], target_sum, expression)
        # Empty cells store nothing, so that the entries are those of the whole block.
        x_ng = match.take(csr_of(x_ng.data, x_ng.indices, block.x_ng.indptr, block.x_ng.shape))
        if not filled_n.all():
            n_empty += int((~filled_n).sum())
            x_ng = _with_nan(x_ng, np.flatnonzero(~filled_n))
        yield x_ng
    if n_empty:
        warnings.warn(
            f"{counts.name}: {n_empty:,} cells have no counts; their topics are NaN", InputWarning, stacklevel=4
        )


def _with_nan(x_ng: sp.csr_matrix, rows: Array) -> sp.csr_matrix:
    entries = (np.full(rows.size, np.nan, np.float32), (rows, np.zeros(rows.size, np.int32)))
    return (x_ng + sp.csr_matrix(entries, shape=x_ng.shape)).tocsr()


def _logged_values(x_ng: sp.csr_matrix, target_sum: float | None, expression: Expression) -> sp.csr_matrix:
    return x_ng.astype(np.float32) if expression == "log" else log_normalise(x_ng, target_sum)
