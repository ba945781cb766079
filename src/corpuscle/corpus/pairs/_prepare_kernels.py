"""Loops over stored values that preparation runs for every cell."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import scipy.sparse as sp

from corpuscle.counts._source import csr_of

__all__ = ["cell_figures", "mark_detected", "prepared_rows"]

Array = np.ndarray[Any, Any]
SCALE = 10_000.0


@numba.njit(cache=True, nogil=True)
def cell_figures(
    count: Array, gene: Array, indptr: Array, mito_g: Array, n_top: int, out: tuple[Array, Array, Array, Array]
) -> None:
    """Fill total counts, detected genes, mitochondrial counts and counts of the ``n_top`` strongest genes of each cell."""
    total_n, genes_n, mito_n, top_n = out
    top = np.zeros(n_top, np.int64)
    for i in range(indptr.size - 1):
        top[:] = 0
        least, total, mito = 0, 0, 0  # least: place of the smallest of the strongest
        for k in range(indptr[i], indptr[i + 1]):
            c = count[k]
            total += c
            if mito_g[gene[k]]:
                mito += c
            if c > top[least]:
                top[least] = c
                least = int(np.argmin(top))
        total_n[i], genes_n[i], mito_n[i], top_n[i] = total, indptr[i + 1] - indptr[i], mito, top.sum()


@numba.njit(cache=True, nogil=True)
def mark_detected(gene: Array, indptr: Array, row_r: Array, batch_r: Array, cells_g: Array, seen_bg: Array) -> None:
    """Count in how many of the rows each gene is stored, and mark in which batches; batch -1 is none."""
    for r in range(row_r.size):
        for k in range(indptr[row_r[r]], indptr[row_r[r] + 1]):
            cells_g[gene[k]] += 1
            if batch_r[r] >= 0:
                seen_bg[batch_r[r], gene[k]] = True


@numba.njit(cache=True, nogil=True)
def _pick(
    count: Array, gene: Array, indptr: Array, row_r: Array, place_g: Array, out: tuple[Array, Array, Array, Array]
) -> int:
    indptr_out, gene_out, count_out, log_out = out
    at = 0
    for r in range(row_r.size):
        first, depth = at, 0
        for k in range(indptr[row_r[r]], indptr[row_r[r] + 1]):
            place = place_g[gene[k]]
            if place >= 0:
                gene_out[at] = place
                count_out[at] = count[k]
                depth += count[k]
                at += 1
        for k in range(first, at):
            log_out[k] = np.log1p(count_out[k] * (SCALE / depth))
        indptr_out[r + 1] = at
    return at


def prepared_rows(
    x_ng: sp.csr_matrix, row_r: Array, place_g: Array, n_genes: int
) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """Some rows and columns of counts, normalised and as they are.

    Parameters
    ----------
    x_ng
        Canonical integer counts.
    row_r
        Rows to take.
    place_g
        Where each column goes, ascending; -1 for one that is left out.
    n_genes
        Columns of the result.

    Returns
    -------
    tuple
        (r, n_genes) float32 log1p of counts per 10,000 of the columns taken, and int32 counts; both on the same index arrays.
    """
    room = int((x_ng.indptr[row_r + 1] - x_ng.indptr[row_r]).sum())
    indptr = np.zeros(row_r.size + 1, np.int32)
    gene, count, log = np.empty(room, np.int32), np.empty(room, np.int32), np.empty(room, np.float32)
    used = _pick(x_ng.data, x_ng.indices, x_ng.indptr, row_r, place_g, (indptr, gene, count, log))
    shape = (row_r.size, n_genes)
    out = csr_of(log[:used], gene[:used], indptr, shape), csr_of(count[:used], gene[:used], indptr, shape)
    for matrix in out:
        matrix.has_sorted_indices = matrix.has_canonical_format = True
    return out
