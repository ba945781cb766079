"""Cells cut into two halves, so that what one half chose is judged on the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from corpuscle.seeds import stream

__all__ = ["HalvedCells", "stratified_halves"]

Array = np.ndarray[Any, Any]


def stratified_halves(strata_n: Sequence[Any] | Array, seed: int = 0) -> Array:
    """(n,) whether a cell is in the first half: every stratum is halved, an odd cell falls by chance."""
    strata = pd.Series(list(strata_n)).astype(str)
    rng = stream(seed, "halves")
    first_n = np.zeros(len(strata), bool)
    for _, places in sorted(strata.groupby(strata).indices.items()):
        n_first = (len(places) + int(rng.integers(2))) // 2
        first_n[rng.permutation(places)[:n_first]] = True
    return first_n


@dataclass(frozen=True)
class HalvedCells:
    """Cells of two conditions and several types, in two halves: the first chooses, the second judges."""

    logits_nk: Array
    x_ng: sp.csr_matrix
    is_target_n: Array
    type_n: Array
    first_n: Array

    def part(self, name: str, *, first: bool, target: bool) -> Array:
        """Positions of one type's cells of one half and condition."""
        return np.flatnonzero((self.type_n == name) & (self.first_n == first) & (self.is_target_n == target))

    def least(self, name: str) -> int:
        """Cells in the smallest half of a condition."""
        return min(self.part(name, first=f, target=t).size for f in (True, False) for t in (True, False))
