"""Loops over the stored entries of sparse values.

An entry that is stored as NaN is missing. One that is not stored is ``background_cd[label of its row, column]``:
minus the column's mean where a zero is observed there, 0 where it is missing.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

__all__ = ["add_dot", "add_tdot", "count_entries", "fill_observed", "fill_rows", "gather_observed", "merge_missing"]

Array = npt.NDArray[Any]


@numba.njit(cache=True, nogil=True)
def fill_rows(
    start: int, indptr: Array, indices: Array, data: Array, labels_n: Array, background_cd: Array, mean_d: Array,
    out_bd: Array,
) -> None:  # fmt: skip
    """Write W of the rows from ``start`` on."""
    for b in range(out_bd.shape[0]):
        row = out_bd[b]
        row[:] = background_cd[labels_n[start + b]]
        for e in range(indptr[start + b], indptr[start + b + 1]):
            k = indices[e]
            row[k] = 0.0 if np.isnan(data[e]) else data[e] - mean_d[k]


@numba.njit(cache=True, nogil=True)
def fill_observed(
    start: int, indptr: Array, indices: Array, data: Array, labels_n: Array, zeros_cd: Array, out_bd: Array
) -> None:
    """Write M of the rows from ``start`` on."""
    for b in range(out_bd.shape[0]):
        row = out_bd[b]
        row[:] = zeros_cd[labels_n[start + b]]
        for e in range(indptr[start + b], indptr[start + b + 1]):
            row[indices[e]] = not np.isnan(data[e])


@numba.njit(cache=True, nogil=True)
def add_dot(
    start: int, stop: int, indptr: Array, indices: Array, data: Array, labels_n: Array, background_cd: Array,
    mean_d: Array, v_dk: Array, out_nk: Array,
) -> None:  # fmt: skip
    """Add (W less its background) @ v to the rows of ``out_nk``."""
    for i in range(start, stop):
        background_d, out_k = background_cd[labels_n[i]], out_nk[i]
        for e in range(indptr[i], indptr[i + 1]):
            column = indices[e]
            w = (0.0 if np.isnan(data[e]) else data[e] - mean_d[column]) - background_d[column]
            v_k = v_dk[column]
            for j in range(v_k.size):
                out_k[j] += w * v_k[j]


@numba.njit(cache=True, nogil=True)
def add_tdot(
    start: int, stop: int, indptr: Array, indices: Array, data: Array, labels_n: Array, background_cd: Array,
    mean_d: Array, u_nk: Array, out_dk: Array,
) -> None:  # fmt: skip
    """Add the rows' (W less its background)' @ u to ``out_dk``."""
    for i in range(start, stop):
        background_d, u_k = background_cd[labels_n[i]], u_nk[i]
        for e in range(indptr[i], indptr[i + 1]):
            column = indices[e]
            w = (0.0 if np.isnan(data[e]) else data[e] - mean_d[column]) - background_d[column]
            out_k = out_dk[column]
            for j in range(u_k.size):
                out_k[j] += w * u_k[j]


@numba.njit(cache=True, nogil=True)
def count_entries(
    indptr: Array, indices: Array, data: Array, labels_n: Array, zeros_cd: Array, row_counts_n: Array,
    column_counts_d: Array, column_sums_d: Array,
) -> None:  # fmt: skip
    """Add what the stored entries change in the counts of observed entries, and their sums."""
    for i in range(labels_n.size):
        for e in range(indptr[i], indptr[i + 1]):
            k = indices[e]
            observed = not np.isnan(data[e])
            change = int(observed) - int(zeros_cd[labels_n[i], k])
            row_counts_n[i] += change
            column_counts_d[k] += change
            if observed:
                column_sums_d[k] += data[e]


@numba.njit(cache=True, nogil=True)
def merge_missing(
    x_indptr: Array, x_indices: Array, x_data: Array, gap_indptr: Array, gap_indices: Array,
    indptr: Array, indices: Array, data: Array,
) -> tuple[int, int, int]:  # fmt: skip
    """Write the stored entries of X with those that are missing as NaN, both with ascending columns.

    Returns the first row and place in ``x_data`` of a value that is observed and not finite, and how many.
    """
    at, bad, bad_row, bad_entry = 0, 0, -1, -1
    for i in range(x_indptr.size - 1):
        e, g = x_indptr[i], gap_indptr[i]
        while e < x_indptr[i + 1] or g < gap_indptr[i + 1]:
            if g < gap_indptr[i + 1] and (e >= x_indptr[i + 1] or gap_indices[g] <= x_indices[e]):
                if e < x_indptr[i + 1] and x_indices[e] == gap_indices[g]:
                    e += 1
                indices[at], data[at] = gap_indices[g], np.nan
                at, g = at + 1, g + 1
                continue
            if not np.isfinite(x_data[e]):
                bad += 1
                if bad_row < 0:
                    bad_row, bad_entry = i, e
            if x_data[e] != 0:
                indices[at], data[at] = x_indices[e], x_data[e]
                at += 1
            e += 1
        indptr[i + 1] = at
    return bad_row, bad_entry, bad


@numba.njit(cache=True, nogil=True)
def gather_observed(
    x_indptr: Array, x_indices: Array, x_data: Array, seen_indptr: Array, seen_indices: Array, data: Array
) -> tuple[int, int, int]:
    """Write the value of X at every observed entry; returns as :func:`merge_missing` does."""
    bad, bad_row, bad_entry = 0, -1, -1
    for i in range(x_indptr.size - 1):
        e = x_indptr[i]
        for s in range(seen_indptr[i], seen_indptr[i + 1]):
            while e < x_indptr[i + 1] and x_indices[e] < seen_indices[s]:
                e += 1
            data[s] = 0.0
            if e < x_indptr[i + 1] and x_indices[e] == seen_indices[s]:
                data[s] = x_data[e]
                if not np.isfinite(x_data[e]):
                    bad += 1
                    if bad_row < 0:
                        bad_row, bad_entry = i, e
    return bad_row, bad_entry, bad
