"""Sums over the marker genes of each cell, compiled: nothing is made dense but cells x types."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

__all__ = ["clipped_sums", "linear_sums", "rank_sums"]

Array = np.ndarray[Any, Any]


@numba.njit(cache=True, nogil=True)
def clipped_sums(
    data: Array, row: Array, part_m: Array, end_m: Array, first: int, moments: Array, edges: Array, w: Any, out: Array
) -> None:
    """Add ``w_k (z - z of a zero)`` of the stored values of some cells, ``z`` standardised and clipped.

    Parameters
    ----------
    data, row
        Values and rows of a CSC matrix of marker genes.
    part_m, end_m
        (m,) where the entries of these cells begin and end in each column.
    first
        Row of the first of these cells.
    moments
        (3, m) mean, 1 / standard deviation, and clipped z of a zero.
    edges
        Lower and upper limit of z.
    w
        CSR weights, genes x types: (data, indices, indptr).
    out
        (cells, K) float64, added to.
    """
    weight, kind, start = w
    for g in range(part_m.size):
        mean, scale, zero = moments[0, g], moments[1, g], moments[2, g]
        for e in range(part_m[g], end_m[g]):
            z = min(max((data[e] - mean) * scale, edges[0]), edges[1]) - zero
            i = row[e] - first
            for j in range(start[g], start[g + 1]):
                out[i, kind[j]] += weight[j] * z


@numba.njit(cache=True, nogil=True)
def rank_sums(data: Array, gene: Array, indptr: Array, n_genes: int, max_rank: int, w: Any, out: Array) -> None:
    """Add, for each type, the capped ranks of its markers, highest value first, ties sharing their mean rank.

    Parameters
    ----------
    data, gene, indptr
        CSR block of cells without stored zeros; the zeros of a cell tie with each other behind all of them.
    n_genes
        Genes that are ranked, stored or not.
    max_rank
        Ranks above it count as it.
    w
        CSR, genes x types: (data, indices, indptr); a 1 where the gene is a marker.
    out
        (cells, K) float64, added to.
    """
    weight, kind, start = w
    total_k = np.zeros(out.shape[1])
    for j in range(weight.size):
        total_k[kind[j]] += weight[j]
    for i in range(indptr.size - 1):
        value = data[indptr[i] : indptr[i + 1]]
        ascending = np.sort(value)
        n = value.size
        zero = min((n_genes + n + 1) / 2, max_rank)
        out[i] += total_k * zero
        for e in range(n):
            g = gene[indptr[i] + e]
            if start[g] == start[g + 1]:
                continue
            above = n - np.searchsorted(ascending, value[e], side="right")
            tied = n - above - np.searchsorted(ascending, value[e], side="left")
            rank = min(above + (tied + 1) / 2, max_rank)
            for j in range(start[g], start[g + 1]):
                out[i, kind[j]] += weight[j] * (rank - zero)


@numba.njit(cache=True, nogil=True)
def linear_sums(data: Array, gene: Array, indptr: Array, w: Any, out: Array, total_n: Array, square_n: Array) -> None:
    """Sums of each cell over all its genes: of ``w_k x`` for each type, of ``x``, and of ``x`` squared.

    Parameters
    ----------
    data, gene, indptr
        CSR block of cells.
    w
        CSR weights, genes x types: (data, indices, indptr).
    out
        (cells, K) float64, added to.
    total_n, square_n
        (cells,) float64, added to.
    """
    weight, kind, start = w
    for i in range(indptr.size - 1):
        for e in range(indptr[i], indptr[i + 1]):
            x, g = np.float64(data[e]), gene[e]
            total_n[i] += x
            square_n[i] += x * x
            for j in range(start[g], start[g + 1]):
                out[i, kind[j]] += weight[j] * x
