"""Placeholders that nobody has filled in a data set's card."""

from __future__ import annotations

import re
from pathlib import Path

from corpuscle.errors import SourceError

__all__ = ["open_placeholders", "read_card"]

#: ``$name`` or ``${name}`` in lower case; not a price, a shell variable in capitals or a formula between two dollars.
_PLACEHOLDER = re.compile(r"\$(?:\{([a-z_][a-z0-9_]*)\}|([a-z_][a-z0-9_]*)(?![\w$]))")
_LARGEST = 2**20


def open_placeholders(card: str) -> tuple[str, ...]:
    """Names of the ``$name`` placeholders left in a card, each once, in order."""
    return tuple(dict.fromkeys(found[1] or found[2] for found in _PLACEHOLDER.finditer(card)))


def read_card(folder: Path) -> str | None:
    """Text of ``README.md`` in a folder, up to 1 MiB; None if there is none.

    Raises
    ------
    SourceError
        It cannot be read.
    """
    path = folder / "README.md"
    if not path.is_file():
        return None
    try:
        with path.open("rb") as file:
            return file.read(_LARGEST).decode("utf-8", "replace")
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror})") from None
