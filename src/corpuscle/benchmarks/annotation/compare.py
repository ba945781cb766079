"""Each refinement against the raw scores, paired over data sets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from corpuscle.benchmarks._paired import FEWEST_SETS, by_block, tested

__all__ = ["COMPARED", "FEWEST_SETS", "HARM", "RAW", "compare", "paired"]

RAW = "raw"
COMPARED = ("accuracy", "balanced_accuracy", "macro_f1")
#: A data set on which a metric falls by more than this was harmed.
HARM = 0.01
BLOCK = ["task", "told", "metric"]
COLUMNS = [
    *BLOCK, "method", "difference", "ci_low", "ci_high", "worst", "n_better", "n_harmed", "n_sets", "p", "p_holm", "note",
]  # fmt: skip


def paired(details: pd.DataFrame) -> pd.DataFrame:
    """Every refinement's mean over seeds beside that of the raw scores, on each data set and source of scores.

    Only seeds that both did count.

    Returns
    -------
    DataFrame
        task, told, metric, dataset, method, value, raw, difference, n_seeds.
    """
    done = details[details["status"] == "ok"]
    raw = done[done["method"] == RAW].set_index(["task", "dataset", "seed"])
    out = []
    for (task, told, method, dataset), group in done[done["method"] != RAW].groupby(
        ["task", "told", "method", "dataset"], sort=True
    ):
        keys = pd.MultiIndex.from_arrays([group["task"], group["dataset"], group["seed"]])
        both = keys.isin(raw.index)
        if not both.any():
            continue
        for metric in COMPARED:
            value = float(group[metric].to_numpy(float)[both].mean())
            before = float(raw.loc[keys[both], metric].to_numpy(float).mean())
            row = {"task": task, "told": told, "metric": metric, "dataset": dataset, "method": method}
            out.append(row | {"value": value, "raw": before, "difference": value - before, "n_seeds": int(both.sum())})
    return pd.DataFrame(out, columns=[*BLOCK, "dataset", "method", "value", "raw", "difference", "n_seeds"])


def compare(pairs: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Test the differences of :func:`paired` over data sets.

    Parameters
    ----------
    pairs
        From :func:`paired`.
    seed
        Of the bootstrap, and of the signs where there are too many data sets to enumerate them.

    Returns
    -------
    DataFrame
        task, told, metric, method; ``difference`` (mean over data sets), ``ci_low`` and ``ci_high`` (95 %, data sets
        resampled), ``worst`` (the lowest difference of a data set), ``n_better`` and ``n_harmed`` (lower by more than 0.01)
        of ``n_sets``, ``p`` (two-sided, exact sign flips), ``p_holm`` (over the methods of a task and metric) and a
        ``note``. With fewer than 6 data sets p is NaN and the note says ``not testable``.
    """
    return pd.DataFrame(by_block(pairs, BLOCK, lambda of, names: _tested(of, names, seed)), columns=COLUMNS)


def _tested(of_method: pd.DataFrame, names: dict[str, Any], seed: int) -> dict[str, Any]:
    difference_s = of_method["difference"].to_numpy(float)
    harm = {"worst": float(difference_s.min()), "n_harmed": int(np.count_nonzero(difference_s < -HARM))}
    return harm | tested(difference_s, seed, str(names["task"]), str(names["metric"]), names["method"])
