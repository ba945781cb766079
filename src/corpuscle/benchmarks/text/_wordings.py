"""What is said for each type: the training caption, other wordings, and the words of the Cell Ontology."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["caption_texts", "wording_texts"]

NAMED = 3
Texts = tuple[str | None, ...]


def caption_texts(caption: str, types: Sequence[str]) -> tuple[str, ...]:
    """(k,) caption of each type, the very text that a cell of it has in training."""
    return tuple(str(text) for text in _filled(caption, {"label": list(types)}))


def wording_texts(words: str, types: Sequence[str], cl_ids: Mapping[str, str | None]) -> tuple[Texts, tuple[str, ...]]:
    """A wording of each type.

    Parameters
    ----------
    words
        Template with ``{label}``, ``{ontology_name}`` or ``{definition}``.
    types
        The k types.
    cl_ids
        Their Cell Ontology ids, None where there is none.

    Returns
    -------
    tuple
        (k,) texts, None where the ontology has nothing to say or where two types would have the same text, which can tell
        neither from the other; and notes, a line each.
    """
    found = _filled(words, _fields(types, cl_ids))
    notes = []
    without = [name for name, text in zip(types, found, strict=True) if text is None]
    if without:
        notes.append(f"{words}: no words for {_listed(without)}, which the Cell Ontology does not know by this")
    said: dict[str, list[str]] = {}
    for name, text in zip(types, found, strict=True):
        if text is not None:
            said.setdefault(text, []).append(name)
    for same in (names for names in said.values() if len(names) > 1):
        notes.append(f"{words}: {_listed(same)} have the same words, so none of them is asked for")
    once = tuple(text if text is not None and len(said[text]) == 1 else None for text in found)
    return once, tuple(notes)


def _fields(types: Sequence[str], cl_ids: Mapping[str, str | None]) -> dict[str, list[str | None]]:
    from corpuscle.annotate.ontology import cell_ontology

    ontology = cell_ontology()
    # A label map is anybody's: an id that is none of the ontology has no words.
    known = [cl_id if (cl_id := cl_ids.get(name)) in ontology else None for name in types]
    return {
        "label": list(types),
        "ontology_name": [ontology.label(cl_id) if cl_id else None for cl_id in known],
        "definition": [(ontology.definition(cl_id) or None) if cl_id else None for cl_id in known],
    }


def _filled(template: str, fields: Mapping[str, list[Any]]) -> list[str | None]:
    import pandas as pd

    from corpuscle.corpus.pairs.captions import Template

    table = pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in fields.items()})
    return list(Template(template).captions(table))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
