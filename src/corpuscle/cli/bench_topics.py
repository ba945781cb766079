"""``corpuscle bench topics``: can the topics of a model be read, and are they found again?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from corpuscle.cli._app import output_folder
from corpuscle.cli._progress import steps
from corpuscle.cli.bench import bench, show

__all__ = ["topics"]


@bench.command("topics")
def topics(
    sources: Annotated[
        list[str],
        typer.Argument(help="Raw count matrices; each file is one data set.", metavar="FILE...", show_default=False),
    ],
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Folder for the results, and for finished fits.", show_default=False)
    ],
    labels: Annotated[
        str, typer.Option(help="obs column with the true types, for purity; '' for none. No method sees it.")
    ] = "cell_type",
    gene_sets: Annotated[
        list[Path] | None,
        typer.Option(help="GMT file (.gmt or .gmt.gz) of gene sets; may be repeated.", show_default=False),
    ] = None,
    methods: Annotated[
        list[str] | None,
        typer.Option(
            help="Comma-separated NAME, NAME:key=value,key=value or module:Class, and @RANKING after it; may be repeated. "
            "Default: nmf and shuffled, and sce2tm, sce2tm_prob, linear_scvi and amortized_lda where the extra 'models' is "
            "installed.",
            show_default=False,
        ),
    ] = None,
    topics: Annotated[int, typer.Option(help="Topics, the same for every method.")] = 50,
    seeds: Annotated[int, typer.Option(help="Number of seeds.")] = 5,
    seed: Annotated[int, typer.Option(help="The first seed.")] = 0,
    top_genes: Annotated[int, typer.Option(help="Genes that a topic is read by.")] = 10,
    genes: Annotated[int, typer.Option(help="Highly variable genes, the same for every method; 0 for all.")] = 2000,
    layer: Annotated[str | None, typer.Option(help="Layer with the raw counts ('raw' for .raw).")] = None,
    batch: Annotated[str | None, typer.Option(help="obs column with the batch, for methods that use it.")] = None,
    view: Annotated[str | None, typer.Option(help="obsm key of a second view, for methods that use it.")] = None,
    enrich: Annotated[bool, typer.Option(help="Test gene sets for enrichment (needs the extra 'interpret').")] = True,
    permutations: Annotated[
        int, typer.Option(help="Permutations a topic of the pre-ranked test, which takes the most time; 0 for none.")
    ] = 1000,
    threads: Annotated[int, typer.Option(help="Threads of the pre-ranked test.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print the tidy table as JSON.")] = False,
) -> int:
    """Can topics be read: pure, coherent, diverse, enriched for gene sets, and found again by another seed?

    A fit that was finished before, in the same folder, is not done again.

    Example: corpuscle bench topics pbmc.h5ad --gene-sets hallmark.gmt.gz --methods sce2tm,nmf --topics 50 -o out
    """
    from corpuscle.benchmarks import topics as benchmark
    from corpuscle.benchmarks._method_words import split_methods

    chosen = [name for text in methods or [] for name in split_methods(text)]
    output_folder(out)
    with steps("topics") as progress:
        result = benchmark.benchmark(
            sources, chosen or None, labels=labels or None, gene_sets=gene_sets or (), n_topics=topics, seeds=seeds,
            seed=seed, top_genes=top_genes, n_top_genes=genes or None, layer=layer, batch_key=batch, view_key=view,
            enrich=enrich, gsea_permutations=permutations, threads=threads, out=out, progress=progress,
        )  # fmt: skip
    result.save(out)
    return show(result, out, as_json)
