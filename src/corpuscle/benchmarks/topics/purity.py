"""Interpretation purity: how far a cell's strongest topic gives its type away."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from corpuscle.errors import OptionError

__all__ = ["interpretation_purity", "strongest_topic"]

Array = np.ndarray[Any, Any]


def strongest_topic(cell_topic_nk: Array) -> Array:
    """Topic with the largest value of each cell, (n,); the first of equal ones.

    Raises
    ------
    OptionError
        Not a matrix, or a value that is not finite.
    """
    value_nk = np.asarray(cell_topic_nk)
    if value_nk.ndim != 2 or 0 in value_nk.shape or not np.isfinite(value_nk).all():
        raise OptionError(f"topic values of the cells, shape {value_nk.shape}, must be a finite matrix, cells x topics")
    return value_nk.argmax(axis=1)


def interpretation_purity(cell_topic_nk: Array, labels_n: Any) -> float:
    """Share of the cells that are of the commonest type among the cells with the same strongest topic.

    It rises by itself with the number of topics, so compare it at one number only. Published as IP (scE2TM, Chen et
    al., arXiv 2507.08355).

    Parameters
    ----------
    cell_topic_nk
        Cells x topics: logits, proportions or factor scores.
    labels_n
        Type of each cell.

    Raises
    ------
    OptionError
        Shapes disagree, or a value is not finite.
    """
    topic_n = strongest_topic(cell_topic_nk)
    labels_n = np.asarray(labels_n)
    if labels_n.shape != topic_n.shape:
        raise OptionError(f"there are {labels_n.size} labels for {topic_n.size} cells")
    return float(pd.crosstab(topic_n, labels_n).max(axis=1).sum() / topic_n.size)
