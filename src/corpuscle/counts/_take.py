"""Scattered cells of a source that is read in row ranges: each range is read once, whatever the order asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import scipy.sparse as sp

__all__ = ["take_rows"]

Array = np.ndarray[Any, Any]
Rows = TypeVar("Rows", Array, sp.csr_matrix)


def take_rows(read: Callable[[int, int], Rows], index: Array, step: int) -> Rows:
    """Rows at ``index``, in that order.

    Parameters
    ----------
    read
        Gives rows ``start`` to ``stop``, dense or CSR.
    index
        (k,) positions; any order, repeats allowed; at least one.
    step
        Rows that are stored together: those asked for are grouped by it, and of a group only the span is read.
    """
    if index[-1] - index[0] == index.size - 1 and (np.diff(index) == 1).all():
        return read(int(index[0]), int(index[-1]) + 1)
    order = np.argsort(index, kind="stable")
    ascending = index[order]
    ends = np.flatnonzero(np.diff(ascending // step)) + 1
    parts: list[Any] = []
    for group in np.split(ascending, ends):
        first, last = int(group[0]), int(group[-1])
        parts.append(read(first, last + 1)[group - first])
    back = np.argsort(order)
    if sp.issparse(parts[0]):
        stacked = parts[0] if len(parts) == 1 else sp.vstack(parts, format="csr")
    else:
        stacked = parts[0] if len(parts) == 1 else np.concatenate(parts)
    return stacked if (back[:-1] < back[1:]).all() else stacked[back]
