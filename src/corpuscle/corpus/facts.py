"""What is in a data set, as numbers: lengths, matched genes, cells left out and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from corpuscle.corpus._folder_checks import Array, open_lengths, read_known
from corpuscle.corpus._padding import padding_table
from corpuscle.errors import SourceError

__all__ = ["CorpusFacts", "Warned", "corpus_facts"]

QUANTILES = (0, 5, 25, 50, 75, 95, 100)
#: Below this share of its counts in genes of the vocabulary, a source is worth a look: whole-transcriptome counts of
#: human cells reach 0.9 and more of a protein-coding vocabulary.
LOW_MATCH = 0.7
#: A source that loses more of its cells than this is worth a look: three standard deviations lose a few percent.
MANY_DROPPED = 0.3
#: More cells cut than this: the limit, not the cell, decides what a model sees.
MANY_CUT = 0.5
#: Rows of ``lengths.npy`` read at a time.
CHUNK = 1 << 22


@dataclass(frozen=True)
class Warned:
    """Something that a user should look at before training: what, in which source ("" for the whole), and what to do."""

    source: str
    text: str
    way_out: str


@dataclass(frozen=True)
class CorpusFacts:
    """A data set in numbers.

    Attributes
    ----------
    name, folder
        Of the data set.
    rows, tokens, truncated, n_bytes
        Cells, their tokens (special ones included), cells that were cut, bytes of the shards.
    lengths_l
        (max_len + 1,) number of cells with each length, from ``lengths.npy``.
    quantiles
        Percent -> length, of :data:`QUANTILES`; empty without cells.
    sources
        One row a source: ``name, layer, cells, rows, dropped, genes, matched, match_genes, match_counts, tokens,
        tokens_mean, truncated, truncated_share, depth, species, kind, column, unmatched_examples, fingerprint``, a
        column ``drop: REASON`` for each reason, and ``by: HOW`` for each way a gene was matched.
    drops
        Reason -> cells.
    padding
        See :func:`corpuscle.corpus._padding.padding_table`.
    manifest
        The whole manifest.
    """

    name: str
    folder: str
    rows: int
    tokens: int
    truncated: int
    n_bytes: int
    lengths_l: Array
    quantiles: dict[int, float]
    sources: pd.DataFrame
    drops: dict[str, int]
    padding: pd.DataFrame
    manifest: dict[str, Any]

    @property
    def max_len(self) -> int:
        """Tokens that a cell may have."""
        return int(self.manifest["vocabulary"]["max_len"])

    @property
    def match_counts(self) -> float:
        """Share of all counts that lie in genes of the vocabulary; NaN if there are no counts."""
        total = sum(source["counts_total"] for source in self.manifest["sources"])
        return ratio(sum(source["counts_matched"] for source in self.manifest["sources"]), total)

    def warnings(self) -> list[Warned]:
        """What to look at before training, the whole first, then sources in their order."""
        return list(_warnings(self))

    def to_dict(self) -> dict[str, Any]:
        """All of it but the manifest, for JSON; what is undefined is null."""
        kept = np.flatnonzero(self.lengths_l)
        return {
            "name": self.name, "folder": self.folder, "rows": self.rows, "tokens": self.tokens,
            "truncated": self.truncated, "bytes": self.n_bytes, "match_counts": _or_null(self.match_counts),
            "vocabulary": self.manifest["vocabulary"], "order": self.manifest["order"],
            "options": self.manifest["options"], "length_quantiles": self.quantiles,
            "lengths": {int(length): int(self.lengths_l[length]) for length in kept},
            "drops": self.drops, "padding": _records(self.padding), "sources": _records(self.sources),
            "warnings": [{"source": one.source, "text": one.text, "way_out": one.way_out} for one in self.warnings()],
        }  # fmt: skip


def corpus_facts(folder: str | Path, *, seed: int = 0) -> CorpusFacts:
    """Read the manifest and the lengths of a data set; its shards are not read.

    Parameters
    ----------
    folder
        What :func:`~corpuscle.corpus.tokenize.tokenize` wrote.
    seed
        Of the batches that the share of padding is computed from.

    Raises
    ------
    SourceError
        There is no such folder, or its manifest or lengths cannot be used.
    """
    folder = Path(folder)
    manifest = read_known(folder)
    lengths_n, problem = open_lengths(folder, manifest["rows"])
    if lengths_n is None:
        raise SourceError(f"{folder}/{problem}")
    lengths_l = _histogram(lengths_n, manifest["vocabulary"]["max_len"], folder)
    drops: dict[str, int] = {}
    for source in manifest["sources"]:
        for reason, cells in source["dropped"].items():
            drops[reason] = drops.get(reason, 0) + cells
    return CorpusFacts(
        name=folder.resolve().name,
        folder=str(folder),
        rows=manifest["rows"],
        tokens=manifest["tokens"],
        truncated=manifest["truncated"],
        n_bytes=sum(shard["bytes"] for shard in manifest["shards"]),
        lengths_l=lengths_l,
        quantiles=_quantiles(lengths_l),
        sources=_sources(manifest["sources"]),
        drops=drops,
        padding=padding_table(lengths_n, seed=seed),
        manifest=manifest,
    )


def ratio(part: float, whole: float) -> float:
    """Share, NaN of nothing."""
    return part / whole if whole else float("nan")


def _histogram(lengths_n: Array, max_len: int, folder: Path) -> Array:
    lengths_l = np.zeros(max_len + 1, np.int64)
    for start in range(0, lengths_n.size, CHUNK):
        part = np.asarray(lengths_n[start : start + CHUNK])
        if part.size and (part.min() < 0 or part.max() > max_len):
            raise SourceError(
                f"{folder}/lengths.npy: a length is outside 0 to {max_len:,}; run corpuscle corpus verify"
            )
        lengths_l += np.bincount(part, minlength=max_len + 1)
    return lengths_l


def _quantiles(lengths_l: Array) -> dict[int, float]:
    """Lengths below or at which so many percent of the cells are."""
    below = np.cumsum(lengths_l)
    if not below[-1]:
        return {}
    return {percent: float(np.searchsorted(below, max(1, percent / 100 * below[-1]))) for percent in QUANTILES}


def _sources(sources: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    reasons = dict.fromkeys(reason for source in sources for reason in source["dropped"])
    ways = dict.fromkeys(way for source in sources for way in source["match"]["by"])
    rows = []
    for source in sources:
        match = source["match"]
        examples = match.get("unmatched_examples")
        rows.append({
            "name": source["name"],
            "layer": source.get("layer") or "",
            "cells": source["cells"],
            "rows": source["rows"],
            "dropped": source["cells"] - source["rows"],
            "genes": match["n_genes"],
            "matched": match["matched"],
            "match_genes": ratio(match["matched"], match["n_genes"]),
            "match_counts": ratio(source["counts_matched"], source["counts_total"]),
            "tokens": source["tokens"],
            "tokens_mean": ratio(source["tokens"], source["rows"]),
            "truncated": source["truncated"],
            "truncated_share": ratio(source["truncated"], source["rows"]),
            "depth": source["depth"],
            "species": str(match.get("species") or ""),
            "kind": str(match.get("kind") or ""),
            "column": str(match.get("column") or ""),
            "unmatched_examples": ", ".join(map(str, examples)) if isinstance(examples, list) else "",
            "fingerprint": source["fingerprint"],
            **{f"drop: {reason}": source["dropped"].get(reason, 0) for reason in reasons},
            **{f"by: {way}": match["by"].get(way, 0) for way in ways},
        })  # fmt: skip
    return pd.DataFrame(rows)


def _warnings(facts: CorpusFacts) -> Iterator[Warned]:
    if not facts.rows:
        yield Warned("", "The data set has no cell.", "Look at the reasons below, and loosen what dropped them all.")
        return
    if facts.truncated > MANY_CUT * facts.rows:
        share = facts.truncated / facts.rows
        text = (
            f"{share:.0%} of the cells were cut at {facts.max_len:,} tokens: their lowest-ranked genes are not in it."
        )
        yield Warned("", text, "Allow longer cells if the model can take them (--max-len).")
    for source in facts.sources.to_dict("records"):
        name = source["name"]
        if source["match_counts"] < LOW_MATCH:
            text = f"only {source['match_counts']:.0%} of the counts are in genes of the vocabulary"
            examples = f" (not found: {source['unmatched_examples']})" if source["unmatched_examples"] else ""
            yield Warned(name, text + examples, "Name the right gene column, or give aliases.")
        if source["dropped"] > MANY_DROPPED * source["cells"]:
            reasons = {key[6:]: n for key, n in source.items() if key.startswith("drop: ") and n}
            most = max(reasons, key=lambda reason: reasons[reason]) if reasons else "no reason recorded"
            text = f"{source['dropped'] / source['cells']:.0%} of its {source['cells']:,} cells were left out, most by: {most}"
            yield Warned(
                name, text, "Look at this source with corpuscle inspect, and at the limits of quality control."
            )


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): _or_null(value) for key, value in row.items()} for row in frame.to_dict("records")]


def _or_null(value: Any) -> Any:
    return None if isinstance(value, float) and not np.isfinite(value) else value
