"""Leading eigenpairs by the solvers that SciPy has."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.linalg
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

from corpuscle.errors import MethodError
from corpuscle.seeds import stream

__all__ = ["by_arpack", "by_lapack", "finite"]

Array = npt.NDArray[np.float64]


def finite(block: Array) -> Array:
    if not np.isfinite(block).all():
        raise MethodError("the Gram matrix has values that are not finite: check the input for infinite or huge values")
    return block


def by_lapack(operator: LinearOperator, k: int) -> tuple[Array, Array, dict[str, Any]]:
    n = operator.shape[0]
    gram_nn = finite(np.asarray(operator @ np.eye(n)))
    # Rounding makes the two triangles differ in the last digits, and LAPACK reads one of them.
    gram_nn = (gram_nn + gram_nn.T) / 2
    values_k, vectors_nk = scipy.linalg.eigh(gram_nn, subset_by_index=(n - k, n - 1), check_finite=False)
    largest = max(float(np.abs(values_k).max()), np.finfo(float).tiny)
    residual = float(np.linalg.norm(gram_nn @ vectors_nk - vectors_nk * values_k, axis=0).max()) / largest
    return values_k, vectors_nk, {"n_products": n, "residual": residual, "converged": True}


def by_arpack(operator: LinearOperator, k: int, tol: float, seed: int) -> tuple[Array, Array, dict[str, Any]]:
    n = operator.shape[0]
    count = [0]

    def counted(v_n: Array) -> Array:
        count[0] += 1
        return finite(np.asarray(operator @ v_n))

    start_n = stream(seed, "reduce", "eigen").standard_normal(n)
    converged = True
    try:
        values_k, vectors_nk = eigsh(
            LinearOperator((n, n), matvec=counted, dtype=np.float64),
            k, which="LA", tol=tol, v0=start_n, ncv=min(n, max(2 * k + 20, 40)),
        )  # fmt: skip
    except ArpackNoConvergence as stopped:
        values_k, vectors_nk, converged = stopped.eigenvalues, stopped.eigenvectors, False
        if not values_k.size:
            raise MethodError("solver 'arpack' found no eigenvalue: choose 'randomized' or a larger tol") from None
    residual_nk = np.asarray(operator @ vectors_nk) - vectors_nk * values_k
    largest = max(float(np.abs(values_k).max()), np.finfo(float).tiny)
    residual = float(np.linalg.norm(residual_nk, axis=0).max()) / largest
    return values_k, vectors_nk, {"n_products": count[0], "residual": residual, "converged": converged}
