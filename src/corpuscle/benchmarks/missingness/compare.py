"""Every method against filling with the mean of what was observed, paired over data sets and draws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from corpuscle.benchmarks._paired import FEWEST_SETS, by_block, tested
from corpuscle.benchmarks.missingness.metrics import METRICS

__all__ = ["AGAINST", "COMPARED", "FEWEST_SETS", "compare", "paired"]

#: The fill that any correction has to beat: it costs nothing and keeps the leading directions.
AGAINST = "mean_fill"
COMPARED = tuple(metric for metric in METRICS if metric != "truth_ari")
BLOCK = ["task", "kind", "metric"]
PAIRED = [
    *BLOCK, "dataset", "method", "value", "mean_fill", "difference", "ratio", "n_better_draws", "n_draws",
]  # fmt: skip
COLUMNS = [
    *BLOCK, "method", "difference", "ci_low", "ci_high", "ratio", "worst", "n_better", "n_sets", "p", "p_holm", "note",
]  # fmt: skip


def paired(details: pd.DataFrame) -> pd.DataFrame:
    """Every method's mean over draws beside that of the mean fill, on each data set and mask.

    Only draws count in which the metric exists for both.

    Parameters
    ----------
    details
        Row a data set, mask, method and draw.

    Returns
    -------
    DataFrame
        task, kind, metric, dataset, method, value, mean_fill, ``difference``, ``ratio`` (value over mean fill, means over
        draws), and ``n_better_draws`` of ``n_draws`` in which the method is better on the very same holes.
    """
    done = details[details["status"] == "ok"]
    out: list[dict[str, Any]] = []
    for (task, kind, dataset), block in done.groupby(["task", "kind", "dataset"], sort=True):
        by_method = {str(name): rows.set_index("seed") for name, rows in block.groupby("method", sort=True)}
        other = by_method.pop(AGAINST, None)
        if other is None:
            continue
        for method, rows in by_method.items():
            names = {"task": task, "kind": kind, "dataset": dataset, "method": method}
            out += [names | found for found in _differences(rows, other)]
    return pd.DataFrame(out, columns=PAIRED)


def _differences(rows: pd.DataFrame, other: pd.DataFrame) -> list[dict[str, Any]]:
    out = []
    for metric in COMPARED:
        both = pd.concat([rows[metric], other[metric]], axis=1, join="inner", keys=["value", "other"]).dropna()
        if both.empty:
            continue
        value_s, other_s = both["value"].to_numpy(float), both["other"].to_numpy(float)
        better_s = value_s > other_s if METRICS[metric] else value_s < other_s
        value, filled = float(value_s.mean()), float(other_s.mean())
        out.append({
            "metric": metric, "value": value, "mean_fill": filled, "difference": value - filled,
            "ratio": value / filled if filled > 0 else float("nan"), "n_better_draws": int(better_s.sum()),
            "n_draws": len(both),
        })  # fmt: skip
    return out


def compare(pairs: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Test the differences of :func:`paired` over data sets; draws of one data set are no independent units.

    Parameters
    ----------
    pairs
        From :func:`paired`.
    seed
        Of the bootstrap, and of the signs where there are too many data sets to enumerate them.

    Returns
    -------
    DataFrame
        task, kind, metric, method; ``difference`` (mean over data sets), ``ci_low`` and ``ci_high`` (95 %, data sets
        resampled), ``ratio`` (mean over data sets), ``worst`` (the difference of the data set on which the method does
        least well), ``n_better`` of ``n_sets``, ``p`` (two-sided, exact sign flips), ``p_holm`` (over the methods of a
        mask and metric) and a ``note``. With fewer than 6 data sets p is NaN and the note says ``not testable``.
    """
    return pd.DataFrame(by_block(pairs, BLOCK, lambda of, names: _tested(of, names, seed)), columns=COLUMNS)


def _tested(of_method: pd.DataFrame, names: dict[str, Any], seed: int) -> dict[str, Any]:
    more = METRICS[str(names["metric"])]
    difference_s = of_method["difference"].to_numpy(float)
    found = tested(difference_s, seed, str(names["task"]), str(names["metric"]), names["method"])
    found["n_better"] = int(np.count_nonzero(difference_s > 0 if more else difference_s < 0))
    worst = float(difference_s.min() if more else difference_s.max())
    ratio_s = of_method["ratio"].dropna().to_numpy(float)
    return found | {"worst": worst, "ratio": float(ratio_s.mean()) if ratio_s.size else float("nan")}
