"""The result seen by method, in blocks of scores that were told the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from corpuscle.benchmarks.clustering.display.words import METRIC_TITLES, PROTOCOLS, TOLD
from corpuscle.report import Result

__all__ = ["blocks", "done_runs", "leaderboard", "of_block", "set_means"]

SPREAD = ("ari", "ami", "acc", "macro_f1")
IN_DETAILS = [name for name in METRIC_TITLES if name != "stability"]
KEYS = ["told", "protocol", "method"]


def done_runs(result: Result) -> pd.DataFrame:
    """Details of the runs that ended well."""
    details = result.details
    return details[details["status"] == "ok"] if "status" in details else details


def blocks(result: Result) -> list[tuple[str, str]]:
    """(told, protocol) of the scores there are, in the order in which they are shown."""
    done = done_runs(result)
    if done.empty:
        return []
    there = set(zip(done["told"], done["protocol"], strict=True))
    told, protocols = list(TOLD), list(PROTOCOLS)
    place = {**{t: i for i, t in enumerate(told)}, **{p: i for i, p in enumerate(protocols)}}
    return sorted(there, key=lambda b: (place.get(b[0], 99), place.get(b[1], 99), b))


def set_means(result: Result) -> pd.DataFrame:
    """One row a block, method and data set: mean of every metric over seeds, and its spread."""
    done = done_runs(result)
    if done.empty:
        return pd.DataFrame(columns=[*KEYS, "dataset", "seeds", *IN_DETAILS, "stability"])
    grouped = done.groupby([*KEYS, "dataset"], sort=True)
    out = grouped[IN_DETAILS].mean()
    for metric in SPREAD:
        out[f"{metric}_sd"] = grouped[metric].std()
    out["seeds"] = grouped["seed"].nunique()
    for name in ("n_clusters", "n_types"):
        out[name] = grouped[name].mean()
    out = out.reset_index()
    steady = result.extras.get("stability")
    if steady is None:
        return out.assign(stability=np.nan)
    return out.merge(steady[[*KEYS, "dataset", "stability"]], on=[*KEYS, "dataset"], how="left")


def leaderboard(result: Result) -> pd.DataFrame:
    """One row per block and method. Blocks are what scores were told; only inside one are methods ordered, best first.

    Returns
    -------
    DataFrame
        told, protocol, method, n_sets, of_sets; the mean over data sets of every metric and of the stability over
        seeds; ``<metric>_sd`` (over seeds), ``ari_low`` and ``ari_high`` (95 %, data sets resampled), failed_fraction
        (of all runs), seconds (median over seeds, mean over data sets) and peak_mib (highest). A method without any
        score is last, with an empty protocol.
    """
    means, done = set_means(result), done_runs(result)
    columns = [*KEYS, "n_sets", "of_sets"]
    if result.details.empty:
        return pd.DataFrame(columns=columns)
    numbers = [name for name in means if name in METRIC_TITLES or name.endswith("_sd")]
    board = means.groupby(KEYS, sort=False)[numbers].mean().reset_index()
    board.insert(3, "n_sets", means.groupby(KEYS, sort=False)["dataset"].nunique().to_numpy())
    board.insert(4, "of_sets", result.details["dataset"].nunique())
    board = _with_intervals(board, result)
    unscored = result.details[~result.details["method"].isin(done["method"])]
    if len(unscored):
        extra = unscored[["method", "told"]].drop_duplicates().assign(protocol="", n_sets=0)
        board = pd.concat([board, extra.assign(of_sets=result.details["dataset"].nunique())], ignore_index=True)
    board = board.merge(_costs(result), on="method", how="left")
    return _ordered(board, blocks(result))


def _with_intervals(board: pd.DataFrame, result: Result) -> pd.DataFrame:
    table = result.table[(result.table["dataset"] == "all") & (result.table["metric"] == "ari")]
    ends = table.rename(columns={"task": "protocol", "ci_low": "ari_low", "ci_high": "ari_high"})
    return board.merge(ends[["protocol", "method", "ari_low", "ari_high"]], on=["protocol", "method"], how="left")


def _costs(result: Result) -> pd.DataFrame:
    runs = result.details.drop_duplicates(["dataset", "method", "seed"])
    failed = runs.groupby("method")["status"].agg(lambda status: float((status != "ok").mean()))
    ended = runs[runs["status"] == "ok"].groupby(["method", "dataset"])
    seconds = ended["seconds"].median().groupby("method").mean()
    peak = ended["peak_mib"].max().groupby("method").max()
    out = pd.DataFrame({"failed_fraction": failed, "seconds": seconds, "peak_mib": peak})
    return out.rename_axis("method").reset_index()


def _ordered(board: pd.DataFrame, order: list[tuple[str, str]]) -> pd.DataFrame:
    place: dict[Any, int] = {block: i for i, block in enumerate(order)}
    key = pd.DataFrame(
        {
            "block": [place.get(block, len(place)) for block in zip(board["told"], board["protocol"], strict=True)],
            "partial": board["n_sets"] < board["of_sets"],
            "ari": -board["ari"] if "ari" in board else 0.0,
            "method": board["method"],
        }
    )
    return board.loc[key.sort_values(list(key), na_position="last").index].reset_index(drop=True)


def of_block(board: pd.DataFrame, block: tuple[str, str]) -> pd.DataFrame:
    """Rows of one block."""
    return board[(board["told"] == block[0]) & (board["protocol"] == block[1])]
