"""From values to places along an axis, as percentages: charts then fit any width without being drawn again."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from corpuscle.report.format import defined, tick_label

__all__ = ["Axis"]


@dataclass(frozen=True)
class Axis:
    """A horizontal axis.

    Attributes
    ----------
    low, high
        Its ends, in data units; ``low < high``.
    title
        What it measures.
    log
        Logarithmic; both ends are positive then.
    reference
        A value marked over the whole height, e.g. 0 or chance; None for no mark.
    """

    low: float
    high: float
    title: str = ""
    log: bool = False
    reference: float | None = None

    @classmethod
    def around(
        cls, values: Iterable[float], title: str = "", *, log: bool = False, reference: float | None = None
    ) -> Axis:
        """Give the axis that holds every defined value and the reference, with a little room."""
        known = [float(v) for v in values if defined(v) and (v > 0 or not log)]
        if reference is not None:
            known.append(reference)
        if not known:
            return cls(0.1 if log else 0.0, 1.0, title, log)
        low, high = min(known), max(known)
        if log:
            low, high = low / 1.15, high * 1.15
        else:
            room = 0.04 * (high - low) or 0.5 * abs(high) or 0.5
            low, high = low - room, high + room
        return cls(low, high, title, log, reference)

    def at(self, value: float) -> float | None:
        """Place of a value in percent of the width, kept inside 0 to 100; None for what has no place."""
        if not defined(value) or (self.log and value <= 0):
            return None
        low, high, v = (math.log(x) if self.log else x for x in (self.low, self.high, value))
        return round(100 * min(1.0, max(0.0, (v - low) / (high - low))), 2)

    def ticks(self) -> list[tuple[float, str]]:
        """Up to about six round values: (place in percent, label)."""
        values = self._log_ticks() if self.log else self._linear_ticks()
        return [(place, tick_label(v)) for v in values if (place := self.at(v)) is not None]

    def _linear_ticks(self) -> list[float]:
        raw = (self.high - self.low) / 5
        power = 10.0 ** math.floor(math.log10(raw))
        step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= raw * 0.999)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [k * step for k in range(first, last + 1)]

    def _log_ticks(self) -> list[float]:
        decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        for mantissas in ((1, 1.5, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
            values = [m * 10.0**d for d in decades for m in mantissas if self.low <= m * 10.0**d <= self.high]
            if len(values) <= 6:
                break
        return list(np.asarray(values))
