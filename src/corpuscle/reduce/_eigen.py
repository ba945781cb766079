"""Leading eigenpairs of a corrected Gram matrix, and how many of them to keep.

The matrix is symmetric and usually indefinite, so the order is that of the algebraic values. The iterative solver is a
randomised block Krylov method (block Lanczos with full orthogonalisation and thick restarts): wide products with the
operator, few of them, and residuals that say when to stop.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import scipy.linalg
from scipy.sparse.linalg import LinearOperator

from corpuscle.errors import MethodError, OptionError
from corpuscle.reduce._components import cng, n_components_of
from corpuscle.reduce._eigen_basis import fresh, orthonormal, project
from corpuscle.reduce._eigen_scipy import by_arpack, by_lapack, finite
from corpuscle.seeds import stream

if TYPE_CHECKING:
    from corpuscle.reduce._operator import GramOperator

__all__ = ["SOLVERS", "cng", "leading", "n_components_of"]

Array = npt.NDArray[np.float64]
Progress = Callable[[int, float], None]

SOLVERS = ("auto", "randomized", "arpack", "dense")
#: Up to so many rows all eigenvalues are as quick as some.
_DENSE_ROWS = 1_000
#: Up to so many rows a dense matrix may be asked for.
_DENSE_LIMIT = 10_000
#: Bytes of the Krylov basis, unless the components asked for need more.
_BASIS_BYTES = 1 << 30
_MOST_PRODUCTS = 20_000
#: Vectors that a product is made with. Narrow blocks need fewer products in all, wide ones fewer passes over the matrix;
#: from 8 to 16 the total was least, dense with 5,000 rows and sparse with 20,000.
_WIDTH = 12
#: Times the tolerance at which rounded products have done what they can; the exact ones after them gain more than that.
_ROUNDED_TOL = 3.0
#: The last eigenvalue wanted as a share of the largest, below which rounded products are not used.
_ROUNDED_SPAN = 1e-3


def leading(
    operator: GramOperator | LinearOperator,
    k: int,
    *,
    solver: str = "auto",
    tol: float | None = None,
    random_state: int | None = 0,
    progress: Progress | None = None,
) -> tuple[Array, Array, dict[str, Any]]:
    """Leading eigenpairs by algebraic value.

    Parameters
    ----------
    operator
        Symmetric, n x n.
    k
        How many, from 1 to n.
    solver
        ``"randomized"``: block Krylov from a random start; ``"arpack"``: SciPy's Lanczos, a vector at a time; ``"dense"``:
        the matrix is formed and LAPACK asked, for at most 10,000 rows; ``"auto"``: dense where there are few rows or
        nearly all components are wanted, else randomized.
    tol
        Largest residual ``|G v - lambda v|`` relative to the largest eigenvalue in magnitude, at which the iteration stops.
        The error of an eigenvector is about that over the relative gap to the next eigenvalue. By default 1e-9, and 1e-6
        above 20,000 rows.
    random_state
        Seed of the random start; the same seed repeats the same numbers.
    progress
        Called after each round with the number of products so far and the largest relative residual.

    Returns
    -------
    values_k
        Eigenvalues, descending.
    vectors_nk
        Orthonormal eigenvectors; the entry of largest magnitude of each is positive.
    info
        ``solver``, ``n_products`` (vectors that the operator was applied to), ``residual`` (largest, relative),
        ``converged``, ``tol``.

    Raises
    ------
    OptionError
        If there is no such solver, or ``k`` is out of range.
    MethodError
        If the matrix is too large to be formed, or the numbers are not finite.

    Warns
    -----
    RuntimeWarning
        If the residuals did not fall below ``tol``.
    """
    n = operator.shape[0]
    if solver not in SOLVERS:
        raise OptionError(f"solver {solver!r}: choose one of {', '.join(SOLVERS)}")
    if not 1 <= k <= n:
        raise OptionError(f"{k} components of {n} rows: ask for 1 to {n}")
    tol = (1e-9 if n <= 20_000 else 1e-6) if tol is None else float(tol)
    if solver == "auto":
        solver = "dense" if n <= _DENSE_ROWS or (k > n // 4 and n <= _DENSE_LIMIT) else "randomized"
    elif solver != "dense" and k > n // 2:
        # A Krylov basis would have to be all of the space.
        solver = "dense"
    seed = 0 if random_state is None else int(random_state)
    if solver == "dense":
        if n > _DENSE_LIMIT:
            raise MethodError(
                f"solver 'dense' holds all pairs of {n:,} rows: more than {_DENSE_LIMIT:,}; choose 'randomized' or 'arpack'"
            )
        values_k, vectors_nk, info = by_lapack(operator, k)
    elif solver == "arpack":
        values_k, vectors_nk, info = by_arpack(operator, k, tol, seed)
    else:
        values_k, vectors_nk, info = _Krylov(operator, k, tol, seed, progress).run()
    order_k = np.argsort(-values_k, kind="stable")
    values_k, vectors_nk = values_k[order_k], np.ascontiguousarray(vectors_nk[:, order_k])
    info |= {"solver": solver, "tol": tol}
    if not info["converged"]:
        warnings.warn(
            f"the {solver} eigensolver stopped at a relative residual of {info['residual']:.1e} (asked: {tol:.1e}): the last "
            "components may be mixtures of their neighbours; ask for fewer components or a larger tol",
            RuntimeWarning,
            stacklevel=2,
        )
    return values_k, _signed(vectors_nk), info


def _signed(vectors_nk: Array) -> Array:
    largest_k = np.argmax(np.abs(vectors_nk), axis=0)
    sign_k = np.sign(vectors_nk[largest_k, np.arange(vectors_nk.shape[1])])
    return vectors_nk * np.where(sign_k == 0, 1.0, sign_k)


class _Krylov:
    """Block Lanczos: a growing orthonormal basis, the operator seen in it, and restarts from its best vectors.

    The products are projected on the whole basis until nothing of it is left in them, so the small matrix is the exact
    compression of the operator whatever was restarted or replaced. Where the operator has a rounded form, that builds the
    basis, and the leading vectors found in it are then multiplied exactly: their part of the small matrix is set right,
    what leads out of the basis goes on as the next block, and all that follows is exact.
    """

    def __init__(self, operator: LinearOperator, k: int, tol: float, seed: int, progress: Progress | None) -> None:
        self.exact, self.k, self.tol, self.progress = operator, k, tol, progress
        rounded = getattr(operator, "rounded", None)
        self.operator = (None if rounded is None else rounded()) or operator
        self.n = operator.shape[0]
        self.rng = stream(seed, "reduce", "eigen")
        self.width = min(_WIDTH, self.n)
        room = max(_BASIS_BYTES // (8 * self.n), 2 * k + 4 * self.width)
        self.most = int(min(self.n, room, max(12 * k, 600)))
        self.basis_nm = np.empty((self.n, self.most), order="F")
        self.small_mm = np.zeros((self.most, self.most))
        self.size = self.local = 0
        #: How the next block is led to: its coordinates of the product with the last columns of the basis.
        self.leads_wm = np.zeros((0, 0))
        self.products = 0

    def run(self) -> tuple[Array, Array, dict[str, Any]]:
        first = min(2 * self.k + self.width, self.most)
        new_nw, check, last = fresh(self.basis_nm[:, :0], self.width, self.rng), first, np.inf
        while True:
            new_nw = self._extend(new_nw)
            full = self.size + new_nw.shape[1] > self.most
            done = new_nw.shape[1] == 0
            if self.size < check and not full and not done:
                continue
            values_k, ritz_mk, residual = self._ritz()
            if self.operator is not self.exact and values_k[-1] < _ROUNDED_SPAN * self._scale(values_k):
                # The last of them are not far above the rounding of the first: exactly, from the start.
                self.operator, self.size, self.local = self.exact, 0, 0
                self.small_mm[:] = 0.0
                new_nw, check, last = fresh(self.basis_nm[:, :0], self.width, self.rng), first, np.inf
                continue
            ended = self.size >= self.n or self.products >= _MOST_PRODUCTS
            enough = self.tol if self.operator is self.exact else _ROUNDED_TOL * self.tol
            converged = residual <= enough and self.size >= self.k
            if (converged or ended) and self.operator is not self.exact:
                new_nw = self._set_right(ritz_mk, self._scale(values_k))
                values_k, ritz_mk, residual = self._ritz()
                full, done = self.size + new_nw.shape[1] > self.most, new_nw.shape[1] == 0
                converged = residual <= self.tol
            if converged or ended:
                vectors_nk = self.basis_nm[:, : self.size] @ ritz_mk
                converged = converged or self.size >= self.n
                info = {"n_products": self.products, "residual": residual, "converged": converged}
                return values_k, vectors_nk, info
            if done:
                new_nw = fresh(self.basis_nm[:, : self.size], min(self.width, self.most - self.size), self.rng)
            elif full:
                self._restart(new_nw.shape[1])
            check, last = self._next_check(residual, last, new_nw.shape[1]), residual

    def _scale(self, values_k: Array) -> float:
        """The largest eigenvalue in magnitude, or a little less where it is a negative one."""
        column_m = np.linalg.norm(self.small_mm[: self.size, : self.size], axis=0)
        return max(abs(float(values_k[0])), float(column_m.max()), np.finfo(float).tiny)

    def _ritz(self) -> tuple[Array, Array, float]:
        """Leading eigenpairs of the small matrix and the largest of their residuals."""
        size = self.size
        last = (max(size - self.k, 0), size - 1)
        values_k, ritz_mk = scipy.linalg.eigh(self.small_mm[:size, :size], subset_by_index=last, check_finite=False)
        values_k, ritz_mk = values_k[::-1].copy(), ritz_mk[:, ::-1]
        tail_wk = ritz_mk[size - self.leads_wm.shape[1] :]
        residual = float(np.linalg.norm(self.leads_wm @ tail_wk, axis=0).max()) / self._scale(values_k)
        if self.progress is not None:
            self.progress(self.products, residual)
        return values_k, ritz_mk, residual

    def _next_check(self, residual: float, last: float, width: int) -> int:
        """Size of the basis at which its eigenvalues are worth finding again; the residuals fall faster and faster."""
        if width > self.width:  # what the rounding left out: dear products, and one block may do
            return self.size + width
        step = max(2 * self.width, self.size // 8)
        if self.tol < residual < last < np.inf:
            step = min(step, int(step * np.log(residual / self.tol) / np.log(last / residual)))
        return min(self.size + max(step, self.width), self.most)

    def _image(self, v_nw: Array) -> Array:
        self.products += v_nw.shape[1]
        return finite(np.asarray(self.operator @ v_nw))

    def _extend(self, new_nw: Array) -> Array:
        """Take a block into the basis; returns the next block."""
        start, stop = self.size, self.size + new_nw.shape[1]
        self.basis_nm[:, start:stop] = new_nw
        image_nw = self._image(new_nw)
        scale = float(np.linalg.norm(image_nw, axis=0).max())
        self.size = stop
        seen_mw = project(self.basis_nm[:, :stop], image_nw, self.local)
        self.small_mm[:stop, start:stop] = seen_mw
        self.small_mm[start:stop, :stop] = seen_mw.T
        diagonal_ww = seen_mw[start:]
        self.small_mm[start:stop, start:stop] = (diagonal_ww + diagonal_ww.T) / 2
        self.local = start
        next_nw, self.leads_wm = orthonormal(self.basis_nm[:, :stop], image_nw, 1e-13 * scale)
        return next_nw

    def _set_right(self, ritz_mk: Array, scale: float) -> Array:
        """Multiply the vectors found exactly, and have the small matrix say the same; returns the next block.

        What else the small matrix holds is rounded, and counts by the square of that only.
        """
        self.operator = self.exact
        size = self.size
        image_nk = self._image(self.basis_nm[:, :size] @ ritz_mk)
        small_mm = self.small_mm[:size, :size]
        error_mk = project(self.basis_nm[:, :size], image_nk) - small_mm @ ritz_mk
        cross_mm = (error_mk - ritz_mk @ (ritz_mk.T @ error_mk) / 2) @ ritz_mk.T
        small_mm += cross_mm + cross_mm.T
        # Directions that no residual would notice are left out.
        next_nw, leads_wk = orthonormal(self.basis_nm[:, :size], image_nk, 0.05 * self.tol * scale)
        self.leads_wm, self.local = leads_wk @ ritz_mk.T, 0
        return next_nw

    def _restart(self, width: int) -> None:
        values_m, ritz_mm = scipy.linalg.eigh(self.small_mm[: self.size, : self.size], check_finite=False)
        values_m, ritz_mm = values_m[::-1], ritz_mm[:, ::-1]
        kept = min(max(self.k + self.width, self.most // 2), self.most - width)
        for start in range(0, self.n, 8192):
            rows = slice(start, start + 8192)
            self.basis_nm[rows, :kept] = self.basis_nm[rows, : self.size] @ ritz_mm[:, :kept]
        self.small_mm[:] = 0.0
        self.small_mm[np.arange(kept), np.arange(kept)] = values_m[:kept]
        self.size, self.local = kept, 0
