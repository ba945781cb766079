"""The page of a result of cells and words: what was found in new cells and new words, and what becomes of new types."""

from __future__ import annotations

from corpuscle.benchmarks._display import means_table, run_facts
from corpuscle.benchmarks.text.display import figures
from corpuscle.benchmarks.text.display.boards import board_section, comparisons_table, unseen_boards
from corpuscle.benchmarks.text.display.findings import headline, learnt, unsaid
from corpuscle.benchmarks.text.display.standings import done_runs
from corpuscle.benchmarks.text.display.words import DEFINITIONS, UNSEEN_WORDS, WORDS
from corpuscle.report import Page, Result, Section, failures_section, frame_table, prose, run_section, terms, unfold
from corpuscle.report.format import count

__all__ = ["page"]

QUESTION = "Does a model of cells and words find the right words for new cells, in new words, and for new types?"
FAILURE_NOTE = "A run that failed has no score. A task that a data set cannot be asked is a note, not a failure."


def page(result: Result) -> Page:
    """Everything a reader needs, from the answer to the checksum of each input."""
    sections = [_boards(result), *_unseen(result)]
    if not done_runs(result).empty:
        sections += [*figures.sets_section(result), *figures.search_section(result), *figures.types_section(result)]
    sections += [_notes(result), failures_section(result, note=FAILURE_NOTE), run_section(result)]
    sections.append(Section("words", "What the words mean", "Words", prose(*DEFINITIONS) + terms(WORDS)))
    return Page(
        title="Benchmark of cells and words",
        kicker=QUESTION,
        headline=headline(result),
        learnt=learnt(result),
        unsaid=unsaid(result),
        facts=_facts(result),
        sections=sections,
    )


def _boards(result: Result) -> Section:
    body = board_section(result) + comparisons_table(result) + means_table(result)
    return Section("leaderboard", "Leaderboards, by task", "Leaderboards", body)


def _unseen(result: Result) -> list[Section]:
    """New types, apart from all else; empty where none were left out."""
    boards = unseen_boards(result)
    if not boards:
        return []
    body = prose(*UNSEEN_WORDS) + boards + figures.unseen_figure(result)
    return [Section("new-types", "Types that training never saw", "New types", body)]


def _notes(result: Result) -> Section:
    """What data sets and methods had to say: tasks that cannot be asked, queries without an answer."""
    notes = result.extras.get("notes")
    if notes is None or notes.empty:
        return Section("notes", "What was said on the way", "Notes", prose("Nothing."))
    columns = [name for name in ("dataset", "task", "method", "note") if name in notes]
    seeds = notes.get("seed", 0)
    shown = notes[columns].fillna("").assign(seed=seeds).groupby(columns, sort=True)["seed"].nunique()
    body = frame_table("said", "Notes of data sets and methods", shown.reset_index(name="seeds"))
    return Section(
        "notes", "What was said on the way", "Notes", unfold(f"{len(shown):,} notes of data sets and methods", body)
    )


def _facts(result: Result) -> list[tuple[str, str]]:
    details, done = result.details, done_runs(result)
    facts = []
    if len(details):
        facts.append(("methods", count(details["method"].nunique())))
        facts.append(("tasks", count(details["task"].nunique())))
        facts.append(("data sets", count(details["dataset"].nunique())))
        facts.append(("seeds", count(details["seed"].nunique())))
    if len(done):
        facts.append(("cells judged a draw", count(done.groupby("dataset")["n"].max().sum())))
    return facts + run_facts(result)
