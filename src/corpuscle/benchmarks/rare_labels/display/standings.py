"""The result seen by arm and amount: null controls apart, and never ranked."""

from __future__ import annotations

import numpy as np
import pandas as pd

from corpuscle.benchmarks.rare_labels.compare import EVERY
from corpuscle.benchmarks.rare_labels.score import METRICS
from corpuscle.report import Result

__all__ = [
    "CROSSED",
    "ENTRY",
    "by_rarity",
    "done_runs",
    "entry_name",
    "leaderboard",
    "nulls",
    "standings",
    "unit_means",
]

ENTRY = ["method", "amount", "role"]
CROSSED = ["tstr", "trts", "tstr_ratio"]
DRAW = ["dataset", "label", "rarity", "seed"]


def done_runs(result: Result) -> pd.DataFrame:
    """Details of the runs that ended well."""
    details = result.details
    return details[details["status"] == "ok"] if "status" in details else details


def entry_name(method: str, amount: str) -> str:
    """``smote x5``; the arm alone where it adds nothing."""
    return f"{method} {amount}".strip()


def unit_means(result: Result, *more: str) -> pd.DataFrame:
    """Mean over repeats of every metric, a row an arm, amount, data set and label, and whatever ``more`` names."""
    keys = [*ENTRY, "dataset", "label", *more]
    return done_runs(result).groupby(keys, sort=True)[[*METRICS, *CROSSED]].mean().reset_index()


def by_rarity(result: Result) -> pd.DataFrame:
    """Mean over data sets of AUPRC and F1, a row an arm, amount and rarity."""
    keys = [*ENTRY, "rarity"]
    by_set = unit_means(result, "rarity").groupby([*keys, "dataset"])[["auprc", "f1"]].mean()
    return by_set.groupby(keys).mean().reset_index()


def standings(result: Result) -> pd.DataFrame:
    """One row an arm and amount, best first.

    Returns
    -------
    DataFrame
        method, amount, role, told; ``n_draws`` of ``of_draws``, n_sets; means over data sets (of the mean over labels, of
        the mean over rarities and repeats) of every metric and of training on synthetic samples; differences from class
        weights with 95 % intervals: ``gain`` (AUPRC, with ``p_holm``), ``f1_gain``, and ``harm`` (macro-F1 of the other
        labels, below 0 where they lose); failed_fraction, seconds (median) and peak_mib. An arm that did not run on all
        draws follows those that did.
    """
    details, done = result.details, done_runs(result)
    if details.empty:
        return pd.DataFrame(columns=[*ENTRY, "told", "n_draws", "of_draws", "n_sets"])
    by_set = unit_means(result).groupby([*ENTRY, "dataset"])[[*METRICS, *CROSSED]].mean()
    board = by_set.groupby(ENTRY).mean()
    grouped = done.groupby(ENTRY)
    board.insert(0, "n_draws", grouped.size())
    board.insert(1, "of_draws", len(details[DRAW].drop_duplicates()))
    board.insert(2, "n_sets", grouped["dataset"].nunique())
    board["seconds"], board["peak_mib"] = grouped["seconds"].median(), grouped["peak_mib"].max()
    board = board.reset_index()
    failed = details[details["status"] != "ok"].groupby("method").size()
    per_arm = details.drop_duplicates([*DRAW, "method"]).groupby("method").size()
    board["failed_fraction"] = board["method"].map(failed.reindex(per_arm.index).fillna(0) / per_arm)
    board.insert(3, "told", board["method"].map(details.groupby("method")["told"].first()))
    board = _with_tests(board, result)
    partial = board["n_draws"] < board["of_draws"]
    order = board.assign(partial=partial).sort_values(["partial", "auprc", "method", "amount"], ascending=[1, 0, 1, 1])
    return order.drop(columns="partial").reset_index(drop=True)


def _with_tests(board: pd.DataFrame, result: Result) -> pd.DataFrame:
    table = result.extras.get("comparisons")
    names = {"gain": "auprc", "harm": "macro_f1_others", "f1_gain": "f1"}
    for name, metric in names.items():
        columns = {"difference": name, "ci_low": f"{name}_low", "ci_high": f"{name}_high"}
        if name == "gain":
            columns["p_holm"] = "p_holm"
        if table is None:
            board = board.assign(**dict.fromkeys(columns.values(), np.nan))
            continue
        rows = table[(table["rarity"] == EVERY) & (table["metric"] == metric)].rename(columns=columns)
        board = board.merge(rows[["method", "amount", *columns.values()]], on=["method", "amount"], how="left")
    return board


def leaderboard(result: Result) -> pd.DataFrame:
    """Arms and amounts by mean AUPRC, see :func:`standings`; null controls are not among them."""
    board = standings(result)
    return board[board["role"] != "null"].reset_index(drop=True)


def nulls(result: Result) -> pd.DataFrame:
    """The same of null controls."""
    board = standings(result)
    return board[board["role"] == "null"].reset_index(drop=True)
