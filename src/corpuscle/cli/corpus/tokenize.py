"""``corpuscle corpus tokenize``: raw counts to a data set of tokens."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from corpuscle.cli._app import console, emit_json
from corpuscle.cli._progress import steps
from corpuscle.cli.corpus._app import Force, Json, Layer, Scheduler, Sources, corpus
from corpuscle.errors import OptionError

if TYPE_CHECKING:
    from corpuscle.corpus.tokenize import Corpus

__all__ = ["tokenize"]

#: Sources of which a line is shown; all of them are in the manifest.
SHOWN_SOURCES = 30
FilePath = Path | None


@corpus.command(
    "tokenize",
    epilog="Example: corpuscle corpus tokenize 'study/*.h5ad' --preset geneformer-v1 --attrs cell_type,organ_major:organ "
    "-o study.dataset",
)
def tokenize(
    source: Sources,
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="OUT.dataset", help="The folder to write.", show_default=False)
    ],
    preset: Annotated[
        str | None, typer.Option("--preset", help="geneformer-v1 (default without --vocab) or geneformer-v2.")
    ] = None,
    medians: Annotated[
        FilePath, typer.Option("--medians", metavar="FILE", help="Non-zero medians; geneformer-v2 needs them.")
    ] = None,
    vocab: Annotated[FilePath, typer.Option("--vocab", metavar="FILE", help="Tokens of your own.")] = None,
    max_len: Annotated[int | None, typer.Option("--max-len", help="Most tokens of a cell.")] = None,
    special_token: Annotated[
        bool | None, typer.Option("--special-token/--no-special-token", help="Frame cells by <cls> and <eos>.")
    ] = None,
    attrs: Annotated[
        str, typer.Option("--attrs", metavar="A,B:NAME", help="obs columns to keep; obs_names are the cell names.")
    ] = "",
    keep_counts: Annotated[
        bool, typer.Option("--keep-counts", help="Keep counts per 10,000 beside the tokens.")
    ] = False,
    filter_: Annotated[
        str | None, typer.Option("--filter", metavar="COLUMN", help="obs column that says which cells to keep.")
    ] = None,
    filter_missing: Annotated[
        str, typer.Option("--filter-missing", help="A source without that column: error, or keep all its cells.")
    ] = "error",
    qc: Annotated[FilePath, typer.Option("--qc", metavar="DIR", help="What corpus qc wrote for SOURCE.")] = None,
    layer: Layer = None,
    gene_column: Annotated[
        str | None, typer.Option("--gene-column", metavar="COLUMN", help="var column of gene ids.")
    ] = None,
    aliases: Annotated[FilePath, typer.Option("--aliases", metavar="FILE", help="Other names of genes.")] = None,
    symbols: Annotated[
        str, typer.Option("--symbols", help="Take names as gene symbols: auto, always, never.")
    ] = "auto",
    orthologs: Annotated[bool, typer.Option("--orthologs", help="Take mouse genes as their human orthologs.")] = False,
    min_match: Annotated[
        float, typer.Option("--min-match", help="Least share of the counts in genes of the vocabulary.")
    ] = 0.5,
    depth: Annotated[
        str, typer.Option("--depth", help="Totals for --keep-counts: auto, n_counts (the column), computed.")
    ] = "auto",
    fractional: Annotated[
        bool, typer.Option("--allow-fractional", help="Accept values that are not whole numbers.")
    ] = False,
    order: Annotated[
        str, typer.Option("--order", help="Rows as in the input, shuffled, or bucketed by length.")
    ] = "input",
    seed: Annotated[int, typer.Option("--seed", help="Seed of the shuffle.")] = 0,
    parquet: Annotated[bool, typer.Option("--parquet", help="Write Parquet beside the Arrow files.")] = False,
    pretrainer_files: Annotated[
        bool, typer.Option("--pretrainer-files", help="Write the pickles that Geneformer's pretrainer asks for.")
    ] = False,
    shard_cells: Annotated[int, typer.Option("--shard-cells", help="Cells of one shard.")] = 65_536,
    token_dtype: Annotated[str, typer.Option("--token-dtype", help="int16, int32 or int64.")] = "int32",
    scheduler: Scheduler = None,
    force: Force = False,
    restart: Annotated[bool, typer.Option("--restart", help="Throw away what a stopped build has left.")] = False,
    as_json: Json = False,
) -> None:
    """Encode the raw counts of SOURCE as rank-value tokens, in a data set that datasets.load_from_disk opens.

    Stopped, by whatever, the same command goes on where it was. Nothing is there under the name OUT.dataset until it is
    complete; finished shards wait in .OUT.dataset.building beside it.
    """
    from corpuscle.corpus.tokenize import tokenize as build

    with steps("tokenize") as progress:
        done = build(
            source, out, preset=preset, medians=medians, vocab=vocab, max_len=max_len, special_token=special_token,
            attrs=_attrs(attrs), keep_counts=keep_counts, filter=filter_, filter_missing=filter_missing,  # type: ignore[arg-type]
            qc=qc, layer=layer, gene_column=gene_column, aliases=aliases, symbols=symbols,  # type: ignore[arg-type]
            orthologs=orthologs, min_match=min_match, depth=depth, allow_fractional=fractional,  # type: ignore[arg-type]
            order=order, seed=seed, parquet=parquet, pretrainer_files=pretrainer_files,  # type: ignore[arg-type]
            shard_cells=shard_cells, token_dtype=token_dtype, scheduler=scheduler,  # type: ignore[arg-type]
            overwrite=force, restart=restart, progress=progress,
        )  # fmt: skip
    if as_json:
        emit_json({"out": str(out)} | done.manifest)
    else:
        _show(done)


def _attrs(text: str) -> dict[str, str]:
    """``a,b:renamed`` as {"a": "a", "b": "renamed"}."""
    named: dict[str, str] = {}
    for one in text.split(",") if text else []:
        column, colon, name = one.strip().partition(":")
        if not column or (colon and not name):
            raise OptionError(f"--attrs {text!r} is not of the form A,B:NAME")
        if column in named:
            raise OptionError(f"--attrs names {column!r} twice; name each column once")
        named[column] = name or column
    return named


def _show(done: Corpus) -> None:
    manifest = done.manifest
    for source in manifest["sources"][:SHOWN_SOURCES]:
        _say(f"{source['name']}: {_words(source)}")
    hidden = len(manifest["sources"]) - SHOWN_SOURCES
    if hidden > 0:
        _say(f"{hidden:,} more sources in {done.folder / 'manifest.json'}")
    mean = done.tokens / done.rows
    _say(f"{done.rows:,} cells, {mean:,.1f} tokens a cell, {done.truncated:,} cut at the longest length: {done.folder}")


def _words(source: dict[str, Any]) -> str:
    """What became of a source, in one line."""
    match, total = source["match"], source["counts_total"]
    share = f", {source['counts_matched'] / total:.1%} of the counts" if total else ""
    dropped = "".join(f", {n:,} dropped by {why}" for why, n in sorted(source["dropped"].items()) if n)
    return (
        f"{source['rows']:,} of {source['cells']:,} cells{dropped}; {match['matched']:,} of {match['n_genes']:,} genes "
        f"in the vocabulary{share}"
    )


def _say(line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)
