"""Solvers of the system: block conjugate gradients for many cells, a sparse factorisation for few."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import scipy.sparse as sp

from corpuscle.annotate._system import System
from corpuscle.counts._threads import n_threads
from corpuscle.errors import MethodError, OptionError

__all__ = ["AUTO_CELLS", "DIRECT_CELLS", "SOLVERS", "conjugate_gradients", "factorisation"]

Array = np.ndarray[Any, Any]
SOLVERS = ("auto", "pcg", "direct")
#: Up to so many cells "auto" factorises: exact, and as fast.
AUTO_CELLS = 2_000
#: More are not factorised: the factors of a graph of 20,000 cells have 20 times its entries, and grow faster than it.
DIRECT_CELLS = 20_000
#: Pieces that each thread's share of the rows is cut into, so that a thread that is held up holds up less.
PIECES = 4
#: Single precision serves as long as smoothing does not outweigh fidelity by more than this.
FLOAT32_STIFFNESS = 1e3
FLOAT32_TOL = 1e-6
Spread = Callable[..., None]


@dataclass(frozen=True)
class Solved:
    """Values of one solver, (n, K), and how it went."""

    values_nk: Array
    iterations: int
    residual: float
    converged: bool


def conjugate_gradients(system: System, values_nk: Array, tol: float, max_iter: int, chunk: int) -> Solved:
    """Preconditioned conjugate gradients, each type with steps of its own, ``chunk`` types at a time.

    Solved is for the differences to the mean of each component, which the system leaves as it is, and a last correction
    takes the mean out of the residual. So constants added to a column change nothing but that constant, totals are kept
    to rounding, and strong smoothing, which ends at the means, is the easy case. A type is done when ``||r|| <= tol ||b||``,
    with b its right-hand side without the means, which is the stricter choice.

    Parameters
    ----------
    system
        What is solved.
    values_nk
        (n, K) scores, float32 or float64; the result is of the same type.
    tol, max_iter
        Where to stop.
    chunk
        Types held in memory at a time, four numbers a cell each. The result is the same for every choice.
    """
    n, n_types = values_nk.shape
    stiffness = system.lam * float(system.graph.degree_n.max())
    wide = values_nk.dtype == np.float64 or tol < FLOAT32_TOL or stiffness > FLOAT32_STIFFNESS
    operator = _Operator(system, np.dtype(np.float64 if wide else np.float32))
    out_nk = np.empty((n, n_types), values_nk.dtype)
    values_nk = np.ascontiguousarray(values_nk)
    iterations, worst = 0, 0.0
    with _spreading(n) as spread:
        for column in range(0, n_types, chunk):
            width = min(chunk, n_types - column)
            took, residual = _solve_columns(operator, values_nk, column, width, tol, max_iter, spread, out_nk)
            iterations, worst = max(iterations, took), max(worst, residual)
    return Solved(out_nk, iterations, worst, worst <= tol)


class _Operator:
    """A system as arrays of the precision that is computed in."""

    def __init__(self, system: System, dtype: np.dtype[Any]) -> None:
        weights_nn = system.graph.weights_nn
        self.system = system
        self.dtype = dtype
        self.edges = (weights_nn.indptr, weights_nn.indices, weights_nn.data, dtype.type(system.lam))
        self.diagonal_n = system.diagonal_n.astype(dtype)
        self.inverse_n = (1 / system.diagonal_n).astype(dtype)
        self.norm_n = (1 / system.scale_n**2).astype(dtype)

    def component_sums(self, values_nk: Array, column: int, width: int, weight_n: Array) -> Array:
        from corpuscle.annotate import _kernel

        sum_cm = np.zeros((self.system.graph.n_components, width))
        _kernel.component_sums(values_nk, column, self.system.graph.component_n, weight_n, sum_cm)
        return sum_cm


def _solve_columns(
    operator: _Operator,
    values_nk: Array,
    column: int,
    width: int,
    tol: float,
    max_iter: int,
    spread: Spread,
    out_nk: Array,
) -> tuple[int, float]:
    """Solve ``width`` columns from ``column`` on into ``out_nk``; iterations, and the worst relative residual."""
    from corpuscle.annotate import _kernel

    system, graph = operator.system, operator.system.graph
    n = graph.n_cells
    fidelity_cm = np.bincount(graph.component_n, weights=system.fidelity_n)[:, None]
    mean_cm = operator.component_sums(values_nk, column, width, system.fidelity_n / system.scale_n) / fidelity_cm
    unit_m = _units(values_nk[:, column : column + width])
    x_nm, r_nm, p_nm, ap_nm = (np.zeros((n, width), operator.dtype) for _ in range(4))
    sums = _Sums(n, width)
    rz_m, rr_m, bb_m = sums(
        3, lambda first, last, *sum_bm: _kernel.begin(
            first, last, values_nk, column, graph.component_n, mean_cm, unit_m, system.scale_n, system.fidelity_n,
            operator.inverse_n, operator.norm_n, r_nm, p_nm, *sum_bm,
        ), spread,
    )  # fmt: skip
    # What is left of a constant column is rounding: nothing to solve.
    floor_m = 4 * np.finfo(operator.dtype).eps * np.sqrt(bb_m)
    target_m = np.maximum(tol * np.sqrt(rr_m), floor_m)
    norm_m = np.where(target_m > 0, target_m / tol, 1.0)
    active_m = np.sqrt(rr_m) > target_m
    iterations = 0
    while active_m.any() and iterations < max_iter:
        iterations += 1
        (pap_m,) = sums(
            1, lambda first, last, *sum_bm: _kernel.multiply(
                first, last, *operator.edges, operator.diagonal_n, p_nm, ap_nm, *sum_bm
            ), spread,
        )  # fmt: skip
        active_m &= pap_m > 0
        step_m = np.divide(rz_m, pap_m, out=np.zeros(width), where=active_m).astype(operator.dtype)
        next_rz_m, rr_m = sums(
            2, lambda first, last, *sum_bm, step_m=step_m: _kernel.descend(
                first, last, step_m, operator.inverse_n, operator.norm_n, p_nm, ap_nm, x_nm, r_nm, *sum_bm
            ), spread,
        )  # fmt: skip
        active_m &= np.sqrt(rr_m) > target_m
        ratio_m = np.divide(next_rz_m, rz_m, out=np.zeros(width), where=active_m).astype(operator.dtype)
        rz_m = next_rz_m
        if active_m.any():
            spread(
                lambda first, last, ratio_m=ratio_m: _kernel.turn(first, last, ratio_m, operator.inverse_n, r_nm, p_nm)
            )
    mean_cm += unit_m * operator.component_sums(r_nm, 0, width, np.ones(n)) / fidelity_cm
    spread(
        lambda first, last: _kernel.finish(
            first, last, x_nm, column, graph.component_n, mean_cm, unit_m, system.scale_n, out_nk
        )
    )
    residual = float((np.sqrt(rr_m) / norm_m).max())
    return iterations, residual if np.isfinite(residual) else np.inf


def _units(values_nm: Array) -> Array:
    """(m,) power of two near the largest value of each column, so that no square is beyond what a number can hold."""
    largest_m = np.maximum(values_nm.max(axis=0), -values_nm.min(axis=0)).astype(np.float64)
    unit_m: Array = np.ldexp(1.0, np.clip(np.frexp(largest_m)[1], -1000, 1000))
    return unit_m


class _Sums:
    """Kernels that sum: they fill one (n_blocks, m) table for each sum, which is then added up."""

    def __init__(self, n: int, width: int) -> None:
        from corpuscle.annotate import _kernel

        self._shape = (_n_blocks(n), width)
        self._add = _kernel.add_blocks

    def __call__(self, count: int, kernel: Callable[..., None], spread: Spread) -> list[Array]:
        sum_bm = [np.zeros(self._shape) for _ in range(count)]
        spread(lambda first, last: kernel(first, last, *sum_bm))
        return [self._add(one) for one in sum_bm]


def _n_blocks(n: int) -> int:
    from corpuscle.annotate import _kernel

    return -(-n // _kernel.BLOCK)


@contextmanager
def _spreading(n: int) -> Iterator[Spread]:
    """Give a function that calls a kernel for all blocks of rows, on the threads that this caller may use."""
    n_blocks, threads = _n_blocks(n), n_threads()
    edges = np.unique(np.linspace(0, n_blocks, min(threads * PIECES, n_blocks) + 1).astype(int)).tolist()
    if threads == 1 or len(edges) <= 2:
        yield lambda kernel: kernel(0, n_blocks)
        return
    with ThreadPoolExecutor(threads) as pool:

        def spread(kernel: Callable[[int, int], None]) -> None:
            for done in [pool.submit(kernel, *piece) for piece in pairwise(edges)]:
                done.result()

        yield spread


def factorisation(system: System, values_nk: Array, tol: float) -> Solved:
    """Sparse LU in float64: exact to rounding, for some thousands of cells.

    Raises
    ------
    OptionError
        There are more cells than can sensibly be factorised.
    """
    from scipy.sparse.linalg import splu

    n = len(values_nk)
    if n > DIRECT_CELLS:
        raise OptionError(
            f"solver='direct' would fill the factors of {n:,} cells (more than 20 times the {system.graph.weights_nn.nnz:,} "
            f"weights of the graph, growing faster than it); it goes up to {DIRECT_CELLS:,} cells: use solver='pcg'"
        )
    matrix_nn = sp.diags_array(system.diagonal_n) - system.lam * system.graph.weights_nn.astype(np.float64)
    scale_n1 = system.scale_n[:, None]
    right_nk = system.fidelity_n[:, None] / scale_n1 * values_nk
    try:
        factors = splu(
            sp.csc_matrix(matrix_nn), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
        )
    except RuntimeError:
        raise MethodError("the system is singular in double precision; use a smaller lam or larger weights") from None
    solved_nk = factors.solve(np.ascontiguousarray(right_nk, dtype=np.float64))
    left_nk = (right_nk - matrix_nn @ solved_nk) / scale_n1
    norm_k = np.linalg.norm(right_nk / scale_n1, axis=0)
    residual = float((np.linalg.norm(left_nk, axis=0) / np.where(norm_k > 0, norm_k, 1.0)).max())
    return Solved((scale_n1 * solved_nk).astype(values_nk.dtype), 0, residual, residual <= tol)
