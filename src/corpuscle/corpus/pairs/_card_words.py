"""Words of others on a page of ours: nothing in them is markup, code or a placeholder."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence

__all__ = ["code", "code_literal", "plain", "quoted", "size", "table"]

_MARKUP = re.compile(r"[&<>|`$\[\]*\\]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")


def plain(text: object, longest: int = 400) -> str:
    """Text of others as text: one line, markup escaped, cut where it is longer than ``longest`` letters."""
    words = " ".join(_CONTROL.sub(" ", str(text)).split())
    words = words if len(words) <= longest else words[: longest - 1] + "…"
    return _MARKUP.sub(lambda found: f"&#{ord(found[0])};", words)


def code(text: object) -> str:
    """A name in type of fixed width, where it has nothing that would end it."""
    words = str(text)
    if not words or _CONTROL.search(words) or any(letter in words for letter in "`|$") or words != words.strip():
        return plain(words)
    return f"`{words}`"


def quoted(text: str) -> str:
    """A string in double quotes for JSON and YAML alike, without a dollar sign."""
    return json.dumps(_CONTROL.sub(" ", text), ensure_ascii=False).replace("$", "\\u0024")


def code_literal(text: str) -> str:
    """A string literal of Python without a dollar sign."""
    return json.dumps(text, ensure_ascii=False).replace("$", "\\x24")


def size(n_bytes: int) -> str:
    """Bytes as a person reads them."""
    value, units = float(n_bytes), ["bytes", "kB", "MB", "GB", "TB"]
    while value >= 1000 and len(units) > 1:
        value, units = value / 1000, units[1:]
    return f"{value:.0f} {units[0]}" if units[0] == "bytes" else f"{value:.1f} {units[0]}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table of cells that are already safe."""
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return "\n".join(lines + [f"| {' | '.join(row)} |" for row in rows])
