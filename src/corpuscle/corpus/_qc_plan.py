"""What is known before the counts are read: data sets of the cells, roles of the genes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from corpuscle.corpus._qc_judge import QCRecipe, reason_bit
from corpuscle.corpus._qc_measure import GeneRoles, gene_roles
from corpuscle.corpus._units import SourceSpec, opened
from corpuscle.corpus.gene_plan import GeneOptions
from corpuscle.corpus.qc_files import names_digest
from corpuscle.corpus.selection import filter_mask
from corpuscle.counts import Counts
from corpuscle.errors import GeneError, OptionError

__all__ = ["Plan", "PlannedSource", "plan_sources"]

Array = np.ndarray[Any, Any]


@dataclass(eq=False)
class PlannedSource:
    """A source before its counts are read.

    Attributes
    ----------
    spec
        Where it is.
    roles
        What its genes count for.
    names
        Digest of the names of its cells.
    home_n
        (n,) int32 number of the data set of each cell.
    excluded_n
        (n,) uint8 reasons against cells that are not looked at, else 0.
    """

    spec: SourceSpec
    roles: GeneRoles
    names: str
    home_n: Array
    excluded_n: Array


@dataclass(eq=False)
class Plan:
    """Sources and data sets, in the order in which they were met; cells of one data set may be in several sources."""

    sources: list[PlannedSource]
    sets: list[str]


def plan_sources(specs: Sequence[SourceSpec], recipe: QCRecipe, options: GeneOptions) -> Plan:
    """Look at the names of genes and cells of every source.

    Raises
    ------
    OptionError
        A column is missing.
    NotCountsError
        The filter column says neither yes nor no for a cell.
    GeneError
        No gene is of the biotypes, or no source has any of the given mitochondrial genes.
    SourceError
        A source cannot be read, or has no cells.
    """
    numbers: dict[str | int | None, int] = {}
    sources = []
    for place, spec in enumerate(specs):
        counts = opened(spec)
        roles = gene_roles(counts, biotypes=recipe.biotypes, mito_genes=recipe.mito_genes, options=options)
        home_n, excluded_n = _homes(counts, place, recipe.by, numbers)
        if recipe.filter is not None:
            excluded_n[~filter_mask(counts, recipe.filter)] = reason_bit("filter")
        sources.append(PlannedSource(spec, roles, names_digest(counts), home_n, excluded_n))
    if recipe.mito_genes is not None and not any(one.roles.n_mito for one in sources):
        raise GeneError(
            f"{specs[0].name}: none of the {len(recipe.mito_genes):,} mitochondrial genes given is there (first: "
            f"{recipe.mito_genes[0]}); give symbols or Ensembl ids as in the file"
        )
    labels = {None: f"(no {recipe.by})"} | {place: spec.name for place, spec in enumerate(specs)}
    return Plan(sources, [key if isinstance(key, str) else labels[key] for key in numbers])


def _homes(counts: Counts, place: int, by: str | None, numbers: dict[str | int | None, int]) -> tuple[Array, Array]:
    """Number of the data set of each cell, and the reason against those that have none."""
    excluded_n = np.zeros(counts.n_obs, np.uint8)
    if by is None:
        return np.full(counts.n_obs, numbers.setdefault(place, len(numbers)), np.int32), excluded_n
    if by not in counts.obs:
        have = ", ".join(map(str, counts.obs.columns[:20])) or "none"
        raise OptionError(f"{counts.name}: there is no obs column {by!r} that names data sets; it has: {have}")
    codes, values = pd.factorize(counts.obs[by])
    keys = [_label(value) for value in values] + [None]  # the last is where code -1, a missing value, points
    met: dict[str | None, int] = {}
    for code in pd.unique(codes):
        met.setdefault(keys[code], numbers.setdefault(keys[code], len(numbers)))
    home_n = np.array([met.get(key, 0) for key in keys], np.int32)[codes]
    excluded_n[np.array([key is None for key in keys])[codes]] = reason_bit("no_data_set")
    return home_n, excluded_n


def _label(value: Any) -> str | None:
    """Name of a data set; numbers as people write them, so that 1 and 1.0 are one; None for an empty text."""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value).strip() or None
