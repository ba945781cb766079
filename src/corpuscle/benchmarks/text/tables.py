"""The run's growing tables: rows are added as runs end, in any order, and become a Result at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from corpuscle.benchmarks._labelled import DataSet
from corpuscle.benchmarks._parts import unpack_frame
from corpuscle.benchmarks._tidy import tidy
from corpuscle.benchmarks.text.compare import compare, paired
from corpuscle.benchmarks.text.metrics import METRICS, PER_CELL, TYPES, type_means
from corpuscle.report import Result

__all__ = ["NAME", "RUN", "Tables", "over_folds"]

NAME = "text"
RUN = ["dataset", "task", "method", "seed"]
DETAILS = [
    "dataset", "task", "method", "told", "seed", *METRICS, "n", "n_types", "n_asked", "n_folds", "seconds", "peak_mib",
    "status", "reason", "sha256",
]  # fmt: skip


class Tables:
    """Collects what came of every question of every draw; :meth:`result` makes the aggregates.

    Parameters
    ----------
    seed
        Of the bootstrap.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.inputs: list[dict[str, Any]] = []
        self.failures: list[dict[str, Any]] = []
        self.notes: list[dict[str, Any]] = []
        self._folds: dict[tuple[str, str, str, int], list[dict[str, Any]]] = {}

    def add_input(self, data: DataSet) -> None:
        """Remember a data set's source and checksum, and what was said about it."""
        note = {"note": "; ".join(data.notes)} if data.notes else {}
        self.inputs.append({"dataset": data.name, "path": data.path, "sha256": data.sha256, **note})

    def fail(self, dataset: str, method: str, stage: str, reason: str) -> None:
        """One thing that could not be done."""
        self.failures.append({"dataset": dataset, "method": method, "stage": stage, "reason": reason})

    def note(self, dataset: str, task: str, method: str, seed: int, words: Sequence[str]) -> None:
        """What a reader should know of a draw (method ""), or of a method."""
        self.notes += [dict(zip([*RUN, "note"], (dataset, task, method, seed, word), strict=True)) for word in words]

    def add(self, run: Mapping[str, Any], task: str, outcome: Mapping[str, Any] | None, **about: Any) -> None:
        """Take one question of one draw.

        Parameters
        ----------
        run
            dataset, method, told, seed, fold and sha256.
        task
            Of the question.
        outcome
            numbers, reasons, types, n, n_asked; None where it failed.
        **about
            seconds and peak_mib of the whole run; where it failed, the reason.
        """
        key = (str(run["dataset"]), task, str(run["method"]), int(run["seed"]))
        self._folds.setdefault(key, []).append({**run, "outcome": outcome, **about})

    def result(self, run: dict[str, Any]) -> Result:
        """Aggregate and hand over; the order in which runs ended does not matter."""
        made = [_row(key, sorted(folds, key=_fold)) for key, folds in sorted(self._folds.items())]
        details = pd.DataFrame([row for row, _ in made], columns=DETAILS)
        for column in ("reason", "told"):
            details[column] = details[column].fillna("")
        numbers = [*METRICS, "n", "n_types", "n_asked"]  # a failed run has none of them
        details[numbers] = details[numbers].astype(float)
        failures = pd.DataFrame(self.failures, columns=["dataset", "method", "stage", "reason"])
        failures = failures.sort_values(["dataset", "method", "stage"], ignore_index=True)
        notes = pd.DataFrame(self.notes, columns=[*RUN, "note"]).sort_values([*RUN, "note"])
        notes = notes.drop_duplicates(["dataset", "task", "method", "note"])  # once, by the first seed that says it
        types = [frame for _, frame in made if len(frame)]
        pairs = paired(details)
        extras = {
            "types": pd.concat(types, ignore_index=True) if types else pd.DataFrame(),
            "notes": notes,
            "paired": pairs,
            "comparisons": compare(pairs, self.seed),
        }
        extras = {name: frame.reset_index(drop=True) for name, frame in extras.items() if not frame.empty}
        table = tidy(NAME, details, METRICS, self.seed)
        return Result(benchmark=NAME, table=table, details=details, failures=failures, extras=extras, run=run)


def over_folds(outcomes: Sequence[Mapping[str, Any]]) -> tuple[dict[str, float], pd.DataFrame]:
    """What the folds of a seed say together, as if all their types and cells had been judged at once.

    Parameters
    ----------
    outcomes
        Of one question; numbers, types and n of each fold.

    Returns
    -------
    numbers, types
        Means over types are over the types of all folds, means over cells over the cells of all folds; types of which a
        method could say nothing add up.
    """
    types = _merged(pd.concat([unpack_frame(one["types"]) for one in outcomes], ignore_index=True))
    numbers, _ = type_means(types)
    n_f = np.array([one["n"] for one in outcomes], dtype=float)
    value_f = pd.DataFrame([one["numbers"] for one in outcomes], columns=list(METRICS)).astype(float)
    for metric in PER_CELL:
        known = value_f[metric].notna().to_numpy()
        one_f = value_f[metric].to_numpy()[known]
        numbers[metric] = float(np.average(one_f, weights=n_f[known])) if known.any() else float("nan")
    numbers["unanswered"] = float(value_f["unanswered"].sum())
    return {metric: numbers[metric] for metric in METRICS}, types


def _merged(types: pd.DataFrame) -> pd.DataFrame:
    """A row a type and side: one that stood beside the new types in several folds has its mean over these."""
    keys = ["type", "judged", "left_out"]
    numbers = [name for name in types if name not in (*keys, "reason")]
    grouped = types.groupby(keys, sort=True)
    out = grouped[numbers].mean().assign(reason=grouped["reason"].first()).reset_index()
    out["n"] = out["n"].round().astype(int)
    return out[TYPES]


def _fold(part: Mapping[str, Any]) -> int:
    return int(part["fold"])


def _row(key: tuple[str, str, str, int], folds: list[dict[str, Any]]) -> tuple[dict[str, Any], pd.DataFrame]:
    """A row of details, and its types; a seed of which a fold failed has failed."""
    names = dict(zip(RUN, key, strict=True))
    row = names | {"told": folds[0]["told"], "sha256": folds[0]["sha256"], "n_folds": len(folds)}
    row |= {"seconds": sum(one["seconds"] for one in folds), "peak_mib": max(one["peak_mib"] for one in folds)}
    failed = [one for one in folds if one["outcome"] is None]
    if failed:
        where = f"fold {failed[0]['fold']}: " if len(folds) > 1 else ""
        return row | {"status": "failed", "reason": f"{where}{failed[0]['reason']}"}, pd.DataFrame()
    outcomes = [one["outcome"] for one in folds]
    numbers, types = over_folds(outcomes)
    whys = dict.fromkeys(
        f"{metric}: {why}" for one in outcomes for metric, why in one["reasons"].items() if np.isnan(numbers[metric])
    )
    row |= {"status": "ok", "reason": "; ".join(whys), "n": sum(one["n"] for one in outcomes)}
    row |= {"n_types": int(types["judged"].sum()), "n_asked": max(one["n_asked"] for one in outcomes)}
    return row | numbers, types.assign(**names)[[*RUN, *types.columns]]
