"""Raw counts as a stream of cell blocks, from one source or several."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import pandas as pd
import scipy.sparse as sp

from corpuscle.counts._check import way_out
from corpuscle.counts._edits import Edits
from corpuscle.counts._passes import PASS_CELLS, map_blocks
from corpuscle.counts._pick import CompactColumns, pick_columns
from corpuscle.counts._profile import Profile, ProfileSummary, joined_totals, summarise_threaded, totals_of
from corpuscle.counts._reading import Reading
from corpuscle.counts._source import BLOCK_ROWS, MemorySource, Source, csr_of
from corpuscle.errors import GeneError, NotCountsError, SourceError

__all__ = ["Counts"]

VERSION_SUFFIX = re.compile(r"\.\d+$")


class Counts(Reading, Edits):
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

    # -- columns, and all of it -------------------------------------------------------------------------------

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

    @property
    def known_profile(self) -> Profile | None:
        """The profile if it has been asked for before, so that no pass is made for it."""
        return self.profile() if "_profile" in self.__dict__ else None

    @cached_property
    def _profile(self) -> Profile:
        dense = self.stored_dense
        if self.scheduler is None:
            blocks = self.dense_blocks(PASS_CELLS) if dense else self.blocks()
            profile = summarise_threaded(blocks, lambda: ProfileSummary(self.n_obs, self.n_vars)).finish()
        else:
            profile = joined_totals(map_blocks(self, totals_of, dense=dense))
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
