"""Exact medians in bounded memory: histograms tell in which bin a median lies, and only that bin's values are kept."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numba
import numpy as np

from corpuscle.corpus._histogram import BINS, GeneHistograms, bin_codes
from corpuscle.corpus._portions import GeneBlock, Portion, blocks_to_do, gene_block
from corpuscle.counts._threads import map_ordered
from corpuscle.counts._workers import Workers
from corpuscle.errors import SourceError

__all__ = ["BUDGET_VALUES", "block_values", "exact_medians"]

Array = np.ndarray[Any, Any]

#: Values of middle bins that are held at a time: 12 bytes each, and about as much again to sort them.
BUDGET_VALUES = 8_000_000


@numba.njit(cache=True, nogil=True)
def _values(csr: tuple[Array, Array, Array], slot_f: Array, depth_n: Array) -> tuple[Array, Array]:
    count, gene, indptr = csr
    slots, values = np.empty(gene.size, np.int32), np.empty(gene.size, np.float64)
    n = 0
    for i in range(indptr.size - 1):
        for k in range(indptr[i], indptr[i + 1]):
            slot = slot_f[np.uint32(gene[k])]
            if slot >= 0:
                slots[n] = slot
                values[n] = np.float64(count[k]) / depth_n[i] * 10_000.0
                n += 1
    return slots[:n], values[:n]


def block_values(block: GeneBlock) -> tuple[Array, Array]:
    """Gene and value ``count / depth * 10,000`` of each non-zero count."""
    return _values(block.csr, block.slot_f, block.depth_n)


def exact_medians(
    crew: Workers, units: list[tuple[Portion, ...]], histograms: GeneHistograms, budget: int = BUDGET_VALUES
) -> tuple[Array, Array]:
    """(g,) medians, NaN for a gene without values, and (g,) numbers of values.

    The cells are read again, once for every group of genes whose values in the middle bins fit the budget; mostly
    that is once. A single gene may go beyond the budget.

    Parameters
    ----------
    crew, units
        Who reads what.
    histograms
        Of the very same cells.
    budget
        Number of values to hold at a time.

    Raises
    ------
    SourceError
        The cells are not those that the histograms have seen.
    """
    n_g, low_g, high_g, below_g = histograms.middle()
    held_g = histograms.counts_in(low_g) + np.where(high_g != low_g, histograms.counts_in(high_g), 0)
    medians_g = np.full(n_g.size, np.nan)
    for genes in _groups(held_g, budget):
        chosen = np.zeros(n_g.size, bool)
        chosen[genes] = True
        work = partial(_collect, low_g=np.where(chosen, low_g, BINS), high_g=np.where(chosen, high_g, BINS))
        parts = list(crew.map(work, units))
        slots, values = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        parts.clear()
        if not np.array_equal(np.bincount(slots, minlength=n_g.size)[genes], held_g[genes]):
            raise SourceError("a source changed between two passes over it; run again once it is still")
        order = np.lexsort((values, slots))
        values = values[order]
        first = np.cumsum(held_g[genes]) - held_g[genes] - below_g[genes]
        middle = first + (n_g[genes] - 1) // 2, first + n_g[genes] // 2
        medians_g[genes] = (values[middle[0]] + values[middle[1]]) / 2
    return medians_g, n_g


def _groups(held_g: Array, budget: int) -> Iterator[Array]:
    """Consecutive genes that hold something, as many at a time as fit."""
    genes = np.flatnonzero(held_g)
    while genes.size:
        n = max(1, int(np.searchsorted(np.cumsum(held_g[genes]), budget, side="right")))
        yield genes[:n]
        genes = genes[n:]


def _collect(portions: tuple[Portion, ...], low_g: Array, high_g: Array) -> tuple[Array, Array]:
    """Genes and values of what lies in the middle bins."""

    def of_block(item: Any) -> tuple[Array, Array]:
        portion, depth, read = item
        block = gene_block(portion, depth, read, low_g.size)
        slots, values = block_values(block)
        bins = bin_codes(values)
        wanted = (bins == low_g[slots]) | (bins == high_g[slots])
        return slots[wanted], values[wanted]

    parts = list(map_ordered(of_block, blocks_to_do(portions)))
    if not parts:
        return np.empty(0, np.int32), np.empty(0)
    slots, values = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return slots, values
