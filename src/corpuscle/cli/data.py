"""corpuscle data: public data sets: list, fetch, validate; and a lab's own matrix imported."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from corpuscle.cli._app import app, emit_json

if TYPE_CHECKING:
    from corpuscle.datasets import Imported

__all__ = ["data"]

data = typer.Typer(name="data", help="Public data sets, and your own matrix in their form.", no_args_is_help=True)
app.add_typer(data)

Catalog = Annotated[str, typer.Argument(metavar="CATALOG", help="Name of the catalog: coregulation.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON to stdout.")]
Endpoint = Annotated[
    str | None, typer.Option("--endpoint", metavar="URL", help="Another server of the Hub's protocol.")
]
Revision = Annotated[str, typer.Option("--revision", help="Branch, tag or commit of the data set.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]
Source = Annotated[Path, typer.Argument(help="10x .h5 or folder, Parse folder, .h5ad, .loom, .csv, ...")]
Out = Annotated[Path, typer.Option("-o", "--out", metavar="FILE.h5ad", help="The file to write.")]
SampleId = Annotated[
    str | None, typer.Option("--sample-id", help="Name of the sample; the name of the file by default.")
]
SeriesId = Annotated[str | None, typer.Option("--series-id", help="Name of the experiment that it belongs to.")]
Species = Annotated[str | None, typer.Option("--species", help="Told from the genes by default.")]
Tissue = Annotated[str | None, typer.Option("--tissue")]
Platform = Annotated[str | None, typer.Option("--platform", help='Such as "10x v3".')]
Layer = Annotated[str | None, typer.Option("--layer", help="Layer that holds the counts.")]
Cells = Annotated[Path | None, typer.Option("--cells", help="File of barcodes to keep, one a line.")]
MinGenes = Annotated[int, typer.Option("--min-genes", help="Keep barcodes with at least this many genes.")]
MaxMito = Annotated[float, typer.Option("--max-mito", help="Keep barcodes with a smaller mitochondrial share.")]
Suffix = Annotated[bool, typer.Option("--suffix-duplicates", help="Give repeated barcodes a suffix.")]


@data.command("list", epilog="Example: corpuscle data list coregulation")
def list_data(
    name: Catalog = "coregulation",
    remote: Annotated[bool, typer.Option("--remote", help="List the files on the server, with their sizes.")] = False,
    endpoint: Endpoint = None,
    revision: Revision = "main",
    as_json: Json = False,
) -> None:
    """Show the series of a catalog, or its files on the server."""
    from corpuscle.datasets import bundled, catalog, list_remote
    from corpuscle.datasets.catalog import CATALOGS

    table = catalog(name)
    if remote:
        files = list_remote(CATALOGS[name], endpoint=endpoint, revision=revision)
        if as_json:
            return emit_json([asdict(file) for file in files])
        return _print_table(["file", "MB"], [[file.path, f"{file.size / 1e6:,.1f}"] for file in files])
    if as_json:
        return emit_json(table.to_dict("records"))
    for task, part in table.groupby("task", sort=False):
        rows = [
            [
                row.series,
                f"{row.gene_a} / {row.gene_b}",
                row.tissue,
                row.construct,
                row.platform,
                row.n_files,
                row.n_cells,
            ]
            for row in part.itertuples()
        ]
        _print_table(["series", "genes", "tissue", "construct", "platform", "files", "cells"], rows, str(task))
    typer.echo(f"{table.n_files.sum()} files, {table.n_cells.sum():,} cells. In the package: {', '.join(bundled())}.")
    return None


@data.command("fetch", epilog="Example: corpuscle data fetch coregulation GSE229976 -o data")
def fetch_data(
    out: Annotated[Path, typer.Option("-o", "--out", metavar="DIR", help="Target folder.")],
    name: Catalog = "coregulation",
    patterns: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PATTERN]...", help="Series, folders, file names or globs; all if none."),
    ] = None,
    endpoint: Endpoint = None,
    revision: Revision = "main",
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Download files of a catalog; run again to continue what broke off."""
    from corpuscle.datasets import catalog, fetch
    from corpuscle.datasets.catalog import CATALOGS

    catalog(name)
    fetched = fetch(
        CATALOGS[name], patterns=patterns or None, out=out, revision=revision, endpoint=endpoint, overwrite=overwrite
    )
    if as_json:
        return emit_json([{"path": file.path, "status": file.status, **asdict(file.remote)} for file in fetched])
    for file in fetched:
        typer.echo(f"{file.path}\t{file.remote.size:,}\t{file.status}")
    return None


@data.command("validate", epilog="Example: corpuscle data validate coregulation data/promoter_reporter/*.h5ad")
def validate_data(
    name: Catalog,
    files: Annotated[list[Path], typer.Argument(help="Files in the form of that catalog.")],
    as_json: Json = False,
) -> None:
    """Check files against the schema of a catalog; exit code 2 if one has an error."""
    from corpuscle.datasets import catalog, validate_many

    catalog(name)
    found = validate_many(files)
    if as_json:
        emit_json({path: [asdict(issue) for issue in issues] for path, issues in found.items()})
    else:
        rows = [
            [Path(path).name, issue.id, issue.severity, issue.message, ", ".join((*issue.rows[:3], *issue.columns[:3]))]
            for path, issues in found.items()
            for issue in issues
        ]
        if rows:
            _print_table(["file", "id", "severity", "message", "cells and genes"], rows)
        for path, issues in found.items():
            n_errors = sum(issue.severity == "error" for issue in issues)
            typer.echo(f"{path}: {n_errors} errors, {len(issues) - n_errors} warnings")
    if any(issue.severity == "error" for issues in found.values() for issue in issues):
        raise typer.Exit(2)


@data.command(
    "import-reporter",
    epilog="Example: corpuscle data import-reporter filtered.h5 --target Pdgfrb --reporter eGFP -o s1.h5ad",
)
def import_reporter_data(
    source: Source,
    out: Out,
    target: Annotated[
        list[str] | None, typer.Option("--target", help="Gene whose promoter drives the reporter.")
    ] = None,
    reporter: Annotated[
        list[str] | None,
        typer.Option("--reporter", help="The reporter's gene, one a target; A+B sums two names of one."),
    ] = None,
    construct: Annotated[list[str] | None, typer.Option("--construct", help="Such as Pdgfrb-BAC-eGFP.")] = None,
    sample_id: SampleId = None,
    series_id: SeriesId = None,
    species: Species = None,
    tissue: Tissue = None,
    platform: Platform = None,
    layer: Layer = None,
    cells: Cells = None,
    min_genes: MinGenes = 500,
    max_mito: MaxMito = 0.2,
    suffix_duplicates: Suffix = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Bring a matrix with a reporter gene into the form of the coregulation benchmark."""
    from corpuscle.datasets import ReporterMissingError, import_reporter

    try:
        done = import_reporter(
            source,
            target=target or [],
            out=out,
            sample_id=sample_id or out.stem,
            reporter=reporter or None,
            construct=construct or None,
            series_id=series_id,
            species=species,
            tissue=tissue,
            platform=platform,
            layer=layer,
            keep_cells=cells,
            min_genes=min_genes,
            max_mito=max_mito,
            suffix_duplicates=suffix_duplicates,
            overwrite=overwrite,
        )
    except ReporterMissingError as error:
        typer.echo(error.recipe, err=True)
        raise
    _print_import(done, as_json)


@data.command(
    "import-exclusion",
    epilog="Example: corpuscle data import-exclusion pbmc.h5ad --gene-b IGLC2 --gene-b IGLC3 -o s1.h5ad",
)
def import_exclusion_data(
    source: Source,
    out: Out,
    gene_a: Annotated[str, typer.Option("--gene-a", help="One gene.")] = "IGKC",
    gene_b: Annotated[list[str] | None, typer.Option("--gene-b", help="The other; IGLC2 by default.")] = None,
    mechanism: Annotated[
        str, typer.Option("--mechanism", help="Why they exclude each other.")
    ] = "Immunoglobulin light chain allelic exclusion",
    sample_id: SampleId = None,
    series_id: SeriesId = None,
    species: Species = None,
    tissue: Tissue = None,
    platform: Platform = None,
    layer: Layer = None,
    cells: Cells = None,
    min_genes: MinGenes = 500,
    max_mito: MaxMito = 0.2,
    suffix_duplicates: Suffix = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Bring a matrix with two genes that exclude each other into the form of the coregulation benchmark."""
    from corpuscle.datasets import import_exclusion

    done = import_exclusion(
        source,
        out=out,
        sample_id=sample_id or out.stem,
        gene_a=gene_a,
        gene_b=gene_b or "IGLC2",
        mechanism=mechanism,
        series_id=series_id,
        species=species,
        tissue=tissue,
        platform=platform,
        layer=layer,
        keep_cells=cells,
        min_genes=min_genes,
        max_mito=max_mito,
        suffix_duplicates=suffix_duplicates,
        overwrite=overwrite,
    )
    _print_import(done, as_json)


def _print_import(done: Imported, as_json: bool) -> None:
    if as_json:
        return emit_json(asdict(done))
    for note in [*done.notes, *(f"{issue.id}: {issue.message}" for issue in done.issues)]:
        typer.echo(f"note: {note}", err=True)
    pairs = ", ".join(f"{pair.gene_a} / {pair.gene_b}" for pair in done.pairs)
    typer.echo(f"{done.path}: {done.n_cells:,} of {done.n_cells_read:,} cells x {done.n_genes:,} genes; {pairs}")
    return None


def _print_table(columns: list[str], rows: list[list[Any]], title: str | None = None) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    out = Console()
    table = Table(title=title, title_justify="left")
    for i, column in enumerate(columns):
        table.add_column(column, overflow="fold", no_wrap=i == 0)
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    out.print(table)
