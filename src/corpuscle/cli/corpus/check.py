"""``corpuscle corpus verify`` and ``report``: is a data set what was built, and what is in it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from corpuscle.cli._app import console, emit_json
from corpuscle.cli._progress import steps
from corpuscle.cli.corpus._app import Json, corpus
from corpuscle.errors import OptionError

__all__ = ["report", "verify"]

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder that corpus tokenize or corpus pair wrote.")]


@corpus.command("verify", epilog="Example: corpuscle corpus verify blood.dataset --preset geneformer-v1")
def verify(
    directory: Folder,
    preset: Annotated[str | None, typer.Option("--preset", help="The model that is to read it.")] = None,
    vocab: Annotated[Path | None, typer.Option("--vocab", help="The vocabulary that a model of yours expects.")] = None,
    medians: Annotated[Path | None, typer.Option("--medians", help="Medians of that preset or vocabulary.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Look at names, sizes and the vocabulary only.")] = False,
    as_json: Json = False,
) -> int:
    """Check a data set of tokens or of pairs: checksums of all files, the vocabulary's hash or the archives, every row.

    Exit code 2 if anything is wrong, with one line for each problem.
    """
    from corpuscle.corpus.pairs import is_pairs_folder
    from corpuscle.corpus.verify import verify as check

    if preset is not None and vocab is not None:
        raise OptionError("give --preset or --vocab, not both")
    if medians is not None and preset is None and vocab is None:
        raise OptionError("--medians belong to a vocabulary; give --preset or --vocab too")
    if is_pairs_folder(directory):
        return _verify_pairs(directory, quick=quick, as_json=as_json)
    with steps("verify") as progress:
        found = check(directory, vocabulary=preset or vocab, medians=medians, quick=quick, progress=progress)
    if as_json:
        emit_json(found.to_dict())
        return 0 if found.ok else 2
    for line in found.lines():
        console.print(f"error: {line}", soft_wrap=True, markup=False, highlight=False)
    if not found.ok:
        return 2
    seen = "names, sizes and vocabulary are" if quick else f"{found.rows:,} rows, {found.tokens:,} tokens, all"
    console.print(f"{directory}: {seen} as they were written", soft_wrap=True, markup=False, highlight=False)
    return 0


def _verify_pairs(directory: Path, *, quick: bool, as_json: bool) -> int:
    from corpuscle.corpus.pairs.check import verify_pairs

    found = verify_pairs(directory, deep=not quick)
    if as_json:
        emit_json(found.to_dict())
        return 0 if found.ok else 2
    for line in found.lines():
        console.print(f"error: {line}", soft_wrap=True, markup=False, highlight=False)
    if found.ok:
        line = f"{directory}: {found.rows:,} rows, {found.archives:,} archives, all as they were written"
        console.print(line, soft_wrap=True, markup=False, highlight=False)
    return 0 if found.ok else 2


@corpus.command("report", epilog="Example: corpuscle corpus report blood.dataset -o blood.html")
def report(
    directory: Folder,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="FILE", help="The page. [default: DIR/report.html]")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the batches that padding is computed from.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the numbers as JSON, and write no page.")] = False,
) -> None:
    """Write a page on a data set: lengths, genes matched, cells left out and why, tokens by source."""
    if as_json:
        from corpuscle.corpus.facts import corpus_facts

        emit_json(corpus_facts(directory, seed=seed).to_dict())
        return
    from corpuscle.report.corpus_page import save_corpus_page

    page = save_corpus_page(directory, out, seed=seed)
    console.print(f"page: {page}", soft_wrap=True, highlight=False, markup=False)
