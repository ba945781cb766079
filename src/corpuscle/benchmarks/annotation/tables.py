"""The run's growing tables: rows are added as runs end, in any order, and become a Result at the end."""

from __future__ import annotations

from typing import Any

import pandas as pd

from corpuscle.benchmarks._attempt import Attempt
from corpuscle.benchmarks._labelled import DataSet
from corpuscle.benchmarks._parts import unpack_frame
from corpuscle.benchmarks._tidy import tidy
from corpuscle.benchmarks.annotation.compare import compare, paired
from corpuscle.benchmarks.annotation.options import Options
from corpuscle.report import Result

__all__ = ["METRICS", "NAME", "Tables"]

NAME = "annotation"
METRICS = (
    "accuracy", "balanced_accuracy", "macro_f1", "worst_f1", "ece", "brier", "ontology_distance", "changed",
    "wrong_to_right", "right_to_wrong", "mcnemar_p", "n_erased",
)  # fmt: skip
#: Not averaged over data sets: counts of cells, and p-values.
PER_SET = ("wrong_to_right", "right_to_wrong", "mcnemar_p")
RUN = ["dataset", "task", "method", "seed"]
DETAILS = [
    "dataset", "task", "told", "method", "seed", *METRICS, "erased", "n", "n_types", "n_candidates", "seconds",
    "peak_mib", "status", "reason", "sha256",
]  # fmt: skip


class Tables:
    """Collects rows; :meth:`result` makes the aggregates."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.inputs: list[dict[str, Any]] = []
        self.rows: dict[str, list[Any]] = {"details": [], "failures": [], "types": [], "calibration": [], "notes": []}

    def add_input(self, data: DataSet) -> None:
        """Remember a data set's source and checksum, and what was said about it."""
        note = {"note": "; ".join(data.notes)} if data.notes else {}
        self.inputs.append({"dataset": data.name, "path": data.path, "sha256": data.sha256, **note})

    def fail(self, dataset: str, method: str, stage: str, reason: str) -> None:
        """One thing that could not be done."""
        self.rows["failures"].append({"dataset": dataset, "method": method, "stage": stage, "reason": reason})

    def add(self, data: DataSet, source: Any, method: str, seed: int, attempt: Attempt) -> None:
        """Take a run that ended, well or not."""
        names = {"dataset": data.name, "task": source.name, "method": method, "seed": seed}
        about = names | {"told": source.told, "sha256": data.sha256}
        outcome = attempt.outcome
        if outcome is None:
            cost = {"seconds": attempt.seconds, "peak_mib": attempt.peak_mib}
            self.rows["details"].append(about | cost | {"status": "failed", "reason": attempt.reason})
            if attempt.stage not in ("scores", "graph"):
                self.fail(data.name, f"{source.name}, {method}", f"{attempt.stage}, seed {seed}", attempt.reason)
            return
        kept = ("erased", "n", "n_types", "n_candidates", "seconds", "peak_mib", "reason")
        row = {key: outcome[key] for key in kept} | outcome["numbers"]
        self.rows["details"].append(about | row | {"status": "ok"})
        self.rows["types"].append(unpack_frame(outcome["types"]).assign(**names))
        self.rows["calibration"].append(unpack_frame(outcome["bins"]).assign(**names))
        self.rows["notes"] += [names | {"note": word} for word in outcome["words"]]
        self.rows["notes"] += [names | {"method": "", "note": word} for word in outcome["score_words"]]

    def result(self, run: dict[str, Any]) -> Result:
        """Aggregate and hand over; the order in which runs ended does not matter."""
        details = pd.DataFrame(self.rows["details"], columns=DETAILS).sort_values(RUN, ignore_index=True)
        for column in ("reason", "erased"):
            details[column] = details[column].fillna("")
        details[list(METRICS)] = details[list(METRICS)].astype(float)
        failures = pd.DataFrame(self.rows["failures"], columns=["dataset", "method", "stage", "reason"])
        failures = failures.sort_values(["dataset", "method", "stage"], ignore_index=True)
        pairs = paired(details)
        extras = {
            "types": _joined(self.rows["types"], ["type"]),
            "calibration": _joined(self.rows["calibration"], ["bin"]),
            "notes": _notes(self.rows["notes"]),
            "paired": pairs,
            "comparisons": compare(pairs, self.options.seeds[0]),
        }
        extras = {name: frame.reset_index(drop=True) for name, frame in extras.items() if not frame.empty}
        table = tidy(NAME, details, METRICS, self.options.seeds[0], per_set=PER_SET)
        return Result(benchmark=NAME, table=table, details=details, failures=failures, extras=extras, run=run)


def _notes(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """What scores (method "") and refinements had to say."""
    columns = [*RUN, "note"]
    return pd.DataFrame(rows, columns=columns).drop_duplicates().sort_values(columns)


def _joined(frames: list[pd.DataFrame], last: list[str]) -> pd.DataFrame:
    frame = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
    if len(frame):
        frame = frame[[*RUN, *frame.columns.difference(RUN, sort=False)]]
        frame = frame.sort_values([*RUN, *last], kind="stable", ignore_index=True)
    return frame
