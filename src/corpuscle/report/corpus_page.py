"""The page of a data set: what is in it, what was left out, and what to look at before training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from markupsafe import Markup

from corpuscle.errors import OptionError
from corpuscle.report._corpus_figures import drops_figure, lengths_figure, match_figure, short_names, tokens_figure
from corpuscle.report._corpus_words import DEPTHS, WORDS, headline, learnt, percent, unsaid
from corpuscle.report._files import write_together
from corpuscle.report._page import Page, Section, prose, render, terms, unfold
from corpuscle.report._table import Cell, Column, table, value_cell
from corpuscle.report._templates import piece
from corpuscle.report.format import count, megabytes

if TYPE_CHECKING:
    from corpuscle.corpus.facts import CorpusFacts

__all__ = ["corpus_page", "save_corpus_page"]

#: Rows of a table that are shown at once; more are to unfold.
SHOWN = 30
VIEWS = [("cells", "Cells"), ("genes", "Genes"), ("tokens", "Tokens"), ("origin", "Origin")]


def save_corpus_page(folder: str | Path, out: str | Path | None = None, *, seed: int = 0) -> Path:
    """Write the page of a data set.

    Parameters
    ----------
    folder
        The data set.
    out
        The file; ``report.html`` in the data set if None.
    seed
        Of the batches that the share of padding is computed from.

    Returns
    -------
    pathlib.Path
        Where it is.

    Raises
    ------
    SourceError
        The data set cannot be read.
    OptionError
        The file would replace one of the data set's own.
    OutputError
        The page cannot be written.
    """
    from corpuscle.corpus.facts import corpus_facts

    folder = Path(folder)
    out = folder / "report.html" if out is None else Path(out)
    facts = corpus_facts(folder, seed=seed)
    own = {"manifest.json", *facts.manifest["files"], *(shard["file"] for shard in facts.manifest["shards"])}
    own |= {shard["parquet"]["file"] for shard in facts.manifest["shards"] if shard.get("parquet")}
    if out.name in own and out.parent.resolve() == folder.resolve():
        raise OptionError(f"{out}: is a file of the data set itself; choose another name with -o")
    html = render(corpus_page(facts)).encode("utf-8", "replace")

    def write(file: BinaryIO) -> None:
        file.write(html)

    write_together(out.parent, {out.name: write})
    return out


def corpus_page(facts: CorpusFacts) -> Page:
    """Everything a reader needs, from what stands out to the fingerprint of each source."""
    vocabulary = facts.manifest["vocabulary"]
    sections = [
        *_warnings_section(facts),
        Section("lengths", "How long cells are", "Lengths", lengths_figure(facts) + _padding(facts)),
    ]
    if len(facts.sources):
        sections += [
            Section("match", "Genes found in the vocabulary", "Genes", match_figure(facts)),
            Section("drops", "Cells left out", "Left out", drops_figure(facts)),
            Section("tokens", "Tokens by source", "Tokens", tokens_figure(facts) if facts.tokens else prose("None.")),
            Section("sources", "Every source", "Sources", _sources_tables(facts)),
        ]
    sections += [
        Section("made", "How it was made", "Made", _made(facts)),
        Section("words", "What the numbers mean", "Words", terms(WORDS)),
    ]
    return Page(
        title=f"Data set {facts.name}",
        kicker=f"What is in the data set {facts.name}, and is it fit to train on?",
        headline=headline(facts),
        learnt=learnt(facts),
        unsaid=unsaid(facts),
        facts=[
            ("cells", count(facts.rows)), ("tokens", count(facts.tokens)), ("sources", count(len(facts.sources))),
            ("vocabulary", f"{vocabulary['name']}, {count(vocabulary['genes'])} genes"),
            ("shards", f"{count(len(facts.manifest['shards']))}, {megabytes(facts.n_bytes / 2**20)}"),
        ],
        sections=sections,
    )  # fmt: skip


def _warnings_section(facts: CorpusFacts) -> list[Section]:
    warned = facts.warnings()
    if not warned:
        return []
    columns = [Column(key, key, numeric=False) for key in ("where", "what", "what to do")]
    short = dict(zip(facts.sources["name"], short_names(list(facts.sources["name"])), strict=True))
    rows = [
        [Cell(short.get(one.source, "whole data set"), hover=one.source), Cell(one.text), Cell(one.way_out)]
        for one in warned
    ]
    caption = "What to look at before training"
    body = table("warnings-table", caption, columns, rows[:SHOWN], sortable=False)
    if len(rows) > SHOWN:
        rest = table("warnings-rest", caption, columns, rows[SHOWN:], sortable=False)
        body += unfold(f"{len(rows) - SHOWN:,} more", rest)
    return [Section("warnings", "To look at first", "Warnings", body)]


def _padding(facts: CorpusFacts) -> Markup:
    columns = [
        Column("batch", "cells in a batch"), Column("stored", "as stored"), Column("random", "random"),
        Column("grouped", "grouped by length", help="Random, then sorted by length within up to 50 batches."),
    ]  # fmt: skip
    why = "there is no cell"
    rows = [
        [Cell(f"{one['batch']:.0f}", one["batch"])]
        + [value_cell(one[key], percent(one[key]), reason=why) for key in ("stored", "random", "grouped")]
        for one in facts.padding.to_dict("records")
    ]
    return Markup("<h3>Padding</h3>") + table("padding", "Share of padding in batches", columns, rows)


def _sources_tables(facts: CorpusFacts) -> Markup:
    records = facts.sources.to_dict("records")
    for record, short in zip(records, short_names([one["name"] for one in records]), strict=True):
        record["short"] = short
    columns = _source_columns(facts)
    rows = [_source_row(one, columns) for one in records]
    body = table("sources-table", "Sources in their order", columns, rows[:SHOWN], views=VIEWS)
    if len(rows) > SHOWN:
        rest = table("sources-rest", "The other sources", columns, rows[SHOWN:], views=VIEWS)
        body += unfold(f"The other {len(rows) - SHOWN:,} sources", rest)
    return body


def _source_columns(facts: CorpusFacts) -> list[Column]:
    def of(view: str, numeric: bool, *names: tuple[str, str]) -> list[Column]:
        return [Column(key, title, numeric=numeric, view=view) for key, title in names]

    reasons = [(str(name), str(name)[6:]) for name in facts.sources if str(name).startswith("drop: ")]
    ways = [(str(name), str(name)[4:]) for name in facts.sources if str(name).startswith("by: ")]
    return [
        Column("short", "source", numeric=False),
        *of("cells", True, ("cells", "cells"), ("rows", "kept"), ("dropped", "left out"), *reasons),
        *of("genes", True, ("match_counts", "share of counts"), ("match_genes", "share of genes"), ("genes", "genes")),
        *of("genes", True, ("matched", "matched"), *ways),
        *of("genes", False, ("unmatched_examples", "not found, for example")),
        *of("tokens", True, ("tokens", "tokens"), ("tokens_mean", "mean of a cell"), ("truncated", "cells cut")),
        *of("tokens", True, ("truncated_share", "share cut")),
        *of("origin", False, ("name", "path"), ("layer", "layer"), ("depth", "depth"), ("kind", "gene names")),
        *of("origin", False, ("column", "gene column"), ("species", "species"), ("fingerprint", "fingerprint")),
    ]


def _source_row(one: dict[str, Any], columns: list[Column]) -> list[Cell]:
    cells = []
    for column in columns:
        value = one[column.key]
        if column.key == "short":
            cells.append(Cell(value, value, hover=one["name"]))
        elif column.key in ("match_counts", "match_genes", "truncated_share"):
            cells.append(value_cell(value, percent(value), reason="no cell, or no count"))
        elif column.key == "tokens_mean":
            cells.append(value_cell(value, count(value), reason="no cell"))
        elif column.numeric:
            cells.append(value_cell(value, count(value)))
        else:
            text = DEPTHS.get(value, value) if column.key == "depth" else value
            cells.append(Cell(text, text))
    return cells


def _made(facts: CorpusFacts) -> Markup:
    manifest = facts.manifest
    vocabulary = manifest["vocabulary"]
    groups = [
        ("Vocabulary", _entries({key: value for key, value in vocabulary.items() if key != "specials"})),
        ("Special tokens", _entries(vocabulary["specials"])),
        ("Order of the cells", _entries(manifest["order"])),
        ("Columns", _entries(manifest["columns"])),
        ("Options", _entries(manifest["options"])),
        ("Version", [("corpuscle", str(manifest.get("corpuscle", "not recorded")))]),
    ]
    body = piece("run.html", command="", groups=[group for group in groups if group[1]])
    columns = [Column("file", "file", numeric=False), Column("rows", "cells"), Column("bytes", "bytes")]
    columns.append(Column("sha256", "SHA-256", numeric=False))
    rows = [
        [
            Cell(one["file"], one["file"]), value_cell(one["rows"], count(one["rows"])),
            value_cell(one["bytes"], count(one["bytes"])), Cell(one["sha256"], one["sha256"]),
        ]
        for one in manifest["shards"]
    ]  # fmt: skip
    return body + unfold("Every shard with its checksum", table("shards", "Every shard", columns, rows))


def _entries(values: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (str(key), value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        for key, value in values.items()
    ]
