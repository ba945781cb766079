"""What a result says in plain words, and what it cannot say."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from corpuscle.benchmarks._display import failed_lines, named
from corpuscle.benchmarks.annotation.compare import FEWEST_SETS, HARM, RAW
from corpuscle.benchmarks.annotation.display.standings import (
    done_runs,
    is_control,
    is_noise,
    leaderboard,
    set_means,
    type_changes,
)
from corpuscle.benchmarks.annotation.display.words import TITLES
from corpuscle.report import Result
from corpuscle.report.format import fixed, significant

__all__ = ["headline", "learnt", "unsaid"]

SIGNIFICANT = 0.05
#: A type whose F1 falls by so much was lost, whatever the mean says.
LOST = 0.2


def headline(result: Result) -> str:
    """What refinement did to accuracy and to macro F1, and how often it did harm."""
    pairs = _pairs(result)
    told = [method for method in ("guarded", "grit") if (pairs["method"] == method).any()]
    if not told:
        return "No refinement could be judged; the reasons are below"
    if len(told) == 1:
        return _gain(pairs, told[0])
    rival = pairs[pairs["method"] == "grit"]
    return f"{_gain(pairs, 'guarded')}; as published: {_short(rival)}"


def _pairs(result: Result) -> pd.DataFrame:
    """Changes from raw of each data set and source that a user could have."""
    means = set_means(result)
    real = means[~means["task"].map(is_noise).astype(bool)] if len(means) else means
    return real.dropna(subset=["macro_f1_change"])


def _gain(pairs: pd.DataFrame, method: str) -> str:
    rows = pairs[pairs["method"] == method]
    return f"{TITLES[method]}: {_short(rows)}"


def _short(rows: pd.DataFrame) -> str:
    harmed = int((rows["macro_f1_change"] < -HARM).sum())
    where = f"{harmed} of {len(rows)} pairs of data set and scores" if harmed else f"none of {len(rows)} pairs"
    return (
        f"accuracy {_signed(rows['accuracy_change'].mean())}, macro F1 {_signed(rows['macro_f1_change'].mean())}, "
        f"harm on {where}"
    )


def _signed(value: float) -> str:
    return f"+{fixed(value)}" if value > 0 else fixed(value)


def learnt(result: Result) -> list[str]:
    """Facts that the tables hold, each in a sentence."""
    if done_runs(result).empty:
        return [*failed_lines(result.details, result)]
    return [
        *_best(result), *_hidden(result), *_lost(result), *_control(result), *_noise(result), *_compared(result),
        *failed_lines(result.details, result),
    ]  # fmt: skip


def _best(result: Result) -> Iterator[str]:
    board = leaderboard(result)
    for task, rows in board[board["n_sets"] > 0].groupby("task", sort=False):
        real = rows[~rows["method"].map(is_control)]
        if is_noise(str(task)) or len(real) < 2:
            continue
        best, raw = real.iloc[0], real[real["method"] == RAW]
        if best["method"] == RAW:
            yield f"Of {task}, no refinement has a higher macro F1 than the raw scores: {fixed(best['macro_f1'])}."
            continue
        before = f", raw {fixed(raw.iloc[0]['macro_f1'])}" if len(raw) else ""
        yield f"Of {task}, the highest macro F1 has {best['method']}: {fixed(best['macro_f1'])}{before}."


def _hidden(result: Result) -> Iterator[str]:
    pairs = _pairs(result)
    hidden = pairs[(pairs["accuracy_change"] > 0) & (pairs["macro_f1_change"] < -HARM) & (pairs["method"] != RAW)]
    if len(hidden):
        listed = [f"{row.method} of {row.task} on {row.dataset}" for row in hidden.itertuples()]
        yield f"Accuracy rose while macro F1 fell, so that accuracy alone would hide the harm: {named(listed)}."


def _lost(result: Result) -> Iterator[str]:
    types = type_changes(result)
    if types.empty:
        return
    lost = types[(types["change"] < -LOST) & types["method"].isin(["grit", "guarded"])].sort_values("change")
    lost = lost[~lost["task"].map(is_noise).astype(bool)]
    for method, rows in lost.groupby("method", sort=True):
        listed = [
            f"{row.type} ({row.task}, {row.dataset}: {fixed(row.raw, 2)} to {fixed(row.f1, 2)})"
            for row in rows.itertuples()
        ]
        yield f"Types that {TITLES[str(method)]} loses, by F1: {named(listed)}."


def _control(result: Result) -> Iterator[str]:
    means = set_means(result)
    control = means[means["method"].map(is_control).astype(bool)].dropna(subset=["accuracy_change"])
    if len(control):
        below = int((control["accuracy_change"] < 0).sum())
        verdict = "as it must be" if below == len(control) else "elsewhere the graph is not what helps"
        yield f"On a graph of shuffled cells accuracy is below raw on {below} of {len(control)} pairs, {verdict}."


def _noise(result: Result) -> Iterator[str]:
    board = leaderboard(result)
    rows = board[board["task"].map(is_noise).astype(bool) & board["method"].isin([RAW, "grit"]) & (board["n_sets"] > 0)]
    for task, pair in rows.groupby("task", sort=True):
        of = pair.set_index("method")["accuracy"]
        if {RAW, "grit"} <= set(of.index):
            yield f"Errors independent of cell and type ({task}): accuracy {fixed(of[RAW])} becomes {fixed(of['grit'])}."


def _compared(result: Result) -> Iterator[str]:
    table = result.extras.get("comparisons")
    if table is None:
        return
    tested = table[(table["metric"] == "macro_f1") & (table["p_holm"] < SIGNIFICANT) & ~table["method"].map(is_control)]
    for task, rows in tested.groupby("task", sort=True):
        listed = [
            f"{row.method} ({_signed(row.difference)}, p {significant(row.p_holm, 2)})" for row in rows.itertuples()
        ]
        yield f"Macro F1 of {task} differs from raw over {rows['n_sets'].max()} data sets: {named(listed)}."


def unsaid(result: Result) -> list[str]:
    """Name the limits of this very result."""
    done = done_runs(result)
    if done.empty:
        return ["Nothing was judged, so nothing can be said about any refinement."]
    out = []
    n_sets = done["dataset"].nunique()
    if n_sets < FEWEST_SETS:
        out.append(f"Whether a difference would hold on other data: {n_sets} data sets are too few for any test.")
    if done["seed"].nunique() < 2:
        out.append("How far a number depends on the cells that were drawn: there was one draw.")
    out += [
        "Whether the labels are right: labels that were made from clusters favour methods that smooth over clusters.",
        "What happens with cells of a type that is no candidate: candidates are the types that are present.",
        "Whether one lambda suits other scores: every refinement ran as its name says, and nothing was tuned here.",
        "How the seeds' spread compares with that of new data: seeds draw from the same cells, so it is narrower.",
    ]
    return out
