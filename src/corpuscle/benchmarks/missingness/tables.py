"""The run's growing tables: rows are added as runs end, in any order, and become a Result at the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from corpuscle.benchmarks._attempt import Attempt
from corpuscle.benchmarks._tidy import tidy
from corpuscle.benchmarks.missingness._data import TruthSource
from corpuscle.benchmarks.missingness.compare import compare, paired
from corpuscle.benchmarks.missingness.masks import Mask
from corpuscle.benchmarks.missingness.methods import MissingnessMethod
from corpuscle.benchmarks.missingness.metrics import METRICS
from corpuscle.report import Result

__all__ = ["NAME", "SHARES", "Tables"]

NAME = "missingness"
#: What is missing, what was lost, and how much of both is the same.
SHARES = ("missing_share", "lost_share", "found_share", "false_share")
RUN = ["dataset", "task", "method", "seed"]
SIZES = ["n", "n_features", "n_types"]
DETAILS = [
    "dataset", "task", "kind", "mask_told", "method", "told", "seed", *METRICS, *SHARES, *SIZES, "seconds", "peak_mib",
    "status", "reason", "sha256",
]  # fmt: skip


class Tables:
    """Collects rows; :meth:`result` makes the aggregates."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.inputs: list[dict[str, Any]] = []
        self.rows: dict[str, list[dict[str, Any]]] = {"details": [], "failures": [], "notes": []}

    def add_input(self, source: TruthSource) -> None:
        """Remember a data set's source and checksum, and what was said about it."""
        said = "; ".join(source.notes())
        note = {"note": said} if said else {}
        self.inputs.append({"dataset": source.name, "path": source.path, "sha256": source.sha256, **note})

    def fail(self, dataset: str, method: str, stage: str, reason: str) -> None:
        """One thing that could not be done."""
        self.rows["failures"].append({"dataset": dataset, "method": method, "stage": stage, "reason": reason})

    def note(self, dataset: str, task: str, method: str, seed: int, words: Sequence[str]) -> None:
        """What a reader should know; method "" is the data set or mask."""
        names = {"dataset": dataset, "task": task, "method": method, "seed": seed}
        self.rows["notes"] += [names | {"note": word} for word in words]

    def add(self, source: TruthSource, mask: Mask, method: MissingnessMethod, seed: int, attempt: Attempt) -> None:
        """Take a run that ended, well or not."""
        about = {
            "dataset": source.name, "task": mask.name, "kind": mask.kind, "mask_told": mask.told,
            "method": method.name, "told": method.told, "seed": seed, "sha256": source.sha256,
        }  # fmt: skip
        outcome = attempt.outcome
        if outcome is None:
            cost = {"seconds": attempt.seconds, "peak_mib": attempt.peak_mib}
            self.rows["details"].append(about | cost | {"status": "failed", "reason": attempt.reason})
            if attempt.stage not in ("truth", "mask"):
                where = f"{mask.name}, {attempt.stage}, seed {seed}"
                self.fail(source.name, method.name, where, attempt.reason)
            return
        row = {key: outcome[key] for key in (*SIZES, "seconds", "peak_mib")}
        self.rows["details"].append(
            about | row | outcome["numbers"] | outcome["shares"] | {"status": "ok", "reason": ""}
        )
        self.note(source.name, mask.name, method.name, seed, outcome["words"])

    def result(self, run: dict[str, Any]) -> Result:
        """Aggregate and hand over; the order in which runs ended does not matter."""
        details = pd.DataFrame(self.rows["details"], columns=DETAILS).sort_values(RUN, ignore_index=True)
        numbers = [*METRICS, *SHARES, *SIZES, "seconds", "peak_mib"]
        details[numbers] = details[numbers].astype(float)
        failures = pd.DataFrame(self.rows["failures"], columns=["dataset", "method", "stage", "reason"])
        failures = failures.sort_values(["dataset", "method", "stage"], ignore_index=True)
        pairs = paired(details)
        notes = pd.DataFrame(self.rows["notes"], columns=[*RUN, "note"]).drop_duplicates().sort_values([*RUN, "note"])
        extras = {"notes": notes, "paired": pairs, "comparisons": compare(pairs, self.seed)}
        extras = {name: frame.reset_index(drop=True) for name, frame in extras.items() if not frame.empty}
        table = tidy(NAME, details, [*METRICS, "missing_share"], self.seed)
        return Result(benchmark=NAME, table=table, details=details, failures=failures, extras=extras, run=run)
