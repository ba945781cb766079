"""Cell Ontology terms out of an OBO 1.2 text file."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from corpuscle.annotate.ontology._terms import Term, normal_id
from corpuscle.errors import SourceError

__all__ = ["from_obo"]

QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"\s*(.*)')
ESCAPE = re.compile(r"\\(.)")
ESCAPED = {"n": " ", "t": " ", "W": " "}
#: What ends a value: a comment (`` ! label``) or a list of modifiers (`` {is_inferred="true"}``).
TAIL = re.compile(r"\s+[!{].*$")


@dataclass
class _Stanza:
    term_id: str = ""
    name: str = ""
    definition: str = ""
    synonyms: list[str] = field(default_factory=list)
    parents: list[str] = field(default_factory=list)
    other_ids: list[str] = field(default_factory=list)
    obsolete: bool = False
    replaced_by: str | None = None
    consider: list[str] = field(default_factory=list)


def from_obo(text: str, source: str, relations: Collection[str] = ("is_a",)) -> dict[str, Term]:
    """Terms of the Cell Ontology in an OBO file.

    Terms of other ontologies are not kept, but a kind-of path that leads through them is: its length is counted.
    Only EXACT synonyms are kept, since broad and related ones would give one name to many types. An ``alt_id``
    becomes a deprecated term that is replaced by the one that bears it.

    Parameters
    ----------
    text
        The file.
    source
        Its name, for messages.
    relations
        What makes a parent: ``"is_a"``, and any relationship such as ``"develops_from"`` or ``"part_of"``.

    Raises
    ------
    SourceError
        A stanza has no id or no name, or occurs twice.
    """
    stanzas: dict[str, _Stanza] = {}
    for line, stanza in _stanzas(text, relations):
        if not stanza.term_id:
            raise SourceError(f"{source}: line {line}: a [Term] without an id; is the file complete?")
        if stanza.term_id in stanzas:
            raise SourceError(f"{source}: line {line}: {stanza.term_id} is there for the second time")
        stanzas[stanza.term_id] = stanza
    out: dict[str, Term] = {}
    for term_id, stanza in stanzas.items():
        cl_id = normal_id(term_id)
        if cl_id is None:
            continue
        if not stanza.name:
            raise SourceError(f"{source}: {cl_id} has no name; is the file complete?")
        out[cl_id] = _term(cl_id, stanza, stanzas)
    for term_id, stanza in stanzas.items():
        for other in stanza.other_ids:
            alternative = normal_id(other)
            if alternative and alternative not in out and normal_id(term_id):
                out[alternative] = Term(alternative, stanza.name, deprecated=True, replaced_by=normal_id(term_id))
    return out


def _stanzas(text: str, relations: Collection[str]) -> Iterator[tuple[int, _Stanza]]:
    stanza: _Stanza | None = None
    start = 0
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if line.startswith("["):
            if stanza is not None:
                yield start, stanza
            stanza, start = (_Stanza() if line == "[Term]" else None), number
        elif stanza is not None and not line.startswith("!"):
            tag, colon, value = line.partition(":")
            if colon:
                _read(stanza, tag, value.strip(), relations)
    if stanza is not None:
        yield start, stanza


def _read(stanza: _Stanza, tag: str, value: str, relations: Collection[str]) -> None:
    plain = TAIL.sub("", value)
    if tag == "id":
        stanza.term_id = normal_id(plain) or plain
    elif tag == "name":
        stanza.name = _unescaped(value)
    elif tag == "def":
        stanza.definition = _quoted(value)[0]
    elif tag == "synonym":
        synonym, scope = _quoted(value)
        if synonym and scope.startswith("EXACT") and synonym not in stanza.synonyms:
            stanza.synonyms.append(synonym)
    elif tag == "is_a":
        if "is_a" in relations:
            stanza.parents.append(normal_id(plain) or plain)
    elif tag == "relationship":
        relation, _, target = plain.partition(" ")
        if relation in relations:
            stanza.parents.append(normal_id(target) or target.strip())
    elif tag == "is_obsolete":
        stanza.obsolete = plain == "true"
    elif tag == "replaced_by":
        stanza.replaced_by = normal_id(plain) or plain
    elif tag == "consider":
        stanza.consider.append(normal_id(plain) or plain)
    elif tag == "alt_id":
        stanza.other_ids.append(plain)


def _term(cl_id: str, stanza: _Stanza, stanzas: Mapping[str, _Stanza]) -> Term:
    return Term(
        cl_id=cl_id,
        label=stanza.name,
        definition=stanza.definition,
        synonyms=tuple(stanza.synonyms),
        parents=() if stanza.obsolete else tuple(sorted(_parents(stanza, stanzas).items())),
        deprecated=stanza.obsolete,
        replaced_by=stanza.replaced_by,
        consider=tuple(stanza.consider),
    )


def _parents(stanza: _Stanza, stanzas: Mapping[str, _Stanza]) -> dict[str, int]:
    """Nearest ancestors of the Cell Ontology and the steps to each, level by level through other ontologies."""
    found: dict[str, int] = {}
    seen: set[str] = set()
    row, steps = list(stanza.parents), 1
    while row:
        above: list[str] = []
        for parent in row:
            if parent in seen:
                continue
            seen.add(parent)
            if normal_id(parent):
                found[parent] = steps
            elif parent in stanzas:
                above += stanzas[parent].parents
        row, steps = above, steps + 1
    return found


def _quoted(value: str) -> tuple[str, str]:
    """Text between quotes, and what follows it."""
    match = QUOTED.match(value)
    return (_unescaped(match[1]), match[2]) if match else ("", "")


def _unescaped(value: str) -> str:
    return ESCAPE.sub(lambda match: ESCAPED.get(match[1], match[1]), value).strip()
