"""``corpuscle bench text``: does a model of cells and words find the right words, and the right cells?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from corpuscle.cli._app import console, output_folder
from corpuscle.cli._progress import steps
from corpuscle.cli.bench import bench, show

__all__ = ["text"]


@bench.command(
    "text",
    epilog="Example: corpuscle bench text study/*.h5ad --group donor --methods celltext,markers --embeddings pca,hvg -o out",
)
def text(
    sources: Annotated[
        list[str],
        typer.Argument(
            help="Labelled raw count matrices; each file is one data set.", metavar="FILE...", show_default=False
        ),
    ],
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Folder for the results, and for finished runs.", show_default=False)
    ],
    methods: Annotated[
        list[str] | None,
        typer.Option(
            help="Comma-separated methods: celltext (also celltext:epochs=5), untrained, shuffled, logistic, "
            "logistic_text, centroid, majority, markers, sentences, sentences_trained, module:Class; may be repeated. "
            "logistic, logistic_text, majority and shuffled always take part. Default: celltext,untrained,centroid,markers.",
            show_default=False,
        ),
    ] = None,
    labels: Annotated[str, typer.Option(help="obs column with the true types.")] = "cell_type",
    group: Annotated[
        str | None,
        typer.Option(help="obs column of donors or studies; whole groups are held out too.", metavar="COLUMN"),
    ] = None,
    caption: Annotated[
        str, typer.Option(help="Caption of a training cell; {label} stands for its type.", metavar="TEMPLATE")
    ] = "This is a {label} cell.",
    wording: Annotated[
        list[str] | None,
        typer.Option(
            help="Words to ask with that training did not see: a template of {label}, {ontology_name} or {definition}; "
            "may be repeated. Default: '{label}', 'Sample of a {label}', '{ontology_name}', '{definition}'.",
            metavar="TEMPLATE",
            show_default=False,
        ),
    ] = None,
    setup: Annotated[
        list[str] | None,
        typer.Option(
            help="Comma-separated new_cells, held_out_groups, new_types, other_study; may be repeated. Default: all that "
            "the data can do.",
            metavar="NAME",
            show_default=False,
        ),
    ] = None,
    embeddings: Annotated[
        str, typer.Option(help="Vectors of cells: hvg, pca, panel:genes=FILE, scvi; options after a colon.")
    ] = "pca",
    label_map: Annotated[
        Path | None,
        typer.Option(
            help="TSV with columns label, type, cl_id and maybe dataset: which type a label stands for. Without it each "
            "label is a type, and is looked up in the Cell Ontology.",
            show_default=False,
        ),
    ] = None,
    organs: Annotated[
        str,
        typer.Option(help="Comma-separated organs whose marker tables are read, e.g. blood,lymph-node; default: all."),
    ] = "",
    seeds: Annotated[int, typer.Option(help="Number of seeds; each splits the cells anew.")] = 5,
    seed: Annotated[int, typer.Option(help="The first seed.")] = 0,
    folds: Annotated[int, typer.Option(help="Parts into which the types are divided to be left out in turn.")] = 4,
    share: Annotated[float, typer.Option(help="Share of the cells that is trained on.")] = 0.8,
    max_cells: Annotated[
        int, typer.Option(help="A larger data set is drawn down to so many cells, type by type.")
    ] = 10_000,
    layer: Annotated[str | None, typer.Option(help="Layer with the raw counts ('raw' for .raw).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the tidy table as JSON.")] = False,
) -> int:
    r"""Does a model of cells and words find the right words for new cells, in new words, and for new types?

    CellText needs PyTorch: pip install 'corpuscle\[text]'.

    A run that was finished before, in the same folder, is not done again.
    """
    from corpuscle.benchmarks import text as benchmark
    from corpuscle.benchmarks._method_words import split_methods
    from corpuscle.cli._named import listed
    from corpuscle.corpus.pairs.embedders import embedding_words

    chosen = [word for words in methods or [] for word in split_methods(words)]
    setups = [word for words in setup or [] for word in listed(words) or []]
    output_folder(out)
    with steps("text") as progress:
        result = benchmark.benchmark(
            sources, chosen or None, labels=labels, group=group, caption=caption,
            wordings=None if wording is None else tuple(wording), setups=tuple(setups) or None,
            embeddings=embedding_words(embeddings), seeds=seeds, seed=seed, folds=folds, share=share, max_cells=max_cells,
            layer=layer, label_map=label_map, organs=tuple(listed(organs) or ()), out=out, progress=progress,
        )  # fmt: skip
    result.save(out)
    for note in (entry["note"] for entry in result.run["inputs"] if "note" in entry):
        console.print(f"note: {escape(note)}", soft_wrap=True)
    return show(result, out, as_json)
