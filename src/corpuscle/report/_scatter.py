"""Two genes against each other, cell by cell, for whichever sample and method a reader picks."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from markupsafe import Markup

from corpuscle.report._axis import Axis
from corpuscle.report._templates import piece

__all__ = ["Cloud", "scatter"]

Array = np.ndarray[Any, Any]
#: Places are kept in 12 bits, finer than a screen; the last level stands for an undefined value.
LEVELS = 4094
MISSING = 4095
#: All clouds of a page together, so that the page stays small for a whole catalog.
MAX_POINTS = 240_000
WIDTH, HEIGHT = 420, 400
LEFT, RIGHT, TOP, BOTTOM = 54, 406, 12, 350


@dataclass(frozen=True)
class Cloud:
    """The cells of one sample.

    Attributes
    ----------
    title
        Sample and pair.
    x_name, y_name
        The genes.
    cells
        Cell names, shown on hover.
    values
        Method -> (x_n, y_n).
    raw
        (x_n, y_n) counts shown beside the values; None where they are not known.
    notes
        Method -> one line under the plot.
    """

    title: str
    x_name: str
    y_name: str
    cells: Sequence[str]
    values: dict[str, tuple[Array, Array]]
    raw: tuple[Array, Array] | None = None
    notes: dict[str, str] = field(default_factory=dict)


def scatter(id: str, caption: str, clouds: Sequence[Cloud], *, topic: str) -> Markup:
    """Draw an interactive scatter; without scripts, the first method of the first sample.

    Parameters
    ----------
    topic
        The address's name for the choice of sample, shared with other pickers.
    """
    clouds = [cloud for cloud in clouds if cloud.values]
    if not clouds:
        return Markup()
    total = sum(len(cloud.values) * len(cloud.cells) for cloud in clouds)
    step = -(-total // MAX_POINTS)
    first = clouds[0]
    method = next(iter(first.values))
    frame = {"width": WIDTH, "height": HEIGHT, "left": LEFT, "right": RIGHT, "top": TOP, "bottom": BOTTOM}
    return piece(
        "scatter.html",
        id=id,
        caption=caption,
        topic=topic,
        clouds=clouds,
        methods=list(dict.fromkeys(name for cloud in clouds for name in cloud.values)),
        first=first,
        still=_still(*first.values[method]),
        method=method,
        frame=frame,
        thinned=step,
        data={"frame": frame, "clouds": [_packed(cloud, step) for cloud in clouds]},
    )


def _still(x_n: Array, y_n: Array) -> dict[str, Any]:
    """Axes and one path of dots (strokes of no length with round ends) for the plot that needs no script."""
    known = np.isfinite(x_n) & np.isfinite(y_n)
    x, y = Axis.around(x_n[known]), Axis.around(y_n[known])
    across, down = (RIGHT - LEFT) / 100, (BOTTOM - TOP) / 100
    places = [(x.at(a), y.at(b)) for a, b in zip(x_n[known], y_n[known], strict=True)]
    dots = {f"M{LEFT + a * across:.0f} {BOTTOM - b * down:.0f}h0" for a, b in places if a is not None and b is not None}
    return {
        "dots": "".join(sorted(dots)),
        "x": [(LEFT + place * across, label) for place, label in x.ticks()],
        "y": [(BOTTOM - place * down, label) for place, label in y.ticks()],
    }


def _packed(cloud: Cloud, step: int) -> dict[str, Any]:
    kept = slice(None, None, step)
    values = {}
    for method, (x_n, y_n) in cloud.values.items():
        levels_x, *ends_x = _levels(np.asarray(x_n, float)[kept])
        levels_y, *ends_y = _levels(np.asarray(y_n, float)[kept])
        values[method] = {"x": ends_x, "y": ends_y, "d": _bytes(levels_x, levels_y)}
    raw = None if cloud.raw is None else [[_whole(v) for v in np.asarray(axis)[kept]] for axis in cloud.raw]
    return {
        "title": cloud.title,
        "names": [cloud.x_name, cloud.y_name],
        "cells": [str(cell) for cell in cloud.cells[kept]],
        "raw": raw,
        "values": values,
        "notes": cloud.notes,
    }


def _whole(value: Any) -> int | float | None:
    if not np.isfinite(value):
        return None
    return int(value) if value == int(value) else float(value)


def _levels(v_n: Array) -> tuple[Array, float, float]:
    known = np.isfinite(v_n)
    if not known.any():
        return np.full(v_n.shape, MISSING, np.uint16), 0.0, 1.0
    low, high = float(v_n[known].min()), float(v_n[known].max())
    places = np.full(v_n.shape, MISSING, np.uint16)
    places[known] = np.round((v_n[known] - low) / ((high - low) or 1.0) * LEVELS)
    return places, float(f"{low:.6g}"), float(f"{high:.6g}")


def _bytes(x_n: Array, y_n: Array) -> str:
    """Two 12-bit numbers a cell in three bytes, as base64."""
    packed = np.stack([x_n >> 4, (x_n & 15) << 4 | y_n >> 8, y_n & 255], axis=1).astype(np.uint8)
    return base64.b64encode(packed.tobytes()).decode()
