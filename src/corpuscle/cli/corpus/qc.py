"""``corpuscle corpus qc``: which cells to keep, data set by data set, and why the others go."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from corpuscle.cli._app import console, emit_json
from corpuscle.cli._progress import steps
from corpuscle.cli.corpus._app import Force, Json, Layer, Scheduler, Sources, corpus
from corpuscle.errors import OptionError

if TYPE_CHECKING:
    from corpuscle.corpus.qc import QCResult

__all__ = ["qc"]

#: Rows and notes that are shown; all of them are in the folder.
SHOWN_SETS = 50
SHOWN_NOTES = 10


@corpus.command("qc", epilog="Example: corpuscle corpus qc 'study/*.h5ad' --by donor -o qc")
def qc(
    source: Sources,
    out: Annotated[Path, typer.Option("-o", "--out", metavar="DIR", help="The folder to write.", show_default=False)],
    n_sd: Annotated[float, typer.Option("--n-sd", help="Keep cells within so many SD of the mean.")] = 3.0,
    ddof: Annotated[int, typer.Option("--ddof", help="SD of a population (0) or of a sample (1).")] = 0,
    total: Annotated[bool, typer.Option("--total/--no-total", help="Judge the total counts.")] = True,
    mito: Annotated[bool, typer.Option("--mito/--no-mito", help="Judge the mitochondrial counts.")] = True,
    mito_metric: Annotated[str, typer.Option("--mito-metric", help="reads, or fraction of the counts.")] = "reads",
    mito_genes: Annotated[
        Path | None, typer.Option("--mito-genes", metavar="FILE", help="Mitochondrial genes, one a line.")
    ] = None,
    biotypes: Annotated[
        str, typer.Option("--biotypes", help="Gene types whose detected genes are counted; all for every gene.")
    ] = "protein_coding,miRNA",
    min_genes: Annotated[int, typer.Option("--min-genes", help="Detected genes that a cell needs; 0 for none.")] = 7,
    by: Annotated[
        str | None, typer.Option("--by", metavar="COLUMN", help="obs column that names the data set of a cell.")
    ] = None,
    filter_: Annotated[
        str | None, typer.Option("--filter", metavar="COLUMN", help="obs column that says which cells to look at.")
    ] = None,
    gene_column: Annotated[
        str | None, typer.Option("--gene-column", metavar="COLUMN", help="var column of gene ids.")
    ] = None,
    aliases: Annotated[Path | None, typer.Option("--aliases", metavar="FILE", help="Other names of genes.")] = None,
    symbols: Annotated[
        str, typer.Option("--symbols", help="Take names as gene symbols: auto, always, never.")
    ] = "auto",
    orthologs: Annotated[bool, typer.Option("--orthologs", help="Take mouse genes as their human orthologs.")] = False,
    layer: Layer = None,
    fractional: Annotated[
        bool, typer.Option("--allow-fractional", help="Accept values that are not whole numbers.")
    ] = False,
    scheduler: Scheduler = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Judge each cell of SOURCE against the mean of its data set, and write which to keep.

    A cell is kept if its total and its mitochondrial counts lie within 3 SD of the mean of its data set (a source, or a value
    of --by), and if it has 7 detected protein-coding or miRNA genes. Give DIR to the other commands as --qc.
    """
    from corpuscle.corpus.qc import run_qc

    types = [one.strip() for one in biotypes.split(",") if one.strip()]
    listed = None if mito_genes is None else _gene_list(mito_genes)
    with steps("quality control") as progress:
        result = run_qc(
            source, out, n_sd=n_sd, ddof=ddof, total=total, mito=mito, mito_metric=mito_metric, mito_genes=listed,
            biotypes="all" if types == ["all"] else types, min_genes=min_genes, by=by, filter=filter_,
            layer=layer, gene_column=gene_column, aliases=aliases, symbols=symbols,  # type: ignore[arg-type]
            orthologs=orthologs, allow_fractional=fractional,
            scheduler=scheduler, overwrite=force, progress=progress,
        )  # fmt: skip
    if as_json:
        emit_json({"out": str(out)} | result.record)
    else:
        _show(result)
    _show_notes(result)


def _gene_list(path: Path) -> list[str]:
    """First word of each line that is not empty or a comment."""
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError):
        raise OptionError(f"{path}: cannot be read as text; give a file with one gene a line") from None
    return [line.split()[0] for line in lines if line.strip() and not line.lstrip().startswith("#")]


def _show(result: QCResult) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("data set", overflow="fold", min_width=12)
    columns = {
        "cells": "cells", "kept": "kept", "kept %": "share_kept", "empty": "dropped_empty", "total -": "dropped_total_low",
        "total +": "dropped_total_high", "mito -": "dropped_mito_low", "mito +": "dropped_mito_high",
        "few genes": "dropped_few_genes", "left out": "dropped_filter",
    }  # fmt: skip
    for heading in columns:
        table.add_column(heading, justify="right")
    for row in result.table.head(SHOWN_SETS).to_dict("records"):
        table.add_row(escape(str(row["dataset"])), *(_shown(row[name]) for name in columns.values()))
    printer = Console()
    printer.print(table)
    hidden = len(result.table) - SHOWN_SETS
    more = f" ({hidden:,} more data sets in {result.folder / 'datasets.tsv'})" if hidden > 0 else ""
    printer.print(
        f"{result.n_kept:,} of {result.n_cells:,} cells kept ({result.n_kept / result.n_cells:.1%}): {result.folder}{more}",
        markup=False, highlight=False, soft_wrap=True,
    )  # fmt: skip


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return "-" if value != value else f"{value:.1%}"
    return f"{value:,}"


def _show_notes(result: QCResult) -> None:
    for note in result.notes[:SHOWN_NOTES]:
        console.print(f"note: {note}", style="yellow", markup=False, highlight=False, soft_wrap=True)
    if len(result.notes) > SHOWN_NOTES:
        console.print(
            f"note: {len(result.notes) - SHOWN_NOTES:,} more notes in {result.folder / 'qc.json'}",
            style="yellow", markup=False, highlight=False, soft_wrap=True,
        )  # fmt: skip
