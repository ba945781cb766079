"""One row per method on a shared axis: distributions, intervals and marks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from corpuscle.report._axis import Axis
from corpuscle.report._templates import piece

__all__ = ["Lane", "Mark", "Span", "histogram_path", "lanes"]

Array = np.ndarray[Any, Any]
BINS = 72


@dataclass(frozen=True)
class Mark:
    """A point: ``kind`` is ``"target"``, ``"median"``, ``"sample"`` or ``"tick"``; ``title`` shows on hover."""

    value: float
    kind: str
    title: str = ""


@dataclass(frozen=True)
class Span:
    """A line from low to high: ``kind`` is ``"interval"`` (strong) or ``"range"`` (quiet)."""

    low: float
    high: float
    kind: str


@dataclass(frozen=True)
class Lane:
    """A row. ``shape`` is a path from :func:`histogram_path`; ``message`` replaces the drawing, e.g. why undefined."""

    label: str
    marks: Sequence[Mark] = ()
    spans: Sequence[Span] = ()
    shape: str = ""
    numbers: Sequence[str] = ()
    message: str = ""


def histogram_path(values: Array, axis: Axis, bins: int = BINS) -> str:
    """Outline of a histogram in a box of 1000 x 100, the tallest bin full height; values outside go to the end bins."""
    values = values[np.isfinite(values)]
    if not values.size:
        return ""
    edges = np.linspace(axis.low, axis.high, bins + 1)
    heights, _ = np.histogram(np.clip(values, axis.low, axis.high), edges)
    tops = 100 - np.round(100 * heights / heights.max()).astype(int)
    places = np.round(np.linspace(0, 1000, bins + 1)).astype(int)
    steps, last = ["M0 100"], 100
    for top, start, stop in zip(tops, places[:-1], places[1:], strict=True):
        if top != last:
            steps.append(f"H{start}V{top}")
            last = top
        end = stop
    return "".join(steps) + f"H{end}V100Z"


def lanes(
    rows: Sequence[Lane],
    axis: Axis,
    *,
    caption: str,
    heads: Sequence[str] = (),
    key: Sequence[tuple[str, str]] = (),
    slim: bool = False,
) -> Markup:
    """Rows on a shared axis.

    Parameters
    ----------
    rows
        Drawn in the order given.
    caption
        What the figure shows; also what a screen reader says.
    heads
        Headings of the numbers at the right.
    key
        (mark kind, meaning) for the legend.
    slim
        Lower rows, for figures without shapes.
    """
    return piece("lanes.html", rows=rows, axis=axis, caption=caption, heads=heads, key=key, slim=slim)
