"""From units to one score a method: replicates of an experiment count once, and failures are not dropped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from corpuscle.benchmarks._paired import holm, sign_flip
from corpuscle.benchmarks.coregulation.options import BASELINE
from corpuscle.seeds import stream

__all__ = ["TASKS", "Draws", "aggregate", "compare"]

Array = np.ndarray[Any, Any]

TASKS = {"reporter": "promoter_reporter", "exclusion": "allelic_exclusion"}
#: What a failed or undefined unit scores: as good as chance.
FAILED = {"percentile": 0.5, "z_robust": 0.0, "recip_rank": 0.0, "significant": 0.0}
METRICS = {
    "percentile": "percentile",
    "z_robust": "z_robust",
    "recip_rank": "recip_rank",
    "significant": "fraction_significant",
}
WINSOR = 10.0
ROUNDS = 1000

#: (sample, pair, method) -> metric -> (n_boot,) bootstrap values over cells.
Draws = dict[tuple[str, str, str], dict[str, Array]]


@dataclass(frozen=True)
class _Units:
    """The units of one task, in a fixed order, and the series of each."""

    keys: list[tuple[str, str]]
    series: Array

    def weights(self, rng: np.random.Generator) -> Array:
        """(ROUNDS, units) weights of a hierarchical bootstrap: series, then units within; rows sum to 1."""
        names = np.unique(self.series)
        out = np.zeros((ROUNDS, len(self.keys)))
        for row in out:
            for name in rng.choice(names, size=names.size):
                members = np.flatnonzero(self.series == name)
                np.add.at(row, rng.choice(members, size=members.size), 1 / members.size / names.size)
        return out

    def mean(self, values_u: Array) -> float:
        """Mean over series of the mean over the units of each."""
        return float(np.mean([values_u[self.series == name].mean() for name in np.unique(self.series)]))


def aggregate(details: pd.DataFrame, draws: Draws, seed: int) -> Iterator[dict[str, Any]]:
    """Rows (task, method, metric, value, ci_low, ci_high, n) over all units of the default variant.

    The interval covers the cells of each unit, the units of a series and the series; with one series it cannot
    cover what another experiment would have given.
    """
    scored = _scored(details)
    by_task: dict[str, dict[tuple[str, str], tuple[Array, float]]] = {}
    for task, rows in scored.groupby("task", sort=True):
        units = _units_of(rows)
        rng = stream(seed, "aggregate", str(task))
        weights = units.weights(rng)
        picks = np.asarray(rng.integers(2**31, size=weights.shape))
        for method, of_method in rows.groupby("method", sort=True):
            indexed = of_method.set_index(["sample_id", "pair"]).reindex(units.keys)
            for column, metric in METRICS.items():
                values_u = indexed[column].to_numpy(float)
                drawn = _drawn(values_u, units, draws, str(method), column, picks)
                rounds = (weights * drawn).sum(axis=1)
                value = units.mean(values_u)
                by_task.setdefault(str(task), {})[str(method), metric] = rounds, value
                yield _row(str(task), str(method), metric, value, rounds, len(units.keys))
    if len(by_task) == len(TASKS):
        yield from _combined(by_task)


def _combined(by_task: dict[str, dict[tuple[str, str], tuple[Array, float]]]) -> Iterator[dict[str, Any]]:
    """Mean of the two tasks' percentiles; raw correlations are never pooled."""
    first, second = by_task.values()
    for key in sorted(first.keys() & second.keys()):
        method, metric = key
        if metric == "percentile":
            rounds = (first[key][0] + second[key][0]) / 2
            yield _row("combined", method, metric, (first[key][1] + second[key][1]) / 2, rounds, len(TASKS))


def _row(task: str, method: str, metric: str, value: float, rounds: Array, n: int) -> dict[str, Any]:
    low, high = np.percentile(rounds, [2.5, 97.5])
    low, high = min(low, value), max(high, value)  # a score at the end of its scale has only a one-sided spread
    return {"task": task, "method": method, "metric": metric, "value": value, "ci_low": low, "ci_high": high, "n": n}


def _scored(details: pd.DataFrame) -> pd.DataFrame:
    """One row a unit and method: underpowered units left out, failed ones at chance."""
    rows = details[
        (details["variant"] == "default") & details["primary"] & (details["status"] != "underpowered")
    ].copy()
    failed = rows["status"].isin(["failed", "undefined"])
    rows["significant"] = (rows["p_emp"] < 0.05).astype(float)
    rows["z_robust"] = rows["z_robust"].clip(-WINSOR, WINSOR)
    for column, value in FAILED.items():
        rows.loc[failed | rows[column].isna(), column] = value
    return rows


def _units_of(rows: pd.DataFrame) -> _Units:
    units = rows[["sample_id", "pair", "series"]].drop_duplicates().sort_values(["sample_id", "pair"])
    return _Units(list(zip(units["sample_id"], units["pair"], strict=True)), units["series"].to_numpy(str))


def _drawn(values_u: Array, units: _Units, draws: Draws, method: str, metric: str, picks: Array) -> Array:
    """(ROUNDS, units) one bootstrap value a round and unit; the value itself where cells were not resampled."""
    out = np.tile(values_u, (picks.shape[0], 1))
    for u, key in enumerate(units.keys):
        sampled = draws.get((*key, method), {}).get(metric, np.empty(0))
        sampled = sampled[np.isfinite(sampled)]
        if sampled.size:
            out[:, u] = np.clip(sampled, -WINSOR, WINSOR)[picks[:, u] % sampled.size]
    return out


def compare(details: pd.DataFrame, seed: int, baseline: str = BASELINE) -> pd.DataFrame:
    """Each method against the baseline: paired difference of percentile, sign-flip test over series, Holm-corrected.

    Returns
    -------
    DataFrame
        task, method, difference, n_series, p, p_holm, note. With s series the smallest two-sided p is 2 / 2**s;
        where that is above 0.05 the p-values are NaN and the note says ``not testable``.
    """
    rows: list[dict[str, Any]] = []
    for task, scored in _scored(details).groupby("task", sort=True):
        table = scored.pivot_table(index="series", columns="method", values="percentile", aggfunc="mean", sort=True)
        if baseline not in table:
            continue
        n = len(table)
        testable = 2.0 ** (1 - n) <= 0.05
        found = []
        for method in table.columns.drop(baseline):
            difference = (table[method] - table[baseline]).to_numpy(float)
            p = sign_flip(difference, stream(seed, "compare", str(task))) if testable else float("nan")
            found.append({"task": task, "method": method, "difference": difference.mean(), "n_series": n, "p": p})
        for row, adjusted in zip(found, holm([row["p"] for row in found]), strict=True):
            note = "" if testable else f"not testable: {n} series"
            rows.append(row | {"p_holm": adjusted, "note": note})
    return pd.DataFrame(rows, columns=["task", "method", "difference", "n_series", "p", "p_holm", "note"])
