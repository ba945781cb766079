"""The run's growing tables: rows are added as fits end, and become a Result at the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from corpuscle.benchmarks._paired import bootstrap_interval
from corpuscle.benchmarks.topics._one import Attempt, unpack_scored, unpack_weights
from corpuscle.benchmarks.topics.data import ALL, DataSet
from corpuscle.benchmarks.topics.methods import Reading
from corpuscle.benchmarks.topics.names import METRICS, metric, names_table
from corpuscle.benchmarks.topics.options import Options
from corpuscle.benchmarks.topics.score import Reference
from corpuscle.benchmarks.topics.stability import topic_stability
from corpuscle.report import COLUMNS, Result
from corpuscle.seeds import stream

__all__ = ["NAME", "Tables"]

NAME = "topics"
RUN = ["dataset", "method", "seed"]
NUMBERS = [one.name for one in METRICS if one.task != "seeds"]
STEADY = {"topic_stability_cosine": "cosine", "topic_stability_centred": "centred"}
DETAILS = [*RUN, *NUMBERS, "n_topics", "n_cells", "n_genes", "seconds", "peak_mib", "status", "reason", "content"]
ORDER = {
    "top_genes": [*RUN, "topic", "rank"],
    "topics": [*RUN, "topic"],
    "enriched": [*RUN, "test", "topic", "q", "gene_set"],
    "types": [*RUN, "type"],
    "undefined": ["dataset", "method", "metric", "reason"],
}


class Tables:
    """Collects rows; :meth:`result` makes the aggregates."""

    def __init__(self, options: Options, readings: Sequence[Reading]) -> None:
        self.options = options
        self.methods = [reading.name for reading in readings]
        self.inputs: list[dict[str, str]] = []
        self.rows: dict[str, list[dict[str, Any]]] = {
            name: [] for name in ("details", "failures", "stability", "undefined", "data")
        }
        self.frames: dict[str, list[pd.DataFrame]] = {"top_genes": [], "topics": [], "enriched": [], "types": []}
        self._weights: dict[str, list[tuple[int, Any]]] = {}

    def add_data(self, data: DataSet, reference: Reference) -> None:
        """Remember a data set, its checksum, and what it has for the scores."""
        note = {"note": "; ".join(data.notes)} if data.notes else {}
        self.inputs.append({"dataset": data.name, "path": data.path, "sha256": data.sha256 or data.content, **note})
        row = {"dataset": data.name, "n_cells": data.cells.n_cells, "n_genes": len(data.cells.genes)}
        row["n_types"] = float("nan") if data.labels_n is None else int(np.unique(data.labels_n).size)
        found = None if reference.gene_sets is None else reference.gene_sets.overlap(data.cells.genes)
        row |= {
            "n_gene_sets": 0 if reference.gene_sets is None else len(reference.gene_sets),
            "genes_in_sets": float("nan") if found is None else found.n_known,
            "share_in_sets": float("nan") if found is None else found.share,
            "note": "; ".join(data.notes),
        }
        self.rows["data"].append(row)

    def fail(self, dataset: str, method: str, stage: str, reason: str) -> None:
        """One thing that could not be done."""
        self.rows["failures"].append({"dataset": dataset, "method": method, "stage": stage, "reason": reason})

    def add(self, data: DataSet, readings: Sequence[Reading], seed: int, answer: Attempt) -> None:
        """Take a fit that ended, well or not."""
        shared = {
            "n_topics": self.options.n_topics, "n_cells": data.cells.n_cells, "n_genes": len(data.cells.genes),
            "content": data.content,
        }  # fmt: skip
        for reading in readings:
            names = {"dataset": data.name, "method": reading.name, "seed": seed}
            if answer.outcome is None:
                self.fail(data.name, reading.name, f"{answer.stage}, seed {seed}", answer.reason)
                cost = {"seconds": answer.seconds, "peak_mib": answer.peak_mib}
                self.rows["details"].append(names | shared | cost | {"status": "failed", "reason": answer.reason})
                continue
            cost = {key: answer.outcome[key] for key in ("seconds", "peak_mib")}
            self._add_scored(names, shared | cost, answer.outcome["readings"][reading.name])

    def _add_scored(self, names: dict[str, Any], shared: dict[str, Any], packed: dict[str, Any]) -> None:
        scored = unpack_scored(packed)
        self.rows["details"].append(names | scored.numbers | shared | {"status": "ok", "reason": ""})
        for stage, reason in scored.failures:
            self.fail(names["dataset"], names["method"], f"{stage}, seed {names['seed']}", reason)
        where = {key: names[key] for key in ("dataset", "method")}
        self.rows["undefined"] += [where | {"metric": m, "reason": reason} for m, reason in scored.undefined.items()]
        tables = {"top_genes": scored.top, "topics": scored.topics, "enriched": scored.enriched, "types": scored.types}
        for name, frame in tables.items():
            if len(frame):
                self.frames[name].append(frame.assign(**names))
        self._weights.setdefault(names["method"], []).append((names["seed"], packed["weights"]))

    def close(self, data: DataSet) -> None:
        """All fits on a data set have ended: compare topics over seeds, and forget their weights."""
        for method, packed in self._weights.items():
            seeds = [seed for seed, _ in packed]
            pairs = topic_stability([unpack_weights(one) for _, one in packed]).pairs
            for row in pairs.to_dict("records"):
                row |= {"first": seeds[row["first"]], "second": seeds[row["second"]]}
                self.rows["stability"].append({"dataset": data.name, "method": method, **row})
            if not len(pairs):
                why = f"stability compares seeds, and {len(seeds)} ended well"
                self.rows["undefined"] += [
                    {"dataset": data.name, "method": method, "metric": name, "reason": why} for name in STEADY
                ]
        self._weights.clear()

    def result(self, run: dict[str, Any]) -> Result:
        """Aggregate and hand over."""
        details = pd.DataFrame(self.rows["details"], columns=DETAILS).sort_values(RUN, ignore_index=True)
        failures = pd.DataFrame(self.rows["failures"], columns=["dataset", "method", "stage", "reason"])
        extras = {name: pd.concat(frames, ignore_index=True) for name, frames in self.frames.items() if frames}
        extras |= {
            name: pd.DataFrame(self.rows[name]) for name in ("stability", "undefined", "data") if self.rows[name]
        }
        for name, frame in extras.items():
            if name == "undefined":
                frame = frame.drop_duplicates()
            if name in ORDER:
                first = [column for column in RUN if column in frame]
                frame = frame[[*first, *frame.columns.difference(first, sort=False)]]
                extras[name] = frame.sort_values(ORDER[name], kind="stable", ignore_index=True)
        extras["names"] = names_table()
        table = _table(details, extras.get("stability"), self.methods, self.options.seeds[0])
        return Result(benchmark=NAME, table=table, details=details, failures=failures, extras=extras, run=run)


def _table(details: pd.DataFrame, steady: pd.DataFrame | None, methods: list[str], seed: int) -> pd.DataFrame:
    """The tidy table: every fit, the stability of each data set, then the means over data sets."""
    done = details[details["status"] == "ok"]
    runs = done.melt([*RUN, "n_cells", "seconds", "peak_mib"], NUMBERS, var_name="metric", value_name="value")
    parts = [runs.rename(columns={"n_cells": "n"})]
    if steady is not None:
        for name, column in STEADY.items():
            mean = steady.groupby(["dataset", "method"], sort=True)[column].agg(["mean", "size"]).reset_index()
            mean = mean.rename(columns={"mean": "value", "size": "n"})
            parts.append(mean.assign(metric=name, seed=seed))
    parts.append(pd.DataFrame(_means(pd.concat(parts), done, seed)))
    table = pd.concat([part for part in parts if len(part)] or [parts[0]])
    table["task"] = [metric(str(name)).task for name in table["metric"]]
    table = table.assign(benchmark=NAME).reindex(columns=COLUMNS)
    for column in ("value", "ci_low", "ci_high", "seconds", "peak_mib"):
        table[column] = table[column].astype(float)
    for column in ("n", "seed"):
        table[column] = table[column].astype(int)
    place = {name: i for i, name in enumerate(methods)}
    table["_place"] = table["method"].map(place)
    return table.sort_values(["dataset", "task", "metric", "_place", "seed"], ignore_index=True).drop(columns="_place")


def _means(rows: pd.DataFrame, done: pd.DataFrame, seed: int) -> list[dict[str, Any]]:
    """Mean over data sets of the mean over seeds, with a 95 % interval, data sets resampled.

    Only data sets for which some method has the number count; a method that lacks one of those has no mean, since a
    mean over the others would be of easier data.
    """
    out = []
    by_set = done.groupby(["method", "dataset"])[["seconds", "peak_mib"]].agg({"seconds": "median", "peak_mib": "max"})
    for name, of_metric in rows.groupby("metric", sort=True):
        wide = of_metric.groupby(["dataset", "method"], sort=True)["value"].mean().unstack("method").dropna(how="all")
        for method in wide.columns:
            value_s = wide[method].to_numpy(float)
            row = {"dataset": ALL, "method": method, "metric": name, "n": int(np.isfinite(value_s).sum()), "seed": seed}
            row["value"], row["ci_low"], row["ci_high"] = float("nan"), float("nan"), float("nan")
            if value_s.size and np.isfinite(value_s).all():
                row["value"] = float(value_s.mean())
                row["ci_low"], row["ci_high"] = bootstrap_interval(value_s, stream(seed, "means", str(name)))
            cost = by_set.loc[method]
            out.append(row | {"seconds": float(cost["seconds"].mean()), "peak_mib": float(cost["peak_mib"].max())})
    return out
