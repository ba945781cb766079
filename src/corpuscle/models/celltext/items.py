"""What can be encoded: a text, a vector, or a cell by its id; and how a list is split into the two sides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from corpuscle.errors import OptionError

__all__ = ["Cell"]

PREFIX = "omics:"


@dataclass(frozen=True)
class Cell:
    """A cell by its id, so that no id is ever taken for a text.

    Parameters
    ----------
    id
        Id of the cell in the attached store of vectors.
    """

    id: str


def is_cell(item: object) -> bool:
    """Whether an item is a cell (an id or a dict of a vector) and not a text."""
    return isinstance(item, (Cell, Mapping))


def check_texts(texts: Sequence[Any], store: Any = None) -> list[str]:
    """The texts as a list; an id among them is refused.

    Raises
    ------
    OptionError
        An item is no string, begins with ``omics:``, or is the id of a cell in the store.
    """
    if isinstance(texts, str):
        raise OptionError("texts: one string was given and not a list of them; put it in a list")
    found = list(texts)
    for place, text in enumerate(found):
        if not isinstance(text, str):
            raise OptionError(f"item {place} is {type(text).__name__} and not a text; give a string")
        if text.startswith(PREFIX):
            raise OptionError(f"item {place}, {text[:60]!r}, is an id and not a text; give Cell({text[6:66]!r})")
        if store is not None and text in store:
            raise OptionError(f"item {place}, {text[:60]!r}, is the id of a cell and not a text; give Cell(id)")
    return found


def split_items(items: Sequence[Any]) -> tuple[list[int], list[int]]:
    """Places of the cells and places of the texts in a mixed list.

    Raises
    ------
    OptionError
        An item is neither; a bare vector is refused too, since a list of numbers may be anything.
    """
    if isinstance(items, (str, Mapping)) or not isinstance(items, Sequence):
        raise OptionError(f"items: {type(items).__name__} was given and not a list; put it in a list")
    cells: list[int] = []
    texts: list[int] = []
    for place, item in enumerate(items):
        if is_cell(item):
            cells.append(place)
        elif isinstance(item, str):
            texts.append(place)
        else:
            raise OptionError(f'item {place} is {type(item).__name__}; give a text, {{"omics": vector}} or Cell(id)')
    return cells, texts
