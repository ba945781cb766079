"""One run: a method on a data set with a seed, then its scores; whatever goes wrong is said, not raised."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from corpuscle.benchmarks._attempt import Attempt
from corpuscle.benchmarks._measure import Cost
from corpuscle.benchmarks._parts import pack_frame, pack_labels
from corpuscle.benchmarks._reason import reason_of
from corpuscle.benchmarks.clustering._methods_cells import Cells, Embedded, checked_result
from corpuscle.benchmarks.clustering.score import Scores, evaluate_embedding, evaluate_labels

__all__ = ["Task", "attempt", "cores"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Task:
    """What a run needs. ``labels_n`` is for the scores; the method gets ``cells``, which hold no labels."""

    cells: Cells
    labels_n: Array
    method: Any
    told: str
    seed: int
    algorithm: str


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def attempt(task: Task) -> Attempt:
    """Run and score."""
    cost, stage = Cost(), "method"
    try:
        with threadpool_limits(1, user_api="blas"):  # sums in the same order, whatever the number of cores
            found = _found(task, cost)
            stage = "score"
            return Attempt(_outcome(_scores(found, task), task, found, cost))
    except (Exception, SystemExit) as error:  # a method is anybody's code: what it raises is its failure
        return Attempt(None, stage, reason_of(error), cost.seconds, cost.peak_mib)


def _found(task: Task, cost: Cost) -> Embedded:
    """What the method gives for a copy of the cells: one that changes its input spoils no other's."""
    n_types = int(np.unique(task.labels_n).size) if task.told == "n_types" else None
    cells = _copied(task.cells)
    with cost:
        found = task.method(cells, seed=task.seed, n_types=n_types)
    return checked_result(str(task.method.name), found, task.cells.n_cells)


def _copied(cells: Cells) -> Cells:
    return replace(
        cells,
        counts_ng=cells.counts_ng.copy(),
        genes=list(cells.genes),
        batch_n=None if cells.batch_n is None else cells.batch_n.copy(),
        view_ne=None if cells.view_ne is None else cells.view_ne.copy(),
    )


def _scores(found: Embedded, task: Task) -> list[Scores]:
    out = []
    if found.embedding_nd is not None:
        out.append(
            evaluate_embedding(found.embedding_nd, task.labels_n, algorithm=task.algorithm, random_state=task.seed)
        )
    if found.labels_n is not None:
        out.append(evaluate_labels(found.labels_n, task.labels_n, told=task.told))
    return out


def _outcome(scores: list[Scores], task: Task, found: Embedded, cost: Cost) -> dict[str, Any]:
    labels = {protocol: label_n for one in scores for protocol, label_n in one.labels.items()}
    return {
        "scores": [pack_frame(one.rows) for one in scores],
        "sweep": [pack_frame(one.sweep) for one in scores if len(one.sweep)],
        "types": [pack_frame(one.per_type) for one in scores],
        "labels": {protocol: pack_labels(label_n) for protocol, label_n in labels.items()},
        "n_types": int(np.unique(task.labels_n).size),
        "n_genes": len(task.cells.genes),
        "n_dims": 0 if found.embedding_nd is None else int(found.embedding_nd.shape[1]),
        "seconds": cost.seconds,
        "peak_mib": cost.peak_mib,
    }
