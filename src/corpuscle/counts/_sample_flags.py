"""Bulk samples that are none, or too poor to compare with others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from corpuscle.errors import OptionError

if TYPE_CHECKING:
    from corpuscle.counts._counts import Counts

__all__ = ["PROBABILITY", "flags_of", "sample_flags"]

Array = np.ndarray[Any, Any]

#: The field of ARCHS4 with the probability that a sample is a single cell.
PROBABILITY = "singlecellprobability"


def sample_flags(
    counts: Counts, min_reads: float = 1e6, min_genes: int = 10_000, max_single_cell: float = 0.5
) -> pd.DataFrame:
    """Depth and detection of every sample, and what speaks against it.

    Parameters
    ----------
    counts
        The samples; one pass, unless their profile is known.
    min_reads
        A sample with fewer counts is shallow.
    min_genes
        A sample with fewer genes that have a count has few genes.
    max_single_cell
        A sample with this probability of being a single cell, or a higher one, is single-cell-like.

    Returns
    -------
    pandas.DataFrame
        Index: samples. ``depth`` (counts), ``genes`` (with a count of at least 1), ``single_cell_like`` (nullable
        boolean: missing where the source does not say), ``shallow``, ``few_genes``. ``attrs["notes"]`` lists in
        words what the source does not say.

    Raises
    ------
    OptionError
        A threshold is negative, or ``max_single_cell`` is not within 0 to 1.
    """
    profile = counts.profile()
    return flags_of(counts, profile.depth_n, profile.genes_n, min_reads, min_genes, max_single_cell)


def flags_of(
    counts: Counts,
    depth_n: Array,
    genes_n: Array,
    min_reads: float = 1e6,
    min_genes: int = 10_000,
    max_single_cell: float = 0.5,
) -> pd.DataFrame:
    """The same, given counts and detected genes by sample."""
    for value, what in ((min_reads, "min_reads"), (min_genes, "min_genes")):
        if not value >= 0:
            raise OptionError(f"{what} is {value!r} and must be a number of 0 or more")
    if not 0 <= max_single_cell <= 1:
        raise OptionError(f"max_single_cell is {max_single_cell!r} and must be a probability, from 0 to 1")
    single, notes = _single_cell_like(counts, max_single_cell)
    flags = pd.DataFrame(
        {
            "depth": depth_n,
            "genes": genes_n,
            "single_cell_like": single,
            "shallow": depth_n < min_reads,
            "few_genes": genes_n < min_genes,
        },
        index=counts.obs.index,
    )
    flags.attrs["notes"] = notes
    return flags


def _single_cell_like(counts: Counts, limit: float) -> tuple[Any, list[str]]:
    n = counts.n_obs
    unknown = pd.array([pd.NA] * n, dtype="boolean")
    if PROBABILITY not in counts.obs:
        return unknown, [f"{counts.name}: no field {PROBABILITY}: which samples are single cells is not known"]
    probability_n = pd.to_numeric(counts.obs[PROBABILITY], errors="coerce").to_numpy(np.float64)
    missing_n = ~np.isfinite(probability_n)
    single = pd.arrays.BooleanArray(np.where(missing_n, False, probability_n >= limit), missing_n)
    if not missing_n.any():
        return single, []
    return single, [f"{counts.name}: {int(missing_n.sum()):,} of {n:,} samples have no number in {PROBABILITY}"]
