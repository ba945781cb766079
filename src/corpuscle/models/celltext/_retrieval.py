"""How well texts find the cells of their label; the check of scores that all metrics share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from corpuscle.errors import MethodError, OptionError

__all__ = ["NO_POSITIVE", "checked_scores", "retrieval_metrics"]

Array = np.ndarray[Any, Any]
NO_POSITIVE = "no cell has this label"


def retrieval_metrics(
    score_nk: Array, truth_n: Sequence[Any], labels: Sequence[str], *, at: Sequence[int] = (10,)
) -> pd.DataFrame:
    """How well each text finds the cells of its label; every cell of the label is relevant.

    Cells of one score count with the mean over their orders, so the order of cells does not matter.

    Parameters
    ----------
    score_nk, truth_n, labels
        As for :func:`~corpuscle.models.celltext.zero_shot.label_metrics`.
    at
        Numbers of cells looked at.

    Returns
    -------
    DataFrame
        Index ``label``; columns ``precision@k`` and ``recall@k`` for every k, ``r_precision`` (precision among as many
        cells as are relevant), ``average_precision``, ``chance`` (share of relevant cells), ``n_relevant`` and
        ``reason``, which says why values are NaN.

    Raises
    ------
    OptionError, MethodError
        As for :func:`label_metrics`.
    """
    score_nk, true_n, _ = checked_scores(score_nk, truth_n, labels)
    if any(k < 1 for k in at):
        raise OptionError(f"at={list(at)}: every number needs to be 1 or more")
    rows = {label: _retrieved(score_nk[:, k], true_n == label, at) for k, label in enumerate(labels)}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("label")


def _retrieved(score_n: Array, is_n: Array, at: Sequence[int]) -> dict[str, float | str]:
    from sklearn.metrics import average_precision_score

    n_is, n_cells = int(is_n.sum()), len(is_n)
    short = [k for k in at if k > n_cells]
    reason = NO_POSITIVE if not n_is else f"fewer than {min(short)} cells" if short else ""
    row: dict[str, float | str] = {}
    for k in at:
        hits = _hits(score_n, is_n, k) if n_is and k <= n_cells else np.nan
        row |= {f"precision@{k}": hits / k, f"recall@{k}": hits / n_is if n_is else np.nan}
    row["r_precision"] = _hits(score_n, is_n, n_is) / n_is if n_is else np.nan
    row["average_precision"] = float(average_precision_score(is_n, score_n)) if n_is else np.nan
    return row | {"chance": n_is / n_cells if n_is else np.nan, "n_relevant": n_is, "reason": reason}


def _hits(score_n: Array, is_n: Array, k: int) -> float:
    """Relevant cells expected among the k best when ties fall at random."""
    least = np.partition(score_n, len(score_n) - k)[len(score_n) - k]
    above_n, tied_n = score_n > least, score_n == least
    return float((is_n & above_n).sum() + (k - above_n.sum()) * (is_n & tied_n).sum() / tied_n.sum())


def checked_scores(scores: Array, truth_n: Sequence[Any], labels: Sequence[str]) -> tuple[Array, Array, int]:
    """Scores and true labels of the cells that have one, and how many have none."""
    score_nk = np.asarray(scores)
    truth = pd.Series(truth_n, dtype=object).reset_index(drop=True)
    if score_nk.shape != (len(truth), len(labels)) or not len(labels):
        raise OptionError(
            f"scores of shape {score_nk.shape} for {len(truth)} cells and {len(labels)} labels; give a row a cell and "
            "a column a label"
        )
    repeated = pd.Index(labels)[pd.Index(labels).duplicated()]
    if len(repeated):
        raise OptionError(f"label {repeated[0]!r} is asked for twice; give each label once")
    if not np.isfinite(score_nk).all():
        raise MethodError(f"{(~np.isfinite(score_nk)).sum()} scores are not finite; embed cells and texts again")
    known_n = truth.notna().to_numpy()
    return score_nk[known_n], truth[known_n].astype(str).to_numpy(object), int((~known_n).sum())
