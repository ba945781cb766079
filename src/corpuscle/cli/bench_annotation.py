"""``corpuscle bench annotation``: scores of cell types, and what refinement makes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from corpuscle.cli._app import console, output_folder
from corpuscle.cli._progress import steps
from corpuscle.cli.bench import bench, show

__all__ = ["annotation"]


@bench.command("annotation")
def annotation(
    sources: Annotated[
        list[str],
        typer.Argument(
            help="Labelled raw count matrices; each file is one data set.", metavar="FILE...", show_default=False
        ),
    ],
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Folder for the results, and for finished runs.", show_default=False)
    ],
    labels: Annotated[str, typer.Option(help="obs column with the true types.")] = "cell_type",
    label_map: Annotated[
        Path | None,
        typer.Option(
            help="TSV with columns label, type, cl_id and maybe dataset: which type a label stands for. Without it each "
            "label is a type, and is looked up in the Cell Ontology.",
            show_default=False,
        ),
    ] = None,
    scores: Annotated[
        list[str] | None,
        typer.Option(
            help="Comma-separated sources of scores: markers, ucell, reference (also reference:per_type=20, "
            "reference:batch=COLUMN), prototypes, text, scores:OBSM_KEY, noise:fraction=0.4, module:Class; may be "
            "repeated. Default: markers,reference.",
            show_default=False,
        ),
    ] = None,
    refine: Annotated[
        list[str] | None,
        typer.Option(
            help="Comma-separated refinements: grit (also grit:lam=5), guarded, grit_zscore, majority_vote, knn_vote, "
            "gated_knn, label_spreading, propagate, grit_permuted, module:Class. raw, grit and majority_vote always take "
            "part. Default: all.",
            show_default=False,
        ),
    ] = None,
    organs: Annotated[
        str,
        typer.Option(help="Comma-separated organs whose marker tables are read, e.g. blood,lymph-node; default: all."),
    ] = "",
    seeds: Annotated[int, typer.Option(help="Number of seeds; each draws a part of the cells.")] = 5,
    seed: Annotated[int, typer.Option(help="The first seed.")] = 0,
    share: Annotated[float, typer.Option(help="Share of the cells that a seed draws.")] = 0.8,
    neighbors: Annotated[int, typer.Option(help="Neighbours of a cell in the graph, itself among them.")] = 15,
    layer: Annotated[str | None, typer.Option(help="Layer with the raw counts ('raw' for .raw).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the tidy table as JSON.")] = False,
) -> int:
    """Does smoothing scores over the neighbour graph name cells better, and which types does it cost?

    A run that was finished before, in the same folder, is not done again.

    Example: corpuscle bench annotation cells.h5ad --scores markers,reference --refine raw,grit,guarded --organs blood -o out
    """
    from corpuscle.benchmarks import annotation as benchmark
    from corpuscle.benchmarks._method_words import split_methods

    chosen = [word for text in scores or [] for word in split_methods(text)]
    methods = [word for text in refine or [] for word in split_methods(text)]
    output_folder(out)
    with steps("annotation") as progress:
        result = benchmark.benchmark(
            sources, chosen or None, methods or None, labels=labels, label_map=label_map,
            organs=[word.strip() for word in organs.split(",") if word.strip()], seeds=seeds, seed=seed, layer=layer,
            share=share, n_neighbors=neighbors, out=out, progress=progress,
        )  # fmt: skip
    result.save(out)
    for note in (entry["note"] for entry in result.run["inputs"] if "note" in entry):
        console.print(f"note: {escape(note)}", soft_wrap=True)
    return show(result, out, as_json)
