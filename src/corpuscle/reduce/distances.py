"""Squared distances that follow from a corrected Gram matrix, a block at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np

from corpuscle.errors import MethodError, OptionError
from corpuscle.reduce._operator import GramOperator

__all__ = [
    "SMALL_SAMPLES",
    "CorrectedDistances",
    "GramBlocks",
    "corrected_distances",
    "distance_blocks",
    "gram_blocks",
    "squared_distances",
]

Array = np.ndarray[Any, Any]

#: Up to so many samples all pairs may be held at once.
SMALL_SAMPLES = 5_000
#: Pairs compared at a time by :func:`distance_blocks`; 32 MiB of float64.
PAIRS_AT_ONCE = 1 << 22
#: A distance that is negative by less than this share of the two norms is one of 0 with rounding.
ROUNDING = 1e-10


class GramBlocks(Protocol):
    """What distances are made of: parts of an n x n Gram matrix that need not exist as a whole."""

    @property
    def shape(self) -> tuple[int, int]:
        """(n, n)."""

    def block(self, rows: Any, cols: Any) -> Array:
        """Dense float64 inner products of the samples ``rows`` with the samples ``cols``."""

    def diagonal(self) -> Array:
        """(n,) inner products of the samples with themselves."""


class CorrectedDistances(NamedTuple):
    """Squared distances and how many of them had to be clipped.

    Attributes
    ----------
    squared_rc
        Squared distances, rows x cols, none below 0; in units of the values squared, summed over features or averaged
        over them as the Gram matrix was.
    n_clipped
        Entries of ``squared_rc`` that were negative by more than rounding and are now 0.
    """

    squared_rc: Array
    n_clipped: int


def gram_blocks(estimator: Any) -> GramBlocks:
    """Blocks of the Gram matrix of a fitted estimator, of an operator, or of an array.

    Parameters
    ----------
    estimator
        Fitted :class:`~corpuscle.reduce.UnbiasedGram` or :class:`~corpuscle.reduce.UnbiasedPCA`; or what has ``shape``,
        ``block`` and ``diagonal``; or an (n, n) symmetric array.

    Raises
    ------
    OptionError
        It is none of these, or not fitted yet.
    """
    held = getattr(estimator, "operator_", estimator)
    if isinstance(held, np.ndarray):
        if held.ndim != 2 or held.shape[0] != held.shape[1]:
            raise OptionError(f"an array of shape {held.shape} is not a Gram matrix; give one of samples x samples")
        dense: GramBlocks = GramOperator.of_matrix(held)
        return dense
    if callable(getattr(held, "block", None)) and callable(getattr(held, "diagonal", None)):
        blocks: GramBlocks = held
        return blocks
    fitted = "is not fitted; call fit first" if hasattr(estimator, "fit") else "has no Gram matrix; give a fitted one"
    raise OptionError(f"{type(estimator).__name__} {fitted}")


def squared_distances(gram_rc: Array, norm_r: Array, norm_c: Array) -> Array:
    """Squared distances ``G_ii + G_jj - 2 G_ij``, not clipped.

    Parameters
    ----------
    gram_rc
        Inner products, rows x cols.
    norm_r, norm_c
        Diagonal of the Gram matrix at the rows and at the columns.
    """
    squared_rc = -2.0 * gram_rc
    squared_rc += norm_r[:, None]
    squared_rc += norm_c[None, :]
    return squared_rc


def corrected_distances(estimator: Any, rows: Any = None, cols: Any = None) -> CorrectedDistances:
    """Squared distances between samples, corrected for what was not observed.

    ``D2_ij = max(G_ii + G_jj - 2 G_ij, 0)`` with the corrected Gram matrix G; a sample is at 0 from itself. An
    estimate of a small distance can be negative; it becomes 0 and is counted. Centring does not change distances.

    Parameters
    ----------
    estimator
        Fitted :class:`~corpuscle.reduce.UnbiasedGram` or :class:`~corpuscle.reduce.UnbiasedPCA`, a Gram operator, or an
        (n, n) array.
    rows, cols
        Positions of samples: a slice, integers, or (n,) booleans; all samples if not given.

    Returns
    -------
    CorrectedDistances
        ``squared_rc`` and ``n_clipped``.

    Raises
    ------
    OptionError
        A position is outside the samples, more pairs than 5,000 x 5,000 are asked for, or the estimator is not fitted.
    MethodError
        A distance is NaN or infinite.

    Notes
    -----
    Source: Ling, Liu and Xue 2021, Dimension Reduction for Data with Heterogeneous Missingness, UAI, PMLR 161.
    """
    gram = gram_blocks(estimator)
    n = gram.shape[0]
    row_r, col_c = _positions(rows, n, "rows"), _positions(cols, n, "cols")
    if row_r.size * col_c.size > SMALL_SAMPLES**2:
        raise OptionError(
            f"distances of {row_r.size:,} x {col_c.size:,} samples do not fit a sensible memory; "
            f"ask for fewer rows or cols, or for corrected_neighbors"
        )
    return _clipped(*_squared(gram, gram.diagonal(), row_r, col_c))


def distance_blocks(estimator: Any, *, pairs_at_once: int = PAIRS_AT_ONCE) -> Iterator[tuple[slice, Array]]:
    """Squared distances of consecutive samples to all samples, not clipped, a sample at infinity from itself.

    Parameters
    ----------
    estimator
        As :func:`corrected_distances` takes it.
    pairs_at_once
        Most entries of a block; a block has one row at least.

    Yields
    ------
    slice, numpy.ndarray
        The samples and their squared distances, rows x n. The array may be overwritten.

    Raises
    ------
    MethodError
        A distance is NaN or infinite.
    """
    gram = gram_blocks(estimator)
    n = gram.shape[0]
    norm_n, all_n = gram.diagonal(), np.arange(n)
    step = max(1, pairs_at_once // max(n, 1))
    for start in range(0, n, step):
        row_r = all_n[start : start + step]
        squared_rn, _, _ = _squared(gram, norm_n, row_r, all_n)
        squared_rn[np.arange(row_r.size), row_r] = np.inf
        yield slice(start, start + row_r.size), squared_rn


def count_negative(squared_rc: Array, norm_rc: Array) -> int:
    """How many squared distances are negative by more than rounding.

    Parameters
    ----------
    squared_rc
        Squared distances, not clipped.
    norm_rc
        Sums of the two magnitudes that each is made of, of a shape that broadcasts.
    """
    return int(np.count_nonzero(squared_rc < -ROUNDING * norm_rc))


def _positions(asked: Any, n: int, name: str) -> Array:
    if asked is None:
        return np.arange(n)
    try:
        return np.atleast_1d(np.arange(n)[asked])
    except IndexError as error:
        raise OptionError(f"{name}: there are {n:,} samples, and {error}") from None


def _squared(gram: GramBlocks, norm_n: Array, row_r: Array, col_c: Array) -> tuple[Array, Array, Array]:
    """Squared distances, 0 of a sample from itself, with the norms of rows and columns."""
    norm_r, norm_c = norm_n[row_r], norm_n[col_c]
    squared_rc = squared_distances(gram.block(row_r, col_c), norm_r, norm_c)
    squared_rc[row_r[:, None] == col_c[None, :]] = 0.0
    if not np.isfinite(squared_rc).all():
        r, c = np.argwhere(~np.isfinite(squared_rc))[0]
        raise MethodError(
            f"the distance of samples {row_r[r]:,} and {col_c[c]:,} is NaN or infinite; "
            f"they share nothing that was observed: drop one, or take the estimator 'ratio'"
        )
    return squared_rc, norm_r, norm_c


def _clipped(squared_rc: Array, norm_r: Array, norm_c: Array) -> CorrectedDistances:
    n_clipped = count_negative(squared_rc, np.abs(norm_r)[:, None] + np.abs(norm_c)[None, :])
    return CorrectedDistances(np.maximum(squared_rc, 0.0, out=squared_rc), n_clipped)
