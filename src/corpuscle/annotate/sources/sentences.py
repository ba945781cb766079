"""Cells as sentences: the names of the genes that each expresses most."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from corpuscle.errors import OptionError

if TYPE_CHECKING:
    from corpuscle.annotate._expression import Expression

__all__ = ["RANKINGS", "TEMPLATE", "cell_sentences", "mean_expression", "top_genes"]

Array = np.ndarray[Any, Any]
TEMPLATE = "A cell with genes highly expressed: {genes}"
RANKINGS = ("value", "excess")


def cell_sentences(
    expression: Expression,
    n_genes: int = 50,
    template: str = TEMPLATE,
    *,
    ranking: str = "value",
    separator: str = " ",
) -> Iterator[str]:
    """Yield one sentence a cell, a block of cells in memory at a time.

    Parameters
    ----------
    expression
        Log expression of the cells.
    n_genes
        Genes to name at most; a cell that expresses fewer names those.
    template
        The sentence; ``{genes}`` stands for the names.
    ranking
        ``"value"``: highest log expression first. ``"excess"``: highest log expression over the mean of all cells first, so
        that genes which all cells express, ribosomal ones above all, leave room for those that tell cells apart; only genes
        that are above their mean are named, and the source is passed over twice.
    separator
        Between two names.

    Raises
    ------
    OptionError
        An option makes no sense.
    MethodError
        A cell has no expression at all.

    Notes
    -----
    Genes with equal values stand in the order that they have in the source. Names are the symbols in capitals, those of the
    mouse replaced by their human partner; of columns with the same symbol each is named for itself.
    """
    _check(n_genes, template, ranking)
    mean_g = mean_expression(expression) if ranking == "excess" else None
    before, after = template.split("{genes}")
    names = expression.symbols
    for _, x_ng in expression.blocks():
        for genes in top_genes(x_ng, n_genes, mean_g):
            yield f"{before}{separator.join(names[gene] for gene in genes)}{after}"


def top_genes(x_ng: sp.csr_matrix, n_genes: int, mean_g: Array | None = None) -> Iterator[Array]:
    """Yield the columns of each row's highest values, highest first, equal ones by column.

    Parameters
    ----------
    x_ng
        Canonical CSR of values above 0.
    n_genes
        Columns to yield at most.
    mean_g
        (g,) taken from the values first; only values above it are ranked.
    """
    for start, stop in zip(x_ng.indptr[:-1], x_ng.indptr[1:], strict=True):
        genes, value = x_ng.indices[start:stop], x_ng.data[start:stop]
        if mean_g is not None:
            value = value - mean_g[genes]
            above = value > 0
            genes, value = genes[above], value[above]
        if value.size > n_genes:
            # Sorting only what reaches the n-th value, ties included, keeps a row linear in what it holds.
            least = np.partition(value, value.size - n_genes)[value.size - n_genes]
            reach = value >= least
            genes, value = genes[reach], value[reach]
        yield genes[np.argsort(-value, kind="stable")[:n_genes]]


def mean_expression(expression: Expression) -> Array:
    """(g,) float32 mean log expression over all cells, in one pass."""
    sum_g = np.zeros(expression.n_genes)
    for _, x_ng in expression.blocks():
        sum_g += np.asarray(x_ng.sum(axis=0, dtype=np.float64)).ravel()
    return (sum_g / expression.n_cells).astype(np.float32)


def _check(n_genes: int, template: str, ranking: str) -> None:
    if n_genes < 1:
        raise OptionError(f"n_genes must be at least 1, not {n_genes}")
    if template.count("{genes}") != 1:
        raise OptionError(f"the sentence {template!r} must have {{genes}} once, where the names go")
    if ranking not in RANKINGS:
        raise OptionError(f"ranking {ranking!r} is none of {', '.join(RANKINGS)}")
