"""Observed, centred values under a mask by clusters: sparse as the matrix, plus a rank of the clusters."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from corpuscle.reduce._block_mask import BlockMask
from corpuscle.reduce._values_checks import as_float_csr, refuse_value
from corpuscle.reduce._values_masks import check_mask_shape
from corpuscle.reduce._values_sparse import SparseValues

__all__ = ["BlockValues", "block_values"]


class BlockValues(SparseValues):
    """W where non-zeros are observed and zeros are so by a table of clusters x columns.

    The missing entries are never listed: what is stored is the non-zeros of X, and the background has a row for
    each cluster.
    """


def block_values(X: Any, mask: BlockMask, dtype: npt.DTypeLike | None) -> BlockValues:
    """Values of a sparse matrix under a block mask, not yet centred, with every column.

    Raises
    ------
    InputError
        The mask is of another shape; a stored value is NaN or infinite.
    """
    check_mask_shape(mask, X.shape)
    x_nd = as_float_csr(X, dtype)
    bad_z = ~np.isfinite(x_nd.data)
    if bad_z.any():
        at = int(np.argmax(bad_z))
        row = int(np.searchsorted(x_nd.indptr, at, side="right")) - 1
        refuse_value(float(x_nd.data[at]), row, int(x_nd.indices[at]), int(bad_z.sum()))
    if not x_nd.data.all():
        x_nd = x_nd.copy()
        x_nd.eliminate_zeros()
    d = x_nd.shape[1]
    return BlockValues(x_nd, mask.labels_n, mask.table_cd, np.zeros(d), np.arange(d), d)
