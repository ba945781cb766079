"""Rank correlations of one target with many columns, exact under resampling weights.

A resample of cells is a vector of whole-number weights. Ranks among the resampled cells, ties included, follow from
cumulated weights in sorted order, so each column is sorted once however many resamples are asked for. Entries equal
to a column's base value (usually the zeros) are one tie group that is never visited: the cost is that of the others.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from corpuscle.benchmarks.coregulation._columns import CHUNK_BYTES, Array, Chunk, stored

__all__ = ["kendall_bk", "spearman_bk"]


def spearman_bk(target_n: Array, chunk: Chunk, weights_bn: Array) -> Array:
    """Spearman's rho with average ranks, (B, c); NaN where all resampled entries are tied."""
    return _over_resamples(_spearman, target_n, chunk, weights_bn)


def kendall_bk(target_n: Array, chunk: Chunk, weights_bn: Array) -> Array:
    """Kendall's tau-b, (B, c), in O(s log s) for s entries that differ from the base; NaN where all are tied."""
    return _over_resamples(_kendall, target_n, chunk, weights_bn)


def _over_resamples(kernel: Any, target_n: Array, chunk: Chunk, weights_bn: Array) -> Array:
    data, indices, indptr = stored(chunk)
    group_n = np.unique(target_n, return_inverse=True)[1].astype(np.int32)
    order_n = np.argsort(group_n, kind="stable").astype(np.int32)
    step = max(1, CHUNK_BYTES // (8 * target_n.size))
    out_bk = np.empty((len(weights_bn), chunk.base_c.size))
    for start in range(0, len(weights_bn), step):
        w_bn = np.ascontiguousarray(weights_bn[start : start + step])
        centred_bn, totals_b = _weighted_ranks(group_n, order_n, w_bn)
        out_bk[start : start + step] = kernel(data, indices, indptr, chunk.base_c, group_n, centred_bn, totals_b, w_bn)
    return out_bk


@numba.njit(cache=True, nogil=True)
def _weighted_ranks(group_n: Array, order_n: Array, w_bn: Array) -> tuple[Array, Array]:
    """Centred average ranks of the target among resampled cells; and per resample, total weight and ties.

    ``totals_b`` holds [total weight, sum of t^3 - t, sum of t^2 - t] over the tie groups t.
    """
    n_boot, n = w_bn.shape
    centred_bn = np.empty((n_boot, n))
    totals_b = np.empty((n_boot, 3))
    for b in range(n_boot):
        total = 0
        for i in range(n):
            total += w_bn[b, i]
        below, cubes, squares = 0, 0.0, 0.0
        first = 0
        while first < n:
            last, weight = first, 0
            while last < n and group_n[order_n[last]] == group_n[order_n[first]]:
                weight += w_bn[b, order_n[last]]
                last += 1
            for p in range(first, last):
                centred_bn[b, order_n[p]] = below + 0.5 * (weight + 1) - 0.5 * (total + 1)
            g = float(weight)
            cubes += g * g * g - g
            squares += g * g - g
            below += weight
            first = last
        totals_b[b, 0], totals_b[b, 1], totals_b[b, 2] = total, cubes, squares
    return centred_bn, totals_b


@numba.njit(cache=True, nogil=True, parallel=True)
def _spearman(
    data: Array,
    indices: Array,
    indptr: Array,
    base_k: Array,
    group_n: Array,
    centred_bn: Array,
    totals_b: Array,
    w_bn: Array,
) -> Array:
    n_boot, k = w_bn.shape[0], indptr.size - 1
    r_bk = np.empty((n_boot, k))
    for j in numba.prange(k):
        order = np.argsort(data[indptr[j] : indptr[j + 1]])
        cells = indices[indptr[j] : indptr[j + 1]][order]
        values = data[indptr[j] : indptr[j + 1]][order]
        n_below = np.searchsorted(values, base_k[j])
        for b in range(n_boot):
            r_bk[b, j] = _spearman_once(cells, values, n_below, centred_bn[b], totals_b[b], w_bn[b])
    return r_bk


@numba.njit(cache=True, nogil=True)
def _spearman_once(cells: Array, values: Array, n_below: int, centred_n: Array, totals: Array, w_n: Array) -> float:
    total, tie_t = totals[0], totals[1]
    base = total
    for p in range(cells.size):
        base -= w_n[cells[p]]
    base_rank = 0.0
    cross, cross_stored, below = 0.0, 0.0, 0.0
    ties = base * base * base - base
    first = 0
    while first <= cells.size:
        if first == n_below:
            base_rank = below + 0.5 * (base + 1)
            below += base
        if first == cells.size:
            break
        last, g, t = first, 0.0, 0.0
        while last < cells.size and values[last] == values[first]:
            w = w_n[cells[last]]
            g += w
            t += w * centred_n[cells[last]]
            last += 1
        cross += (below + 0.5 * (g + 1)) * t
        cross_stored += t
        ties += g * g * g - g
        below += g
        first = last
    # The target's centred ranks sum to zero, so the base group's share is minus that of the others.
    cross -= base_rank * cross_stored
    full = total * total * total - total
    squares = (full - tie_t) * (full - ties)
    return 12.0 * cross / np.sqrt(squares) if squares > 0 else np.nan


@numba.njit(cache=True, nogil=True, parallel=True)
def _kendall(
    data: Array,
    indices: Array,
    indptr: Array,
    base_k: Array,
    group_n: Array,
    centred_bn: Array,
    totals_b: Array,
    w_bn: Array,
) -> Array:
    n_boot, k = w_bn.shape[0], indptr.size - 1
    r_bk = np.empty((n_boot, k))
    for j in numba.prange(k):
        values = data[indptr[j] : indptr[j + 1]]
        by_value = np.argsort(values)
        rank = np.empty(values.size, np.int32)  # dense ranks from 1
        level = 0
        for p in range(values.size):
            if p == 0 or values[by_value[p]] != values[by_value[p - 1]]:
                level += 1
            rank[by_value[p]] = level
        by_target = np.argsort(group_n[indices[indptr[j] : indptr[j + 1]]])
        cells = indices[indptr[j] : indptr[j + 1]][by_target]
        rank = rank[by_target]
        sides = np.where(values[by_target] > base_k[j], 1, -1)
        for b in range(n_boot):
            r_bk[b, j] = _kendall_once(cells, rank, sides, level, group_n, centred_bn[b], totals_b[b], w_bn[b])
    return r_bk


@numba.njit(cache=True, nogil=True)
def _kendall_once(
    cells: Array, rank: Array, sides: Array, levels: int, group_n: Array, centred_n: Array, totals: Array, w_n: Array
) -> float:
    """Concordant minus discordant weight: among stored entries by a Fenwick tree, against the base by ranks alone."""
    total, tie_t = totals[0], totals[2]
    stored_weight = 0
    for p in range(cells.size):
        stored_weight += w_n[cells[p]]
    tree = np.zeros(levels + 1, np.int64)
    weight_of = np.zeros(levels + 1, np.int64)
    score, below, first = 0.0, np.int64(0), 0
    while first < cells.size:
        last, weight = first, np.int64(0)
        while last < cells.size and group_n[cells[last]] == group_n[cells[first]]:
            w = np.int64(w_n[cells[last]])
            if w > 0:
                less = _tree_sum(tree, rank[last] - 1)
                not_above = _tree_sum(tree, rank[last])
                score += float(w) * (less - (below - not_above))
            weight += w
            last += 1
        for p in range(first, last):
            w = np.int64(w_n[cells[p]])
            # Cells of the base with a lower minus those with a higher target: all cells minus the stored ones.
            among_all = 2.0 * centred_n[cells[p]]
            among_stored = below - (stored_weight - below - weight)
            score += sides[p] * float(w) * (among_all - among_stored)
            if w > 0:
                weight_of[rank[p]] += w
                _tree_add(tree, rank[p], w)
        below += weight
        first = last
    base = total - stored_weight
    ties = base * base - base
    for level in range(1, levels + 1):
        g = float(weight_of[level])
        ties += g * g - g
    full = total * total - total
    pairs = (full - tie_t) * (full - ties)
    return 2.0 * score / np.sqrt(pairs) if pairs > 0 else np.nan


@numba.njit(cache=True, nogil=True)
def _tree_sum(tree: Array, i: int) -> int:
    out = 0
    while i > 0:
        out += tree[i]
        i -= i & -i
    return out


@numba.njit(cache=True, nogil=True)
def _tree_add(tree: Array, i: int, w: int) -> None:
    while i < tree.size:
        tree[i] += w
        i += i & -i
