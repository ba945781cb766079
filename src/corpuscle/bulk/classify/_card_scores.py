"""What the card of a classifier says of its scores, and of what is doubtful about its labels."""

from __future__ import annotations

from typing import Any

import numpy as np

from corpuscle.bulk.classify._fit import trainable
from corpuscle.bulk.classify._held_out import Held
from corpuscle.bulk.classify._task import Task
from corpuscle.bulk.classify.bootstrap import Scorer, interval_of
from corpuscle.bulk.classify.calibration import Calibrator

__all__ = ["doubts", "held_out_scores"]

Array = np.ndarray[Any, Any]
CARD_METRICS = ("macro_f1", "micro_f1", "balanced_accuracy", "macro_auroc", "macro_auprc", "ece_before", "ece")


def held_out_scores(task: Task, raw_ml: Array, fold_m: Array, n_boot: int, seed: int) -> dict[str, Any]:
    """Scores of the held-out samples, each calibrated by the other folds."""
    p_ml = np.zeros_like(raw_ml)
    for k in np.unique(fold_m):
        rest = fold_m != k
        series_m = None if task.series_m is None else task.series_m[rest]
        p_ml[~rest] = Calibrator.fit(raw_ml[rest], task.y_ml[rest], trainable(task.y_ml[rest], series_m))(raw_ml[~rest])
    held = Held(task.y_ml.astype(bool), raw_ml, p_ml, fold_m, np.full(len(fold_m), np.nan), task.exclusive)
    unit_m = np.arange(len(fold_m)) if task.series_m is None else task.series_m
    scorer = Scorer(held, unit_m)
    found, drawn = scorer.estimate(), scorer.resampled(max(n_boot, 1), seed)
    overall = {name: [float(found[name][0]), *interval_of(drawn[name])] for name in CARD_METRICS}
    by_label = {name: found[f"label {name}"][0].tolist() for name in ("precision", "recall", "f1", "auroc", "auprc")}
    return {"overall": overall, "by_label": by_label, "folds": int(fold_m.max()) + 1}


def doubts(task: Task) -> list[str]:
    """What training can do, but not know to be right."""
    notes = []
    single = task.table.loc[task.table["n_samples"] == 1, "label"]
    if len(single):
        notes.append(f"{len(single)} labels have one sample, which is little to learn from ({', '.join(single[:5])})")
    if task.series_m is None:
        notes.append("series are not known: samples of one study may be on both sides, and the scores are too high")
        return notes
    alone = task.table.loc[(task.table["n_series"] == 1) & (task.table["n_samples"] > 1), "label"]
    if len(alone):
        notes.append(
            f"{len(alone)} labels are in one series only; nothing tells label from study ({', '.join(alone[:5])})"
        )
    return notes
