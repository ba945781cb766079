"""Observation probabilities with one parameter a row and one a column, evaluated once for equal parameters.

Rows with equal counts share their parameter, and so do columns; sums over columns therefore cost the number of
different rows times the number of different columns, whatever the shape of the matrix.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np

from corpuscle.errors import OptionError
from corpuscle.reduce._reciprocal import reciprocal_terms

__all__ = ["ALL", "Array", "GroupedPropensity", "Rows", "checked_rank"]

Array = np.ndarray[Any, Any]
Rows = slice | Array
ALL = slice(None)

# Values of a table that are held at once (32 MB).
TABLE_VALUES = 4_000_000
# Unique rows on which the error of a short reciprocal is measured.
ERROR_ROWS = 256
# A probability above 1 or below the floor by less than this is rounding, not a bound that was met.
ROUNDING = 1e-12


class GroupedPropensity(ABC):
    """P_ik = f(alpha_i, beta_k), raised to ``p_min`` and lowered to 1 where it leaves that range.

    Parameters
    ----------
    kind
        Word by which it was asked for.
    alpha_n, beta_d
        (n,) parameters of the rows and (d,) of the columns; also as ``alpha_`` and ``beta_``.
    p_min
        Floor of the probabilities, 0 for none.

    Attributes
    ----------
    shape
        (n, d).
    n_raised, n_lowered
        Entries whose probability was raised to ``p_min``, and lowered to 1.
    """

    def __init__(self, kind: str, alpha_n: Array, beta_d: Array, *, p_min: float) -> None:
        self.kind = kind
        self.p_min = float(p_min)
        self.alpha_n = np.asarray(alpha_n, dtype=np.float64)
        self.beta_d = np.asarray(beta_d, dtype=np.float64)
        self._alpha_u, self._row_u_n, self._rows_u = _groups(self.alpha_n)
        self._beta_v, self._column_v_d, self._columns_v = _groups(self.beta_d)
        self.n_raised, self.n_lowered = self._outside()

    @property
    def shape(self) -> tuple[int, int]:
        """Samples and features."""
        return len(self.alpha_n), len(self.beta_d)

    @property
    def alpha_(self) -> Array:
        """Parameters of the rows, (n,)."""
        return self.alpha_n

    @property
    def beta_(self) -> Array:
        """Parameters of the columns, (d,)."""
        return self.beta_d

    @property
    def n_clipped(self) -> int:
        """Entries whose probability was raised or lowered."""
        return self.n_raised + self.n_lowered

    @property
    def exact(self) -> bool:
        """Whether no probability had to be raised or lowered, so that f itself holds everywhere."""
        return self.n_clipped == 0

    def p(self, rows: Rows = ALL) -> Array:
        """Probabilities of some rows, (rows, d) float64."""
        return self._different(rows)[:, self._column_v_d]

    def row_sum_n(self) -> Array:
        """sum_k P_ik, (n,)."""
        return self._sums_u[0][self._row_u_n]

    def row_sq_n(self) -> Array:
        """sum_k P_ik ** 2, (n,)."""
        return self._sums_u[1][self._row_u_n]

    def pair_sums(self, rows: Rows = ALL, cols: Rows = ALL, *, other: Any = None) -> Array:
        """Exact sum_k P_ik P_jk for i in ``rows`` and j in ``cols``, without the rule for the diagonal.

        Parameters
        ----------
        rows, cols
            Which samples.
        other
            Propensity with the same columns whose samples ``rows`` are; without it, this one's. It is how new
            samples (:meth:`with_rows`) meet those of the fit.

        Returns
        -------
        ndarray
            (rows, cols) float64.
        """
        mine = self if other is None else other
        left_u, left = np.unique(mine._row_u_n[rows], return_inverse=True)
        right_u, right = np.unique(self._row_u_n[cols], return_inverse=True)
        sums_uu = np.empty((len(left_u), len(right_u)))
        for part in self._parts(len(right_u)):
            right_v = self._table(self._alpha_u[right_u[part]]) * self._columns_v
            for at in self._parts(len(left_u)):
                sums_uu[at, part] = mine._table(mine._alpha_u[left_u[at]]) @ right_v.T
        return sums_uu[left][:, right]

    def gram_reciprocal(self, rank: int = 3) -> tuple[Array, Array]:
        """Terms of 1 / sum_k P_ik P_jk ~= sum_r s_r q_ir q_jr.

        Parameters
        ----------
        rank
            Terms at most; fewer where fewer are exact.

        Returns
        -------
        s_r, q_nr
            Weights, which may be negative, and the value of each term at each row.
        """
        s_r, q_ur = self._terms_u(checked_rank(rank))
        return s_r, q_ur[self._row_u_n]

    def reciprocal_error(self, rank: int = 3) -> float:
        """Largest relative error of :meth:`gram_reciprocal` between up to 256 different rows, evenly chosen."""
        s_r, q_ur = self._terms_u(checked_rank(rank))
        some = np.unique(np.linspace(0, len(self._alpha_u) - 1, ERROR_ROWS).astype(np.int64))
        table_mv = self._table(self._alpha_u[some])
        product_mm = (table_mv * self._columns_v) @ table_mv.T
        return float(np.abs((q_ur[some] * s_r) @ q_ur[some].T * product_mm - 1.0).max())

    @abstractmethod
    def inverse_factors(self) -> list[tuple[Array, Array]] | None:
        """Pairs (u_n, v_d) with 1 / P_ik = sum_t u_it v_kt; None where the bounds on P leave no such short sum."""

    @abstractmethod
    def of_rows(self, row_counts: Any) -> Array:
        """Parameters of new rows from their observed entries, the columns' kept as they are.

        Parameters
        ----------
        row_counts
            (m,) observed entries among the columns of the fit.

        Returns
        -------
        ndarray
            (m,) alpha.
        """

    @abstractmethod
    def with_rows(self, row_counts: Any) -> GroupedPropensity:
        """The same columns with other rows, whose parameters are those of :meth:`of_rows`."""

    @abstractmethod
    def _link(self, alpha_m: Array, beta_v: Array) -> Array:
        """P before its bounds, (m, v)."""

    @abstractmethod
    def _beta_reaching(self, level: float) -> Array:
        """The beta at which P reaches a level, for each different alpha; P rises with beta."""

    def _coordinate(self, alpha_u: Array) -> Array:
        """The number by which rows are told apart on the grid of the reciprocal, increasing with alpha."""
        return alpha_u

    def _alpha_at(self, x_m: Array) -> Array:
        """The alpha of a place on that grid."""
        return x_m

    def _terms_u(self, rank: int) -> tuple[Array, Array]:
        root_v = np.sqrt(self._columns_v)
        return reciprocal_terms(
            lambda x_m: self._table(self._alpha_at(x_m)) * root_v, self._coordinate(self._alpha_u), rank=rank
        )

    def _table(self, alpha_m: Array) -> Array:
        table_mv = self._link(alpha_m, self._beta_v)
        return np.clip(table_mv, self.p_min, 1.0, out=table_mv)

    def _different(self, rows: Rows) -> Array:
        """Probabilities of some rows at the different columns, each different row evaluated once."""
        group_m = self._row_u_n[rows]
        different, where_m = np.unique(group_m, return_inverse=True)
        return self._table(self._alpha_u[different])[where_m]

    def _parts(self, n: int) -> Iterator[slice]:
        step = max(1, TABLE_VALUES // max(1, len(self._beta_v)))
        return (slice(at, at + step) for at in range(0, n, step))

    @cached_property
    def _sums_u(self) -> tuple[Array, Array]:
        sum_u, square_u = np.empty(len(self._alpha_u)), np.empty(len(self._alpha_u))
        for part in self._parts(len(self._alpha_u)):
            table_uv = self._table(self._alpha_u[part])
            sum_u[part] = table_uv @ self._columns_v
            square_u[part] = np.square(table_uv, out=table_uv) @ self._columns_v
        return sum_u, square_u

    def _outside(self) -> tuple[int, int]:
        upto_v = np.concatenate([[0.0], np.cumsum(self._columns_v)])
        raised = 0.0
        if self.p_min > 0:
            low_u = self._beta_reaching(self.p_min * (1 - ROUNDING))
            raised = float(self._rows_u @ upto_v[np.searchsorted(self._beta_v, low_u, side="left")])
        high_u = self._beta_reaching(1 + ROUNDING)
        lowered = float(self._rows_u @ (upto_v[-1] - upto_v[np.searchsorted(self._beta_v, high_u, side="right")]))
        return round(raised), round(lowered)


def checked_rank(rank: Any) -> int:
    """Number of terms of a reciprocal, at least 1."""
    if isinstance(rank, bool) or not isinstance(rank, int | np.integer) or rank < 1:
        raise OptionError(f"rank {rank!r} of the reciprocal is not a whole number of terms; give 1 or more, such as 3")
    return int(rank)


def _groups(values: Array) -> tuple[Array, Array, Array]:
    """Different values, the place of each value among them, and how often each is there (float64)."""
    different, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return different, place, count.astype(np.float64)
