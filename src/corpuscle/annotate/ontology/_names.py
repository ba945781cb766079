"""From what a data set calls a cell type to the term that is meant."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import TypeVar

from corpuscle.annotate.ontology._terms import Term
from corpuscle.annotate.ontology.aliases import ALIASES, AMBIGUOUS

__all__ = ["NameIndex"]

GREEK = {"α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon"}
LETTERS = re.compile("[" + "".join(GREEK) + "]")
#: ``CD25-`` before a blank, a slash or the end says that a marker is absent; other hyphens join words.
ABSENT = re.compile(r"\b(cd\d+[a-z]{0,2})[-−](?=[\s/,;)]|$)")
PRESENT = re.compile(r"(?<=[a-z0-9])\+")
APART = re.compile(r"[^a-z0-9]+")
#: ``14Mo`` is what some sets call the fourteenth cluster; ``8cell`` is a stage of the embryo.
CLUSTER_NUMBER = re.compile(r"^\d+(?=[A-Z][A-Za-z])")
NOT_PLURAL = ("ss", "us", "is")
#: Words that qualify the one before them, so that they move with it when the order of words is let go.
QUALIFIES = {"negative", "low", "high", "dim", "bright", "lo", "hi"}
#: Words that do not tell two types apart.
EMPTY = {"cell", "positive"}
#: What cells are doing, tried without as a last resort.
STATES = {"activated", "proliferating", "cycling", "resting"}
#: Cosine between the weighted words of two names, below which one says nothing about the other.
SIMILAR = 0.3
Bag = tuple[str, ...]
Name = TypeVar("Name", str, Bag)


class NameIndex:
    """Names of the live terms, looked up by spelling, then with more and more freedom.

    Steps, of which the first that knows the text decides: the label to the letter; spellings known to be ambiguous; the
    label; the table of aliases; synonyms; the same after the plural is made singular; with ``cell`` added; without a leading
    cluster number; in another order of words; without a word for the state of the cells. Letter case, hyphens,
    commas and underscores never matter, ``+`` is ``positive``, and a Greek letter is its name.
    """

    def __init__(self, terms: Mapping[str, Term]) -> None:
        self._terms = terms
        self._live = [term for term in terms.values() if not term.deprecated]

    def meant(self, text: str) -> tuple[str, ...]:
        """Ids that a text may stand for: none, the one, or several between which it does not decide."""
        exact = self._exact.get(_folded(text))
        if exact:
            return exact
        for spelled in (text, CLUSTER_NUMBER.sub("", text.strip())):
            key = _key(spelled)
            if not key:
                return ()
            for form in _forms(key):
                found = self._stands_for(form)
                if found:
                    return found
            for bag in _bags(key):
                found = self._ambiguous.get(bag) or self._aliases.get(bag) or self._bags.get(bag, ())
                if found:
                    return found
        return self._former.get(_key(text), ())

    def similar(self, text: str, n: int) -> list[str]:
        """Up to n ids whose names share the most telling words with a text, the best first."""
        words = set(_singular(_key(text)).split()) - EMPTY
        unknown = math.log(1 + len(self._words))
        weight = {word: self._weight.get(word, unknown) for word in words}
        length = math.sqrt(sum(value**2 for value in weight.values()))
        best: dict[str, float] = {}
        for cl_id, named in self._words:
            shared = sum(weight[word] ** 2 for word in named & weight.keys())
            if shared:
                whole = math.sqrt(sum(self._weight[word] ** 2 for word in named))
                best[cl_id] = max(best.get(cl_id, 0.0), shared / (whole * length))
        near = [cl_id for cl_id, cosine in best.items() if cosine >= SIMILAR]
        return sorted(near, key=lambda cl_id: (-round(best[cl_id], 9), cl_id))[:n]

    def _stands_for(self, form: str) -> tuple[str, ...]:
        bag = _bag(form)
        return (
            self._ambiguous.get(bag)
            or self._labels.get(form)
            or self._aliases.get(bag)
            or self._synonyms.get(form)
            or ()
        )

    @cached_property
    def _exact(self) -> dict[str, tuple[str, ...]]:
        """Labels to the letter: an apostrophe tells ``Bm2' B cell`` from ``Bm2 B cell``."""
        return _gathered((_folded(term.label), term.cl_id) for term in self._live)

    @cached_property
    def _labels(self) -> dict[str, tuple[str, ...]]:
        return _gathered((_key(term.label), term.cl_id) for term in self._live)

    @cached_property
    def _synonyms(self) -> dict[str, tuple[str, ...]]:
        return _gathered((_key(synonym), term.cl_id) for term in self._live for synonym in term.synonyms)

    @cached_property
    def _former(self) -> dict[str, tuple[str, ...]]:
        """Labels of deprecated terms, with and without the word that says so."""
        pairs = []
        for term in self._terms.values():
            if term.deprecated:
                key = _key(term.label)
                pairs += [(key, term.cl_id), (key.removeprefix("obsolete "), term.cl_id)]
        return _gathered(pairs)

    @cached_property
    def _bags(self) -> dict[Bag, tuple[str, ...]]:
        return _gathered((_bag(_key(name)), term.cl_id) for term in self._live for name in _names(term))

    @cached_property
    def _aliases(self) -> dict[Bag, tuple[str, ...]]:
        return _gathered((_bag(_key(name)), cl_id) for name, cl_id in ALIASES.items() if cl_id in self._terms)

    @cached_property
    def _ambiguous(self) -> dict[Bag, tuple[str, ...]]:
        return _gathered(
            (_bag(_key(name)), cl_id) for name, ids in AMBIGUOUS.items() for cl_id in ids if cl_id in self._terms
        )

    @cached_property
    def _words(self) -> list[tuple[str, set[str]]]:
        return [
            (term.cl_id, words)
            for term in self._live
            for name in _names(term)
            if (words := set(_singular(_key(name)).split()) - EMPTY)
        ]

    @cached_property
    def _weight(self) -> dict[str, float]:
        """A word tells the more, the fewer names have it."""
        count = Counter(word for _, words in self._words for word in words)
        return {word: math.log(1 + len(self._words) / times) for word, times in count.items()}


def _names(term: Term) -> Iterator[str]:
    yield term.label
    yield from term.synonyms


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())


def _key(text: str) -> str:
    """Words of a name, in lower case, one blank between them."""
    plain = unicodedata.normalize("NFKC", text).lower()
    plain = LETTERS.sub(lambda match: f" {GREEK[match[0]]} ", plain).replace("(s)", "s")
    plain = PRESENT.sub(" positive ", ABSENT.sub(r"\1 negative ", plain))
    return APART.sub(" ", plain).strip()


def _forms(key: str) -> Iterator[str]:
    yield key
    single = _singular(key)
    if single != key:
        yield single
    if not single.endswith(" cell"):
        yield f"{single} cell"


def _singular(key: str) -> str:
    words = key.split()
    return " ".join(
        _singular_word(word) if place == len(words) - 1 or word == "cells" else word for place, word in enumerate(words)
    )


def _singular_word(word: str) -> str:
    if len(word) < 3 or not word.endswith("s") or word.endswith(NOT_PLURAL):
        return word
    return f"{word[:-3]}y" if word.endswith("ies") and len(word) > 4 else word[:-1]


def _bag(key: str) -> Bag:
    """Words of a name in alphabetical order, those that qualify fused with the one before; the empty ones left out."""
    words: list[str] = []
    for word in key.split():
        if word in QUALIFIES and words:
            words[-1] += f"-{word}"
        elif word not in EMPTY:
            words.append(word)
    return tuple(sorted(words))


def _bags(key: str) -> Iterator[Bag]:
    bag = _bag(_singular(key))
    if bag:
        yield bag
    quiet = tuple(word for word in bag if word not in STATES)
    if quiet and quiet != bag:
        yield quiet


def _gathered(pairs: Iterable[tuple[Name, str]]) -> dict[Name, tuple[str, ...]]:
    out: dict[Name, dict[str, None]] = defaultdict(dict)
    for name, cl_id in pairs:
        if name:
            out[name][cl_id] = None
    return {name: tuple(ids) for name, ids in out.items()}
