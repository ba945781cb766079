"""``corpuscle bench missingness``: ways to see past missing values, and what each of them loses."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from corpuscle.cli._app import console, output_folder
from corpuscle.cli._progress import steps
from corpuscle.cli.bench import bench, show

__all__ = ["missingness"]


@bench.command("missingness")
def missingness(
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Folder for the results, and for finished runs.", show_default=False)
    ],
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            help="Labelled raw count matrices, or complete tables (.npy, .csv, .tsv); each file is one data set.",
            metavar="FILE...",
            show_default=False,
        ),
    ] = None,
    methods: Annotated[
        list[str] | None,
        typer.Option(
            help="Comma-separated methods: unbiased, authors, ratio_rank1, ht, pairwise, hetero, knn_impute, iterative, "
            "soft_impute, ppca (also ppca:rank=5), ratio_oracle, ht_oracle, module:Class; may be repeated. zero_fill and "
            "mean_fill always take part. Default: all but iterative.",
            show_default=False,
        ),
    ] = None,
    masks: Annotated[
        list[str] | None,
        typer.Option(
            help="Comma-separated ways to lose entries: constant:p=0.5, uniform:low=0.2, authors, logit_normal:sd=1.2, "
            "dropout:low=0.6,mask=consensus (or none, oracle, zeros); may be repeated. Default: those of the evidence.",
            show_default=False,
        ),
    ] = None,
    labels: Annotated[str, typer.Option(help="obs column with the true types.")] = "cell_type",
    draws: Annotated[int, typer.Option(help="Number of draws, of cells and of what is missing from them.")] = 10,
    seed: Annotated[int, typer.Option(help="Seed of the first draw.")] = 0,
    genes: Annotated[int, typer.Option(help="Most variable genes that are kept.")] = 1000,
    max_cells: Annotated[int, typer.Option(help="Cells a draw at most, each type its share.")] = 600,
    simulated: Annotated[
        bool, typer.Option("--simulated", help="Also a simulation of three clusters in two factors, 2,000 features.")
    ] = False,
    layer: Annotated[str | None, typer.Option(help="Layer with the raw counts ('raw' for .raw).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the tidy table as JSON.")] = False,
) -> int:
    """Which ways to see past missing values keep distances, neighbours, directions and clusters?

    Entries of complete values are lost on purpose, so that the truth is known. A run that was finished before, in the same
    folder, is not done again.

    Example: corpuscle bench missingness cells.h5ad --methods unbiased,soft_impute --masks uniform:low=0.2 --draws 3 -o out
    """
    from corpuscle.benchmarks import missingness as benchmark
    from corpuscle.benchmarks._method_words import split_methods

    chosen = [word for text in methods or [] for word in split_methods(text)]
    holes = [word for text in masks or [] for word in split_methods(text)]
    output_folder(out)
    with steps("missingness") as progress:
        result = benchmark.benchmark(
            sources or [], chosen or None, holes or None, labels=labels, draws=draws, seed=seed, genes=genes,
            max_cells=max_cells, layer=layer, simulated=simulated, out=out, progress=progress,
        )  # fmt: skip
    result.save(out)
    for note in (entry["note"] for entry in result.run["inputs"] if "note" in entry):
        console.print(f"note: {escape(note)}", soft_wrap=True)
    return show(result, out, as_json)
