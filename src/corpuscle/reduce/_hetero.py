"""The diagonal of a Gram matrix replaced by what its leading components say it should be."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from corpuscle.reduce._operator import GramOperator

__all__ = ["refilled"]

Array = npt.NDArray[np.float64]
#: Leading eigenpairs of an operator.
Solve = Callable[[GramOperator], tuple[Array, Array]]

MOST_ROUNDS = 30
#: Change of the diagonal, relative to its norm, at which it is settled.
SETTLED = 1e-4


def refilled(operator: GramOperator, solve: Solve) -> tuple[GramOperator, int]:
    """Replace the diagonal until it is that of the leading components.

    The diagonal holds each sample's noise beside its signal, so where the noise is uneven it bends the leading
    components. Starting from zero, it is replaced by the diagonal of the approximation by the components that ``solve``
    finds, until it changes no more or 30 times.

    Parameters
    ----------
    operator
        n x n; if it is double-centred, the diagonal meant is that of the centred matrix, which stays centred.
    solve
        Gives eigenvalues (k,) and eigenvectors (n, k) of such an operator.

    Returns
    -------
    operator, rounds
        The operator with its last diagonal, and how often it was replaced.
    """
    diagonal_n = operator.diagonal()
    filled_n = np.zeros_like(diagonal_n)
    current, rounds = operator, 0
    while rounds < MOST_ROUNDS:
        rounds += 1
        change_n = filled_n - diagonal_n
        current = operator.with_delta(
            operator.delta_n + (_before_centring(change_n) if operator.double_center else change_n)
        )
        value_k, vector_nk = solve(current)
        new_n = vector_nk**2 @ np.maximum(value_k, 0.0)
        moved = float(np.linalg.norm(new_n - filled_n))
        if moved <= SETTLED * float(np.linalg.norm(new_n)):
            break
        filled_n = new_n
    return current, rounds


def _before_centring(change_n: Array) -> Array:
    """The diagonal matrix whose double centring has this diagonal.

    With H = I - 11'/n, the diagonal of H diag(e) H is ``e_i (1 - 2/n) + mean(e)/n``.
    """
    n = change_n.size
    mean = float(change_n.mean()) / (1 - 1 / n)
    solved_n: Array = (change_n - mean / n) / (1 - 2 / n)
    return solved_n
