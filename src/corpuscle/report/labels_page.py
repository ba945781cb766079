"""The page of labels: what the samples are, how it is known, and what cannot be judged with it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd
from markupsafe import Markup

from corpuscle.report._page import Page, Section, prose, render, terms
from corpuscle.report._table import frame_table
from corpuscle.report._templates import piece
from corpuscle.report.format import count, fixed

if TYPE_CHECKING:
    from corpuscle.bulk.labels import Labels, LabelSummary

__all__ = ["labels_page"]

#: Findings shown of each label, and labels and rows shown at most.
EXAMPLES, MOST_LABELS, MOST_ROWS = 3, 500, 600
TITLES = {
    "n_samples": "samples", "n_series": "series", "largest_series": "share of the largest series",
    "median_per_series": "median a series", "n": "samples with both", "jaccard": "of those with either",
}  # fmt: skip
WORDS = [
    ("cardinality, density", "Mean number of labels of the samples that have any, and that number divided by the number of "
     "labels."),
    ("evaluable", "The label lives in at least three series, so that a series it was not trained on can test it."),
    ("share of the largest series", "How many of the label's samples are of one study. Near 1, whatever is learnt about the "
     "label may be about that study."),
    ("finding", "A rule or term, the field it was looked for in and the text that it matched. A finding can be set aside: "
     "the sample then got several labels of one kind."),
]  # fmt: skip


def labels_page(labels: Labels, summary: LabelSummary, notes: Sequence[str] = ()) -> str:
    """The page as HTML that loads nothing; every name is escaped.

    Parameters
    ----------
    labels
        The labels, for their evidence and how they were made.
    summary
        Their counts, with series or without.
    notes
        Lines to know first.
    """
    per = summary.labels.sort_values("n_samples", ascending=False, kind="stable").reset_index(drop=True)
    sections = [Section("notes", "To know first", "Notes", prose(*notes))] if notes else []
    sections += [Section("labels", "The labels", "Labels", _cut(per, "labels-of", "Labels, the most frequent first"))]
    pairs = summary.pairs()
    if len(pairs):
        sections.append(
            Section("together", "Labels of the same samples", "Together",
                    frame_table("pairs", "Pairs of labels that samples have together", pairs, titles=TITLES))
        )  # fmt: skip
    if len(labels.evidence):
        sections.append(Section("evidence", "How it is known", "Evidence", _examples(labels)))
    sections += [
        Section("made", "How they were made", "Made", _made(labels)),
        Section("words", "What the words mean", "Words", terms(WORDS)),
    ]
    top = per.iloc[0] if len(per) else None
    headline = f"{count(summary.n_labelled)} of {count(summary.n_samples)} samples have a label"
    learnt = (
        [f"The most frequent label is {top['label']}, with {count(int(top['n_samples']))} samples."]
        if top is not None
        else []
    )
    return render(
        Page(
            title="Labels of samples",
            kicker="What are the samples?",
            headline=headline,
            learnt=learnt,
            unsaid=["A label says what was written about a sample, not what the sample is; nothing here looked at expression."],
            facts=[("samples", count(summary.n_samples)), ("labelled", count(summary.n_labelled)),
                   ("labels", count(summary.n_labels)), ("cardinality", fixed(summary.cardinality)),
                   ("density", fixed(summary.density))],
            sections=sections,
        )
    )  # fmt: skip


def _cut(frame: pd.DataFrame, id: str, caption: str) -> Markup:
    reasons = dict.fromkeys(("largest_series", "median_per_series"), "no sample has the label")
    drawn = frame_table(id, caption, frame.head(MOST_LABELS), titles=TITLES, reasons=reasons)
    left = len(frame) - MOST_LABELS
    return drawn + (prose(f"{count(left)} further labels are in the file.") if left > 0 else Markup())


def _examples(labels: Labels) -> Markup:
    """The first findings of every label."""
    evidence = labels.evidence
    first = evidence.groupby("label", observed=True, sort=False).head(EXAMPLES).head(MOST_ROWS).astype(str)
    first = first.sort_values("label", kind="stable")[["label", "sample", "rule", "field", "text"]]
    return prose(f"{count(len(evidence))} findings in all; up to {EXAMPLES} of each label are shown.") + frame_table(
        "findings", "Findings, some of each label", first
    )


def _made(labels: Labels) -> Markup:
    entries = [
        (str(name), value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))
        for name, value in labels.info.items()
    ]
    return piece("run.html", command="", groups=[("Labels", entries)] if entries else [])
