"""What a user may say of missing entries, brought to the forms that the estimators take."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from corpuscle.errors import OptionError, SourceError
from corpuscle.reduce._block_mask import BlockMask
from corpuscle.reduce._values_masks import Missing, dense_observed, missing_pattern, observed_pattern
from corpuscle.reduce.dropout import ALL_ZEROS, dropout_mask, non_negative

__all__ = ["MARKS", "Masked", "masked", "read_mask"]

#: What a 1 in a mask can mean.
MARKS = ("observed", "missing")
#: Share of zeros above which a mask that is exactly the zeros is taken for what it is.
MANY_ZEROS = 0.1


@dataclass(frozen=True)
class Masked:
    """Values and mask as :meth:`corpuscle.reduce.UnbiasedPCA.fit` takes them.

    Attributes
    ----------
    x_nd
        CSR, or a dense array in which NaN is missing if ``mask`` is None.
    mask
        None, a boolean array of what is observed, ``Missing`` or a ``BlockMask``.
    missing_n
        Missing entries of each cell.
    kind
        How the mask was given, for the record.
    words
        What should be known of it.
    """

    x_nd: Any
    mask: Any
    missing_n: npt.NDArray[np.int64]
    kind: str
    words: tuple[str, ...] = ()

    @property
    def observed_share_n(self) -> npt.NDArray[np.float64]:
        """Observed share of each cell's entries."""
        return np.asarray(1 - self.missing_n / max(self.x_nd.shape[1], 1), dtype=np.float64)

    @property
    def n_missing(self) -> int:
        """Missing entries in all."""
        return int(self.missing_n.sum())


def masked(
    x_nd: Any, mask: Any = None, *, marks: str = "observed", kind: str = "", dropout: Mapping[str, Any] | None = None
) -> Masked:
    """Bring values and mask together.

    Parameters
    ----------
    x_nd
        Dense or sparse, (n, d). NaN is missing where no mask is given.
    mask
        None or ``"nan"``, ``"consensus"`` (dropouts by :func:`~corpuscle.reduce.dropout_mask`), ``"zeros"`` (all of them), an
        array or sparse matrix of zeros and ones, a ``BlockMask`` or a ``Missing``.
    marks
        ``"observed"`` or ``"missing"``: what a one in an array or sparse matrix means.
    kind
        What to call a mask that is given as a matrix.
    dropout
        Options of the consensus.

    Raises
    ------
    OptionError
        The mask is none of these, of another shape, or not of zeros and ones.
    SourceError
        The consensus meets values that are no counts.
    """
    if marks not in MARKS:
        raise OptionError(f"marks={marks!r}: what a 1 in the mask means is observed or missing")
    if dropout and not (isinstance(mask, str) and mask == "consensus"):
        raise OptionError('options of the dropout mask were given, and the mask is not "consensus"')
    x_nd = x_nd.tocsr() if sparse.issparse(x_nd) else np.asarray(x_nd)
    if len(x_nd.shape) != 2:
        raise SourceError(f"values have {len(x_nd.shape)} axes; give a matrix, cells x genes")
    if mask is None or (isinstance(mask, str) and mask == "nan"):
        found = _of_nan(x_nd)
        if not found.n_missing and mask is None and sparse.issparse(x_nd):
            raise OptionError(
                'nothing says what is missing in this sparse matrix: give mask="consensus" for dropouts, the name of a layer or a '
                'matrix, or mask="nan" to take every value as it is'
            )
        if not found.n_missing:
            warnings.warn("nothing is missing, so this is ordinary principal components", UserWarning, stacklevel=3)
        return found
    if isinstance(mask, str):
        mask, kind = _by_name(x_nd, mask, dropout or {}), mask
        if mask.words and kind == "zeros":
            warnings.warn(ALL_ZEROS, UserWarning, stacklevel=3)
    if isinstance(mask, BlockMask):
        values_nd = non_negative(x_nd)
        return Masked(values_nd, mask, mask.missing_by_cell(values_nd), kind or "block mask", mask.words)
    return _of_matrix(x_nd, mask, marks, kind or "given")


def _of_nan(x_nd: Any) -> Masked:
    """NaN as missing; of a sparse matrix, its stored NaN."""
    if not sparse.issparse(x_nd):
        nan_nd = np.isnan(x_nd) if np.issubdtype(x_nd.dtype, np.floating) else np.zeros(x_nd.shape, np.bool_)
        return Masked(x_nd, None, nan_nd.sum(axis=1, dtype=np.int64), "nan")
    nan_z = np.isnan(x_nd.data) if np.issubdtype(x_nd.dtype, np.floating) else np.zeros(x_nd.nnz, np.bool_)
    missing_nd = _some_of(x_nd, nan_z, np.ones(int(nan_z.sum()), np.int8))
    values_nd = _some_of(x_nd, ~nan_z, x_nd.data[~nan_z]) if nan_z.any() else x_nd
    return Masked(values_nd, Missing(missing_nd), np.diff(missing_nd.indptr).astype(np.int64), "nan")


def _some_of(x_nd: Any, kept_z: npt.NDArray[np.bool_], value_z: npt.NDArray[Any]) -> sparse.csr_matrix:
    """CSR of the kept places of another."""
    ends = np.concatenate([[0], np.cumsum(kept_z)])[x_nd.indptr]
    return sparse.csr_matrix((value_z, x_nd.indices[kept_z], ends), shape=x_nd.shape)


def _by_name(x_nd: Any, name: str, dropout: Mapping[str, Any]) -> BlockMask:
    if name == "consensus":
        return dropout_mask(x_nd, **dropout)
    if name == "zeros":
        n, d = x_nd.shape
        return BlockMask(np.zeros(n, np.int64), np.zeros((1, d), np.bool_), words=(ALL_ZEROS,))
    raise OptionError(f"mask={name!r}: nan, consensus, zeros, the name of a layer, or a matrix of zeros and ones")


def _of_matrix(x_nd: Any, mask: Any, marks: str, kind: str) -> Masked:
    if isinstance(mask, Missing):
        made: Any = mask
    elif sparse.issparse(mask):
        made = Missing(mask) if marks == "missing" else mask
    else:
        observed_nd = dense_observed(np.asarray(mask), x_nd.shape)
        made = ~observed_nd if marks == "missing" else observed_nd
    missing_n = _missing_by_cell(made, x_nd.shape)
    words = (ALL_ZEROS,) if _is_all_zeros(x_nd, made, int(missing_n.sum())) else ()
    for line in words:
        warnings.warn(line, UserWarning, stacklevel=4)
    return Masked(x_nd, made, missing_n, kind, words)


def _missing_by_cell(mask: Any, shape: tuple[int, int]) -> npt.NDArray[np.int64]:
    if isinstance(mask, Missing):
        missing_n = np.diff(missing_pattern(mask, shape).indptr)
    elif sparse.issparse(mask):
        missing_n = shape[1] - np.diff(observed_pattern(mask, shape).indptr)
    else:
        missing_n = shape[1] - mask.sum(axis=1)
    return np.asarray(missing_n, dtype=np.int64)


def _is_all_zeros(x_nd: Any, mask: Any, n_missing: int) -> bool:
    """Whether exactly the zeros of a sparse matrix are called missing."""
    if not sparse.issparse(x_nd):
        return False
    n_entries = x_nd.shape[0] * x_nd.shape[1]
    n_zeros = n_entries - int(np.count_nonzero(x_nd.data))
    if n_missing != n_zeros or n_zeros < MANY_ZEROS * n_entries:
        return False
    non_zero_nd = sparse.csr_matrix(x_nd != 0)
    marked = mask.matrix if isinstance(mask, Missing) else mask
    hit = int(non_zero_nd.multiply(marked).sum())
    return hit == (0 if isinstance(mask, Missing) else non_zero_nd.nnz)


def read_mask(path: Path) -> Any:
    """A mask from a file: ``.npy`` (an array), ``.npz`` (a sparse matrix as SciPy saves it) or ``.mtx``.

    Raises
    ------
    SourceError
        There is no such file, or it holds no such matrix. Nothing in it is unpickled.
    """
    if not path.is_file():
        raise SourceError(f"{path}: there is no such file; give a mask as .npy, .npz or .mtx")
    try:
        if path.suffix == ".npy":
            return np.load(path, allow_pickle=False)
        if path.suffix == ".npz":
            return sparse.load_npz(path)
        if path.suffix == ".mtx":
            from scipy.io import mmread

            return sparse.csr_matrix(mmread(path))
    except (OSError, ValueError, KeyError, EOFError) as error:
        reason = " ".join(str(error).split())[:200]
        raise SourceError(
            f"{path}: cannot be read as a mask ({reason}); give .npy, or .npz as SciPy saves it"
        ) from None
    raise SourceError(f"{path}: a mask is read from .npy, .npz (a sparse matrix as SciPy saves it) or .mtx")
