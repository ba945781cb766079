"""Figures of a judgement: a value, what real samples have in its place, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from corpuscle.errors import MethodError, OptionError

__all__ = ["COLUMNS", "Undefined", "checked", "figure_table", "need"]

Array = np.ndarray[Any, Any]
COLUMNS = ("figure", "value", "reference", "reason")


class Undefined(MethodError):
    """A figure has no value for these samples; its message says why."""


def need(n: int, least: int, what: str) -> None:
    """Refuse too few samples.

    Raises
    ------
    Undefined
        ``n`` is below ``least``.
    """
    if n < least:
        raise Undefined(f"{n} {what}; it takes {least} or more")


def checked(x_nd: Array | None, what: str, d: int | None = None) -> Array | None:
    """float64 samples x features, all finite, or None.

    Raises
    ------
    OptionError
        They are of another shape or not all finite.
    """
    if x_nd is None:
        return None
    x_nd = np.asarray(x_nd, dtype=np.float64)
    if x_nd.ndim != 2 or (d is not None and x_nd.shape[1] != d):
        raise OptionError(
            f"{what}: shape {x_nd.shape} is not samples x {'features' if d is None else f'{d:,} features'}"
        )
    if not np.isfinite(x_nd).all():
        raise OptionError(f"{what}: an entry is not a finite number")
    return x_nd


def figure_table(
    ask: Callable[[Any, str], Mapping[str, float]],
    wanted: Mapping[str, tuple[str, ...]],
    judged: Any,
    real: Any,
) -> pd.DataFrame:
    """Ask each judge about the samples and about real ones in their place.

    Parameters
    ----------
    ask
        Called with samples and the name of a judge; gives its figures or raises :class:`Undefined`.
    wanted
        Judge -> names of its figures.
    judged, real
        What ``ask`` takes; ``real`` is None where there is nothing to compare with.

    Returns
    -------
    table
        Columns ``figure``, ``value``, ``reference`` (the figure of the real samples), ``reason`` (why a value is NaN).
    """
    rows = []
    for judge, names in wanted.items():
        values, reason = _answers(ask, judge, names, judged)
        references, _ = ({}, "") if real is None else _answers(ask, judge, names, real)
        rows += [(name, values.get(name, np.nan), references.get(name, np.nan), reason) for name in names]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _answers(ask: Any, judge: str, names: tuple[str, ...], samples: Any) -> tuple[Mapping[str, float], str]:
    try:
        found = ask(samples, judge)
    except Undefined as error:
        return {}, str(error)
    return {name: float(found[name]) for name in names}, ""
