"""Observation probabilities whose log-odds are a number of the row plus a number of the column (Rasch's model)."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from scipy.special import expit, logit

from corpuscle.reduce._propensity_grouped import TABLE_VALUES, Array, GroupedPropensity

__all__ = ["LogitPropensity", "fit_logit"]

MAX_ITER = 60
# Counts are met when the worst is within this share of itself; a fit that ends worse than the second is reported.
SETTLED = 1e-11
POOR = 1e-6
# A vanishing variance must not make a step of 0 / 0.
LEAST_VARIANCE = 1e-300


class LogitPropensity(GroupedPropensity):
    """P_ik = 1 / (1 + exp(-alpha_i - beta_k)), the betas summing to 0.

    Parameters
    ----------
    kind, alpha_n, beta_d, p_min
        As in :class:`GroupedPropensity`; alpha and beta in log-odds.
    n_iter
        Iterations of the fit, 0 where the parameters were given.
    converged
        Whether the counts were met.
    """

    def __init__(
        self, kind: str, alpha_n: Array, beta_d: Array, *, p_min: float, n_iter: int = 0, converged: bool = True
    ) -> None:
        super().__init__(kind, alpha_n, beta_d, p_min=p_min)
        self.n_iter = n_iter
        self.converged = converged

    def inverse_factors(self) -> list[tuple[Array, Array]] | None:
        """Two pairs, as 1 / P = 1 + exp(-alpha) exp(-beta); None where a probability had to be raised."""
        if not self.exact:
            return None
        n, d = self.shape
        return [(np.ones(n), np.ones(d)), (np.exp(-self.alpha_n), np.exp(-self.beta_d))]

    def of_rows(self, row_counts: Any) -> Array:
        """The alpha of new rows, whose probabilities then sum to their observed entries (half a one from the ends)."""
        count_m = np.asarray(row_counts, dtype=np.float64)
        d = len(self.beta_d)
        count_u, where_m = np.unique(np.clip(count_m, 0.5, d - 0.5), return_inverse=True)
        return _alpha_of_counts(count_u, self._beta_v, self._columns_v)[where_m]

    def with_rows(self, row_counts: Any) -> LogitPropensity:
        """The same beta with the alpha of new rows."""
        return LogitPropensity(self.kind, self.of_rows(row_counts), self.beta_d, p_min=self.p_min)

    def _link(self, alpha_m: Array, beta_v: Array) -> Array:
        return expit(alpha_m[:, None] + beta_v)

    def _beta_reaching(self, level: float) -> Array:
        return (logit(level) if level < 1 else np.inf) - self._alpha_u


def fit_logit(row_counts_n: Array, column_counts_d: Array, *, p_min: float) -> LogitPropensity:
    """Log-odds of rows and columns whose probabilities sum to the observed entries of every row and column.

    Parameters
    ----------
    row_counts_n, column_counts_d
        Observed entries, (n,) and (d,), each at least 1; not all entries observed.
    p_min
        Floor of the probabilities, applied after the fit.

    Notes
    -----
    Maximum likelihood by damped Newton steps, rows and columns in turn. The counts are sufficient, and equal counts
    share a parameter: an iteration costs the different row counts times the different column counts.

    Rows and columns without a missing entry have no finite log-odds; they count as if half an entry were missing,
    and that half is taken from the other side where it has missing entries, so that both sides keep one total and
    the equations have a solution.
    """
    n, d = len(row_counts_n), len(column_counts_d)
    row_t, row_n, rows_u = _with_targets(row_counts_n, d, column_counts_d, n)
    column_t, column_d, columns_v = _with_targets(column_counts_d, n, row_counts_n, d)
    alpha_u, beta_v = logit(row_t / d), logit(column_t / n)
    beta_v = beta_v - columns_v @ beta_v / d
    worst, n_iter = np.inf, 0
    while worst > SETTLED and n_iter < MAX_ITER:
        n_iter += 1
        row_step_u, row_off = _newton(row_t, alpha_u, beta_v, columns_v)
        alpha_u = alpha_u + row_step_u
        column_step_v, column_off = _newton(column_t, beta_v, alpha_u, rows_u)
        beta_v = beta_v + column_step_v
        worst = max(row_off, column_off)
    shift = float(columns_v @ beta_v) / d
    if worst > POOR:
        warnings.warn(
            f"the log-odds of being observed had not settled after {MAX_ITER} iterations: a count of observed entries "
            f'is off by {worst:.1g} of itself; look for blocks that are wholly missing, or take propensity="rank1"',
            UserWarning,
            stacklevel=3,
        )
    return LogitPropensity(
        "logit",
        (alpha_u + shift)[row_n],
        (beta_v - shift)[column_d],
        p_min=p_min,
        n_iter=n_iter,
        converged=bool(worst <= POOR),
    )


def _with_targets(counts: Array, full: int, other_counts: Array, other_full: int) -> tuple[Array, Array, Array]:
    """Different counts of one side as the fit is to meet them, the place of each line, and lines of each."""
    counts_u, place, lines_u = np.unique(counts.astype(np.float64), return_inverse=True, return_counts=True)
    missing_u = full - counts_u
    taken = 0.5 * np.count_nonzero(other_counts == other_full)
    target_u = counts_u - taken * missing_u / float(missing_u @ lines_u)
    target_u[missing_u == 0] = full - 0.5
    return target_u, place, lines_u.astype(np.float64)


def _newton(target_u: Array, alpha_u: Array, beta_v: Array, weight_v: Array) -> tuple[Array, float]:
    """Damped Newton steps of one side, and how far its sums are from their targets, as a share of them."""
    sum_u, variance_u = _moments(alpha_u, beta_v, weight_v)
    off_u = target_u - sum_u
    step_u = np.clip(off_u / np.maximum(variance_u, LEAST_VARIANCE), -1.0, 1.0)
    return step_u, float(np.abs(off_u / target_u).max())


def _moments(alpha_u: Array, beta_v: Array, weight_v: Array) -> tuple[Array, Array]:
    """sum_v w P and sum_v w P (1 - P) for each alpha, a part of the table at a time."""
    sum_u, variance_u = np.empty(len(alpha_u)), np.empty(len(alpha_u))
    step = max(1, TABLE_VALUES // len(beta_v))
    for at in range(0, len(alpha_u), step):
        p_uv = expit(alpha_u[at : at + step, None] + beta_v)
        sum_u[at : at + step] = p_uv @ weight_v
        p_uv *= 1.0 - p_uv
        variance_u[at : at + step] = p_uv @ weight_v
    return sum_u, variance_u


def _alpha_of_counts(count_u: Array, beta_v: Array, weight_v: Array) -> Array:
    """Alpha at which the probabilities sum to each count: Newton steps inside a bracket that halving would serve."""
    mean_u = logit(count_u / weight_v.sum())
    low_u, high_u = mean_u - beta_v.max(), mean_u - beta_v.min()
    alpha_u = mean_u - float(weight_v @ beta_v) / weight_v.sum()
    for _ in range(MAX_ITER):
        sum_u, variance_u = _moments(alpha_u, beta_v, weight_v)
        off_u = count_u - sum_u
        if np.abs(off_u / count_u).max() <= SETTLED:
            break
        low_u, high_u = np.where(off_u > 0, alpha_u, low_u), np.where(off_u > 0, high_u, alpha_u)
        next_u = alpha_u + off_u / np.maximum(variance_u, LEAST_VARIANCE)
        inside_u = (next_u > low_u) & (next_u < high_u)
        alpha_u = np.where(inside_u, next_u, (low_u + high_u) / 2)
    return alpha_u
