"""Scores of cells smoothed along their neighbour graph: the exact published method, on arrays.

With P0 the scores, W the weights of the graph, D its degrees and L = D - W, the refined scores are

    argmin_P  || P - P0 ||^2  +  lam tr(P^T L P)  =  (I + lam L)^-1 P0.

Source: Hu et al. 2025, arXiv 2508.04747 (GRIT).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from corpuscle.annotate._graph import as_graph
from corpuscle.annotate._solve import AUTO_CELLS, SOLVERS, Solved, conjugate_gradients, factorisation
from corpuscle.annotate._system import LAPLACIANS, System, make_system
from corpuscle.annotate.scores import Scores, checked_values
from corpuscle.errors import OptionError

__all__ = ["LAPLACIANS", "SOLVERS", "Solution", "refine", "solve"]

Array = np.ndarray[Any, Any]
#: Row sums count as equal up to this, relative to their size: the rounding of single precision.
EQUAL_SUMS = 1e-5


@dataclass(frozen=True)
class Solution:
    """Refined scores, and how they were found.

    Attributes
    ----------
    values_nk
        (n, K) refined scores.
    iterations
        Of the type that took most; 0 for a factorisation.
    residual
        Largest residual of any type, relative to its right-hand side.
    converged
        Whether it is within the tolerance.
    solver
        The one that was used.
    """

    values_nk: Array
    iterations: int
    residual: float
    converged: bool
    solver: str


def refine(
    scores: Any,
    graph: Any,
    *,
    lam: float = 1.0,
    laplacian: str = "unnormalized",
    weights: Any = None,
    solver: str = "auto",
    tol: float = 1e-4,
    max_iter: int = 1000,
    chunk: int = 32,
) -> Array:
    """Smooth the scores of cells along their neighbour graph.

    Parameters
    ----------
    scores
        (n, K) scores, one column a type: array, DataFrame, sparse matrix or :class:`~corpuscle.annotate.scores.Scores`.
    graph
        (n, n) symmetric weights >= 0 of the same cells in the same order, such as ``obsp["connectivities"]``.
    lam
        Strength of smoothing, >= 0. What counts is ``lam`` times the degree of a cell, so one value means different
        things on graphs of different weights. 0 returns the scores bit for bit; infinity would give each connected
        component one answer.
    laplacian
        ``"unnormalized"``: L = D - W; keeps row sums that are equal, and the total of each type in a component.
        ``"random_walk"``: I - D^-1 W; keeps row sums, and totals weighted by degree.
        ``"symmetric"``: I - D^-1/2 W D^-1/2; keeps neither, and equals label spreading with alpha = lam / (1 + lam).
    weights
        (n,) fidelity c >= 0 of each cell to its own scores, 1 where not given: (C + lam L) P = C P0. A cell of weight
        0 takes everything from its neighbours; one of a very large weight keeps its scores.
    solver
        ``"pcg"``, ``"direct"`` (sparse LU, up to 20,000 cells), or ``"auto"``: direct up to 2,000 cells.
    tol, max_iter
        Conjugate gradients stop when the residual of every type is at most ``tol`` of its right-hand side.
    chunk
        Types solved at a time; for memory only, the result is the same.

    Returns
    -------
    ndarray
        (n, K) refined scores, float64 if the scores were, else float32. The best of a row names the cell.

    Raises
    ------
    SourceError
        A score is NaN or infinite, or the graph is of other cells or has weights that are none.
    OptionError
        An option does not exist or makes no sense.
    MethodError
        A connected component has no cell of weight above 0, so it has no answer.

    Warns
    -----
    UserWarning
        The tolerance was not reached; the line has the residual.

    Notes
    -----
    Sources: Hu et al. 2025, arXiv 2508.04747; the ``symmetric`` form: Zhou et al. 2004, Learning with local and global
    consistency. Memory beyond scores, graph and result: four arrays of n x ``chunk``.

    Examples
    --------
    Three cells in a row, of which the first has a score:

    >>> import numpy as np, scipy.sparse as sp
    >>> path = sp.csr_matrix([[0.0, 1, 0], [1, 0, 1], [0, 1, 0]])
    >>> refine(np.array([[1.0], [0], [0]]), path).ravel().round(3).tolist()
    [0.625, 0.25, 0.125]
    """
    return solve(
        scores,
        graph,
        lam=lam,
        laplacian=laplacian,
        weights=weights,
        solver=solver,
        tol=tol,
        max_iter=max_iter,
        chunk=chunk,
    ).values_nk


def solve(
    scores: Any,
    graph: Any,
    *,
    lam: float = 1.0,
    laplacian: str = "unnormalized",
    weights: Any = None,
    solver: str = "auto",
    tol: float = 1e-4,
    max_iter: int = 1000,
    chunk: int = 32,
) -> Solution:
    """Do what :func:`refine` does, and say how it went.

    Parameters, errors and warnings are those of :func:`refine`.
    """
    _check_options(lam, solver, tol, max_iter, chunk)
    values_nk = _values(scores)
    checked = as_graph(graph, len(values_nk))
    system = make_system(checked, float(lam), laplacian, weights)
    if lam == 0:
        return Solution(values_nk.copy(), 0, 0.0, True, "none")
    direct = solver == "direct" or (solver == "auto" and len(values_nk) <= AUTO_CELLS)
    solved: Solved
    if direct:
        solved = factorisation(system, values_nk, tol)
    else:
        solved = conjugate_gradients(system, values_nk, tol, int(max_iter), int(chunk))
    _close(system, values_nk, solved.values_nk)
    if not solved.converged:
        warnings.warn(
            f"refine: the residual is {solved.residual:.2g} of the right-hand side after {solved.iterations:,} iterations, "
            f"above tol={tol:g}; raise max_iter, or use float64 scores",
            UserWarning,
            stacklevel=3,
        )
    return Solution(
        solved.values_nk, solved.iterations, solved.residual, solved.converged, "direct" if direct else "pcg"
    )


def _check_options(lam: float, solver: str, tol: float, max_iter: int, chunk: int) -> None:
    if not (isinstance(lam, (int, float, np.number)) and 0 <= lam < np.inf):
        raise OptionError(f"lam={lam!r} is no strength of smoothing; give a number >= 0")
    if solver not in SOLVERS:
        raise OptionError(f"no solver is called {solver!r}; there are: {', '.join(SOLVERS)}")
    if not 0 < tol < 1:
        raise OptionError(f"tol={tol!r} is not between 0 and 1; 1e-4 changes no label that 1e-7 would give")
    if max_iter < 1 or chunk < 1:
        raise OptionError(f"max_iter={max_iter} and chunk={chunk} must be 1 or more")


def _values(scores: Any) -> Array:
    """Scores as a dense array of the type that the result will have."""
    given = scores.values_nk if isinstance(scores, Scores) else scores
    kind = getattr(given, "dtype", None)
    checked = checked_values(given.to_numpy() if hasattr(given, "to_numpy") else given)
    single = kind is not None and kind != np.float64
    return checked.astype(np.float32, copy=False) if single else checked


def _close(system: System, before_nk: Array, after_nk: Array) -> None:
    """Take off what the tolerance left of facts that hold exactly: isolated cells, range, and row sums that are all equal.

    Each refined row is a weighted mean of rows before, which bounds its values by those of their type.
    """
    if system.keeps_rows:
        sum_n = before_nk.sum(axis=1, dtype=np.float64)
        equal = np.ptp(sum_n) <= EQUAL_SUMS * np.abs(before_nk).max()
        if equal:
            missing_n = (sum_n - after_nk.sum(axis=1, dtype=np.float64)) / after_nk.shape[1]
            after_nk += missing_n.astype(after_nk.dtype)[:, None]
        least_k, most_k = before_nk.min(axis=0), before_nk.max(axis=0)
        np.clip(after_nk, least_k, most_k, out=after_nk)
        if equal and least_k.min() >= 0 and sum_n.min() > 0:
            after_nk *= (sum_n / after_nk.sum(axis=1, dtype=np.float64)).astype(after_nk.dtype)[:, None]
    alone_n = system.graph.isolated_n
    after_nk[alone_n] = before_nk[alone_n]
