"""What became of the types between two labellings of the same cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from corpuscle.errors import OptionError

__all__ = ["MANY_CHANGES", "Changes", "compare"]

Array = np.ndarray[Any, Any]

#: A type counts from so many cells, or from this share of all cells if that is more.
LEAST_CELLS = 10
LEAST_SHARE = 0.002
#: A type that loses more than this share of its cells is erased; more than the second, it shrinks.
ERASED = 0.8
SHRUNK = 0.5
#: Where more labels than this share change, the graph decides more than the scores do.
MANY_CHANGES = 0.4


@dataclass(frozen=True)
class Changes:
    """Labels of n cells before and after.

    Attributes
    ----------
    types
        K names.
    flows_kk
        (K, K) int64 cells by type before (rows) and after (columns).
    """

    types: tuple[str, ...]
    flows_kk: Array

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return int(self.flows_kk.sum())

    @property
    def n_changed(self) -> int:
        """Cells whose type is another."""
        return int(self.flows_kk.sum() - np.trace(self.flows_kk))

    @property
    def share(self) -> float:
        """Share of the cells whose type is another."""
        return self.n_changed / self.n_cells

    @property
    def before_k(self) -> Array:
        """(K,) cells of each type before."""
        before: Array = self.flows_kk.sum(axis=1)
        return before

    @property
    def after_k(self) -> Array:
        """(K,) cells of each type after."""
        after: Array = self.flows_kk.sum(axis=0)
        return after

    @property
    def erased(self) -> tuple[str, ...]:
        """Types that had cells enough to count (10, and 0.2 % of all) and kept less than a fifth of their number."""
        return self._lost(ERASED)

    @property
    def shrunk(self) -> tuple[str, ...]:
        """Types that had cells enough to count and lost more than half of their number, the erased ones included."""
        return self._lost(SHRUNK)

    def _lost(self, share: float) -> tuple[str, ...]:
        counts_k = self.before_k >= max(LEAST_CELLS, LEAST_SHARE * self.n_cells)
        lost_k = counts_k & (self.before_k - self.after_k > share * self.before_k)
        return tuple(self.types[k] for k in np.flatnonzero(lost_k))

    def table(self) -> pd.DataFrame:
        """One row a type: cells before, after, and those of before that kept the type."""
        columns = {"before": self.before_k, "after": self.after_k, "kept": np.diag(self.flows_kk)}
        return pd.DataFrame(columns, index=pd.Index(self.types, name="type", dtype=object))

    def flows(self) -> pd.DataFrame:
        """One row for each pair of types between which cells moved, most cells first."""
        moved_kk = self.flows_kk - np.diag(np.diag(self.flows_kk))
        before, after = np.nonzero(moved_kk)
        names = np.asarray(self.types, dtype=object)
        flows = pd.DataFrame({"before": names[before], "after": names[after], "cells": moved_kk[before, after]})
        return flows.sort_values("cells", ascending=False, kind="stable", ignore_index=True)

    def warnings(self) -> tuple[str, ...]:
        """What should stop a reader, a line each: types erased or halved, and too many changes."""
        lines = []
        for name in self.shrunk:
            k = self.types.index(name)
            away_k = np.where(np.arange(len(self.types)) == k, 0, self.flows_kk[k])
            to = int(np.argmax(away_k))
            what = "is erased" if name in self.erased else "loses more than half"
            lines.append(
                f"{name} {what}: {self.before_k[k]:,} cells before, {self.after_k[k]:,} after; "
                f"{away_k[to]:,} become {self.types[to]}"
            )
        if self.share >= MANY_CHANGES:
            lines.append(f"{self.share:.0%} of the labels change: the graph decides more than the scores do")
        return tuple(lines)


def compare(before_n: Array, after_n: Array, types: Sequence[str]) -> Changes:
    """Compare two labellings of the same cells.

    Parameters
    ----------
    before_n, after_n
        (n,) positions in ``types``.
    types
        K names.

    Raises
    ------
    OptionError
        The labellings are of different numbers of cells, or a position is not one of a type.
    """
    before_n, after_n, k = np.asarray(before_n), np.asarray(after_n), len(types)
    if before_n.shape != after_n.shape or before_n.ndim != 1 or not before_n.size:
        raise OptionError(f"labels of {before_n.size:,} and of {after_n.size:,} cells: give one of each for every cell")
    for labels_n in (before_n, after_n):
        if labels_n.dtype.kind not in "iu" or labels_n.min() < 0 or labels_n.max() >= k:
            raise OptionError(f"labels must be whole numbers from 0 to {k - 1}, positions of the {k} types")
    pair_n = before_n.astype(np.int64) * k + after_n
    return Changes(tuple(types), np.bincount(pair_n, minlength=k * k).reshape(k, k))
