"""Mean and variance of every gene over all samples, mergeable."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from corpuscle.counts import Block

__all__ = ["GeneMoments"]

Array = np.ndarray[Any, Any]


class GeneMoments:
    """Mergeable mean and sum of squared deviations by gene.

    The deviations of a block are taken from its own mean, and merging adds those of the means (Chan, Golub and
    LeVeque, The American Statistician 1983), so that large means cancel nothing.

    Parameters
    ----------
    n_vars
        Number of genes.

    Attributes
    ----------
    n
        Samples seen.
    mean_g, m2_g
        (g,) mean, and sum of squared deviations from it.
    """

    def __init__(self, n_vars: int) -> None:
        self.n, self.mean_g, self.m2_g = 0, np.zeros(n_vars), np.zeros(n_vars)

    def update(self, block: Block) -> None:
        """Take in a block of dense values."""
        self.add(block.x_ng)

    def add(self, y_ng: Array) -> None:
        """Take in values of some samples, n x g."""
        mean_g = y_ng.mean(axis=0, dtype=np.float64)
        self._join(y_ng.shape[0], mean_g, np.square(y_ng - mean_g).sum(axis=0))

    def merge(self, other: Self) -> None:
        """Take in what another has seen."""
        self._join(other.n, other.mean_g, other.m2_g)

    def _join(self, n: int, mean_g: Array, m2_g: Array) -> None:
        if not n:
            return
        total, step_g = self.n + n, mean_g - self.mean_g
        self.m2_g = self.m2_g + m2_g + step_g**2 * (self.n * n / total)
        self.mean_g = self.mean_g + step_g * (n / total)
        self.n = total

    def variance_g(self) -> Array:
        """(g,) unbiased variances; zero for one sample."""
        return self.m2_g / max(self.n - 1, 1)
