"""What has to be known beside the numbers: why some are missing, and how far the window can be trusted."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from corpuscle.bulk.genes.percentiles import Z, order_interval
from corpuscle.bulk.genes.windows import Window
from corpuscle.counts import Counts

__all__ = ["notes_of", "reasons"]

Array = np.ndarray[Any, Any]


def reasons(frame: pd.DataFrame, detected_g: Array, percentile: float, with_cosine: bool, with_tau: bool) -> Array:
    """(g,) why numbers of a gene that were asked for are not defined; empty where all are."""
    n = int(frame["n"].iloc[0]) if len(frame) else 0
    reason_g = np.full(len(frame), "", object)
    if with_tau:
        reason_g[frame["tau"].isna()] = "tau needs two labels and means that are not negative"
    reason_g[frame["gini"].isna()] = "some values are negative: no Gini coefficient"
    reason_g[frame["signal_ratio"].isna()] = "mean + pseudo-count is not above 0: no signal ratio"
    if with_cosine:
        missing_g = frame["cosine"].isna().to_numpy()
        reason_g[missing_g] = "fewer than two samples of the window have a direction"
        for g in np.flatnonzero(missing_g & (detected_g <= n - 1 - np.ceil((n - 1) * percentile / 100))):
            reason_g[g] = f"no count at p{percentile:g}: detected in {detected_g[g]:,} of {n:,} samples"
    reason_g[detected_g == 0] = "no counts in any sample"
    return reason_g


def notes_of(
    counts: Counts, q: float, percentile: float, window: Window | None, k: int, repo_formula: bool, code_n: Array | None
) -> list[str]:
    """Lines on the interval of the percentile, the window, and the names of the genes."""
    n, notes = counts.n_obs, []
    low, high = order_interval(n, q)
    for rank, end in ((low, "lower"), (high, "upper")):
        if rank is None:
            notes.append(
                f"{n:,} samples are too few for the {end} end of the interval of p{percentile:g}; it is left empty"
            )
    half = math.ceil(Z * math.sqrt(n * q * (1 - q)))
    if window is not None:
        if 2 * half > window.k:
            notes.append(
                f"the 95 % interval of p{percentile:g} spans {half:,} ranks to each side, more than the window of {window.k:,} "
                "samples: other samples of the same kind would have put other samples into it"
            )
        if window.k < k:
            notes.append(f"the window around p{percentile:g} is cut off at the end: {window.k:,} of {k:,} samples")
        elif not repo_formula and abs((window.start + window.stop - 1) / 2 - (n - 1) * q) > 1:
            notes.append(
                f"the window of {window.k:,} samples is not centred at p{percentile:g}: it would reach beyond the ends of "
                f"{n:,} samples; choose a smaller window"
            )
    if code_n is not None and len(np.unique(code_n)) < 2:
        notes.append("all samples are of one series, so windows of whole series are random windows")
    twice = int(counts.var_names.duplicated().sum())
    if twice:
        notes.append(f"{twice:,} genes have the name of another one; each has a row of its own, and counts in profiles")
    return notes
