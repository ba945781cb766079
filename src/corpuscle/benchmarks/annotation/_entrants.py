"""What takes part: sources of scores and refinements, each with all that makes its numbers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from corpuscle.benchmarks._entrant import Entrant, entrant
from corpuscle.benchmarks._method_words import each_once
from corpuscle.benchmarks.annotation.refinements import ALWAYS, DEFAULT, parse_refinement, refinement_of
from corpuscle.benchmarks.annotation.sources import parse_source, source_of

__all__ = ["DEFAULT_SOURCES", "Entrant", "refinement_entrants", "source_entrants"]

DEFAULT_SOURCES = ("markers", "reference")
#: Code that every number depends on: the whole room of annotation, the drawing of cells, and the judging.
CODE = (
    "corpuscle.annotate", "corpuscle.models._expression", "corpuscle.normalize._pca",
    "corpuscle.benchmarks._labelled", "corpuscle.benchmarks._marker_candidates", "corpuscle.benchmarks._truth",
    *(
        f"corpuscle.benchmarks.annotation.{name}"
        for name in ("_draw", "_one", "_sources_given", "_sources_learned", "_sources_markers", "metrics",
                     "refinements", "sources")
    ),
)  # fmt: skip


def source_entrants(sources: Iterable[Any] | str | None) -> list[Entrant]:
    """Sources of scores by word or as objects; None is markers and a reference.

    Raises
    ------
    OptionError
        An unknown word, an object that is no source, or the same name twice.
    """
    words = DEFAULT_SOURCES if sources is None else sources
    return [entrant(one, CODE) for one in each_once(words, parse_source, source_of, "source of scores")]


def refinement_entrants(refinements: Iterable[Any] | str | None) -> list[Entrant]:
    """Refinements by word or as objects, after those that every table has; None is all that are built in."""
    words = DEFAULT if refinements is None else refinements
    chosen = each_once(words, parse_refinement, refinement_of, "refinement")
    there = {one.name for one in chosen}
    always = [parse_refinement(name) for name in ALWAYS if name not in there]
    return [entrant(one, CODE) for one in sorted([*always, *chosen], key=lambda one: one.name != "raw")]
