"""Which samples have which label, and of which series they are, however that was given."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from corpuscle.bulk.labels.store import Labels
from corpuscle.bulk.series import series_groups
from corpuscle.counts import Counts
from corpuscle.errors import OptionError

if TYPE_CHECKING:
    Array = np.ndarray[Any, Any]

__all__ = ["label_members", "series_codes"]


def label_members(counts: Counts, labels: Labels | str | Path | None) -> tuple[sp.csr_matrix | None, list[str]]:
    """(samples, labels) CSR of 0 and 1 in the order of the samples, and notes; None without labels.

    Raises
    ------
    OptionError
        There is no such column, or no sample is in both.
    SourceError
        The file cannot be read, or samples share a name.
    """
    if labels is None:
        return None, []
    if isinstance(labels, str) and labels.startswith("obs:"):
        return Labels.from_obs(counts, labels.removeprefix("obs:")).y_nl, []
    known = labels if isinstance(labels, Labels) else Labels.load(labels)
    of_samples, notes = known.for_samples(counts.obs.index)
    return of_samples.y_nl, notes


def series_codes(counts: Counts, series: str | Array | None) -> tuple[Array | None, list[str]]:
    """(n,) series of each sample, numbered from 0, and notes; None without series.

    Raises
    ------
    OptionError
        There is no such column, or not one series a sample.
    """
    if series is None:
        return None, []
    if isinstance(series, str):
        return series_groups(counts.obs, series)
    given = np.asarray(series)
    if given.shape != (counts.n_obs,):
        raise OptionError(
            f"series has shape {given.shape} and must have one entry for each of {counts.n_obs:,} samples"
        )
    return np.unique(given, return_inverse=True)[1].astype(np.int64), []
