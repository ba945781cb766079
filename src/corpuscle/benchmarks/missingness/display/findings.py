"""What a result says in plain words, and what it cannot say."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from corpuscle.benchmarks._display import failed_lines, named
from corpuscle.benchmarks.missingness.compare import AGAINST, FEWEST_SETS
from corpuscle.benchmarks.missingness.display.standings import (
    FILLS,
    done_runs,
    is_dropout,
    main_method,
    means,
    set_means,
)
from corpuscle.report import Result
from corpuscle.report.format import defined, fixed, significant

__all__ = ["headline", "learnt", "unsaid"]

SIGNIFICANT = 0.05
#: A subspace error that differs by less is the same for a reader.
SAME = 0.02
#: What differs by less is the same to three digits.
TIE = 0.001
#: An error of distances so many times that of the clipped formula is a failure of the published one.
APART = 1.5


def headline(result: Result) -> str:
    """What the correction does to distances, to neighbours, and to the leading directions, against the mean fill."""
    name, random = main_method(result), _random(means(result))
    if not name:
        return "No method but the fills could be judged; the reasons are below"
    ours, filled = (random[random["method"] == method].set_index("task") for method in (name, AGAINST))
    both = ours.index.intersection(filled.index)
    if not len(both):
        return f"{name} was judged only where values decide what is lost, and no correction is unbiased there"
    ours, filled = ours.loc[both].mean(numeric_only=True), filled.loc[both].mean(numeric_only=True)
    return (
        f"{name} against the mean fill: error of distances {_beside(ours, filled, 'd2_error')}, neighbours found "
        f"{_beside(ours, filled, 'knn_recall_distances')}; leading directions {_direction(ours, filled)} "
        f"({_beside(ours, filled, 'sin_theta')})"
    )


def _random(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of masks that know no value."""
    return rows[~rows["kind"].map(is_dropout).astype(bool)] if len(rows) else rows


def _beside(ours: pd.Series, filled: pd.Series, metric: str) -> str:
    return f"{fixed(ours[metric])} to {fixed(filled[metric])}"


def _direction(ours: pd.Series, filled: pd.Series) -> str:
    change = float(ours["sin_theta"] - filled["sin_theta"])
    if abs(change) <= SAME:
        return "no better and no worse"
    return "worse" if change > 0 else "closer"


def learnt(result: Result) -> list[str]:
    """Facts that the tables hold, each in a sentence."""
    if done_runs(result).empty:
        return [*failed_lines(result.details, result)]
    name, rows, by_set = main_method(result), means(result), set_means(result)
    random = _random(rows)
    return [
        *_distances(name, random), *_worse(name, _random(by_set)), *_best(name, random), *_subspace(name, _random(by_set)),
        *_published(random), *_policies(name, rows), *_compared(result), *failed_lines(result.details, result),
    ]  # fmt: skip


def _distances(name: str, rows: pd.DataFrame) -> Iterator[str]:
    for task, of_task in rows.groupby("task", sort=False):
        found = of_task.set_index("method")["d2_error"]
        if name in found and set(FILLS) <= set(found.index):
            zero, mean = (fixed(found[fill]) for fill in FILLS)
            times = min(found[fill] for fill in FILLS) / found[name] if found[name] > 0 else float("nan")
            by = f", {significant(times, 2)} times that of {name}" if defined(times) and times > 1 else ""
            yield f"{task}: error of distances {fixed(found[name])} with {name}, {zero} with zeros, {mean} with means{by}."


def _worse(name: str, by_set: pd.DataFrame) -> Iterator[str]:
    worse = by_set[(by_set["method"] == name) & (by_set["d2_error_ratio"] > 1)]
    if len(worse):
        listed = [f"{row.dataset} under {row.task}" for row in worse.itertuples()]
        yield f"Distances of {name} are worse than those of the mean fill on {named(listed)}."


def _best(name: str, rows: pd.DataFrame) -> Iterator[str]:
    rows = rows[rows["told"].isin(set(rows.loc[rows["method"].isin(FILLS), "told"]))] if len(rows) else rows
    for metric, more, what in (
        ("d2_error", False, "the smallest error of distances"), ("knn_recall_distances", True, "most neighbours"),
    ):  # fmt: skip
        listed = []
        for task, of_task in rows.dropna(subset=[metric]).groupby("task", sort=False):
            best = of_task.loc[of_task[metric].idxmax() if more else of_task[metric].idxmin()]
            ours = of_task.loc[of_task["method"] == name, metric]
            if len(ours) and abs(best[metric] - ours.iloc[0]) > TIE:
                listed.append(f"{task} ({best['method']} {fixed(best[metric])}, {name} {fixed(ours.iloc[0])})")
        if listed:
            yield f"Another method has {what} under {named(listed)}."


def _subspace(name: str, rows: pd.DataFrame) -> Iterator[str]:
    change = rows.loc[rows["method"] == name, "sin_theta_change"].dropna() if len(rows) else pd.Series(dtype=float)
    if len(change):
        worse, better = int((change > SAME).sum()), int((change < -SAME).sum())
        yield (
            f"The leading directions of {name} are closer to the truth than those of the mean fill by more than {SAME:g} on "
            f"{better} of {len(change)} pairs of data set and mask, farther on {worse}, and about the same on the rest."
        )


def _published(rows: pd.DataFrame) -> Iterator[str]:
    wide = rows.pivot_table(index="task", columns="method", values="d2_error", sort=False) if len(rows) else rows
    if {"authors", "ratio_rank1"} <= set(wide.columns):
        apart = wide[wide["authors"] > APART * wide["ratio_rank1"]]
        listed = [
            f"{task} ({fixed(row['authors'])}, clipped {fixed(row['ratio_rank1'])})" for task, row in apart.iterrows()
        ]
        if listed:
            yield f"The constant that the published formula raises makes its distances worse under {named(listed)}."


def _policies(name: str, rows: pd.DataFrame) -> Iterator[str]:
    """What each choice of missing zeros does to directions and distances, where values decide."""
    rows = rows[rows["kind"].map(is_dropout).astype(bool) & (rows["method"] == name)]
    for row in rows.itertuples():
        yield (
            f"{row.task}: {name} has a subspace error of {fixed(row.sin_theta)}, an error of distances of "
            f"{fixed(row.d2_error)} and finds {fixed(row.knn_recall_distances)} of the neighbours."
        )


def _compared(result: Result) -> Iterator[str]:
    table = result.extras.get("comparisons")
    if table is None:
        return
    tested = table[(table["metric"] == "d2_error") & (table["p_holm"] < SIGNIFICANT)]
    for task, rows in tested.groupby("task", sort=True):
        listed = [
            f"{row.method} (× {significant(row.ratio, 2)}, p {significant(row.p_holm, 2)})" for row in rows.itertuples()
        ]
        yield f"Distances under {task} differ from the mean fill over {rows['n_sets'].max()} data sets: {named(listed)}."


def unsaid(result: Result) -> list[str]:
    """Name the limits of this very result."""
    done = done_runs(result)
    if done.empty:
        return ["Nothing was judged, so nothing can be said about any method."]
    out, n_sets = [], done["dataset"].nunique()
    if n_sets < FEWEST_SETS:
        sets = "one data set is" if n_sets == 1 else f"{n_sets} data sets are"
        out.append(f"Whether a difference would hold on other data: {sets} too few for any test.")
    if done["seed"].nunique() < 2:
        out.append("How far a number depends on the holes that were drawn: there was one draw.")
    out += [
        "What is missing in your data: these holes were made, independent of each other and, but for dropout, of the value. "
        "Where a value decides whether it is lost, no correction here is unbiased.",
        "Which zeros of counts are missing: apart from dropout, every zero was taken as a true value.",
        "What an imputer could do with tuning: every method ran as its name says. Values that were filled in were judged only "
        "by the distances and directions that follow from them.",
        "Whether the labels are right: the agreement of clusters moves by some hundredths from k-means alone.",
    ]
    return out
