"""How likely each entry was to be observed: known, or estimated from the observed entries by row and column."""

from __future__ import annotations

from typing import Any, Protocol, cast, runtime_checkable

import numpy as np

from corpuscle.errors import OptionError
from corpuscle.reduce._propensity_given import GivenPropensity
from corpuscle.reduce._propensity_grouped import ALL, Array, GroupedPropensity, Rows
from corpuscle.reduce._propensity_logit import LogitPropensity, fit_logit
from corpuscle.reduce._propensity_rank1 import RankOnePropensity, fit_marginals
from corpuscle.reduce._values_checks import InputError

__all__ = [
    "KINDS",
    "GivenPropensity",
    "GroupedPropensity",
    "LogitPropensity",
    "ObservedCounts",
    "Propensity",
    "RankOnePropensity",
    "fit_propensity",
]

KINDS = ("logit", "rank1", "rows", "columns", "constant")
# Products of given factors may pass 1 by rounding.
ROUNDING = 1e-9


class ObservedCounts(Protocol):
    """What is read of the values: observed entries by row and by column."""

    shape: tuple[int, int]
    row_counts_n: Any
    column_counts_d: Any


@runtime_checkable
class Propensity(Protocol):
    """P_ik = Pr(entry k of sample i is observed), n samples x d features, between ``p_min`` and 1.

    ``alpha_n`` and ``beta_d`` are the parameters of rows and columns (log-odds of the logit, factors of the others,
    None for a matrix that was given); ``n_raised`` and ``n_lowered`` count entries that met a bound, ``n_clipped``
    both.
    """

    kind: str
    p_min: float
    n_raised: int
    n_lowered: int

    @property
    def shape(self) -> tuple[int, int]:
        """Samples and features."""

    @property
    def alpha_n(self) -> Array | None:
        """Parameters of the rows."""

    @property
    def beta_d(self) -> Array | None:
        """Parameters of the columns."""

    @property
    def alpha_(self) -> Array | None:
        """Parameters of the rows."""

    @property
    def beta_(self) -> Array | None:
        """Parameters of the columns."""

    @property
    def n_clipped(self) -> int:
        """Entries whose probability was raised or lowered."""

    def p(self, rows: Rows = ALL) -> Array:
        """Probabilities of some rows, (rows, d) float64."""

    def row_sum_n(self) -> Array:
        """sum_k P_ik, (n,)."""

    def row_sq_n(self) -> Array:
        """sum_k P_ik ** 2, (n,)."""

    def pair_sums(self, rows: Rows = ALL, cols: Rows = ALL, *, other: Any = None) -> Array:
        """Exact sum_k P_ik P_jk of some rows with some others, or of the rows of another P with some of this."""

    def gram_reciprocal(self, rank: int = 3) -> tuple[Array, Array] | None:
        """(s_r, q_nr) with 1 / sum_k P_ik P_jk ~= sum_r s_r q_ir q_jr, at most ``rank`` terms; None if there are none."""

    def reciprocal_error(self, rank: int = 3) -> float:
        """Largest relative error of these terms, on a few hundred rows."""

    def inverse_factors(self) -> list[tuple[Array, Array]] | None:
        """Pairs (u_n, v_d) with 1 / P_ik = sum_t u_it v_kt exactly; None if there are none."""

    def of_rows(self, row_counts: Any) -> Array:
        """Parameters of new rows from their observed entries, (m,), the columns' kept."""

    def with_rows(self, row_counts: Any) -> Propensity:
        """The same columns with new rows."""


def fit_propensity(kind: Any, values: ObservedCounts, *, p_min: float = 0.01, given: Any = None) -> Propensity:
    """Probabilities of being observed, for every sample and feature.

    Parameters
    ----------
    kind
        ``"logit"``: log-odds of the row plus those of the column, fitted by maximum likelihood; ``"rank1"``: products
        of row and column shares; ``"rows"``, ``"columns"``: the share of the row, or of the column; ``"constant"``: the
        share of all. Or what is known: an (n, d) matrix, or (a, b) of shapes (n,) and (d,) with P_ik = a_i b_k.
    values
        Has ``shape`` and the observed entries ``row_counts_n`` and ``column_counts_d``, of the columns that are kept;
        with ``columns_d``, what is given may also speak of all columns.
    p_min
        Probabilities below are raised to it and counted; 0 for no floor.
    given
        What is known, beside the word for it: (alpha, beta) with ``"logit"``, (a, b) with ``"rank1"``.

    Returns
    -------
    Propensity
        Of float64. Where nothing is missing, an estimate is 1 everywhere, exactly; what is known stays as it is.

    Raises
    ------
    OptionError
        A word that is not one of these, or ``p_min`` outside [0, 1).
    InputError
        What is given has another shape, or holds values that are not probabilities above 0 and at most 1 (NaN among
        them); a row or a column has no observed entry.

    Warns
    -----
    UserWarning
        The log-odds did not settle.
    """
    if isinstance(p_min, bool) or not 0 <= p_min < 1:
        raise OptionError(f"p_min {p_min!r} is not a floor for probabilities; give 0 or more and less than 1")
    if not isinstance(kind, str):
        if given is not None:
            raise OptionError('a propensity is given twice; give it once, or with the word "logit" or "rank1"')
        return _known("given", kind, values, p_min)
    if kind not in KINDS:
        raise OptionError(f"propensity {kind!r} is not known; choose {', '.join(KINDS)}, a matrix, or (a, b)")
    if given is not None:
        if kind not in ("logit", "rank1") or not _is_pair(given):
            raise OptionError(
                f'given= with propensity "{kind}": give (alpha, beta) with "logit" or (a, b) with "rank1"'
            )
        return _known(kind, given, values, p_min)
    row_counts_n, column_counts_d = _checked_counts(values)
    n, d = len(row_counts_n), len(column_counts_d)
    if row_counts_n.min() == d:
        same_rows = kind in ("columns", "constant")
        return RankOnePropensity(kind, np.ones(n), np.ones(d), p_min=p_min, same_rows=same_rows)
    if kind == "logit":
        return fit_logit(row_counts_n, column_counts_d, p_min=p_min)
    return fit_marginals(kind, row_counts_n, column_counts_d, p_min=p_min)


def _known(kind: str, given: Any, values: ObservedCounts, p_min: float) -> Propensity:
    """A propensity that was given, as a matrix or as one number a row and one a column."""
    n, d = len(values.row_counts_n), len(values.column_counts_d)
    if not _is_pair(given):
        p_nd = _of_kept(_numbers(given), values)
        if p_nd.shape != (n, d):
            raise InputError(
                f"propensity has shape {np.shape(given)}, the values {(n, d)}; give one probability an entry"
            )
        return GivenPropensity(p_nd, p_min=p_min)
    alpha_n, beta_d = _numbers(given[0]), _of_kept(_numbers(given[1]), values)
    if alpha_n.shape != (n,) or beta_d.shape != (d,):
        raise InputError(
            f"propensity has {np.shape(given[0])} and {np.shape(given[1])} numbers for rows and columns, the values have "
            f"{n} and {d}; give one a row and one a column"
        )
    for line, numbers in (("row", alpha_n), ("column", beta_d)):
        fine = np.isfinite(numbers) & ((numbers > 0) | (kind == "logit"))
        if not fine.all():
            at = int(np.argmin(fine))
            raise InputError(f"propensity: {line} {at} has {numbers[at]:g}; give finite numbers, above 0 for products")
    if kind == "logit":
        return LogitPropensity(kind, alpha_n, beta_d, p_min=p_min)
    if alpha_n.max() * beta_d.max() > 1 + ROUNDING:
        raise InputError(
            f"propensity: a_i b_k is {alpha_n.max() * beta_d.max():g} in row {int(alpha_n.argmax())}, column "
            f"{int(beta_d.argmax())}; a probability is at most 1"
        )
    return RankOnePropensity(kind, alpha_n, beta_d, p_min=p_min)


def _is_pair(given: Any) -> bool:
    return isinstance(given, tuple | list) and len(given) == 2 and all(np.ndim(part) == 1 for part in given)


def _numbers(given: Any) -> Array:
    try:
        numbers = np.asarray(given)
        return numbers if numbers.dtype in (np.float32, np.float64) else numbers.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise InputError("propensity holds values that are not numbers; give probabilities") from error


def _of_kept(given: Array, values: ObservedCounts) -> Array:
    """What was given for all columns, for those that are kept."""
    kept, d = getattr(values, "columns_d", None), len(values.column_counts_d)
    if (
        kept is None
        or given.ndim == 0
        or given.shape[-1] == d
        or given.shape[-1] != getattr(values, "n_features_in", d)
    ):
        return given
    return cast(Array, given[..., kept])


def _checked_counts(values: ObservedCounts) -> tuple[Array, Array]:
    counts = np.asarray(values.row_counts_n, dtype=np.float64), np.asarray(values.column_counts_d, dtype=np.float64)
    for line, count in zip(("row", "column"), counts, strict=True):
        if count.min() < 1:
            raise InputError(f"{line} {int(count.argmin())} has no observed entry; leave out such {line}s")
    return counts
