"""Scores of cells from marker genes, on arrays: standardised sums, rank sums, and a linear model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from corpuscle.counts._threads import for_each, map_ordered
from corpuscle.errors import MethodError

if TYPE_CHECKING:
    from corpuscle.annotate._expression import Expression

__all__ = ["CLIP", "linear_t", "moments", "rank_scores", "specificity", "standardised_sums", "varies"]

Array = np.ndarray[Any, Any]

#: Limits of a standardised value: one outlier should not name a cell.
CLIP = (-5.0, 10.0)
#: Cells whose scores are summed at once.
CHUNK = 16_384


def moments(x_nm: sp.csc_matrix) -> tuple[Array, Array]:
    """Mean and standard deviation (that of a sample, n - 1) of each column, (m,) float64 each, zeros counted.

    Raises
    ------
    MethodError
        There are fewer than 2 cells.
    """
    n = x_nm.shape[0]
    if n < 2:
        raise MethodError("scores from standardised genes need at least 2 cells; use scoring ucell or ulm for one")
    stored_m = np.diff(x_nm.indptr)
    mean_m, square_m = np.zeros(x_nm.shape[1]), np.zeros(x_nm.shape[1])
    # Column by column and about the mean, so that a gene that hardly varies loses no digits.
    for g in range(x_nm.shape[1]):
        value = x_nm.data[x_nm.indptr[g] : x_nm.indptr[g + 1]].astype(np.float64)
        mean_m[g] = mean = value.sum() / n
        square_m[g] = np.square(value - mean).sum() + (n - stored_m[g]) * mean**2
    return mean_m, np.sqrt(square_m / (n - 1))


def varies(mean_m: Array, sd_m: Array) -> Array:
    """(m,) whether a gene differs between cells, so that it can be standardised; equal values differ by rounding."""
    differs: Array = sd_m > 1e-6 * np.maximum(mean_m, 1e-6)
    return differs


def specificity(listed_mk: Array) -> Array:
    """(m,) weight of each gene by how few types list it: 1 for a single type, 0 for a gene of all types.

    ``w = 1 - (count - 1) / (K - 1)``, after ScType (Ianevski et al. 2022). With one type, and for a gene that is nobody's
    positive marker, it is 1.
    """
    n_types = listed_mk.shape[1]
    count_m = np.maximum((listed_mk > 0).sum(axis=1), 1)
    if n_types == 1:
        return np.ones(len(count_m))
    return 1.0 - (count_m - 1) / (n_types - 1)


def standardised_sums(x_nm: sp.csc_matrix, mean_m: Array, sd_m: Array, weight_mk: Array) -> Array:
    """Weighted sum of clipped z-scores, (n, K) float32: ``sum_g w_gk clip((x_ig - mean_g) / sd_g)``.

    Every gene must vary. Beyond the result, a chunk of cells is held in float64 by each thread.
    """
    from corpuscle.annotate.sources._marker_kernels import clipped_sums

    n = x_nm.shape[0]
    zero_m = np.clip(-mean_m / sd_m, *CLIP)
    constants = np.vstack([mean_m, 1.0 / sd_m, zero_m])
    w, base_k = _weights(weight_mk), zero_m @ weight_mk
    edges = np.array([*range(0, n, CHUNK), n])
    place_em = _row_places(x_nm, edges)
    out = np.empty((n, weight_mk.shape[1]), np.float32)

    def chunk(i: int) -> None:
        first, stop = int(edges[i]), int(edges[i + 1])
        sums = np.tile(base_k, (stop - first, 1))
        clipped_sums(x_nm.data, x_nm.indices, place_em[i], place_em[i + 1], first, constants, np.asarray(CLIP), w, sums)
        out[first:stop] = sums

    for_each(chunk, range(edges.size - 1))
    return out


def _row_places(x_nm: sp.csc_matrix, edges: Array) -> Array:
    """(edges, m) where, in each column, the entries of these rows begin."""
    out = np.empty((edges.size, x_nm.shape[1]), np.int64)
    for g in range(x_nm.shape[1]):
        start, stop = x_nm.indptr[g], x_nm.indptr[g + 1]
        out[:, g] = start + np.searchsorted(x_nm.indices[start:stop], edges)
    return out


def rank_scores(expression: Expression, listed_gk: sp.csr_matrix, n_listed_k: Array, max_rank: int) -> Array:
    """UCell's statistic of one list of genes a type, (n, K) float32 in 0 to 1; streams the source once.

    Parameters
    ----------
    expression
        Source; all of its genes are ranked in each cell, zeros tied behind the others.
    listed_gk
        (g, K) CSR, 1 where the gene is a marker of the type.
    n_listed_k
        (K,) genes on each list; those that the source has not count as ``max_rank``. A list without any gene scores 0.
    max_rank
        Rank above which all genes are the same.

    References
    ----------
    Andreatta M, Carmona SJ. UCell: Robust and scalable single-cell gene signature scoring. Comput Struct Biotechnol J 19,
    3796-3798 (2021).
    """
    from corpuscle.annotate.sources._marker_kernels import rank_sums

    w = (listed_gk.data.astype(np.float64), listed_gk.indices, listed_gk.indptr)
    absent_k = n_listed_k - np.asarray(listed_gk.sum(axis=0)).ravel()
    least_k = n_listed_k * (n_listed_k + 1) / 2
    span_k = n_listed_k * max_rank - least_k

    def block(item: tuple[slice, sp.csr_matrix]) -> Array:
        x_ng = item[1]
        out = np.tile(absent_k * float(max_rank), (x_ng.shape[0], 1))
        rank_sums(x_ng.data, x_ng.indices, x_ng.indptr, x_ng.shape[1], max_rank, w, out)
        score_nk = 1.0 - (out - least_k) / np.where(n_listed_k > 0, span_k, 1.0)
        return np.where(n_listed_k > 0, score_nk, 0.0).astype(np.float32)

    return _stacked(expression, block, listed_gk.shape[1])


def linear_t(expression: Expression, weight_gk: sp.csr_matrix) -> Array:
    """Regress a cell's expression on a type's weights, over all genes: the slope's t value, (n, K) float32; one pass.

    ``t = r sqrt((g - 2) / (1 - r^2))`` with r the correlation of the g expression values and the g weights, most of which
    are 0; what decoupler calls a univariate linear model (Badia-i-Mompel et al. 2022).

    Raises
    ------
    MethodError
        The source has fewer than 3 genes, a type has the same weight for all of them, or a cell the same value.
    """
    from corpuscle.annotate.sources._marker_kernels import linear_sums

    g = weight_gk.shape[0]
    if g < 3:
        raise MethodError(f"{expression.name}: a linear model over {g} genes has no t value; give a source with more")
    w = (weight_gk.data.astype(np.float64), weight_gk.indices, weight_gk.indptr)
    sum_k = np.asarray(weight_gk.sum(axis=0), np.float64).ravel()
    spread_k = np.asarray(weight_gk.multiply(weight_gk).sum(axis=0), np.float64).ravel() - sum_k**2 / g
    if (spread_k <= 1e-12).any():
        raise MethodError(
            f"{expression.name}: all of its genes are markers, of equal weight, of one type; use scoring sctype"
        )

    def block(item: tuple[slice, sp.csr_matrix]) -> Array:
        rows, x_ng = item
        n = x_ng.shape[0]
        product_nk, total_n, square_n = np.zeros((n, sum_k.size)), np.zeros(n), np.zeros(n)
        linear_sums(x_ng.data, x_ng.indices, x_ng.indptr, w, product_nk, total_n, square_n)
        spread_n = square_n - total_n**2 / g
        flat = np.flatnonzero(spread_n <= 1e-12 * square_n)
        if flat.size:
            cell = expression.obs.index[rows.start + flat[0]]
            raise MethodError(f"{expression.name}: cell {cell} has the same value in all genes; drop it")
        r_nk = (product_nk - np.outer(total_n, sum_k) / g) / np.sqrt(np.outer(spread_n, spread_k))
        r_nk = np.clip(r_nk, -1 + 1e-12, 1 - 1e-12)
        return (r_nk * np.sqrt((g - 2) / (1 - r_nk**2))).astype(np.float32)

    return _stacked(expression, block, weight_gk.shape[1])


def _stacked(expression: Expression, block: Any, n_types: int) -> Array:
    """What ``block`` returns for each block of cells, below each other."""
    out = np.empty((expression.n_cells, n_types), np.float32)
    start = 0
    parts: Iterator[Array] = map_ordered(block, expression.blocks())
    for part in parts:
        out[start : start + len(part)] = part
        start += len(part)
    return out


def _weights(weight_mk: Array) -> tuple[Array, Array, Array]:
    """Rows of weights as (data, indices, indptr), zeros left out."""
    w = sp.csr_matrix(weight_mk)
    return w.data.astype(np.float64), w.indices, w.indptr
