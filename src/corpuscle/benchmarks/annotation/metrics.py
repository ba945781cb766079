"""How good labels are, from arrays: against the truth, against the raw labels, and as probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

__all__ = [
    "BINS",
    "Judgement",
    "calibration_bins",
    "expected_calibration_error",
    "judge",
    "mcnemar",
    "ontology_distance",
    "per_type",
]

Array = np.ndarray[Any, Any]

#: Bins of the reported confidence, of equal width.
BINS = 15


@dataclass(frozen=True)
class Judgement:
    """Everything that is said of the labels of one run.

    Attributes
    ----------
    numbers
        Metric -> value, NaN where it does not exist.
    reasons
        Metric -> why it does not.
    types
        Row a true type, see :func:`per_type`.
    bins
        Row a bin of confidence, see :func:`calibration_bins`.
    """

    numbers: dict[str, float]
    reasons: dict[str, str]
    types: pd.DataFrame
    bins: pd.DataFrame


def judge(
    found_n: Array, raw_n: Array, truth_n: Array, confidence_n: Array, types: Sequence[str], distance_n: Array | str
) -> Judgement:
    """Judge one label a cell.

    Parameters
    ----------
    found_n, raw_n
        (n,) type of each cell as found, and as the highest raw score has it; -1 for one that is none of the candidates.
    truth_n
        (n,) true type.
    confidence_n
        (n,) reported probability of the label.
    types
        Names of the candidates.
    distance_n
        (n,) edges of the ontology between found and true type, or why there are none.
    """
    table = per_type(found_n, truth_n, types)
    right_n = found_n == truth_n
    gained, lost, p = mcnemar(raw_n == truth_n, right_n)
    numbers = {
        "accuracy": float(right_n.mean()),
        "balanced_accuracy": float(table["recall"].mean()),
        "macro_f1": float(table["f1"].mean()),
        "worst_f1": float(table["f1"].min()),
        "ece": expected_calibration_error(confidence_n, right_n),
        "brier": float(np.mean((confidence_n - right_n) ** 2)),
        "ontology_distance": float("nan") if isinstance(distance_n, str) else float(np.mean(distance_n)),
        "wrong_to_right": float(gained),
        "right_to_wrong": float(lost),
        "mcnemar_p": p,
    }
    reasons: dict[str, str] = {}
    if np.isnan(confidence_n).any():
        why = f"{int(np.isnan(confidence_n).sum()):,} cells have no reported confidence"
        reasons |= {"ece": why, "brier": why}
    if isinstance(distance_n, str):
        reasons["ontology_distance"] = distance_n
    elif np.isnan(numbers["ontology_distance"]):
        reasons["ontology_distance"] = "two of the types have no common ancestor in the Cell Ontology"
    return Judgement(numbers, reasons, table, calibration_bins(confidence_n, right_n))


def per_type(found_n: Array, truth_n: Array, types: Sequence[str]) -> pd.DataFrame:
    """Precision, recall and F1 of each type that has a cell.

    Columns ``type``, ``cells``, ``found``, ``precision`` (NaN where the type was never found), ``recall``, ``f1`` (0 where
    it was never found, as is usual).
    """
    k = len(types)
    cells_k = np.bincount(truth_n, minlength=k)
    size_k = np.bincount(found_n[found_n >= 0], minlength=k)
    hit_k = np.bincount(truth_n[found_n == truth_n], minlength=k)
    there = np.flatnonzero(cells_k)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision_k = hit_k / size_k
    return pd.DataFrame(
        {
            "type": np.asarray(types, dtype=object)[there],
            "cells": cells_k[there],
            "found": size_k[there],
            "precision": precision_k[there],
            "recall": hit_k[there] / cells_k[there],
            "f1": 2 * hit_k[there] / (cells_k[there] + size_k[there]),
        }
    )


def calibration_bins(confidence_n: Array, right_n: Array) -> pd.DataFrame:
    """Cells, mean confidence and accuracy in each of 15 equal bins of confidence; bins without cells are left out.

    Columns ``bin``, ``cells``, ``confidence``, ``accuracy``. A cell without a confidence is in none.
    """
    known = ~np.isnan(confidence_n)
    confidence, right = confidence_n[known], right_n[known]
    bin_n = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    cells_b = np.bincount(bin_n, minlength=BINS)
    there = np.flatnonzero(cells_b)
    return pd.DataFrame(
        {
            "bin": there,
            "cells": cells_b[there],
            "confidence": np.bincount(bin_n, confidence, BINS)[there] / cells_b[there],
            "accuracy": np.bincount(bin_n, right, BINS)[there] / cells_b[there],
        }
    )


def expected_calibration_error(confidence_n: Array, right_n: Array) -> float:
    """Mean over cells of the distance between a bin's confidence and its accuracy; NaN if a cell has no confidence.

    Source: Guo et al. 2017, ICML.
    """
    if np.isnan(confidence_n).any():
        return float("nan")
    bins = calibration_bins(confidence_n, right_n)
    return float((bins["cells"] * (bins["confidence"] - bins["accuracy"]).abs()).sum() / confidence_n.size)


def mcnemar(before_n: Array, after_n: Array) -> tuple[int, int, float]:
    """Cells from wrong to right, from right to wrong, and the exact two-sided p of McNemar's test.

    Without a cell of either kind nothing was tested, and p is 1. Cells count as independent, which smoothing makes them
    not, so p is too small rather than too large.

    Parameters
    ----------
    before_n, after_n
        (n,) bool: whether the label was right.
    """
    from scipy.stats import binomtest

    gained, lost = int((after_n & ~before_n).sum()), int((before_n & ~after_n).sum())
    p = float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0
    return gained, lost, p


def ontology_distance(
    column_n: Array, column_ids: Sequence[str | None], truth_n: Array, type_ids: Sequence[str | None]
) -> Array | str:
    """(n,) edges between the found and the true type over a common ancestor in the Cell Ontology, or why there are none.

    Parameters
    ----------
    column_n
        (n,) column of each cell's label.
    column_ids
        Cell Ontology id of each column.
    truth_n, type_ids
        Likewise for the true types.
    """
    from corpuscle.annotate.ontology import cell_ontology

    ontology = cell_ontology()
    used_c, used_t = np.unique(column_n), np.unique(truth_n)
    ids = [*(column_ids[i] for i in used_c), *(type_ids[i] for i in used_t)]
    lacking = sum(one is None for one in ids)
    if lacking:
        return f"{lacking} of the types found or true have no Cell Ontology id"
    strange = [one for one in ids if one not in ontology]
    if strange:
        return f"{strange[0]} is no id of the Cell Ontology"
    distance_tt = ontology.distance_matrix([str(one) for one in ids])
    row_n = np.searchsorted(used_c, column_n)
    found: Array = distance_tt[row_n, used_c.size + np.searchsorted(used_t, truth_n)]
    return found
