"""What a matrix with missing entries must be, and the one line that says where it is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from corpuscle.errors import MethodError

__all__ = [
    "FEWEST_ROWS",
    "InputError",
    "as_float_csr",
    "as_float_dense",
    "check_counts",
    "check_shape",
    "float_dtype",
    "refuse_entry",
    "refuse_not_finite",
    "refuse_value",
]

#: Two rows have one distance and no directions to compare.
FEWEST_ROWS = 3
#: Places that a message names before it stops.
NAMED = 5


class InputError(MethodError, ValueError):
    """A matrix or mask cannot be used; also a ValueError, which scikit-learn's conventions ask for."""


def check_shape(shape: tuple[int, ...], fewest_rows: int = FEWEST_ROWS) -> None:
    """Refuse what is not a matrix of a few rows and at least one column.

    Raises
    ------
    InputError
        One axis, or three; too few rows; no columns.
    """
    if len(shape) != 2:
        raise InputError(f"X has {len(shape)} axes; give samples x features (reshape one column with X.reshape(-1, 1))")
    if shape[1] < 1:
        raise InputError(f"X has 0 feature(s) (shape={shape}) while a minimum of 1 is required.")
    if shape[0] < fewest_rows:
        raise InputError(f"X has {shape[0]} sample(s) (shape={shape}) while a minimum of {fewest_rows} is required.")


def float_dtype(given: npt.DTypeLike | None, found: npt.DTypeLike) -> np.dtype[Any]:
    """Type that values are held in: the one asked for, else float32 for float32 and float64 for all others."""
    dtype = np.dtype(given if given is not None else (np.float32 if np.dtype(found) == np.float32 else np.float64))
    if dtype not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise InputError(f"dtype {dtype}: values are held as float32 or float64; choose one of them")
    return dtype


def as_float_dense(X: Any) -> npt.NDArray[Any]:
    """A dense array of real numbers; a masked array's masked entries become NaN.

    Raises
    ------
    InputError
        Complex or not numbers.
    """
    array = np.asarray(X)
    if np.iscomplexobj(array):
        raise InputError("Complex data not supported: X is complex; give real numbers")
    if array.dtype.kind not in "biuf":
        try:
            array = array.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise InputError(f"X is of type {array.dtype} and not numbers ({error}); give an array of floats") from None
    if isinstance(X, np.ma.MaskedArray):
        array = np.where(np.ma.getmaskarray(X), np.nan, array)
    return array


def refuse_entry(what: str, row: int, column: int, count: int, remedy: str) -> None:
    """Raise for the first of ``count`` entries that cannot be used."""
    more = f" (the first of {count:,})" if count > 1 else ""
    raise InputError(f"{what} at row {row}, column {column}{more}; {remedy}")


def refuse_not_finite(x_nd: npt.NDArray[Any], observed_nd: npt.NDArray[np.bool_]) -> None:
    """Refuse infinite values, and NaN where the mask says observed; what is missing may be anything."""
    bad_nd = ~np.isfinite(x_nd) & observed_nd
    if bad_nd.any():
        row, column = (int(at) for at in np.argwhere(bad_nd)[0])
        refuse_value(float(x_nd[row, column]), row, column, int(bad_nd.sum()))


def refuse_value(value: float, row: int, column: int, count: int) -> None:
    """Raise for an observed value that is NaN or infinite."""
    if np.isnan(value):
        refuse_entry("NaN that the mask calls observed", row, column, count, "mark it as missing in mask=")
    refuse_entry("infinite value (infinity)", row, column, count, "mark it as missing or mend it")


def check_counts(row_counts_n: npt.NDArray[np.int64], column_counts_d: npt.NDArray[np.int64]) -> None:
    """Refuse rows of which nothing was observed, and a matrix of which nothing was.

    Raises
    ------
    InputError
        Which rows, or that no column is left.
    """
    if not column_counts_d.any():
        raise InputError(f"no entry is observed in any of the {len(column_counts_d):,} columns; check mask=")
    empty = np.flatnonzero(row_counts_n == 0)
    if len(empty):
        named = ", ".join(map(str, empty[:NAMED])) + (", …" if len(empty) > NAMED else "")
        one = len(empty) == 1
        raise InputError(
            f"{len(empty):,} of {len(row_counts_n):,} rows {'has' if one else 'have'} no observed entry "
            f"(row{'' if one else 's'} {named}); leave them out"
        )


def as_float_csr(X: Any, dtype: npt.DTypeLike | None) -> sparse.csr_array:
    """Canonical CSR (sorted, no duplicates) of floats; ``X`` itself is never changed."""
    if np.iscomplexobj(X):
        raise InputError("Complex data not supported: sparse X is complex; give real numbers")
    if X.dtype.kind not in "biuf":
        raise InputError(f"sparse X is of type {X.dtype} and not numbers; give a sparse matrix of floats")
    x_nd = sparse.csr_array(X)
    if not x_nd.has_canonical_format:
        x_nd = x_nd.copy()
        x_nd.sum_duplicates()
    with np.errstate(over="ignore"):  # what float32 cannot hold is infinite, and refused as that
        return x_nd.astype(float_dtype(dtype, X.dtype), copy=False)
