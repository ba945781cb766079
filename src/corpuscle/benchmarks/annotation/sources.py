"""Where scores come from in the annotation benchmark, each with what it was told.

A source is a callable with a few attributes::

    class Mine:
        name = "mine"
        told = "the types"          # in a few words, what it knows of the truth
        needs_labels = False        # True to be given the types of the cells too

        def __call__(self, draw: Draw, seed: int) -> Scored: ...

On the command line, ``module:Class`` names one that is not built in.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np

from corpuscle.annotate.scores import Scores
from corpuscle.benchmarks._labelled import LabelledCells
from corpuscle.benchmarks._method_words import construct, named_with, read_method
from corpuscle.benchmarks.annotation._draw import Draw
from corpuscle.errors import MethodError, OptionError

__all__ = ["BUILT_IN", "ScoreSource", "Scored", "blind", "by_name", "checked", "parse_source"]

Array = np.ndarray[Any, Any]

#: Word -> where the class is, in this package; imported only when it is asked for.
BUILT_IN = {
    "markers": "_sources_markers:MarkerScores",
    "ucell": "_sources_markers:UCell",
    "reference": "_sources_learned:Reference",
    "prototypes": "_sources_learned:Prototypes",
    "text": "_sources_learned:Text",
    "scores": "_sources_given:Given",
    "noise": "_sources_given:Noise",
}


@dataclass(frozen=True)
class Scored:
    """Scores of the cells to be judged.

    Attributes
    ----------
    scores
        (n, K) of these cells; the columns need not be the candidate types.
    code_k
        (K,) candidate that a column stands for, -1 for none of them.
    judged_n
        (n,) positions of the cells among those drawn; None for all of them.
    notes
        What a reader should know, a line each.
    """

    scores: Scores
    code_k: Array
    judged_n: Array | None = None
    notes: tuple[str, ...] = ()


@runtime_checkable
class ScoreSource(Protocol):
    """What a source of scores must be.

    Attributes
    ----------
    name
        What tables call it, as a task.
    told
        What it knows of the truth, in a few words.
    needs_labels
        Whether it is given the types of the cells.
    """

    name: str
    told: str
    needs_labels: bool

    def __call__(self, draw: Draw, seed: int) -> Scored:
        """Score the cells of a draw; the same seed gives the same scores."""
        ...


def parse_source(text: str) -> ScoreSource:
    """Find the source that a word stands for: ``NAME``, ``NAME:key=value,...``, ``scores:KEY`` or ``module:Class``.

    Raises
    ------
    OptionError
        It is none of these, or a value cannot be read.
    """
    head, _, rest = text.strip().partition(":")
    if head == "scores" and rest and "=" not in rest:
        text = f"scores:key={rest}"
    name, made, params = read_method(text, _registered)
    source = construct(name, made, params)
    if params:
        source.name = f"scores:{params['key']}" if name == "scores" else named_with(source.name, brief(params))
    return source_of(source)


def brief(params: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as one writes them: 5 and not 5.0."""
    return {key: f"{value:g}" if isinstance(value, float) else value for key, value in params.items()}


def source_of(source: Any) -> ScoreSource:
    """Check that an object is a source.

    Raises
    ------
    OptionError
        It cannot be called, or has no name or nothing that it was told.
    """
    if not callable(source) or not isinstance(source, ScoreSource):
        raise OptionError(f"{source!r} is no source of scores: it needs name, told, needs_labels and to be called")
    if not all(isinstance(word, str) and word for word in (source.name, source.told)):
        raise OptionError(f"{source!r}: its name and what it was told must be text")
    return source


def _registered(name: str) -> Any:
    if name not in BUILT_IN:
        raise OptionError(f"no source of scores is called {name!r}; there are: {', '.join(BUILT_IN)}")
    module, _, attribute = BUILT_IN[name].partition(":")
    return getattr(importlib.import_module(f"{__package__}.{module}"), attribute)


def blind(draw: Draw) -> Draw:
    """The same draw without the types of its cells."""
    cells = draw.cells
    hidden = replace(cells, code_n=np.full(cells.n_cells, -1), obs=cells.obs[[]])
    return replace(draw, cells=hidden)


def checked(found: Any, draw: Draw, name: str) -> Scored:
    """What a source returned, made sure to be scores of cells that were drawn.

    Raises
    ------
    MethodError
        It is not.
    """
    if not isinstance(found, Scored):
        raise MethodError(f"{name}: returned a {type(found).__name__}, not a Scored")
    n = draw.n_cells if found.judged_n is None else len(found.judged_n)
    if found.scores.n_cells != n:
        raise MethodError(f"{name}: scored {found.scores.n_cells:,} cells, {n:,} were to be judged")
    code_k = np.asarray(found.code_k)
    if code_k.shape != (found.scores.n_types,) or code_k.min() < -1 or code_k.max() >= len(draw.cells.types):
        raise MethodError(f"{name}: does not say which of the {len(draw.cells.types)} types each column stands for")
    return found


def by_name(types: Sequence[str], cells: LabelledCells, stands_for: Mapping[str, str] | None = None) -> Array:
    """(K,) candidate type that each column is named after, -1 for none.

    Parameters
    ----------
    types
        Names of the columns.
    cells
        With the candidates.
    stands_for
        Column -> candidate, where the names differ.
    """
    place = {name: i for i, name in enumerate(cells.types)}
    return np.array([place.get((stands_for or {}).get(name, name), -1) for name in types], np.int64)
