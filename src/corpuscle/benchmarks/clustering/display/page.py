"""The page of a clustering result: what to use, the oracle's share, boards, data sets, types, and how it was run."""

from __future__ import annotations

from corpuscle.benchmarks._display import means_table, run_facts
from corpuscle.benchmarks.clustering.display import figures
from corpuscle.benchmarks.clustering.display.boards import board_section, comparisons_table
from corpuscle.benchmarks.clustering.display.findings import headline, learnt, unsaid
from corpuscle.benchmarks.clustering.display.standings import done_runs
from corpuscle.benchmarks.clustering.display.words import DEFINITIONS, WORDS
from corpuscle.report import Page, Result, Section, failures_section, prose, run_section, terms
from corpuscle.report.format import count

__all__ = ["page"]

QUESTION = "Which embedding finds the known cell types, and how much of its score is the labels' own doing?"
FAILURE_NOTE = (
    "A run that failed has no score. A method that could not do a data set stands below those that did all of them."
)


def page(result: Result) -> Page:
    """Everything a reader needs, from the answer to the checksum of each input."""
    scored = not done_runs(result).empty
    sections = [_boards(result)]
    if scored:
        sections = [_boards(result), figures.gap_section(result), figures.sets_section(result)]
        sections.append(figures.types_section(result))
    sections += [failures_section(result, note=FAILURE_NOTE), run_section(result)]
    sections.append(Section("words", "What the words mean", "Words", prose(*DEFINITIONS) + terms(WORDS)))
    return Page(
        title="Clustering benchmark",
        kicker=QUESTION,
        headline=headline(result),
        learnt=learnt(result),
        unsaid=unsaid(result),
        facts=_facts(result),
        sections=sections,
    )


def _boards(result: Result) -> Section:
    body = board_section(result) + comparisons_table(result) + means_table(result)
    return Section("leaderboard", "Leaderboards, by what was told", "Leaderboards", body)


def _facts(result: Result) -> list[tuple[str, str]]:
    details, done = result.details, done_runs(result)
    facts = []
    if len(details):
        facts.append(("methods", count(details["method"].nunique())))
        facts.append(("data sets", count(details["dataset"].nunique())))
        facts.append(("seeds", count(details["seed"].nunique())))
    if len(done):
        facts.append(("cells", count(done.groupby("dataset")["n"].max().sum())))
    return facts + run_facts(result)
