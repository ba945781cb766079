"""Scores of one gene from its statistics; arrays in, arrays out."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["gini", "signal_ratio", "tau"]

Array = np.ndarray[Any, Any]


def signal_ratio(high_g: Array, mean_g: Array, pseudo_count: float = 1.0) -> Array:
    """How far the top of a gene's values stands above their mean: (percentile + c) / (mean + c).

    The same as the percentile of (c + y) / mean(c + y), since dividing by a positive number keeps the order.

    Parameters
    ----------
    high_g
        (g,) percentile of the values, in the units of the values, not divided by a gene length.
    mean_g
        (g,) their mean.
    pseudo_count
        c, in the units of the values.

    Returns
    -------
    numpy.ndarray
        (g,); NaN where the mean is -c or below.
    """
    below_g = np.asarray(mean_g, np.float64) + pseudo_count
    return np.divide(
        np.asarray(high_g, np.float64) + pseudo_count, below_g, out=np.full(below_g.shape, np.nan), where=below_g > 0
    )


def gini(sorted_ng: Array) -> Array:
    """Gini coefficient of each gene over samples: 0 if all are equal, near 1 if one sample has it all.

    Parameters
    ----------
    sorted_ng
        (n, g) values, ascending along samples.

    Returns
    -------
    numpy.ndarray
        (g,); NaN where a value is negative or all are 0, for which it is not defined.
    """
    n = sorted_ng.shape[0]
    weight_n = 2.0 * np.arange(1, n + 1) - n - 1
    sum_g = sorted_ng.sum(axis=0, dtype=np.float64)
    whole_g = np.where((sorted_ng[0] >= 0) & (sum_g > 0), n * sum_g, np.nan)
    return np.einsum("n,ng->g", weight_n, sorted_ng, dtype=np.float64) / whole_g


def tau(mean_lg: Array) -> Array:
    """Specificity tau of Yanai et al. (Bioinformatics 2005): 0 if alike under all labels, 1 if under one label only.

    Parameters
    ----------
    mean_lg
        (l, g) mean value of each gene under each label.

    Returns
    -------
    numpy.ndarray
        (g,) sum over labels of (1 - x / max x) / (l - 1); NaN with fewer than two labels, where a mean is negative, or
        where all are 0.
    """
    n_labels = mean_lg.shape[0]
    if n_labels < 2:
        return np.full(mean_lg.shape[1], np.nan)
    top_g = mean_lg.max(axis=0)
    top_g = np.where((mean_lg.min(axis=0) >= 0) & (top_g > 0), top_g, np.nan)
    return (1 - mean_lg / top_g).sum(axis=0) / (n_labels - 1)
