"""The samples around a percentile of a gene, and windows of samples drawn at random to compare with."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from corpuscle.errors import OptionError
from corpuscle.seeds import stream

__all__ = ["Window", "random_windows", "series_windows", "window_at"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Window:
    """Places in the ascending order of a gene's values, counted from 0: from ``start`` to before ``stop``."""

    start: int
    stop: int

    @property
    def k(self) -> int:
        """Samples in it."""
        return self.stop - self.start

    def members(self, value_n: Array, sorted_n: Array, rng: np.random.Generator | None = None) -> Array:
        """(k,) samples of the window, ascending.

        Parameters
        ----------
        value_n, sorted_n
            (n,) values of the gene, as they are and ascending.
        rng
            Draws among equal values at an end of the window; needed where there is a choice.
        """
        first, last = sorted_n[self.start], sorted_n[self.stop - 1]
        inside = np.flatnonzero((value_n >= first) & (value_n <= last))
        if inside.size == self.k:
            return inside
        if rng is None:
            raise ValueError("equal values at an end of the window need a draw")
        if first == last:
            return np.sort(rng.choice(inside, self.k, replace=False))
        kept = [inside[(value_n[inside] > first) & (value_n[inside] < last)]]
        for end, wanted in (
            (first, int(np.searchsorted(sorted_n, first, "right")) - self.start),
            (last, self.stop - int(np.searchsorted(sorted_n, last, "left"))),
        ):
            equal = inside[value_n[inside] == end]
            kept.append(equal if equal.size == wanted else rng.choice(equal, wanted, replace=False))
        return np.sort(np.concatenate(kept))

    def has_choice(self, sorted_n: Array) -> bool:
        """Whether a value at an end of the window is found outside it too."""
        before = self.start > 0 and sorted_n[self.start - 1] == sorted_n[self.start]
        after = self.stop < sorted_n.size and sorted_n[self.stop] == sorted_n[self.stop - 1]
        return bool(before or after)


def window_at(n: int, q: float, k: int, *, repo_formula: bool = False) -> Window:
    """Window of ``k`` places around the quantile ``q`` of ``n`` values.

    By default centred at the linear percentile, moved inwards where it would reach beyond the ends. With ``repo_formula`` it
    starts at ``int(q (n + 1)) - k // 2``, a rank counted from 1 used as a place counted from 0, and what reaches beyond the end
    is cut off.

    Raises
    ------
    OptionError
        ``k`` is below 2 or above ``n``, or fewer than 2 places are left.
    """
    if not 2 <= k <= n:
        raise OptionError(f"a window of k = {k} samples cannot be cut from {n} samples; choose k from 2 to {n}")
    if repo_formula:
        start = max(0, int(q * (n + 1)) - k // 2)
        stop = min(start + k, n)
        if stop - start < 2:
            raise OptionError(
                f"a window of k = {k} at {q:g} of {n} samples has fewer than 2; choose a smaller percentile"
            )
        return Window(start, stop)
    start = min(max(0, math.floor((n - 1) * q - (k - 1) / 2 + 0.5)), n - k)
    return Window(start, start + k)


def random_windows(n: int, k: int, windows: int, seed: int) -> Array:
    """(windows, k) samples, each window drawn without replacement from all."""
    rng = stream(seed, "gene windows", "random")
    return np.stack([np.sort(rng.choice(n, k, replace=False)) for _ in range(windows)]).astype(np.int64)


def series_windows(code_n: Array, k: int, windows: int, seed: int) -> Array:
    """(windows, k) samples, each window made of whole series in random order, the last one cut at random.

    Samples that express a gene at one level often come from one study and are alike for that; such windows are from as few
    studies as can be.

    Parameters
    ----------
    code_n
        (n,) series of each sample, from 0.
    """
    rng = stream(seed, "gene windows", "series")
    order = np.argsort(code_n, kind="stable")
    edges = np.concatenate([[0], np.cumsum(np.bincount(code_n))])
    drawn = []
    for _ in range(windows):
        parts: list[Array] = []
        missing = k
        for series in rng.permutation(edges.size - 1):
            members = order[edges[series] : edges[series + 1]]
            parts.append(members if members.size <= missing else rng.choice(members, missing, replace=False))
            missing -= parts[-1].size
            if not missing:
                break
        drawn.append(np.sort(np.concatenate(parts)))
    return np.stack(drawn).astype(np.int64)
