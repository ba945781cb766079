"""One term of the Cell Ontology, its id, and its line in the bundled table."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from corpuscle.errors import SourceError

__all__ = ["COLUMNS", "Term", "from_table", "normal_id", "to_table"]

COLUMNS = ("cl_id", "label", "definition", "synonyms", "parents", "deprecated", "replaced_by", "consider")
#: A prefix of the Semantic Web may stand before an id: ``http://purl.obolibrary.org/obo/CL_0000236``.
ID = re.compile(r"(?:https?://purl\.obolibrary\.org/obo/)?CL[:_]([0-9]{7})", re.IGNORECASE)
PARENT = re.compile(r"(CL:[0-9]{7})(?:\*([1-9][0-9]{0,2}))?")


@dataclass(frozen=True, slots=True)
class Term:
    """A term as its file has it, deprecated or not.

    Attributes
    ----------
    cl_id
        ``"CL:0000236"``.
    label, definition
        Text; an empty definition means that there is none.
    synonyms
        Exact synonyms.
    parents
        (id, steps) of what it is a kind of. ``steps`` is 1, or more where the terms between are not of the Cell
        Ontology.
    deprecated
        True for a term that is no longer to be used.
    replaced_by
        Id to use instead, maybe of another ontology.
    consider
        Ids that may fit instead.
    """

    cl_id: str
    label: str
    definition: str = ""
    synonyms: tuple[str, ...] = ()
    parents: tuple[tuple[str, int], ...] = ()
    deprecated: bool = False
    replaced_by: str | None = None
    consider: tuple[str, ...] = ()


def normal_id(text: str) -> str | None:
    """Cell Ontology id in its usual form: ``cl_0000236`` is ``CL:0000236``; None for anything that is not one id."""
    match = ID.fullmatch(text.strip())
    return f"CL:{match[1]}" if match else None


def to_table(terms: Iterable[Term]) -> str:
    """Terms as tab-separated text with one header line, sorted by id.

    Lists are joined by ``|``; a parent that is more than one step away is written ``CL:0000000*3``. Line ends and
    tabs inside a text become blanks.
    """
    lines = ["\t".join(COLUMNS)]
    for term in sorted(terms, key=lambda term: term.cl_id):
        parents = (parent if steps == 1 else f"{parent}*{steps}" for parent, steps in term.parents)
        fields = (
            term.cl_id,
            term.label,
            term.definition,
            "|".join(term.synonyms),
            "|".join(parents),
            "1" if term.deprecated else "0",
            term.replaced_by or "",
            "|".join(term.consider),
        )
        lines.append("\t".join(" ".join(text.split()) for text in fields))
    return "\n".join(lines) + "\n"


def from_table(text: str, source: str) -> dict[str, Term]:
    """Terms of such a table; columns are found by name, and ``consider`` may be missing."""
    lines = text.split("\n")
    header = lines[0].rstrip("\r").split("\t")
    missing = [name for name in COLUMNS[:-1] if name not in header]
    if missing:
        raise SourceError(
            f"{source}: line 1 has no column {missing[0]!r}; a Cell Ontology table has {', '.join(COLUMNS)}"
        )
    out: dict[str, Term] = {}
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            continue
        fields = line.rstrip("\r").split("\t")
        if len(fields) != len(header):
            raise SourceError(
                f"{source}: line {number} has {len(fields)} columns, not {len(header)}; is the file complete?"
            )
        term = _from_fields(dict(zip(header, fields, strict=True)), f"{source}: line {number}")
        if term.cl_id in out:
            raise SourceError(f"{source}: line {number} has {term.cl_id} for the second time")
        out[term.cl_id] = term
    return out


def _from_fields(field: Mapping[str, str], where: str) -> Term:
    cl_id = normal_id(field["cl_id"])
    if cl_id is None:
        raise SourceError(f"{where}: {field['cl_id'][:40]!r} is not a Cell Ontology id (CL: and seven digits)")
    parents = []
    for entry in _listed(field["parents"]):
        match = PARENT.fullmatch(entry)
        if match is None:
            raise SourceError(f"{where}: {entry[:40]!r} is not a parent's id")
        parents.append((match[1], int(match[2] or 1)))
    return Term(
        cl_id=cl_id,
        label=field["label"],
        definition=field["definition"],
        synonyms=_listed(field["synonyms"]),
        parents=tuple(parents),
        deprecated=field["deprecated"].strip().lower() in {"1", "true"},
        replaced_by=field["replaced_by"] or None,
        consider=_listed(field.get("consider", "")),
    )


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part for part in text.split("|") if part)
