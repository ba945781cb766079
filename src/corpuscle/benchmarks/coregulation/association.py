"""How strongly one gene goes with each of many others.

A value that is not defined is NaN with its reason, never 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from corpuscle.benchmarks.coregulation import _robust
from corpuscle.benchmarks.coregulation._columns import (
    Array,
    Chunk,
    Moments,
    column_chunks,
    comoments,
    is_constant,
    retie,
)
from corpuscle.benchmarks.coregulation._ranks import kendall_bk, spearman_bk
from corpuscle.benchmarks.coregulation.cscore import cscore_one_to_many
from corpuscle.errors import MethodError, OptionError

__all__ = [
    "MEASURES",
    "REASONS",
    "Measure",
    "associate",
    "associate_with_reasons",
    "measure_named",
    "pearson_one_to_many",
    "undefined_reason",
]

#: Why an association is NaN.
REASONS = {
    "zero_variance": "the gene is constant over the evaluated cells, up to rounding",
    "target_zero_variance": "the target is constant over the evaluated cells, up to rounding",
    "not_finite": "the gene has NaN or infinite values",
    "target_not_finite": "the target has NaN or infinite values",
    "non_positive_variance": "the gene varies no more than Poisson noise, so CS-CORE has nothing to divide by",
    "target_non_positive_variance": "the target varies no more than Poisson noise, so CS-CORE has nothing to divide by",
    "no_weight": "robust weights leave no variance",
}


@dataclass(frozen=True, slots=True)
class Measure:
    """One measure of association.

    Attributes
    ----------
    name, formula
        Id in tables, and one line for people.
    compute
        ``(target_n, chunk, moments) -> r_c`` for columns that are finite and not constant; None for count models.
    low
        Smallest possible value: -1, or 0 for a measure without a sign.
    reties
        Entries whose raw count is zero get their common mean first, so that zeros are tied again.
    on_counts
        Wants raw counts and depths in place of normalised values.
    """

    name: str
    formula: str
    compute: Callable[[Array, Chunk, Moments], Array] | None
    low: float = -1.0
    reties: bool = False
    on_counts: bool = False

    @property
    def signed(self) -> bool:
        """Whether it tells a negative relation from a positive one."""
        return self.low < 0


def _pearson(target_n: Array, chunk: Chunk, moments: Moments) -> Array:
    return np.clip(moments.cov_c / np.sqrt(moments.target_var * moments.var_c), -1.0, 1.0)


def _rho_p(target_n: Array, chunk: Chunk, moments: Moments) -> Array:
    return 2.0 * moments.cov_c / (moments.target_var + moments.var_c)


def _cosine(target_n: Array, chunk: Chunk, moments: Moments) -> Array:
    mean = target_n.mean()
    dot_c = moments.cov_c + mean * moments.mean_c
    return dot_c / np.sqrt((moments.target_var + mean**2) * (moments.var_c + moments.mean_c**2))


def _spearman(target_n: Array, chunk: Chunk, moments: Moments) -> Array:
    return spearman_bk(target_n, chunk, np.ones((1, target_n.size), np.uint8))[0]


def _kendall(target_n: Array, chunk: Chunk, moments: Moments) -> Array:
    return kendall_bk(target_n, chunk, np.ones((1, target_n.size), np.uint8))[0]


def _bicor(target_n: Array, chunk: Chunk, moments: Moments) -> Array:
    return _robust.bicor(target_n, chunk.dense())


def _mutual_information(target_n: Array, chunk: Chunk, moments: Moments) -> Array:
    return _robust.mutual_information(target_n, chunk.dense())


#: Every measure by name.
MEASURES = {
    measure.name: measure
    for measure in (
        Measure("pearson", "cov(a, b) / (sd a sd b)", _pearson),
        Measure("spearman", "Pearson of average ranks", _spearman),
        Measure("spearman_retied", "Spearman, raw zeros tied first", _spearman, reties=True),
        Measure("kendall", "tau-b", _kendall),
        Measure("kendall_retied", "tau-b, raw zeros tied first", _kendall, reties=True),
        Measure("bicor", "biweight midcorrelation, Pearson weights where MAD = 0", _bicor),
        Measure("cosine", "a.b / (|a| |b|), not centred", _cosine),
        Measure("mutual_information", "nats, 5 equal-frequency bins", _mutual_information, low=0.0),
        Measure("rho_p", "1 - var(a - b) / (var a + var b)", _rho_p),
        Measure("cscore", "CS-CORE: correlation of Poisson rates, from raw counts and depths", None, on_counts=True),
    )
}


def measure_named(name: str) -> Measure:
    """Look up the measure called ``name``.

    Raises
    ------
    OptionError
        There is none.
    """
    if name not in MEASURES:
        raise OptionError(f"no association measure is called {name!r}; there are: {', '.join(MEASURES)}")
    return MEASURES[name]


def associate(
    target_n: Array,
    values_nk: Any,
    measure: str = "pearson",
    *,
    zero_n: Array | None = None,
    zero_nk: Any = None,
    depth_n: Array | None = None,
) -> Array:
    r"""Association of one gene with each of k others.

    Parameters
    ----------
    target_n
        (n,) values of the target.
    values_nk
        (n, k) values of the others, dense or sparse. Sparse columns are never densified all at once, and Pearson,
        cosine, rho_p and the rank measures touch their stored entries only.
    measure
        A name in :data:`MEASURES`.
    zero_n, zero_nk
        For the re-tied measures: where the raw counts of target and columns are zero, as booleans; ``zero_nk`` may
        also be the sparse raw counts themselves.
    depth_n
        For ``cscore``: (n,) total counts of the cells; target and values are then raw counts.

    Returns
    -------
    ndarray
        (k,) float64; NaN where undefined.

    Raises
    ------
    OptionError
        No such measure, or one that lacks what it needs (zeros, depths).
    MethodError
        Shapes do not fit.

    Notes
    -----
    A column is constant if its standard deviation is below 1e-9 max(1, \|mean\|). Pearson, Spearman, Kendall and
    bicor do not change under ``a x + b`` with a > 0; cosine only under a > 0; rho_p only if both genes are scaled
    alike; mutual information under any increasing map, and it has no sign.

    References
    ----------
    Skinnider, Squair & Foster, Nature Methods 2019 (rho_p among 17 measures); Langfelder & Horvath, Journal of
    Statistical Software 2012 (bicor); Knight, JASA 1966 (tau in n log n); Su et al., Nature Communications 2023
    (CS-CORE).
    """
    return associate_with_reasons(target_n, values_nk, measure, zero_n=zero_n, zero_nk=zero_nk, depth_n=depth_n)[0]


def associate_with_reasons(
    target_n: Array,
    values_nk: Any,
    measure: str = "pearson",
    *,
    zero_n: Array | None = None,
    zero_nk: Any = None,
    depth_n: Array | None = None,
) -> tuple[Array, Array]:
    """As :func:`associate`, and (k,) why each NaN is one: a key of :data:`REASONS`, or ``""`` where r is defined."""
    chosen = measure_named(measure)
    target_n = np.asarray(target_n, np.float64)
    if target_n.ndim != 1 or values_nk.ndim != 2 or values_nk.shape[0] != target_n.size:
        raise MethodError(
            f"{measure}: target of shape {target_n.shape} against values of shape {values_nk.shape}; "
            "both must have one row per cell"
        )
    if chosen.compute is None:
        if depth_n is None:
            raise OptionError(f"{measure} models raw counts and needs the depth of every cell; pass depth_n")
        fit = cscore_one_to_many(target_n, values_nk, depth_n)
        return fit.rho, fit.reason
    if chosen.reties:
        if zero_n is None or zero_nk is None:
            raise OptionError(f"{measure} needs to know which raw counts are zero; pass zero_n and zero_nk")
        target_n = retie(target_n[:, None], np.asarray(zero_n, bool)[:, None])[0][:, 0]
    r_k = np.full(values_nk.shape[1], np.nan)
    reason_k = np.full(values_nk.shape[1], _target_reason(target_n), object)
    if reason_k.size and reason_k[0] == "":
        for chunk in column_chunks(values_nk, zero_nk if chosen.reties else None):
            r_k[chunk.columns], reason_k[chunk.columns] = _chunk_association(chosen.compute, target_n, chunk)
    return r_k, reason_k


def undefined_reason(
    target_n: Array,
    value_n: Array,
    measure: str = "pearson",
    *,
    zero_n: Array | None = None,
    zero_value_n: Array | None = None,
    depth_n: Array | None = None,
) -> str:
    """Why the association of two genes is NaN: a key of :data:`REASONS`, or ``""`` if it is defined."""
    zero_nk = None if zero_value_n is None else np.asarray(zero_value_n)[:, None]
    _, reason_k = associate_with_reasons(
        target_n, np.asarray(value_n)[:, None], measure, zero_n=zero_n, zero_nk=zero_nk, depth_n=depth_n
    )
    return str(reason_k[0])


def pearson_one_to_many(target_n: Array, values_nk: Any) -> Array:
    """Pearson correlation of a target with every column, (k,); sparse columns cost their stored entries only."""
    return associate(target_n, values_nk, "pearson")


def _target_reason(target_n: Array) -> str:
    if not np.isfinite(target_n).all():
        return "target_not_finite"
    return "target_zero_variance" if is_constant(target_n.mean(), target_n.var()) else ""


def _chunk_association(
    compute: Callable[[Array, Chunk, Moments], Array], target_n: Array, chunk: Chunk
) -> tuple[Array, Array]:
    moments = comoments(target_n, chunk.x_nc)
    defined_c = moments.finite_c & ~moments.constant_c
    r_c = np.full(defined_c.size, np.nan)
    if defined_c.any():
        r_c[defined_c] = compute(target_n, chunk.select(defined_c), moments.select(defined_c))
    reason_c = np.full(defined_c.size, "", object)
    reason_c[np.isnan(r_c)] = "no_weight"
    reason_c[moments.constant_c] = "zero_variance"
    reason_c[~moments.finite_c] = "not_finite"
    return r_c, reason_c
