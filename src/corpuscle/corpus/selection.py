"""Which cells of a source go into a data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from corpuscle.counts import Counts
from corpuscle.errors import NotCountsError, OptionError

if TYPE_CHECKING:
    from corpuscle.corpus._units import SourceSpec

__all__ = ["filter_mask", "keep_cells"]

#: What people write for yes and no, in lower case.
WORDS = {"0": False, "1": True, "0.0": False, "1.0": True, "false": False, "true": True}


def keep_cells(
    spec: SourceSpec,
    counts: Counts,
    *,
    filter: str | None = None,
    filter_missing: Literal["error", "keep"] = "error",
    qc: Any = None,
) -> tuple[np.ndarray[Any, np.dtype[np.bool_]], dict[str, int]]:
    """Cells that pass the filter column and the quality control, and how many each of them dropped.

    Parameters
    ----------
    spec, counts
        The source, as named and as opened.
    filter
        Column of ``obs`` that says which cells to keep.
    filter_missing
        What a source without that column means: an error, or that all of its cells pass.
    qc
        Folder that ``corpus qc`` wrote, or what ``read_qc`` returned for it.

    Returns
    -------
    keep_n
        (n,) cells to keep.
    dropped
        ``"filter_pass"`` -> cells that the column drops, ``"qc"`` -> cells that quality control drops of the others.

    Raises
    ------
    OptionError
        There is no such column.
    NotCountsError
        The column does not say yes or no for every cell.
    SourceError
        Quality control judged another source.
    """
    everyone = filter is None or (filter_missing == "keep" and filter not in counts.obs)
    keep_n = np.ones(counts.n_obs, bool) if everyone else filter_mask(counts, str(filter))
    dropped = {"filter_pass": int(keep_n.size - np.count_nonzero(keep_n)), "qc": 0}
    if qc is not None:
        if isinstance(qc, str | Path):
            from corpuscle.corpus.qc import read_qc

            qc = read_qc(qc)
        good_n = np.asarray(qc.keep(spec, counts), bool)
        dropped["qc"] = int(np.count_nonzero(keep_n & ~good_n))
        keep_n = keep_n & good_n
    return keep_n, dropped


def filter_mask(counts: Counts, column: str) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """(n,) whether ``obs[column]`` says yes: booleans, 0 and 1, or these as text."""
    if column not in counts.obs:
        raise OptionError(
            f"{counts.name}: there is no obs column {column!r} to filter by; it has: {_names(counts.obs)}"
        )
    values = counts.obs[column]
    if values.ndim > 1:
        raise OptionError(f"{counts.name}: there are several obs columns {column!r}; rename all but one")
    missing = int(values.isna().sum())
    if missing:
        raise NotCountsError(
            f"{counts.name}: filter column {column!r} says nothing for {missing:,} cells; fill it with 0 or 1"
        )
    uniques = pd.unique(values)
    meaning = {value: _meaning(value) for value in uniques}
    unknown = [value for value, yes in meaning.items() if yes is None]
    if unknown:
        shown = unknown[0].item() if isinstance(unknown[0], np.generic) else unknown[0]
        raise NotCountsError(
            f"{counts.name}: filter column {column!r} holds {shown!r}, which is neither yes nor no; use 0 and 1"
        )
    return values.astype(object).map(meaning).to_numpy(bool)


def _meaning(value: Any) -> bool | None:
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | float | np.number):
        return bool(value) if value in (0, 1) else None
    return WORDS.get(str(value).strip().lower())


def _names(obs: pd.DataFrame) -> str:
    names = [str(name) for name in obs.columns]
    return ", ".join(names[:20]) + (", ..." if len(names) > 20 else "") if names else "none"
