"""``corpuscle inspect``: what is in a source, is it counts, and what is wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from corpuscle.cli._app import app, emit_json
from corpuscle.cli._progress import steps

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from corpuscle.counts.inspect import Inspection

HEADINGS = {"0": "min", "5": "5 %", "25": "25 %", "50": "median", "75": "75 %", "95": "95 %", "100": "max"}
STYLE = {"error": "bold red", "warning": "yellow", "note": "cyan"}


@app.command("inspect", epilog="Example: corpuscle inspect pbmc.h5ad   or   corpuscle inspect study/*.h5ad --json")
def inspect_command(
    sources: Annotated[list[str], typer.Argument(metavar="SOURCE...", help="Files, folders or quoted globs.")],
    layer: Annotated[str | None, typer.Option("--layer", help="Look at this layer instead of the main matrix.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON list to stdout.")] = False,
) -> None:
    """Say what is in each SOURCE: is it raw counts, which gene ids, which species, how deep, what is wrong with it.

    What is not raw counts is described, not refused; what cannot be read ends with exit code 2.
    """
    from corpuscle.counts.inspect import inspect_counts

    found = []
    for source in sources:
        with steps("inspect") as progress:
            inspection = inspect_counts(source, layer=layer, progress=progress)
        found.append(inspection)
        if not as_json:
            _print(inspection)
    if as_json:
        emit_json([inspection.to_dict() for inspection in found])


def _print(inspection: Inspection) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    out = Console()
    verdict = inspection.verdict
    color = "green" if verdict.is_counts else "red"
    out.rule(style="dim")
    out.print(f"[bold]{escape(inspection.name)}[/]", soft_wrap=True, highlight=False)
    out.print(
        f"[bold]{inspection.n_obs:,}[/] cells x [bold]{inspection.n_vars:,}[/] genes, {inspection.sparsity:.1%} zeros, "
        f"{escape(inspection.layout)}, {inspection.dtype}",
        highlight=False,
    )
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column()
    table.add_row("values", f"[bold {color}]{verdict.verdict}[/]: {escape(verdict.reason)}; {_range(inspection)}")
    _add_names(table, inspection)
    out.print(table)
    _print_quantiles(out, inspection)
    for finding in inspection.findings:
        advice = f" [dim]→ {escape(finding.way_out)}[/]" if finding.way_out else ""
        out.print(f"[{STYLE[finding.level]}]{finding.level}[/]  {escape(finding.text)}{advice}", highlight=False)
    for use in inspection.uses:
        mark = "[green]yes[/]" if use.possible else "[red]no[/] "
        out.print(f"{mark} [bold]{use.what}[/]: {escape(use.reason)}", highlight=False)
    out.print()


def _range(inspection: Inspection) -> str:
    from rich.markup import escape

    verdict = inspection.verdict
    text = f"from {_value(verdict.minimum)} to {_value(verdict.maximum)}"
    bad = verdict.first_offender
    if bad is not None:
        text += f"; first at cell {escape(bad.cell)}, gene {escape(bad.gene)}: {bad.value:.6g} ({bad.kind})"
    return text


def _add_names(table: Table, inspection: Inspection) -> None:
    from rich.markup import escape

    kinds = inspection.identifiers
    shares = ", ".join(
        f"{_percent(share)} {kind} ({escape(kinds.examples[kind])})" for kind, share in list(kinds.shares.items())[:4]
    )
    column = f"; ids in var column {escape(inspection.id_column)}" if inspection.id_column else ""
    table.add_row("gene names", f"{kinds.kind}: {shares}{column}")
    table.add_row("species", f"{escape(inspection.species.species)} ({escape(inspection.species.evidence)})")
    if inspection.bulk is not None:
        from corpuscle.counts._inspect_bulk import bulk_rows

        for heading, said in bulk_rows(inspection.bulk):
            table.add_row(heading, escape(said))
    if inspection.layers:
        table.add_row("layers", escape(", ".join(inspection.layers)))
    empty = f"{inspection.empty_cells:,} cells, {inspection.empty_genes:,} genes"
    table.add_row("all zero", empty)
    if inspection.reporters:
        table.add_row("reporters", escape(", ".join(inspection.reporters)))
    if inspection.light_chains:
        chains = ", ".join(f"{gene} in {n:,} cells" for gene, n in inspection.light_chains.items() if n)
        table.add_row("light chains", chains or "in no cell")


def _print_quantiles(out: Console, inspection: Inspection) -> None:
    from rich.table import Table

    rows = (
        ("counts a cell", inspection.depth, _short),
        ("genes a cell", inspection.genes, _short),
        ("mitochondrial", inspection.mitochondrial_share, "{:.1%}".format),
    )
    shown = [(name, quantiles, form) for name, quantiles, form in rows if quantiles is not None]
    if not shown:
        return
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("", style="bold", no_wrap=True)
    for heading in HEADINGS.values():
        table.add_column(heading, justify="right", no_wrap=True)
    for name, quantiles, form in shown:
        table.add_row(name, *(form(quantiles[percent]) for percent in HEADINGS))
    out.print(table)


def _percent(share: float) -> str:
    return f"{share:.1%}" if share >= 0.0005 else "< 0.1%"


def _value(value: float) -> str:
    return f"{value:,.0f}" if value == round(value, 0) else f"{value:.6g}"


def _short(value: float) -> str:
    return f"{value / 1e6:.1f} M" if abs(value) >= 1e6 else f"{value:,.0f}"
