"""``corpuscle demo``: the whole path on bundled real data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from corpuscle.cli._app import app, console, output_folder
from corpuscle.cli._progress import steps

__all__ = ["demo"]


@app.command("demo")
def demo(
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the results.")] = Path("corpuscle-demo"),
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the tidy table as JSON.")] = False,
) -> int:
    """Inspect three bundled PBMC samples, judge every base normalisation on them, and write a report.

    Example: corpuscle demo -o demo-report
    """
    from corpuscle.benchmarks import coregulation
    from corpuscle.cli.bench import show
    from corpuscle.counts.inspect import inspect_counts
    from corpuscle.datasets import bundled

    output_folder(out)
    files = list(bundled().values())
    console.print("Three captures of blood cells from healthy donors (10x Genomics, CC BY 4.0), raw counts:")
    for path in files:
        seen = inspect_counts(path)
        console.print(f"  {path.stem}: {seen.n_obs:,} cells x {seen.n_vars:,} genes, values: {seen.verdict.verdict}")
    console.print("A B cell makes light chain kappa or lambda, not both: IGKC and IGLC2 must be negatively correlated.")
    with steps("coregulation") as progress:
        # `corpuscle bench` also judges variants of the depth and of lambda, and has more refits in its null.
        result = coregulation.benchmark(files, seed=seed, n_null_refits=1, variants=False, progress=progress)
    result.save(out)
    code = show(result, out, as_json)
    console.print(f"[bold]Learned:[/bold] {escape(coregulation.headline(result))}", soft_wrap=True)
    return code
