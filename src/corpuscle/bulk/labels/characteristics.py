"""Attributes of a sample, as archives of expression data write them: ``tissue: liver,Sex: male,age: 45 years``."""

from __future__ import annotations

import re

from corpuscle.bulk.labels._text import CAP, MISSING, clean

__all__ = ["key_of", "parse_characteristics"]

#: Characters of one sample's attributes that are parsed.
WHOLE_CAP = 20_000
_SEPARATOR = re.compile(r"([,;\t\r\n])")
#: A key starts with a letter and has no more words than a heading; ``https://`` and ``12:30`` have none.
_KEY = re.compile(r"\s*([^\W\d_][^:]{0,59}?)\s*:(?!//)\s*(.*)", re.DOTALL)
_KEY_BLANKS = re.compile(r"[\s_.\-]+")


def key_of(text: str) -> str:
    """A key in the one spelling that keys are compared in: ``"Cell_Line"`` and ``"cell line"`` are the same."""
    return _KEY_BLANKS.sub(" ", clean(text).casefold()).strip()


def parse_characteristics(text: str) -> list[tuple[str, str]]:
    """Pairs of key and value, in their order; keys in small letters, values as they are written.

    Pairs are separated by commas, semicolons, tabs or line ends. A piece without a key belongs to the value before it,
    so that ``treatment: DMSO, 24 h,tissue: liver`` has two pairs; before the first key it belongs to nothing. A key may
    be there several times; pairs without a value (also ``NA`` and the like) are left out.

    Examples
    --------
    >>> parse_characteristics("tissue: liver,treatment: DMSO, 24 h")
    [('tissue', 'liver'), ('treatment', 'DMSO, 24 h')]
    """
    pieces = _SEPARATOR.split(text[:WHOLE_CAP])
    pairs: list[tuple[str, list[str]]] = []
    for at in range(0, len(pieces), 2):
        match = _KEY.fullmatch(pieces[at])
        if match:
            pairs.append((key_of(match[1]), [match[2]]))
        elif pairs and pieces[at].strip():
            pairs[-1][1].extend((pieces[at - 1], pieces[at]))
    found = ((key, clean("".join(parts), CAP)) for key, parts in pairs)
    return [(key, value) for key, value in found if key and value.casefold() not in MISSING]
