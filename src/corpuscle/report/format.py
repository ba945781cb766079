"""Numbers as people read them. What is undefined says so, and never turns into a number."""

from __future__ import annotations

import math
from typing import Any

__all__ = [
    "UNDEFINED",
    "count",
    "defined",
    "fixed",
    "interval",
    "megabytes",
    "seconds",
    "share",
    "significant",
    "tick_label",
]

UNDEFINED = "undefined"
MINUS = "\N{MINUS SIGN}"
TO = "\N{EN DASH}"


def defined(value: Any) -> bool:
    """Whether ``value`` is a finite number."""
    try:
        return math.isfinite(value)
    except TypeError:
        return False


def _signed(text: str) -> str:
    if float(text.replace(",", "")) == 0:
        text = text.lstrip("-")
    return text.replace("-", MINUS) if "e" not in text else text


def fixed(value: Any, digits: int = 3) -> str:
    """With a fixed number of decimals."""
    return _signed(f"{value:.{digits}f}") if defined(value) else UNDEFINED


def significant(value: Any, digits: int = 3) -> str:
    """With so many significant digits, and no exponent where a reader needs none."""
    if not defined(value):
        return UNDEFINED
    if value != 0 and not 1e-3 <= abs(value) < 1e6:
        return _signed(f"{value:.{digits}g}")
    decimals = 0 if value == 0 else max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return _signed(f"{value:,.{decimals}f}")


def tick_label(value: float) -> str:
    """Write a round number as briefly as an axis wants it."""
    whole = 1e3 <= abs(value) < 1e6 and abs(value - round(value)) < 1e-6 * abs(value)
    return _signed(f"{value:,.0f}" if whole else f"{value:.3g}")


def count(value: Any) -> str:
    """Write a whole number with thousands separators."""
    return _signed(f"{round(value):,}") if defined(value) else UNDEFINED


def share(value: Any) -> str:
    """Write a fraction as a percentage."""
    return f"{value:.0%}" if defined(value) else UNDEFINED


def seconds(value: Any) -> str:
    """Write a duration: ms, s or min."""
    if not defined(value):
        return UNDEFINED
    if value < 0.95:
        return f"{significant(value * 1e3, 2)} ms"
    return f"{significant(value, 2)} s" if value < 100 else f"{significant(value / 60, 2)} min"


def megabytes(value: Any) -> str:
    """Memory given in MiB."""
    if not defined(value):
        return UNDEFINED
    if value < 1:
        return "< 1 MiB"
    return f"{significant(value / 1024, 2)} GiB" if value >= 1000 else f"{significant(value, 2)} MiB"


def interval(low: Any, high: Any, digits: int = 3) -> str:
    """Both ends of an interval, or why there is none."""
    return f"{fixed(low, digits)} to {fixed(high, digits)}" if defined(low) and defined(high) else "no interval"
