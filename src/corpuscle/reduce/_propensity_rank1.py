"""Observation probabilities that are a product of a number of the row and a number of the column."""

from __future__ import annotations

from typing import Any

import numpy as np

from corpuscle.reduce._propensity_grouped import Array, GroupedPropensity

__all__ = ["RankOnePropensity", "fit_marginals"]


class RankOnePropensity(GroupedPropensity):
    """P_ik = a_i b_k; ``alpha_n`` is a and ``beta_d`` is b, both positive.

    Parameters
    ----------
    kind, a_n, b_d, p_min
        As in :class:`GroupedPropensity`.
    same_rows
        New rows have a = 1, as all rows do where only columns, or nothing, tells probabilities apart; otherwise
        a new row's a follows from its observed entries.
    """

    def __init__(self, kind: str, a_n: Array, b_d: Array, *, p_min: float, same_rows: bool = False) -> None:
        super().__init__(kind, a_n, b_d, p_min=p_min)
        self.same_rows = same_rows

    def inverse_factors(self) -> list[tuple[Array, Array]] | None:
        """One pair, 1 / a and 1 / b; None where a product had to be raised or lowered."""
        return [(1.0 / self.alpha_n, 1.0 / self.beta_d)] if self.exact else None

    def of_rows(self, row_counts: Any) -> Array:
        """The a of new rows, whose products with b then sum to the row's observed entries."""
        count_m = np.asarray(row_counts, dtype=np.float64)
        if self.same_rows:
            return np.ones(len(count_m))
        return np.maximum(count_m, 0.5) / self.beta_d.sum()

    def with_rows(self, row_counts: Any) -> RankOnePropensity:
        """The same b with the a of new rows."""
        return RankOnePropensity(
            self.kind, self.of_rows(row_counts), self.beta_d, p_min=self.p_min, same_rows=self.same_rows
        )

    def _link(self, alpha_m: Array, beta_v: Array) -> Array:
        return np.multiply.outer(alpha_m, beta_v)

    def _beta_reaching(self, level: float) -> Array:
        return level / self._alpha_u

    def _coordinate(self, alpha_u: Array) -> Array:
        return np.log(alpha_u)

    def _alpha_at(self, x_m: Array) -> Array:
        return np.exp(x_m)

    def _terms_u(self, rank: int) -> tuple[Array, Array]:
        if not self.exact:
            return super()._terms_u(rank)
        return np.array([1.0 / float(self._columns_v @ self._beta_v**2)]), 1.0 / self._alpha_u[:, None]


def fit_marginals(kind: str, row_counts_n: Array, column_counts_d: Array, *, p_min: float) -> RankOnePropensity:
    """Products of row and column shares from the observed entries of each.

    Parameters
    ----------
    kind
        ``"rank1"`` (r_i s_k / c, with c the share observed of all), ``"rows"`` (r_i), ``"columns"`` (s_k) or
        ``"constant"`` (c).
    row_counts_n, column_counts_d
        Observed entries, (n,) and (d,), each at least 1.
    p_min
        Floor of the probabilities.

    Notes
    -----
    Source of the product: Ling, Liu and Xue, Dimension Reduction for Data with Heterogeneous Missingness, UAI 2021.
    Entries of it above 1 are lowered to 1 one by one; c stays, as another c would inflate the inner products of
    all samples by the square of what it does to their norms.
    """
    n, d = len(row_counts_n), len(column_counts_d)
    row_n, column_d = row_counts_n / d, column_counts_d / n
    share = float(row_counts_n.sum()) / (n * d)
    if kind == "rows":
        return RankOnePropensity(kind, row_n, np.ones(d), p_min=p_min)
    if kind == "columns":
        return RankOnePropensity(kind, np.ones(n), column_d, p_min=p_min, same_rows=True)
    if kind == "constant":
        return RankOnePropensity(kind, np.ones(n), np.full(d, share), p_min=p_min, same_rows=True)
    return RankOnePropensity(kind, row_n, column_d / share, p_min=p_min)
