"""Mergeable summaries: what one pass over the blocks can know, whatever their order or split."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Protocol, Self, TypeVar

import numba
import numpy as np

from corpuscle.counts._threads import for_each, n_threads

__all__ = [
    "Block",
    "Profile",
    "ProfileSummary",
    "Summary",
    "joined_totals",
    "summarise",
    "summarise_threaded",
    "totals_of",
]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Block:
    """Some consecutive cells; ``rows`` are their places in the whole.

    ``x_ng`` is canonical integer CSR, or where dense blocks were asked for an unsigned array.
    """

    x_ng: Any
    rows: slice
    source: str


class Summary(Protocol):
    """Anything that sees many cells: the same answer for any order and any split of the blocks."""

    def update(self, block: Block) -> None:
        """Take in one block."""

    def merge(self, other: Self) -> None:
        """Take in what another summary of the same kind has seen."""

    def finish(self) -> Any:
        """The answer."""


S = TypeVar("S", bound=Summary)


def summarise(blocks: Iterable[Block], *summaries: Summary) -> None:
    """Feed every block to every summary: one pass over the data, however many questions."""
    for block in blocks:
        for summary in summaries:
            summary.update(block)


def summarise_threaded(blocks: Iterable[Block], make: Callable[[], S]) -> S:
    """One summary of all blocks, made by several threads that each fill one of their own: merging makes them one.

    Parameters
    ----------
    blocks
        Read one after the other; the next is read while others are taken in.
    make
        Returns an empty summary whose ``update`` spends its time in code that lets go of the interpreter lock.
    """
    summaries = [make() for _ in range(n_threads())]
    idle = SimpleQueue[S]()
    for summary in summaries:
        idle.put(summary)

    def take_in(block: Block) -> None:
        summary = idle.get()
        summary.update(block)
        idle.put(summary)

    for_each(take_in, blocks)
    first, *others = summaries
    for other in others:
        first.merge(other)
    return first


@dataclass(frozen=True, slots=True)
class Profile:
    """What nearly every method asks first.

    Attributes
    ----------
    depth_n
        (n,) total counts of each cell over all genes.
    genes_n
        (n,) genes with a count of at least 1 in each cell.
    total_g
        (g,) total counts of each gene.
    cells_g
        (g,) cells in which the gene has a count of at least 1.
    """

    depth_n: np.ndarray[Any, np.dtype[np.int64]]
    genes_n: np.ndarray[Any, np.dtype[np.int64]]
    total_g: np.ndarray[Any, np.dtype[np.int64]]
    cells_g: np.ndarray[Any, np.dtype[np.int64]]


@numba.njit(cache=True, nogil=True)
def _add_totals(count: Array, gene: Array, indptr: Array, out: tuple[Array, Array, Array, Array]) -> None:
    depth_n, genes_n, total_g, cells_g = out
    for i in range(indptr.size - 1):
        row_count, row_gene = count[indptr[i] : indptr[i + 1]], gene[indptr[i] : indptr[i + 1]]
        depth = 0
        for k in range(row_count.size):
            g = np.uint32(row_gene[k])  # unsigned: no test for an index from the end
            depth += row_count[k]
            total_g[g] += row_count[k]
            cells_g[g] += 1
        depth_n[i] += depth
        genes_n[i] += row_count.size


@numba.njit(cache=True, nogil=True)
def _add_dense_totals(x_ng: Array, out: tuple[Array, Array, Array, Array]) -> None:
    depth_n, genes_n, total_g, cells_g = out
    for i in range(x_ng.shape[0]):
        depth, detected = np.int64(0), np.int64(0)
        for g in range(x_ng.shape[1]):
            count = np.int64(x_ng[i, g])
            depth += count
            detected += np.int64(count > 0)
            total_g[g] += count
            cells_g[g] += count > 0
        depth_n[i] += depth
        genes_n[i] += detected


class ProfileSummary:
    """Mergeable summary that finishes as a :class:`Profile`."""

    def __init__(self, n_obs: int, n_vars: int) -> None:
        self.depth_n = np.zeros(n_obs, np.int64)
        self.genes_n = np.zeros(n_obs, np.int64)
        self.total_g = np.zeros(n_vars, np.int64)
        self.cells_g = np.zeros(n_vars, np.int64)

    def update(self, block: Block) -> None:
        """Add the cells of one block."""
        x_ng = block.x_ng
        depth_n, genes_n = self.depth_n[block.rows], self.genes_n[block.rows]
        out = (depth_n, genes_n, self.total_g, self.cells_g)
        if isinstance(x_ng, np.ndarray):
            _add_dense_totals(x_ng, out)
        else:
            _add_totals(x_ng.data, x_ng.indices, x_ng.indptr, out)

    def merge(self, other: Self) -> None:
        """Add what another summary of the same cells x genes has seen."""
        self.depth_n += other.depth_n
        self.genes_n += other.genes_n
        self.total_g += other.total_g
        self.cells_g += other.cells_g

    def finish(self) -> Profile:
        """The totals."""
        return Profile(self.depth_n, self.genes_n, self.total_g, self.cells_g)


def totals_of(block: Block) -> Profile:
    """The profile of one block by itself."""
    n_obs, n_vars = block.x_ng.shape
    summary = ProfileSummary(n_obs, n_vars)
    summary.update(Block(block.x_ng, slice(0, n_obs), block.source))
    return summary.finish()


def joined_totals(parts: Iterable[Profile]) -> Profile:
    """The profile of consecutive blocks from theirs; what is of genes is added up as they come."""
    depths, genes = [], []
    total_g: Any = 0
    cells_g: Any = 0
    for part in parts:
        depths.append(part.depth_n)
        genes.append(part.genes_n)
        total_g, cells_g = total_g + part.total_g, cells_g + part.cells_g
    return Profile(np.concatenate(depths), np.concatenate(genes), total_g, cells_g)
