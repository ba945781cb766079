"""The result seen by source of scores and refinement."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from corpuscle.benchmarks.annotation.compare import HARM, RAW
from corpuscle.benchmarks.annotation.display.words import METRIC_TITLES
from corpuscle.benchmarks.annotation.refinements import CONTROL
from corpuscle.report import Result

__all__ = ["blocks", "done_runs", "is_control", "is_noise", "leaderboard", "methods_of", "set_means", "type_changes"]

KEYS = ["task", "told", "method"]
NUMBERS = [*METRIC_TITLES, "wrong_to_right", "right_to_wrong"]
SPREAD = ("accuracy", "macro_f1")


def done_runs(result: Result) -> pd.DataFrame:
    """Details of the runs that ended well."""
    details = result.details
    return details[details["status"] == "ok"] if "status" in details else details


def is_control(method: str) -> bool:
    """Whether a refinement is the control that cannot help, with whatever parameters."""
    return method.partition(":")[0] == CONTROL


def is_noise(task: str) -> bool:
    """Whether scores are the truth with noise, which no user has."""
    return task.partition(":")[0] == "noise"


def blocks(result: Result) -> list[tuple[str, str]]:
    """(source of scores, told), the truth with noise last."""
    there = set(zip(result.details["task"], result.details["told"], strict=True))
    return sorted(there, key=lambda block: (is_noise(block[0]), block))


def set_means(result: Result) -> pd.DataFrame:
    """One row a source, refinement and data set: mean over seeds of every metric, its spread, and its change from raw."""
    done = done_runs(result)
    if done.empty:
        return pd.DataFrame(columns=[*KEYS, "dataset", "seeds", *NUMBERS, *(f"{name}_change" for name in SPREAD)])
    grouped = done.groupby([*KEYS, "dataset"], sort=True)
    out = grouped[NUMBERS].mean()
    for metric in SPREAD:
        out[f"{metric}_sd"] = grouped[metric].std()
    out["seeds"] = grouped["seed"].nunique()
    for name in ("n", "n_types"):
        out[name] = grouped[name].mean()
    out = out.reset_index()
    pairs = result.extras.get("paired")
    for metric in SPREAD:
        out = out.merge(_changes(pairs, metric), on=["task", "method", "dataset"], how="left")
        out.loc[out["method"] == RAW, f"{metric}_change"] = 0.0
    return out


def _changes(pairs: pd.DataFrame | None, metric: str) -> pd.DataFrame:
    name = f"{metric}_change"
    if pairs is None:
        return pd.DataFrame(columns=["task", "method", "dataset", name])
    rows = pairs[pairs["metric"] == metric].rename(columns={"difference": name})
    return rows[["task", "method", "dataset", name]]


def leaderboard(result: Result) -> pd.DataFrame:
    """One row per source of scores and refinement. Only refinements of one source are ordered, by macro F1, best first.

    Returns
    -------
    DataFrame
        task, told, method, n_sets, of_sets; the mean over data sets of every metric; ``accuracy_sd`` and ``macro_f1_sd``
        (over seeds), ``accuracy_change`` and ``macro_f1_change`` (from raw), ``harmed`` (data sets on which macro F1 fell by
        more than 0.01), ``macro_f1_low`` and ``macro_f1_high`` (95 %, data sets resampled), failed_fraction, seconds (of
        the refinement: median over seeds, mean over data sets) and peak_mib. A refinement without any score is last of
        its source, and the control before it.
    """
    if result.details.empty:
        return pd.DataFrame(columns=[*KEYS, "n_sets", "of_sets"])
    means = set_means(result)
    numbers = [name for name in means if name not in (*KEYS, "dataset", "seeds", "n", "n_types")]
    grouped = means.groupby(KEYS, sort=False)
    board = grouped[numbers].mean()
    board.insert(0, "n_sets", grouped["dataset"].nunique())
    board["harmed"] = (means["macro_f1_change"] < -HARM).groupby([means[key] for key in KEYS], sort=False).sum()
    every = result.details.groupby(KEYS)
    board = pd.DataFrame(index=every.size().index).join(board)
    board["n_sets"] = board["n_sets"].fillna(0).astype(int)
    board.insert(1, "of_sets", result.details["dataset"].nunique())
    board["failed_fraction"] = every["status"].agg(lambda status: float((status != "ok").mean()))
    done = done_runs(result).groupby([*KEYS, "dataset"])
    board["seconds"] = done["seconds"].median().groupby(KEYS).mean()
    board["peak_mib"] = done["peak_mib"].max().groupby(KEYS).max()
    return _ordered(_with_intervals(board.reset_index(), result), blocks(result))


def _with_intervals(board: pd.DataFrame, result: Result) -> pd.DataFrame:
    table = result.table[(result.table["dataset"] == "all") & (result.table["metric"] == "macro_f1")]
    ends = table.rename(columns={"ci_low": "macro_f1_low", "ci_high": "macro_f1_high"})
    return board.merge(ends[["task", "method", "macro_f1_low", "macro_f1_high"]], on=["task", "method"], how="left")


def _ordered(board: pd.DataFrame, order: list[tuple[str, str]]) -> pd.DataFrame:
    place: dict[Any, int] = {block: i for i, block in enumerate(order)}
    key = pd.DataFrame(
        {
            "block": [place[block] for block in zip(board["task"], board["told"], strict=True)],
            "unscored": board["n_sets"] == 0,
            "control": board["method"].map(is_control),
            "partial": board["n_sets"] < board["of_sets"],
            "macro_f1": -board["macro_f1"] if "macro_f1" in board else np.nan,
            "method": board["method"],
        }
    )
    return board.loc[key.sort_values(list(key), na_position="last").index].reset_index(drop=True)


def methods_of(result: Result) -> list[str]:
    """Refinements that were run: raw first, the control last, the others as they stand on the board."""
    found = list(dict.fromkeys(leaderboard(result)["method"].astype(str)))
    return sorted(found, key=lambda method: (method != RAW, is_control(method)))


def type_changes(result: Result) -> pd.DataFrame:
    """F1 of each type, mean over seeds: task, dataset, type, method, cells, f1, precision, recall, raw, change."""
    types = result.extras.get("types")
    if types is None or types.empty:
        return pd.DataFrame()
    grouped = types.groupby(["task", "dataset", "type", "method"], sort=True)
    out = grouped.agg(
        cells=("cells", "mean"), f1=("f1", "mean"), precision=("precision", "mean"), recall=("recall", "mean")
    ).reset_index()
    raw = out[out["method"] == RAW].rename(columns={"f1": "raw"})[["task", "dataset", "type", "raw"]]
    out = out.merge(raw, on=["task", "dataset", "type"], how="left")
    return out.assign(change=out["f1"] - out["raw"])
