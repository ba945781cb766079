"""What takes part: sources of scores and refinements, each with all that makes its numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from corpuscle.benchmarks._engines import source_digest
from corpuscle.benchmarks._method_words import method_params, split_methods
from corpuscle.benchmarks.annotation.refinements import ALWAYS, DEFAULT, parse_refinement, refinement_of
from corpuscle.benchmarks.annotation.sources import parse_source, source_of
from corpuscle.errors import OptionError

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


@dataclass(frozen=True)
class Entrant:
    """A source of scores, or a refinement.

    Attributes
    ----------
    name
        Unique among its kind.
    made
        What is called.
    params
        Plain values of its parameters.
    code
        Digest of the source code that makes its numbers.
    """

    name: str
    made: Any
    params: Mapping[str, Any]
    code: str


def source_entrants(sources: Iterable[Any] | str | None) -> list[Entrant]:
    """Sources of scores by word or as objects; None is markers and a reference.

    Raises
    ------
    OptionError
        An unknown word, an object that is no source, or the same name twice.
    """
    return _entrants(DEFAULT_SOURCES if sources is None else sources, parse_source, source_of, "source of scores")


def refinement_entrants(refinements: Iterable[Any] | str | None) -> list[Entrant]:
    """Refinements by word or as objects, after those that every table has; None is all that are built in."""
    chosen = _entrants(DEFAULT if refinements is None else refinements, parse_refinement, refinement_of, "refinement")
    there = {one.name for one in chosen}
    always = _entrants([name for name in ALWAYS if name not in there], parse_refinement, refinement_of, "", some=False)
    return sorted([*always, *chosen], key=lambda one: one.name != "raw")


def _entrants(
    words: Iterable[Any] | str,
    parse: Callable[[str], Any],
    check: Callable[[Any], Any],
    what: str,
    some: bool = True,
) -> list[Entrant]:
    listed = split_methods(words) if isinstance(words, str) else list(words)
    out = [_entrant(parse(word) if isinstance(word, str) else check(word)) for word in listed]
    names = [one.name for one in out]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise OptionError(f"{what} {twice[0]!r} is given twice; give each its own name")
    if some and not out:
        raise OptionError(f"no {what} was given")
    return out


def _entrant(made: Any) -> Entrant:
    code = source_digest((*CODE, str(type(made).__module__), *getattr(made, "code", ())))
    return Entrant(made.name, made, method_params(made), code)
