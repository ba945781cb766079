"""Which genes of a collection are worth looking at: those with enough reads in enough samples, each symbol once."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from corpuscle.counts import Block, reduce_blocks
from corpuscle.counts._duplicates import one_per_symbol
from corpuscle.errors import MethodError, OptionError

if TYPE_CHECKING:
    from corpuscle.counts import Counts
    from corpuscle.counts._passes import Progress

__all__ = ["GeneTally", "empty_rows", "expressed_genes", "most_variable"]

Array = np.ndarray[Any, Any]


class GeneTally:
    """Mergeable count of the samples in which each gene has more than ``min_reads`` reads.

    Attributes
    ----------
    n
        Samples seen.
    samples_g
        (g,) int64 samples with more than ``min_reads`` reads of the gene.
    n_empty, first_empty
        Samples without any count, and the place of the first one (-1 if there is none).
    """

    def __init__(self, n_vars: int, min_reads: float) -> None:
        self.min_reads = min_reads
        self.n, self.n_empty, self.first_empty = 0, 0, -1
        self.samples_g = np.zeros(n_vars, np.int64)

    def update(self, block: Block) -> None:
        """Add the samples of one block, dense or CSR."""
        x_ng = block.x_ng
        if isinstance(x_ng, np.ndarray):
            self.samples_g += np.count_nonzero(x_ng > self.min_reads, axis=0)
        else:
            gene = x_ng.indices[x_ng.data > self.min_reads]
            self.samples_g += np.bincount(gene, minlength=len(self.samples_g))
        empty = empty_rows(x_ng)
        first = block.rows.start + int(empty[0]) if len(empty) else -1
        self._add(x_ng.shape[0], len(empty), first)

    def merge(self, other: Self) -> None:
        """Add what another tally has seen."""
        self.samples_g += other.samples_g
        self._add(other.n, other.n_empty, other.first_empty)

    def _add(self, n: int, n_empty: int, first_empty: int) -> None:
        self.n += n
        self.n_empty += n_empty
        if first_empty >= 0 and (self.first_empty < 0 or first_empty < self.first_empty):
            self.first_empty = first_empty


def empty_rows(x_ng: Any) -> Array:
    """Rows of a checked block, dense or CSR, in which nothing was counted."""
    if isinstance(x_ng, np.ndarray):
        return np.flatnonzero(~x_ng.any(axis=1))
    return np.flatnonzero(np.diff(x_ng.indptr) == 0)


def expressed_genes(
    counts: Counts, *, min_reads: float, min_share: float, dense: bool, progress: Progress | None = None
) -> tuple[Array, list[str]]:
    """Positions of the genes with more than ``min_reads`` reads in at least ``min_share`` of the samples.

    Of several genes with one symbol, the one with most counts is looked at.

    Parameters
    ----------
    counts
        The samples.
    min_reads, min_share
        The bounds.
    dense
        Read dense blocks, as bulk samples are stored.
    progress
        Called after every block.

    Returns
    -------
    index_k
        (k,) int64 positions, ascending.
    notes
        Lines on what was left out.

    Raises
    ------
    MethodError
        A sample has no counts.
    OptionError
        No gene has so many reads.
    """
    make = partial(GeneTally, counts.n_vars, min_reads)
    tally = reduce_blocks(counts, make, dense=dense, progress=progress, what="reads of genes")
    if tally.n_empty:
        raise MethodError(
            f"{counts.name}: sample {counts.obs.index[tally.first_empty]!s} has no counts "
            f"({tally.n_empty:,} such samples); remove them first"
        )
    enough_g = tally.samples_g >= max(min_share * tally.n, 1)
    if not enough_g.any():
        raise OptionError(
            f"{counts.name}: no gene has more than {min_reads:g} reads in {min_share:.1%} of the {tally.n:,} samples; "
            "lower min_reads (0 for single cells) or min_share, or leave shallow samples out"
        )
    single, notes = one_per_symbol(counts)
    enough_g &= np.isin(np.arange(counts.n_vars), single)
    kept = np.flatnonzero(enough_g)
    return kept, [*notes, f"{len(kept):,} of {counts.n_vars:,} genes have more than {min_reads:g} reads often enough"]


def most_variable(variance_k: Array, mean_k: Array, n_genes: int | None) -> Array:
    """(j,) ascending positions of the ``n_genes`` most variable genes; genes that do not vary are never among them.

    The plain variance of the normalised values is what decides, not the distance to a trend over the mean: genes whose
    variance is sampling noise are gone with those of few reads, and a trend would take from the markers of a tissue,
    which are strong and vary much, in favour of genes that vary a little more than others of their strength.
    """
    # float32 values of one height differ by rounding only
    varies = np.flatnonzero(variance_k > 1e-10 * np.maximum(mean_k**2, 1e-6))
    order = np.argsort(-variance_k[varies], kind="stable")
    return np.sort(varies[order if n_genes is None else order[:n_genes]])
