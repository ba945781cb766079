"""Non-zero medians: what rank-value encoding divides the expression of each gene by."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from corpuscle import __version__
from corpuscle.corpus._depth import DEPTHS, DepthChoice
from corpuscle.corpus._exact import exact_medians
from corpuscle.corpus._fingerprint import block_digest
from corpuscle.corpus._histogram import RELATIVE_ERROR, GeneHistograms
from corpuscle.corpus._median_genes import BIOTYPES, target_genes
from corpuscle.corpus._median_sources import MedianSource, options_record, plan_sources
from corpuscle.corpus._portions import Portion, blocks_to_do, gene_block, pack
from corpuscle.corpus._tdigest import digest_type, tdigest_medians
from corpuscle.corpus._units import BLOCK_CELLS, UNIT_CELLS, list_sources
from corpuscle.corpus.gene_plan import GeneOptions
from corpuscle.corpus.medians_io import FORMAT, Medians, check_out, read_medians, write_medians
from corpuscle.counts._threads import for_each
from corpuscle.counts._workers import Workers, workers
from corpuscle.errors import NotCountsError, OptionError

__all__ = ["METHODS", "Medians", "medians", "read_medians"]

Array = np.ndarray[Any, Any]
Progress = Callable[[int, int, str], None]
Method = Literal["histogram", "exact", "tdigest"]

#: Method -> what the recipe says of its error.
METHODS: Mapping[str, Mapping[str, Any]] = {
    "histogram": {"name": "histogram", "relative_error": RELATIVE_ERROR, "depends_on_split": False},
    "exact": {"name": "exact", "relative_error": 0.0, "depends_on_split": False},
    "tdigest": {"name": "tdigest", "relative_error": None, "depends_on_split": True},
}
TARGET = 10_000
#: Cells that one process reads at a time for a summary that stays where it is, so that progress can be told.
LOCAL_UNIT_CELLS = 16 * BLOCK_CELLS


def medians(
    source: Any,
    out: str | os.PathLike[str] | None = None,
    *,
    method: Method = "histogram",
    qc: str | os.PathLike[str] | None = None,
    filter: str | None = None,
    layer: str | None = None,
    gene_column: str | None = None,
    aliases: Mapping[str, str] | str | os.PathLike[str] | None = None,
    symbols: Literal["auto", "always", "never"] = "auto",
    orthologs: bool = False,
    biotypes: str | Sequence[str] = BIOTYPES,
    genes: str | Path | Sequence[str] | None = None,
    depth: DepthChoice = "auto",
    allow_fractional: bool = False,
    min_match: float = 0.5,
    scheduler: Any = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Medians:
    """Median of each gene's expression over the cells that have it [1]_.

    Expression is count / depth * 10,000, where depth is the cell's total over all genes of its source. Columns that stand
    for the same gene are added up first.

    Parameters
    ----------
    source
        A path, a glob, an AnnData, or a list of them.
    out
        File to write, for ``corpus vocab`` and ``tokenize``.
    method
        ``"histogram"``: within 0.2 % (2**-9) of the exact median, one pass, the same for any order or split of the cells.
        ``"exact"``: two passes or more; as exact as the numbers are. ``"tdigest"``: one t-digest a gene and source, as the
        published medians were made; some per cent off for rare genes, and dependent on the split (needs ``crick``).
    qc
        Folder of a quality control of these sources; only cells that pass are used.
    filter
        Column of ``obs`` that says which cells to use.
    layer
        Matrix with the raw counts, instead of the main one.
    gene_column, aliases, symbols, orthologs
        How genes are matched: column of ``var`` with identifiers; other names of genes, as a file or name -> gene; whether
        names are gene symbols; whether mouse genes stand for their human orthologs.
    biotypes
        Ensembl gene types of the genes to take, or ``"all"``.
    genes
        Identifiers of the genes to take instead, as a list or a file with one a line.
    depth
        Total of a cell: column ``n_counts`` where there is one (``"auto"``), always, or the ``"computed"`` sum.
    allow_fractional
        Accept values that are not whole numbers.
    min_match
        Least share of the counts of a sample of each source that must lie in these genes.
    scheduler
        Address of a Dask scheduler or a ``dask.distributed.Client``; this machine by default.
    overwrite
        Replace ``out`` if it is there.
    progress
        Called with (cells done, cells in all, what is done).

    Returns
    -------
    Medians
        Of the genes that were seen, sorted by identifier, with the recipe.

    Raises
    ------
    OptionError
        An option makes no sense, a column is missing, or no cell is left.
    SourceError, NotCountsError
        A source cannot be read, is not raw counts, or states a total that is missing or wrong.
    GeneError
        Too few of the genes of a source are among those to take.
    MethodError
        A package is missing, or there are more cells than a histogram can count (2**32 - 1).
    OutputError
        ``out`` is there or cannot be written.

    Notes
    -----
    A histogram takes 1 KB of memory for each gene and octave of values, together 0.1 to 0.3 GB, once for all threads. Its
    bins reach from 2**-18 to 2**14; the bound does not hold for a median below, which counts never give where cells have
    fewer than 10**9 of them. Finished medians of different runs cannot be merged: name all sources in one run.

    References
    ----------
    .. [1] Theodoris et al. Transfer learning enables predictions in network biology. Nature 618 (2023).

    Examples
    --------
    >>> found = medians("study/*.h5ad", "medians.tsv", qc="qc")  # doctest: +SKIP
    >>> found.to_dict()["ENSG00000156508"]  # doctest: +SKIP
    46.2
    """
    _check(method, depth, min_match)
    target = None if out is None else check_out(Path(out), overwrite=overwrite)
    options = GeneOptions(gene_column, _aliases(aliases), symbols, orthologs)
    gene_ids, chosen = target_genes(biotypes, genes)
    specs = list_sources(source, layer, fractional=allow_fractional)
    with workers(scheduler) as crew:
        if crew.distributed and any(spec.adata is not None for spec in specs):
            raise OptionError(
                "an AnnData in memory cannot be sent to a cluster; write it to a file or leave --scheduler out"
            )
        sources = plan_sources(
            specs, gene_ids, options, depth=depth, filter=filter, qc=qc, min_match=min_match
        )  # fmt: skip
        medians_g, n_g = _Run(crew, sources, len(gene_ids), depth, progress).compute(method)
        records = [one.finished_record() for one in sources]
    seen = np.flatnonzero(n_g)
    if not seen.size:
        raise NotCountsError(f"{specs[0].name}: the cells used have no count in any of the {len(gene_ids):,} genes")
    recipe = {
        "format": FORMAT,
        "corpuscle": __version__,
        "method": dict(METHODS[method]),
        "value": f"count / depth * {TARGET}, over non-zero counts",
        "genes": chosen,
        "genes_seen": int(seen.size),
        "cells": sum(record["cells"] for record in records),
        "options": options_record(
            options,
            {
                "depth": depth,
                "filter": filter,
                "qc": None if qc is None else os.fspath(qc),
                "layer": layer,
                "allow_fractional": allow_fractional,
                "min_match": min_match,
            },
        ),
        "sources": records,
    }
    found = Medians(tuple(gene_ids[i] for i in seen), medians_g[seen], n_g[seen], recipe)
    if target is not None:
        write_medians(found, target)
    return found


def _check(method: str, depth: str, min_match: float) -> None:
    if method not in METHODS:
        raise OptionError(f"method {method!r} is none of {', '.join(METHODS)}")
    if depth not in DEPTHS:
        raise OptionError(f"depth {depth!r} is none of {', '.join(DEPTHS)}")
    if not 0 <= min_match <= 1:
        raise OptionError(f"min_match {min_match} is not between 0 and 1")
    if method == "tdigest":
        digest_type()


def _aliases(given: Mapping[str, str] | str | os.PathLike[str] | None) -> dict[str, str]:
    if given is None or isinstance(given, Mapping):
        return dict(given or {})
    from corpuscle.corpus.vocabulary_io import read_aliases

    return read_aliases(Path(given))


@dataclass(eq=False)
class _Seen:
    """Mergeable summary: the histograms of some cells, and the digests of the blocks they were in."""

    histograms: GeneHistograms
    blocks: dict[int, dict[int, str]] = field(default_factory=dict)

    def merge(self, other: Self) -> None:
        self.histograms.merge(other.histograms)
        for source, digests in other.blocks.items():
            self.blocks.setdefault(source, {}).update(digests)


class _Run:
    """One computation: the cells cut into units of work, and the methods that read them."""

    def __init__(
        self, crew: Workers, sources: list[MedianSource], n_genes: int, depth: DepthChoice, progress: Progress | None
    ) -> None:
        self._crew, self._sources, self._n_genes, self._depth = crew, sources, n_genes, depth
        self._progress, self._done = progress, 0
        self._total = sum(source.keep_n.size for source in sources)

    def compute(self, method: str) -> tuple[Array, Array]:
        """(g,) medians, NaN for a gene without values, and (g,) numbers of values."""
        if method == "tdigest":
            pieces = self._portions(UNIT_CELLS)
            return tdigest_medians(self._crew, pieces, self._n_genes, self._note)
        cells = UNIT_CELLS if self._crew.distributed else LOCAL_UNIT_CELLS
        units = pack(self._portions(cells), cells)
        histograms = self._histograms(units)
        return exact_medians(self._crew, units, histograms) if method == "exact" else histograms.finish()

    def _portions(self, unit_cells: int) -> list[Portion]:
        return [
            portion
            for place, source in enumerate(self._sources)
            for portion in source.portions(place, self._depth, unit_cells)
        ]

    def _histograms(self, units: list[tuple[Portion, ...]]) -> GeneHistograms:
        """Of all cells: each unit has its own on a cluster, while here one takes in all of them."""
        if self._crew.distributed:
            seen = self._crew.reduce(partial(_summarise, n_genes=self._n_genes), units, _merged)
            for place, blocks in seen.blocks.items():
                self._sources[place].blocks.update(blocks)
            return seen.histograms
        histograms = GeneHistograms(self._n_genes)
        for unit, digests in zip(units, self._crew.map(partial(_take_in, histograms), units), strict=True):
            for portion in unit:
                self._note(portion, digests[portion.piece.source])
        return histograms

    def _note(self, portion: Portion, blocks: dict[int, str]) -> None:
        self._sources[portion.piece.source].blocks.update(blocks)
        self._done += portion.piece.n_obs
        if self._progress is not None:
            self._progress(self._done, self._total, Path(portion.spec.name).name)


def _summarise(portions: tuple[Portion, ...], n_genes: int) -> _Seen:
    histograms = GeneHistograms(n_genes)
    return _Seen(histograms, _take_in(histograms, portions))


def _merged(first: _Seen, other: _Seen) -> _Seen:
    first.merge(other)
    return first


def _take_in(histograms: GeneHistograms, portions: tuple[Portion, ...]) -> dict[int, dict[int, str]]:
    """Add the cells of a unit, by all threads; return the digests of the blocks of each source."""
    blocks: dict[int, dict[int, str]] = {portion.piece.source: {} for portion in portions}

    def work(item: Any) -> None:
        portion, depth, block = item
        blocks[portion.piece.source][block.rows.start] = block_digest(block.x_ng)
        known = gene_block(portion, depth, block, histograms.n_genes)
        histograms.update(known.csr, known.slot_f, known.depth_n)

    for_each(work, blocks_to_do(portions))
    return blocks
