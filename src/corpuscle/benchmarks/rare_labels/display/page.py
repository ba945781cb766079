"""The page of a result on rare labels: who is accepted, what it costs the other labels, and what was made."""

from __future__ import annotations

from corpuscle.benchmarks._display import means_table, run_facts
from corpuscle.benchmarks.rare_labels.display import boards, figures
from corpuscle.benchmarks.rare_labels.display.findings import headline, learnt, unsaid
from corpuscle.benchmarks.rare_labels.display.standings import done_runs
from corpuscle.benchmarks.rare_labels.display.words import DEFINITIONS, WORDS
from corpuscle.report import Page, Result, Section, failures_section, frame_table, prose, run_section, terms, unfold
from corpuscle.report.format import count

__all__ = ["page"]

QUESTION = "Do synthetic samples of a rare label help to find it in series that nobody trained on?"
FAILURE_NOTE = "A run that failed has no score. A draw whose features could not be fitted is one line for all its arms."
HARM = "Macro-F1 of the other labels less that of class weights; left of the line they are found less well."
GAIN = "AUPRC of the rare label less that of class weights"


def page(result: Result) -> Page:
    """Everything a reader needs, from the answer to the checksum of each input."""
    body = boards.board(result)
    sections = []
    if not done_runs(result).empty:
        body += figures.differences(result, "gain", GAIN) + boards.comparisons_tables(result) + means_table(result)
        harm = figures.differences(result, "harm", HARM)
        every = unfold("Every label of every data set", boards.labels_table(result))
        sections = [
            Section("verdict", "Is a generator worth it?", "Verdict", boards.verdict_table(result)),
            Section("leaderboard", "Leaderboard", "Leaderboard", body),
            figures.rarity_section(result),
            Section("harm", "What becomes of the other labels", "Other labels", harm),
            figures.fidelity_section(result),
            Section("null-controls", "Null controls", "Nulls", boards.null_board(result)),
            Section("labels", "Label by label", "Labels", every),
        ]
    else:
        sections = [Section("leaderboard", "Leaderboard", "Leaderboard", body)]
    sections += [_notes(result), failures_section(result, note=FAILURE_NOTE), run_section(result)]
    sections.append(Section("words", "What the words mean", "Words", prose(*DEFINITIONS) + terms(WORDS)))
    return Page(
        title="Rare labels benchmark", kicker=QUESTION, headline=headline(result), learnt=learnt(result),
        unsaid=unsaid(result), facts=_facts(result), sections=sections,
    )  # fmt: skip


def _notes(result: Result) -> Section:
    notes = result.extras.get("notes")
    if notes is None or notes.empty:
        return Section("notes", "What was said on the way", "Notes", prose("Nothing."))
    body = unfold(f"{len(notes):,} notes of data and arms", frame_table("said", "Notes of data and arms", notes))
    return Section("notes", "What was said on the way", "Notes", body)


def _facts(result: Result) -> list[tuple[str, str]]:
    details = result.details
    facts = []
    if len(details):
        for title, column in (
            ("arms", "method"),
            ("data sets", "dataset"),
            ("rarities", "rarity"),
            ("repeats", "seed"),
        ):
            facts.append((title, count(details[column].nunique())))
        facts.append(("labels", count(len(details[["dataset", "label"]].drop_duplicates()))))
    return facts + run_facts(result)
