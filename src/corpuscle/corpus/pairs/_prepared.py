"""Prepared sources: which cells and genes are kept, and a stream of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from corpuscle.corpus._units import SourceSpec
from corpuscle.corpus.pairs._block import CellBlock
from corpuscle.corpus.pairs._prepare_kernels import prepared_rows
from corpuscle.counts._source import BLOCK_ROWS
from corpuscle.counts._threads import map_ordered
from corpuscle.counts.verdict import CountsVerdict
from corpuscle.errors import OptionError, SourceError

__all__ = ["Prepared", "PreparedSource"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class PreparedSource:
    """What is kept of one source.

    Attributes
    ----------
    name, spec, stat
        What it is called, where it is, and size and time of its file when it was prepared.
    row_n
        Rows of its n kept cells, ascending.
    place_g
        Where each of its genes goes among the kept ones; -1 for one that is dropped.
    obs, var
        Tables of the kept cells (index: names in the source) and of the kept genes (index: unique names).
    values_n
        Upper limit of the stored values of each kept cell.
    """

    name: str
    spec: SourceSpec
    stat: tuple[int, int] | None
    row_n: Array
    place_g: Array
    obs: pd.DataFrame
    var: pd.DataFrame
    values_n: Array

    def blocks(self, wanted_n: Array) -> Iterator[CellBlock]:
        """Yield those of its kept cells for which the mask holds, in order."""
        if not wanted_n.any():
            return
        if self.spec.stat() != self.stat:
            raise SourceError(f"{self.spec.name}: the file changed since it was prepared; run again once it is still")
        place_k = np.flatnonzero(wanted_n)
        row_k = self.row_n[place_k]
        genes = tuple(self.var.index)
        with self.spec.open() as counts:

            def windows() -> Iterator[tuple[Any, Array, Array]]:
                for first in np.unique(row_k // BLOCK_ROWS) * BLOCK_ROWS:
                    low, high = np.searchsorted(row_k, (first, first + BLOCK_ROWS))
                    stop = min(int(first) + BLOCK_ROWS, counts.n_obs)
                    for block in counts.blocks(BLOCK_ROWS, start=int(first), stop=stop):
                        yield block.x_ng, row_k[low:high] - first, place_k[low:high]

            def prepared(window: tuple[Any, Array, Array]) -> CellBlock:
                x_ng, row_r, place_r = window
                log_ng, counts_ng = prepared_rows(x_ng, row_r, self.place_g, len(genes))
                return CellBlock(log_ng, counts_ng, genes, self.obs.iloc[place_r], self.name)

            yield from map_ordered(prepared, windows())


@dataclass(frozen=True, eq=False)
class Prepared:
    """Sources after quality control. Made by :func:`~corpuscle.corpus.pairs.prepare.prepare`.

    Attributes
    ----------
    sources
        What is kept of each, in the order given.
    obs
        Table of the n kept cells of all sources, in that order; its index is ``sample_idx``, their name in the data set, which
        is also a column, as are ``obs_name``, their name in the source, and ``source``.
    report
        One row a source and step: ``source``, ``step``, ``unit`` (cells or genes), ``rows_in``, ``dropped``, ``rows_out``,
        ``why``. A cell is dropped in the first step that speaks against it.
    removed
        One row a cell that was dropped: ``source``, ``obs_name`` and ``reasons``, all of them, with a semicolon between.
    verdict
        Source -> what its values are, with the evidence.
    notes
        One line for each thing to know.
    """

    sources: tuple[PreparedSource, ...]
    obs: pd.DataFrame
    report: pd.DataFrame
    removed: pd.DataFrame = field(repr=False)
    verdict: dict[str, CountsVerdict] = field(repr=False)
    notes: tuple[str, ...] = ()

    @property
    def n_obs(self) -> int:
        """Number of kept cells."""
        return len(self.obs)

    @property
    def var(self) -> dict[str, pd.DataFrame]:
        """Source -> table of its kept genes."""
        return {source.name: source.var for source in self.sources}

    @property
    def values_n(self) -> Array:
        """(n,) upper limit of the stored values of each kept cell."""
        return np.concatenate([source.values_n for source in self.sources])

    def blocks(self, cells: Array | None = None) -> Iterator[CellBlock]:
        """Yield kept cells in the order of ``obs``, some thousand at a time and never of two sources at once.

        Parameters
        ----------
        cells
            Only these: an (n,) mask, or ascending positions in ``obs``. What is not asked for is not read where it can be
            helped.

        Raises
        ------
        OptionError
            The mask is of another length, or positions are not ascending or not there.
        SourceError
            A file cannot be read any more, or changed since it was prepared.
        """
        wanted_n = _mask(cells, self.n_obs)
        first = 0
        for source in self.sources:
            last = first + source.row_n.size
            yield from source.blocks(wanted_n[first:last])
            first = last


def _mask(cells: Array | None, n: int) -> Array:
    if cells is None:
        return np.ones(n, bool)
    cells = np.asarray(cells)
    if cells.dtype == bool:
        if cells.shape != (n,):
            raise OptionError(f"the mask of cells is of shape {cells.shape}, not ({n},): one value for each kept cell")
        return cells
    if cells.size and (np.any(np.diff(cells) <= 0) or cells[0] < 0 or cells[-1] >= n):
        raise OptionError(f"cells must be ascending positions from 0 to {n - 1}")
    mask = np.zeros(n, bool)
    mask[cells.astype(np.int64)] = True
    return mask
