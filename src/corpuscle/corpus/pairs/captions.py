"""Captions of cells: a column, a sentence with columns in braces, or several of these joined.

A caption depends on the values of its own cell and on nothing else, so a cell has the same one in every chunk and split.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from corpuscle.corpus.pairs._caption_words import Describe, words_of
from corpuscle.errors import OptionError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CaptionRule", "Column", "Describe", "Join", "Template", "parse_caption"]

Texts = np.ndarray[Any, np.dtype[np.object_]]
_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


@runtime_checkable
class CaptionRule(Protocol):
    """Anything that turns rows of ``obs`` into captions."""

    @property
    def source(self) -> str:
        """One line that says where the captions come from."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of ``obs`` that are read, each once."""

    def captions(self, obs: pd.DataFrame, describe: Describe | None = None) -> Texts:
        """(n,) captions, None where a value is missing."""


@dataclass(frozen=True)
class Column:
    """The text of one ``obs`` column.

    Parameters
    ----------
    name
        Column of ``obs``. Blanks and line ends inside a value become single blanks.
    """

    name: str

    @property
    def source(self) -> str:
        """``column NAME``."""
        return f"column {self.name}"

    @property
    def columns(self) -> tuple[str, ...]:
        """The one column."""
        return (self.name,)

    def captions(self, obs: pd.DataFrame, describe: Describe | None = None) -> Texts:
        """(n,) captions; None where the column has no value.

        Raises
        ------
        OptionError
            ``obs`` has no such column, or it has it twice.
        """
        code_n, words = words_of(obs, self.name, describe)
        return _pick(words, code_n)


@dataclass(frozen=True)
class Template:
    """A sentence with columns in braces: ``Template("This is a {cell_type} cell from {tissue}.")``.

    What stands in braces is the name of a column, letter by letter; nothing is evaluated. ``{{`` and ``}}`` are braces.
    A cell that lacks one of the values has no caption.

    Parameters
    ----------
    text
        The sentence, with at least one column.

    Raises
    ------
    OptionError
        No column is named, or a brace is not closed.
    """

    text: str

    def __post_init__(self) -> None:
        if not self.columns:
            raise OptionError(
                f"caption template {_short(self.text)} names no column; write e.g. 'This is a {{cell_type}} cell.'"
            )

    @property
    def source(self) -> str:
        """``template TEXT``."""
        return f"template {self.text}"

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns in braces, each once, in the order of the sentence."""
        return tuple(dict.fromkeys(name for _, name in _pieces(self.text) if name is not None))

    def captions(self, obs: pd.DataFrame, describe: Describe | None = None) -> Texts:
        """(n,) captions; None where one of the values is missing.

        Raises
        ------
        OptionError
            ``obs`` lacks one of the columns, or has it twice.
        """
        spoken = {name: words_of(obs, name, describe) for name in self.columns}
        parts: list[Texts | str] = []
        for plain, name in _pieces(self.text):
            parts.append(plain)
            if name is not None:
                code_n, words = spoken[name]
                parts.append(_pick(words, code_n))
        said_n = _glue(parts, len(obs))
        for code_n, _ in spoken.values():
            said_n[code_n < 0] = None
        return said_n


@dataclass(frozen=True)
class Join:
    """Several captions in one, joined by ``sep``; a part without a value is left out.

    Parameters
    ----------
    parts
        Rules, or texts as for :func:`parse_caption`.
    sep
        What stands between two parts.

    Raises
    ------
    OptionError
        There are no parts.
    """

    parts: tuple[CaptionRule, ...]
    sep: str = ". "

    def __init__(self, parts: Sequence[CaptionRule | str], sep: str = ". ") -> None:
        if isinstance(parts, str) or not parts:
            raise OptionError(
                "a joined caption needs a list of columns or templates; for a single one, give it as it is"
            )
        object.__setattr__(self, "parts", tuple(parse_caption(part) for part in parts))
        object.__setattr__(self, "sep", sep)

    @property
    def source(self) -> str:
        """The sources of the parts, with plus signs between them."""
        return " + ".join(part.source for part in self.parts)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of all parts, each once."""
        return tuple(dict.fromkeys(name for part in self.parts for name in part.columns))

    def captions(self, obs: pd.DataFrame, describe: Describe | None = None) -> Texts:
        """(n,) captions; None where no part has a value.

        Raises
        ------
        OptionError
            ``obs`` lacks one of the columns, or has it twice.
        """
        said_n: Texts = np.full(len(obs), None, dtype=object)
        for part in self.parts:
            part_n = part.captions(obs, describe)
            has_n, had_n = part_n != None, said_n != None  # noqa: E711 - element by element
            both = has_n & had_n
            said_n[both] = said_n[both] + self.sep + part_n[both]
            first = has_n & ~had_n
            said_n[first] = part_n[first]
        return said_n


def parse_caption(text: str | CaptionRule) -> CaptionRule:
    """A template if there are braces in ``text``, else the column of that name; a rule is returned as it is.

    Raises
    ------
    OptionError
        The text is empty, or its braces do not match.
    """
    if not isinstance(text, str):
        return text
    if not text.strip():
        raise OptionError("the caption is empty; give an obs column or a template such as 'A {cell_type} cell.'")
    return Template(text) if "{" in text or "}" in text else Column(text.strip())


def _pieces(text: str) -> Iterable[tuple[str, str | None]]:
    """Plain text and the column after it, in turn; the last has no column."""
    plain, at = "", 0
    for found in _PIECE.finditer(text):
        plain += text[at : found.start()]
        at = found.end()
        if found[0] in ("{{", "}}"):
            plain += found[0][0]
        elif found[1] is None or not found[1].strip():
            raise OptionError(
                f"caption template {_short(text)} has a brace without a column in it; write {{column}}, or {{{{ for a brace"
            )
        else:
            yield plain, found[1].strip()
            plain = ""
    yield plain + text[at:], None


def _pick(words: Sequence[str], code_n: np.ndarray[Any, np.dtype[np.int64]]) -> Texts:
    table: Texts = np.full(len(words) + 1, None, dtype=object)
    table[: len(words)] = words
    return table[code_n]


def _glue(parts: Iterable[Texts | str], n_cells: int) -> Texts:
    """(n,) parts one after the other; a missing value counts as empty here."""
    said_n: Texts = np.full(n_cells, "", dtype=object)
    for part in parts:
        if not isinstance(part, str):
            part = np.where(part == None, "", part)  # noqa: E711 - element by element
        said_n = said_n + part
    return said_n


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
