"""Quality control of cells: which of each data set to keep, judged against its own mean and standard deviation.

The rules of Theodoris et al. 2023 (Transfer learning enables predictions in network biology): within a data set, keep cells
whose total counts and mitochondrial reads lie within three standard deviations of the mean, with at least seven detected
protein-coding or miRNA genes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from corpuscle.corpus._median_genes import BIOTYPES
from corpuscle.corpus._moments import Limits, Moments
from corpuscle.corpus._qc_judge import QCRecipe, judge
from corpuscle.corpus._qc_measure import NOT_JUDGED, Measured, MeasureTask, measure
from corpuscle.corpus._qc_plan import Plan, plan_sources
from corpuscle.corpus._qc_record import build_record, set_table, write_cells, write_record
from corpuscle.corpus._units import BLOCK_CELLS, Piece, cut, list_sources
from corpuscle.corpus.gene_plan import GeneOptions, Symbols
from corpuscle.corpus.qc_files import QCFolder, check_target, new_folder, read_qc
from corpuscle.counts._workers import Workers, workers
from corpuscle.errors import NotCountsError, OptionError

__all__ = ["QCFolder", "QCResult", "read_qc", "run_qc"]

Array = np.ndarray[Any, Any]
Progress = Callable[[int, int, str], None]
#: Cells of one unit of work. The answer does not depend on it.
UNIT_CELLS = 16 * BLOCK_CELLS


@dataclass(frozen=True, eq=False)
class QCResult:
    """What a quality control found.

    Attributes
    ----------
    folder
        Where it was written.
    record
        What ``qc.json`` holds.
    table
        One row a data set: cells, kept, why others were dropped, and the limits. It is ``datasets.tsv``.
    """

    folder: Path
    record: dict[str, Any]
    table: pd.DataFrame = field(repr=False)

    @property
    def n_cells(self) -> int:
        """Cells looked at."""
        return int(self.record["cells"])

    @property
    def n_kept(self) -> int:
        """Cells kept."""
        return int(self.record["kept"])

    @property
    def notes(self) -> list[str]:
        """One line for each thing that looks odd."""
        return list(self.record["notes"])

    def open(self) -> QCFolder:
        """The folder, to ask for the cells of a source."""
        return read_qc(self.folder)


def run_qc(
    source: Any,
    out: str | os.PathLike[str],
    *,
    n_sd: float = 3.0,
    ddof: int = 0,
    total: bool = True,
    mito: bool = True,
    mito_metric: str = "reads",
    mito_genes: Sequence[str] | None = None,
    biotypes: str | Sequence[str] = BIOTYPES,
    min_genes: int = 7,
    by: str | None = None,
    filter: str | None = None,
    layer: str | None = None,
    gene_column: str | None = None,
    aliases: Mapping[str, str] | str | os.PathLike[str] | None = None,
    symbols: Symbols = "auto",
    orthologs: bool = False,
    allow_fractional: bool = False,
    scheduler: Any = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> QCResult:
    """Judge every cell against its data set, and write which to keep and why others are dropped.

    Mean and standard deviation are those of the whole data set as it is in the file, empty cells included, before anything is
    dropped; all criteria must hold. They are exact, so that the answer is the same for any order, split and number of workers.
    An empty cell has no mitochondrial fraction and does not enter its mean. A source without mitochondrial genes passes that
    criterion, as does a data set whose standard deviation is undefined.

    Parameters
    ----------
    source
        A path, a glob, an AnnData, or a list of them; each is a data set unless ``by`` says otherwise.
    out
        Folder to write: ``qc.json``, ``datasets.tsv`` and one ``cells-00000.parquet`` a source.
    n_sd
        Keep cells within so many standard deviations of the mean.
    ddof
        0 for the population standard deviation, 1 for that of a sample.
    total, mito
        Judge the total counts, and the mitochondrial metric.
    mito_metric
        ``"reads"``, or ``"fraction"`` of the cell's counts.
    mito_genes
        Symbols or Ensembl ids of the mitochondrial genes; by default those known by name (``MT-``, ``mt-``, Ensembl ids of
        human and mouse).
    biotypes
        Ensembl gene types whose detected genes are counted, or ``"all"`` for every gene.
    min_genes
        A kept cell has at least so many of these.
    by
        Column of ``obs`` that names the data set of each cell. Cells of several sources that bear the same value are one data
        set. A cell without a value is dropped.
    filter
        Column of ``obs``: cells for which it is false are dropped, and enter no mean.
    layer
        Matrix with the raw counts, instead of the main one.
    gene_column, aliases, symbols, orthologs
        How genes are matched to the biotypes, see :class:`~corpuscle.corpus.gene_plan.GeneOptions`; aliases also as a file.
    allow_fractional
        Accept values that are not whole numbers.
    scheduler
        Address of a Dask scheduler or a ``dask.distributed.Client``; this machine by default.
    overwrite
        Replace a quality control that is there.
    progress
        Called with cells done, cells in all, and what is being read.

    Raises
    ------
    OptionError
        A choice is out of range, or a column is missing.
    NotCountsError, SourceError
        A source is not raw counts, or cannot be read.
    GeneError
        No gene is of the biotypes, or no source has any of the given mitochondrial genes.
    OutputError
        The folder cannot be written, or is there already.

    Examples
    --------
    >>> result = run_qc("study/*.h5ad", "qc", by="donor")  # doctest: +SKIP
    >>> result.table[["dataset", "cells", "kept"]]  # doctest: +SKIP
    """
    recipe = QCRecipe(
        float(n_sd), ddof, total, mito, mito_metric, None if mito_genes is None else tuple(mito_genes), _biotypes(biotypes),
        min_genes, by, filter,
    )  # fmt: skip
    options = GeneOptions(gene_column, _aliases(aliases), symbols, orthologs)
    folder = Path(out)
    check_target(folder, overwrite=overwrite)
    specs = list_sources(source, layer, fractional=allow_fractional)
    with workers(scheduler) as crew:
        if crew.distributed and any(spec.adata is not None for spec in specs):
            raise OptionError(
                "an AnnData in memory cannot be sent to a cluster; write it to a file or leave --scheduler out"
            )
        plan = plan_sources(specs, recipe, options)
        measured = _measure_all(plan, crew, recipe, progress)
        limits = _limits(measured, len(plan.sets), recipe)
        failed = [
            judge(whole, one.home_n, one.excluded_n, limits, recipe, known_mito=one.roles.n_mito > 0)
            for one, whole in zip(plan.sources, measured, strict=True)
        ]
        table = set_table(plan, failed, limits, recipe)
        with new_folder(folder, overwrite=overwrite) as made:
            written = [
                write_cells(made, place, plan, whole, failed[place], recipe) for place, whole in enumerate(measured)
            ]
            record = build_record(plan, failed, table, recipe, options, written)
            write_record(made, record, table)
    return QCResult(folder, record, table)


def _biotypes(given: str | Sequence[str]) -> tuple[str, ...]:
    """Gene types; none where all genes count."""
    if given == "all":
        return ()
    if not given:
        raise OptionError("no biotype was named; give some, or all")
    return (given,) if isinstance(given, str) else tuple(given)


def _aliases(given: Mapping[str, str] | str | os.PathLike[str] | None) -> Mapping[str, str]:
    if given is None or isinstance(given, Mapping):
        return given or {}
    from corpuscle.corpus.vocabulary_io import read_aliases

    return read_aliases(Path(given))


def _measure_all(plan: Plan, crew: Workers, recipe: QCRecipe, progress: Progress | None) -> list[Measured]:
    """One pass over all cells, units of all sources side by side."""
    tasks = []
    for place, one in enumerate(plan.sources):
        set_n = np.where(one.excluded_n > 0, np.int32(NOT_JUDGED), one.home_n)
        for unit in cut([one.home_n.size], UNIT_CELLS):
            piece = Piece(place, unit.pieces[0].start, unit.pieces[0].stop)
            tasks.append(
                MeasureTask(
                    one.spec, piece, one.roles, set_n[piece.start : piece.stop], recipe.mito_metric == "fraction"
                )
            )
    out = [Measured(np.zeros(n), np.zeros(n), np.zeros(n, np.int32)) for n in (one.home_n.size for one in plan.sources)]
    done, total = 0, sum(task.piece.n_obs for task in tasks)
    for task, part in zip(tasks, crew.map(measure, tasks), strict=True):
        rows, whole = slice(task.piece.start, task.piece.stop), out[task.piece.source]
        whole.total_n[rows], whole.mito_n[rows], whole.genes_n[rows] = part.total_n, part.mito_n, part.genes_n
        whole.digests |= part.digests
        for number, pair in part.moments.items():
            for known, new in zip(whole.moments.setdefault(number, (Moments(), Moments())), pair, strict=True):
                known.merge(new)
        done += task.piece.n_obs
        if progress is not None:
            progress(done, total, Path(task.spec.name).name)
    for one, whole in zip(plan.sources, out, strict=True):
        if whole.total_n.size and not whole.total_n.any():
            raise NotCountsError(
                f"{one.spec.name}: every value is zero; give the layer that holds raw counts (--layer NAME)"
            )
    return out


def _limits(measured: Sequence[Measured], n_sets: int, recipe: QCRecipe) -> list[tuple[Limits, Limits]]:
    """Limits of the totals and of the mitochondrial metric of each data set, over all sources."""
    merged = [(Moments(), Moments()) for _ in range(n_sets)]
    for one in measured:
        for number, pair in one.moments.items():
            for known, new in zip(merged[number], pair, strict=True):
                known.merge(new)
    return [tuple(moments.limits(recipe.n_sd, recipe.ddof) for moments in pair) for pair in merged]  # type: ignore[misc]
