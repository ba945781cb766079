"""The page of a topic result: the ten numbers, the topics themselves, types, coverage, and how it was run."""

from __future__ import annotations

import pandas as pd
from markupsafe import Markup

from corpuscle.benchmarks._display import run_facts
from corpuscle.benchmarks.topics.display.findings import headline, learnt, unsaid
from corpuscle.benchmarks.topics.display.leaderboard_table import by_data_set, leaderboard_table, names
from corpuscle.benchmarks.topics.display.standings import leaderboard
from corpuscle.benchmarks.topics.display.topic_tables import topics_section
from corpuscle.benchmarks.topics.display.words import DEFINITIONS, WORDS
from corpuscle.report import Page, Result, Section, failures_section, frame_table, prose, run_section, terms, unfold
from corpuscle.report.format import count

__all__ = ["page"]

QUESTION = "Can the topics be read: pure, coherent, diverse, known to biology, and found again by another seed?"
FAILURE_NOTE = "A method that fails on a data set has no mean over data sets; it is never judged on the easier ones."


def page(result: Result) -> Page:
    """Everything a reader needs, from the answer to the checksum of each input."""
    sections = [_leaderboard_section(result), *topics_section(result), *_types_section(result)]
    sections += [*_coverage_section(result), failures_section(result, result.extras.get("undefined"), FAILURE_NOTE)]
    sections.append(run_section(result))
    sections.append(Section("words", "What the words mean", "Words", prose(*DEFINITIONS) + terms(WORDS)))
    return Page(
        title="Topic benchmark",
        kicker=QUESTION,
        headline=headline(result),
        learnt=learnt(result),
        unsaid=unsaid(result),
        facts=_facts(result),
        sections=sections,
    )


def _facts(result: Result) -> list[tuple[str, str]]:
    details = result.details
    facts = [("methods", count(len(leaderboard(result)))), ("data sets", count(details["dataset"].nunique()))]
    if len(details):
        facts += [("topics", count(details["n_topics"].max())), ("seeds", count(details["seed"].nunique()))]
    return facts + run_facts(result)


def _leaderboard_section(result: Result) -> Section:
    if result.table.empty:
        return Section("leaderboard", "Leaderboard", "Leaderboard", prose("There is no number to show."))
    body = leaderboard_table(result) + unfold("These names and the published ones", names(result))
    body += unfold("Every data set by itself", by_data_set(result))
    return Section("leaderboard", "Leaderboard", "Leaderboard", Markup(body))


def _types_section(result: Result) -> list[Section]:
    types = result.extras.get("types")
    if types is None:
        return []
    keys = ["dataset", "type", "n_cells", "rare"]
    wide = types.groupby([*keys, "method"], sort=False)["f1"].mean().unstack("method").reset_index()
    wide = wide.sort_values(["dataset", "n_cells", "type"], ignore_index=True).rename_axis(columns=None)
    titles = {str(name): str(name) for name in types["method"].unique()}
    wide["rare"] = wide["rare"].map({True: "yes", False: "no"})
    text = prose(
        "F1 of 'the strongest topic of the cell is the type's topic', mean over seeds: does a type, above all a rare one, "
        "have a topic of its own? A type that many topics share has a low value, however pure those topics are."
    )
    body = text + frame_table("types", "F1 of each type's topic, smallest types first", wide, titles=titles)
    return [Section("types", "Types and their topics", "Types", body)]


def _coverage_section(result: Result) -> list[Section]:
    data = result.extras.get("data")
    if data is None:
        return []
    text = prose("How many of the genes that topics are made of are in any gene set; the others count as incoherent.")
    reasons = {
        "n_types": "no labels",
        "genes_in_sets": "no gene sets, or not of these genes",
        "share_in_sets": "no gene sets, or not of these genes",
    }
    shown: pd.DataFrame = data
    body = text + frame_table(
        "coverage", "Data sets, and how far the gene sets cover their genes", shown, reasons=reasons
    )
    return [Section("coverage", "Data and gene sets", "Coverage", body)]
