"""What the numbers say, in sentences, and what they cannot say."""

from __future__ import annotations

import numpy as np
import pandas as pd

from corpuscle.benchmarks.topics.display.standings import leaderboard, ranking_metric
from corpuscle.benchmarks.topics.names import metric
from corpuscle.report import Result
from corpuscle.report.format import count, fixed, share, significant

__all__ = ["headline", "learnt", "unsaid"]


def headline(result: Result) -> str:
    """The answer in one sentence."""
    board, name = leaderboard(result), ranking_metric(result)
    if not name:
        return "No method gave topics that could be judged"
    ranked = board[~board["control"] & board[name].notna()]
    if ranked.empty:
        return "Only the control gave topics that could be judged"
    best = ranked.iloc[0]
    title = metric(name).title.lower()
    said = f"{best['method']} has the highest topic {title}, {fixed(best[name])}"
    if len(ranked) > 1:
        second = ranked.iloc[1]
        apart = abs(best[name] - second[name])
        noise = np.nansum([best[f"{name}_sd"], second[f"{name}_sd"]])
        said += f", {second['method']} {fixed(second[name])}"
        said += "; the seeds differ by as much" if apart <= noise else ""
    return said


def learnt(result: Result) -> list[str]:
    """What else the numbers say."""
    board = leaderboard(result)
    if board.empty:
        return []
    return [sentence for sentence in (*_bests(board), _control(board), _repeats(board), _unsteady(board)) if sentence]


def _bests(board: pd.DataFrame) -> list[str]:
    out = []
    for name in ("topic_coherence", "topic_diversity", "gsea_n_unique", "ora_n_unique", "interpretation_purity"):
        ranked = board[~board["control"] & board[name].notna()] if name in board else board.iloc[:0]
        if len(ranked) > 1:
            best = ranked.loc[ranked[name].idxmax()]
            value = fixed(best[name]) if abs(best[name]) < 2 else significant(best[name])
            out.append(f"{metric(name).title} is highest for {best['method']}: {value}.")
    return out


def _control(board: pd.DataFrame) -> str:
    if "topic_coherence" not in board or not board["control"].any():
        return ""
    chance = board.loc[board["control"], "topic_coherence"].max()
    below = board[~board["control"] & (board["topic_coherence"] <= chance)]["method"]
    if not np.isfinite(chance):
        return ""
    said = f"With the genes' names shuffled, coherence is {fixed(chance)}"
    return f"{said}; no better than that: {', '.join(below)}." if len(below) else f"{said}; every method exceeds it."


def _repeats(board: pd.DataFrame) -> str:
    name = "gsea_unique_fraction" if board.get("gsea_unique_fraction", pd.Series(dtype=float)).notna().any() else ""
    if not name:
        return ""
    ranked = board[~board["control"] & board[name].notna()]
    if ranked.empty:
        return ""
    worst = ranked.loc[ranked[name].idxmin()]
    return (
        f"Counts of enriched sets reward repetition: of {count(worst['gsea_n_enriched'])} for {worst['method']}, only "
        f"{share(worst[name])} are different sets."
    )


def _unsteady(board: pd.DataFrame) -> str:
    name = "topic_stability_centred"
    ranked = board[~board["control"] & board[name].notna()] if name in board else board.iloc[:0]
    if ranked.empty:
        return ""
    best, worst = ranked.loc[ranked[name].idxmax()], ranked.loc[ranked[name].idxmin()]
    said = f"Another seed finds the topics of {best['method']} again with a mean cosine of {fixed(best[name], 2)}"
    return f"{said}, and those of {worst['method']} with {fixed(worst[name], 2)}." if len(ranked) > 1 else f"{said}."


def unsaid(result: Result) -> list[str]:
    """What the numbers cannot say."""
    out = [
        "Purity rises with the number of topics by itself, and hardly tells methods apart once there are many more topics "
        "than types.",
        "Coherence and enrichment know only what the gene sets know: a new program counts as incoherent.",
    ]
    if "gene_sets" in set(result.table["task"]):
        out.append(
            "Figures in publications that used other gene sets, another number of topics or other genes are not comparable."
        )
    return out
