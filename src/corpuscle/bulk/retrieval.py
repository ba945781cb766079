"""How often the samples most like a sample are of its kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from corpuscle.errors import OptionError
from corpuscle.seeds import stream

if TYPE_CHECKING:
    from corpuscle.bulk.similar import SampleIndex

__all__ = ["Retrieval", "retrieval_precision"]

Array = np.ndarray[Any, Any]
#: Samples looked up at a time, and resamples drawn at a time.
CHUNK, DRAWN = 8_192, 64


@dataclass(frozen=True)
class Retrieval:
    """Precision at k: of the k labelled samples most like a sample, the share with its label.

    Attributes
    ----------
    k
        Neighbours looked at.
    precision, ci_low, ci_high
        Mean over samples, and its 95 % interval by resampling the series of the queries. Samples that many others have
        among their nearest make answers depend on each other, which the interval does not see: it is somewhat too narrow.
    macro, macro_low, macro_high
        Mean over labels of the mean over their samples, and its interval.
    chance
        What neighbours drawn at random, under the same exclusion, would reach in the mean over samples.
    n_queries, n_series
        Samples asked, and their series.
    n_alone
        Labelled samples that were not asked, since no other sample of their label is left to be found.
    by_label
        Columns label, n_samples, n_series, precision, ci_low, ci_high, chance; intervals are NaN where a label is in
        one series only.
    """

    k: int
    precision: float
    ci_low: float
    ci_high: float
    macro: float
    macro_low: float
    macro_high: float
    chance: float
    n_queries: int
    n_series: int
    n_alone: int
    by_label: pd.DataFrame


def retrieval_precision(
    index: SampleIndex,
    labels: Any,
    k: int = 10,
    exclude_series: bool = True,
    *,
    n_boot: int = 1000,
    seed: int = 0,
) -> Retrieval:
    """Ask every labelled sample for its k most similar labelled samples, and compare labels.

    Parameters
    ----------
    index
        The collection.
    labels
        (n,) one label a sample; None, NaN or an empty text for none. Samples without a label neither ask nor answer.
    k
        Neighbours; where fewer are left, the share is of those.
    exclude_series
        Leave out samples of the same series; without it replicates answer for each other.
    n_boot
        Resamples of the series, for the intervals.
    seed
        Draws them.

    Raises
    ------
    OptionError
        There are not n labels, or no sample has another one of its label to find.
    """
    code_n, names = _codes(labels, index.n_samples)
    if k < 1 or n_boot < 1:
        raise OptionError(f"k is {k} and n_boot is {n_boot}; both must be 1 or more")
    labelled = np.flatnonzero(code_n >= 0)
    part = _Labelled(index, labelled, code_n[labelled], exclude_series)
    found_m, others_m = part.reachable()
    asked = np.flatnonzero(found_m > 0)
    if not len(asked):
        raise OptionError(
            "no labelled sample has another one of its label in another series; label more samples, or include the same series"
        )
    hit_q = part.precision(asked, min(k, len(labelled)))
    chance_q = found_m[asked] / others_m[asked]
    label_q, group_q = part.code_m[asked], part.series_m[asked]
    return _summary(k, names, label_q, group_q, hit_q, chance_q, len(labelled) - len(asked), n_boot, seed)


class _Labelled:
    """The samples of an index that have a label."""

    def __init__(self, index: SampleIndex, place_m: Array, code_m: Array, exclude_series: bool) -> None:
        if exclude_series:
            index._require_series()
        self.unit_md, self.code_m = index.unit_nd[place_m], code_m
        self.series_m = np.unique(index.groups_n[place_m], return_inverse=True)[1]
        self.excluded = exclude_series  # if not, only the sample itself is left out

    def reachable(self) -> tuple[Array, Array]:
        """(m,) samples of the same label, and samples of any, that each could find."""
        m = len(self.code_m)
        label_size = np.bincount(self.code_m)[self.code_m]
        if not self.excluded:
            return label_size - 1, np.full(m, m - 1)
        pair = self.code_m.astype(np.int64) * (int(self.series_m.max()) + 1) + self.series_m
        _, inverse, size = np.unique(pair, return_inverse=True, return_counts=True)
        return label_size - size[inverse], m - np.bincount(self.series_m)[self.series_m]

    def precision(self, asked: Array, k: int) -> Array:
        """(q,) share of the neighbours of each asked sample that have its label."""
        from corpuscle.bulk._nearest import nearest

        out = np.empty(len(asked))
        for start in range(0, len(asked), CHUNK):
            place = asked[start : start + CHUNK]
            groups = self.series_m[place] if self.excluded else None
            found, _ = nearest(
                self.unit_md[place], self.unit_md, k, group_q=groups, group_n=self.series_m, self_q=place
            )
            same = (self.code_m[found] == self.code_m[place][:, None]) & (found >= 0)
            out[start : start + CHUNK] = same.sum(axis=1) / (found >= 0).sum(axis=1)
        return out


def _codes(labels: Any, n: int) -> tuple[Array, Array]:
    given = pd.Series(np.asarray(labels, object))
    if len(given) != n:
        raise OptionError(f"there are {len(given):,} labels for {n:,} samples; give one each, None for no label")
    text = given.where(given.notna(), "").astype(str)
    code_n, names = pd.factorize(text.where(text != ""), sort=True)
    return code_n, np.asarray(names, object)


def _summary(
    k: int,
    names: Array,
    label_q: Array,
    group_q: Array,
    hit_q: Array,
    chance_q: Array,
    n_alone: int,
    n_boot: int,
    seed: int,
) -> Retrieval:
    group_q = np.unique(group_q, return_inverse=True)[1]
    used, label_q = np.unique(label_q, return_inverse=True)
    shape = (int(group_q.max()) + 1, len(used))
    hit_sl = sp.csr_matrix((hit_q, (group_q, label_q)), shape=shape)
    asked_sl = sp.csr_matrix((np.ones(len(hit_q)), (group_q, label_q)), shape=shape)
    hits, asked = np.asarray(hit_sl.sum(axis=0)).ravel(), np.asarray(asked_sl.sum(axis=0)).ravel()
    micro_b, macro_b, label_bl = _resampled(hit_sl, asked_sl, n_boot, seed)
    series_l = np.diff(asked_sl.tocsc().indptr)
    low_l, high_l = np.nanpercentile(label_bl, [2.5, 97.5], axis=0)
    several = series_l > 1
    by_label = pd.DataFrame(
        {
            "label": names[used], "n_samples": asked.astype(int), "n_series": series_l, "precision": hits / asked,
            "ci_low": np.where(several, low_l, np.nan), "ci_high": np.where(several, high_l, np.nan),
            "chance": np.bincount(label_q, chance_q) / asked,
        }
    )  # fmt: skip
    micro, macro = _interval(micro_b, shape[0]), _interval(macro_b, shape[0])
    return Retrieval(
        k, float(hit_q.mean()), *micro, float((hits / asked).mean()), *macro, float(chance_q.mean()), len(hit_q), shape[0],
        n_alone, by_label,
    )  # fmt: skip


def _resampled(hit_sl: sp.csr_matrix, asked_sl: sp.csr_matrix, n_boot: int, seed: int) -> tuple[Array, Array, Array]:
    """Means over samples and over labels, and of every label, of resampled series."""
    random = stream(seed, "retrieval", "series")
    n_series = hit_sl.shape[0]
    micro, macro, by_label = [], [], []
    for start in range(0, n_boot, DRAWN):
        draws = min(DRAWN, n_boot - start)
        drawn = random.integers(n_series, size=(draws, n_series))
        times_bs = np.stack([np.bincount(one, minlength=n_series) for one in drawn]).astype(np.float64)
        hits_bl, asked_bl = times_bs @ hit_sl, times_bs @ asked_sl
        with np.errstate(invalid="ignore"):
            share_bl = hits_bl / asked_bl  # NaN where no series of a label was drawn
        micro.append(hits_bl.sum(axis=1) / asked_bl.sum(axis=1))
        macro.append(np.nanmean(share_bl, axis=1))
        by_label.append(share_bl)
    return np.concatenate(micro), np.concatenate(macro), np.concatenate(by_label)


def _interval(values_b: Array, n_series: int) -> tuple[float, float]:
    if n_series < 2:
        return float("nan"), float("nan")
    low, high = np.percentile(values_b, [2.5, 97.5])
    return float(low), float(high)
