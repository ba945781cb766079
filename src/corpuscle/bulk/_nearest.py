"""Nearest unit vectors by cosine, exactly, in pieces: queries x collection is never a whole matrix."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["nearest", "unit_rows"]

Array = np.ndarray[Any, Any]
#: Queries and samples multiplied at a time: 64 MiB of float32.
QUERIES, SAMPLES = 256, 65_536


def unit_rows(z_nd: Array) -> Array:
    """Rows of length 1, float32; a row of zeros stays one, and is like nothing."""
    z_nd = np.asarray(z_nd, np.float64)
    length_n = np.linalg.norm(z_nd, axis=1, keepdims=True)
    return (z_nd / np.where(length_n > 0, length_n, 1.0)).astype(np.float32)


def nearest(
    query_qd: Array, unit_nd: Array, k: int, *, group_q: Array | None, group_n: Array, self_q: Array
) -> tuple[Array, Array]:
    """The k samples most like each query.

    Parameters
    ----------
    query_qd, unit_nd
        Queries and samples as unit vectors, float32.
    k
        Neighbours wanted.
    group_q, group_n
        Groups; a sample of the query's group is not its neighbour. ``group_q`` None: all may be.
    self_q
        Place of the query among the samples, which is not its own neighbour; -1 if it is not there.

    Returns
    -------
    place_qk, cosine_qk
        (q, k) places of the samples, most alike first and on ties the first sample first; -1 and NaN where fewer are
        left.
    """
    n_queries = len(query_qd)
    place_qk, cosine_qk = np.full((n_queries, k), -1, np.int64), np.full((n_queries, k), np.nan, np.float32)
    for start in range(0, n_queries, QUERIES):
        part = slice(start, start + QUERIES)
        groups = None if group_q is None else group_q[part]
        place_qk[part], cosine_qk[part] = _of_queries(query_qd[part], unit_nd, k, groups, group_n, self_q[part])
    return place_qk, cosine_qk


def _of_queries(
    query_qd: Array, unit_nd: Array, k: int, group_q: Array | None, group_n: Array, self_q: Array
) -> tuple[Array, Array]:
    n_queries = len(query_qd)
    best = np.full((n_queries, k), -np.inf, np.float32)
    place = np.full((n_queries, k), -1, np.int64)
    for start in range(0, len(unit_nd), SAMPLES):
        stop = min(start + SAMPLES, len(unit_nd))
        cosine = query_qd @ unit_nd[start:stop].T
        if group_q is not None:
            cosine[group_q[:, None] == group_n[None, start:stop]] = -np.inf
        here = np.flatnonzero((self_q >= start) & (self_q < stop))
        cosine[here, self_q[here] - start] = -np.inf
        if cosine.shape[1] > k:
            top = np.argpartition(-cosine, k - 1, axis=1)[:, :k]
        else:
            top = np.broadcast_to(np.arange(cosine.shape[1]), cosine.shape)
        both = np.concatenate([best, np.take_along_axis(cosine, top, axis=1)], axis=1)
        places = np.concatenate([place, top + start], axis=1)
        order = np.lexsort((places, -both), axis=1)[:, :k]
        best, place = np.take_along_axis(both, order, axis=1), np.take_along_axis(places, order, axis=1)
    left = np.isfinite(best)
    return np.where(left, place, -1), np.where(left, best, np.float32(np.nan))
