"""What a model of cells and text is asked for each type: its training caption, or a template filled with its name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from corpuscle.annotate.sources._known_types import known_cl_ids
from corpuscle.errors import OptionError

if TYPE_CHECKING:
    from corpuscle.models.celltext.known import Known

__all__ = ["Queries", "queries_of"]

#: Captions of the training beyond which they are sentences and no list of types.
MOST_TYPES = 500


@dataclass(frozen=True)
class Queries:
    """A text for each of K types.

    Attributes
    ----------
    types, texts, cl_ids
        (K,) names, what is asked for each, and its Cell Ontology id where known.
    unnamed
        Types that training did not name.
    labels
        What training named.
    notes
        What a user should know, a line each.
    """

    types: tuple[str, ...]
    texts: tuple[str, ...]
    cl_ids: tuple[str | None, ...]
    unnamed: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def queries_of(known: Known | None, types: Sequence[str] | None, template: str | None) -> Queries:
    """Write what is asked for each type.

    Parameters
    ----------
    known
        The captions of the training, if the model has them.
    types
        Names or Cell Ontology ids; the labels of the training if None.
    template
        Caption of a type with one name in braces; None for the training's own.

    Raises
    ------
    OptionError
        There is nothing to ask for, a name is empty or there twice, or the template has not one field.
    """
    caption_of = _by_label(known)
    if types is None:
        names = _default_types(caption_of)
    else:
        if isinstance(types, str):
            raise OptionError(f"types must be a list of names, not the text {types!r}")
        names = _type_names(list(types))
    cl_ids = known_cl_ids(names)
    named = _named_by_training(names, cl_ids, caption_of)
    if template is not None:
        texts = filled(template, names)
    else:
        own = known.template if known is not None else None
        others = filled(own, names) if own is not None and _one_field(own) else names
        texts = [named.get(name, other) for name, other in zip(names, others, strict=True)]
    unnamed = tuple(name for name in names if name not in named)
    notes = []
    if known is None:
        notes.append(
            "the model does not say which captions it was trained on, so types that it never saw are not named"
        )
    elif unnamed and template is None and not _one_field(known.template):
        notes.append(f"asked for by name alone, since the training captions have no one field: {', '.join(unnamed)}")
    return Queries(tuple(names), tuple(texts), cl_ids, unnamed, tuple(caption_of), tuple(notes))


def filled(template: str, names: Sequence[str]) -> list[str]:
    """The template with each name in its only field.

    Raises
    ------
    OptionError
        It has no field or several, or a brace is not closed.
    """
    import pandas as pd

    from corpuscle.corpus.pairs.captions import Template

    rule = Template(template)
    if len(rule.columns) != 1:
        raise OptionError(
            f"template {template!r} names {len(rule.columns)} things; write one for the type, as 'This is a {{type}} cell.'"
        )
    return [str(text) for text in rule.captions(pd.DataFrame({rule.columns[0]: list(names)}))]


def _one_field(template: str | None) -> bool:
    from corpuscle.corpus.pairs.captions import Template

    return template is not None and "{" in template and len(Template(template).columns) == 1


def _by_label(known: Known | None) -> dict[str, str]:
    """Label -> training caption; of captions with one label that of the most cells."""
    if known is None:
        return {}
    of_label: dict[str, str] = {}
    for caption, label in known.labels().items():
        other = of_label.setdefault(label, caption)
        if known.counts[caption] > known.counts[other]:
            of_label[label] = caption
    return of_label


def _default_types(caption_of: dict[str, str]) -> list[str]:
    if not caption_of:
        raise OptionError(
            "the model does not say which captions it was trained on; name the types to choose from (--types)"
        )
    if len(caption_of) > MOST_TYPES:
        raise OptionError(
            f"the model was trained on {len(caption_of):,} captions, which are no list of types; name the types to choose "
            "from (--types)"
        )
    return list(caption_of)


def _type_names(given: list[str]) -> list[str]:
    """Names as they were given, ids by their label."""
    from corpuscle.annotate.ontology import cell_ontology

    if not given:
        raise OptionError("no types to choose from; name at least two")
    if any(not isinstance(name, str) or not name.strip() or name.strip().lower() == "nan" for name in given):
        raise OptionError("a type to choose from has no name; give names or Cell Ontology ids")
    ontology = cell_ontology()
    names = [ontology.label(name) if name in ontology else name for name in given]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise OptionError(f"type {twice!r} is named twice; name it once")
    return names


def _named_by_training(
    names: Sequence[str], cl_ids: Sequence[str | None], caption_of: dict[str, str]
) -> dict[str, str]:
    """Type -> training caption, by its label or as the same term of the Cell Ontology.

    Raises
    ------
    OptionError
        Two types are one in training, so that nothing could tell them apart.
    """
    labels = list(caption_of)
    of_term: dict[str, list[str]] = {}
    for label, one in zip(labels, known_cl_ids(labels), strict=True):
        if one:
            of_term.setdefault(one, []).append(label)
    found: dict[str, str] = {}
    taken: dict[str, str] = {}
    for name, one in zip(names, cl_ids, strict=True):
        same = [name] if name in caption_of else of_term.get(one or "", [])
        if len(same) != 1:  # several labels of one term: which was meant cannot be told
            continue
        other = taken.setdefault(same[0], name)
        if other != name:
            raise OptionError(f"types {other!r} and {name!r} are both {same[0]!r} in training; name one of them")
        found[name] = caption_of[same[0]]
    return found
