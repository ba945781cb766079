"""How sure scores are of a cell, a block of cells at a time."""

from __future__ import annotations

from typing import Any

import numpy as np

from corpuscle.annotate.transform import ROUNDING, probabilities

__all__ = ["certainty", "margins", "reading"]

Array = np.ndarray[Any, Any]
#: Cells that are worked on at a time, so that copies of the scores stay small.
ROWS = 65_536


def margins(values_nk: Array) -> Array:
    """(n,) highest score less the second highest, in units of the scores; NaN where there is one type."""
    if values_nk.shape[1] == 1:
        return np.full(len(values_nk), np.nan, values_nk.dtype)
    margin_n = np.empty(len(values_nk), values_nk.dtype)
    for start in range(0, len(values_nk), ROWS):
        two = np.partition(values_nk[start : start + ROWS], -2, axis=1)[:, -2:]
        margin_n[start : start + ROWS] = two[:, 1] - two[:, 0]
    return margin_n


def reading(values_nk: Array, kind: str = "auto") -> str:
    """How all of some scores are read as probabilities: ``"shares"`` unless one is negative, else ``"logits"``."""
    if kind != "auto":
        return kind
    negative = float(values_nk.min()) < -ROUNDING * float(np.abs(values_nk).max())
    return "logits" if negative else "shares"


def certainty(values_nk: Array, kind: str = "auto") -> tuple[Array, Array]:
    """(n,) probability of each cell's highest type, and (n,) entropy of its types over log K.

    Scores are read as :func:`~corpuscle.annotate.transform.probabilities` says. NaN where a cell's scores say nothing;
    the entropy of one type is NaN too.
    """
    kind = reading(values_nk, kind)
    n, k = values_nk.shape
    top_n, entropy_n = np.empty(n), np.full(n, np.nan)
    for start in range(0, n, ROWS):
        rows = slice(start, start + ROWS)
        p_bk = probabilities(values_nk[rows], kind)
        top_n[rows] = p_bk.max(axis=1)
        if k > 1:
            logs_bk = np.log(p_bk, out=np.zeros_like(p_bk), where=p_bk > 0)
            entropy_n[rows] = -np.einsum("bk,bk->b", p_bk, logs_bk) / np.log(k)
    return top_n, entropy_n
