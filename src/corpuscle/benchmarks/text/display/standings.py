"""The result seen by task and method; types that no training cell had are means of their own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from corpuscle.benchmarks._paired import bootstrap_interval
from corpuscle.benchmarks.text.display.words import KINDS, METRIC_TITLES, TASK_WORDS, wording_of
from corpuscle.report import Result
from corpuscle.seeds import stream

__all__ = [
    "CONTROL", "SPREAD", "TYPE_NUMBERS", "UNSEEN", "done_runs", "family", "is_control", "is_unseen", "kind_of", "leaderboard",
    "main_method", "of_families", "set_means", "task_title", "tasks_of", "type_means", "unseen_means",
    "unseen_rows", "vectors_of",
]  # fmt: skip

KEYS = ["task", "told", "method"]
SPREAD = ("accuracy", "macro_f1")
UNSEEN = ("new_types", "other_study_new_types")
#: Where the AUC of a seen type is looked up where the task itself has none, to stand beside that of the same type left out.
SEEN_IN = ("new_cells", "held_out_groups", "other_study")
CONTROL = "control"
TYPE_NUMBERS = ("auc", "auc_raw", "recall", "precision@10", "r_precision")


def done_runs(result: Result) -> pd.DataFrame:
    """Details of the runs that ended well."""
    details = result.details
    return details[details["status"] == "ok"] if "status" in details else details


# -- names -------------------------------------------------------------------------------------------------------


def family(method: str) -> str:
    """First name of a method: ``celltext`` of ``celltext:epochs=5@pca``."""
    return method.partition("@")[0].partition(":")[0]


def vectors_of(method: str) -> str:
    """Vectors that a method was given: ``pca`` of ``celltext@pca``; empty where it needs none."""
    return method.partition("@")[2]


def kind_of(method: str) -> str:
    """What a method is for: ``"baseline"``, ``"control"`` or nothing."""
    return KINDS.get(family(method), "")


def is_control(method: str) -> bool:
    """Whether a method must know nothing."""
    return kind_of(method) == CONTROL


def is_unseen(task: str) -> bool:
    """Whether a task is about types that no training cell had."""
    return task in UNSEEN


def task_title(task: str, *, running: bool = False) -> str:
    """Heading of a task, or (``running``) its words within a sentence."""
    template = wording_of(task)
    if template is not None:
        quoted = f"\N{LEFT DOUBLE QUOTATION MARK}{template}\N{RIGHT DOUBLE QUOTATION MARK}"
        return f"new cells asked with {quoted}" if running else f"New wording: {template}"
    return TASK_WORDS.get(task, (task, task))[running]


def tasks_of(result: Result) -> list[str]:
    """Tasks of a result: new cells, new wordings, groups, studies, and new types last."""
    if result.details.empty:
        return []
    order = list(TASK_WORDS)

    def place(task: str) -> tuple[int, float, str]:
        known = order.index(task) if task in order else 0.5 if wording_of(task) is not None else len(order) - 2.5
        return is_unseen(task), known, task

    return sorted({str(task) for task in result.details["task"] if task}, key=place)


def main_method(result: Result, name: str = "celltext", vectors: str | None = None) -> str | None:
    """The method of that first name that a sentence is about: as it comes, of the first vectors; never the best of several.

    Parameters
    ----------
    vectors
        Only of these vectors, or of none.
    """
    there = [str(method) for method in result.details["method"].unique()] if len(result.details) else []
    words = (result.run.get("parameters") or {}).get("embeddings", [])
    keys = [str(word).partition(":")[0] for word in words]
    found = [method for method in there if family(method) == name]
    if vectors is not None:
        found = [method for method in found if vectors_of(method) in ("", vectors)]

    def place(method: str) -> tuple[bool, int, str]:
        key = vectors_of(method)
        return ":" in method.partition("@")[0], keys.index(key) if key in keys else len(keys), method

    return min(found, key=place, default=None)


def of_families(methods: Any, *names: str) -> list[str]:
    """Methods of these first names, in the order of the names."""
    there = sorted({str(method) for method in methods})
    return [method for name in names for method in there if family(method) == name]


# -- means -------------------------------------------------------------------------------------------------------


def set_means(result: Result) -> pd.DataFrame:
    """One row a task, method and data set: mean over seeds of every metric (of a seed's parts first), and its spread."""
    done, columns = done_runs(result), [*KEYS, "dataset"]
    if done.empty:
        return pd.DataFrame(columns=[*columns, "seeds", "n", *METRIC_TITLES])
    done = done.reindex(columns=[*columns, "seed", "n", *METRIC_TITLES])
    by_seed = done.groupby([*columns, "seed"], sort=True)[["n", *METRIC_TITLES]].mean()
    grouped = by_seed.groupby(level=columns, sort=True)
    out = grouped.mean()
    for metric in SPREAD:
        out[f"{metric}_sd"] = grouped[metric].std()
    out["seeds"] = grouped.size()
    return out.reset_index()


def type_means(result: Result) -> pd.DataFrame:
    """Every type, mean over seeds: task, dataset, type, method, left_out, n, seeds, and :data:`TYPE_NUMBERS`."""
    types, keys = result.extras.get("types"), ["task", "dataset", "type", "method", "left_out"]
    if types is None or types.empty:
        return pd.DataFrame(columns=[*keys, "n", *TYPE_NUMBERS, "seeds"]).astype({"left_out": bool})
    types = types.reindex(columns=[*keys, "seed", "n", *TYPE_NUMBERS])
    types["left_out"] = types["left_out"].astype(bool)
    grouped = types.groupby(keys, sort=True)
    return grouped[["n", *TYPE_NUMBERS]].mean().assign(seeds=grouped["seed"].nunique()).reset_index()


def unseen_rows(result: Result) -> pd.DataFrame:
    """AUC of each type while it was left out, beside that of the same type and method when training had it.

    Returns
    -------
    DataFrame
        task, dataset, type, method, n, ``new``, the other numbers of the left-out type, and ``seen``: of the draws that
        left out other types, or of the first task of :data:`SEEN_IN` that has it.
    """
    types, keys = type_means(result), ["dataset", "type", "method"]
    new = types[types["task"].map(is_unseen).astype(bool) & types["left_out"]].rename(columns={"auc": "new"})
    seen = types[~types["left_out"]][["task", *keys, "auc"]]
    new["seen"] = new.merge(seen, on=["task", *keys], how="left")["auc"].set_axis(new.index)
    for task in SEEN_IN:
        more = new[keys].merge(seen[seen["task"] == task], on=keys, how="left")["auc"]
        new["seen"] = new["seen"].fillna(more.set_axis(new.index))
    return new.drop(columns="left_out").sort_values(["task", "dataset", "new"], ignore_index=True)


def unseen_means(result: Result) -> pd.DataFrame:
    """One row a task of new types, method and data set: what becomes of the types that were left out.

    Returns
    -------
    DataFrame
        task, method, dataset; means over left-out types ``unseen_auc``, ``unseen_auc_raw``, ``unseen_recall``,
        ``unseen_precision@10`` and ``unseen_r_precision``; ``unseen_auc_sd`` (over seeds), ``seen_auc`` (of the same types when
        training had them), ``lowest_auc`` (of a type, mean over seeds), ``below_half`` and ``n_types`` (types with an AUC
        below 0.5, of how many with one).
    """
    rows, keys = unseen_rows(result).rename(columns={"new": "auc"}), ["task", "method", "dataset"]
    if rows.empty:
        return pd.DataFrame(columns=[*keys, *UNSEEN_NUMBERS])
    grouped = rows.groupby(keys, sort=True)
    out = grouped[list(TYPE_NUMBERS)].mean().add_prefix("unseen_")
    out["seen_auc"] = grouped["seen"].mean()
    out["lowest_auc"] = grouped["auc"].min()
    out["n_types"] = grouped["auc"].count()
    below = (rows["auc"] < 0.5).groupby([rows[key] for key in keys], sort=True).sum().astype(float)
    out["below_half"] = below.where(out["n_types"] > 0)
    runs = result.extras["types"]
    runs = runs[runs["task"].map(is_unseen) & runs["left_out"].astype(bool)]
    out["unseen_auc_sd"] = runs.groupby([*keys, "seed"])["auc"].mean().groupby(level=keys).std()
    return out.reset_index()


UNSEEN_NUMBERS = [
    *(f"unseen_{name}" for name in TYPE_NUMBERS), "unseen_auc_sd", "lowest_auc", "n_types", "below_half", "seen_auc",
]  # fmt: skip


# -- the board ---------------------------------------------------------------------------------------------------


def leaderboard(result: Result) -> pd.DataFrame:
    """One row a task and method. Only methods of one task are ordered: by macro F1, for new types by their AUC.

    Returns
    -------
    DataFrame
        task, told, method, kind (baseline, control or nothing), n_sets, of_sets; the mean over data sets of every metric;
        ``accuracy_sd`` and ``macro_f1_sd`` (over seeds), ``accuracy_low`` to ``macro_f1_high`` (95 %, data sets resampled);
        for tasks of new types what :func:`unseen_means` has (``below_half`` and ``n_types`` are sums) with
        ``unseen_auc_low`` and ``unseen_auc_high``; failed_fraction, seconds (median over seeds, mean over data sets) and
        peak_mib (highest). Controls stand below all others, and a method without any score is last.
    """
    if result.details.empty:
        return pd.DataFrame(columns=[*KEYS, "kind", "n_sets", "of_sets"])
    means = set_means(result)
    numbers = [name for name in means if name not in (*KEYS, "dataset", "seeds", "n")]
    grouped = means.groupby(KEYS, sort=False)
    details = result.details[result.details["task"].astype(str) != ""]
    every = details.groupby(KEYS)
    board = pd.DataFrame(index=every.size().index).join(grouped[numbers].mean())
    board.insert(0, "n_sets", grouped["dataset"].nunique())
    board["n_sets"] = board["n_sets"].fillna(0).astype(int)
    board["failed_fraction"] = every["status"].agg(lambda status: float((status != "ok").mean()))
    done = done_runs(result).groupby([*KEYS, "dataset"])
    board["seconds"] = done["seconds"].median().groupby(KEYS).mean()
    board["peak_mib"] = done["peak_mib"].max().groupby(KEYS).max()
    board = board.reset_index()
    board.insert(4, "of_sets", board["task"].map(details.groupby("task")["dataset"].nunique()))
    board.insert(3, "kind", board["method"].map(kind_of))
    for metric in SPREAD:
        board = board.merge(_ends(result, metric), on=["task", "method"], how="left")
    return _ordered(board.merge(_unseen_board(result), on=["task", "method"], how="left"), tasks_of(result))


def _ends(result: Result, metric: str) -> pd.DataFrame:
    table = result.table[(result.table["dataset"] == "all") & (result.table["metric"] == metric)]
    ends = table.rename(columns={"ci_low": f"{metric}_low", "ci_high": f"{metric}_high"})
    return ends[["task", "method", f"{metric}_low", f"{metric}_high"]]


def _unseen_board(result: Result) -> pd.DataFrame:
    """Means over data sets of :func:`unseen_means`."""
    means, keys = unseen_means(result), ["task", "method"]
    seed = (result.run.get("parameters") or {}).get("seed") or 0
    rows = []
    for (task, method), of in means.groupby(keys, sort=True):
        value_s = of.sort_values("dataset")["unseen_auc"].dropna().to_numpy(float)
        low, high = bootstrap_interval(value_s, stream(int(seed), "unseen", str(task)))
        sums = {name: of[name].sum(min_count=1) for name in ("below_half", "n_types")}
        row = of[UNSEEN_NUMBERS].mean().to_dict() | sums | {"lowest_auc": of["lowest_auc"].min()}
        rows.append({"task": task, "method": method, **row, "unseen_auc_low": low, "unseen_auc_high": high})
    columns = [*keys, *UNSEEN_NUMBERS, "unseen_auc_low", "unseen_auc_high"]
    return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(columns[2:], float))


def _ordered(board: pd.DataFrame, order: list[str]) -> pd.DataFrame:
    place = {task: i for i, task in enumerate(order)}
    unseen = board["task"].map(is_unseen).astype(bool)
    scores = board["macro_f1"] if "macro_f1" in board else pd.Series(np.nan, board.index)
    best = np.where(unseen, board["unseen_auc"], scores)
    key = pd.DataFrame(
        {
            "task": board["task"].map(place),
            "unscored": board["n_sets"] == 0,
            "control": board["method"].map(is_control),
            "partial": board["n_sets"] < board["of_sets"],
            "best": -best,
            "method": board["method"],
        }
    )
    return board.loc[key.sort_values(list(key), na_position="last").index].reset_index(drop=True)
