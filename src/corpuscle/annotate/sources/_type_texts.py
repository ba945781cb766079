"""Cell types in words, for a sentence encoder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corpuscle.annotate.sources._known_types import known_cl_ids
from corpuscle.annotate.sources._marker_sets import Markers
from corpuscle.annotate.sources.marker_table import asctb_markers, read_markers
from corpuscle.errors import OptionError

if TYPE_CHECKING:
    from corpuscle.annotate.ontology import CellOntology

__all__ = ["DESCRIPTIONS", "TypeTexts", "type_texts"]

DESCRIPTIONS = ("markers", "name", "definition")
DEFINITION = "cell type: {label}. {definition}"


@dataclass(frozen=True)
class TypeTexts:
    """A text for each of K types, with their Cell Ontology ids where known and what a user should know."""

    types: tuple[str, ...]
    texts: tuple[str, ...]
    cl_ids: tuple[str | None, ...]
    notes: tuple[str, ...] = ()


def type_texts(
    types: Sequence[str] | Mapping[str, str] | Markers | None,
    describe: str,
    markers: Markers | Mapping[str, Any] | str | Path | None,
    n_genes: int,
    template: str,
) -> TypeTexts:
    """Write a text for each type.

    Parameters
    ----------
    types
        Names or Cell Ontology ids; a mapping from type to text, which is taken as it is; or the markers of the types.
    describe
        ``"markers"``: ``template`` with the type's marker genes; ``"name"``: its label in the Cell Ontology, or the name as
        given; ``"definition"``: label and definition.
    markers
        Markers, a mapping from type to genes, or the path of a table; None takes the bundled ASCT+B tables.
    n_genes
        Marker genes to name at most.
    template
        Text with ``{genes}``.
    """
    if describe not in DESCRIPTIONS:
        raise OptionError(f"describe {describe!r} is none of {', '.join(DESCRIPTIONS)}")
    if isinstance(types, str):
        raise OptionError(f"types must be a list of names, not the text {types!r}")
    if types is not None and not isinstance(types, Markers) and not len(types):
        raise OptionError("no types to describe; name at least two")
    if isinstance(types, Mapping):
        return TypeTexts(tuple(types), tuple(types.values()), known_cl_ids(list(types)))
    if isinstance(types, Markers):
        markers, types = types, None
    if describe == "markers":
        return _of_markers(_chosen_markers(markers, types), n_genes, template)
    if types is None:
        if markers is None:
            raise OptionError("no types to describe; name at least two")
        types = _chosen_markers(markers, None).types
    return _of_terms(list(types), describe)


def _chosen_markers(markers: Any, types: Sequence[str] | None) -> Markers:
    if markers is None:
        if types is None:
            raise OptionError("no types to describe; name at least two, or give markers")
        return asctb_markers(types=types)
    if isinstance(markers, str | Path):
        markers = read_markers(markers)
    elif not isinstance(markers, Markers):
        markers = Markers.of(markers)
    return markers if types is None else markers.chosen(types)


def _of_markers(markers: Markers, n_genes: int, template: str) -> TypeTexts:
    """Only genes that a type has are named: an encoder of sentences takes what is denied for what is said."""
    texts, bare = [], []
    for name, one in markers.sets.items():
        weighty = sorted(one.positive.items(), key=lambda item: -item[1])
        genes = [gene.upper() for gene, _ in weighty[:n_genes]]
        texts.append(template.replace("{genes}", " ".join(genes)))
        if not genes:
            bare.append(name)
    if bare:
        raise OptionError(
            f"{markers.source}: type {bare[0]!r} has no positive marker to name; give it one or leave it out"
        )
    named = known_cl_ids(markers.types)
    cl_ids = tuple(given or found for given, found in zip(markers.cl_ids, named, strict=True))
    return TypeTexts(markers.types, tuple(texts), cl_ids, tuple(markers.notes))


def _of_terms(names: list[str], describe: str) -> TypeTexts:
    from corpuscle.annotate.ontology import cell_ontology

    ontology = cell_ontology()
    ids = known_cl_ids(names)
    texts = [_term_text(ontology, name, cl_id, describe) for name, cl_id in zip(names, ids, strict=True)]
    types = [_type_name(ontology, name) for name in names]
    notes = []
    if describe == "definition":
        without = [name for name, cl_id in zip(types, ids, strict=True) if not (cl_id and ontology.definition(cl_id))]
        if without:
            notes.append(f"without a definition in the Cell Ontology, so described by name: {_listed(without)}")
    return TypeTexts(tuple(types), tuple(texts), ids, tuple(notes))


def _term_text(ontology: CellOntology, name: str, cl_id: str | None, describe: str) -> str:
    if cl_id is None:
        return name
    if describe == "definition" and ontology.definition(cl_id):
        return ontology.describe(cl_id, DEFINITION)
    return ontology.label(cl_id)


def _type_name(ontology: CellOntology, name: str) -> str:
    return ontology.label(name) if name in ontology else name


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
