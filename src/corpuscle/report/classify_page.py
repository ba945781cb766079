"""The page of an evaluated classifier: what a new study can expect, label by label, and what a random split pretends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd
from markupsafe import Markup

from corpuscle.report._classify_parts import confusion, coverage, labels, overall, reliable
from corpuscle.report._page import Page, Section, panels, prose, render, terms
from corpuscle.report._table import frame_table
from corpuscle.report._templates import piece
from corpuscle.report.format import count, fixed, interval

if TYPE_CHECKING:
    from corpuscle.bulk.classify import Evaluation

__all__ = ["classify_page"]

WORDS = [
    ("series", "The study that a sample belongs to. Held out by series, a model is asked about studies that it has not seen; at "
     "random, replicates of a sample may be in training, and recognising a study passes for knowing a label."),
    ("macro-F1", "Mean over labels of F1, the harmonic mean of precision and recall: rare labels count as much as others."),
    ("AUROC, AUPRC", "Area under the ROC curve, and average precision; by chance 0.5, and the share of the label."),
    ("interval", "95 %, from series drawn again with replacement, each with all its samples. The interval beside k of n is "
     "Wilson's, and is given from 30 samples on."),
    ("calibration error", "Mean distance of confidence and share of right answers over 15 bins (ECE), for the likeliest label."),
    ("confidence", "Calibrated probability of the likeliest label. Labels are told one by one, so that for a sample of an "
     "unknown kind all can be low."),
    ("published", "Ten trees on all genes, quantile-normalised over training and test together, a random third as test. It is here "
     "for comparison and is no estimate of what a new study can expect."),
]  # fmt: skip


def classify_page(made: Evaluation, *, notes: Sequence[str] = (), command: str = "") -> str:
    """The page as HTML that loads nothing; every name is escaped.

    Parameters
    ----------
    made
        The evaluation.
    notes
        Lines to know first.
    command
        Shown on the page.
    """
    main = str(made.info["split"])
    sections = [Section("notes", "To know first", "Notes", prose(*dict.fromkeys(notes)))] if notes else []
    sections.append(Section("scores", "Scores of the models", "Scores", overall(made.overall)))
    if len(made.gaps):
        sections.append(Section("gap", "What a random split pretends", "Gap", _gaps(made.gaps)))
    if len(made.by_label):
        first = int(made.by_label["seed"].iloc[0])
        sections += [
            Section("labels", "Label by label", "Labels", _per_model(made.by_label, main, first, labels, "labels")),
            Section("calibration", "Confidence", "Confidence",
                    _per_model(made.reliability, main, first, reliable, "bins")
                    + _per_model(made.coverage, main, first, coverage, "coverage")),
        ]  # fmt: skip
    if len(made.confusion):
        first = int(made.confusion["seed"].iloc[0])
        drawn = _per_model(made.confusion, main, first, confusion, "confusion")
        sections.append(Section("confusion", "Which label is taken for which", "Confusion", drawn))
    if len(made.strangers):
        sections.append(Section("strangers", "Samples of none of the labels", "Strangers",
                                frame_table("strangers-table", "Confidence about samples", made.strangers)))  # fmt: skip
    if len(made.left_out):
        sections.append(Section("left-out", "Labels that cannot be judged", "Left out",
                                frame_table("left-out-table", "Labels left out", made.left_out)))  # fmt: skip
    sections += [
        Section("run", "How it was made", "Made", _run(made.info, command)),
        Section("words", "What the numbers mean", "Words", terms(WORDS)),
    ]
    headline, learnt = _words(made, main)
    return render(
        Page(
            title="Which label a sample has", kicker="How well are labels told in studies never seen?", headline=headline,
            learnt=learnt,
            unsaid=["A score is about studies like these. A label whose series are all of one laboratory is not tested elsewhere."],
            facts=[("samples", count(made.info["n_labelled"])), ("labels", count(made.info["n_labels"])),
                   ("series", count(made.info["n_series"]) if made.info["n_series"] else "not known")],
            sections=sections,
        )
    )  # fmt: skip


def _words(made: Evaluation, main: str) -> tuple[str, list[str]]:
    """Headline and what was learnt."""
    rows = made.overall[(made.overall["metric"] == "macro_f1") & (made.overall["split"] == main)]
    if not len(rows):
        return "Only the published way was run", []
    mean = rows.groupby("model", sort=False)[["value", "ci_low", "ci_high"]].mean()
    best = str(mean["value"].idxmax())
    held = "by series" if main == "series" else "at random, which is too high,"
    headline = f"{best} reaches a macro-F1 of {fixed(mean.loc[best, 'value'])} on samples held out {held.rstrip(',')}"
    learnt = []
    if len(made.gaps):
        gap = made.gaps[(made.gaps["model"] == best) & (made.gaps["metric"] == "macro_f1")].iloc[0]
        learnt.append(f"A random split adds {fixed(gap['gap'])} to the macro-F1 of {best} (95 % interval "
                      f"{interval(gap['ci_low'], gap['ci_high'])}).")  # fmt: skip
    return headline, learnt


def _gaps(gaps: pd.DataFrame) -> Markup:
    return frame_table(
        "gaps", "Scores by series and at random", gaps,
        reasons=dict.fromkeys(("ci_low", "ci_high"), "series cannot be drawn again"),
    )  # fmt: skip


def _per_model(table: pd.DataFrame, split: str, seed: int, draw: Any, id: str) -> Markup:
    """One panel a model, of the main split and the first seed."""
    rows = table[(table["split"] == split) & (table["seed"] == seed)].drop(columns=["split", "seed"])
    entries = [
        (str(model), draw(part.drop(columns="model"), f"{id}-{k}", str(model)))
        for k, (model, part) in enumerate(rows.groupby("model", sort=False))
    ]
    return entries[0][1] if len(entries) == 1 else panels(f"{id}-of", "model", entries, topic="model")


def _run(info: Mapping[str, Any], command: str) -> Markup:
    entries = [(str(name), _text(value)) for name, value in info.items() if value not in (None, [], "")]
    return piece("run.html", command=command, groups=[("Run", entries)])


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(str(one.get("name", one)) if isinstance(one, dict) else str(one) for one in value[:10])
    if isinstance(value, dict):
        return "; ".join(f"{name}: {_text(one)}" for name, one in value.items())
    return str(value)
