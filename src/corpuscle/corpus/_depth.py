"""Total counts of each cell: computed, or as the file states them."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import scipy.sparse as sp

from corpuscle.counts import Counts
from corpuscle.errors import NotCountsError, OptionError

__all__ = ["DEPTHS", "Depth", "DepthChoice", "totals"]

DepthChoice = Literal["auto", "n_counts", "computed"]
DEPTHS = ("auto", "n_counts", "computed")
#: A stated total may be this much below the sum of the counts, for totals kept as float32.
TOLERANCE = 1e-6


def totals(x_ng: sp.csr_matrix) -> np.ndarray[Any, Any]:
    """(n,) float64 sum of the counts of each cell."""
    return np.asarray(x_ng.sum(axis=1, dtype=np.float64)).ravel()


class Depth:
    """How the depth of the cells of one source is known.

    Parameters
    ----------
    counts
        The source.
    choice
        ``"computed"``: the sum of the cell's counts in the file. ``"n_counts"``: the ``obs`` column of that name, which is right
        where genes were taken out of the file. ``"auto"``: the column where there is one.

    Raises
    ------
    OptionError
        The column was asked for and is not there.
    NotCountsError
        The column does not hold numbers.
    """

    def __init__(self, counts: Counts, choice: DepthChoice = "auto") -> None:
        if choice not in DEPTHS:
            raise OptionError(f"depth {choice!r} is none of {', '.join(DEPTHS)}")
        self._counts = counts
        self._stated: np.ndarray[Any, Any] | None = None
        if choice == "n_counts" and "n_counts" not in counts.obs:
            raise OptionError(f"{counts.name}: there is no obs column n_counts; take the depth as computed")
        if choice != "computed" and "n_counts" in counts.obs:
            try:
                self._stated = counts.obs["n_counts"].to_numpy(np.float64, na_value=np.nan)
            except (TypeError, ValueError):
                raise NotCountsError(
                    f"{counts.name}: obs column n_counts holds no numbers; mend it or take the depth as computed"
                ) from None

    @property
    def stated(self) -> bool:
        """Whether it comes from the file's ``n_counts``."""
        return self._stated is not None

    def of(self, x_ng: sp.csr_matrix, rows: slice | np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """(n,) depth of the cells of a block, ``rows`` (a range or positions) being their places in the source.

        Raises
        ------
        NotCountsError
            A stated depth is missing, not positive, or below the sum of the cell's counts.
        """
        computed_n = totals(x_ng)
        if self._stated is None:
            return computed_n
        stated_n = self._stated[rows]
        with np.errstate(invalid="ignore"):
            wrong = ~(stated_n >= computed_n * (1 - TOLERANCE)) | ~np.isfinite(stated_n) | (stated_n < 0)
            wrong |= (stated_n == 0) & (computed_n > 0)
        if wrong.any():
            i = int(np.argmax(wrong))
            place = rows.start + i if isinstance(rows, slice) else int(rows[i])
            raise NotCountsError(
                f"{self._counts.name}: n_counts of cell {self._counts.obs.index[place]!s} is {stated_n[i]:g} but "
                f"its counts add up to {computed_n[i]:g}; mend the column or take the depth as computed (--depth computed)"
            )
        return stated_n
