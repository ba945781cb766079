"""Observation probabilities that are known, one for each entry."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np

from corpuscle.errors import MethodError
from corpuscle.reduce._propensity_grouped import ALL, Array, Rows, checked_rank
from corpuscle.reduce._values_checks import InputError

__all__ = ["GivenPropensity", "checked_probabilities"]

# Values of a block that are held at once (32 MB), and pairs of rows (5,000 x 5,000).
BLOCK_VALUES = 4_000_000
MOST_PAIRS = 5_000**2


class GivenPropensity:
    """P as a matrix without structure: it has blocks and sums, and no short form of anything.

    Parameters
    ----------
    p_nd
        (n, d) probabilities above 0 and at most 1; held as given, raised to ``p_min`` where they are read.
    p_min
        Floor of the probabilities, 0 for none.

    Attributes
    ----------
    shape, n_raised, n_lowered
        As of :class:`~corpuscle.reduce._propensity_grouped.GroupedPropensity`; none is ever lowered.

    Raises
    ------
    InputError
        Values that are no probabilities.
    """

    kind = "given"
    alpha_n: Array | None = None
    beta_d: Array | None = None
    alpha_: Array | None = None
    beta_: Array | None = None
    n_lowered = 0

    def __init__(self, p_nd: Array, *, p_min: float) -> None:
        self.p_nd = p_nd
        self.p_min = float(p_min)
        self.shape: tuple[int, int] = (p_nd.shape[0], p_nd.shape[1])
        self.n_raised = 0
        for part in self._parts():
            checked_probabilities(p_nd[part], part.start)
            self.n_raised += int(np.count_nonzero(p_nd[part] < self.p_min))

    @property
    def n_clipped(self) -> int:
        """Entries whose probability was raised."""
        return self.n_raised

    @property
    def exact(self) -> bool:
        """Whether no probability had to be raised."""
        return self.n_raised == 0

    def p(self, rows: Rows = ALL) -> Array:
        """Probabilities of some rows, (rows, d) float64."""
        return np.maximum(self.p_nd[rows], self.p_min, dtype=np.float64)

    def row_sum_n(self) -> Array:
        """sum_k P_ik, (n,)."""
        return np.concatenate([self.p(part).sum(axis=1) for part in self._parts()])

    def row_sq_n(self) -> Array:
        """sum_k P_ik ** 2, (n,)."""
        return np.concatenate([np.einsum("nd,nd->n", *[self.p(part)] * 2) for part in self._parts()])

    def pair_sums(self, rows: Rows = ALL, cols: Rows = ALL, *, other: Any = None) -> Array:
        """Exact sum_k P_ik P_jk, (rows, cols), without the rule for the diagonal; rows may be those of another P.

        Raises
        ------
        MethodError
            More than 5,000 x 5,000 pairs.
        """
        mine = self if other is None else other
        m, n = len(np.arange(mine.shape[0])[rows]), len(np.arange(self.shape[0])[cols])
        if m * n > MOST_PAIRS:
            raise MethodError(
                f"probabilities given one by one have no short form: {m:,} x {n:,} pairs of rows are more than 5,000 x "
                '5,000; ask for fewer rows, or take propensity="logit"'
            )
        return np.asarray(mine.p(rows) @ self.p(cols).T)

    def gram_reciprocal(self, rank: int = 3) -> None:
        """None: there are no terms."""
        checked_rank(rank)

    def reciprocal_error(self, rank: int = 3) -> float:
        """0: nothing is approximated."""
        checked_rank(rank)
        return 0.0

    def inverse_factors(self) -> None:
        """None: there are no factors."""

    def of_rows(self, row_counts: Any) -> NoReturn:
        """Refused: probabilities that were given one by one say nothing of another row."""
        raise MethodError(
            "a propensity given for each entry says nothing of new rows; give one number a row and one a column, or "
            'take propensity="logit"'
        )

    with_rows = of_rows

    def _parts(self) -> list[slice]:
        n, d = self.shape
        step = max(1, BLOCK_VALUES // max(1, d))
        return [slice(at, min(at + step, n)) for at in range(0, n, step)]


def checked_probabilities(p_nd: Array, first_row: int = 0) -> None:
    """Refuse entries that are not above 0 and at most 1, naming the first."""
    with np.errstate(invalid="ignore"):
        fine_nd = (p_nd > 0) & (p_nd <= 1)
    if fine_nd.all():
        return
    i, k = np.unravel_index(int(np.argmin(fine_nd)), fine_nd.shape)
    raise InputError(
        f"propensity: {np.count_nonzero(~fine_nd):,} entries are not probabilities above 0 and at most 1, the first is "
        f"{p_nd[i, k]:g} in row {first_row + int(i)}, column {int(k)}; an entry that can never be observed has no place in X"
    )
