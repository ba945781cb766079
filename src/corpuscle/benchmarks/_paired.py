"""Paired comparisons over few units: exact sign flips, Holm's correction, and a bootstrap interval of the mean."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

__all__ = ["bootstrap_interval", "holm", "sign_flip"]

Array = np.ndarray[Any, Any]

#: Up to here all signs are enumerated; beyond, as many are drawn as this number would have.
EXACT_UNITS = 14
ROUNDS = 10_000


def sign_flip(difference_s: Array, rng: np.random.Generator) -> float:
    """Two-sided p of the mean under random signs: exact for few units, of which the smallest is 2 / 2**s."""
    n = difference_s.size
    if n <= EXACT_UNITS:
        signs = np.array(list(product((-1, 1), repeat=n)))
    else:
        signs = np.vstack([np.ones(n), rng.choice([-1, 1], size=(2**EXACT_UNITS, n))])
    means = np.abs(signs @ difference_s)
    return float((means >= np.abs(difference_s.sum()) - 1e-12).mean())


def holm(p: list[float]) -> list[float]:
    """Holm's step-down adjustment; a p that is NaN stays NaN and counts for nothing."""
    order = np.argsort(p, kind="stable")
    out = np.full(len(p), np.nan)
    known = int(np.isfinite(p).sum())
    highest = 0.0
    for place, i in enumerate(order[:known]):
        highest = max(highest, min(1.0, (known - place) * p[i]))
        out[i] = highest
    return [float(value) for value in out]


def bootstrap_interval(value_s: Array, rng: np.random.Generator, rounds: int = ROUNDS) -> tuple[float, float]:
    """95 % percentile interval of the mean, units resampled; NaN for fewer than two."""
    if value_s.size < 2:
        return float("nan"), float("nan")
    picks = rng.integers(value_s.size, size=(rounds, value_s.size))
    low, high = np.percentile(value_s[picks].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)
