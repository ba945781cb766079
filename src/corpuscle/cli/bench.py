"""``corpuscle bench``: methods against ground truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from corpuscle.cli._app import app, console, emit_json, output_folder
from corpuscle.cli._progress import steps
from corpuscle.cli.report import summary_view

__all__ = ["bench"]

bench = typer.Typer(help="Judge methods on ground truth.", no_args_is_help=True)
app.add_typer(bench, name="bench")

FAILURES_SHOWN = 10


@bench.command("coregulation")
def coregulation(
    sources: Annotated[
        list[str], typer.Argument(help="Raw count matrices; each file is one sample.", show_default=False)
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the results.", show_default=False)],
    methods: Annotated[
        str,
        typer.Option(help="Comma-separated ids, NAME=cmd:COMMAND {in} {out}, module:Class; default: all base methods."),
    ] = "",
    background: Annotated[str, typer.Option(help="matched, matched_random, random_expressed or all.")] = "matched",
    cells: Annotated[str, typer.Option(help="auto, all, card_union or COLUMN=VALUE.")] = "auto",
    association: Annotated[
        str, typer.Option(help="Comma-separated measures; the first ranks the methods.")
    ] = "pearson",
    layer: Annotated[str | None, typer.Option(help="Layer with the raw counts ('raw' for .raw).")] = None,
    sample_key: Annotated[str | None, typer.Option(help="obs column that splits a file into samples.")] = None,
    include_plasma: Annotated[bool, typer.Option("--include-plasma", help="Plasma cells are B cells too.")] = False,
    fit_on: Annotated[str, typer.Option(help="Fit methods on 'all' cells or only the evaluated 'cells'.")] = "all",
    n_background: Annotated[int, typer.Option(help="Background genes a pair.")] = 500,
    n_boot: Annotated[int, typer.Option(help="Bootstrap rounds over cells.")] = 1000,
    n_null_refits: Annotated[
        int, typer.Option(help="Null permutations of methods that must be fitted again for each (the others have 200).")
    ] = 2,
    controls: Annotated[
        bool, typer.Option(help="Null, thinning and count-split controls (each a further fit).")
    ] = True,
    variants: Annotated[
        bool, typer.Option(help="Also without the pair in the depth, and with all lambda genes as one.")
    ] = True,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the tidy table as JSON.")] = False,
) -> int:
    """Which normalisations keep true gene-gene relations, and which invent them?

    Needs reporters declared in the files, or any human matrix with B cells, IGKC and IGLC2.

    Example: corpuscle bench coregulation pbmc.h5ad --methods log1p_cp10k,pearson_analytic,magic -o out
    """
    from corpuscle.benchmarks import coregulation as benchmark

    output_folder(out)
    chosen = [name.strip() for name in methods.split(",") if name.strip()] or None
    with steps("coregulation") as progress:
        result = benchmark.benchmark(
            sources, chosen, layer=layer, sample_key=sample_key, progress=progress, background=background, cells=cells,
            association=tuple(name.strip() for name in association.split(",") if name.strip()),
            include_plasma=include_plasma, fit_on=fit_on, n_background=n_background, n_boot=n_boot,
            n_null_refits=n_null_refits, controls=controls,
            variants=variants, seed=seed,
        )  # fmt: skip
    result.save(out)
    return show(result, out, as_json)


def show(result: Any, out: Path, as_json: bool) -> int:
    """Print what was found and what failed; the exit code is 2 if anything failed."""
    if as_json:
        emit_json(result.table.to_dict("records"))
    elif not result.table.empty:
        console.print(summary_view(result))
    failures = result.failures.to_dict("records")
    for row in failures[:FAILURES_SHOWN]:
        where = " ".join(str(row[key]) for key in ("dataset", "method", "stage") if row[key])
        console.print(f"[red]failed[/red] {escape(where)}: {escape(str(row['reason']))}", soft_wrap=True)
    if len(failures) > FAILURES_SHOWN:
        console.print(f"... and {len(failures) - FAILURES_SHOWN} more in {escape(str(out / 'failures.csv'))}")
    console.print(f"report: {escape(str(out / 'report.html'))}", soft_wrap=True)
    return 2 if failures else 0
