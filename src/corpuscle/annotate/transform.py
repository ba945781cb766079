"""What can be done to scores before they are smoothed, and how they are read as confidence after it.

Smoothing is linear: rescaling all scores by one number, or adding a constant to a type, changes no more than that. What
is here is not linear in this sense, and can change labels.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from scipy.stats import rankdata

from corpuscle.annotate.scores import checked_values
from corpuscle.errors import MethodError, OptionError

__all__ = ["KINDS", "TRANSFORMS", "probabilities", "transform"]

Array = np.ndarray[Any, Any]
TRANSFORMS = ("none", "softmax", "log", "zscore", "rank", "center")
KINDS = ("auto", "shares", "logits")
#: Smallest value that a logarithm is taken of.
FLOOR = 1e-12
#: How far below 0, relative to the largest value, is rounding and not a negative score.
ROUNDING = 1e-4
#: Types that a line names before it says "and more".
NAMED = 5


def transform(values_nk: Any, how: str = "none", temperature: float = 1.0) -> Array:
    """Transform scores of n cells for K types.

    Parameters
    ----------
    values_nk
        (n, K) finite scores.
    how
        ``"none"``: as they are. ``"softmax"``: each row to probabilities. ``"log"``: logarithm of values >= 0, at
        least 1e-12. ``"zscore"``: each type to mean 0 and standard deviation 1 over the cells, which takes away that
        one type scores higher than others everywhere. ``"rank"``: each type to its ranks over the cells, in (0, 1), equal
        scores sharing theirs; the same idea without regard to size. ``"center"``: each type to mean 0.
    temperature
        Divides the scores before a softmax; above 1 the probabilities are flatter. It has no use elsewhere.

    Returns
    -------
    ndarray
        (n, K), float32 if the scores were, else float64. A new array unless ``how`` is ``"none"``.

    Raises
    ------
    OptionError
        There is no such transform, or the temperature is not above 0 or is given to another than softmax.
    MethodError
        Logarithm of negative scores; or no type varies between cells.
    SourceError
        A score is NaN or infinite.

    Warns
    -----
    UserWarning
        ``"zscore"``, ``"rank"`` and ``"center"`` say nothing about a type that has one score in all cells. It is put
        below all others, so that it names no cell.
    """
    if how not in TRANSFORMS:
        raise OptionError(f"no transform is called {how!r}; there are: {', '.join(TRANSFORMS)}")
    if not 0 < temperature < np.inf:
        raise OptionError(f"temperature={temperature!r} is not a number above 0")
    if temperature != 1 and how != "softmax":
        raise OptionError(
            f"temperature={temperature:g} has no use with transform={how!r}; it is for transform='softmax'"
        )
    given_nk = checked_values(values_nk)
    if how == "none":
        return given_nk
    if how == "softmax":
        return _softmax(given_nk, temperature)
    if how == "log":
        return _log(given_nk)
    return _by_type(given_nk, how)


def probabilities(values_nk: Any, kind: str = "auto") -> Array:
    """Read scores as probabilities of the types, to report how sure a label is.

    They are no calibrated probabilities unless the scores were.

    Parameters
    ----------
    values_nk
        (n, K) finite scores.
    kind
        ``"shares"``: scores >= 0 over their row's sum, for probabilities, also where smoothing or a one-against-all
        classifier left sums other than 1. ``"logits"``: softmax of each row. ``"auto"``: shares if no score is negative,
        else softmax.

    Returns
    -------
    ndarray
        (n, K) float64, rows sum to 1; NaN in a row of shares that are all 0, which says nothing.

    Raises
    ------
    OptionError
        There is no such kind.
    MethodError
        Shares of scores that are negative by more than rounding.
    """
    if kind not in KINDS:
        raise OptionError(f"scores cannot be read as {kind!r}; there are: {', '.join(KINDS)}")
    given_nk = checked_values(values_nk)
    negative = float(given_nk.min()) < -ROUNDING * float(np.abs(given_nk).max())
    if kind == "shares" and negative:
        raise MethodError(f"shares of negative scores (least: {given_nk.min():g}) do not exist; read them as 'logits'")
    if kind == "logits" or negative:
        return _softmax(given_nk.astype(np.float64), 1.0)
    share_nk = np.clip(given_nk, 0, None, dtype=np.float64)
    sum_n1 = share_nk.sum(axis=1, keepdims=True)
    out_nk: Array = np.divide(share_nk, sum_n1, out=np.full_like(share_nk, np.nan), where=sum_n1 > 0)
    return out_nk


def _softmax(given_nk: Array, temperature: float) -> Array:
    out_nk: Array = given_nk - given_nk.max(axis=1, keepdims=True)
    out_nk /= given_nk.dtype.type(temperature)
    np.exp(out_nk, out=out_nk)
    out_nk /= out_nk.sum(axis=1, keepdims=True)
    return out_nk


def _log(given_nk: Array) -> Array:
    least = float(given_nk.min())
    if least < 0:
        row, column = np.unravel_index(int(given_nk.argmin()), given_nk.shape)
        raise MethodError(
            f"transform='log': score {least:g} of cell {row:,}, column {column} is negative; it is for probabilities"
        )
    out_nk: Array = np.log(np.maximum(given_nk, given_nk.dtype.type(FLOOR)))
    return out_nk


def _by_type(given_nk: Array, how: str) -> Array:
    """Standardise column by column, in float64."""
    out_nk = np.empty_like(given_nk)
    flat = [k for k in range(given_nk.shape[1]) if np.ptp(given_nk[:, k]) == 0]
    if len(flat) == given_nk.shape[1]:
        raise MethodError(f"transform={how!r}: no type varies between the cells")
    for k in set(range(given_nk.shape[1])) - set(flat):
        value_n = given_nk[:, k].astype(np.float64)
        if how == "rank":
            out_nk[:, k] = (rankdata(value_n) - 0.5) / len(value_n)
            continue
        value_n -= value_n.mean()
        out_nk[:, k] = value_n / value_n.std() if how == "zscore" else value_n
    if flat:
        out_nk[:, flat] = _below(np.delete(out_nk, flat, axis=1))
        named = ", ".join(map(str, flat[:NAMED])) + (", ..." if len(flat) > NAMED else "")
        warnings.warn(
            f"transform={how!r}: {len(flat)} of {given_nk.shape[1]} types (columns {named}) have one score in all cells; "
            "they were put below all others",
            UserWarning,
            stacklevel=3,
        )
    return out_nk


def _below(varying_nk: Array) -> Any:
    """A value that is the best of no row."""
    return varying_nk.min() - np.ptp(varying_nk)
