"""``corpuscle bench clustering``: embeddings against known cell types."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from corpuscle.cli._app import console, output_folder
from corpuscle.cli._progress import steps
from corpuscle.cli.bench import bench, show

__all__ = ["clustering"]


@bench.command("clustering")
def clustering(
    sources: Annotated[
        list[str],
        typer.Argument(
            help="Labelled raw count matrices; each file is one data set.", metavar="FILE...", show_default=False
        ),
    ],
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Folder for the results, and for finished runs.", show_default=False)
    ],
    labels: Annotated[str, typer.Option(help="obs column with the true types; no method sees it.")] = "cell_type",
    methods: Annotated[
        list[str] | None,
        typer.Option(
            help="Comma-separated NAME, NAME:key=value,key=value or module:Class; may be repeated. Default: "
            "pca_leiden, pca_kmeans, and sce2tm and scvi where the extra 'models' is installed.",
            show_default=False,
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(help="Number of seeds.")] = 5,
    seed: Annotated[int, typer.Option(help="The first seed.")] = 0,
    layer: Annotated[str | None, typer.Option(help="Layer with the raw counts ('raw' for .raw).")] = None,
    batch: Annotated[str | None, typer.Option(help="obs column with the batch, for methods that use it.")] = None,
    view: Annotated[str | None, typer.Option(help="obsm key of a second view, for methods that use it.")] = None,
    algorithm: Annotated[str, typer.Option(help="Communities by leiden, or by louvain (extra 'louvain').")] = "leiden",
    jobs: Annotated[int, typer.Option(help="Runs at the same time, each in a process of its own.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print the tidy table as JSON.")] = False,
) -> int:
    """Which embedding finds the known cell types, told nothing, the number of types, or the labels?

    A run that was finished before, in the same folder, is not done again.

    Example: corpuscle bench clustering a.h5ad b.h5ad --methods pca_leiden,scvi:max_epochs=100 --seeds 5 -o out
    """
    from corpuscle.benchmarks import clustering as benchmark
    from corpuscle.benchmarks._method_words import split_methods

    chosen = [name for text in methods or [] for name in split_methods(text)]
    output_folder(out)
    with steps("clustering") as progress:
        result = benchmark.benchmark(
            sources, chosen or None, labels=labels, seeds=seeds, seed=seed, layer=layer, batch_key=batch, view_key=view,
            algorithm=algorithm, jobs=jobs, out=out, progress=progress,
        )  # fmt: skip
    result.save(out)
    for note in (entry["note"] for entry in result.run["inputs"] if "note" in entry):
        console.print(f"note: {escape(note)}", soft_wrap=True)
    return show(result, out, as_json)
