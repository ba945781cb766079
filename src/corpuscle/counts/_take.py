"""Scattered cells of a source that is read in row ranges: each range is read once, whatever the order asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
import scipy.sparse as sp

__all__ = ["take_rows"]

Array = np.ndarray[Any, Any]
#: Rows that are read at once although they are not stored together.
MOST_AT_ONCE = 256
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
    parts: list[Any] = []
    for group in _groups(ascending, step):
        first, last = int(group[0]), int(group[-1])
        parts.append(read(first, last + 1)[group - first])
    back = np.argsort(order)
    if sp.issparse(parts[0]):
        stacked = parts[0] if len(parts) == 1 else sp.vstack(parts, format="csr")
    else:
        stacked = parts[0] if len(parts) == 1 else np.concatenate(parts)
    return stacked if (back[:-1] < back[1:]).all() else stacked[back]


def _groups(ascending: Array, step: int) -> Iterator[Array]:
    """Rows that are stored together; of small steps, neighbours that are both wanted are read at once."""
    band = ascending // step
    starts = [0, *(np.flatnonzero(np.diff(band)) + 1).tolist(), ascending.size]
    begin = 0
    for place, after in pairwise(starts[1:]):
        apart = band[place] - band[place - 1] > 1
        if apart or ascending[after - 1] - ascending[begin] >= max(step, MOST_AT_ONCE):
            yield ascending[begin:place]
            begin = place
    yield ascending[begin:]
