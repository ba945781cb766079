"""Spreading of scores over a graph: label spreading to its limit, and cut short with self-loops."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import scipy.sparse as sp

from corpuscle.annotate._graph import as_graph
from corpuscle.annotate.scores import checked_values
from corpuscle.errors import OptionError, SourceError

__all__ = ["label_spreading", "propagate", "softmax_rows"]

Array = np.ndarray[Any, Any]


def label_spreading(
    values_nk: Any, graph: Any, *, alpha: float = 0.5, tol: float = 1e-6, max_iter: int = 1000
) -> Array:
    """Spread scores over the graph by iteration: ``F <- alpha S F + (1 - alpha) P0``, ``S = D^-1/2 W D^-1/2``.

    Parameters
    ----------
    values_nk
        (n, K) scores P0 of any kind.
    graph
        (n, n) weights W.
    alpha
        Share of the neighbours, 0 to below 1.
    tol
        Error that is left, as a share of the largest score.
    max_iter
        Iterations at most; a warning says so if they did not suffice.

    Returns
    -------
    ndarray
        (n, K), of the dtype of the scores. An isolated cell keeps its scores.

    Notes
    -----
    The limit is that of :func:`~corpuscle.annotate.refine.refine` with ``laplacian="symmetric"`` and
    ``lam = alpha / (1 - alpha)``. Source: Zhou et al. 2004, NIPS 16.
    """
    values_nk = checked_values(values_nk)
    graph = as_graph(graph, len(values_nk))
    if not 0 <= alpha < 1:
        raise OptionError(f"alpha {alpha} must be 0 or more, and less than 1")
    if alpha == 0:
        return values_nk.copy()
    spread_nn = _normalised(graph.weights_nn, values_nk.dtype)
    own_nk = (1 - alpha) * values_nk
    own_nk[graph.isolated_n] = values_nk[graph.isolated_n]
    # One more step shrinks what is left by alpha, so all that is to come is alpha / (1 - alpha) times the last one.
    enough = tol * np.abs(values_nk).max() * (1 - alpha) / alpha
    now_nk, step = values_nk, np.inf
    for _ in range(max_iter):
        next_nk = spread_nn @ now_nk
        next_nk *= alpha
        next_nk += own_nk
        step = float(np.abs(next_nk - now_nk).max())
        now_nk = next_nk
        if step <= enough:
            return now_nk
    warnings.warn(
        f"label spreading had not settled after {max_iter} iterations: the last step was {step:.2g}, {enough:.2g} was "
        "asked for; raise max_iter or lower alpha",
        UserWarning,
        stacklevel=2,
    )
    return now_nk


def propagate(values_nk: Any, graph: Any, *, alpha: float = 0.2, n_iter: int = 3, softmax: bool = True) -> Array:
    """Spread probabilities a few steps over the graph with self-loops, rows summing to 1 after each.

    Parameters
    ----------
    values_nk
        (n, K) scores.
    graph
        (n, n) weights; every cell gets a loop of weight 1.
    alpha
        Share of the neighbours in each step, 0 to 1.
    n_iter
        Steps.
    softmax
        Take the softmax of the scores first; False for scores that are not negative and have a positive sum.

    Returns
    -------
    ndarray
        (n, K), rows sum to 1.

    Raises
    ------
    SourceError
        Without softmax, a negative score or a row without a positive one.

    Notes
    -----
    Label spreading cut short, in the setting of the package HECTOR with all cells taken.
    """
    values_nk = checked_values(values_nk)
    graph = as_graph(graph, len(values_nk))
    if not 0 <= alpha <= 1 or n_iter < 0:
        raise OptionError(f"alpha {alpha} must be between 0 and 1, and n_iter {n_iter} 0 or more")
    if softmax:
        start_nk = softmax_rows(values_nk)
    else:
        bad_n = (values_nk < 0).any(axis=1) | (values_nk.sum(axis=1) <= 0)
        if bad_n.any():
            raise SourceError(
                f"scores of cell {int(bad_n.argmax())} are negative or all zero ({int(bad_n.sum()):,} cells); use softmax"
            )
        start_nk = values_nk / values_nk.sum(axis=1, keepdims=True)
    loops_nn = sp.eye_array(len(values_nk), dtype=values_nk.dtype, format="csr")
    spread_nn = _normalised(sp.csr_array(graph.weights_nn) + loops_nn, values_nk.dtype)
    now_nk = start_nk
    for _ in range(n_iter):
        now_nk = (1 - alpha) * start_nk + alpha * (spread_nn @ now_nk)
        now_nk /= now_nk.sum(axis=1, keepdims=True)
    return now_nk


def _normalised(weights_nn: Any, dtype: Any) -> sp.csr_matrix:
    """``D^-1/2 W D^-1/2``; rows of cells without an edge are empty."""
    weights_nn = sp.csr_matrix(weights_nn)
    degree_n = np.asarray(weights_nn.sum(axis=1, dtype=np.float64)).ravel()
    root_n = np.zeros_like(degree_n)
    np.divide(1.0, np.sqrt(degree_n), out=root_n, where=degree_n > 0)
    data = weights_nn.data * np.repeat(root_n, np.diff(weights_nn.indptr)) * root_n[weights_nn.indices]
    return sp.csr_matrix((data.astype(dtype), weights_nn.indices, weights_nn.indptr), shape=weights_nn.shape)


def softmax_rows(values_nk: Array) -> Array:
    """Softmax of each row, (n, K)."""
    p_nk = np.exp(values_nk - values_nk.max(axis=1, keepdims=True))
    p_nk /= p_nk.sum(axis=1, keepdims=True)
    return p_nk
