"""Scores of fine types as scores of the members of a level."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from corpuscle.annotate.ontology._ontology import CellOntology
from corpuscle.annotate.ontology._open import cell_ontology
from corpuscle.annotate.scores import Scores
from corpuscle.errors import OptionError

__all__ = ["roll_up_scores"]

Array = np.ndarray[Any, Any]
HOW = ("sum", "max")
REST = ("keep", "drop")


def roll_up_scores(
    scores: Scores,
    level: str | Sequence[str],
    how: str = "sum",
    *,
    rest: str = "keep",
    ontology: CellOntology | None = None,
) -> Scores:
    """Scores at one level of the Cell Ontology, so that a type and its kinds do not compete.

    Parameters
    ----------
    scores
        Scores of K types. A type without an id is looked up by its name.
    level
        Ids or names of the members, or a ready-made level (``"broad"``, ``"immune"``). A type goes to the most
        specific member that it is, or is a kind of.
    how
        ``"sum"`` for probabilities: the probability that a cell is any of the kinds. ``"max"`` for logits and other
        scores, whose sum would favour the member with the most kinds.
    rest
        What becomes of types that are no kind of any member (among them those that are wider than the level):
        ``"keep"`` them as they are, after the members, or ``"drop"`` them.
    ontology
        Another release than the bundled one.

    Returns
    -------
    Scores
        Members in the order of the level, without those that nothing was scored for. ``about["rolled_up"]`` says which
        types each is made of, and which were kept or dropped.

    Raises
    ------
    OptionError
        ``how`` or ``rest`` is not one of these; a sum is asked of scores that are negative somewhere; or nothing is left.
    """
    if how not in HOW or rest not in REST:
        raise OptionError(f"how={how!r}, rest={rest!r}: how is one of {', '.join(HOW)}, rest one of {', '.join(REST)}")
    if how == "sum" and float(scores.values_nk.min()) < 0:
        raise OptionError(
            f"{scores.source}: how='sum' adds probabilities, and some of these scores are negative; use 'max'"
        )
    onto = ontology or cell_ontology()
    ids = [onto.find(cl_id or name) for name, cl_id in zip(scores.types, scores.cl_ids, strict=True)]
    reached = onto.roll_up(ids, level)
    columns = {
        member: [column for column, one in enumerate(reached) if one == member]
        for member in onto.members(level)
        if member in reached
    }
    left = [column for column, member in enumerate(reached) if member is None]
    kept = left if rest == "keep" else []
    if not columns and not kept:
        raise OptionError(f"{scores.source}: no type is of this level; choose another level, or rest='keep'")
    groups = [*columns.values(), *([column] for column in kept)]
    names = {onto.label(member): [scores.types[column] for column in of] for member, of in columns.items()}
    about = {"how": how, "members": names, "rest": rest, "others": [scores.types[column] for column in left]}
    return Scores(
        _joined(scores.values_nk, groups, how),
        [*names, *(scores.types[column] for column in kept)],
        [*columns, *(ids[column] for column in kept)],
        source=f"{scores.source}, rolled up",
        cells=scores.cells,
        about={**scores.about, "rolled_up": about},
    )


def _joined(values_nk: Array, groups: Sequence[Sequence[int]], how: str) -> Array:
    add = np.add if how == "sum" else np.maximum
    out_nl = np.empty((len(values_nk), len(groups)), dtype=values_nk.dtype)
    for place, (first, *others) in enumerate(groups):
        out_nl[:, place] = values_nk[:, first]
        for column in others:
            add(out_nl[:, place], values_nk[:, column], out=out_nl[:, place])
    return out_nl
