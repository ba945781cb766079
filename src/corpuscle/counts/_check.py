"""Is a block of stored values raw counts? The first offender is named by cell and gene."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import scipy.sparse as sp

from corpuscle.counts._source import csr_of
from corpuscle.errors import NotCountsError

__all__ = ["WAY_OUT", "as_counts", "as_dense_counts", "as_unsigned", "way_out"]

INT32_MAX = np.iinfo(np.int32).max
UINT32_MAX = np.iinfo(np.uint32).max
WAY_OUT = "give the layer that holds raw counts (--layer NAME) or the file from before normalisation"


def way_out(layers: tuple[str, ...] = ()) -> str:
    """What to do about a matrix that is not counts, given which other layers its file has."""
    if not layers:
        return WAY_OUT
    likely = [name for name in layers if name.lower() in {"counts", "count", "raw_counts", "umi", "raw", "spliced"}]
    if likely:
        return f"its layer {likely[0]!r} may hold raw counts (--layer {likely[0]}); it has: {', '.join(layers)}"
    return f"{WAY_OUT}; it has: {', '.join(layers)}"


@numba.njit(cache=True, nogil=True)
def _first_bad(values: np.ndarray[Any, Any]) -> int:
    for i in range(values.size):
        v = values[i]
        if not (v >= 0 and v == np.floor(v) and v < np.inf):  # NaN fails the first comparison
            return i
    return -1


@numba.njit(cache=True, nogil=True)
def _first_unusable(values: np.ndarray[Any, Any]) -> int:
    for i in range(values.size):
        if not 0 <= values[i] < np.inf:
            return i
    return -1


def _kind(value: float) -> str:
    if np.isnan(value):
        return "NaN"
    if np.isinf(value):
        return "infinite"
    return "negative" if value < 0 else "fractional"


def as_counts(
    x_ng: sp.csr_matrix,
    *,
    source: str,
    first_row: int,
    cells: Any,
    genes: Any,
    advice: str = WAY_OUT,
    fractional: bool = False,
) -> sp.csr_matrix:
    """The same matrix as canonical integer CSR (sorted, no duplicates, no explicit zeros).

    Parameters
    ----------
    x_ng
        Block of cells x genes, any numeric dtype.
    source, first_row, cells, genes
        Where the block is from, for the message: source name, number of its first row, all cell and gene names.
    advice
        What the message tells to do; see :func:`way_out`.
    fractional
        Accept fractional values; a matrix that has some is returned as float64.

    Raises
    ------
    NotCountsError
        A stored value is negative, NaN, infinite or, unless accepted, fractional.
    """
    data = x_ng.data
    if data.dtype.kind == "b":
        data = data.astype(np.int32)
    if data.dtype.kind not in "uif":
        raise NotCountsError(f"{source}: values of type {data.dtype} are not numbers; {advice}")
    if data.dtype.kind != "u":
        bad = _first_bad(data)
        if bad >= 0 and fractional:
            bad = _first_unusable(data)
            if bad < 0:
                return _canonical(csr_of(data.astype(np.float64), x_ng.indices, x_ng.indptr, x_ng.shape))
        if bad >= 0:
            row = int(np.searchsorted(x_ng.indptr, bad, side="right")) - 1
            gene, value = genes[x_ng.indices[bad]], float(data[bad])
            raise NotCountsError(
                f"{source}: not raw counts: value {value:.6g} ({_kind(value)}) at cell {cells[first_row + row]!s}, "
                f"gene {gene!s}; {advice}"
            )
    largest = data.max(initial=0)
    if largest >= 2**63:
        raise NotCountsError(f"{source}: not raw counts: value {float(largest):.6g} is too large to be one; {advice}")
    dtype = np.int32 if largest <= INT32_MAX else np.int64
    return _canonical(csr_of(data.astype(dtype, copy=False), x_ng.indices, x_ng.indptr, x_ng.shape))


def _canonical(x_ng: sp.csr_matrix) -> sp.csr_matrix:
    """Sorted, without duplicates or explicit zeros; copied where that changes anything, as the caller may own it."""
    repeated = not x_ng.has_canonical_format
    if not repeated and (x_ng.data.size == 0 or x_ng.data.all()):
        return x_ng
    out = x_ng.copy()
    if repeated:
        whole = out.data.dtype.kind != "f"
        out.data = out.data.astype(np.int64 if whole else np.float64)  # a sum of duplicates may leave int32
        out.sum_duplicates()
        if whole and out.data.max(initial=0) <= INT32_MAX:
            out.data = out.data.astype(np.int32)
    out.eliminate_zeros()
    return out


def as_dense_counts(
    x_ng: np.ndarray[Any, Any], *, source: str, first_row: int, cells: Any, genes: Any, advice: str = WAY_OUT
) -> np.ndarray[Any, Any]:
    """The same array as uint32, or int64 where a count is larger; parameters and errors are those of :func:`as_counts`."""
    if x_ng.dtype.kind not in "ub":
        usable = x_ng.dtype.kind in "if" and _first_bad(np.ascontiguousarray(x_ng).reshape(-1)) < 0
        if not usable:
            as_counts(sp.csr_matrix(x_ng), source=source, first_row=first_row, cells=cells, genes=genes, advice=advice)
    if x_ng.dtype.kind == "f" or x_ng.dtype.itemsize > 4:
        largest = x_ng.max(initial=0)
        if largest >= 2**63:
            raise NotCountsError(
                f"{source}: not raw counts: value {float(largest):.6g} is too large to be one; {advice}"
            )
        x_ng = x_ng.astype(np.uint32 if largest <= UINT32_MAX else np.int64)
    return as_unsigned(x_ng)


def as_unsigned(x_ng: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Whole numbers that are not negative, of up to 32 bits, as uint32; wider ones as they are."""
    if x_ng.dtype.itemsize > 4:
        return x_ng.astype(np.uint32) if x_ng.max(initial=0) <= UINT32_MAX else x_ng.astype(np.int64, copy=False)
    return x_ng.view(np.uint32) if x_ng.dtype == np.int32 else x_ng.astype(np.uint32, copy=False)
