"""What ``uns`` keeps of a refinement, and the warnings that a reader must see."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from corpuscle._versions import installed
from corpuscle.annotate._cell_graph import CellGraph
from corpuscle.annotate._changes import Changes, compare
from corpuscle.annotate.diagnose import Diagnosis, diagnose, listed
from corpuscle.annotate.refine import Solution
from corpuscle.annotate.scores import Scores

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Refined", "account"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Refined:
    """Refined scores and how they came about.

    Attributes
    ----------
    values_nk
        (n, K) scores whose highest names the cell.
    solution
        Of the method as published.
    lam
        Strength that was used.
    published_n
        (n,) types that the method as published gives.
    guard
        What the guard did; empty without one.
    path
        Strengths that were tried, where one was chosen.
    """

    values_nk: Array
    solution: Solution
    lam: float
    published_n: Array
    guard: Mapping[str, Any] = field(default_factory=dict)
    path: pd.DataFrame | None = None


def account(
    scores: Scores, cells: CellGraph, before: Diagnosis, refined: Refined, said: dict[str, Any], kind: str, note: str
) -> dict[str, Any]:
    """Everything that ``uns`` keeps of a refinement; warns of types that the method as published erases.

    Parameters
    ----------
    scores
        As they came.
    cells
        The graph.
    before
        Diagnosis of the scores that were smoothed.
    refined
        The result.
    said
        What the caller asked for.
    kind
        How the scores are read as probabilities.
    note
        What had to be done to the AnnData; may be empty.
    """
    start_n, types = scores.best_n(), scores.types
    changes = compare(start_n, refined.values_nk.argmax(axis=1), types)
    published = compare(start_n, refined.published_n, types)
    after = diagnose(refined.values_nk, cells.graph, types, kind=kind)
    solution = refined.solution
    lines = _warned(changes, published, guarded=bool(refined.guard))
    notes = [*cells.notes, *([note] if note else []), *before.words(), *refined.guard.get("words", ())]
    if refined.path is not None:
        notes.append(
            f"lam={refined.lam:g} was chosen as the largest that erases no type and changes few labels"
            if refined.lam
            else "lam=0 was chosen, since every other erases a type or changes too many labels: the scores are as they were"
        )
    return {
        "logits_key": said["logits_key"],
        "params": said,
        "types": list(types),
        "graph": cells.words,
        "lam": refined.lam,
        "strength": refined.lam * cells.graph.median_degree,
        "iterations": solution.iterations,
        "residual": solution.residual,
        "converged": solution.converged,
        "solver": solution.solver,
        "n_components": cells.graph.n_components,
        "n_isolated": before.n_isolated,
        "n_changed": changes.n_changed,
        "share_changed": changes.share,
        "cells_before": changes.before_k,
        "cells_after": changes.after_k,
        "cells_published": published.after_k,
        "erased": list(changes.erased),
        "erased_published": list(published.erased),
        "before": before.as_dict(),
        "after": after.as_dict(),
        "guard": dict(refined.guard) or None,
        "path": None if refined.path is None else _path_arrays(refined.path, types),
        "notes": notes,
        "warnings": lines,
        "versions": installed(("corpuscle", "anndata", "numpy", "scipy")),
    }


def _warned(changes: Changes, published: Changes, *, guarded: bool) -> list[str]:
    """Lines about types that vanish; those that nobody should miss are raised as one warning as well."""
    lines = list(changes.warnings())
    if guarded:
        lines += [f"as published, {line}" for line in published.warnings()]
    if published.erased:
        flows = [
            f"{name} ({published.before_k[k]:,} cells before, {published.after_k[k]:,} after)"
            for k, name in enumerate(published.types)
            if name in published.erased
        ]
        kept = [name for name in published.erased if name not in changes.erased]
        rescue = f"the guard kept {listed(kept)}" if kept else "compare transform='zscore' or a smaller lam"
        warnings.warn(f"refinement as published erases {listed(flows)}; {rescue}", UserWarning, stacklevel=4)
    return lines


def _path_arrays(path: pd.DataFrame, types: Sequence[str]) -> dict[str, Array]:
    """The path as arrays: one number a strength, and the cells as strengths x types."""
    whole = path[path["type"] == ""].pivot(index="lam", columns="measure", values="value")
    cells = path[path["measure"] == "cells"].pivot(index="lam", columns="type", values="value")
    return {
        "lam": whole.index.to_numpy(np.float64),
        **{name: whole[name].to_numpy(np.float64) for name in ("changed", "entropy", "erased")},
        "cells": cells[list(types)].to_numpy(np.int64),
    }
