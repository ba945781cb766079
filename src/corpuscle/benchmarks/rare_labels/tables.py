"""The run's growing tables: rows are added as runs end, in any order, and become a Result at the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from corpuscle.benchmarks._attempt import Attempt
from corpuscle.benchmarks._tidy import means, tidy, typed
from corpuscle.benchmarks.rare_labels._data import ALL, SampleSource
from corpuscle.benchmarks.rare_labels._draw import Draw
from corpuscle.benchmarks.rare_labels._entrants import role_of
from corpuscle.benchmarks.rare_labels.compare import Scored, comparisons, verdicts, versus_cheap
from corpuscle.benchmarks.rare_labels.score import METRICS
from corpuscle.report import Result

__all__ = ["CROSSED", "NAME", "Tables"]

NAME = "rare_labels"
#: Training on synthetic and testing on real samples, and the reverse; F1 of the label.
CROSSED = ("trtr", "tstr", "trts", "tstr_ratio")
RUN = ["dataset", "label", "rarity", "seed", "method", "amount"]
SIZES = ["n_synthetic", "n_train", "n_target", "n_groups", "n"]
DETAILS = [
    "dataset", "label", "rarity", "amount", "task", "method", "role", "told", "split", "seed", *METRICS, *CROSSED,
    "verdict", *SIZES, "seconds", "peak_mib", "status", "reason", "sha256",
]  # fmt: skip
FIGURES = ["dataset", "label", "rarity", "method", "role", "of", "figure"]


class Tables:
    """Collects rows; :meth:`result` makes the aggregates."""

    def __init__(self, seed: int, split: str) -> None:
        self.seed, self.split = seed, split
        self.inputs: list[dict[str, Any]] = []
        self.rows: dict[str, list[dict[str, Any]]] = {"details": [], "failures": [], "notes": [], "figures": []}
        self.replicates: list[dict[str, Any] | None] = []

    def add_input(self, source: SampleSource, notes: Sequence[str]) -> None:
        """Remember a data set's source and checksum, and what was said about it."""
        note = {"note": "; ".join(notes)} if notes else {}
        self.inputs.append({"dataset": source.name, "path": source.path, "sha256": source.sha256, **note})

    def fail(self, dataset: str, method: str, stage: str, reason: str) -> None:
        """One thing that could not be done."""
        self.rows["failures"].append({"dataset": dataset, "method": method, "stage": stage, "reason": reason})

    def note(self, dataset: str, label: str, method: str, words: Sequence[str]) -> None:
        """What a reader should know; empty names are of all."""
        names = {"dataset": dataset, "label": label, "method": method}
        self.rows["notes"] += [names | {"note": word} for word in words]

    def add(self, source: SampleSource, label: str, draw: Draw, arm: Any, attempt: Attempt) -> None:
        """Take a run that ended, well or not."""
        about = {
            "dataset": source.name, "label": label, "rarity": draw.rarity, "method": arm.name, "role": role_of(arm.name),
            "told": arm.told, "split": self.split, "seed": draw.seed, "sha256": source.sha256,
        }  # fmt: skip
        outcome = attempt.outcome
        if outcome is None:
            task = f"{label}, r={draw.rarity}"
            cost = {"amount": "", "task": task, "seconds": attempt.seconds, "peak_mib": attempt.peak_mib}
            self.rows["details"].append(about | cost | {"status": "failed", "reason": attempt.reason, "verdict": ""})
            self.replicates.append(None)
            if attempt.stage != "features":
                self.fail(source.name, arm.name, f"{task}, {attempt.stage}, seed {draw.seed}", attempt.reason)
            return
        shared = {key: outcome[key] for key in ("n", "n_train", "n_target", "n_groups", "seconds", "peak_mib")}
        shared |= outcome.get("crossed", {}) | {"verdict": " and ".join(outcome.get("verdict", []))}
        if "verdict" in outcome and not outcome["verdict"]:
            shared["verdict"] = "neither"
        for row in outcome["rows"]:
            task = _task(f"{label}, r={draw.rarity}", row["amount"])
            made = {"amount": row["amount"], "n_synthetic": row["n_synthetic"], "task": task}
            self.rows["details"].append(about | shared | made | row["numbers"] | {"status": "ok", "reason": ""})
            self.replicates.append(row["replicates"])
        self.note(source.name, label, arm.name, outcome["words"])
        names = {key: about[key] for key in ("dataset", "label", "rarity", "method", "role")}
        self.rows["figures"] += [names | {"seed": draw.seed} | row for row in outcome.get("figures", [])]

    def result(self, run: dict[str, Any]) -> Result:
        """Aggregate and hand over; the order in which runs ended does not matter."""
        details = pd.DataFrame(self.rows["details"], columns=DETAILS)
        order = details.sort_values(RUN, kind="stable").index
        details = details.loc[order].reset_index(drop=True)
        numbers = [*METRICS, *CROSSED, *SIZES, "seconds", "peak_mib"]
        details[numbers] = details[numbers].astype(float)
        failures = pd.DataFrame(self.rows["failures"], columns=["dataset", "method", "stage", "reason"])
        failures = failures.sort_values(["dataset", "method", "stage"], ignore_index=True)
        extras = self._extras(details, [self.replicates[i] for i in order])
        return Result(NAME, _tidy(details, self.seed), details, failures, extras, run)

    def _extras(self, details: pd.DataFrame, replicates: list[dict[str, Any] | None]) -> dict[str, pd.DataFrame]:
        extras = {"notes": self._notes(), "fidelity": self._figures()}
        known = [i for i, of in enumerate(replicates) if of is not None]
        if known:
            found = [of for of in replicates if of is not None]
            arrays = {metric: pd.DataFrame([of[metric] for of in found]).to_numpy(float) for metric in METRICS}
            scored = Scored(details.iloc[known].reset_index(drop=True), arrays)
            judged = details[details["verdict"].fillna("") != ""].drop_duplicates([*RUN[:5]])
            extras["comparisons"] = comparisons(scored, self.seed)
            extras["versus_cheap"] = versus_cheap(scored, self.seed)
            extras["verdict"] = verdicts(scored, judged, self.seed)
        return {name: frame.reset_index(drop=True) for name, frame in extras.items() if not frame.empty}

    def _notes(self) -> pd.DataFrame:
        columns = ["dataset", "label", "method", "note"]
        notes = pd.DataFrame(self.rows["notes"], columns=columns)
        return notes.groupby(columns, sort=True).size().reset_index(name="times")

    def _figures(self) -> pd.DataFrame:
        """Mean over repeats of every figure of fidelity and copying."""
        figures = pd.DataFrame(self.rows["figures"], columns=[*FIGURES, "seed", "value", "reference", "reason"])
        figures[["value", "reference"]] = figures[["value", "reference"]].astype(float)
        figures["reason"] = figures["reason"].fillna("").astype(str)
        finite = figures[["value", "reference"]].replace([np.inf, -np.inf], np.nan)
        figures[["value", "reference"]] = finite
        grouped = figures.groupby(FIGURES, sort=True)
        out = grouped[["value", "reference"]].mean()
        out["n"] = grouped["value"].count()
        out["reason"] = grouped["reason"].max()
        return out.reset_index()


def _task(head: str, amount: str) -> str:
    return f"{head}, {amount}" if amount else head


def _tidy(details: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Every run, and means over data sets of the means over labels and repeats, one task a rarity and amount."""
    metrics = [*METRICS, *CROSSED]
    table = tidy(NAME, details, metrics, seed, per_set=metrics)
    done = details[details["status"] == "ok"]
    if done.empty:
        return table
    tasks = [_task(f"r={r}", a) for r, a in zip(done["rarity"], done["amount"], strict=True)]
    done = done.assign(task=tasks)
    runs = done.melt(["dataset", "task", "method"], metrics, var_name="metric", value_name="value")
    of_all = pd.DataFrame(means(runs, done, seed)).assign(dataset=ALL)
    return typed(pd.concat([table, of_all], ignore_index=True), NAME)
