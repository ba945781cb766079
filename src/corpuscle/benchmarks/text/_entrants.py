"""What takes part: methods, once for each embedding where they take one, each with all that makes its numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from corpuscle.benchmarks._engines import source_digest
from corpuscle.benchmarks._method_words import each_once, method_params
from corpuscle.benchmarks.text.methods import ALWAYS, DEFAULT, TextMethod, method_of, parse_method

__all__ = ["DRAWING", "Entrant", "entrants"]

#: Code that makes the draws: which cells, which rows, which vectors, which words.
DRAWING = (
    "corpuscle.corpus.pairs", "corpuscle.annotate.ontology", "corpuscle.benchmarks._labelled",
    "corpuscle.benchmarks._truth",
    *(
        f"corpuscle.benchmarks.text.{name}"
        for name in ("_draw", "_draw_build", "_draw_join", "_draw_questions", "_draw_split", "_draws", "_wordings")
    ),
)  # fmt: skip
#: Code that every number depends on besides.
JUDGING = (
    "corpuscle.models.celltext.zero_shot", "corpuscle.models.celltext._retrieval", "corpuscle.benchmarks.text._one",
    "corpuscle.benchmarks.text.metrics", "corpuscle.benchmarks.text.methods",
)  # fmt: skip


@dataclass(frozen=True)
class Entrant:
    """A method with the vectors that it gets.

    Attributes
    ----------
    name
        Unique; ``celltext@pca`` with vectors, ``markers`` without.
    made
        What is called.
    key
        Of the vectors, ``"X_pca"``; None without.
    vectors
        Words that the vectors were asked for with; None without.
    params
        Plain values of its parameters.
    code
        Digest of the source code that makes its numbers.
    """

    name: str
    made: TextMethod
    key: str | None
    vectors: str | None
    params: Mapping[str, Any]
    code: str


def entrants(methods: Iterable[Any] | str | None, embeddings: Sequence[str], keys: Sequence[str]) -> list[Entrant]:
    """Methods by word or as objects, and after them those that every table has.

    Parameters
    ----------
    methods
        None is all that are asked for where nothing is.
    embeddings, keys
        Words and keys of the vectors.

    Raises
    ------
    OptionError
        An unknown word, an object that is no method, or the same name twice.
    """
    chosen = each_once(DEFAULT if methods is None else methods, parse_method, method_of, "method")
    there = {one.name for one in chosen}
    chosen += [parse_method(word) for word in ALWAYS if word not in there]
    return [one for method in chosen for one in _with_vectors(method, embeddings, keys)]


def _with_vectors(method: TextMethod, embeddings: Sequence[str], keys: Sequence[str]) -> Iterable[Entrant]:
    modules = (*DRAWING, *JUDGING, str(type(method).__module__), *getattr(method, "code", ()))
    params, code = method_params(method), source_digest(modules)
    if not method.needs_vectors:
        yield Entrant(method.name, method, None, None, params, code)
        return
    for key, words in zip(keys, embeddings, strict=True):
        yield Entrant(f"{method.name}@{key.removeprefix('X_')}", method, key, words, params, code)
