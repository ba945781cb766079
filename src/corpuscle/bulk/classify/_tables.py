"""Tables of an evaluation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from corpuscle.bulk.classify._held_out import Held
from corpuscle.bulk.classify._task import Task
from corpuscle.bulk.classify.bootstrap import LABEL_METRICS, Scorer, interval_of
from corpuscle.bulk.classify.metrics import WILSON_SAMPLES, expected_calibration_error, reliability, wilson_interval

__all__ = [
    "OVERALL", "Evaluation", "confusion_table", "coverage_table", "joined", "label_table", "overall_table", "prediction_table",
    "reliability_table", "stranger_table",
]  # fmt: skip

Array = np.ndarray[Any, Any]
OVERALL = (
    "macro_f1", "micro_f1", "samples_f1", "balanced_accuracy", "macro_auroc", "macro_auprc", "ece_before", "ece",
)  # fmt: skip
#: Confidences at which coverage is told.
LEVELS = (*np.round(np.arange(0, 1, 0.05), 2), 0.99)


@dataclass(frozen=True)
class Evaluation:
    """How well labels are told for samples that were held out.

    Attributes
    ----------
    overall
        model, split (series, random, or as published), seed, metric, value, ci_low, ci_high, n, reason (why a value is
        undefined). The main metric is ``macro_f1``.
    gaps
        model, seed, metric, by_series, at_random, gap, ci_low, ci_high: what a random split adds to the score.
    by_label
        model, split, seed, label, n (samples with it), n_series, told (samples given it), hits, the metrics with
        intervals from resampled series, ``recall_wilson_low`` and ``_high`` where n is at least 30, ``ece`` and reason.
    confusion
        model, split, seed, label, told, n; empty where samples can have several labels.
    coverage
        model, split, seed, confidence, coverage (share of samples answered at this confidence), n, accuracy.
    reliability
        model, split, seed, when (before or after calibration), bin, n, confidence, right.
    strangers
        model, seed, samples (held out, or without a label), n, quantiles of the confidence, abstained.
    predictions
        sample, model, split, seed, fold, truth, told, confidence, right, abstained.
    labels, left_out
        Labels judged, and labels that were not, with the reason.
    failures
        model, reason.
    notes
        Lines to know first.
    info
        Settings and identities.
    """

    overall: pd.DataFrame
    gaps: pd.DataFrame
    by_label: pd.DataFrame
    confusion: pd.DataFrame
    coverage: pd.DataFrame
    reliability: pd.DataFrame
    strangers: pd.DataFrame
    predictions: pd.DataFrame
    labels: pd.DataFrame
    left_out: pd.DataFrame
    failures: pd.DataFrame
    notes: list[str] = field(default_factory=list)
    info: dict[str, Any] = field(default_factory=dict)

    def value(self, model: str, metric: str = "macro_f1", split: str = "series") -> float:
        """Mean over seeds of one number; NaN if it is not there."""
        rows = self.overall.query("model == @model and metric == @metric and split == @split")
        return float(rows["value"].mean()) if len(rows) else float("nan")


def overall_table(scorer: Scorer, found: dict[str, Array], drawn: dict[str, Array]) -> pd.DataFrame:
    """One row a metric."""
    rows = []
    for metric in OVERALL:
        value = float(found[metric][0])
        low, high = interval_of(drawn[metric])
        reason = "" if np.isfinite(value) else "no label has both samples with it and samples without it"
        rows.append((metric, value, low, high, len(scorer.unit_m), reason))
    return pd.DataFrame(rows, columns=["metric", "value", "ci_low", "ci_high", "n", "reason"])


def label_table(
    task: Task, held: Held, scorer: Scorer, found: dict[str, Array], drawn: dict[str, Array]
) -> pd.DataFrame:
    """One row a label."""
    hits_l, told_l = scorer.tp_sl.sum(axis=0), held.told_ml.sum(axis=0)
    n_l = held.y_ml.sum(axis=0)
    table = pd.DataFrame(
        {"label": task.names, "n": n_l, "n_series": task.table["n_series"].to_numpy(), "told": told_l,
         "hits": hits_l.astype(np.int64)}
    )  # fmt: skip
    for metric in LABEL_METRICS:
        ends = [interval_of(drawn[f"label {metric}"][:, k]) for k in range(len(task.names))]
        table[metric] = found[f"label {metric}"][0]
        table[f"{metric}_low"], table[f"{metric}_high"] = np.array(ends).T
    wilson = [
        wilson_interval(int(hits), int(n)) if n >= WILSON_SAMPLES else (np.nan, np.nan)
        for hits, n in zip(hits_l, n_l, strict=True)
    ]
    table["recall_wilson_low"], table["recall_wilson_high"] = np.array(wilson).T
    table["ece"] = [expected_calibration_error(p, y) for p, y in zip(held.p_ml.T, held.y_ml.T, strict=True)]
    table["reason"] = np.where(told_l == 0, "no sample was given the label, so precision is undefined", "")
    return table


def confusion_table(task: Task, held: Held) -> pd.DataFrame:
    """How many samples of each label were given which; all pairs of which there is one."""
    if not held.exclusive:
        return pd.DataFrame({"label": [], "told": [], "n": []})
    names = np.array(task.names, dtype=object)
    pair = pd.DataFrame({"label": names[held.y_ml.argmax(axis=1)], "told": names[held.top_m]})
    return pair.value_counts(sort=False).rename("n").reset_index()


def coverage_table(held: Held) -> pd.DataFrame:
    """How many samples are answered at each confidence, and how often rightly."""
    confidence_m, right_m = held.confidence_m, held.right_m
    rows = []
    for level in LEVELS:
        kept_m = confidence_m >= level
        accuracy = float(right_m[kept_m].mean()) if kept_m.any() else np.nan
        rows.append((float(level), float(kept_m.mean()), int(kept_m.sum()), accuracy))
    return pd.DataFrame(rows, columns=["confidence", "coverage", "n", "accuracy"])


def reliability_table(held: Held) -> pd.DataFrame:
    """Confidence against the share of right answers, before and after calibration."""
    at = np.arange(len(held.y_ml))
    before_m = held.raw_ml.argmax(axis=1)
    pairs = {
        "before": (np.clip(held.raw_ml[at, before_m], 0, 1), held.y_ml[at, before_m]),
        "after": (held.confidence_m, held.right_m),
    }
    parts = []
    for when, (p_m, right_m) in pairs.items():
        n_b, mean_b, share_b = reliability(p_m, right_m)
        parts.append(
            pd.DataFrame({"when": when, "bin": np.arange(len(n_b)), "n": n_b, "confidence": mean_b, "right": share_b})
        )
    return pd.concat(parts, ignore_index=True)


def stranger_table(held: Held) -> pd.DataFrame:
    """Confidence about samples that have none of the labels, beside that about held-out samples of the same fold."""
    if held.strangers is None:
        return pd.DataFrame()
    first_m = held.fold_m == 0
    threshold = float(held.threshold_m[first_m][0])
    where = "of series not trained on" if held.strangers.unseen_series else "also of series trained on"
    rows = []
    for name, values in (
        ("held out, labelled", held.confidence_m[first_m]), (f"without a label, {where}", held.strangers.confidence_u)
    ):  # fmt: skip
        quantiles = np.quantile(values, [0.05, 0.25, 0.5, 0.75, 0.95])
        abstained = float((values < threshold).mean()) if np.isfinite(threshold) else np.nan
        rows.append((name, len(values), *quantiles, threshold, abstained))
    columns = ["samples", "n", "q05", "q25", "median", "q75", "q95", "threshold", "abstained"]
    return pd.DataFrame(rows, columns=columns)


def prediction_table(task: Task, held: Held, samples: Any) -> pd.DataFrame:
    """What every held-out sample was given."""
    confidence_m = held.confidence_m
    return pd.DataFrame(
        {"sample": np.asarray(samples)[task.places_m], "fold": held.fold_m, "truth": joined(held.y_ml, task.names),
         "told": joined(held.told_ml, task.names), "confidence": confidence_m, "right": held.right_m,
         "abstained": np.where(np.isfinite(held.threshold_m), confidence_m < held.threshold_m, False)}
    )  # fmt: skip


def joined(member_ml: Array, names: tuple[str, ...]) -> list[str]:
    """Names of the labels of each row; equal rows are joined once."""
    distinct, place_m = np.unique(member_ml, axis=0, return_inverse=True)
    texts = np.array(["; ".join(names[k] for k in np.flatnonzero(row)) for row in distinct], dtype=object)
    joined: list[str] = texts[place_m.ravel()].tolist()
    return joined
