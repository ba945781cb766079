"""A study of perturbations in short: the chosen topics beside every control."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

__all__ = ["study_summary"]

Array = np.ndarray[Any, Any]


def study_summary(table: pd.DataFrame) -> pd.DataFrame:
    """Set the chosen topics beside every control: one row a cell type and metric.

    Returns
    -------
    DataFrame
        ``cell_type, metric, chosen, random_mean, random_low, random_high`` (5 and 95 % of the draws), ``random_p``
        ((1 + draws at least as high) / (1 + draws)), ``other_type_max, all, replicate, n_topics, reason``.
    """
    rows = []
    for (cell_type, metric), part in table.groupby(["cell_type", "metric"], sort=False):
        of = {name: values["value"].to_numpy(float) for name, values in part.groupby("topics_from")}
        chosen = _single(of.get("chosen"))
        random_d = of.get("random", np.empty(0))
        random_d = random_d[np.isfinite(random_d)]
        some = random_d.size > 0
        rows.append(
            {
                "cell_type": cell_type,
                "metric": metric,
                "chosen": chosen,
                "random_mean": random_d.mean() if some else np.nan,
                "random_low": np.quantile(random_d, 0.05) if some else np.nan,
                "random_high": np.quantile(random_d, 0.95) if some else np.nan,
                "random_p": (1 + (random_d >= chosen).sum()) / (1 + random_d.size)
                if some and chosen == chosen
                else np.nan,
                "other_type_max": _largest(of.get("other_type")),
                "all": _single(of.get("all")),
                "replicate": _single(of.get("replicate")),
                "n_topics": int(part["n_topics"].iloc[0]),
                "reason": part["reason"].iloc[0],
            }
        )
    return pd.DataFrame(rows)


def _single(value_r: Array | None) -> float:
    return float("nan") if value_r is None or not value_r.size else float(value_r[0])


def _largest(value_r: Array | None) -> float:
    return float("nan") if value_r is None or not np.isfinite(value_r).any() else float(np.nanmax(value_r))
