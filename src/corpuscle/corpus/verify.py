"""Is a data set still what was built? Checksums, the vocabulary, and every row."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from corpuscle.corpus._folder_checks import (
    Array,
    Problem,
    Report,
    files_problems,
    open_lengths,
    read_whole,
    state_problems,
)
from corpuscle.corpus._manifest_checks import form_problems, sum_problems
from corpuscle.corpus._row_checks import RowRules
from corpuscle.corpus._shard_checks import ShardCheck, ShardPlan, check_shard
from corpuscle.corpus._vocabulary_checks import named_vocabulary, other_vocabulary, own_vocabulary
from corpuscle.corpus.manifest import MANIFEST
from corpuscle.corpus.vocabulary import RankVocabulary
from corpuscle.counts._threads import map_ordered
from corpuscle.errors import SourceError

__all__ = ["Problem", "VerifyReport", "verify"]

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class VerifyReport(Report):
    """What :func:`verify` found.

    Attributes
    ----------
    shards, rows, tokens
        How much was read and checked; 0 after a quick look.
    quick
        The shards were not read.
    """

    shards: int = 0
    rows: int = 0
    tokens: int = 0
    quick: bool = False


def verify(
    folder: str | Path,
    *,
    vocabulary: RankVocabulary | str | Path | None = None,
    medians: str | Path | None = None,
    quick: bool = False,
    progress: Progress | None = None,
) -> VerifyReport:
    """Check a data set of rank-value tokens, file by file and row by row, in bounded memory.

    Checked are the form and the sums of the manifest; sizes and SHA-256 of all files; that no name in it leads out of the
    folder and that ``datasets`` would load these shards only; the hash of the vocabulary; and in each row: tokens of the
    vocabulary, none twice, special tokens where they belong, stated lengths, and counts that agree with the ranking.

    Parameters
    ----------
    folder
        What :func:`~corpuscle.corpus.tokenize.tokenize` wrote.
    vocabulary
        The one that a model expects: a vocabulary, the name of a preset, or a vocabulary file. None for any.
    medians
        File with the medians of that preset or vocabulary file, where it has none of its own.
    quick
        Do not read the shards: seconds for any size, and finds a wrong vocabulary or a copy that was cut off.
    progress
        Called with (shards done, all, name).

    Returns
    -------
    VerifyReport
        What is wrong; a data set that is broken raises nothing.

    Raises
    ------
    SourceError
        There is no such folder, or it has no manifest.
    OptionError
        The vocabulary asked for cannot be had.
    """
    folder = Path(folder)
    expected = named_vocabulary(vocabulary, medians)
    try:
        manifest = read_whole(folder)
    except SourceError as error:
        if not (folder / MANIFEST).is_file():
            raise
        return VerifyReport(str(folder), [Problem("manifest", MANIFEST, _after_path(error))], quick=quick)
    problems = [Problem("manifest", MANIFEST, said) for said in form_problems(manifest)]
    if problems:  # nothing that it says can be used
        return VerifyReport(str(folder), problems, quick=quick)
    problems, lengths_n, own = _around(folder, manifest, quick=quick)
    problems += other_vocabulary(manifest, own, expected, vocabulary)
    if quick:
        return VerifyReport(str(folder), problems, quick=True)
    bad = {problem.file for problem in problems}
    checks = list(_checked(folder, manifest, lengths_n, own, bad, progress))
    problems += [one for check in checks for one in check.problems]
    if not problems:
        problems += _total_problems(manifest, checks)
    return VerifyReport(
        str(folder), problems, len(checks), sum(check.rows for check in checks), sum(check.tokens for check in checks)
    )


def _around(
    folder: Path, manifest: Mapping[str, Any], *, quick: bool
) -> tuple[list[Problem], Array | None, RankVocabulary | None]:
    """Everything but the shards: what is wrong, and lengths and vocabulary where they can be used."""
    problems = [Problem("totals", MANIFEST, said) for said in sum_problems(manifest)]
    problems += files_problems(folder, manifest, quick=quick)
    bad = {problem.file for problem in problems}
    lengths_n: Array | None = None
    own: RankVocabulary | None = None
    if "state.json" not in bad:
        problems += state_problems(folder, manifest)
    if "lengths.npy" not in bad:
        lengths_n, problem = open_lengths(folder, manifest["rows"])
        problems += [] if problem is None else [problem]
        problems += [] if lengths_n is None else _length_problems(manifest, lengths_n)
    if manifest["vocabulary"]["file"] not in bad:
        own, found = own_vocabulary(folder, manifest)
        problems += found
    return problems, lengths_n, own


def _after_path(error: SourceError) -> str:
    path, _, said = str(error).partition(f"{MANIFEST}: ")
    return said or path


def _length_problems(manifest: Mapping[str, Any], lengths_n: Array) -> Iterator[Problem]:
    """Tokens in all, and of each source where rows are in the order of the sources, by the lengths alone."""
    tokens = int(np.sum(lengths_n, dtype=np.int64))
    if tokens != manifest["tokens"]:
        said = f"its lengths add up to {tokens:,} tokens, and the manifest says {manifest['tokens']:,}"
        yield Problem("totals", "lengths.npy", f"{said}; build the data set again")
    pieces = [shard.get("pieces") for shard in manifest["shards"]]
    n_sources = len(manifest["sources"])
    if not all(isinstance(one, list) and all(piece["source"] < n_sources for piece in one) for one in pieces):
        return
    tokens_s, rows_s = ([0] * n_sources for _ in range(2))
    start = 0
    for piece in (piece for one in pieces for piece in one):
        stop = start + piece["rows"]
        tokens_s[piece["source"]] += int(np.sum(lengths_n[start:stop], dtype=np.int64))
        rows_s[piece["source"]] += piece["rows"]
        start = stop
    for source, n_tokens, n_rows in zip(manifest["sources"], tokens_s, rows_s, strict=True):
        if (n_rows, n_tokens) != (source["rows"], source["tokens"]):
            said = f"{n_rows:,} rows and {n_tokens:,} tokens are of source {source['name']!r}"
            yield Problem("totals", MANIFEST, f"{said}, and it says {source['rows']:,} and {source['tokens']:,}")


def _checked(
    folder: Path,
    manifest: Mapping[str, Any],
    lengths_n: Array | None,
    own: RankVocabulary | None,
    bad: set[str],
    progress: Progress | None,
) -> Iterator[ShardCheck]:
    """Checks of the shards in their order, some at a time; those already known to be bad are left out."""
    rules = None if own is None else RowRules.of(own)
    plans, first = [], 0
    for shard in manifest["shards"]:
        last = first + shard["rows"]
        part = None if lengths_n is None else lengths_n[first:last]
        if shard["file"] not in bad:
            plans.append(ShardPlan(folder, shard, first, part, manifest["columns"], rules))
        first = last
    for done, check in enumerate(map_ordered(check_shard, plans)):
        if progress is not None:
            progress(done + 1, len(plans), plans[done].entry["file"])
        yield check


def _total_problems(manifest: Mapping[str, Any], checks: list[ShardCheck]) -> Iterator[Problem]:
    """What only all rows together show."""
    for what, found, told in (
        ("rows", sum(check.rows for check in checks), manifest["rows"]),
        ("tokens", sum(check.tokens for check in checks), manifest["tokens"]),
    ):
        if found != told:
            yield Problem("totals", MANIFEST, f"it says {told:,} {what}, and the shards hold {found:,}")
    at_limit = sum(check.at_limit for check in checks)
    if manifest["truncated"] > at_limit:
        said = f"it says {manifest['truncated']:,} cells were cut, and {at_limit:,} are as long as allowed"
        yield Problem("totals", MANIFEST, said)
