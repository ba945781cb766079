"""What a result says in plain words, and what it cannot say."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from corpuscle.benchmarks._display import named
from corpuscle.benchmarks.coregulation.display.standings import default_units, leaderboard, ranking_task, tasks_of
from corpuscle.benchmarks.coregulation.options import BASELINE
from corpuscle.report import Result

__all__ = ["headline", "learnt", "unsaid"]

#: From here on a method is said to invent correlation.
INFLATED = 1.5
TESTABLE = 0.05


def headline(result: Result) -> str:
    """Who leads and who falls behind, no stronger than the intervals allow."""
    board, task = leaderboard(result), ranking_task(result)
    if not task:
        return "No method could be judged; the reasons are below"
    score = f"{task}_percentile"
    judged = _judged(board, score)
    if judged.empty:
        return "No method has a defined score; the reasons are below"
    if len(judged) == 1:
        only = judged.iloc[0]
        return f"{only['method']} puts the known pairs above {only[score]:.0%} of their background"
    behind = judged[judged["place_low"] > 1]
    leading = judged[judged["place_low"] == 1]
    best = judged.iloc[0]
    if leading.empty:
        return f"{best['method']} scores highest ({best[score]:.3f}), without an interval to say how surely"
    if behind.empty:
        return f"These data do not tell the {len(judged)} methods apart"
    losers = named(behind.iloc[::-1]["method"])
    verb = "fall" if len(behind) > 1 else "falls"
    if len(leading) == 1:
        return f"{best['method']} keeps the known sign best; {losers} {verb} behind"
    return f"{len(leading)} methods cannot be told apart at the top; {losers} {verb} behind"


def learnt(result: Result) -> list[str]:
    """Facts that the tables hold, each in a sentence."""
    return [*_best_and_worst(result), *_distances(result), *_wrong_signs(result), *_inflated(result), *_failed(result)]


def unsaid(result: Result) -> list[str]:
    """Name the limits of this very result."""
    units = default_units(result)
    if units.empty:
        return ["Nothing was measured, so nothing can be said about any method."]
    out = []
    board, task = leaderboard(result), ranking_task(result)
    if task:
        tied = int((board["place_low"] == 1).sum())
        if tied > 1:
            out.append(f"In what order the {tied} methods at the top stand: their intervals overlap the highest one.")
    out += _series_limit(units["series"].nunique() if "series" in units else 1)
    tasks = tasks_of(result)
    if "promoter_reporter" not in tasks:
        rest = "; split genes stand in for it" if "count_split" in tasks else ""
        out.append(f"Whether a positive relation is kept: no sample has a reporter{rest}.")
    if "allelic_exclusion" not in tasks:
        out.append("Whether a negative relation is kept: no sample has B cells with both light chains.")
    weak = units[units["status"] == "underpowered"][["sample_id", "pair"]].drop_duplicates()
    if len(weak):
        names = named([f"{row.sample_id} {row.pair}" for row in weak.itertuples()])
        out.append(f"Anything from {names}: too few cells or background genes, so left out of the scores.")
    out.append(
        "How a method does at clustering, integration or differential expression: a pair's correlation is one use."
    )
    return out


def _judged(board: pd.DataFrame, score: str) -> pd.DataFrame:
    """Methods that have a score and ran at least once: a method that only failed scores as chance, and says nothing."""
    return board[board[score].notna() & ~(board["failed_fraction"] >= 1)]


def _best_and_worst(result: Result) -> Iterator[str]:
    board, task = leaderboard(result), ranking_task(result)
    score = f"{task}_percentile"
    judged = _judged(board, score) if task else board.iloc[:0]
    if len(judged) < 2:
        return
    best, worst = judged.iloc[0], judged.iloc[-1]
    yield (
        f"Highest: {best['method']}, which puts the pair above {best[score]:.1%} of genes of like abundance. "
        f"Lowest: {worst['method']}, {worst[score]:.1%}. Chance is 50%."
    )
    baseline = judged[judged["method"] == BASELINE]
    if len(baseline) and best["method"] != BASELINE:
        row = baseline.iloc[0]
        where = "is among the leading group" if row["place_low"] == 1 else "is behind the leading group"
        yield f"{BASELINE}, what most people use, reaches {row[score]:.1%} and {where}."


def _distances(result: Result) -> Iterator[str]:
    """Where percentiles tie, how far the pair stands out still differs."""
    board, task = leaderboard(result), ranking_task(result)
    task = "allelic_exclusion" if task == "combined" else task
    z = f"{task}_z_robust"
    if z not in board or "place_low" not in board:
        return
    tied = board[board["place_low"] == 1]
    if tied[z].notna().sum() < 2:
        return
    far, near = tied.loc[tied[z].idxmax()], tied.loc[tied[z].idxmin()]
    yield (
        f"Among those at the top the pair stands out furthest with {far['method']} (robust z {far[z]:.1f}) and least "
        f"with {near['method']} ({near[z]:.1f})."
    )


def _wrong_signs(result: Result) -> Iterator[str]:
    units = default_units(result)
    if units.empty:
        return
    far_end = np.where(units["sign"] > 0, units["ci_high"], -units["ci_low"])
    wrong = units[(units["sign"] * units["r"] < 0) & (far_end < 0) & (units["status"] == "ok")]
    if len(wrong):
        names = named(wrong["method"].drop_duplicates())
        n = len(wrong[["sample_id", "pair"]].drop_duplicates())
        yield f"Wrong sign, with the whole interval on the wrong side: {names} (in {n} of {_n_units(units)} pairs)."


def _n_units(units: pd.DataFrame) -> int:
    return len(units[["sample_id", "pair"]].drop_duplicates())


def _inflated(result: Result) -> Iterator[str]:
    board = leaderboard(result)
    if "inflation_index" not in board:
        return
    high = board[board["inflation_index"] >= INFLATED].sort_values("inflation_index", ascending=False)
    if len(high):
        names = named([f"{row.method} ({row.inflation_index:.1f}×)" for row in high.itertuples()])
        yield f"Unrelated genes come out at least {INFLATED:g} times as correlated as under {BASELINE} with {names}."
    elif board["inflation_index"].notna().any():
        yield f"No method makes unrelated genes {INFLATED:g} times as correlated as {BASELINE} does."


def _failed(result: Result) -> Iterator[str]:
    failures = result.failures[result.failures["method"].fillna("") != ""]
    if len(failures):
        yield f"Not everything ran: {named(failures['method'].drop_duplicates())}. A failed unit scores as chance."


def _series_limit(n: int) -> list[str]:
    smallest = 2.0 ** (1 - n)
    if n == 1:
        return ["Whether another experiment would agree: all samples are of one series, so no method can be tested."]
    if smallest > TESTABLE:
        return [f"Whether a difference is significant: with {n} series no p-value can be below {smallest:.2g}."]
    return []
