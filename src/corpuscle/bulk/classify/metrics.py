"""How good answers are; what is not defined is NaN."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = [
    "BINS", "WILSON_SAMPLES", "answers", "auprc", "auroc", "expected_calibration_error", "reliability", "samples_f1",
    "wilson_interval",
]  # fmt: skip

Array = np.ndarray[Any, Any]
BINS = 15
#: With fewer samples of a label, its recall is shown as k of n and has no interval.
WILSON_SAMPLES = 30
Z95 = 1.959963984540054


def answers(p_nl: Array, exclusive: bool, ties_nl: Array | None = None) -> Array:
    """(n, l) bool, the labels that samples are given.

    Where samples have one label each, the likeliest; of equals the one with the higher ``ties_nl`` (the scores before
    calibration, whose curves have flat parts). Otherwise all from 0.5 on.
    """
    if not exclusive:
        return p_nl >= 0.5
    best_n = (p_nl if ties_nl is None else p_nl + 1e-9 * ties_nl).argmax(axis=1)
    chosen: Array = np.arange(p_nl.shape[1]) == best_n[:, None]
    return chosen


def wilson_interval(k: int, n: int) -> tuple[float, float]:
    """95 % interval of a share, k of n (Wilson 1927, https://doi.org/10.1080/01621459.1927.10502953)."""
    if n < 1:
        return float("nan"), float("nan")
    share, square = k / n, Z95**2
    centre = (share + square / (2 * n)) / (1 + square / n)
    half = Z95 / (1 + square / n) * np.sqrt(share * (1 - share) / n + square / (4 * n**2))
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


def reliability(p_n: Array, right_n: Array, bins: int = BINS) -> tuple[Array, Array, Array]:
    """Samples, mean probability and share of right answers in bins of equal width; 1 is in the last."""
    bin_n = np.minimum((p_n * bins).astype(np.int64), bins - 1)
    n_b = np.bincount(bin_n, minlength=bins)
    with np.errstate(invalid="ignore"):
        return n_b, np.bincount(bin_n, p_n, bins) / n_b, np.bincount(bin_n, right_n, bins) / n_b


def expected_calibration_error(p_n: Array, right_n: Array, bins: int = BINS) -> float:
    """Mean distance of probability and share of right answers over bins, weighted by their samples.

    Naeini, Cooper, Hauskrecht 2015, https://doi.org/10.1609/aaai.v29i1.9602.
    """
    if not len(p_n):
        return float("nan")
    n_b, mean_b, share_b = reliability(p_n, right_n, bins)
    return float(np.nansum(n_b * np.abs(mean_b - share_b)) / len(p_n))


def samples_f1(y_nl: Array, told_nl: Array) -> float:
    """Mean over samples of the F1 of its labels; 0 where a sample was told nothing."""
    both_n = (y_nl & told_nl).sum(axis=1)
    size_n = y_nl.sum(axis=1) + told_nl.sum(axis=1)
    return float(np.mean(2 * both_n / np.maximum(size_n, 1))) if len(y_nl) else float("nan")


def auroc(score_n: Array, y_n: Array, weight_bn: Array | None = None) -> Array:
    """(b,) area under the ROC curve for each row of weights; ties count half, NaN where one side has no weight."""
    weight_bn = np.ones((1, len(score_n))) if weight_bn is None else weight_bn
    order, last = _ranked(-score_n)
    positive_bn, negative_bn = _cumulated(weight_bn[:, order], y_n[order], last)
    gain_bn, cost_bn = np.diff(positive_bn, axis=1, prepend=0), np.diff(negative_bn, axis=1, prepend=0)
    below_bn = negative_bn[:, -1:] - negative_bn + cost_bn / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        area: Array = (gain_bn * below_bn).sum(axis=1) / (positive_bn[:, -1] * negative_bn[:, -1])
    return area


def auprc(score_n: Array, y_n: Array, weight_bn: Array | None = None) -> Array:
    """(b,) average precision for each row of weights; NaN where no positive has weight."""
    weight_bn = np.ones((1, len(score_n))) if weight_bn is None else weight_bn
    order, last = _ranked(-score_n)
    positive_bn, negative_bn = _cumulated(weight_bn[:, order], y_n[order], last)
    gain_bn = np.diff(positive_bn, axis=1, prepend=0)
    told_bn = positive_bn + negative_bn
    precision_bn = np.divide(positive_bn, told_bn, out=np.zeros_like(told_bn), where=told_bn > 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        area: Array = (gain_bn * precision_bn).sum(axis=1) / positive_bn[:, -1]
    return area


def _ranked(key_n: Array) -> tuple[Array, Array]:
    """Ascending order, and in it the last place of every run of ties."""
    order = np.argsort(key_n, kind="stable")
    sorted_n = key_n[order]
    return order, np.flatnonzero(np.append(sorted_n[1:] != sorted_n[:-1], True))


def _cumulated(weight_bn: Array, y_n: Array, last: Array) -> tuple[Array, Array]:
    y_n = y_n.astype(bool)
    either = (np.cumsum(weight_bn * side_n, axis=1, dtype=np.float64)[:, last] for side_n in (y_n, ~y_n))
    positive_bn, negative_bn = either
    return positive_bn, negative_bn
