"""Normalised values of all cells, block after block: for what looks at every value once and keeps none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

import numpy as np
import scipy.sparse as sp

from corpuscle.counts import Block, Counts, map_blocks, reduce_blocks
from corpuscle.counts._passes import Mergeable, Progress
from corpuscle.normalize._base import Array, Normalizer

__all__ = ["here", "map_values", "reduce_values"]

Result = TypeVar("Result")
S = TypeVar("S", bound=Mergeable)


def map_values(
    counts: Counts,
    method: Normalizer,
    work: Callable[[Array, slice], Result],
    *,
    genes: Array | None = None,
    dtype: Any = np.float32,
    progress: Progress | None = None,
    what: str = "cells",
) -> Iterator[Result]:
    """Yield ``work(values, rows)`` of every block of cells, in their order.

    Parameters
    ----------
    counts
        Cells to normalise; ``counts.scheduler`` says who works.
    method
        A fitted normalisation whose ``transform_rows`` can do with a block.
    work
        Gets the values, cells x genes, dense, and the places of the cells.
    genes
        Positions of the genes to hand on; all by default.
    dtype
        float32 or float64.
    progress, what
        Called after every block.
    """
    each = partial(_values_of, method, here(counts), genes, dtype, work)
    yield from map_blocks(counts, each, dense=method.reads_dense, progress=progress, what=what)


def reduce_values(
    counts: Counts,
    method: Normalizer,
    make: Callable[[], S],
    *,
    genes: Array | None = None,
    dtype: Any = np.float32,
    progress: Progress | None = None,
    what: str = "cells",
) -> S:
    """One summary of all values; its ``update`` gets a :class:`Block` whose ``x_ng`` are normalised values, dense.

    See :func:`map_values` for the parameters, and :func:`corpuscle.counts.reduce_blocks` for the order of merging.
    """
    each = partial(_Valued, method, here(counts), genes, dtype, make)
    return reduce_blocks(counts, each, dense=method.reads_dense, progress=progress, what=what).summary


def here(counts: Counts) -> Counts:
    """The counts that the work itself looks at: these, with what is known of them, or what a worker may be sent."""
    return counts if counts.scheduler is None else counts.local()


class _Valued:
    """A summary that is fed values where it is handed counts."""

    def __init__(
        self, method: Normalizer, counts: Counts, genes: Array | None, dtype: Any, make: Callable[[], Any]
    ) -> None:
        self.summary = make()
        self._feed = (method, counts, genes, dtype)

    def update(self, block: Block) -> None:
        """Normalise the block and hand it on."""
        values = _values_of(*self._feed, lambda values_ng, _: values_ng, block)
        self.summary.update(Block(values, block.rows, block.source))

    def merge(self, other: _Valued) -> None:
        """Merge what was made of the values."""
        self.summary.merge(other.summary)

    def __getstate__(self) -> dict[str, Any]:
        return {"summary": self.summary}  # merging needs no more, and the counts need not travel back


def _values_of(
    method: Normalizer,
    counts: Counts,
    genes: Array | None,
    dtype: Any,
    work: Callable[[Array, slice], Result],
    block: Block,
) -> Result:
    values = method.transform_rows(counts, block.x_ng, block.rows, dtype=dtype)
    if genes is not None:
        values = values[:, genes]
    return work(values.toarray() if sp.issparse(values) else values, block.rows)
