"""Types of several studies under common names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from corpuscle.benchmarks._labelled import LabelledCells

__all__ = ["common_names", "joined_note", "kin"]

NAMED = 6


def common_names(judged: LabelledCells, other: LabelledCells) -> dict[str, str]:
    """Type of another study -> what the judged study calls it.

    Equal names are equal types. Of the others, those whose Cell Ontology id one type of the judged study has, and no second
    one, take its name: else a known type would be taken for a new one because it is called otherwise.
    """
    of_id: dict[str, list[str]] = {}
    for name, cl_id in zip(judged.types, judged.cl_ids, strict=True):
        if cl_id:
            of_id.setdefault(cl_id, []).append(name)
    names = {}
    for name, cl_id in zip(other.types, other.cl_ids, strict=True):
        same = of_id.get(cl_id or "", [])
        names[name] = same[0] if len(same) == 1 and name not in judged.types else name
    return names


def joined_note(names: Sequence[Mapping[str, str]]) -> str:
    """Which names were taken for which, or an empty text."""
    said = sorted({f"{other} as {own}" for one in names for other, own in one.items() if other != own})
    more = f" and {len(said) - NAMED} more" if len(said) > NAMED else ""
    return f"types with one Cell Ontology id were joined: {', '.join(said[:NAMED])}{more}" if said else ""


def kin(names: Sequence[str], known: Sequence[str], cl_ids: Mapping[str, str | None]) -> dict[str, str]:
    """Of some types, those that by the Cell Ontology are a known type, a kind of one, or what one is a kind of; and that one."""
    from corpuscle.annotate.ontology import cell_ontology

    ontology = cell_ontology()
    # An id of a label map may be none of the ontology; then only the same id tells.
    up = {
        name: {cl_id, *(ontology.ancestors(cl_id) if cl_id in ontology else ())}
        for name in {*names, *known}
        if (cl_id := cl_ids.get(name))
    }
    out = {}
    for name in (name for name in names if name in up):
        found = [one for one in known if one in up and (cl_ids[name] in up[one] or cl_ids[one] in up[name])]
        if found:
            out[name] = min(found, key=lambda one: cl_ids[one] != cl_ids[name])
    return out
