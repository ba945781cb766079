"""The run's growing tables: rows are added as they are known, and become a Result at the end."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from corpuscle.benchmarks._measure import Cost
from corpuscle.benchmarks.coregulation.aggregate import TASKS, Draws, aggregate, compare
from corpuscle.benchmarks.coregulation.cells import quadrants
from corpuscle.benchmarks.coregulation.controls import Control, baseline_inflation
from corpuscle.benchmarks.coregulation.judge import PairResult
from corpuscle.benchmarks.coregulation.methods import Method
from corpuscle.benchmarks.coregulation.options import Options
from corpuscle.benchmarks.coregulation.score import score_pair
from corpuscle.benchmarks.coregulation.units import Sample, Unit
from corpuscle.report import COLUMNS, Result
from corpuscle.seeds import stream

__all__ = ["Tables"]

NAME = "coregulation"
#: Cells of a unit whose values are kept for the scatter plots.
SCATTER_CELLS = 1000
FAILED_SCORE = score_pair(float("nan"), np.empty(0), 1)


class Tables:
    """Collects rows; :meth:`result` makes the aggregates."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.inputs: list[dict[str, str]] = []
        self.rows: dict[str, list[dict[str, Any]]] = {
            name: []
            for name in ("details", "failures", "background", "cells", "quadrants", "controls", "compat", "count_split")
        }
        self.draws: Draws = {}
        self._baselines: dict[tuple[str, ...], float] = {}

    def add_input(self, sample: Sample) -> None:
        """Remember a sample's source and checksum."""
        self.inputs.append({"sample_id": sample.id, "path": sample.counts.name, "sha256": sample.sha256})

    def fail(self, dataset: str, method: str, stage: str, reason: str) -> None:
        """One thing that could not be done."""
        self.rows["failures"].append({"dataset": dataset, "method": method, "stage": stage, "reason": reason})

    def baseline_inflation(self, unit: Unit, measure: str) -> float:
        """What the inflation index of a unit is relative to, computed once for all methods."""
        key = (*unit.key, measure)
        if key not in self._baselines:
            self._baselines[key] = baseline_inflation(unit, measure, self.options)
        return self._baselines[key]

    def add_unit(self, unit: Unit) -> None:
        """The four-way table of the pair."""
        a_n, b_n = unit.inside.columns(unit.genes[:2]).toarray().T
        self.rows["quadrants"].append(_names(unit) | asdict(quadrants(a_n, b_n)) | {"rule": unit.cells.rule})

    def add(self, unit: Unit, method: Method, result: PairResult, *, primary: bool) -> None:
        """A judged unit; ``primary`` is the association that ranks the methods."""
        self.rows["details"].append(self._described(unit, method, primary) | result.row())
        if not primary:
            return
        names = _names(unit) | {"method": method.name}
        genes = unit.counts.var_names[unit.background]
        self.rows["background"] += [
            names | {"gene": g, "r": r} for g, r in zip(genes, result.background_r, strict=True)
        ]
        if unit.variant == "default":
            self.draws[unit.sample.id, unit.pair.name, method.name] = {
                "percentile": result.percentile_b,
                "z_robust": result.z_robust_b,
            }
            self._add_cells(unit, names, result)

    def _add_cells(self, unit: Unit, names: dict[str, Any], result: PairResult) -> None:
        n = result.pair_values.shape[0]
        shown = np.arange(n)
        if n > SCATTER_CELLS:
            shown = np.sort(stream(self.options.seed, *unit.key, "scatter").choice(n, SCATTER_CELLS, replace=False))
        raw = unit.inside.columns(unit.genes[:2]).toarray()
        cells = unit.inside.obs.index
        for i in shown:
            a, b = result.pair_values[i]
            row = {
                "cell": str(cells[i]),
                "raw_a": int(raw[i, 0]),
                "raw_b": int(raw[i, 1]),
                "a": float(a),
                "b": float(b),
            }
            self.rows["cells"].append(names | row)

    def add_failed(
        self,
        unit: Unit,
        method: Method,
        reason: str,
        cost: Cost,
        *,
        association: str | None = None,
        primary: bool = True,
    ) -> None:
        """A unit that a method could not do; it counts as chance in the aggregate."""
        measure = association or method.association or self.options.association[0]
        rest = {"status": "failed", "reason": reason, "seconds": cost.seconds, "peak_mib": cost.peak_mib}
        row = asdict(FAILED_SCORE) | rest | {"association": measure}
        self.rows["details"].append(self._described(unit, method, primary) | row)

    def add_control(self, unit: Unit, method: str, control: Control) -> None:
        """One number of one control."""
        self.rows["controls"].append(_names(unit) | {"method": method} | asdict(control))

    def add_split(self, sample: Sample, method: str, rows: list[dict[str, Any]]) -> None:
        """The split genes of one sample, judged by one method."""
        names = {"sample_id": sample.id, "series": sample.series, "method": method}
        self.rows["count_split"] += [names | row for row in rows]

    def add_card(self, unit: Unit, numbers: dict[str, Any]) -> None:
        """The data card's numbers for a unit."""
        self.rows["compat"].append(_names(unit) | {f"card_{key}": value for key, value in numbers.items()})

    def _described(self, unit: Unit, method: Method, primary: bool) -> dict[str, Any]:
        options, pair = self.options, unit.pair
        return {
            **_names(unit), "series": unit.sample.series, "gene_a": pair.gene_a, "gene_b": pair.gene_b,
            "construct": pair.construct, "task": TASKS[pair.kind], "sign": pair.sign, "method": method.name,
            "primary": primary, "cells": options.cells, "cell_rule": unit.cells.rule, "background": options.background,
            "n_cells": unit.cells.n_cells, "fit_on": options.fit_on, "seed": options.seed, "sha256": unit.sample.sha256,
        }  # fmt: skip

    def result(self, run: dict[str, Any]) -> Result:
        """Aggregate and hand over."""
        frames = {name: pd.DataFrame(rows) for name, rows in self.rows.items()}
        details, failures = frames.pop("details"), frames.pop("failures")
        if failures.empty:
            failures = pd.DataFrame(columns=["dataset", "method", "stage", "reason"])
        table = pd.DataFrame(columns=COLUMNS)
        if not details.empty:
            details = details.sort_values(["sample_id", "pair", "variant", "method", "association"], ignore_index=True)
            frames["comparisons"] = compare(details, self.options.seed)
        if not (details.empty and frames["count_split"].empty):
            table = self._table(details, frames["count_split"])
        extras = {name: frame for name, frame in frames.items() if not frame.empty}
        return Result(benchmark=NAME, table=table, details=details, failures=failures, extras=extras, run=run)

    def _table(self, details: pd.DataFrame, splits: pd.DataFrame) -> pd.DataFrame:
        rows = _split_means(splits, self.options.seed)
        if not details.empty:
            rows += [*aggregate(details, self.draws, self.options.seed), *_control_means(details)]
        rows = [row | {"dataset": "all"} for row in rows]
        if not details.empty:
            _fill_costs(rows, details)
            rows += _unit_rows(details)
        table = pd.DataFrame(rows, columns=[*COLUMNS])
        table["benchmark"], table["seed"] = NAME, self.options.seed
        return table.sort_values(["dataset", "task", "metric", "method"], ignore_index=True)


def _names(unit: Unit) -> dict[str, str]:
    return {"sample_id": unit.sample.id, "pair": unit.pair.name, "variant": unit.variant}


def _fill_costs(rows: list[dict[str, Any]], details: pd.DataFrame) -> None:
    """Mean seconds and highest peak of each method over its default units."""
    of_method = details[details["primary"]].groupby("method")
    seconds, peak = of_method["seconds"].mean(), of_method["peak_mib"].max()
    for row in rows:
        if row["method"] in seconds.index:
            row |= {"seconds": float(seconds[row["method"]]), "peak_mib": float(peak[row["method"]])}


def _unit_rows(details: pd.DataFrame) -> list[dict[str, Any]]:
    """R and percentile of every default unit, with their own intervals."""
    out = []
    for row in details[(details["variant"] == "default") & details["primary"]].to_dict("records"):
        shared = {"dataset": f"{row['sample_id']}/{row['pair']}", "method": row["method"], "task": row["task"]}
        shared |= {"seconds": row["seconds"], "peak_mib": row["peak_mib"], "n": row["n_cells"]}
        nan = float("nan")
        r_interval = {"ci_low": row.get("ci_low", nan), "ci_high": row.get("ci_high", nan)}
        out.append(shared | {"metric": "r", "value": row["r"]} | r_interval)
        interval = {"ci_low": row.get("percentile_low", nan), "ci_high": row.get("percentile_high", nan)}
        out.append(shared | {"metric": "percentile", "value": row["percentile"]} | interval)
    return out


def _control_means(details: pd.DataFrame) -> list[dict[str, Any]]:
    """Inflation, depth correlation and share of failures by method and task: means over default units."""
    rows = []
    chosen = details[(details["variant"] == "default") & details["primary"]]
    for (task, method), group in chosen.groupby(["task", "method"], sort=True):
        means = {"failed_fraction": float(group["status"].isin(["failed", "undefined"]).mean())}
        for metric in ("inflation_index", "depth_corr"):
            means[metric] = float(group[metric].mean()) if metric in group else float("nan")
        for metric, value in means.items():
            rows.append({"task": task, "method": method, "metric": metric, "value": value, "n": len(group)})
    return rows


def _split_means(splits: pd.DataFrame, seed: int) -> list[dict[str, Any]]:
    """Count-split recovery by method: mean over genes of each sample, then over samples, resampling genes."""
    if splits.empty:
        return []
    rows = []
    for method, group in splits.groupby("method", sort=True):
        for metric in ("percentile", "z_robust"):
            samples = [
                part[metric].dropna().clip(-10, 10).to_numpy() for _, part in group.groupby("sample_id", sort=True)
            ]
            samples = [values for values in samples if values.size]
            if not samples:
                continue
            rng = stream(seed, "count split", metric)
            rounds = [np.mean([rng.choice(v, v.size).mean() for v in samples]) for _ in range(1000)]
            low, high = np.percentile(rounds, [2.5, 97.5])
            value = float(np.mean([v.mean() for v in samples]))
            n = int(sum(v.size for v in samples))
            rows.append(
                {
                    "task": "count_split",
                    "method": method,
                    "metric": metric,
                    "value": value,
                    "ci_low": low,
                    "ci_high": high,
                    "n": n,
                }
            )
    return rows
