"""The page of a search: which cells are like the words, in which groups they are, and whether the words mean anything here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from corpuscle.report._corpus_words import percent
from corpuscle.report._page import Page, Section, panels, prose, render, terms
from corpuscle.report._search_parts import best_table, closest_table, groups_table, maps_figure, queries_table
from corpuscle.report._templates import piece
from corpuscle.report.format import count, fixed

if TYPE_CHECKING:
    import numpy as np

    from corpuscle.models.celltext.search import Found

__all__ = ["search_page"]

WORDS = [
    ("score", "Cosine of a cell and a query in the space that training made, from -1 to 1. It orders the cells under one "
     "query; scores of two queries cannot be compared, and a score is no probability."),
    ("best cells", "The cells with the highest scores of a query, as many as were asked for. There are always that many, "
     "also if no cell is what the words say."),
    ("share of the best, share of all", "How many of the best cells are in a group, and how many of all cells are; times is "
     "the quotient. A group that is large in the data is common among any cells."),
    ("closest in training", "The training captions that the text encoder finds most like the query, with the cosine of the "
     "two texts. It says what the model can know of the words."),
]  # fmt: skip


def search_page(
    found: Found,
    *,
    by: str | None = None,
    places: tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]] | None = None,
    no_map: str = "",
    command: str = "",
    about: Mapping[str, Any] | None = None,
) -> str:
    """The page as HTML that loads nothing; every name is escaped.

    Parameters
    ----------
    found
        What was found.
    by
        Column of ``obs`` whose groups are counted.
    places
        Cells to draw, (m,), and where, (m, 2); None for no map.
    no_map
        Why there is none.
    command
        Shown on the page.
    about
        Name -> value of what else the run was of.

    Raises
    ------
    OptionError
        There is no such column.
    """
    groups = None if by is None else found.enrichment(by)
    sections = [
        *([Section("notes", "To know first", "Notes", prose(*found.notes))] if found.notes else []),
        Section("queries", "What was found", "Found", queries_table(found, groups)),
        Section(
            "map",
            "Where the cells lie",
            "Map",
            maps_figure(found, *places) if places else prose(f"There is no map. {no_map}"),
        ),
    ]
    if groups is not None:
        sections.append(Section("groups", f"Groups of the best cells, by {by}", "Groups", _groups(found, groups)))
    if len(found.closest):
        sections.append(Section("closest", "Closest in training", "Training", closest_table(found)))
    sections += [
        Section("cells", "The best cells", "Cells", _best(found, by)),
        Section("run", "How it was made", "Made", _made(found, command, about or {})),
        Section("words", "What the numbers mean", "Words", terms(WORDS)),
    ]
    return render(
        Page(
            title="Cells like these words",
            kicker="Which cells are like what was asked for?",
            headline=_headline(found, groups),
            learnt=_learnt(found, groups),
            unsaid=_unsaid(found),
            facts=_facts(found, by),
            sections=sections,
        )
    )


def _foreign(found: Found) -> set[str]:
    """Queries that nothing in training is like."""
    from corpuscle.models.celltext.closest import CLOSE

    first = found.closest[found.closest["rank"] == 1]
    return {str(row.query) for row in first.itertuples() if row.cosine < CLOSE}


def _sentence(found: Found, groups: Any, column: str) -> str:
    n = found.top
    if groups is None:
        return f"{column}: the best of {count(len(found.scores))} cells scores {fixed(found.scores[column].max(), 2)}"
    first = groups[groups["query"] == column].iloc[0]
    return (
        f"{column}: {first['among_top']:,} of the {n:,} best cells are {first['group']}, "
        f"as are {percent(first['share_all'])} of all cells"
    )


def _headline(found: Found, groups: Any) -> str:
    known = [column for column in found.scores if column not in _foreign(found)]
    if not known:
        several = len(found.scores.columns) > 1
        return "Nothing like these queries was in training" if several else "Nothing like this query was in training"
    return _sentence(found, groups, known[0])


def _learnt(found: Found, groups: Any) -> list[str]:
    foreign = _foreign(found)
    known = [column for column in found.scores if column not in foreign]
    return [f"{_sentence(found, groups, column)}." for column in known[1:6]] + [
        f"{column}: nothing like it was in training, so its scores may mean nothing."
        for column in [name for name in found.scores if name in foreign][:5]
    ]


def _unsaid(found: Found) -> list[str]:
    said = ["Every query orders all cells, so there are best cells even for words that describe none of them."]
    if any(query.text is not None for query in found.queries):
        said.append(
            "A model that was trained on few captions knows new cells and new wordings of them; a cell type that no caption "
            "named is not recognised."
        )
    return said


def _facts(found: Found, by: str | None) -> list[tuple[str, str]]:
    facts = [("cells", count(len(found.scores))), ("queries", count(len(found.queries))), ("best", count(found.top))]
    facts += [("vectors", str(found.model["key"]))] if "key" in found.model else []
    return facts + ([("groups", by)] if by else [])


def _panels(found: Found, id: str, label: str, draw: Any) -> Markup:
    """One panel a query, or the only one as it is."""
    entries: Sequence[tuple[str, Markup]] = [(str(column), draw(k, column)) for k, column in enumerate(found.scores)]
    return entries[0][1] if len(entries) == 1 else panels(id, label, entries, topic="query")


def _groups(found: Found, groups: Any) -> Markup:
    return _panels(found, "groups-of", "query", lambda k, column: groups_table(found, groups, k, column))


def _best(found: Found, by: str | None) -> Markup:
    return _panels(found, "cells-of", "query", lambda k, column: best_table(found, by, k, column))


def _made(found: Found, command: str, about: Mapping[str, Any]) -> Markup:
    from corpuscle import __version__

    groups = [
        ("Model", [(str(name), str(value)) for name, value in found.model.items()]),
        ("Run", [*((str(name), str(value)) for name, value in about.items()), ("corpuscle", __version__)]),
    ]
    return piece("run.html", command=command, groups=[group for group in groups if group[1]])
