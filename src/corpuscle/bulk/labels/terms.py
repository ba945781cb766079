"""A dictionary of terms, found in text as whole words, the longest first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from corpuscle.bulk.labels._text import words_of
from corpuscle.errors import OptionError

__all__ = ["NOTHING", "Label", "Term", "Terms"]

#: Label of terms that mean none, such as ``brain derived neurotrophic factor``: their words are used up by them.
NOTHING = "-"
#: Words of a term.
LONGEST = 20


@dataclass(frozen=True)
class Label:
    """What a label means: its kind, the label it is part of or comes from, its id in an ontology; "" if not given."""

    name: str
    kind: str = ""
    parent: str = ""
    id: str = ""


@dataclass(frozen=True)
class Term:
    """Words that mean a label; ``rule`` is what evidence calls it."""

    text: str
    label: Label
    rule: str = ""


class Terms:
    """Terms by their words.

    Parameters
    ----------
    terms
        A term is compared word by word, without regard to case and to what is between words, but not across commas,
        semicolons and bars.

    Raises
    ------
    OptionError
        A term has no word or too many, or means two labels.
    """

    def __init__(self, terms: Iterable[Term]) -> None:
        self._by_words: dict[tuple[str, ...], Term] = {}
        lengths: dict[str, set[int]] = {}
        for term in terms:
            words = tuple(words_of(term.text))
            if not 1 <= len(words) <= LONGEST:
                raise OptionError(
                    f"{term.rule}: the term {term.text[:80]!r} has {len(words)} words; write 1 to {LONGEST}"
                )
            known = self._by_words.setdefault(words, term)
            if known.label.name != term.label.name:
                raise OptionError(
                    f"{term.rule}: the term {term.text!r} means {term.label.name!r} here and {known.label.name!r} in "
                    f"{known.rule}; keep one"
                )
            lengths.setdefault(words[0], set()).add(len(words))
        self._lengths = {word: tuple(sorted(found, reverse=True)) for word, found in lengths.items()}

    def __len__(self) -> int:
        return len(self._by_words)

    def __iter__(self) -> Iterator[Term]:
        return iter(self._by_words.values())

    def find(self, words: list[str]) -> list[tuple[int, int, Term]]:
        """Where terms are among words in small letters: first word, word after the last, term.

        From the left, at each word the longest term that starts there; the search goes on after it. Terms that mean
        nothing are left out of the result.
        """
        lengths, by_words = self._lengths, self._by_words
        found: list[tuple[int, int, Term]] = []
        after = 0
        for at, word in enumerate(words):
            if word not in lengths or at < after:
                continue
            for n in lengths[word]:
                term = by_words.get(tuple(words[at : at + n])) if at + n <= len(words) else None
                if term is not None:
                    after = at + n
                    if term.label.name != NOTHING:
                        found.append((at, after, term))
                    break
        return found
