"""A lab's own matrix into the schema of the coregulation benchmark, its pair of genes declared."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import scipy.sparse as sp

from corpuscle.counts import Counts, MemorySource, open_counts
from corpuscle.counts.genes import identifier_kind
from corpuscle.datasets._import_cells import CellFilter
from corpuscle.datasets._import_genes import GeneColumns, ReporterMissingError, reporter_recipe
from corpuscle.datasets._import_write import Description, Imported, write_import
from corpuscle.datasets.schema import Pair
from corpuscle.errors import OptionError, OutputError

__all__ = ["Imported", "ReporterMissingError", "import_exclusion", "import_reporter", "reporter_recipe"]

Names = str | Sequence[str]

MECHANISM = "Immunoglobulin light chain allelic exclusion"
#: Gene counts of the references that Cell Ranger ships or shipped, human and mouse.
REFERENCE_SIZES = {32738, 33538, 33694, 36601, 38606, 27998, 31053, 32285, 33696, 55487}


def import_reporter(
    source: Any,
    *,
    target: Names,
    out: str | os.PathLike[str],
    sample_id: str,
    reporter: Names | None = None,
    construct: Names | None = None,
    series_id: str | None = None,
    species: str | None = None,
    tissue: str | None = None,
    platform: str | None = None,
    layer: str | None = None,
    keep_cells: str | os.PathLike[str] | Iterable[str] | None = None,
    min_genes: int = 500,
    max_mito: float = 0.2,
    suffix_duplicates: bool = False,
    overwrite: bool = False,
) -> Imported:
    """Write a matrix whose reference had a reporter appended as a file of the coregulation benchmark.

    Parameters
    ----------
    source
        What :func:`corpuscle.open_counts` opens. A genes x cells matrix is turned.
    target
        The gene whose promoter drives the reporter, by symbol or id; several for several reporters. Never guessed.
    out
        The ``.h5ad`` to write.
    sample_id, series_id, species, tissue, platform
        Strings for ``uns``. ``series_id`` defaults to ``sample_id``; the species is told from the genes if not given.
    reporter
        The reporter's gene, one for each target; ``"eGFP+EGFP"`` sums one reporter counted under two names. None to
        look for a fluorescent protein or Cre.
    construct
        The construct in words, such as ``"Pdgfrb-BAC-eGFP"``, one for each target.
    layer
        Layer that holds the counts.
    keep_cells
        Barcodes of cells, or a file with one a line. None to keep barcodes with at least ``min_genes`` genes and
        less than ``max_mito`` of their counts from mitochondrial genes.
    min_genes, max_mito
        See ``keep_cells``.
    suffix_duplicates
        Give barcodes that occur again a suffix instead of refusing them.
    overwrite
        Replace a file that is there.

    Returns
    -------
    Imported
        What was written, and what to know of it.

    Raises
    ------
    ReporterMissingError
        No gene is the reporter; its ``recipe`` says how to count it.
    GeneError
        A target is missing or ambiguous, or a gene of a pair has no count in the cells kept.
    NotCountsError
        The matrix is not raw counts.
    OptionError
        No target was given, several genes could be the reporter, or no cell passes the filter.
    OutputError
        ``out`` is there already or cannot be written.
    """
    targets, reporters, constructs = _paired(target, reporter, construct)
    path, rule = _checked_out(out, overwrite), CellFilter.of(keep_cells, min_genes, max_mito)
    about = Description(sample_id, series_id, species, tissue, platform)
    with open_counts(source, layer=layer) as opened:
        wanted = [*targets, *(part for name in reporters if name for part in name.split("+"))]
        counts, notes = _oriented(opened, wanted)
        genes = GeneColumns.from_table(counts.var)
        for name in reporters:
            genes = genes.find_reporter(name)
        pairs, places = [], []
        for gene, name, built in zip(targets, reporters, constructs, strict=True):
            a, b = genes.reporter_place(name), genes.find(gene, "target")
            stored = genes.symbols[a]
            pairs.append(Pair(stored, "reporter", stored, genes.symbols[b], "", genes.ids[b], built or "not stated"))
            places.append((a, b))
        return write_import(counts, genes, pairs, places, about, rule, path, notes, suffix_duplicates)


def import_exclusion(
    source: Any,
    *,
    out: str | os.PathLike[str],
    sample_id: str,
    gene_a: str = "IGKC",
    gene_b: Names = "IGLC2",
    mechanism: str = MECHANISM,
    series_id: str | None = None,
    species: str | None = None,
    tissue: str | None = None,
    platform: str | None = None,
    layer: str | None = None,
    keep_cells: str | os.PathLike[str] | Iterable[str] | None = None,
    min_genes: int = 500,
    max_mito: float = 0.2,
    suffix_duplicates: bool = False,
    overwrite: bool = False,
) -> Imported:
    """Write a matrix with two genes of which a cell uses one as a file of the coregulation benchmark.

    The default pair is the constant regions of the two light chains in human B cells, of which a B cell expresses one.
    Several ``gene_b`` make several pairs. Other parameters, result and errors are those of :func:`import_reporter`.
    """
    path, rule = _checked_out(out, overwrite), CellFilter.of(keep_cells, min_genes, max_mito)
    about = Description(sample_id, series_id, species, tissue, platform)
    with open_counts(source, layer=layer) as opened:
        counts, notes = _oriented(opened, [gene_a, *_listed(gene_b)])
        genes = GeneColumns.from_table(counts.var)
        a, pairs, places = genes.find(gene_a, "gene"), [], []
        for gene in _listed(gene_b):
            b = genes.find(gene, "gene")
            names, ids = (genes.symbols[a], genes.symbols[b]), (genes.ids[a], genes.ids[b])
            pairs.append(Pair(f"{names[0]}_vs_{names[1]}", "exclusion", *names, *ids, mechanism))
            places.append((a, b))
        return write_import(counts, genes, pairs, places, about, rule, path, notes, suffix_duplicates)


def _listed(names: Names | None) -> list[str]:
    return [names] if isinstance(names, str) else list(names or [])


def _paired(
    target: Names, reporter: Names | None, construct: Names | None
) -> tuple[list[str], list[str | None], list[str]]:
    targets = _listed(target)
    if not targets:
        raise OptionError(
            "no target gene was given; name the gene whose promoter drives the reporter (--target); it is not guessed"
        )
    reporters: list[str | None] = [*_listed(reporter)] or [None]
    constructs = _listed(construct) or [""] * len(targets)
    if len(reporters) != len(targets) or len(constructs) != len(targets):
        raise OptionError(
            f"{len(targets)} targets, {len(reporters)} reporters and {len(constructs)} constructs: give --reporter, "
            "and --construct if at all, once for each --target, in the same order"
        )
    return targets, reporters, constructs


def _checked_out(out: str | os.PathLike[str], overwrite: bool) -> Path:
    path = Path(out)
    if path.suffix != ".h5ad":
        raise OutputError(f"{path}: the file to write must end in .h5ad")
    if path.exists() and not overwrite:
        raise OutputError(f"{path} is there already; choose another name or pass --overwrite")
    return path


def _oriented(counts: Counts, wanted: Sequence[str]) -> tuple[Counts, list[str]]:
    """Cells x genes, turned if the genes asked for are among the rows, or the names say so."""
    if _holds(counts.var, wanted):
        return counts, []
    rows = _holds(counts.obs, wanted)
    if not rows and identifier_kind(counts.var_names).kind == "cell barcode":
        rows = identifier_kind(counts.obs.index).kind != "cell barcode" or counts.n_obs in REFERENCE_SIZES
    if not rows:
        return counts, []
    x_ng = sp.csr_matrix(counts.to_csr().T)
    source = MemorySource(x_ng, counts.var, counts.obs, uns=counts.uns, name=counts.name)
    return Counts([source]), ["turned from genes x cells"]


def _holds(table: pd.DataFrame, wanted: Sequence[str]) -> bool:
    known = GeneColumns.from_table(table)
    return bool(set(wanted) & {*known.symbols, *known.ids})
