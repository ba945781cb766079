"""A mask as it is given, and as the forms of the values read it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from corpuscle.reduce._block_mask import BlockMask
from corpuscle.reduce._values_checks import InputError, refuse_entry

__all__ = ["Missing", "dense_observed", "missing_pattern", "observed_pattern"]

#: Entries of a boolean block that is held at a time.
BLOCK_ENTRIES = 4_000_000


@dataclass(frozen=True, eq=False)
class Missing:
    """Says that a sparse mask marks the entries that are missing, and not those that are observed.

    Parameters
    ----------
    matrix : sparse matrix or array of 0 and 1, shape (n, d)
        1 where an entry is missing.
    """

    matrix: Any

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns."""
        return tuple(self.matrix.shape)


def check_mask_shape(mask: Any, shape: tuple[int, ...]) -> None:
    """Refuse a mask of another shape than the matrix."""
    found = tuple(mask.shape) if hasattr(mask, "shape") else np.shape(mask)
    if found != tuple(shape):
        raise InputError(f"mask has shape {found} and X has {tuple(shape)}; give one mask entry an entry of X")


def dense_observed(mask: Any, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """True where an entry is observed, as a dense array, from any mask that is not by blocks.

    Raises
    ------
    InputError
        Another shape; values other than 0 and 1.
    """
    check_mask_shape(mask, shape)
    if isinstance(mask, Missing):
        return ~dense_observed(mask.matrix, shape)
    if sparse.issparse(mask):
        return np.asarray(_pattern(mask).toarray(), dtype=bool)
    return _booleans(np.asarray(mask))


def observed_pattern(mask: Any, shape: tuple[int, ...]) -> sparse.csr_array:
    """CSR whose stored entries are the observed ones."""
    return _as_pattern(mask, shape, missing=False)


def missing_pattern(mask: Any, shape: tuple[int, ...]) -> sparse.csr_array:
    """CSR whose stored entries are the missing ones."""
    return _as_pattern(mask, shape, missing=True)


def n_missing(mask: Any, shape: tuple[int, ...]) -> int:
    """Missing entries, counted without making the pattern of the other kind."""
    check_mask_shape(mask, shape)
    stored = mask.matrix if isinstance(mask, Missing) else mask
    ones = _pattern(stored).nnz if sparse.issparse(stored) else int(np.count_nonzero(_booleans(np.asarray(stored))))
    return ones if isinstance(mask, Missing) else shape[0] * shape[1] - ones


def _as_pattern(mask: Any, shape: tuple[int, ...], *, missing: bool) -> sparse.csr_array:
    check_mask_shape(mask, shape)
    stored, says_missing = (mask.matrix, True) if isinstance(mask, Missing) else (mask, False)
    if sparse.issparse(stored):
        pattern = _pattern(stored)
        return pattern if says_missing == missing else _by_rows(pattern, shape, opposite=True)
    return _by_rows(_booleans(np.asarray(stored)), shape, opposite=says_missing != missing)


def _by_rows(ones: Any, shape: tuple[int, ...], *, opposite: bool) -> sparse.csr_array:
    """Pattern of the true entries of ``ones``, or of the others, some rows at a time."""
    rows = max(1, BLOCK_ENTRIES // shape[1])
    parts = []
    for start in range(0, shape[0], rows):
        block_bd = ones[start : start + rows]
        block_bd = block_bd.toarray() if sparse.issparse(block_bd) else block_bd
        parts.append(sparse.csr_array(block_bd == 0 if opposite else block_bd))
    return parts[0] if len(parts) == 1 else sparse.vstack(parts, format="csr")


def _pattern(mask: Any) -> sparse.csr_array:
    """Canonical CSR of ones; the mask that was given is never changed."""
    pattern = sparse.csr_array(mask)
    if not pattern.has_canonical_format:
        pattern = pattern.copy()
        pattern.sum_duplicates()
    if pattern.dtype == np.bool_ and pattern.data.all():
        return pattern
    bad_z = ~((pattern.data == 0) | (pattern.data == 1))
    if bad_z.any():
        at = int(np.argmax(bad_z))
        row = int(np.searchsorted(pattern.indptr, at, side="right")) - 1
        _refuse_value(pattern.data[at], row, int(pattern.indices[at]), int(bad_z.sum()))
    pattern = sparse.csr_array((pattern.data == 1, pattern.indices, pattern.indptr), shape=pattern.shape, copy=True)
    pattern.eliminate_zeros()
    return pattern


def _booleans(mask: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    if mask.dtype == np.bool_:
        return mask
    good = (mask == 0) | (mask == 1)
    if not np.all(good):
        row, column = (int(at) for at in np.argwhere(~good)[0])
        _refuse_value(mask[row, column], row, column, int((~good).sum()))
    return np.asarray(mask == 1)


def _refuse_value(value: Any, row: int, column: int, count: int) -> None:
    refuse_entry(f"mask value {value}", row, column, count, "a mask is 1 (observed) or 0 (missing)")


def block_observed(mask: BlockMask, x_nd: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """A block mask on a dense matrix: non-zeros are observed, zeros where the table says so."""
    check_mask_shape(mask, x_nd.shape)
    return np.asarray(mask.table_cd[mask.labels_n] | (x_nd != 0))
