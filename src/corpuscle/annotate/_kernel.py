"""Loops of the conjugate gradients over rows: compiled, and without the interpreter's lock.

A kernel works on the blocks ``first <= b < last`` of :data:`BLOCK` rows each, and writes what it sums over the rows of a
block, in float64, to place b of ``sum_bm``. Blocks are added in their order, and no column looks at another. So the
result depends neither on the number of threads nor on which columns are solved together.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from corpuscle.annotate._prefetch import prefetch

__all__ = ["BLOCK", "add_blocks", "begin", "component_sums", "descend", "finish", "multiply", "turn"]

Array = np.ndarray[Any, Any]
BLOCK = 4096
#: Neighbours lie anywhere in memory. Asked for so many edges before their turn, they halve the time of a product.
AHEAD = 12
CACHE_LINE = 64
compiled = numba.njit(cache=True, nogil=True, error_model="numpy")


@compiled
def add_blocks(sum_bm: Array) -> Array:
    """(m,) sum over blocks, one after the other."""
    total_m = np.zeros(sum_bm.shape[1])
    for b in range(sum_bm.shape[0]):
        for c in range(sum_bm.shape[1]):
            total_m[c] += sum_bm[b, c]
    return total_m


@compiled
def component_sums(values_nk: Array, column: int, component_n: Array, weight_n: Array, sum_cm: Array) -> None:
    """Add ``weight * values`` of the cells of each component, of the columns from ``column`` on."""
    for i in range(values_nk.shape[0]):
        component = component_n[i]
        for c in range(sum_cm.shape[1]):
            sum_cm[component, c] += weight_n[i] * values_nk[i, column + c]


@compiled
def begin(
    first: int, last: int, values_nk: Array, column: int, component_n: Array, mean_cm: Array, unit_m: Array,
    scale_n: Array, fidelity_n: Array, inverse_n: Array, norm_n: Array,
    r_nm: Array, p_nm: Array, rz_bm: Array, rr_bm: Array, bb_bm: Array,
) -> None:  # fmt: skip
    """Right-hand side, in units of ``unit``, of what is left when each component's mean is taken off; first direction."""
    n, m = r_nm.shape
    for b in range(first, last):
        for i in range(b * BLOCK, min((b + 1) * BLOCK, n)):
            component = component_n[i]
            for c in range(m):
                value = values_nk[i, column + c] / scale_n[i]
                r_nm[i, c] = fidelity_n[i] * (value - mean_cm[component, c]) / unit_m[c]
                p_nm[i, c] = r_nm[i, c] * inverse_n[i]
                r = np.float64(r_nm[i, c])
                rz_bm[b, c] += r * p_nm[i, c]
                rr_bm[b, c] += r * r * norm_n[i]
                bb_bm[b, c] += (fidelity_n[i] * value / unit_m[c]) ** 2 * norm_n[i]


@compiled
def multiply(
    first: int, last: int, indptr: Array, indices: Array, weight_e: Array, lam: float, diagonal_n: Array,
    p_nm: Array, ap_nm: Array, pap_bm: Array,
) -> None:  # fmt: skip
    """``ap = diagonal * p - lam * (W @ p)`` and the sums of ``p * ap``."""
    n, m = p_nm.shape
    line = CACHE_LINE // p_nm.itemsize
    for b in range(first, last):
        for i in range(b * BLOCK, min((b + 1) * BLOCK, n)):
            for c in range(m):
                ap_nm[i, c] = diagonal_n[i] * p_nm[i, c]
            for e in range(indptr[i], indptr[i + 1]):
                if e + AHEAD < indices.size:
                    for c in range(0, m, line):
                        prefetch(p_nm, indices[e + AHEAD], c)
                j = indices[e]
                w = lam * weight_e[e]
                for c in range(m):
                    ap_nm[i, c] -= w * p_nm[j, c]
            for c in range(m):
                pap_bm[b, c] += np.float64(p_nm[i, c]) * ap_nm[i, c]


@compiled
def descend(
    first: int, last: int, step_m: Array, inverse_n: Array, norm_n: Array,
    p_nm: Array, ap_nm: Array, x_nm: Array, r_nm: Array, rz_bm: Array, rr_bm: Array,
) -> None:  # fmt: skip
    """One step of each column along its direction, and the sums of ``r * z`` and ``r * r`` after it."""
    n, m = p_nm.shape
    for b in range(first, last):
        for i in range(b * BLOCK, min((b + 1) * BLOCK, n)):
            for c in range(m):
                x_nm[i, c] += step_m[c] * p_nm[i, c]
                r_nm[i, c] -= step_m[c] * ap_nm[i, c]
                rr = np.float64(r_nm[i, c]) ** 2
                rz_bm[b, c] += rr * inverse_n[i]
                rr_bm[b, c] += rr * norm_n[i]


@compiled
def turn(first: int, last: int, ratio_m: Array, inverse_n: Array, r_nm: Array, p_nm: Array) -> None:
    """Next direction: the preconditioned residual, conjugate to those before."""
    n, m = p_nm.shape
    for b in range(first, last):
        for i in range(b * BLOCK, min((b + 1) * BLOCK, n)):
            for c in range(m):
                p_nm[i, c] = r_nm[i, c] * inverse_n[i] + ratio_m[c] * p_nm[i, c]


@compiled
def finish(
    first: int, last: int, x_nm: Array, column: int, component_n: Array, mean_cm: Array, unit_m: Array,
    scale_n: Array, out_nk: Array,
) -> None:  # fmt: skip
    """Put the means back and write the columns to their place."""
    n, m = x_nm.shape
    for b in range(first, last):
        for i in range(b * BLOCK, min((b + 1) * BLOCK, n)):
            component = component_n[i]
            for c in range(m):
                out_nk[i, column + c] = scale_n[i] * (mean_cm[component, c] + unit_m[c] * x_nm[i, c])
