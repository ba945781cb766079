"""Samples as vectors for a model: all at once where they fit, else the rows that are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from corpuscle.bulk._features import Features
    from corpuscle.counts import Counts
    from corpuscle.counts._passes import Progress

__all__ = ["BUDGET", "CHUNK", "Vectors"]

Array = np.ndarray[Any, Any]
#: Bytes that the scaled genes of the training samples may take; 100,000 samples x 5,000 genes.
BUDGET = 2 * 10**9
#: Samples scored at a time.
CHUNK = 8_192


class Vectors:
    """Vectors of samples in one space.

    Parameters
    ----------
    features
        Fitted.
    counts
        The samples.
    space
        ``"axes"``: principal components. ``"genes"``: scaled genes.
    budget
        Bytes that all vectors may take to be kept; components are always kept.
    progress
        Of the passes over the samples.
    """

    def __init__(
        self, features: Features, counts: Counts, space: str, budget: int = BUDGET, progress: Progress | None = None
    ) -> None:
        self.features, self.counts, self.space = features, counts, space
        self.budget, self.progress = budget, progress
        self.n = counts.n_obs
        self.n_dims = features.n_dims if space == "axes" else len(features.genes_)
        self._whole_nd: Array | None = None

    def rows(self, index: Array) -> Array:
        """(m, d) float32 vectors of the samples at ``index``."""
        if self._whole_nd is None and (self.space == "axes" or 4 * self.n * self.n_dims <= self.budget):
            self._whole_nd = self._made(self.counts)
        if self._whole_nd is not None:
            taken: Array = self._whole_nd[index]
            return taken
        order = np.argsort(index, kind="stable")
        out = np.empty((len(index), self.n_dims), np.float32)
        out[order] = self._made(self.counts.view(cells=np.asarray(index)[order]))
        return out

    def _made(self, counts: Counts) -> Array:
        make = self.features.transform if self.space == "axes" else self.features.values
        return make(counts, self.progress)
