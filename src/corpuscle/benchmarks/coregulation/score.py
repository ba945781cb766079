"""How far a pair stands out from its background, oriented so that more is better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["MIN_BACKGROUND", "Score", "percentiles", "robust_z", "score_pair"]

Array = np.ndarray[Any, Any]

#: With fewer defined background values than this, a pair is called underpowered.
MIN_BACKGROUND = 100
MAD_TO_SD = 1.4826


@dataclass(frozen=True)
class Score:
    """One pair against its background; every field is NaN where it is undefined.

    ``percentile`` is the share of the background that the target beats in the expected direction (ties count half);
    ``z_robust`` is the distance to the background's median in robust standard deviations: what a method cannot raise
    by inflating everything.
    """

    r: float
    bg_median: float
    bg_mad: float
    bg_low: float
    bg_high: float
    percentile: float
    p_emp: float
    z: float
    z_robust: float
    delta: float
    n_background: int
    n_nan_background: int


def percentiles(r_b: Array, background_bk: Array, sign: int) -> Array:
    """(B,) share of each row's defined background that the target exceeds in direction ``sign``; ties count half."""
    target, other = sign * r_b[:, None], sign * background_bk
    with np.errstate(invalid="ignore"):
        below = (other < target).sum(axis=1) + 0.5 * (other == target).sum(axis=1)
    n = np.isfinite(background_bk).sum(axis=1)
    return np.where(np.isfinite(r_b) & (n > 0), below / np.maximum(n, 1), np.nan)


def robust_z(r_b: Array, background_bk: Array, sign: int) -> Array:
    """(B,) oriented distance of the target to the background's median, in 1.4826 median absolute deviations."""
    middle = _rowwise(np.nanmedian, background_bk)
    mad = _rowwise(np.nanmedian, np.abs(background_bk - middle[:, None]))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(mad > 0, sign * (r_b - middle) / (MAD_TO_SD * mad), np.nan)


def score_pair(r: float, background_k: Array, sign: int) -> Score:
    """Score a target value against the background values of the same method.

    Parameters
    ----------
    r
        Association of the pair.
    background_k
        (k,) association of the first gene with every background gene; NaN where undefined.
    sign
        +1 if the pair should be positive, -1 if negative.
    """
    known = background_k[np.isfinite(background_k)]
    n_nan = int(background_k.size - known.size)
    if not known.size or not np.isfinite(r):
        nan = float("nan")
        return Score(r, nan, nan, nan, nan, nan, nan, nan, nan, nan, known.size, n_nan)
    middle = float(np.median(known))
    mad = float(np.median(np.abs(known - middle)))
    low, high = np.percentile(known, [2.5, 97.5])
    sd = float(known.std(ddof=1)) if known.size > 1 else float("nan")
    delta = sign * (r - middle)
    return Score(
        r=r,
        bg_median=middle,
        bg_mad=mad,
        bg_low=float(low),
        bg_high=float(high),
        percentile=float(percentiles(np.array([r]), known[None, :], sign)[0]),
        p_emp=(1 + int((sign * known >= sign * r).sum())) / (known.size + 1),
        z=sign * (r - float(known.mean())) / sd if sd > 0 else float("nan"),
        z_robust=delta / (MAD_TO_SD * mad) if mad > 0 else float("nan"),
        delta=delta,
        n_background=known.size,
        n_nan_background=n_nan,
    )


def _rowwise(statistic: Any, values_bk: Array) -> Array:
    out = np.full(values_bk.shape[0], np.nan)
    some = np.isfinite(values_bk).any(axis=1)
    out[some] = statistic(values_bk[some], axis=1)
    return out
