"""One pass over all samples: moments, extremes and detection of every gene, and its sums by label."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import scipy.sparse as sp

from corpuscle.counts import Block, Counts, reduce_blocks
from corpuscle.counts._passes import Progress
from corpuscle.errors import MethodError
from corpuscle.normalize import Normalizer
from corpuscle.normalize._moments import GeneMoments
from corpuscle.normalize._stream import _values_of

__all__ = ["GeneStatistics", "gene_statistics"]

Array = np.ndarray[Any, Any]


class GeneStatistics:
    """Mergeable summary of values, samples x genes.

    Parameters
    ----------
    n_vars
        Number of genes.
    y_nl
        (samples, labels) CSR of 0 and 1, for sums by label; None for none.

    Attributes
    ----------
    n
        Samples seen.
    mean_g, m2_g
        (g,) mean of the values and sum of squared differences from it.
    zeros_g
        (g,) samples in which the value is 0.
    detected_g
        (g,) samples in which the count is above 0.
    min_g, max_g
        (g,) extremes of the values.
    sum_lg
        (l, g) sums of the values over the samples of each label.
    n_counts
        All counts together.
    """

    def __init__(self, n_vars: int, y_nl: sp.csr_matrix | None = None) -> None:
        self._moments, self._y_nl = GeneMoments(n_vars), y_nl
        self.zeros_g, self.detected_g = np.zeros(n_vars, np.int64), np.zeros(n_vars, np.int64)
        self.min_g, self.max_g = np.full(n_vars, np.inf, np.float32), np.full(n_vars, -np.inf, np.float32)
        self.sum_lg = np.zeros((0 if y_nl is None else y_nl.shape[1], n_vars))
        self.n_counts = 0

    def add(self, value_ng: Array, x_ng: Any, rows: slice) -> None:
        """Take in the values of some samples, dense, and their counts."""
        with np.errstate(invalid="ignore"):  # what is not finite is refused in the end, by name
            self._moments.add(value_ng)
        counted_g = x_ng.getnnz(axis=0) if sp.issparse(x_ng) else (x_ng > 0).sum(axis=0)
        self.zeros_g += (value_ng == 0).sum(axis=0)
        self.detected_g += counted_g
        self.n_counts += int(x_ng.sum(dtype=np.int64))
        self.min_g = np.minimum(self.min_g, value_ng.min(axis=0))
        self.max_g = np.maximum(self.max_g, value_ng.max(axis=0))
        if self._y_nl is not None:
            self.sum_lg += self._y_nl[rows].T.astype(np.float64) @ value_ng.astype(np.float64)

    def merge(self, other: GeneStatistics) -> None:
        """Add what another summary of other samples has seen."""
        with np.errstate(invalid="ignore"):
            self._moments.merge(other._moments)
        for name in ("zeros_g", "detected_g", "sum_lg", "n_counts"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.min_g, self.max_g = np.minimum(self.min_g, other.min_g), np.maximum(self.max_g, other.max_g)

    @property
    def n(self) -> int:
        """Samples seen."""
        return self._moments.n

    @property
    def mean_g(self) -> Array:
        """(g,) means."""
        return self._moments.mean_g

    @property
    def m2_g(self) -> Array:
        """(g,) sums of squared differences from the mean."""
        return self._moments.m2_g

    @property
    def variance_g(self) -> Array:
        """(g,) variances with n - 1 in the denominator; NaN of one sample."""
        return self.m2_g / (self.n - 1) if self.n > 1 else np.full(self.mean_g.shape, np.nan)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_y_nl": None}  # merging needs no labels, and they need not travel back


class _Feed:
    """Hands the summary the values and counts of a block."""

    def __init__(self, method: Normalizer, counts: Counts, y_nl: sp.csr_matrix | None) -> None:
        self.summary = GeneStatistics(counts.n_vars, y_nl)
        self._method, self._counts = method, counts

    def update(self, block: Block) -> None:
        """Normalise the block and hand it on."""
        value_ng = _values_of(self._method, self._counts, None, np.float32, _as_is, block)
        self.summary.add(value_ng, block.x_ng, block.rows)

    def merge(self, other: _Feed) -> None:
        """Merge what was made of the values."""
        self.summary.merge(other.summary)

    def __getstate__(self) -> dict[str, Any]:
        return {"summary": self.summary}


def _as_is(value_ng: Array, rows: slice) -> Array:
    return value_ng


def gene_statistics(
    counts: Counts, method: Normalizer, *, y_nl: sp.csr_matrix | None = None, progress: Progress | None = None
) -> GeneStatistics:
    """Statistics of the normalised values (float32) of all genes, in one pass.

    Raises
    ------
    MethodError
        The normalisation gave a value that is not a finite number.
    """
    made = partial(_Feed, method, counts.local(), y_nl)
    found = reduce_blocks(counts, made, dense=method.reads_dense, progress=progress, what="samples: moments").summary
    if not np.isfinite(found.m2_g).all():
        gene = counts.var_names[int(np.argmin(np.isfinite(found.m2_g)))]
        raise MethodError(
            f"{counts.name}: {method.name} gives gene {gene} a value that is not a finite number; "
            "leave out that gene or choose another method"
        )
    return found
