"""Scores of held-out answers, and of the same answers with whole series drawn again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from corpuscle.bulk.classify._held_out import Held
from corpuscle.bulk.classify.metrics import BINS, auprc, auroc
from corpuscle.seeds import stream

__all__ = ["LABEL_METRICS", "Scorer", "drawn_series", "interval_of"]

Array = np.ndarray[Any, Any]
#: Numbers in the arrays of one chunk of resamples: 64 MiB.
CHUNK_NUMBERS = 2**23
#: Metrics of each label that have an interval.
LABEL_METRICS = ("precision", "recall", "f1", "auroc", "auprc")


def drawn_series(n_series: int, n_boot: int, seed: int, per_chunk: int) -> Iterator[Array]:
    """How often each series is in each resample, (b, s) float64, some resamples at a time.

    As many series are drawn as there are, with replacement; a series comes with all its samples. The draws depend on the
    seed and the number of series and on nothing else, so that two splits of the same samples can be compared in pairs.
    """
    random = stream(seed, "classify", "bootstrap over series")
    for start in range(0, n_boot, per_chunk):
        draws = min(per_chunk, n_boot - start)
        drawn = random.integers(n_series, size=(draws, n_series)) + np.arange(draws)[:, None] * n_series
        yield np.bincount(drawn.ravel(), minlength=draws * n_series).reshape(draws, n_series).astype(np.float64)


class Scorer:
    """Sums by series from which every score of any resample follows.

    Parameters
    ----------
    held
        The answers.
    series_m
        (m,) series of each sample; the sample itself where they are not known.
    """

    def __init__(self, held: Held, series_m: Array) -> None:
        self.held = held
        self.unit_m = np.unique(series_m, return_inverse=True)[1]
        self.n_series = int(self.unit_m.max()) + 1
        y, told = held.y_ml, held.told_ml
        self.tp_sl, self.fp_sl, self.fn_sl = (self._summed(part) for part in (y & told, ~y & told, y & ~told))
        both_m = (y & told).sum(axis=1)
        f1_m = 2 * both_m / np.maximum(y.sum(axis=1) + told.sum(axis=1), 1)
        self.samples_s2 = self._summed(np.column_stack([f1_m, np.ones(len(f1_m))]))
        at = np.arange(len(y))
        before_m = held.raw_ml.argmax(axis=1)
        self.bins = {
            "ece": self._binned(held.confidence_m, held.right_m),
            "ece_before": self._binned(np.clip(held.raw_ml[at, before_m], 0, 1), y[at, before_m]),
        }

    def estimate(self) -> dict[str, Array]:
        """Every score; over all (1,) or by label (1, l)."""
        return self.scores(np.ones((1, self.n_series)))

    def resampled(self, n_boot: int, seed: int) -> dict[str, Array]:
        """The scores of every resample, (b,) or (b, l)."""
        per_chunk = max(1, min(128, CHUNK_NUMBERS // max(len(self.unit_m), self.n_series)))
        parts = [self.scores(times_bs) for times_bs in drawn_series(self.n_series, n_boot, seed, per_chunk)]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def scores(self, times_bs: Array) -> dict[str, Array]:
        """Scores where series count so many times; a label that no drawn sample has is left out of means."""
        tp, fp, fn = (times_bs @ part for part in (self.tp_sl, self.fp_sl, self.fn_sl))
        f1_2, n_samples = np.moveaxis(times_bs @ self.samples_s2, -1, 0)
        weight_bm = times_bs[:, self.unit_m]
        areas = [
            (auroc(p_m, y_m, weight_bm), auprc(p_m, y_m, weight_bm))
            for p_m, y_m in zip(self.held.p_ml.T, self.held.y_ml.T, strict=True)
        ]
        with np.errstate(invalid="ignore", divide="ignore"):
            there = tp + fn > 0
            precision, recall = tp / (tp + fp), tp / (tp + fn)
            f1 = np.where(there, 2 * tp / (2 * tp + fp + fn), np.nan)
            away = n_samples[:, None] - tp - fn
            specificity = (away - fp) / away
            by_label = {
                "precision": precision, "recall": recall, "f1": f1, "auroc": np.column_stack([one[0] for one in areas]),
                "auprc": np.column_stack([one[1] for one in areas]),
            }  # fmt: skip
            total = 2 * tp.sum(axis=1) + fp.sum(axis=1) + fn.sum(axis=1)
            overall = {
                "macro_f1": _mean(f1), "micro_f1": 2 * tp.sum(axis=1) / total, "samples_f1": f1_2 / n_samples,
                "balanced_accuracy": _mean(recall if self.held.exclusive else (recall + specificity) / 2),
                "macro_auroc": _mean(by_label["auroc"]), "macro_auprc": _mean(by_label["auprc"]),
            }  # fmt: skip
            for name, (n_sb, p_sb, right_sb) in self.bins.items():
                gap = np.abs(times_bs @ p_sb - times_bs @ right_sb).sum(axis=1)
                overall[name] = gap / (times_bs @ n_sb).sum(axis=1)
        return {**overall, **{f"label {name}": values for name, values in by_label.items()}}

    def _summed(self, part_mk: Array) -> Array:
        """(s, k) sums over the samples of each series."""
        out = np.zeros((self.n_series, part_mk.shape[1]))
        np.add.at(out, self.unit_m, part_mk)
        return out

    def _binned(self, p_m: Array, right_m: Array) -> tuple[Array, Array, Array]:
        """Samples, probabilities and right answers of each series in each bin, (s, bins) each."""
        key_m = self.unit_m * BINS + np.minimum((p_m * BINS).astype(np.int64), BINS - 1)
        size = self.n_series * BINS
        shaped = (np.bincount(key_m, weights, size).reshape(-1, BINS) for weights in (None, p_m, right_m))
        n_sb, p_sb, right_sb = shaped
        return n_sb.astype(np.float64), p_sb, right_sb


def interval_of(values_b: Array) -> tuple[float, float]:
    """95 % percentile interval; NaN where half of the resamples leave the score undefined."""
    known = values_b[np.isfinite(values_b)]
    if len(known) < max(2, len(values_b) / 2):
        return float("nan"), float("nan")
    low, high = np.percentile(known, [2.5, 97.5])
    return float(low), float(high)


def _mean(values_bl: Array) -> Array:
    known_bl = np.isfinite(values_bl)
    total_b: Array = np.where(known_bl, values_bl, 0).sum(axis=1) / known_bl.sum(axis=1)
    return total_b
