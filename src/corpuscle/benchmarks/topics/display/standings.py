"""The result seen by method: one row each, by topic quality, with the spread over seeds."""

from __future__ import annotations

import numpy as np
import pandas as pd

from corpuscle.benchmarks.topics.names import METRICS
from corpuscle.report import Result

__all__ = ["RANKED_BY", "is_control", "leaderboard", "ranking_metric"]

ALL = "all"
#: The first of these that any method has ranks the methods.
RANKED_BY = ("topic_quality", "topic_diversity")


def is_control(method: str) -> bool:
    """Whether a row only shows what chance gives."""
    return method == "shuffled" or method.endswith("@shuffled")


def ranking_metric(result: Result) -> str:
    """Give the number that ranks the methods; empty if none has a value."""
    known = result.table[(result.table["dataset"] == ALL) & result.table["value"].notna()]
    return next((name for name in RANKED_BY if (known["metric"] == name).any()), "")


def leaderboard(result: Result) -> pd.DataFrame:
    """One row per method, best first.

    Ordered by topic quality, or by diversity where there are no gene sets; methods without it come last, in the order in
    which they were asked for.

    Returns
    -------
    DataFrame
        method, control, then each number and its ``_sd`` (standard deviation over seeds, mean over data sets),
        ``_low`` and ``_high`` (95 % interval over data sets), failed_fraction (of the fits), seconds, peak_mib.
    """
    table = result.table
    board = pd.DataFrame({"method": _methods(result)})
    if board.empty:
        return board
    board["control"] = [is_control(method) for method in board["method"]]
    means = table[table["dataset"] == ALL].drop_duplicates(["metric", "method"]).set_index(["metric", "method"])
    runs = table[table["dataset"] != ALL]
    spread = runs.groupby(["metric", "method", "dataset"])["value"].std().groupby(["metric", "method"]).mean()
    for one in METRICS:
        if (runs["metric"] == one.name).any():
            rows = _rows(means, one.name).reindex(board["method"])
            board[one.name] = rows["value"].to_numpy(float)
            board[f"{one.name}_low"], board[f"{one.name}_high"] = rows["ci_low"].to_numpy(), rows["ci_high"].to_numpy()
            board[f"{one.name}_sd"] = spread.reindex([(one.name, m) for m in board["method"]]).to_numpy(float)
    details = result.details
    failed = (details["status"] != "ok").groupby(details["method"]).mean() if len(details) else pd.Series(dtype=float)
    board["failed_fraction"] = failed.reindex(board["method"]).to_numpy(float)
    for column, how in (("seconds", "mean"), ("peak_mib", "max")):
        values = means[column].groupby("method").agg(how) if len(means) else pd.Series(dtype=float)
        board[column] = values.reindex(board["method"]).to_numpy(float)
    score = board.get(ranking_metric(result), pd.Series(np.nan, index=board.index))
    return board.loc[score.sort_values(ascending=False, kind="stable", na_position="last").index].reset_index(drop=True)


def _rows(means: pd.DataFrame, name: str) -> pd.DataFrame:
    if name in means.index.get_level_values("metric"):
        return means.loc[name]
    return pd.DataFrame(columns=["value", "ci_low", "ci_high"], dtype=float)


def _methods(result: Result) -> list[str]:
    asked = (
        result.run.get("parameters", {}).get("methods", []) if isinstance(result.run.get("parameters"), dict) else []
    )
    seen = [*asked, *result.table["method"].astype(str), *result.failures["method"].fillna("").astype(str)]
    return [method for method in dict.fromkeys(map(str, seen)) if method]
