"""The page of samples that are alike: what was found for each sample, and how far such answers can be trusted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from corpuscle.report._page import Page, Section, panels, prose, render, terms
from corpuscle.report._table import Cell, Column, table, value_cell
from corpuscle.report._templates import piece
from corpuscle.report.format import count, fixed, interval

if TYPE_CHECKING:
    import pandas as pd

    from corpuscle.bulk.retrieval import Retrieval

__all__ = ["similar_page"]

#: Queries that get a table on the page; all are in results.csv.
SHOWN = 40
WORDS = [
    ("similarity", "Cosine of two samples in the principal components of their normalised, scaled genes, from -1 to 1. It orders "
     "the samples under one query and is no probability."),
    ("series", "The study that a sample belongs to. Samples of one study share a laboratory and a protocol, and are alike also "
     "where their biology is not; unless asked for, they are not among the answers."),
    ("precision at k", "Of the k samples most like a labelled sample, the share that has its label; 95 % intervals by "
     "resampling series."),
    ("by chance", "The same for samples drawn at random from those that could have been found."),
]  # fmt: skip


def similar_page(
    found: pd.DataFrame,
    measured: Retrieval | None = None,
    *,
    about: Mapping[str, Any],
    notes: Sequence[str] = (),
    command: str = "",
) -> str:
    """The page as HTML that loads nothing; every name is escaped.

    Parameters
    ----------
    found
        Columns query, rank, sample, similarity, series, and label and title if they are known.
    measured
        Precision over the collection, if it was asked for.
    about
        Name -> value of the run.
    notes
        Lines to know first.
    command
        Shown on the page.
    """
    queries = list(dict.fromkeys(found["query"]))
    sections = [
        *([Section("notes", "To know first", "Notes", prose(*dict.fromkeys(notes)))] if notes else []),
        Section("found", "The samples most like each", "Found", _found(found, queries)),
        *(
            [Section("precision", "How often they are of one kind", "Precision", _precision(measured))]
            if measured
            else []
        ),
        Section("run", "How it was made", "Made", _made(command, about)),
        Section("words", "What the numbers mean", "Words", terms(WORDS)),
    ]
    return render(
        Page(
            title="Samples like these",
            kicker="Which samples of the collection are like this one?",
            headline=_headline(found, queries),
            learnt=_learnt(measured),
            unsaid=["There are always most similar samples, also for a sample that is like none of the collection."],
            facts=[("samples", count(about.get("n_samples", 0))), ("queries", count(len(queries)))],
            sections=sections,
        )
    )


def _headline(found: pd.DataFrame, queries: list[str]) -> str:
    if not queries:
        return "No sample is left that could be like these"
    first = found[found["query"] == queries[0]].iloc[0]
    return f"{first['sample']} is most like {queries[0]}, with a similarity of {fixed(first['similarity'], 2)}"


def _learnt(measured: Retrieval | None) -> list[str]:
    if measured is None:
        return []
    span = interval(measured.ci_low, measured.ci_high, 3)
    return [
        f"Over the labelled samples of the collection, {fixed(measured.precision)} of the {measured.k} most similar samples have "
        f"the sample's label (95 % interval {span}); by chance it would be {fixed(measured.chance)}."
    ]


def _found(found: pd.DataFrame, queries: list[str]) -> Markup:
    if not queries:
        return prose("Every sample was left out.")
    entries = [
        (str(name), _answers(found[found["query"] == name], k, str(name))) for k, name in enumerate(queries[:SHOWN])
    ]
    body = entries[0][1] if len(entries) == 1 else panels("found-of", "sample", entries, topic="sample")
    more = (
        f"{len(queries) - SHOWN:,} more samples were asked for; results.csv has them." if len(queries) > SHOWN else ""
    )
    return body + prose(more)


def _answers(rows: pd.DataFrame, k: int, name: str) -> Markup:
    words = [column for column in ("series", "label", "title") if column in rows]
    columns = [
        Column("sample", "sample", numeric=False),
        Column("similarity", "similarity"),
        *(Column(column, column, numeric=False) for column in words),
    ]
    cells = []
    for row in rows.to_dict("records"):
        texts = ["" if row[column] is None or row[column] != row[column] else str(row[column]) for column in words]
        cells.append(
            [Cell(str(row["sample"]), str(row["sample"])), Cell(fixed(row["similarity"]), float(row["similarity"])),
             *(Cell(text, text) for text in texts)]
        )  # fmt: skip
    return table(
        f"found-table-{k}", f"Samples most like {name}", columns, cells, sorted_by="similarity", descending=True
    )


def _precision(measured: Retrieval) -> Markup:
    columns = [
        Column("label", "label", numeric=False),
        Column("samples", "samples"),
        Column("series", "series"),
        Column("precision", f"precision at {measured.k}"),
        Column("interval", "95 % interval", numeric=False),
        Column("chance", "by chance"),
    ]
    rows = [
        [
            Cell(str(row["label"]), str(row["label"])),
            Cell(count(row["n_samples"]), float(row["n_samples"])),
            Cell(count(row["n_series"]), float(row["n_series"])),
            value_cell(row["precision"], fixed(row["precision"])),
            Cell(interval(row["ci_low"], row["ci_high"], 3) if row["n_series"] > 1 else "one series"),
            value_cell(row["chance"], fixed(row["chance"])),
        ]
        for row in measured.by_label.to_dict("records")
    ]
    alone = f"{measured.n_alone:,} labelled samples have no other of their label to find, and were not asked."
    drawn = table("precision-table", "Precision by label", columns, rows, sorted_by="samples", descending=True)
    return drawn + prose(alone if measured.n_alone else "")


def _made(command: str, about: Mapping[str, Any]) -> Markup:
    from corpuscle import __version__

    entries = [(str(name), _text(value)) for name, value in about.items() if value not in (None, [], "")]
    return piece("run.html", command=command, groups=[("Run", [*entries, ("corpuscle", __version__)])])


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(str(one.get("name", one)) if isinstance(one, dict) else str(one) for one in value[:10])
    return str(value)
