"""What the page of named cells says in words."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from corpuscle.annotate._naming import Naming
from corpuscle.report._corpus_words import percent
from corpuscle.report.format import UNDEFINED, count, defined

__all__ = ["WORDS", "headline", "learnt", "lines_of", "look_first", "notes_of", "unsaid"]

WORDS = [
    ("score", "A number for each cell and type, from whatever named the cells. The type with the highest one names the cell."),
    ("margin", "Highest score of a cell minus its second highest, in the units of the scores. Near 0 the name is a coin toss."),
    ("confidence", "Highest value of a cell's scores once they are turned into shares that sum to 1. It is no probability of "
     "being right unless the scorer was calibrated."),
    ("refinement", "Scores are pulled towards those of the cell's neighbours on a graph, and otherwise kept as near as possible "
     "to what they were (GRIT). It repairs errors that differ from cell to cell; errors that a whole type shares it spreads."),
    ("lambda", "Strength of the refinement. Times the median degree of the graph it can be compared between graphs."),
    ("guards", "Rules that keep cells' own names where refinement would erase a type. Without them the method is as published."),
    ("erased", "A type that had at least 10 cells and 0.2 % of all, and lost more than four in five of them."),
    ("homophily", "Share of the graph's weight that joins cells of the same type, and what it would be if names had nothing to do "
     "with the graph."),
    ("Cell Ontology", "A common vocabulary of cell types (CC BY 4.0); its ids let names from different sources be compared."),
]  # fmt: skip


def lines_of(found: Any) -> list[str]:
    """Lines of text, however they were stored."""
    if found is None:
        return []
    if isinstance(found, str):
        return [found] if found else []
    return [str(line) for line in np.ravel(np.asarray(found, dtype=object)) if str(line)]


def headline(naming: Naming, n_cells: int) -> str:
    """The cells in one sentence."""
    occur = int((naming.counts(naming.after_n) > 0).sum())
    text = f"{count(n_cells)} cells were named as {occur:,} type{'s' * (occur != 1)} by {naming.source}"
    if not naming.refined:
        return text
    changed = int(naming.changed_n.sum())
    if not changed:
        return f"{text}; refinement changed none"
    return f"{text}; refinement changed {count(changed)} of them ({percent(changed / max(1, n_cells))})"


def learnt(naming: Naming) -> list[str]:
    """What else the numbers say."""
    after_k = naming.counts(naming.after_n)
    said = []
    if after_k.any():
        k = int(after_k.argmax())
        share = percent(after_k[k] / max(1, naming.after_n.size))
        said.append(f"The largest type is {naming.types[k]}, with {share} of the cells.")
    absent = int((after_k == 0).sum())
    if absent:
        said.append(f"{absent:,} of the {len(naming.types):,} types that could be chosen have no cell.")
    unassigned = int((naming.after_n < 0).sum())
    if unassigned:
        said.append(f"{count(unassigned)} cells were left unassigned, since their margin was too small.")
    if naming.refined:
        said += _about_refinement(naming)
    return said


def _about_refinement(naming: Naming) -> list[str]:
    moved_kk = naming.flows_kk - np.diag(np.diag(naming.flows_kk))
    said = []
    if moved_kk.any():
        i, j = np.unravel_index(int(moved_kk.argmax()), moved_kk.shape)
        said.append(f"Most often {naming.types[i]} became {naming.types[j]}: {count(moved_kk[i, j])} cells.")
    gone = [name for name, erased in zip(naming.types, naming.erased_k, strict=True) if erased]
    if gone:
        said.append(f"Erased by refinement: {', '.join(gone)}.")
    guard = naming.refined.get("guard", {})
    said += lines_of(guard.get("words") if isinstance(guard, Mapping) else None)
    return said


def look_first(naming: Naming) -> list[tuple[str, str]]:
    """(where, what) of everything that should be seen before the names are used."""
    published = "as published, "
    lines = [
        ("without the guard", line.removeprefix(published)) if line.startswith(published) else ("refinement", line)
        for line in lines_of(naming.refined.get("warnings"))
    ]
    as_it_is = {line for where, line in lines if where == "refinement"}
    lines = [(where, line) for where, line in lines if where == "refinement" or line not in as_it_is]
    said = " ".join(as_it_is)
    for name, gone in zip(naming.types, naming.erased_k, strict=True):
        if gone and name not in said:
            lines.append(("refinement", f"{name} is erased; look at its cells before you use the refined labels"))
    if naming.refined and not bool(naming.refined.get("converged", True)):
        lines.append(("refinement", "the solver did not reach its tolerance; raise max_iter or tol"))
    return list(dict.fromkeys(lines))


def notes_of(naming: Naming) -> list[tuple[str, str]]:
    """(where, what) of what else was noted."""
    left_out = naming.about.get("left_out", {})
    lines = [("scores and graph", line) for line in lines_of(naming.refined.get("notes"))]
    lines += [("scores", line) for line in lines_of(naming.about.get("notes"))]
    if isinstance(left_out, Mapping):
        lines += [("left out", f"{name}: {why}") for name, why in left_out.items()]
    return list(dict.fromkeys(lines))


def unsaid(naming: Naming) -> list[str]:
    """What the numbers cannot say."""
    said = [
        "Whether the names are right: nothing here has seen a true label.",
        "Whether a type is missing from the list: every cell gets one of the types that could be chosen.",
    ]
    if naming.refined:
        said.append("Whether a change was a repair: many cells that change together may all be wrong together.")
    return said


def entries(values: Mapping[str, Any], skip: Sequence[str] = ()) -> list[tuple[str, str]]:
    """(name, value) of plain values; tables and long lists are left out."""
    shown = []
    for key, value in values.items():
        if key in skip or isinstance(value, Mapping) or np.ndim(value) > 1 or np.size(value) > 12:
            continue
        shown.append((str(key).replace("_", " "), _text(value)))
    return shown


def _text(value: Any) -> str:
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, float | np.floating):
        return f"{float(value):g}" if defined(value) else UNDEFINED
    if isinstance(value, int | np.integer):
        return count(int(value))
    if isinstance(value, str):
        return value
    return (
        ", ".join(map(str, np.ravel(value)))
        if isinstance(value, np.ndarray | list | tuple)
        else json.dumps(value, default=str)
    )
