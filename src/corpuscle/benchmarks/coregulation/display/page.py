"""The page of a co-regulation result: leaderboard, pairs against their backgrounds, controls, and how it was run."""

from __future__ import annotations

import pandas as pd
from markupsafe import Markup

from corpuscle.benchmarks.coregulation.display import figures
from corpuscle.benchmarks.coregulation.display.control_figures import controls_section
from corpuscle.benchmarks.coregulation.display.findings import headline, learnt, unsaid
from corpuscle.benchmarks.coregulation.display.leaderboard_table import comparisons_table, leaderboard_table
from corpuscle.benchmarks.coregulation.display.standings import default_units, leaderboard, ranking_task, tasks_of
from corpuscle.benchmarks.coregulation.display.words import DEFINITIONS, WORDS
from corpuscle.report import (
    Page,
    Result,
    Section,
    failures_section,
    frame_table,
    prose,
    run_section,
    terms,
    unfold,
)
from corpuscle.report.format import count, seconds

__all__ = ["page"]

QUESTION = "Which normalisation keeps a gene-gene relation that biology fixes, and which invents relations?"
FAILURE_NOTE = "A method that fails on a unit scores as chance there; it is never left out of the mean."


def page(result: Result) -> Page:
    """Everything a reader needs, from the answer to the checksum of each input."""
    units = default_units(result)
    sections = [_leaderboard_section(result)]
    if not units.empty:
        sections += figures.unit_sections(result, units, list(leaderboard(result)["method"]))
        sections.append(controls_section(result, units, list(leaderboard(result)["method"])))
    sections += [failures_section(result, _without_answer(result), FAILURE_NOTE), run_section(result)]
    sections.append(Section("words", "What the words mean", "Words", prose(*DEFINITIONS) + terms(WORDS)))
    return Page(
        title="Co-regulation benchmark",
        kicker=QUESTION,
        headline=headline(result),
        learnt=learnt(result),
        unsaid=unsaid(result),
        facts=_facts(result),
        sections=sections,
    )


def _facts(result: Result) -> list[tuple[str, str]]:
    units = default_units(result)
    facts = [("methods", count(len(leaderboard(result))))]
    if not units.empty:
        facts.append(("samples", count(units["sample_id"].nunique())))
        facts.append(("pairs", count(len(units[["sample_id", "pair"]].drop_duplicates()))))
        facts.append(("series", count(units["series"].nunique())))
    facts.append(("failures", count(len(result.failures))))
    if result.run.get("seconds") is not None:
        facts.append(("run time", seconds(result.run["seconds"])))
    return facts


def _leaderboard_section(result: Result) -> Section:
    if not ranking_task(result) and not tasks_of(result):
        return Section("leaderboard", "Leaderboard", "Leaderboard", prose("There is no score to show."))
    aggregates = result.table[result.table["dataset"] == "all"]
    columns = ["task", "metric", "method", "value", "ci_low", "ci_high", "n"]
    body = leaderboard_table(result) + comparisons_table(result)
    body += unfold("Every aggregate number", frame_table("aggregates", "Aggregate numbers", aggregates[columns]))
    return Section("leaderboard", "Leaderboard", "Leaderboard", Markup(body))


def _without_answer(result: Result) -> pd.DataFrame | None:
    details = result.details
    if details.empty:
        return None
    rows = details[details["status"].isin(["undefined", "underpowered"])]
    shown = [
        name for name in ("sample_id", "pair", "variant", "method", "association", "status", "reason") if name in rows
    ]
    return rows[shown].drop_duplicates()
