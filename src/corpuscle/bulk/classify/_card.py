"""What a classifier was taught, on what, and how it did: for programs and for readers."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from corpuscle import __version__
from corpuscle._versions import installed
from corpuscle.counts._identity import gene_hash, identities

if TYPE_CHECKING:
    from corpuscle.bulk.classify._task import Task
    from corpuscle.bulk.classify.classifier import SampleClassifier
    from corpuscle.counts import Counts

__all__ = ["card_of", "readme"]

PACKAGES = ("corpuscle", "numpy", "scipy", "scikit-learn", "skops", "pandas", "anndata")
SCORES = {
    "macro_f1": "macro-F1", "micro_f1": "micro-F1", "balanced_accuracy": "balanced accuracy", "macro_auroc": "macro-AUROC",
    "macro_auprc": "macro-AUPRC", "ece_before": "calibration error before", "ece": "calibration error after",
}  # fmt: skip


def card_of(
    made: SampleClassifier, counts: Counts, task: Task, scores: Mapping[str, Any], notes: list[str]
) -> dict[str, Any]:
    """Everything worth knowing, as JSON's types."""
    rows = task.table.to_dict("records")
    for metric, values in scores.get("by_label", {}).items():
        for row, value in zip(rows, values, strict=True):
            row[metric] = _number(value)
    fitted = made.features_
    return {
        "model": made.model, "given": made.model_.given(), "exclusive": task.exclusive, "labels": rows,
        "n_samples": len(task.places_m), "n_series": None if task.series_m is None else len(set(task.series_m.tolist())),
        "split": "random" if task.series_m is None else "series", "folds": scores.get("folds", 0),
        "scores": {name: [_number(one) for one in value] for name, value in scores.get("overall", {}).items()},
        "threshold": made.threshold_, "calibration": dict(made.calibrator_.words),
        "features": {
            "normalizer": fitted.normalizer, "n_genes": len(fitted.genes_), "n_dims": fitted.n_dims,
            "known_genes": len(fitted.known_genes_), "genes_sha256": gene_hash(fitted.known_genes_.tolist()),
        },
        "sources": identities(counts), "seed": made.seed, "version": __version__, "packages": installed(PACKAGES),
        "notes": list(dict.fromkeys([*notes, *fitted.notes_])),
    }  # fmt: skip


def readme(card: Mapping[str, Any]) -> str:
    """The card as Markdown; names of labels are text in it, whatever they contain."""
    split = "series" if card["split"] == "series" else "random folds (series were not known: too high)"
    lines = [
        "# Classifier of bulk samples", "",
        f"A {card['model']} model that tells {len(card['labels'])} labels, taught {card['n_samples']:,} samples"
        + (f" of {card['n_series']:,} series" if card["n_series"] else "") + ".",
        "Load it with `corpuscle.bulk.classify.SampleClassifier.load`, or use `corpuscle classify predict`.", "",
        f"- features: {card['features']['normalizer']}, {card['features']['n_genes']:,} genes, SHA-256 of the gene names "
        f"`{card['features']['genes_sha256']}`",
        f"- a sample gets no label below a probability of {card['threshold']:.3g}",
        f"- seed {card['seed']}, Corpuscle {card['version']}", "",
    ]  # fmt: skip
    if card["scores"]:
        lines += [f"## Scores on held-out {split}", "", "| score | value | 95 % interval |", "|---|---|---|"]
        lines += [
            f"| {SCORES[name]} | {_text(v)} | {_text(a)} to {_text(b)} |" for name, (v, a, b) in card["scores"].items()
        ]
        lines += ["", "Probabilities were calibrated on the other folds.", ""]
    lines += ["## Labels", "", "| label | samples | series | F1 | recall | precision |", "|---|---|---|---|---|---|"]
    lines += [
        f"| {_escaped(row['label'])} | {row['n_samples']} | {row['n_series']} | {_text(row.get('f1'))} | "
        f"{_text(row.get('recall'))} | {_text(row.get('precision'))} |"
        for row in card["labels"]
    ]
    if card["notes"]:
        lines += ["", "## To know first", "", *(f"- {_escaped(line)}" for line in card["notes"])]
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return re.sub(r"([\\`*_\[\]|!])", r"\\\1", html.escape(" ".join(str(text).split())))


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _text(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.3f}"
