"""Cell Ontology terms out of a file: the bundled kind of table, JSON of the CELLxGENE guide, or OBO."""

from __future__ import annotations

import io
import json
import lzma
import zlib
from collections.abc import Collection, Mapping
from gzip import GzipFile
from pathlib import Path
from typing import Any

from corpuscle.annotate.ontology._obo import from_obo
from corpuscle.annotate.ontology._terms import Term, from_table, normal_id
from corpuscle.errors import SourceError

__all__ = ["read_terms", "terms_of"]

#: No release comes near; a small file that unpacks to more is no ontology.
MOST_BYTES = 512 * 2**20


def read_terms(path: str | Path, relations: Collection[str] = ("is_a",)) -> dict[str, Term]:
    """Terms of a file, packed with gzip or xz or not; its form is recognised by content.

    Raises
    ------
    SourceError
        The file is missing, damaged, too large, or has another form.
    """
    where = Path(path)
    try:
        packed = where.read_bytes()
    except OSError as error:
        raise SourceError(
            f"{where}: cannot be read ({error.strerror}); give a Cell Ontology table, JSON or OBO file"
        ) from None
    return terms_of(packed, str(where), relations)


def terms_of(packed: bytes, source: str, relations: Collection[str] = ("is_a",)) -> dict[str, Term]:
    """Terms of a file's bytes; ``source`` names it in messages."""
    try:
        text = _unpacked(packed, source).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SourceError(
            f"{source}: not UTF-8 text (byte {error.start:,}); give a Cell Ontology table, JSON or OBO file"
        ) from None
    start = text.lstrip()[:4096]
    if start.startswith("{"):
        terms = _from_json(text, source)
    elif start.startswith(("format-version", "[Term]")) or "\n[Term]" in text:
        terms = from_obo(text, source, relations)
    elif start.startswith("cl_id\t"):
        terms = from_table(text.lstrip(), source)
    else:
        raise SourceError(f"{source}: neither a Cell Ontology table, JSON nor OBO file (it begins with {start[:20]!r})")
    if not terms:
        raise SourceError(f"{source}: no term of the Cell Ontology in it (ids are CL: and seven digits)")
    return terms


def _unpacked(packed: bytes, source: str) -> bytes:
    data = packed
    try:
        if packed.startswith(b"\x1f\x8b"):
            with GzipFile(fileobj=io.BytesIO(packed)) as gzip:
                data = gzip.read(MOST_BYTES + 1)
        elif packed.startswith(b"\xfd7zXZ\x00"):
            with lzma.LZMAFile(io.BytesIO(packed)) as xz:
                data = xz.read(MOST_BYTES + 1)
    except (OSError, EOFError, lzma.LZMAError, zlib.error):
        raise SourceError(f"{source}: damaged or cut short; fetch the file again") from None
    if len(data) > MOST_BYTES:
        raise SourceError(f"{source}: unpacks to more than {MOST_BYTES // 2**20} MiB; this is not a Cell Ontology file")
    return data


def _from_json(text: str, source: str) -> dict[str, Term]:
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError):
        raise SourceError(f"{source}: not valid JSON; is the file complete?") from None
    out: dict[str, Term] = {}
    for key, entry in entries.items():
        cl_id = normal_id(key)
        if cl_id is None:
            continue
        if not isinstance(entry, dict) or not isinstance(entry.get("label"), str):
            raise SourceError(
                f"{source}: {cl_id} has no label; JSON is {{id: {{label, description, synonyms, ancestors}}}}"
            )
        out[cl_id] = Term(
            cl_id=cl_id,
            label=entry["label"],
            definition=str(entry.get("description") or ""),
            synonyms=_texts(entry.get("synonyms"), cl_id, source),
            parents=_parents(_ancestors(entries, key, source), entries, source),
            deprecated=entry.get("deprecated") is True,
            replaced_by=_id(entry.get("replaced_by")),
            consider=_texts(entry.get("consider"), cl_id, source),
        )
    return out


def _parents(ancestor: Mapping[str, int], entries: Mapping[str, Any], source: str) -> tuple[tuple[str, int], ...]:
    """Ancestors one step away, and those that no chain of such steps reaches at the distance that is stated."""
    through = [_ancestors(entries, parent, source) for parent, steps in ancestor.items() if steps == 1]
    parents = {
        other: steps
        for other, steps in ancestor.items()
        if steps == 1 or all(up.get(other) != steps - 1 for up in through)
    }
    return tuple(sorted(parents.items()))


def _ancestors(entries: Mapping[str, Any], key: str, source: str) -> dict[str, int]:
    entry = entries.get(key)
    found = entry.get("ancestors") if isinstance(entry, dict) else None
    if found is None:
        return {}
    if not isinstance(found, dict) or not all(isinstance(steps, int) and 0 < steps < 1000 for steps in found.values()):
        raise SourceError(f"{source}: the ancestors of {key[:40]!r} are not a map of id to distance")
    return {other: steps for other, steps in found.items() if normal_id(other) == other}


def _id(value: Any) -> str | None:
    return (normal_id(value) or value) if isinstance(value, str) and value else None


def _texts(value: Any, cl_id: str, source: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise SourceError(f"{source}: synonyms of {cl_id} are not a list of texts")
    return tuple(value)
