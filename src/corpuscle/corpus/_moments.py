"""Mean and standard deviation of many cells, exactly, so that they do not depend on order, split or machine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from math import inf, isqrt, nan, nextafter, sqrt
from typing import Any, Self

import numpy as np

__all__ = ["Limits", "Moments", "fixed"]

Array = np.ndarray[Any, Any]
#: Values are kept as multiples of 2**-40: whole numbers exactly, fractions to 12 digits.
FRACTION_BITS = 40


def fixed(values: Array) -> Array:
    """Values rounded to what :class:`Moments` adds up, as float64, so that a mean of equal values is that value."""
    return np.ldexp(np.rint(np.ldexp(values.astype(np.float64), FRACTION_BITS)), -FRACTION_BITS)


@dataclass(frozen=True, slots=True)
class Limits:
    """What lies within so many standard deviations of the mean.

    Attributes
    ----------
    n
        Values seen.
    mean, sd
        NaN where they are undefined: no value, or no more values than ``ddof``.
    low, high
        Smallest and largest value that is kept; exact, so that a value on the limit is always kept. Infinite where the
        standard deviation is undefined: nothing can be judged, so all is kept.
    """

    n: int
    mean: float
    sd: float
    low: float
    high: float


@dataclass(slots=True)
class Moments:
    """Mergeable number, sum and sum of squares in integers of any size: the same for any order and any split.

    Attributes
    ----------
    n
        Values seen.
    total, squares
        Their sum in units of 2**-40, and that of their squares in units of 2**-80.
    """

    n: int = 0
    total: int = 0
    squares: int = 0

    @classmethod
    def of(cls, values: Array) -> Self:
        """Moments of finite values."""
        scaled = np.rint(np.ldexp(values.astype(np.float64), FRACTION_BITS))
        units = [int(value) for value in scaled.tolist()]
        return cls(len(units), sum(units), sum(unit * unit for unit in units))

    def merge(self, other: Self) -> None:
        """Take in what another one has seen."""
        self.n += other.n
        self.total += other.total
        self.squares += other.squares

    @classmethod
    def merged(cls, parts: Iterable[Self]) -> Self:
        """One of all."""
        out = cls()
        for part in parts:
            out.merge(part)
        return out

    def limits(self, n_sd: float, ddof: int = 0) -> Limits:
        """Mean, standard deviation, and the values within ``n_sd`` standard deviations of the mean.

        Parameters
        ----------
        n_sd
            How many standard deviations.
        ddof
            The sum of squared deviations is divided by ``n - ddof``.
        """
        if not self.n:
            return Limits(0, nan, nan, -inf, inf)
        mean = self.total / (self.n << FRACTION_BITS)
        if self.n <= ddof:
            return Limits(self.n, mean, nan, -inf, inf)
        spread = self.n * self.squares - self.total**2  # n * sum of squared deviations, in units of 2**-80
        variance = Fraction(spread, self.n * (self.n - ddof) << 2 * FRACTION_BITS)
        # |n x - sum| <= n_sd * n * SD, both sides squared: with whole numbers the limit itself is never lost to rounding.
        reach = Fraction(n_sd) ** 2 * Fraction(self.n * spread, self.n - ddof)
        widest = isqrt(reach.numerator // reach.denominator)
        low, high = -((widest - self.total) // self.n), (self.total + widest) // self.n
        return Limits(self.n, mean, sqrt(variance), _at_least(low), _at_most(high))


def _at_least(units: int) -> float:
    """Smallest float64 that is not below so many units."""
    value = units / (1 << FRACTION_BITS)
    return value if Fraction(value) * (1 << FRACTION_BITS) >= units else nextafter(value, inf)


def _at_most(units: int) -> float:
    """Largest float64 that is not above so many units."""
    value = units / (1 << FRACTION_BITS)
    return value if Fraction(value) * (1 << FRACTION_BITS) <= units else nextafter(value, -inf)
