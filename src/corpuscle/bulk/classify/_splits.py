"""Folds of labelled samples, by series or at random."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from corpuscle.bulk.series import Folds, grouped_folds, random_folds

__all__ = ["SPLITS", "folds_of"]

Array = np.ndarray[Any, Any]
SPLITS = ("series", "random")


def folds_of(
    rarest_m: Array, series_m: Array | None, split: str, n_splits: int, seed: int, *, quiet: bool = False
) -> Folds:
    """Places of training and test samples, fold by fold.

    Parameters
    ----------
    rarest_m
        (m,) label by which folds are balanced.
    series_m
        (m,) series; needed for the split by series.
    split
        ``"series"`` or ``"random"``.
    n_splits, seed
        Of the folds.
    quiet
        Say nothing of labels in one series: of inner folds that is nothing to know.

    Raises
    ------
    OptionError
        No such split is possible.
    """
    with warnings.catch_warnings():
        if quiet:
            warnings.simplefilter("ignore", UserWarning)
        if split == "random" or series_m is None:
            return random_folds(rarest_m, n_splits, seed)
        return grouped_folds(rarest_m, series_m, n_splits, seed)
