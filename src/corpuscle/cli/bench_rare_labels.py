"""``corpuscle bench rare-labels``: do synthetic samples of a rare label help, more than weights do?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from corpuscle.cli._app import console, output_folder
from corpuscle.cli._progress import steps
from corpuscle.cli.bench import bench, show
from corpuscle.errors import OptionError

__all__ = ["rare_labels"]


@bench.command("rare-labels")
def rare_labels(
    sources: Annotated[
        list[str],
        typer.Argument(
            help="Raw count matrices with labels; each file is one data set.", metavar="FILE...", show_default=False
        ),
    ],
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Folder for the results, and for finished runs.", show_default=False)
    ],
    labels: Annotated[str, typer.Option(help="obs column with the labels.")] = "cell_type",
    groups: Annotated[
        str, typer.Option(help="obs column with the series or donor of each sample; 'none' splits at random.")
    ] = "batch",
    pseudobulk: Annotated[
        bool, typer.Option("--pseudobulk", help="Add cells up by group and label; these sums are the samples.")
    ] = False,
    arms: Annotated[
        list[str] | None,
        typer.Option(
            help="Comma-separated arms: oversample, smote, borderline_smote, adasyn, noise, mixup, mvn (together 'cheap'), "
            "gan, vae, diffusion, gan_reference ('learned'), gan_shuffled, vae_shuffled, gan_other ('nulls'), "
            "module:Class; may be repeated. none and class_weight always take part. Default: cheap.",
            show_default=False,
        ),
    ] = None,
    targets: Annotated[
        list[str] | None,
        typer.Option(
            help="Comma-separated labels to make rare; may be repeated. Default: the largest.", show_default=False
        ),
    ] = None,
    max_targets: Annotated[int, typer.Option(help="How many labels, where none is named.")] = 3,
    rarity: Annotated[str, typer.Option(help="Comma-separated numbers of training samples of the label.")] = "5,20,50",
    amounts: Annotated[
        str, typer.Option(help="Comma-separated: synthetic samples for each real one, or 'median'.")
    ] = "5,median",
    repeats: Annotated[int, typer.Option(help="Number of repeats, each with a split of its own.")] = 10,
    seed: Annotated[int, typer.Option(help="Seed of the first repeat.")] = 0,
    max_samples: Annotated[int, typer.Option(help="Samples of a data set at most.")] = 3000,
    max_per_label: Annotated[int, typer.Option(help="Training samples of every other label at most.")] = 300,
    min_cells: Annotated[int, typer.Option(help="Cells of a pseudo-bulk sample at least.")] = 10,
    genes: Annotated[int, typer.Option(help="Most variable genes that are kept.")] = 2000,
    pcs: Annotated[int, typer.Option(help="Principal components.")] = 50,
    layer: Annotated[str | None, typer.Option(help="Layer with the raw counts ('raw' for .raw).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the tidy table as JSON.")] = False,
) -> int:
    """Do synthetic samples of a rare label help to find it in series that nobody trained on, more than weights do?

    Common labels are made rare on purpose, whole series are held out, and every arm has the same weight of the label. A
    run that was finished before, in the same folder, is not done again.

    Example: corpuscle bench rare-labels cells.h5ad --arms cheap,vae --rarity 5,20 --repeats 3 -o out
    """
    from corpuscle.benchmarks import rare_labels as benchmark
    from corpuscle.benchmarks._method_words import split_methods

    chosen = [word for text in arms or [] for word in split_methods(text)]
    wanted = [word.strip() for text in targets or [] for word in text.split(",") if word.strip()]
    numbers = _numbers(rarity)
    output_folder(out)
    with steps("rare labels") as progress:
        result = benchmark.benchmark(
            sources, chosen or None, labels=labels, groups=None if groups == "none" else groups, pseudobulk=pseudobulk,
            min_cells=min_cells, targets=wanted, max_targets=max_targets, rarity=numbers,
            amounts=[word.strip() for word in amounts.split(",") if word.strip()], repeats=repeats, seed=seed,
            max_samples=max_samples, max_per_label=max_per_label, genes=genes, pcs=pcs, layer=layer, out=out,
            progress=progress,
        )  # fmt: skip
    result.save(out)
    for note in (entry["note"] for entry in result.run["inputs"] if "note" in entry):
        console.print(f"note: {escape(note)}", soft_wrap=True)
    return show(result, out, as_json)


def _numbers(text: str) -> list[int]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words or not all(word.isdecimal() for word in words):
        raise OptionError(f"--rarity {text!r} must be whole numbers, such as 5,20,50")
    return [int(word) for word in words]
