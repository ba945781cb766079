"""The page of an annotation result: what refinement gains and costs, by source of scores, data set and type."""

from __future__ import annotations

from corpuscle.benchmarks._display import means_table, run_facts
from corpuscle.benchmarks.annotation.display import figures
from corpuscle.benchmarks.annotation.display.boards import board_section, comparisons_table
from corpuscle.benchmarks.annotation.display.findings import headline, learnt, unsaid
from corpuscle.benchmarks.annotation.display.standings import done_runs
from corpuscle.benchmarks.annotation.display.words import DEFINITIONS, WORDS
from corpuscle.report import Page, Result, Section, failures_section, frame_table, prose, run_section, terms, unfold
from corpuscle.report.format import count

__all__ = ["page"]

QUESTION = "Does smoothing scores over the neighbour graph name cells better, and which types does it cost?"
FAILURE_NOTE = "A run that failed has no score. Scores that could not be made are one line for all their refinements."


def page(result: Result) -> Page:
    """Everything a reader needs, from the answer to the checksum of each input."""
    sections = [_boards(result)]
    if not done_runs(result).empty:
        sections += [figures.sets_section(result), figures.types_section(result), *figures.noise_section(result)]
        sections += [*figures.control_section(result), figures.calibration_section(result)]
    sections += [_notes(result), failures_section(result, note=FAILURE_NOTE), run_section(result)]
    sections.append(Section("words", "What the words mean", "Words", prose(*DEFINITIONS) + terms(WORDS)))
    return Page(
        title="Annotation benchmark",
        kicker=QUESTION,
        headline=headline(result),
        learnt=learnt(result),
        unsaid=unsaid(result),
        facts=_facts(result),
        sections=sections,
    )


def _boards(result: Result) -> Section:
    body = board_section(result) + comparisons_table(result) + means_table(result, titles={"task": "scores"})
    return Section("leaderboard", "Leaderboards, by source of scores", "Leaderboards", body)


def _notes(result: Result) -> Section:
    """What scores and refinements had to say: types without markers, types that were kept, guards that acted."""
    notes = result.extras.get("notes")
    if notes is None or notes.empty:
        return Section("notes", "What was said on the way", "Notes", prose("Nothing."))
    shown = notes.groupby(["dataset", "task", "method", "note"], sort=True)["seed"].nunique().reset_index(name="seeds")
    titles = {"task": "scores", "method": "refinement"}
    body = frame_table("said", "Notes of scores and refinements", shown, titles=titles)
    body = unfold(f"{len(shown):,} notes of scores and refinements", body)
    return Section("notes", "What was said on the way", "Notes", body)


def _facts(result: Result) -> list[tuple[str, str]]:
    details, done = result.details, done_runs(result)
    facts = []
    if len(details):
        facts.append(("sources of scores", count(details["task"].nunique())))
        facts.append(("refinements", count(details["method"].nunique())))
        facts.append(("data sets", count(details["dataset"].nunique())))
        facts.append(("seeds", count(details["seed"].nunique())))
    if len(done):
        facts.append(("cells a draw", count(done.groupby("dataset")["n"].max().sum())))
    return facts + run_facts(result)
