"""Text from metadata files and folders, made fit to be matched, stored and printed."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["CAP", "MISSING", "clean", "name_of", "tokens", "values_of"]

#: Characters of a value that are looked at: titles and attributes are short, and the time of a match is bounded by it.
CAP = 500
#: Characters of a label or of one of its attributes.
NAME_CAP = 200
#: What stands for no value, in small letters.
MISSING = frozenset(
    {"", "-", "--", "na", "n/a", "nan", "none", "null", "<na>", "not applicable", "not available", "missing"}
)
_WORD = re.compile(r"[^\W_]+|[,;|]")
_BREAKS = frozenset(",;|")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


def clean(text: str, cap: int | None = CAP) -> str:
    """Compatible characters made one (NFKC), control characters and runs of blanks one blank, cut at ``cap``."""
    if cap is not None:
        text = text[: 2 * cap]
    if not (text.isascii() and text.isprintable()):
        text = _CONTROL.sub(" ", unicodedata.normalize("NFKC", text))
    return " ".join(text.split())[:cap]


def name_of(text: Any) -> str:
    """Name of a label or of what belongs to it: clean text, short enough for a table."""
    return clean(str(text), NAME_CAP)


def tokens(text: str) -> list[str]:
    """Runs of letters and digits in small letters, and what divides a list: ``"MCF-7, x"`` is mcf, 7, a comma, x."""
    return _WORD.findall(text.casefold())


def words_of(text: str) -> list[str]:
    """The tokens of a text that are words."""
    return [token for token in tokens(text) if token not in _BREAKS]


def spelt(text: str, first: int, last: int) -> str:
    """Tokens ``first`` to ``last - 1`` of a text as they are written in it."""
    words = _WORD.findall(text)
    folded = tokens(text)
    return " ".join((words if len(words) == len(folded) else folded)[first:last])


def values_of(column: Iterable[Any]) -> tuple[np.ndarray[Any, Any], list[str]]:
    """A metadata column as codes (n,), -1 where there is no value, and the distinct values, cut to no length.

    Bytes are taken for UTF-8, whatever they are.
    """
    series = pd.Series(column)
    code_n, distinct = pd.factorize(series, use_na_sentinel=True)
    texts = [v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in distinct]
    empty = np.array([text.strip().casefold() in MISSING for text in texts], dtype=bool)
    if empty.any():
        code_n = np.where((code_n >= 0) & empty[code_n], -1, code_n)
    return code_n, texts
