"""What the figures of named cells share: colours, grouping of many types, empty figures, and names that keep apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from corpuscle.models._figures import INK, QUIET, SHAPE, new_figure, tidy

__all__ = [
    "ACCENT",
    "INK",
    "MOST",
    "OTHER",
    "QUIET",
    "SHAPE",
    "colours_of",
    "grouped",
    "new_figure",
    "short_name",
    "spread_apart",
    "tidy",
]

Array = np.ndarray[Any, Any]

ACCENT = "#a31d3a"
#: Of Okabe and Ito (2008), told apart under every common colour blindness.
FEW = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#4d4d4d")
#: Of Krzywinski's palette of twelve for the same purpose.
MANY = ("#009f81", "#ff5aaf", "#8400cd", "#ff6e3a", "#008df9", "#ffc33b", "#a40122", "#00c2f9", "#ffb2fd", "#9f0162",
        "#e20134", "#00d9b0")  # fmt: skip
#: Types with a colour of their own; of more, the smallest share one.
MOST = len(MANY)
OTHER = "other"


def colours_of(n_types: int) -> list[str]:
    """A colour for each type, told apart whatever the eye; grey from the thirteenth."""
    palette = FEW if n_types <= len(FEW) else MANY
    return [palette[k] if k < len(palette) else SHAPE for k in range(n_types)]


def grouped(types: Sequence[str], *codes: Array, most: int = MOST) -> tuple[list[str], list[Array]]:
    """Types by size, those beyond ``most`` (and cells of none, -1) as one.

    Parameters
    ----------
    types
        Names.
    codes
        (n,) types of the cells, before and after for example; sizes are those of all together.
    most
        Names that are left, the one for the rest included.

    Returns
    -------
    names
        Those that occur, the largest first.
    codes
        The same cells in terms of these names; -1 stays -1.
    """
    size_k = np.sum([np.bincount(code[code >= 0], minlength=len(types)) for code in codes], axis=0)
    order = [int(k) for k in np.argsort(-size_k, kind="stable") if size_k[k]]
    kept = order if len(order) <= most else order[: most - 1]
    place_k = np.full(len(types) + 1, -1)
    place_k[order] = len(kept)
    place_k[kept] = np.arange(len(kept))
    names = [types[k] for k in kept]
    if len(order) > len(kept):
        names.append(f"{OTHER} ({len(order) - len(kept)} types)")
    return names, [place_k[code] for code in codes]


def spread_apart(places: Array, gap: float, low: float, high: float) -> Array:
    """Places moved as little as it takes to lie ``gap`` apart in their order, within low to high where there is room."""
    order = np.argsort(places, kind="stable")
    at = np.asarray(places, float)[order]
    for i in range(1, at.size):
        at[i] = max(at[i], at[i - 1] + gap)
    if at.size and at[-1] > high:
        at[-1] = high
        for i in range(at.size - 2, -1, -1):
            at[i] = min(at[i], at[i + 1] - gap)
    moved = np.empty_like(at)
    moved[order] = np.maximum(at, low) if at.size and at[0] >= low else at
    return moved


def short_name(name: str, room: int = 30) -> str:
    """A name with its middle left out where it has no room, and nothing that a figure would take for a formula."""
    name = name if len(name) <= room else f"{name[: room // 2]}\N{HORIZONTAL ELLIPSIS}{name[-room // 2 + 1 :]}"
    return f" {name}".replace("$", r"\$") if name.startswith("_") else name.replace("$", r"\$")
