"""``corpuscle corpus medians`` and ``vocab``: non-zero medians of genes, and tokens for these genes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from corpuscle.cli._app import console, emit_json
from corpuscle.cli._progress import steps
from corpuscle.cli.corpus._app import Force, Json, Layer, OutFile, Scheduler, Sources, corpus

if TYPE_CHECKING:
    from corpuscle.corpus.medians_io import Medians

__all__ = ["medians", "vocab"]

#: Sources of which a line is shown; all of them are in the file.
SHOWN_SOURCES = 30
FilePath = Path | None


@corpus.command("medians", epilog="Example: corpuscle corpus medians 'study/*.h5ad' --qc qc -o medians.tsv")
def medians(
    source: Sources,
    out: OutFile,
    method: Annotated[
        str, typer.Option("--method", help="histogram (within 0.2 %), exact (reads twice), tdigest (needs crick).")
    ] = "histogram",
    qc: Annotated[FilePath, typer.Option("--qc", metavar="DIR", help="What corpus qc wrote for SOURCE.")] = None,
    filter_: Annotated[
        str | None, typer.Option("--filter", metavar="COLUMN", help="obs column that says which cells to use.")
    ] = None,
    layer: Layer = None,
    gene_column: Annotated[
        str | None, typer.Option("--gene-column", metavar="COLUMN", help="var column of gene ids.")
    ] = None,
    aliases: Annotated[FilePath, typer.Option("--aliases", metavar="FILE", help="Other names of genes.")] = None,
    symbols: Annotated[
        str, typer.Option("--symbols", help="Take names as gene symbols: auto, always, never.")
    ] = "auto",
    orthologs: Annotated[bool, typer.Option("--orthologs", help="Take mouse genes as their human orthologs.")] = False,
    biotypes: Annotated[
        str, typer.Option("--biotypes", help="Gene types to take; all for every gene of the human table.")
    ] = "protein_coding,miRNA",
    genes: Annotated[
        FilePath, typer.Option("--genes", metavar="FILE", help="Genes to take instead, one id a line.")
    ] = None,
    depth: Annotated[
        str, typer.Option("--depth", help="Totals of the cells: auto, n_counts (the column), computed.")
    ] = "auto",
    fractional: Annotated[
        bool, typer.Option("--allow-fractional", help="Accept values that are not whole numbers.")
    ] = False,
    min_match: Annotated[
        float, typer.Option("--min-match", help="Least share of the counts in the genes to take.")
    ] = 0.5,
    scheduler: Scheduler = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Compute the median of each gene's count / total * 10,000 over the cells of SOURCE that have the gene.

    The file has the columns id, n_nonzero and nonzero_median, and in its first line how it was made. Medians of different
    runs cannot be merged afterwards, since a median is not made of medians: name all sources in one run.
    """
    from corpuscle.corpus.medians import medians as compute

    types = biotypes.strip() if biotypes.strip() == "all" else [one.strip() for one in biotypes.split(",")]
    with steps("medians") as progress:
        found = compute(
            source, out, method=method, qc=qc, filter=filter_, layer=layer,  # type: ignore[arg-type]
            gene_column=gene_column, aliases=aliases, symbols=symbols, orthologs=orthologs,  # type: ignore[arg-type]
            biotypes=types, genes=genes, depth=depth, allow_fractional=fractional,  # type: ignore[arg-type]
            min_match=min_match, scheduler=scheduler, overwrite=force, progress=progress,
        )  # fmt: skip
    if as_json:
        emit_json({"out": str(out)} | dict(found.recipe))
        return
    for one in found.recipe["sources"][:SHOWN_SOURCES]:
        _say(f"{one['name']}: {_words(one)}")
    hidden = len(found.recipe["sources"]) - SHOWN_SOURCES
    if hidden > 0:
        _say(f"{hidden:,} more sources in the first line of {out}")
    _say(_summary(found, out))


def _words(source: dict[str, Any]) -> str:
    match = source["match"]
    dropped = "".join(f", {n:,} dropped by {why}" for why, n in sorted(source["dropped"].items()) if n)
    depth = "column n_counts" if source["depth"] == "n_counts" else "sum of the counts"
    return (
        f"{source['cells']:,} of {source['cells_total']:,} cells{dropped}; {match['matched']:,} of "
        f"{match['n_genes']:,} genes taken; total of a cell: {depth}"
    )


def _summary(found: Medians, out: Path) -> str:
    bound = found.recipe["method"]["relative_error"]
    error = "error not bounded" if bound is None else "exact" if bound == 0 else f"within {bound:.1%}"
    return (
        f"{len(found):,} of {found.recipe['genes']['n']:,} genes seen in {found.recipe['cells']:,} cells, "
        f"{found.recipe['method']['name']} ({error}): {out}"
    )


@corpus.command("vocab", epilog="Example: corpuscle corpus vocab medians.tsv --specials pad,mask,cls,eos -o vocab.tsv")
def vocab(
    source: Annotated[Path, typer.Argument(metavar="MEDIANS", help="What corpus medians wrote.")],
    out: OutFile,
    specials: Annotated[
        str, typer.Option("--specials", help="Special tokens in order: pad,mask or pad,mask,cls,eos.")
    ] = "pad,mask",
    min_cells: Annotated[int, typer.Option("--min-cells", help="Leave out genes seen in fewer cells.")] = 1,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Give each gene of MEDIANS a token: special tokens first, then genes in the order of their ids.

    The file has the columns token, id and nonzero_median, and is all that corpus tokenize needs (--vocab). To use the
    cells of several files, name all of them in one run of corpus medians: finished medians cannot be merged.
    """
    from corpuscle.corpus.build_vocab import build_vocab
    from corpuscle.corpus.medians_io import check_out, read_medians
    from corpuscle.corpus.vocabulary_io import write_vocab

    target = check_out(out, overwrite=force)
    found = read_medians(source)
    made = build_vocab(found, specials=specials.split(","), min_cells=min_cells, name=out.name)
    write_vocab(made, target)
    left_out = len(found) - len(made.gene_ids)
    if as_json:
        emit_json({
            "out": str(out), "size": made.size, "genes": len(made.gene_ids), "left_out": left_out,
            "specials": dict(made.specials), "sha256": made.sha256,
        })  # fmt: skip
        return
    rare = f", {left_out:,} left out (seen in fewer than {min_cells:,} cells)" if left_out else ""
    shown = " ".join(f"{special} {token}" for special, token in made.specials.items())
    _say(f"{made.size:,} tokens: {shown}, then {len(made.gene_ids):,} genes{rare}: {out}")


def _say(line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)
