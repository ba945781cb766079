"""The result seen by method: one row each, best first, with the places that the data cannot tell apart."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from corpuscle.report import Result

__all__ = ["SCORES", "TASK_TITLES", "default_units", "leaderboard", "ranking_task", "tasks_of"]

#: In the order in which they are shown; the first that a result has is what methods are ranked by.
TASK_TITLES = {
    "combined": "Combined",
    "promoter_reporter": "Promoter reporters (expected together)",
    "allelic_exclusion": "Light chains (expected apart)",
    "count_split": "Split genes (positive control)",
}
SCORES = ("percentile", "z_robust", "recip_rank", "fraction_significant")
CONTROLS = ("inflation_index", "depth_corr", "failed_fraction")


def default_units(result: Result) -> pd.DataFrame:
    """Details of the pairs as they are, under the association that ranks the methods; absent columns become NaN."""
    details = result.details
    if details.empty:
        return details
    wanted = ["ci_low", "ci_high", "percentile_low", "percentile_high", "z_robust", "excess", "r_null_mean", "rank"]
    wanted += ["n_ranked", "inflation_index", "depth_corr", "bg_low", "bg_high", "bg_median", "p_emp", "reason"]
    details = details.reindex(columns=[*details.columns, *(name for name in wanted if name not in details)])
    kept = details["variant"] == "default" if "variant" in details else np.ones(len(details), bool)
    if "primary" in details:
        kept &= details["primary"].astype(bool)
    return details[kept]


def tasks_of(result: Result) -> list[str]:
    """Tasks that have an aggregate score, in the order of :data:`TASK_TITLES`."""
    there = set(_aggregates(result)["task"])
    return [task for task in TASK_TITLES if task in there]


def ranking_task(result: Result) -> str:
    """Give the task whose percentile ranks the methods: combined if there is one; empty without any score."""
    return next((task for task in tasks_of(result) if task != "count_split"), "")


def leaderboard(result: Result) -> pd.DataFrame:
    """One row per method, best first.

    Ordered by percentile (combined, or of the only task), then by the mean robust z. ``place_low`` to ``place_high``
    are the places that the intervals leave open: a method is surely behind those whose whole interval lies above its
    own. Where an interval is undefined so are the places.

    Returns
    -------
    DataFrame
        method, place_low, place_high, then ``<task>_<metric>`` with ``_low`` and ``_high`` for each score,
        inflation_index, depth_corr, failed_fraction, seconds (mean a unit) and peak_mib (highest).
    """
    board = pd.DataFrame({"method": _methods(result)})
    if board.empty:
        return board
    aggregates = _aggregates(result).set_index(["task", "metric", "method"])
    for task in tasks_of(result):
        for metric in SCORES:
            if (task, metric) in aggregates.index.droplevel("method"):
                of_score = aggregates.loc[(task, metric)].reindex(board["method"])
                for column, suffix in (("value", ""), ("ci_low", "_low"), ("ci_high", "_high")):
                    board[f"{task}_{metric}{suffix}"] = of_score[column].to_numpy(float)
    for name, values in _by_method(result):
        board[name] = values.reindex(board["method"]).to_numpy(float)
    return _ranked(board, ranking_task(result))


def _aggregates(result: Result) -> pd.DataFrame:
    table = result.table[result.table["dataset"] == "all"]
    return table.drop_duplicates(["task", "metric", "method"])


def _methods(result: Result) -> list[str]:
    seen = list(result.table["method"].astype(str)) + list(result.failures["method"].fillna("").astype(str))
    return [method for method in dict.fromkeys(seen) if method]


def _by_method(result: Result) -> Iterator[tuple[str, pd.Series]]:
    aggregates = _aggregates(result)
    scored = aggregates[aggregates["task"].isin(["promoter_reporter", "allelic_exclusion"])]
    for metric in CONTROLS:
        rows = scored[scored["metric"] == metric]
        yield metric, rows.groupby("method")["value"].mean()
    for column in ("seconds", "peak_mib"):
        yield column, aggregates.groupby("method")[column].max()


def _ranked(board: pd.DataFrame, task: str) -> pd.DataFrame:
    nan = pd.Series(np.nan, index=board.index)
    score = board.get(f"{task}_percentile", nan)
    z = board[[name for name in board if name.endswith("_z_robust") and not name.startswith("count_split")]]
    order = pd.DataFrame({"score": score, "z": z.mean(axis=1), "method": board["method"]})
    board = board.loc[order.sort_values(["score", "z", "method"], ascending=[False, False, True]).index]
    board = board.reset_index(drop=True)
    low = board.get(f"{task}_percentile_low", nan).to_numpy(float)
    high = board.get(f"{task}_percentile_high", nan).to_numpy(float)
    known = np.isfinite(low) & np.isfinite(high)
    surely_better = (low[None, :] > high[:, None]).sum(axis=1)
    surely_worse = (high[None, :] < low[:, None]).sum(axis=1)
    board.insert(1, "place_low", np.where(known, 1 + surely_better, np.nan))
    board.insert(2, "place_high", np.where(known, known.sum() - surely_worse, np.nan))
    return board
