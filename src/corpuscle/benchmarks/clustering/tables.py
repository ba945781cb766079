"""The run's growing tables: rows are added as runs end, in any order, and become a Result at the end."""

from __future__ import annotations

from typing import Any

import pandas as pd

from corpuscle.benchmarks._attempt import Attempt
from corpuscle.benchmarks._parts import unpack_frame, unpack_labels
from corpuscle.benchmarks._tidy import means, typed
from corpuscle.benchmarks.clustering._data import DataSet
from corpuscle.benchmarks.clustering._entrants import Entrant
from corpuscle.benchmarks.clustering.compare import compare, paired
from corpuscle.benchmarks.clustering.options import Options
from corpuscle.benchmarks.clustering.score import stability
from corpuscle.report import Result

__all__ = ["METRICS", "NAME", "Tables"]

NAME = "clustering"
METRICS = ("ari", "ami", "nmi", "acc", "silhouette", "macro_f1", "rare_recall", "n_clusters")
#: Not averaged over data sets: how many clusters there should be differs.
PER_SET = ("n_clusters",)
#: What somebody was told, from least to most.
TOLD = ("nothing", "n_types", "labels")
DETAILS = [
    "dataset", "method", "seed", "protocol", "told", "resolution", *METRICS, "n", "n_types", "n_genes", "n_dims",
    "seconds", "peak_mib", "status", "reason", "sha256",
]  # fmt: skip
RUN = ["dataset", "method", "seed"]


class Tables:
    """Collects rows; :meth:`result` makes the aggregates."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.inputs: list[dict[str, Any]] = []
        self.rows: dict[str, list[Any]] = {"details": [], "failures": [], "sweep": [], "types": [], "stability": []}
        self._labels: dict[tuple[str, str, str, str], list[Any]] = {}

    def add_input(self, data: DataSet) -> None:
        """Remember a data set's source and checksum, and what was said about it."""
        note = {"note": "; ".join(data.notes)} if data.notes else {}
        self.inputs.append({"dataset": data.name, "path": data.path, "sha256": data.sha256, **note})

    def fail(self, dataset: str, method: str, stage: str, reason: str) -> None:
        """One thing that could not be done."""
        self.rows["failures"].append({"dataset": dataset, "method": method, "stage": stage, "reason": reason})

    def add(self, data: DataSet, entrant: Entrant, seed: int, attempt: Attempt) -> None:
        """Take a run that ended, well or not."""
        names = {"dataset": data.name, "method": entrant.name, "seed": seed}
        outcome = attempt.outcome
        if outcome is None:
            self.fail(data.name, entrant.name, f"{attempt.stage}, seed {seed}", attempt.reason)
            cost = {"seconds": attempt.seconds, "peak_mib": attempt.peak_mib}
            failed = {"told": entrant.told, "protocol": "", "status": "failed", "reason": attempt.reason}
            self.rows["details"].append(names | failed | cost | {"sha256": data.sha256})
            return
        shared = {key: outcome[key] for key in ("n_types", "n_genes", "n_dims", "seconds", "peak_mib")}
        shared |= {"status": "ok", "sha256": data.sha256}
        for packed, types in zip(outcome["scores"], outcome["types"], strict=True):
            scores = unpack_frame(packed)
            told = {row["protocol"]: _most(row["told"], entrant.told) for row in scores.to_dict("records")}
            for row in scores.to_dict("records"):
                self.rows["details"].append(names | row | shared | {"told": told[row["protocol"]]})
            of_types = unpack_frame(types)
            self.rows["types"].append(of_types.assign(**names, told=of_types["protocol"].map(told)))
            for protocol in told:
                key = (data.name, entrant.name, protocol, told[protocol])
                self._labels.setdefault(key, []).append((seed, outcome["labels"][protocol]))
        self.rows["sweep"] += [unpack_frame(sweep).assign(**names) for sweep in outcome["sweep"]]

    def close(self, data: DataSet) -> None:
        """All runs on a data set have ended: compare its clusterings over seeds, and forget them."""
        for key in [key for key in self._labels if key[0] == data.name]:
            labelings = [unpack_labels(packed) for _, packed in sorted(self._labels.pop(key), key=lambda one: one[0])]
            row = dict(zip(("dataset", "method", "protocol", "told"), key, strict=True))
            self.rows["stability"].append(row | {"stability": stability(labelings), "n_seeds": len(labelings)})

    def result(self, run: dict[str, Any]) -> Result:
        """Aggregate and hand over; the order in which runs ended does not matter."""
        details = pd.DataFrame(self.rows["details"], columns=DETAILS)
        details = details.sort_values([*RUN, "protocol"], ignore_index=True)
        details["reason"] = details["reason"].fillna("")
        failures = pd.DataFrame(self.rows["failures"], columns=["dataset", "method", "stage", "reason"])
        failures = failures.sort_values(["dataset", "method", "stage"], ignore_index=True)
        extras = self._extras()
        pairs = paired(details)
        extras |= {"paired": pairs, "comparisons": compare(pairs, self.options.seeds[0])}
        extras = {name: frame for name, frame in extras.items() if not frame.empty}
        table = _table(details, extras.get("stability"), self.options.seeds[0])
        return Result(benchmark=NAME, table=table, details=details, failures=failures, extras=extras, run=run)

    def _extras(self) -> dict[str, pd.DataFrame]:
        out = {}
        for name, last in (("types", ["protocol", "type"]), ("sweep", ["resolution"])):
            frames = self.rows[name]
            frame = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
            if len(frame):
                frame = frame[[*RUN, *frame.columns.difference(RUN, sort=False)]]
                frame = frame.sort_values([*RUN, *last], kind="stable", ignore_index=True)
            out[name] = frame
        steady = pd.DataFrame(self.rows["stability"])
        keys = ["dataset", "method", "protocol"]
        out["stability"] = steady.sort_values(keys, ignore_index=True) if len(steady) else steady
        return out


def _most(*told: str) -> str:
    """What somebody knows who was told several things."""
    return max(told, key=TOLD.index)


def _table(details: pd.DataFrame, steady: pd.DataFrame | None, seed: int) -> pd.DataFrame:
    """The tidy table: every run, the stability of each data set, then the means over data sets."""
    done = details[details["status"] == "ok"]
    runs = done.melt(
        [*RUN, "protocol", "n", "seconds", "peak_mib"], list(METRICS), var_name="metric", value_name="value"
    )
    parts = [runs]
    if steady is not None:
        rows = steady.rename(columns={"stability": "value", "n_seeds": "n"}).assign(metric="stability", seed=seed)
        parts.append(rows.drop(columns="told"))
    everything = pd.concat([part for part in parts if len(part)] or [runs]).rename(columns={"protocol": "task"})
    averaged = means(everything[~everything["metric"].isin(PER_SET)], done, seed, cost=("method",)) if len(done) else []
    return typed(pd.concat([everything, pd.DataFrame(averaged)]) if averaged else everything, NAME)
