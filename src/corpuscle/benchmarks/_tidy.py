"""The tidy table of a benchmark: every run, and the means over data sets."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import pandas as pd

from corpuscle.benchmarks._paired import bootstrap_interval
from corpuscle.report import COLUMNS
from corpuscle.seeds import stream

__all__ = ["means", "tidy"]

FLOATS = ("value", "ci_low", "ci_high", "seconds", "peak_mib")
RUN = ["dataset", "task", "method", "seed"]


def tidy(
    benchmark: str, details: pd.DataFrame, metrics: Sequence[str], seed: int, *, per_set: Collection[str] = ()
) -> pd.DataFrame:
    """Every run that ended well, then the means over data sets, which are those of "all".

    Parameters
    ----------
    benchmark
        Name of the benchmark.
    details
        Row a run: dataset, task, method, seed, status, n, seconds, peak_mib, and a column a metric.
    metrics
        Columns that become rows.
    seed
        Of the bootstrap.
    per_set
        Metrics that are not averaged over data sets, such as counts of cells and p-values.
    """
    done = details[details["status"] == "ok"]
    runs = done.melt([*RUN, "n", "seconds", "peak_mib"], list(metrics), var_name="metric", value_name="value")
    averaged = pd.DataFrame(means(runs[~runs["metric"].isin(list(per_set))], done, seed))
    return typed(pd.concat([part for part in (runs, averaged) if len(part)] or [runs]), benchmark)


def typed(rows: pd.DataFrame, benchmark: str) -> pd.DataFrame:
    """Rows with the columns, types and order of every tidy table."""
    table = rows.assign(benchmark=benchmark).reindex(columns=COLUMNS)
    table = table.astype(dict.fromkeys(FLOATS, float) | {"n": int, "seed": int})
    return table.sort_values(["dataset", "task", "metric", "method", "seed"], ignore_index=True)


def means(rows: pd.DataFrame, done: pd.DataFrame, seed: int, *, cost: Sequence[str] = ("task", "method")) -> list[Any]:
    """Mean over data sets of the mean over seeds, with a 95 % interval, data sets resampled.

    Parameters
    ----------
    rows
        dataset, task, method, metric, value.
    done
        Runs with their seconds (of which the median of a data set counts) and peak_mib (the highest).
    seed
        Of the bootstrap.
    cost
        What a cost is of.
    """
    out = []
    by_set = done.groupby([*cost, "dataset"])[["seconds", "peak_mib"]].agg({"seconds": "median", "peak_mib": "max"})
    of_all = by_set.groupby(list(cost)).agg({"seconds": "mean", "peak_mib": "max"})
    for (task, method, metric), group in rows.groupby(["task", "method", "metric"], sort=True):
        value_s = group.groupby("dataset", sort=True)["value"].mean().dropna().to_numpy(float)
        if not value_s.size:
            continue
        low, high = bootstrap_interval(value_s, stream(seed, "means", str(task), str(metric)))
        row = {"dataset": "all", "method": method, "task": task, "metric": metric, "value": value_s.mean()}
        row |= {"ci_low": low, "ci_high": high, "n": value_s.size, "seed": seed}
        names = {"task": task, "method": method}
        key = tuple(names[name] for name in cost)
        out.append(row | of_all.loc[key if len(key) > 1 else key[0]].to_dict())
    return out
