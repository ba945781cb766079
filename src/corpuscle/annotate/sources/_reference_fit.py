"""A multinomial logistic regression on standardised expression, as plain arrays."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from corpuscle.seeds import stream

__all__ = ["Linear", "fit_linear", "sampled_cells", "type_weights"]

Array = np.ndarray[Any, Any]
#: A type with fewer cells weighs as one of so many: a single cell should not count like a thousand.
FEW_CELLS = 10
MAX_ITER = 1000
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Linear:
    """Weights of the types.

    Attributes
    ----------
    weights_kv, intercept_k
        (K, v) and (K,) float32; over the types they sum to zero.
    converged
        Whether the optimiser reached its tolerance.
    """

    weights_kv: Array
    intercept_k: Array
    converged: bool


def sampled_cells(code_n: Array, max_cells: int, seed: int) -> Array:
    """(n,) mask of labelled cells to learn from: all, or the same number of every large type and all of the others.

    Parameters
    ----------
    code_n
        (n,) type of each cell, negative where it has none.
    max_cells
        Cells to keep at most (never fewer than one a type).
    """
    keep_n = code_n >= 0
    n_k = np.bincount(code_n[keep_n])
    if keep_n.sum() <= max_cells:
        return keep_n
    quota = _quota(n_k, max_cells)
    for code in np.flatnonzero(n_k > quota):
        cells = np.flatnonzero(code_n == code)
        left_out = stream(seed, "reference cells", str(code)).permutation(cells.size)[quota:]
        keep_n[cells[left_out]] = False
    return keep_n


def _quota(n_k: Array, max_cells: int) -> int:
    """Largest number a type such that all together are no more than ``max_cells``."""
    low, high = 1, int(n_k.max())
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if np.minimum(n_k, middle).sum() <= max_cells else (low, middle - 1)
    return low


def type_weights(n_k: Array, *, balanced: bool) -> Array:
    """(K,) weight of one cell of each type, with mean 1 over the cells."""
    weight_k = 1.0 / np.maximum(n_k, FEW_CELLS) if balanced else np.ones(n_k.size)
    return weight_k * n_k.sum() / (weight_k @ n_k)


def fit_linear(z_nv: Array, code_n: Array, *, strength: float, balanced: bool) -> Linear:
    """Fit weights of K types to standardised expression.

    Parameters
    ----------
    z_nv
        (n, v) float32 with column means near 0.
    code_n
        (n,) types 0 ... K-1, each of them present, K >= 2.
    strength
        Inverse of the L2 penalty, ``C`` of scikit-learn.
    balanced
        Types count alike, whatever their number of cells.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    weight_k = type_weights(np.bincount(code_n), balanced=balanced)
    model = LogisticRegression(C=strength, solver="lbfgs", max_iter=MAX_ITER, tol=TOLERANCE)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(z_nv, code_n, sample_weight=weight_k[code_n])
    coef, intercept = np.asarray(model.coef_, np.float64), np.asarray(model.intercept_, np.float64)
    if coef.shape[0] == 1:
        coef, intercept = np.concatenate([-coef, coef]) / 2, np.concatenate([-intercept, intercept]) / 2
    return Linear(
        (coef - coef.mean(axis=0)).astype(np.float32),
        (intercept - intercept.mean()).astype(np.float32),
        not any(issubclass(warning.category, ConvergenceWarning) for warning in caught),
    )
