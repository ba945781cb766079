"""Topic stability: whether another seed finds the same topics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from corpuscle.errors import OptionError

__all__ = ["Stability", "topic_stability"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Stability:
    """How alike the topics of several runs are.

    Attributes
    ----------
    cosine
        Mean cosine of the matched rows over pairs of runs, as published; NaN for fewer than two runs.
    centred
        The same after subtracting each gene's mean over topics.
    pairs
        first, second, cosine, centred, n_matched (pairs of topics with a defined cosine, as they are and centred).
    """

    cosine: float
    centred: float
    pairs: pd.DataFrame


def topic_stability(runs: Sequence[Array]) -> Stability:
    """Match the topics of every two runs one to one (Hungarian method), and average the cosine of matched rows.

    Rows of positive weights share a background, so that unrelated topics have a high cosine too. ``centred`` takes the
    mean over topics off each gene first, which for weights that sum to 1 over topics is the uniform 1/K.

    Parameters
    ----------
    runs
        Topics x genes of each run, over the same genes in the same order.

    Raises
    ------
    OptionError
        Shapes differ, or a weight is not finite.
    """
    weight_rkg = [np.asarray(run, np.float64) for run in runs]
    shapes = {weight_kg.shape for weight_kg in weight_rkg}
    if len(shapes) > 1 or any(weight_kg.ndim != 2 for weight_kg in weight_rkg):
        raise OptionError(f"runs have topic weights of shapes {sorted(shapes)}; they must be alike, topics x genes")
    if not all(np.isfinite(weight_kg).all() for weight_kg in weight_rkg):
        raise OptionError("topic weights are not all finite, so topics cannot be matched")
    plain_rkg = [_unit(weight_kg, weight_kg) for weight_kg in weight_rkg]
    centred_rkg = [_unit(weight_kg - weight_kg.mean(axis=0), weight_kg) for weight_kg in weight_rkg]
    rows = []
    for i, j in combinations(range(len(weight_rkg)), 2):
        plain_m, centred_m = _matched(plain_rkg[i], plain_rkg[j]), _matched(centred_rkg[i], centred_rkg[j])
        rows.append(
            {
                "first": i, "second": j, "cosine": _mean(plain_m), "centred": _mean(centred_m),
                "n_matched": int(np.isfinite(plain_m).sum()), "n_matched_centred": int(np.isfinite(centred_m).sum()),
            }
        )  # fmt: skip
    pairs = pd.DataFrame(rows, columns=["first", "second", "cosine", "centred", "n_matched", "n_matched_centred"])
    return Stability(_mean(pairs["cosine"].to_numpy(float)), _mean(pairs["centred"].to_numpy(float)), pairs)


def _unit(row_kg: Array, weight_kg: Array) -> Array:
    """Rows of length 1; NaN for a row that is nothing but rounding beside the weights it was taken from."""
    length_k = np.linalg.norm(row_kg, axis=1, keepdims=True)
    floor = 1e-12 * float(np.linalg.norm(weight_kg, axis=1).max(initial=0.0))
    return row_kg / np.where(length_k > floor, length_k, np.nan)


def _matched(a_kg: Array, b_kg: Array) -> Array:
    """Cosines of the best one-to-one matching of rows of length 1, (k,); NaN where a row has no direction."""
    from scipy.optimize import linear_sum_assignment

    cosine_kk = a_kg @ b_kg.T
    rows, columns = linear_sum_assignment(np.nan_to_num(cosine_kk), maximize=True)
    return cosine_kk[rows, columns]


def _mean(values: Array) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")
