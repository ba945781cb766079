"""What is asked in a draw: types in the training caption's words, and the same cells in other words."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from corpuscle.benchmarks.text._draw import Question
from corpuscle.benchmarks.text._draw_join import kin
from corpuscle.benchmarks.text._draw_split import Impossible
from corpuscle.benchmarks.text._wordings import caption_texts, wording_texts

__all__ = ["SEEN", "UNSEEN", "captioned", "judged_types", "worded"]

NAMED = 3
#: Setup -> task of the types that training has; new types are asked for among the others, and are the only ones judged.
SEEN = {"new_cells": "new_cells", "held_out_groups": "held_out_groups", "other_study": "other_study"}
#: Setup -> task of the types that it has not.
UNSEEN = {"new_types": "new_types", "other_study": "other_study_new_types"}


def judged_types(
    setup: str, there: Collection[str], known: Collection[str], cl_ids: Mapping[str, str | None]
) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """Task -> types that it is about, and notes.

    Parameters
    ----------
    setup
        What is held out.
    there, known
        Types of the judged cells, and of the training cells.
    cl_ids
        Cell Ontology ids. Across studies, a type that is a kind of a training type, or the same by another name, is not new.

    Raises
    ------
    Impossible
        Training has fewer than two types, or nothing is left to ask.
    """
    if len(known) < 2:
        raise Impossible(f"training has {len(known)} of the types; it takes two or more")
    new = sorted(set(there) - set(known))
    notes = []
    same = kin(new, sorted(known), cl_ids) if setup in UNSEEN else {}
    if same:
        said = ", ".join(f"{name} ({other})" for name, other in list(same.items())[:NAMED])
        said += f" and {len(same) - NAMED} more" if len(same) > NAMED else ""
        what = "are not judged" if setup == "other_study" else "are judged as new all the same"
        notes.append(
            f"types that are a training type by the Cell Ontology, or a wider or narrower one, {what} in {setup}: {said}"
        )
    if setup == "other_study":
        new = [name for name in new if name not in same]
    if new and setup not in UNSEEN:
        listed = ", ".join(new[:NAMED]) + (f" and {len(new) - NAMED} more" if len(new) > NAMED else "")
        notes.append(f"no training cell in {setup} is of {listed}; these are not judged there")
    asked = {SEEN.get(setup): sorted(set(there) & set(known)), UNSEEN.get(setup): new}
    out = {task: tuple(judged) for task, judged in asked.items() if task and judged}
    if not out:
        raise Impossible("training and judged cells have no type in common; a label map can give types common names")
    return out, notes


def captioned(tasks: Mapping[str, tuple[str, ...]], caption: str, types: Sequence[str]) -> list[Question]:
    """Each task in the words of training."""
    texts = caption_texts(caption, types)
    return [Question(task, texts, judged) for task, judged in tasks.items()]


def worded(
    wordings: Sequence[str], types: Sequence[str], cl_ids: Mapping[str, str | None], judged: Sequence[str]
) -> tuple[list[Question], list[str]]:
    """The same cells asked for in words that no training caption has, and notes; a wording for one type is not asked."""
    questions: list[Question] = []
    notes: list[str] = []
    for words in wordings:
        texts, said = wording_texts(words, types, cl_ids)
        notes += said
        spoken = {name for name, text in zip(types, texts, strict=True) if text is not None}
        if len(spoken) < 2:
            notes.append(f"{words}: there are words for fewer than two types, so it is not asked")
            continue
        questions.append(Question(f"new_wording: {words}", texts, tuple(name for name in judged if name in spoken)))
    return questions, notes
