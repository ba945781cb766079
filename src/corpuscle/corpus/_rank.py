"""Rank-value encoding of a block of cells, compiled: gather the genes of the vocabulary, sort them, write tokens.

The sort key of a gene is its count over its median, a positive float64, whose bits are ordered as the numbers are. The
distance of its bits from those of the largest key of the cell, cut to 22 significant bits, goes through a radix sort of
two digits; the few genes that are equal in these are then put in order by the full key and the token. A distance of
bits is nearly one of logarithms, so that keys of any scale spread over the buckets.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

__all__ = ["BAD", "MATCHED", "TOTAL", "encode_rows"]

Array = np.ndarray[Any, Any]
#: Bits of one digit of the radix sort: its histogram (8 kB) stays in the first-level cache.
DIGIT = 11
BUCKETS = 1 << DIGIT
#: The lower half of a packed element: the place of a gene in the cell.
PLACE = 0xFFFFFFFF
#: Up to so many elements insertion is the fastest sort.
SHORT = 24
#: Where ``sums`` holds the counts of all columns, those of vocabulary genes, and how many values are no counts.
TOTAL, MATCHED, BAD = 0, 1, 2


@numba.njit(cache=True, nogil=True, error_model="numpy")
def encode_rows(
    x_nf: tuple[Array, Array, Array],
    columns: tuple[Array, Array, Array],
    n_groups: int,
    frame: tuple[int, int, int],
    depth_n: Array,
    out: tuple[Array, Array, Array, Array, Array],
) -> int:
    """Encode every row; return how many tokens were written.

    Parameters
    ----------
    x_nf
        CSR: data, int32 indices, int64 indptr.
    columns
        (f,) token of each column, or -1; (f,) its median; (f,) number of the group of columns that share its token, or
        -1. The last is empty where no two do.
    n_groups
        Number of these groups.
    frame
        Most gene tokens a cell may have; token before and after them, or -1 for none.
    depth_n
        Depth of each cell, for the normalised counts; empty if they are not wanted.
    out
        Filled: tokens, normalised counts (or empty), (n,) tokens of each cell, (n,) genes of each cell before
        truncation, (3,) sums.
    """
    data, indices, indptr = x_nf
    limit, first, last = frame
    ids, counts, length_n, genes_n, sums = out
    widest = 0
    for i in range(indptr.size - 1):
        widest = max(widest, indptr[i + 1] - indptr[i])
    genes = (np.empty(widest, np.float64), np.empty(widest, np.float64), np.empty(widest, np.int32))
    packed = (np.empty(widest, np.int64), np.empty(widest, np.int64))
    tally = (np.empty(BUCKETS, np.uint32), np.empty(BUCKETS, np.uint32))  # unsigned: no index from the end
    place = np.zeros(n_groups, np.int64)
    value, key, token = genes
    end = 0
    for i in range(indptr.size - 1):
        row = slice(indptr[i], indptr[i + 1])
        n = _gather(data[row], indices[row], columns, place, genes, sums)
        genes_n[i] = n
        if n == 0:
            length_n[i] = 0
            continue
        order = _ranked(key[:n], token, limit, packed, tally)
        start = end
        if first >= 0:
            ids[end] = first
            end += 1
        kept = min(n, limit)
        for k in range(kept):
            ids[end + k] = token[order[k]]
        if depth_n.size:
            for k in range(kept):
                counts[end + k] = value[order[k]] / depth_n[i] * 10_000.0
            if first >= 0:
                counts[start] = 0.0
                counts[end + kept] = 0.0
        end += kept
        if last >= 0:
            ids[end] = last
            end += 1
        length_n[i] = end - start
    return end


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _gather(x: Array, gene: Array, columns: tuple[Array, Array, Array], place: Array, genes: Any, sums: Array) -> int:
    """Value, key and token of each vocabulary gene of a cell, columns of one gene added up; returns how many."""
    token_f, median_f, group_f = columns
    value, key, token = genes
    n, bad, total, matched = 0, 0, 0, 0
    for k in range(x.size):
        f = np.uint32(gene[k])  # unsigned: no test for an index from the end
        t = token_f[f]
        use = (t >= 0) & (x[k] > 0)
        total += x[k]
        matched += x[k] * use
        bad += not x[k] >= 0
        if group_f.size and use and group_f[f] >= 0:
            # What an earlier cell left in ``place`` does not hold here, so it needs no reset: the token tells.
            at = place[group_f[f]]
            if at < n and token[at] == t:
                value[at] += x[k]
                continue
            place[group_f[f]] = n
        value[n], key[n], token[n] = x[k], median_f[f], t
        n += use
    for k in range(n):
        key[k] = value[k] / key[k]
    sums[TOTAL] += total
    sums[MATCHED] += matched
    sums[BAD] += bad
    return n


@numba.njit(cache=True, nogil=True)
def _ranked(key: Array, token: Array, limit: int, packed: tuple[Array, Array], tally: tuple[Array, Array]) -> Array:
    """Places of the keys, largest first, ties by ascending token; right in its first ``limit`` elements at least."""
    bits = key.view(np.int64)
    a, b = packed
    high, low = tally
    top, bottom = bits[0], bits[0]
    for k in range(1, bits.size):
        top, bottom = max(top, bits[k]), min(bottom, bits[k])
    shift = 0
    while (top - bottom) >> shift >= BUCKETS * BUCKETS:
        shift += 1
    high[:], low[:] = 0, 0
    for k in range(bits.size):
        high[(top - bits[k]) >> (shift + DIGIT)] += 1
    # Genes in buckets wholly beyond the limit are left out before anything is sorted.
    beyond, n = 0, 0
    while n < min(limit, bits.size):
        high[beyond], n = n, n + high[beyond]
        beyond += 1
    n = 0
    for k in range(bits.size):
        coarse = (top - bits[k]) >> shift
        a[n] = coarse << 32 | k
        use = coarse >> DIGIT < beyond
        low[coarse & (BUCKETS - 1)] += use
        n += use
    start = 0
    for digit in range(BUCKETS):
        low[digit], start = start, start + low[digit]
    for k in range(n):
        digit = (a[k] >> 32) & (BUCKETS - 1)
        b[low[digit]] = a[k]
        low[digit] += 1
    for k in range(n):
        digit = b[k] >> (32 + DIGIT)
        a[high[digit]] = b[k]
        high[digit] += 1
    _settle(a[:n], b, bits, token, limit)
    return a[:n]


@numba.njit(cache=True, nogil=True)
def _settle(a: Array, b: Array, bits: Array, token: Array, limit: int) -> None:
    """Put runs of elements that are equal in their coarse key in order, and leave only the place in each element."""
    start = 0
    while start < min(a.size, limit):
        stop = start + 1
        while stop < a.size and a[stop] >> 32 == a[start] >> 32:
            stop += 1
        if stop - start > 1:
            _sort_run(a[start:stop], b, bits, token)
        for k in range(start, stop):
            a[k] &= PLACE
        start = stop


@numba.njit(cache=True, nogil=True)
def _sort_run(run: Array, b: Array, bits: Array, token: Array) -> None:
    """Sort by full key and token; an element becomes its token and its place, so that ties compare as integers."""
    first, tied, ascending = bits[run[0] & PLACE], True, True
    for k in range(run.size):
        place = run[k] & PLACE
        run[k] = np.int64(token[place]) << 32 | place
        tied &= bits[place] == first
        ascending &= k == 0 or run[k - 1] < run[k]
    if tied and ascending:
        return
    if run.size > SHORT:
        _merge_sort(run, b, bits, tied)
    else:
        _insertion_sort(run, bits, tied)


@numba.njit(cache=True, nogil=True)
def _before(j: int, k: int, bits: Array, tied: bool) -> bool:
    if tied or bits[j & PLACE] == bits[k & PLACE]:
        return j < k
    return bits[j & PLACE] > bits[k & PLACE]


@numba.njit(cache=True, nogil=True)
def _insertion_sort(run: Array, bits: Array, tied: bool) -> None:
    for k in range(1, run.size):
        moving, at = run[k], k
        while at > 0 and _before(moving, run[at - 1], bits, tied):
            run[at] = run[at - 1]
            at -= 1
        run[at] = moving


@numba.njit(cache=True, nogil=True)
def _merge_sort(run: Array, b: Array, bits: Array, tied: bool) -> None:
    """Sorted blocks of ``SHORT``, merged pairwise: no input makes it slow, as many equal keys would insertion."""
    for start in range(0, run.size, SHORT):
        _insertion_sort(run[start : start + SHORT], bits, tied)
    width = SHORT
    while width < run.size:
        for start in range(0, run.size, 2 * width):
            middle, stop = min(start + width, run.size), min(start + 2 * width, run.size)
            i, j = start, middle
            for k in range(start, stop):
                if j == stop or (i < middle and not _before(run[j], run[i], bits, tied)):
                    b[k] = run[i]
                    i += 1
                else:
                    b[k] = run[j]
                    j += 1
        run[:] = b[: run.size]
        width *= 2
