"""Sorting by counting: the sorted profile of a sample, and the values its counts get, in one sweep over its genes."""

from __future__ import annotations

from functools import cache
from typing import Any

import numba
import numpy as np

__all__ = ["add_positive", "add_sorted", "fill_positive", "fill_ranked", "log_table"]

Array = np.ndarray[Any, Any]
#: Counts below this are sorted by counting them; the few above, by comparison. The tally stays in the cache.
BUCKETS = 1 << 16


@cache
def log_table() -> Array:
    """log2(1 + count) of every count that is sorted by counting."""
    table = np.log2(1.0 + np.arange(BUCKETS))
    table.flags.writeable = False
    return table


@numba.njit(cache=True, nogil=True)
def _tally(x_g: Array, bucket: Array, large: Array) -> tuple[int, int]:
    """Count the small counts and set the large ones aside: (the largest small one, how many are large)."""
    top, n_large = np.uint32(0), 0
    for j in range(x_g.size):
        v = x_g[j]
        if v < BUCKETS:
            u = np.uint32(v)  # unsigned: no test for an index from the end
            bucket[u] += 1
            top = max(top, u)
        else:
            large[n_large] = v
            n_large += 1
    return int(top), n_large


@numba.njit(cache=True, nogil=True)
def add_sorted(x_ng: Array, table: Array, sum_g: Array) -> int:
    """Add log2(1 + x) of every sample, sorted, to ``sum_g``; how many samples have no counts."""
    bucket, large = np.zeros(BUCKETS, np.int32), np.empty(x_ng.shape[1], np.int64)
    n_empty = 0
    for i in range(x_ng.shape[0]):
        top, n_large = _tally(x_ng[i], bucket, large)
        at = int(bucket[0])
        bucket[0] = 0
        n_empty += at == x_ng.shape[1]
        for v in range(1, top + 1):
            tied = bucket[v]
            if tied:
                y = table[v]
                for k in range(at, at + tied):
                    sum_g[k] += y
                at += tied
                bucket[v] = 0
        for v in np.sort(large[:n_large]):
            sum_g[at] += np.log2(1.0 + v)
            at += 1
    return n_empty


@numba.njit(cache=True, nogil=True)
def add_positive(x_ng: Array, table: Array, sum_g: Array) -> int:
    """Add the quantile function of every sample's positive log2(1 + x), at the midpoints of g steps, to ``sum_g``.

    Returns how many samples have none.
    """
    n_genes = x_ng.shape[1]
    bucket, large = np.zeros(BUCKETS, np.int32), np.empty(n_genes, np.int64)
    y_m = np.empty(n_genes, np.float64)
    n_empty = 0
    for i in range(x_ng.shape[0]):
        top, n_large = _tally(x_ng[i], bucket, large)
        bucket[0] = 0
        m = 0
        for v in range(1, top + 1):
            if bucket[v]:
                y_m[m : m + bucket[v]] = table[v]
                m += bucket[v]
                bucket[v] = 0
        for v in np.sort(large[:n_large]):
            y_m[m] = np.log2(1.0 + v)
            m += 1
        if m == 0:
            n_empty += 1
            continue
        for k in range(n_genes):
            sum_g[k] += y_m[(2 * k + 1) * m // (2 * n_genes)]
    return n_empty


@numba.njit(cache=True, nogil=True)
def _mean_of_ranks(lo: int, hi: int, target_g: Array, up_to: Array) -> float:
    """Mean of the target over positions lo to hi - 1."""
    return target_g[lo] if hi - lo == 1 else (up_to[hi] - up_to[lo]) / (hi - lo)


@numba.njit(cache=True, nogil=True)
def _integral(k: int, m: int, target_g: Array, up_to: Array) -> float:
    """Integral of the target, a function of g steps of width 1, up to the share k / m of its width."""
    whole, rest = k * target_g.size // m, k * target_g.size % m
    return up_to[whole] + (rest / m * target_g[whole] if rest else 0.0)


@numba.njit(cache=True, nogil=True)
def _mean_of_shares(lo: int, hi: int, m: int, target_g: Array, up_to: Array) -> float:
    """Mean of the target between the shares lo / m and hi / m of its width."""
    part = _integral(hi, m, target_g, up_to) - _integral(lo, m, target_g, up_to)
    return part * m / ((hi - lo) * target_g.size)


@numba.njit(cache=True, nogil=True)
def _look_up(x_g: Array, value: Array, out_g: Array) -> None:
    for j in range(x_g.size):
        v = x_g[j]
        if v < BUCKETS:
            out_g[j] = value[np.uint32(v)]


@numba.njit(cache=True, nogil=True)
def fill_ranked(x_ng: Array, target_g: Array, up_to: Array, out_ng: Array) -> None:
    """Fill ``out_ng`` with the mean of the target over the positions that each count occupies in its sample."""
    bucket, large = np.zeros(BUCKETS, np.int32), np.empty(x_ng.shape[1], np.int64)
    value = np.empty(BUCKETS, out_ng.dtype)
    for i in range(x_ng.shape[0]):
        top, n_large = _tally(x_ng[i], bucket, large)
        at = 0
        for v in range(top + 1):
            tied = bucket[v]
            if tied:
                value[v] = _mean_of_ranks(at, at + tied, target_g, up_to)
                at += tied
                bucket[v] = 0
        _look_up(x_ng[i], value, out_ng[i])
        if n_large:
            ascending = np.sort(large[:n_large])
            for j in range(x_ng.shape[1]):
                if x_ng[i, j] >= BUCKETS:
                    lo = at + np.searchsorted(ascending, np.int64(x_ng[i, j]))
                    hi = at + np.searchsorted(ascending, np.int64(x_ng[i, j]), side="right")
                    out_ng[i, j] = _mean_of_ranks(lo, hi, target_g, up_to)


@numba.njit(cache=True, nogil=True)
def fill_positive(x_ng: Array, target_g: Array, up_to: Array, out_ng: Array) -> None:
    """The same among the positive counts of each sample; a count of zero becomes 0."""
    bucket, large = np.zeros(BUCKETS, np.int32), np.empty(x_ng.shape[1], np.int64)
    value = np.empty(BUCKETS, out_ng.dtype)
    value[0] = 0.0
    for i in range(x_ng.shape[0]):
        top, n_large = _tally(x_ng[i], bucket, large)
        m = x_ng.shape[1] - bucket[0]
        bucket[0] = 0
        at = 0
        for v in range(1, top + 1):
            tied = bucket[v]
            if tied:
                value[v] = _mean_of_shares(at, at + tied, m, target_g, up_to)
                at += tied
                bucket[v] = 0
        _look_up(x_ng[i], value, out_ng[i])
        if n_large:
            ascending = np.sort(large[:n_large])
            for j in range(x_ng.shape[1]):
                if x_ng[i, j] >= BUCKETS:
                    lo = at + np.searchsorted(ascending, np.int64(x_ng[i, j]))
                    hi = at + np.searchsorted(ascending, np.int64(x_ng[i, j]), side="right")
                    out_ng[i, j] = _mean_of_shares(lo, hi, m, target_g, up_to)
