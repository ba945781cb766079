"""Raw counts as a stream of cell blocks, from one source or several."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import pandas as pd
import scipy.sparse as sp

from corpuscle.counts._check import as_counts, as_dense_counts, as_unsigned, way_out
from corpuscle.counts._edits import Edits
from corpuscle.counts._passes import PASS_CELLS, map_blocks
from corpuscle.counts._pick import CompactColumns, pick_columns
from corpuscle.counts._profile import Block, Profile, ProfileSummary, joined_totals, summarise_threaded, totals_of
from corpuscle.counts._source import BLOCK_ROWS, MemorySource, Source, csr_of
from corpuscle.counts._take import take_rows
from corpuscle.counts._view import ViewSource
from corpuscle.errors import GeneError, NotCountsError, OptionError, SourceError

__all__ = ["Counts"]

VERSION_SUFFIX = re.compile(r"\.\d+$")


class Counts(Edits):
    """Raw counts, cells x genes, streamed. Made by :func:`corpuscle.open_counts`.

    Every block that leaves this class has been checked: non-negative whole numbers in canonical CSR. What fails
    raises :class:`~corpuscle.errors.NotCountsError` with the first offending cell and gene.

    Parameters
    ----------
    sources
        One or more matrices. Several are stacked; genes are those that all have, in the order of the first.
    check
        Look at a sample of each source now, so that what is not counts is refused before any work is done.

    Attributes
    ----------
    scheduler
        Who does what sees all cells: None for this machine, or a Dask scheduler; see :meth:`on`.
    """

    scheduler: Any = None

    def __init__(self, sources: Sequence[Source], *, check: bool = False) -> None:
        if not sources:
            raise SourceError("no source was given: name at least one file")
        self.sources = list(sources)
        self._fingerprints = [source.fingerprint() for source in self.sources]
        self._kept: dict[bytes, CompactColumns] = {}
        self._last: tuple[bytes, sp.csc_matrix] | None = None
        self._keep_bytes = 0
        self._depth_without: np.ndarray[Any, Any] | None = None
        self.var, self._gene_maps = _shared_genes(self.sources)
        self.obs = _stacked_obs(self.sources)
        self._offsets = np.cumsum([0, *(source.n_obs for source in self.sources)])
        if check:
            for place, source in enumerate(self.sources):
                self._checked(place, 0, source.sample())

    # -- shape and names -------------------------------------------------------------------------------------

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
    def uns(self) -> dict[str, Any]:
        """Unstructured metadata of the first source."""
        return self.sources[0].uns

    @property
    def var_names(self) -> pd.Index:
        """Gene names."""
        return self.var.index

    def __repr__(self) -> str:
        return f"Counts({self.name}: {self.n_obs:,} cells x {self.n_vars:,} genes)"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files."""
        for source in self.sources:
            source.close()

    # -- reading ---------------------------------------------------------------------------------------------

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
        def read(start: int, stop: int) -> Any:
            return (
                next(self.unit_blocks(dense, start, stop)).x_ng if stop - start <= PASS_CELLS else joined(start, stop)
            )

        def joined(start: int, stop: int) -> Any:
            parts = [block.x_ng for block in self.unit_blocks(dense, start, stop)]
            return np.concatenate(parts) if dense else sp.vstack(parts, format="csr")

        return take_rows(read, index, min(source.stored_together for source in self.sources))

    def view(self, cells: np.ndarray[Any, Any] | None = None, genes: np.ndarray[Any, Any] | None = None) -> Counts:
        """Only these cells and genes (boolean masks or positions), read from where they are when asked for.

        Unlike :meth:`select_cells` nothing is held in memory; the view is of use while this is open.
        """
        if cells is None and genes is None:
            return self
        places = [None if one is None else np.flatnonzero(one) if one.dtype == bool else one for one in (cells, genes)]
        for one, n, what in ((places[0], self.n_obs, "cells"), (places[1], self.n_vars, "genes")):
            if one is not None and not one.size:
                raise SourceError(f"{self.name}: none of its {n:,} {what} is left; choose some")
        other = Counts([ViewSource(self, *places)])
        other.scheduler = self.scheduler
        return other

    def on(self, scheduler: Any) -> Counts:
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
        other = self.local()
        other.scheduler = scheduler
        return other

    def local(self) -> Counts:
        """The same counts, worked on by this machine."""
        return Counts(self.sources)

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

    def columns(self, genes: Sequence[str] | np.ndarray[Any, Any]) -> sp.csc_matrix:
        """Counts of just these genes (names or positions): CSC, n_obs x len(genes), in one pass.

        The last columns asked for are kept, because a benchmark asks every method for the same genes; more of them
        after :meth:`keep_columns`.
        """
        index = self.gene_index(genes)
        key = index.tobytes()
        if key in self._kept:
            return self._kept[key].expanded()
        if self._last is not None and self._last[0] == key:
            return self._last[1]
        x_nk = self._native_columns(index)
        if x_nk is None:
            x_nk = sp.vstack([pick_columns(block.x_ng, index) for block in self.blocks()], format="csc")
        compact = CompactColumns.of(x_nk) if self._keep_bytes else None
        # What was kept first stays: a scan over more than fits would otherwise throw out all that it needs next.
        if (
            compact is not None
            and sum(kept.nbytes for kept in self._kept.values()) + compact.nbytes <= self._keep_bytes
        ):
            self._kept[key] = compact
        else:
            self._last = (key, x_nk)
        return x_nk

    def keep_columns(self, n_bytes: int) -> None:
        """Let :meth:`columns` keep up to so many bytes of what it has read, for callers that ask again."""
        self._keep_bytes = n_bytes

    def _native_columns(self, index: np.ndarray[Any, Any]) -> sp.csc_matrix | None:
        """The columns straight from a source that is stored by gene; None where all rows must be read."""
        if len(self.sources) > 1:
            return None
        x_nk = self.sources[0].columns(index)
        if x_nk is None:
            return None
        self._check_unchanged(0)
        source = self.sources[0]
        if isinstance(source, MemorySource) and source.checked:
            return x_nk
        return self._checked(0, 0, x_nk.tocsr(), self.var_names[index]).tocsc()

    def load(self) -> Counts:
        """The same counts held in memory as one CSR matrix (8 bytes a non-zero)."""
        if len(self.sources) == 1 and isinstance(self.sources[0], MemorySource) and self.sources[0].checked:
            return self
        return self._derive(self.to_csr())

    def to_csr(self) -> sp.csr_matrix:
        """The whole matrix. Only for methods that need it all at once."""
        parts = [block.x_ng for block in self.blocks(max(BLOCK_ROWS, self.n_obs if self._in_memory else 0))]
        return parts[0] if len(parts) == 1 else _joined(parts)

    @property
    def _in_memory(self) -> bool:
        return all(isinstance(source, MemorySource) for source in self.sources)

    # -- what is known of it ---------------------------------------------------------------------------------

    def profile(self) -> Profile:
        """Depth and detection by cell and by gene: one pass, remembered.

        ``depth_n`` leaves out the genes named by :meth:`without_depth_of`.
        """
        if self._depth_without is None:
            return self._profile
        return replace(self._profile, depth_n=self._profile.depth_n - self._depth_without)

    @cached_property
    def _profile(self) -> Profile:
        if self.scheduler is None:
            profile = summarise_threaded(self.blocks(), lambda: ProfileSummary(self.n_obs, self.n_vars)).finish()
        else:
            profile = joined_totals(list(map_blocks(self, totals_of)))
        if not profile.depth_n.any():
            raise NotCountsError(f"{self.name}: every value is zero; {way_out(self.sources[0].layers)}")
        return profile

    def gene_index(self, genes: Sequence[str] | np.ndarray[Any, Any] | pd.Index) -> np.ndarray[Any, Any]:
        """Positions of genes given by name, by ``var["gene_id"]`` (with or without version), or by position.

        Raises
        ------
        GeneError
            A name is missing, or stands for several genes.
        """
        asked = np.asarray(genes)
        if asked.dtype.kind in "iu":
            return asked.astype(np.int64)
        return np.array([self._position(str(gene)) for gene in asked], np.int64)

    def has_gene(self, gene: str) -> bool:
        """Whether a gene of that name or id is there (ambiguous counts as there)."""
        return gene in self._places or VERSION_SUFFIX.sub("", gene) in self._id_places

    def _position(self, gene: str) -> int:
        places = self._places.get(gene)
        if places is None:
            places = self._id_places.get(VERSION_SUFFIX.sub("", gene), [])
        if not places:
            raise GeneError(
                f"{self.name}: gene {gene} is not among its {self.n_vars:,} genes; check the name or the reference"
            )
        if len(places) > 1:
            raise GeneError(
                f"{self.name}: gene {gene} names {len(places)} columns; make gene names unique or give the id"
            )
        return places[0]

    @cached_property
    def _places(self) -> dict[str, list[int]]:
        return _places(self.var.index)

    @cached_property
    def _id_places(self) -> dict[str, list[int]]:
        for column in ("gene_id", "gene_ids", "ensembl_id"):
            if column in self.var:
                return _places([VERSION_SUFFIX.sub("", str(gene)) for gene in self.var[column]])
        return {}


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
    from corpuscle.counts._open import open_path

    return Counts([ViewSource(*one) if isinstance(one[0], Counts) else open_path(*one) for one in parcels])


def _places(names: Any) -> dict[str, list[int]]:
    out: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        out.setdefault(str(name), []).append(i)
    return out


def _joined(parts: list[sp.csr_matrix]) -> sp.csr_matrix:
    """Blocks of rows below each other; ``parts`` is emptied on the way, so that the peak is 1.5 matrices and not 2."""
    shape = (sum(part.shape[0] for part in parts), parts[0].shape[1])
    indptr = np.concatenate([[0], np.cumsum(np.concatenate([np.diff(part.indptr) for part in parts]))])
    datas, indices = [part.data for part in parts], [part.indices for part in parts]
    parts.clear()
    data = np.concatenate(datas)
    datas.clear()
    index_dtype = np.int32 if max(indptr[-1], shape[1]) <= np.iinfo(np.int32).max else np.int64
    joined = np.concatenate(indices).astype(index_dtype, copy=False)
    return csr_of(data, joined, indptr.astype(index_dtype), shape)


def _stacked_obs(sources: Sequence[Source]) -> pd.DataFrame:
    if len(sources) == 1:
        return sources[0].obs
    return pd.concat([source.obs.assign(source=source.name) for source in sources])


def _shared_genes(sources: Sequence[Source]) -> tuple[pd.DataFrame, list[np.ndarray[Any, Any] | None]]:
    first = sources[0].var
    if all(source.var.index.equals(first.index) for source in sources[1:]):
        return first, [None] * len(sources)
    for source in sources:
        if not source.var.index.is_unique:
            twice = source.var.index[source.var.index.duplicated()][0]
            raise GeneError(
                f"{source.name}: gene {twice} is there twice; make gene names unique before stacking sources"
            )
    shared = first.index
    for source in sources[1:]:
        shared = shared[shared.isin(source.var.index)]
    if not len(shared):
        raise GeneError(
            f"{sources[-1].name}: no gene in common with {sources[0].name}; use the same identifiers in all sources"
        )
    return first.loc[shared], [source.var.index.get_indexer(shared) for source in sources]
