"""Several genes under one symbol: which of them to keep."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from corpuscle.counts._passes import Progress, reduce_blocks
from corpuscle.counts._profile import Block

if TYPE_CHECKING:
    from corpuscle.counts._counts import Counts

__all__ = ["one_per_symbol"]

Array = np.ndarray[Any, Any]


def one_per_symbol(counts: Counts, progress: Progress | None = None) -> tuple[Array, list[str]]:
    """Of several genes with one symbol, the one with most counts; the first of them if they are level.

    Such genes are usually copies of each other, so their counts are never added up: that would multiply what was
    counted once.

    Parameters
    ----------
    counts
        Cells and genes. Where no symbol is there twice, nothing is read.
    progress
        Called after every block.

    Returns
    -------
    index : numpy.ndarray
        (k,) int64 positions of the genes to keep, ascending; for :meth:`Counts.view`.
    notes : list of str
        What was left out, in a line; empty if nothing was.
    """
    names = counts.var_names
    repeated_g = names.duplicated(keep=False)
    if not repeated_g.any():
        return np.arange(counts.n_vars, dtype=np.int64), []
    place_r = np.flatnonzero(repeated_g)
    total_r = _totals(counts, place_r, progress)
    symbol_r = np.unique(names[place_r].to_numpy(str), return_inverse=True)[1]
    order_r = np.lexsort((place_r, -total_r, symbol_r))
    best = order_r[np.r_[True, np.diff(symbol_r[order_r]) > 0]]
    keep_g = ~repeated_g
    keep_g[place_r[best]] = True
    left_out = counts.n_vars - int(keep_g.sum())
    note = (
        f"{counts.name}: {best.size:,} symbols stand for several genes, such as {names[place_r[best[0]]]}; of each the "
        f"gene with most counts is kept, {left_out:,} are left out"
    )
    return np.flatnonzero(keep_g).astype(np.int64), [note]


def _totals(counts: Counts, place_r: Array, progress: Progress | None) -> Array:
    """(r,) counts of the genes at these places over all cells."""
    known = counts.known_profile
    if known is not None:
        return known.total_g[place_r]
    dense = counts.stored_dense
    total: _Totals = reduce_blocks(
        counts, partial(_Totals, place_r), dense=dense, progress=progress, what="cells, for genes of one symbol"
    )
    return total.total_r


class _Totals:
    """Counts of some genes, added up over cells."""

    def __init__(self, place_r: Array) -> None:
        self.place_r, self.total_r = place_r, np.zeros(place_r.size, np.int64)

    def update(self, block: Block) -> None:
        """Add the cells of one block."""
        self.total_r += np.asarray(block.x_ng[:, self.place_r].sum(axis=0, dtype=np.int64)).ravel()

    def merge(self, other: _Totals) -> None:
        """Add what another has seen."""
        self.total_r += other.total_r
