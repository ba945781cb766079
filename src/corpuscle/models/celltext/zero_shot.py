"""Labels for cells from the similarity to texts, and how good they are.

Few training captions mean that what is scored is new cells and new wordings, not new types: score types that training
never saw apart from those it saw. Sums are those of scikit-learn; what is undefined is NaN with a reason, never 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import softmax as softmax_of
from scipy.stats import rankdata

from corpuscle.errors import MethodError, OptionError
from corpuscle.models.celltext._retrieval import NO_POSITIVE, checked_scores, retrieval_metrics

__all__ = ["label_metrics", "retrieval_metrics", "zero_shot"]

Array = np.ndarray[Any, Any]


def zero_shot(cell_nd: Array, text_kd: Array, *, scale: float = 1.0, softmax: bool = False) -> Array:
    """Cosine similarity of every cell to every text, shape (n, k), float32.

    Parameters
    ----------
    cell_nd, text_kd
        Embeddings of cells and of label texts in one space.
    scale
        Factor of the similarities.
    softmax
        Turn the scores of each *cell* into shares that sum to 1; this changes the order of cells within a label.

    Raises
    ------
    OptionError
        The widths differ, or the scale is not above 0.
    MethodError
        An embedding is zero or not finite.
    """
    if np.ndim(cell_nd) != 2 or np.ndim(text_kd) != 2 or np.shape(cell_nd)[1] != np.shape(text_kd)[1]:
        raise OptionError(
            f"cells of shape {np.shape(cell_nd)} and texts of shape {np.shape(text_kd)}: both need two dimensions and "
            "one width; embed them with one model"
        )
    if not scale > 0:
        raise OptionError(f"scale={scale}: needs to be above 0")
    score_nk = _unit(cell_nd, "cell") @ _unit(text_kd, "text").T * scale
    if softmax:
        score_nk = softmax_of(score_nk, axis=1)
    return np.asarray(score_nk, dtype=np.float32)


def _unit(values: Array, what: str) -> Array:
    values_nd = np.asarray(values, dtype=np.float64)
    norm_n1 = np.linalg.norm(values_nd, axis=1, keepdims=True)
    bad = ~(np.isfinite(norm_n1[:, 0]) & (norm_n1[:, 0] > 0))
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        raise MethodError(f"{bad.sum()} {what} embeddings are zero or not finite, the first is {first}; embed again")
    return np.asarray(values_nd / norm_n1)


def label_metrics(
    score_nk: Array, truth_n: Sequence[Any], labels: Sequence[str], *, top: Sequence[int] = (1, 3, 5)
) -> pd.DataFrame:
    """How well scores tell the true labels of cells.

    A true label that is not among ``labels`` (compared letter by letter) counts as wrong in accuracy, F1, MRR and
    top-k, and is left out of AUC and balanced accuracy; ``coverage`` is the share of cells it does not concern. Ties
    are broken by the order of ``labels``. Cells of which no label is known are left out and counted.

    Parameters
    ----------
    score_nk
        Scores, shape (n, k), higher is better.
    truth_n
        True label of each cell; None or NaN where it is not known.
    labels
        The k labels asked for.
    top
        Each k of topk_accuracy@k.

    Returns
    -------
    DataFrame
        Index ``metric``; columns ``value`` and ``reason``, which says why a value is NaN, or what it leaves out.
        mean_auc, std_auc (over labels, divided by their number), accuracy, balanced_accuracy,
        random_baseline_accuracy, accuracy_over_random, topk_accuracy@k, macro_f1 (over true labels), mrr, coverage,
        n_cells, n_unlabelled, n_true_labels, and for each label ``<label>/auc`` and ``<label>/accuracy``.

    Raises
    ------
    OptionError
        Shapes do not fit, labels repeat, or a k is below 1.
    MethodError
        A score is not finite.
    """
    score_nk, true_n, unlabelled = checked_scores(score_nk, truth_n, labels)
    if any(k < 1 for k in top):
        raise OptionError(f"top={list(top)}: every k needs to be 1 or more")
    place = {label: k for k, label in enumerate(labels)}
    code_n = np.asarray([place.get(label, -1) for label in true_n], dtype=np.int64)
    present = sorted(set(true_n))
    per_label = {label: _one_label(score_nk, code_n, k) for label, k in place.items()}
    rows = _totals(score_nk, true_n, code_n, present, per_label, place)
    rank_n = _ranks(score_nk, code_n)
    for k in top:
        rows[f"topk_accuracy@{k}"] = _mean(rank_n <= k)
    with np.errstate(divide="ignore"):
        rows["mrr"] = _mean(1.0 / rank_n)
    absent = [label for label in present if label not in place]
    missing = f"not among the labels: {', '.join(map(repr, absent))}" if absent else ""
    rows["coverage"] = (_mean(code_n >= 0)[0], missing if len(true_n) else _NO_CELLS)
    rows |= {"n_cells": (len(true_n), ""), "n_unlabelled": (unlabelled, ""), "n_true_labels": (len(present), "")}
    for label, (auc, recall, reason, none) in per_label.items():
        rows[f"{label}/auc"] = (auc, reason)
        rows[f"{label}/accuracy"] = (recall, none)
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["value", "reason"]).rename_axis("metric")
    return table.astype({"value": float})


_NO_CELLS = "no cell has a known label"


def _totals(
    score_nk: Array,
    true_n: Array,
    code_n: Array,
    present: list[str],
    per_label: dict[str, tuple[float, float, str, str]],
    place: dict[str, int],
) -> dict[str, tuple[float, str]]:
    aucs = [per_label[label][0] for label in present if label in place and np.isfinite(per_label[label][0])]
    recalls = [per_label[label][1] for label in present if label in place]
    best_n = score_nk.argmax(axis=1)
    accuracy, why = _mean(best_n == code_n)
    chance = 1.0 / len(present) if present else np.nan
    f1s = [_f1(true_n == label, best_n == place.get(label, -1)) for label in present]
    no_auc = "" if aucs else "no label has both cells of it and others"
    no_recall = "" if recalls else "no true label is among the labels"
    return {
        "mean_auc": (float(np.mean(aucs)) if aucs else np.nan, no_auc),
        "std_auc": (float(np.std(aucs)) if aucs else np.nan, no_auc),
        "accuracy": (accuracy, why),
        "balanced_accuracy": (float(np.mean(recalls)) if recalls else np.nan, no_recall),
        "random_baseline_accuracy": (chance, why),
        "accuracy_over_random": (accuracy / chance, why),
        "macro_f1": (float(np.mean(f1s)) if f1s else np.nan, why),
    }


def _one_label(score_nk: Array, code_n: Array, k: int) -> tuple[float, float, str, str]:
    """Area under the ROC curve and recall of one label, and why either is undefined."""
    is_n = code_n == k
    n_is, n_not = int(is_n.sum()), int((~is_n).sum())
    if not n_is:
        return np.nan, np.nan, NO_POSITIVE, NO_POSITIVE
    recall = float((score_nk[is_n].argmax(axis=1) == k).mean())
    if not n_not:
        return np.nan, recall, "every cell has this label", ""
    rank_n = rankdata(score_nk[:, k])
    return float((rank_n[is_n].sum() - n_is * (n_is + 1) / 2) / (n_is * n_not)), recall, "", ""


def _f1(is_n: Array, said_n: Array) -> float:
    return float(2 * (is_n & said_n).sum() / (is_n.sum() + said_n.sum()))


def _ranks(score_nk: Array, code_n: Array) -> Array:
    """Rank of the true label of each cell, from 1; infinite where it is not among the labels."""
    known_n = code_n >= 0
    own_n1 = score_nk[np.arange(len(code_n)), code_n.clip(0)][:, None]
    before_nk = (score_nk == own_n1) & (np.arange(score_nk.shape[1]) < code_n[:, None])
    return np.where(known_n, 1.0 + ((score_nk > own_n1) | before_nk).sum(axis=1), np.inf)


def _mean(values_n: Array) -> tuple[float, str]:
    return (float(np.mean(values_n)), "") if len(values_n) else (np.nan, _NO_CELLS)
