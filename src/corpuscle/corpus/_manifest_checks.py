"""Is a manifest what it should be? It may come from anywhere, so nothing in it is used before this was asked."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

__all__ = ["NEEDED", "form_problems", "plain_name", "sum_problems"]

#: Files that every data set has beside its shards.
NEEDED = ("dataset_info.json", "lengths.npy", "state.json", "vocab.tsv")
#: More than this is no number of cells or tokens; sums of such numbers stay exact.
LARGEST = 1 << 53
#: More than this is no vocabulary and no length of a cell; tables of this size fit into memory.
LARGEST_TABLE = 1 << 24

FIELDS = {
    "kind": "text", "options": "object", "vocabulary": "object", "columns": "object", "rows": "count",
    "tokens": "count", "truncated": "count", "order": "object", "shards": "list", "files": "object", "sources": "list",
}  # fmt: skip
VOCABULARY = {
    "name": "text", "sha256": "sha256", "size": "small", "genes": "small", "specials": "object", "max_len": "small",
    "special_token": "flag", "file": "file",
}  # fmt: skip
SHARD = {"file": "file", "rows": "count", "bytes": "count", "sha256": "sha256"}
PARQUET = {"file": "file", "bytes": "count", "sha256": "sha256"}
PIECE = {"source": "count", "start": "count", "stop": "count", "rows": "count"}
SOURCE = {
    "name": "text", "cells": "count", "genes": "count", "fingerprint": "text", "rows": "count", "dropped": "object",
    "tokens": "count", "truncated": "count", "counts_total": "number", "counts_matched": "number", "depth": "text",
    "match": "object",
}  # fmt: skip
MATCH = {"n_genes": "count", "matched": "count", "by": "object"}


def _whole(value: Any, below: int = LARGEST) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < below


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf")


def _sha256(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None


def plain_name(name: Any) -> bool:
    """Whether a name stays in its folder on any system: no path, no drive, no ``..``, nothing hidden."""
    return isinstance(name, str) and re.fullmatch(r"(?!\.)[^/\\:\0-\x1f]{1,255}", name) is not None


#: Kind of a field -> (is it one, what it is).
KINDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "text": (lambda value: isinstance(value, str), "a text"),
    "object": (lambda value: isinstance(value, dict), "an object"),
    "list": (lambda value: isinstance(value, list), "a list"),
    "flag": (lambda value: isinstance(value, bool), "true or false"),
    "count": (_whole, "a whole number from 0"),
    "small": (lambda value: _whole(value, LARGEST_TABLE), f"a whole number from 0 to {LARGEST_TABLE:,}"),
    "number": (_number, "a number from 0"),
    "sha256": (_sha256, "a SHA-256"),
    "file": (plain_name, "the name of a file in this folder"),
}


def _is(kind: str, value: Any) -> bool:
    return KINDS[kind][0](value)


def form_problems(manifest: Mapping[str, Any]) -> Iterator[str]:
    """One sentence for each field of a manifest that is missing or not of the form it must have.

    After no problem, every field that the package reads is there, and every file name stays in the folder.
    """
    yield from _fields(manifest, FIELDS, "")
    if not all(_is(kind, manifest.get(name)) for name, kind in FIELDS.items()):
        return
    yield from _fields(manifest["vocabulary"], VOCABULARY, "vocabulary.")
    yield from _counts(manifest["vocabulary"].get("specials"), "vocabulary.specials")
    for name in (*NEEDED, manifest["vocabulary"].get("file")):
        if name not in manifest["files"]:
            yield f"files lists no {_short(name)}; the data set is not complete: build it again"
    for name, digest in manifest["files"].items():
        if not plain_name(name):
            yield f"files names {_short(name)}, which is not {KINDS['file'][1]}; do not use this data set"
        elif not _is("sha256", digest):
            yield f"files.{name} is {_short(digest)}, not {KINDS['sha256'][1]}"
    for i, shard in enumerate(manifest["shards"]):
        yield from _shard(shard, f"shards[{i}].")
    for i, source in enumerate(manifest["sources"]):
        yield from _source(source, f"sources[{i}].")
    names = [str(shard.get("file")) for shard in manifest["shards"] if isinstance(shard, dict)]
    if len(set(names)) < len(names):
        yield "a shard is listed twice"


def _source(source: Any, where: str) -> Iterator[str]:
    yield from _fields(source, SOURCE, where)
    if not isinstance(source, dict):
        return
    yield from _counts(source.get("dropped"), f"{where}dropped")
    if isinstance(source.get("match"), dict):
        yield from _fields(source["match"], MATCH, f"{where}match.")
        yield from _counts(source["match"].get("by"), f"{where}match.by")


def _shard(shard: Any, where: str) -> Iterator[str]:
    yield from _fields(shard, SHARD, where)
    if not isinstance(shard, dict):
        return
    if shard.get("parquet") is not None:
        yield from _fields(shard["parquet"], PARQUET, f"{where}parquet.")
    pieces = shard.get("pieces")
    if pieces is not None and not isinstance(pieces, list):
        yield f"{where}pieces is {_short(pieces)}, not {KINDS['list'][1]}"
    for i, piece in enumerate(pieces if isinstance(pieces, list) else ()):
        yield from _fields(piece, PIECE, f"{where}pieces[{i}].")


def _fields(value: Any, fields: Mapping[str, str], where: str) -> Iterator[str]:
    if not isinstance(value, Mapping):
        yield f"{where.rstrip('.')} is {_short(value)}, not {KINDS['object'][1]}"
        return
    for name, kind in fields.items():
        if not _is(kind, value.get(name)):
            yield f"{where}{name} is {_short(value.get(name))}, not {KINDS[kind][1]}"


def _counts(values: Any, where: str) -> Iterator[str]:
    for name, value in values.items() if isinstance(values, dict) else ():
        if not _is("count", value):
            yield f"{where}.{_short(name)} is {_short(value)}, not {KINDS['count'][1]}"


def sum_problems(manifest: Mapping[str, Any]) -> Iterator[str]:
    """One sentence for each sum of a manifest of the right form that does not add up."""
    shards, sources = manifest["shards"], manifest["sources"]
    for what, parts, total in (
        ("rows of the shards", [shard["rows"] for shard in shards], manifest["rows"]),
        ("rows of the sources", [source["rows"] for source in sources], manifest["rows"]),
        ("tokens of the sources", [source["tokens"] for source in sources], manifest["tokens"]),
        ("truncated cells of the sources", [source["truncated"] for source in sources], manifest["truncated"]),
    ):
        if sum(parts) != total:
            yield f"{what} add up to {sum(parts):,}, not to {total:,}"
    for source in sources:
        out = source["rows"] + sum(source["dropped"].values())
        if out != source["cells"]:
            yield f"source {_short(source['name'])}: {out:,} cells kept or dropped, of {source['cells']:,}"
    for shard in shards:
        pieces = shard.get("pieces")
        if pieces is None:
            continue
        if sum(piece["rows"] for piece in pieces) != shard["rows"]:
            yield f"pieces of {shard['file']} do not add up to its {shard['rows']:,} rows"
        if any(piece["source"] >= len(sources) or piece["start"] > piece["stop"] for piece in pieces):
            yield f"a piece of {shard['file']} is of no source"


def _short(value: Any) -> str:
    text = repr(value)
    return "missing" if value is None else text if len(text) <= 80 else text[:77] + "..."
