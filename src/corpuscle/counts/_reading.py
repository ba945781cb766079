"""Where counts are read from their sources: in ranges, in units, at scattered places, here or by a cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from corpuscle.counts._check import as_counts, as_dense_counts, as_unsigned, way_out
from corpuscle.counts._passes import PASS_CELLS
from corpuscle.counts._profile import Block
from corpuscle.counts._source import BLOCK_ROWS, MemorySource, Source
from corpuscle.counts._take import take_rows
from corpuscle.counts._view import ViewSource
from corpuscle.errors import OptionError, SourceError

if TYPE_CHECKING:
    from corpuscle.counts._counts import Counts

__all__ = ["Reading"]


class Reading:
    """What :class:`~corpuscle.counts.Counts` hands out, each block checked on its way."""

    sources: list[Source]
    scheduler: Any
    obs: pd.DataFrame
    var: pd.DataFrame
    _fingerprints: list[tuple[int, int, int] | None]
    _offsets: np.ndarray[Any, Any]
    _gene_maps: list[np.ndarray[Any, Any] | None]

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.sources[0].name if len(self.sources) == 1 else f"{len(self.sources)} sources"

    @property
    def n_obs(self) -> int:
        """Number of cells."""
        return len(self.obs)

    @property
    def n_vars(self) -> int:
        """Number of genes."""
        return len(self.var)

    @property
    def stored_dense(self) -> bool:
        """Whether every source is stored dense, so that dense blocks are the cheaper ones."""
        return all(source.stored_dense for source in self.sources)

    def blocks(
        self, size: int = BLOCK_ROWS, *, start: int = 0, stop: int | None = None, fractional: bool = False
    ) -> Iterator[Block]:
        """Yield consecutive cells, ``size`` at a time, each block checked to be counts.

        Parameters
        ----------
        size
            Cells a block; the last one of a source or of the range may have fewer.
        start, stop
            Only these cells, counted over all sources.
        fractional
            Let whole numbers be missing, as in counts corrected for ambient RNA: such a block is float64. Negative,
            NaN and infinite values are refused all the same.

        Raises
        ------
        NotCountsError
            A value is not a count.
        SourceError
            A file is damaged, or changed since it was opened.
        """
        for place, first, x_ng in self._stored(size, start, self.n_obs if stop is None else stop):
            yield self._block(place, first, self._checked(place, first, x_ng, fractional=fractional))

    def raw_blocks(self, size: int = BLOCK_ROWS) -> Iterator[Block]:
        """Yield blocks as they are stored, whatever the values are: for looking at what :meth:`blocks` refuses.

        Raises
        ------
        SourceError
            A file is damaged, or changed since it was opened.
        """
        for place, first, x_ng in self._stored(size, 0, self.n_obs):
            yield self._block(place, first, x_ng)

    def dense_blocks(self, size: int = PASS_CELLS, *, start: int = 0, stop: int | None = None) -> Iterator[Block]:
        """Like :meth:`blocks`, with arrays (uint32 unless a count is larger) in place of CSR.

        For sources where most values are not zero, such as bulk samples; stored dense, they are never made sparse.

        Raises
        ------
        NotCountsError
            A value is not a count.
        SourceError
            A file is damaged, or changed since it was opened.
        """
        for place, first, last in self._ranges(size, start, self.n_obs if stop is None else stop):
            x_ng = self.sources[place].dense(first, last)
            self._check_unchanged(place)
            yield self._block(place, first, self._checked_dense(place, first, x_ng))

    def unit_blocks(self, dense: bool = False, start: int = 0, stop: int | None = None) -> Iterator[Block]:
        """Blocks of just ``PASS_CELLS`` cells, also where one source ends and the next begins."""
        stop = self.n_obs if stop is None else stop
        for first in range(start, stop, PASS_CELLS):
            last = min(first + PASS_CELLS, stop)
            read = self.dense_blocks if dense else self.blocks
            parts = list(read(PASS_CELLS, start=first, stop=last))
            if len(parts) == 1:
                yield parts[0]
                continue
            stacked = [part.x_ng for part in parts]
            x_ng = np.concatenate(stacked) if dense else sp.vstack(stacked, format="csr")
            yield Block(x_ng, slice(first, last), parts[0].source)

    def take(self, index: np.ndarray[Any, Any]) -> sp.csr_matrix:
        """Checked cells at these places (k,), in this order: k x n_vars CSR. What is stored together is read once."""
        return self._taken(index, dense=False)

    def take_dense(self, index: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Like :meth:`take`, as an array."""
        return self._taken(index, dense=True)

    def _taken(self, index: np.ndarray[Any, Any], *, dense: bool) -> Any:
        index = np.asarray(index)
        if not index.size or index.min() < 0 or index.max() >= self.n_obs:
            raise OptionError(f"{self.name}: places of cells to take must be some of 0 to {self.n_obs - 1:,}")

        def read(start: int, stop: int) -> Any:
            parts = [block.x_ng for block in self.unit_blocks(dense, start, stop)]
            if len(parts) == 1:
                return parts[0]
            return np.concatenate(parts) if dense else sp.vstack(parts, format="csr")

        step = min(source.stored_together for source in self.sources)
        # A band of dense samples is kept by its source, so its parts are asked for one by one and never held twice.
        return take_rows(read, index, min(step, PASS_CELLS) if self.stored_dense else step)

    def view(self: Any, cells: np.ndarray[Any, Any] | None = None, genes: np.ndarray[Any, Any] | None = None) -> Counts:
        """Only these cells and genes (boolean masks or positions), read from where they are when asked for.

        Unlike :meth:`select_cells` nothing is held in memory; the view is of use while this is open.
        """
        if cells is None and genes is None:
            return self
        places = [
            None if one is None else self._places_among(one, n, what)
            for one, n, what in ((cells, self.n_obs, "cells"), (genes, self.n_vars, "genes"))
        ]
        other: Counts = type(self)([ViewSource(self, *places)])
        other.scheduler = self.scheduler
        return other

    def _places_among(self, chosen: np.ndarray[Any, Any], n: int, what: str) -> np.ndarray[Any, Any]:
        """Positions from a mask or from positions, which may count from the end."""
        try:
            place_k: np.ndarray[Any, Any] = np.arange(n)[np.asarray(chosen)]
        except IndexError as error:
            raise OptionError(f"{self.name}: what is chosen of its {n:,} {what} does not fit them ({error})") from None
        if not place_k.size:
            raise SourceError(f"{self.name}: none of its {n:,} {what} is left; choose some")
        return place_k

    def on(self: Any, scheduler: Any) -> Counts:
        """The same counts, whose passes over all cells are run by a Dask cluster.

        Parameters
        ----------
        scheduler
            Address, scheduler file or ``dask.distributed.Client``; None for this machine.

        Raises
        ------
        OptionError
            They are in memory, and cannot be sent.
        """
        if scheduler is not None and any(source.reopen is None for source in _files_under(self.sources)):
            raise OptionError(
                "counts in memory cannot be sent to a cluster; write them to a file or leave --scheduler out"
            )
        other: Counts = self.local()
        other.scheduler = scheduler
        return other

    def local(self: Any) -> Counts:
        """The same counts, worked on by this machine."""
        other: Counts = type(self)(self.sources)
        other._fingerprints = self._fingerprints
        other._depth_without = self._depth_without
        if "_profile" in self.__dict__:
            other.__dict__["_profile"] = self.__dict__["_profile"]
        return other

    def __reduce__(self) -> Any:
        # Another process opens the files again; what is in memory does not travel.
        return _again, ([_parcel(source) for source in self.sources],)

    def _ranges(self, size: int, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
        """(which source, first row in it, row after its last) for one block after the other."""
        if size < 1:
            raise OptionError(f"block size {size} is below 1")
        for place, source in enumerate(self.sources):
            begin, end = start - int(self._offsets[place]), min(stop - int(self._offsets[place]), source.n_obs)
            for first in range(max(begin, 0), end, size):
                yield place, first, min(first + size, end)

    def _stored(self, size: int, start: int, stop: int) -> Iterator[tuple[int, int, sp.csr_matrix]]:
        """(which source, first row in it, its values) for one block after the other."""
        for place, first, last in self._ranges(size, start, stop):
            x_ng = self.sources[place].rows(first, last)
            self._check_unchanged(place)
            yield place, first, x_ng

    def _check_unchanged(self, place: int) -> None:
        source = self.sources[place]
        if source.fingerprint() != self._fingerprints[place]:
            raise SourceError(f"{source.name}: the file changed while it was read; run again once it is still")

    def _checked(
        self, place: int, start: int, x_ng: sp.csr_matrix, genes: pd.Index | None = None, fractional: bool = False
    ) -> sp.csr_matrix:
        source = self.sources[place]
        if isinstance(source, ViewSource) or (isinstance(source, MemorySource) and source.checked):
            return x_ng
        return as_counts(
            x_ng,
            source=source.name,
            first_row=start,
            cells=source.obs.index,
            genes=source.var.index if genes is None else genes,
            advice=way_out(source.layers),
            fractional=fractional,
        )

    def _checked_dense(self, place: int, start: int, x_ng: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        source = self.sources[place]
        if isinstance(source, ViewSource) or (isinstance(source, MemorySource) and source.checked):
            return as_unsigned(x_ng)
        return as_dense_counts(
            x_ng,
            source=source.name,
            first_row=start,
            cells=source.obs.index,
            genes=source.var.index,
            advice=way_out(source.layers),
        )

    def _block(self, place: int, start: int, x_ng: Any) -> Block:
        first = int(self._offsets[place]) + start
        genes = self._gene_maps[place]
        rows = slice(first, first + x_ng.shape[0])
        return Block(x_ng if genes is None else x_ng[:, genes], rows, self.sources[place].name)


def _files_under(sources: Sequence[Source]) -> Iterator[Source]:
    """The sources that read: those that views look at, and the others."""
    for source in sources:
        if isinstance(source, ViewSource):
            yield from _files_under(source.base.sources)
        else:
            yield source


def _parcel(source: Source) -> Any:
    """What another process makes the source from."""
    if isinstance(source, ViewSource):
        return source.base, source.cells, source.genes
    if source.reopen is None:
        raise OptionError("counts in memory cannot be sent to a cluster; write them to a file or leave --scheduler out")
    return source.reopen


def _again(parcels: list[Any]) -> Counts:
    from corpuscle.counts._counts import Counts
    from corpuscle.counts._open import open_path

    return Counts([ViewSource(*one) if isinstance(one[0], Counts) else open_path(*one) for one in parcels])
