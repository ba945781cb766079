"""The page of a result on missing values: what a correction improves, what it does not, and where it has no ground."""

from __future__ import annotations

from corpuscle.benchmarks._display import means_table, run_facts
from corpuscle.benchmarks.missingness.display import figures
from corpuscle.benchmarks.missingness.display.boards import board_section, comparisons_table
from corpuscle.benchmarks.missingness.display.findings import headline, learnt, unsaid
from corpuscle.benchmarks.missingness.display.standings import done_runs
from corpuscle.benchmarks.missingness.display.words import DEFINITIONS, WORDS
from corpuscle.report import Page, Result, Section, failures_section, frame_table, prose, run_section, terms, unfold
from corpuscle.report.format import count

__all__ = ["page"]

QUESTION = "Which ways to see past missing values keep distances, neighbours, directions and clusters?"
FAILURE_NOTE = "A run that failed has no score. A draw that could not be made is one line for all its methods."


def page(result: Result) -> Page:
    """Everything a reader needs, from the answer to the checksum of each input."""
    body = (
        board_section(result, dropout=False) + comparisons_table(result) + means_table(result, titles={"task": "mask"})
    )
    sections = [Section("leaderboard", "Leaderboards, by mask", "Leaderboards", body)]
    if not done_runs(result).empty:
        sections += [*figures.error_sections(result), *figures.dropout_section(result), figures.sets_section(result)]
    sections += [_notes(result), failures_section(result, note=FAILURE_NOTE), run_section(result)]
    sections.append(Section("words", "What the words mean", "Words", prose(*DEFINITIONS) + terms(WORDS)))
    return Page(
        title="Missing values benchmark",
        kicker=QUESTION,
        headline=headline(result),
        learnt=learnt(result),
        unsaid=unsaid(result),
        facts=_facts(result),
        sections=sections,
    )


def _notes(result: Result) -> Section:
    """What data, masks and methods had to say: probabilities that were raised, distances that were clipped."""
    notes = result.extras.get("notes")
    if notes is None or notes.empty:
        return Section("notes", "What was said on the way", "Notes", prose("Nothing."))
    shown = notes.groupby(["dataset", "task", "method", "note"], sort=True)["seed"].nunique().reset_index(name="draws")
    body = frame_table("said", "Notes of data, masks and methods", shown, titles={"task": "mask"})
    body = unfold(f"{len(shown):,} notes of data, masks and methods", body)
    return Section("notes", "What was said on the way", "Notes", body)


def _facts(result: Result) -> list[tuple[str, str]]:
    details, done = result.details, done_runs(result)
    facts = []
    if len(details):
        for title, column in (("masks", "task"), ("methods", "method"), ("data sets", "dataset"), ("draws", "seed")):
            facts.append((title, count(details[column].nunique())))
    if len(done):
        facts.append(("cells a draw", count(done.groupby("dataset")["n"].max().sum())))
    return facts + run_facts(result)
