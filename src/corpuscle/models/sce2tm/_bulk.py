"""A bulk cohort: its expression as z-scores, and how long its patients were followed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from corpuscle.errors import GeneError, MethodError, OptionError, SourceError

__all__ = ["Bulk", "FollowUp", "read_bulk", "read_follow_up"]

Array = np.ndarray[Any, Any]
#: With fewer samples or events no association can be told from chance.
FEWEST_SAMPLES = 10
FEWEST_EVENTS = 3


@dataclass(frozen=True)
class Bulk:
    """Expression of s samples over the g genes that vary between them.

    Attributes
    ----------
    samples, genes
        Names.
    x_sg, z_sg
        (s, g) float32 log expression, and z-scores of each gene over the samples.
    obs
        Table of the samples, where the source has one.
    """

    samples: pd.Index
    genes: pd.Index
    x_sg: Array
    z_sg: Array
    obs: pd.DataFrame | None

    @property
    def mean_g(self) -> Array:
        """(g,) mean log expression."""
        mean_g: Array = self.x_sg.mean(axis=0, dtype=np.float64)
        return mean_g

    def take(self, rows: Array) -> Bulk:
        """The same of some samples, with z-scores of these alone."""
        return _standardised(self.x_sg[rows], self.samples[rows], self.genes, self.obs)


@dataclass(frozen=True)
class FollowUp:
    """Survival of the samples at ``rows`` of a cohort.

    Attributes
    ----------
    rows
        Positions of the samples that can be used.
    time_s, event_s
        (s,) follow-up time, above 0, and whether the event was seen at its end.
    covariate_sc
        (s, c) standardised covariates, text as indicators; c may be 0.
    """

    rows: Array
    time_s: Array
    event_s: Array
    covariate_sc: Array


def read_bulk(expression: Any) -> Bulk:
    """Read a cohort; genes that are the same in every sample are left out.

    Raises
    ------
    SourceError
        Not a matrix of finite numbers, or fewer than two samples.
    GeneError
        A gene name repeats.
    """
    if isinstance(expression, pd.DataFrame):
        values, samples, genes, obs = expression, expression.index, expression.columns, None
    elif all(hasattr(expression, field) for field in ("X", "obs", "var_names")):
        values, samples, genes, obs = expression.X, expression.obs_names, expression.var_names, expression.obs
    else:
        raise SourceError(
            f"a bulk cohort is a data frame of samples x genes or an AnnData, not {type(expression).__name__}"
        )
    try:
        x_sg = np.asarray(values.toarray() if sp.issparse(values) else values, np.float64)
    except (TypeError, ValueError):
        raise SourceError("bulk expression holds text; give samples as rows and genes as columns of numbers") from None
    _check(x_sg, samples, genes)
    return _standardised(x_sg, pd.Index(samples.astype(str)), pd.Index(genes.astype(str)), obs)


def _check(x_sg: Array, samples: pd.Index, genes: pd.Index) -> None:
    if len(samples) < 2:
        raise SourceError(f"bulk expression has {len(samples)} sample; an association needs many: rows are samples")
    if not np.isfinite(x_sg).all():
        sample, gene = np.argwhere(~np.isfinite(x_sg))[0]
        raise SourceError(f"bulk expression of sample {samples[sample]}, gene {genes[gene]} is {x_sg[sample, gene]}")
    for names, what in ((genes, "gene"), (samples, "sample")):
        if not names.is_unique:
            error = GeneError if what == "gene" else SourceError
            raise error(f"bulk expression: {what} {names[names.duplicated()][0]} is there twice; keep one of them")


def _standardised(x_sg: Array, samples: pd.Index, genes: pd.Index, obs: Any) -> Bulk:
    varies_g = np.ptp(x_sg, axis=0) > 1e-9 * np.maximum(1.0, np.abs(x_sg).max(axis=0))
    if not varies_g.any():
        raise SourceError("bulk expression: every gene is the same in all samples; give one row a sample")
    x_sg = x_sg[:, varies_g].astype(np.float64)
    z_sg = (x_sg - x_sg.mean(axis=0)) / x_sg.std(axis=0)
    return Bulk(samples, genes[varies_g], x_sg.astype(np.float32), z_sg.astype(np.float32), obs)


def read_follow_up(
    bulk: Bulk,
    clinical: pd.DataFrame | None,
    *,
    time: str,
    event: str,
    event_value: Any = None,
    covariates: Sequence[str] = (),
    drop: bool = False,
) -> FollowUp:
    """Read the survival of a cohort's samples.

    Raises
    ------
    OptionError
        No table, no such column, or a status that is neither 0 nor 1 without ``event_value``.
    SourceError
        A sample without follow-up, with a time that is not above 0, or of unknown status or covariate, unless
        ``drop``.
    MethodError
        Too few samples or events are left.
    """
    table = _aligned(bulk, clinical)
    for column in (time, event, *covariates):
        if column not in table.columns:
            raise OptionError(
                f"the clinical table has no column {column!r}; it has: {', '.join(map(str, table.columns))}"
            )
    time_s = pd.to_numeric(table[time], errors="coerce").to_numpy(float)
    seen_s = _seen(table[event], event, event_value)
    faults = {
        f"has no follow-up time above 0 ({time})": ~(np.isfinite(time_s) & (time_s > 0)),
        f"is of unknown status ({event})": ~np.isfinite(seen_s),
    } | {f"has no {name}": table[name].isna().to_numpy() for name in covariates}
    usable_s = np.ones(len(table), bool)
    for fault, faulty_s in faults.items():
        if faulty_s.any() and not drop:
            raise SourceError(
                f"sample {bulk.samples[int(np.argmax(faulty_s))]} {fault}, {int(faulty_s.sum()):,} such samples; leave "
                "them out, or pass drop_unusable=True"
            )
        usable_s &= ~faulty_s
    rows = np.flatnonzero(usable_s)
    event_s = seen_s[rows] == 1
    if rows.size < FEWEST_SAMPLES or event_s.sum() < FEWEST_EVENTS:
        raise MethodError(
            f"{rows.size:,} samples with {int(event_s.sum()):,} events ({event}) can be used; it takes "
            f"{FEWEST_SAMPLES} and {FEWEST_EVENTS}"
        )
    return FollowUp(rows, time_s[rows], event_s, _design(table.iloc[rows], covariates))


def _aligned(bulk: Bulk, clinical: pd.DataFrame | None) -> pd.DataFrame:
    table = bulk.obs if clinical is None else clinical
    if table is None:
        raise OptionError("a data frame has no follow-up in it; pass clinical=, a table with the samples as its index")
    table = table.set_axis(table.index.astype(str), axis=0)
    if not table.index.is_unique:
        raise SourceError(f"the clinical table has sample {table.index[table.index.duplicated()][0]} twice; keep one")
    if not table.index.isin(bulk.samples).any():
        raise SourceError(
            f"no sample of the expression ({bulk.samples[0]}, ...) is in the clinical table ({table.index[0]}, ...); "
            "make its index the sample names"
        )
    return table.reindex(bulk.samples)


def _seen(status: pd.Series, name: str, event_value: Any) -> Array:
    """1 where the event was seen, 0 where not, NaN where that is not known."""
    if event_value is not None:
        if event_value not in set(status.dropna()):
            raise OptionError(f"no sample has {name}={event_value!r}; there are: {_listed(status)}")
        return np.where(status.isna(), np.nan, (status == event_value).astype(float))
    try:
        seen_s = status.astype(object).where(status.notna(), np.nan).astype(float).to_numpy()
    except (TypeError, ValueError):
        raise OptionError(f"{name} is {_listed(status)}; say which means the event with event_value=") from None
    odd = seen_s[np.isfinite(seen_s) & ~np.isin(seen_s, [0, 1])]
    if odd.size:
        raise OptionError(f"{name} is {odd[0]:g} in a sample; it must be 0 or 1, or say which with event_value=")
    return np.asarray(seen_s)


def _design(table: pd.DataFrame, covariates: Sequence[str]) -> Array:
    parts = []
    for name in covariates:
        column = table[name]
        if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
            parts.append(column.to_numpy(float)[:, None])
        else:
            parts.append(pd.get_dummies(column.astype(str), drop_first=True).to_numpy(float))
    design_sc = np.hstack(parts) if parts else np.empty((len(table), 0))
    design_sc = design_sc[:, np.ptp(design_sc, axis=0) > 0] if design_sc.shape[1] else design_sc
    if not design_sc.shape[1]:
        return design_sc
    standard_sc: Array = (design_sc - design_sc.mean(axis=0)) / design_sc.std(axis=0)
    return standard_sc


def _listed(values: pd.Series) -> str:
    return ", ".join(sorted({str(value) for value in values.dropna()})[:8])
