"""The result seen by mask and method."""

from __future__ import annotations

from typing import Any

import pandas as pd

from corpuscle.benchmarks.missingness._one import DROPOUT
from corpuscle.benchmarks.missingness.compare import AGAINST
from corpuscle.benchmarks.missingness.metrics import METRICS
from corpuscle.report import Result

__all__ = ["FILLS", "OURS", "blocks", "done_runs", "is_dropout", "leaderboard", "main_method", "means", "set_means"]

KEYS = ["task", "kind", "mask_told", "method", "told"]
#: The method that the page is about, where it was run.
OURS = "unbiased"
FILLS = ("zero_fill", "mean_fill")
SPREAD = ("d2_error", "knn_recall_distances", "sin_theta")
SHARES = ["missing_share", "lost_share", "found_share", "false_share"]


def done_runs(result: Result) -> pd.DataFrame:
    """Details of the runs that ended well."""
    details = result.details
    return details[details["status"] == "ok"] if "status" in details else details


def is_dropout(kind: str) -> bool:
    """Whether values decided what was lost."""
    return kind == DROPOUT


def main_method(result: Result) -> str:
    """The method that sentences are about: ours where it was judged, else the best that is no fill; "" for none."""
    errors = done_runs(result).groupby("method")["d2_error"].mean().sort_values()
    there = [str(name) for name in errors.index if name not in FILLS]
    return OURS if OURS in there else next(iter(there), "")


def blocks(result: Result) -> list[tuple[str, str, str]]:
    """(mask, kind, told) as they were asked for, those under which values decide last."""
    rows = result.details[["task", "kind", "mask_told"]].drop_duplicates()
    asked = list(result.run.get("parameters", {}).get("masks", []))
    place = {name: i for i, name in enumerate(asked)}
    found = [(str(task), str(kind), str(told)) for task, kind, told in rows.itertuples(index=False)]
    return sorted(found, key=lambda block: (is_dropout(block[1]), place.get(block[0], len(place)), block[0]))


def set_means(result: Result) -> pd.DataFrame:
    """One row a mask, method and data set: mean over draws of every metric, spreads, and what the mean fill has."""
    done, numbers = done_runs(result), [*METRICS, *SHARES]
    extra = ["d2_error_ratio", "sin_theta_change", *(f"{name}_sd" for name in SPREAD)]
    if done.empty:
        return pd.DataFrame(columns=[*KEYS, "dataset", "draws", "n", "n_features", "n_types", *numbers, *extra])
    grouped = done.groupby([*KEYS, "dataset"], sort=True)
    out = grouped[[*numbers, "n", "n_features", "n_types"]].mean()
    for metric in SPREAD:
        out[f"{metric}_sd"] = grouped[metric].std()
    out["draws"] = grouped["seed"].nunique()
    out = out.reset_index()
    pairs = result.extras.get("paired")
    out = out.merge(_against(pairs, "d2_error", "ratio"), on=["task", "method", "dataset"], how="left")
    out = out.merge(_against(pairs, "sin_theta", "difference"), on=["task", "method", "dataset"], how="left")
    out = out.rename(columns={"ratio": "d2_error_ratio", "difference": "sin_theta_change"})
    filled = out["method"] == AGAINST
    out.loc[filled, "d2_error_ratio"], out.loc[filled, "sin_theta_change"] = 1.0, 0.0
    return out


def _against(pairs: pd.DataFrame | None, metric: str, column: str) -> pd.DataFrame:
    if pairs is None:
        return pd.DataFrame({"task": [], "method": [], "dataset": [], column: []}).astype({column: float})
    return pairs.loc[pairs["metric"] == metric, ["task", "method", "dataset", column]]


def means(result: Result) -> pd.DataFrame:
    """One row a mask and method: mean over data sets of every number of :func:`set_means`, masks as they were asked for."""
    by_set = set_means(result)
    numbers = [name for name in by_set if name not in (*KEYS, "dataset")]
    out = by_set.groupby(KEYS, sort=False)[numbers].mean().reset_index()
    place = {task: i for i, (task, _, _) in enumerate(blocks(result))}
    return out.sort_values("task", key=lambda task: task.map(place), kind="stable", ignore_index=True)


def leaderboard(result: Result) -> pd.DataFrame:
    """One row per mask and method. Only methods of one mask, told the same, are ordered, by the error of distances.

    Returns
    -------
    DataFrame
        task, kind, mask_told, method, told, n_sets, of_sets; the mean over data sets of every metric; spreads over draws
        (``_sd``), ``d2_error_ratio`` (to the mean fill) and ``sin_theta_change`` (from it), ``missing_share``,
        ``d2_error_low`` and ``d2_error_high`` (95 %, data sets resampled), failed_fraction, seconds (median over draws,
        mean over data sets) and peak_mib. Methods that were told more than the mean fill follow those that were not;
        one without any score is last of its mask.
    """
    if result.details.empty:
        return pd.DataFrame(columns=[*KEYS, "n_sets", "of_sets"])
    by_set = set_means(result)
    board = means(result).drop(columns=["draws", "n", "n_features", "n_types"]).set_index(KEYS)
    board.insert(0, "n_sets", by_set.groupby(KEYS, sort=False)["dataset"].nunique())
    every = result.details.groupby(KEYS)
    board = pd.DataFrame(index=every.size().index).join(board)
    board["n_sets"] = board["n_sets"].fillna(0).astype(int)
    of_sets = result.details.groupby("task")["dataset"].nunique()
    board.insert(1, "of_sets", board.index.get_level_values("task").map(of_sets))
    board["failed_fraction"] = every["status"].agg(lambda status: float((status != "ok").mean()))
    done = done_runs(result).groupby([*KEYS, "dataset"])
    board["seconds"] = done["seconds"].median().groupby(KEYS).mean()
    board["peak_mib"] = done["peak_mib"].max().groupby(KEYS).max()
    return _ordered(_with_intervals(board.reset_index(), result), blocks(result))


def _with_intervals(board: pd.DataFrame, result: Result) -> pd.DataFrame:
    table = result.table[(result.table["dataset"] == "all") & (result.table["metric"] == "d2_error")]
    ends = table.rename(columns={"ci_low": "d2_error_low", "ci_high": "d2_error_high"})
    return board.merge(ends[["task", "method", "d2_error_low", "d2_error_high"]], on=["task", "method"], how="left")


def _ordered(board: pd.DataFrame, order: list[tuple[str, str, str]]) -> pd.DataFrame:
    place: dict[Any, int] = {task: i for i, (task, _, _) in enumerate(order)}
    plain = set(board.loc[board["method"].isin(FILLS), "told"])
    key = pd.DataFrame(
        {
            "block": board["task"].map(place),
            "apart": ~board["told"].isin(plain) if plain else False,
            "unscored": board["n_sets"] == 0,
            "partial": board["n_sets"] < board["of_sets"],
            "error": board["d2_error"],
            "method": board["method"],
        }
    )
    return board.loc[key.sort_values(list(key), na_position="last").index].reset_index(drop=True)
