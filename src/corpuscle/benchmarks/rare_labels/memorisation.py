"""Does a generator repeat its training samples, or one sample over and over?

A copier has perfect fidelity, and a generator that returns the mean of a label may even help a linear classifier. So each
synthetic set is asked how near it is to the training samples, how many of these it is near to, and how wide it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from corpuscle.benchmarks.rare_labels._figures import Undefined, checked, figure_table, need
from corpuscle.benchmarks.rare_labels._knn import nearest, pair_distances
from corpuscle.errors import OptionError

__all__ = [
    "CLOSE_SHARE",
    "DISTINCT",
    "EFFECTIVE_RANK",
    "FIGURES",
    "NEAREST_RATIO",
    "SPREAD",
    "effective_rank",
    "memorisation",
    "rarefied",
    "verdict",
]

Array = np.ndarray[Any, Any]
#: Below this share of the distance that real samples have to training samples, synthetic ones may be copies:
NEAREST_RATIO = 0.5
#: they are where more than this share of them is also closer than all but 1 % of real samples are to one another.
CLOSE_SHARE = 0.5
#: Distinct nearest training samples, relative to those of as many real draws, below which a generator has collapsed.
DISTINCT = 0.2
#: Mean distance of synthetic pairs, relative to real pairs, below which it has.
SPREAD = 0.5
#: Effective rank of the covariance, relative to that of as many real samples, below which it has.
EFFECTIVE_RANK = 0.2
#: Most training samples of which all pairs are taken.
N_PAIRED = 2000
JUDGES = {
    "held_out": ("nearest_ratio",),
    "left_out": ("nearest_ratio_left_out",),
    "close": ("close_share",),
    "distinct": ("distinct_share", "distinct_relative"),
    "pairs": ("spread_ratio", "duplicate_share", "support"),
    "rank": ("rank_ratio",),
}
FIGURES = tuple(name for names in JUDGES.values() for name in names)


def memorisation(
    train_nd: Array, synthetic_sd: Array, heldout_md: Array | None = None, *, n_max: int = 2000
) -> pd.DataFrame:
    """Figures of copying and collapse of synthetic samples of one label.

    Parameters
    ----------
    train_nd
        (n, d) all training samples of the label.
    synthetic_sd
        (s, d) synthetic samples in random order; the first ``n_max`` are judged.
    heldout_md
        (m, d) real samples of the label that were not trained on; None where there are none.
    n_max
        Most synthetic and held-out samples.

    Returns
    -------
    figures
        Columns ``figure``, ``value``, ``reference`` (held-out samples in place of the synthetic ones), ``reason`` (why
        a value is NaN, else empty). The figures:

        ``nearest_ratio``
            median distance from a synthetic sample to its nearest training sample, over that from a held-out one; 1
            is right, far less is copying. Held-out samples come from other series and so lie further off.
        ``nearest_ratio_left_out``
            the same over the distance from a training sample to the nearest other, which knows no other series.
        ``close_share``
            share no further from a training sample than the 1st percentile of those distances between training samples; of
            fresh samples about 0.01, or 1 / (n + 1) where there are fewer than 100.
        ``distinct_share``
            distinct nearest training samples over s; it cannot exceed n / s.
        ``distinct_relative``
            so many of them as there would be in min(n, s) draws (:func:`rarefied`), over those of as many real draws:
            training samples, each with its nearest other. 1 is right whatever n and s are.
        ``spread_ratio``
            mean distance of synthetic pairs over that of training pairs.
        ``duplicate_share``
            share of synthetic pairs as close as ``close_share`` has it.
        ``support``
            the number of equally likely points at which so many pairs would coincide (the birthday paradox, Arora &
            Zhang 2018): 1 / ``duplicate_share``, infinite where there is no such pair. Of fresh samples it is about
            n^2 / 2, the number of training pairs, beyond which nothing can be told.
        ``rank_ratio``
            :func:`effective_rank` of synthetic samples over that of as many training samples.

    Raises
    ------
    OptionError
        Arrays that do not fit together or are not all finite.
    """
    if n_max < 2:
        raise OptionError(f"n_max={n_max} must be 2 or more")
    train_nd = np.asarray(checked(train_nd, "training samples"))
    d = train_nd.shape[1]
    synthetic_sd = np.asarray(checked(synthetic_sd, "synthetic samples", d))[:n_max]
    held_md = checked(heldout_md, "held-out samples", d)
    held_md = held_md[:n_max] if held_md is not None and len(held_md) else None

    training = _Training(train_nd, held_md)
    held = None if held_md is None else _Drawn(held_md, training)
    return figure_table(_ask, JUDGES, _Drawn(synthetic_sd, training), held)


def verdict(figures: pd.DataFrame) -> list[str]:
    """What the figures amount to: ``"copies"``, ``"collapsed"``, both or neither.

    Parameters
    ----------
    figures
        What :func:`memorisation` returns. A figure that is undefined accuses nobody.

    Returns
    -------
    words
        ``"copies"``: more than :data:`CLOSE_SHARE` are as close to a training sample as training samples almost never
        are to one another, and the median is at under :data:`NEAREST_RATIO` of the distance that real samples have,
        held-out and left-out ones alike. Either alone is not enough: the mean of a label is closer to its samples than
        they are to one another, and held-out samples of other series are further off than any honest synthetic one.
        ``"collapsed"``: any of :data:`DISTINCT`, :data:`SPREAD` and :data:`EFFECTIVE_RANK` undershot, or
        that times the figure of the held-out samples where this is below 1: features fitted on few training samples
        spread these more than any others, so real ones that were not seen look half collapsed themselves.
    """
    value = dict(zip(figures["figure"], figures["value"].astype(float), strict=True))
    unseen = dict(figures.loc[figures["reference"].notna(), ["figure", "reference"]].itertuples(index=False, name=None))
    near = [value[name] for name in ("nearest_ratio", "nearest_ratio_left_out") if np.isfinite(value[name])]
    words = []
    if value["close_share"] > CLOSE_SHARE and all(ratio < NEAREST_RATIO for ratio in near):
        words.append("copies")
    least = {"distinct_relative": DISTINCT, "spread_ratio": SPREAD, "rank_ratio": EFFECTIVE_RANK}
    if any(value[name] < limit * min(1.0, unseen.get(name, 1.0)) for name, limit in least.items()):
        words.append("collapsed")
    return words


def rarefied(count_i: Array, m: int) -> float:
    """Kinds expected among ``m`` of the counted things, drawn without replacement (Hurlbert 1971).

    Parameters
    ----------
    count_i
        How many there are of each kind; their sum is m or more.
    m
        Number drawn.
    """
    from scipy.special import gammaln

    count_i = np.asarray(count_i, dtype=np.float64)
    total, rest_i = count_i.sum(), count_i.sum() - count_i
    possible = rest_i >= m  # only then can all m be of other kinds
    left_i = rest_i[possible]
    log_missed = gammaln(left_i + 1) - gammaln(left_i - m + 1) - gammaln(total + 1) + gammaln(total - m + 1)
    return float(len(count_i) - np.exp(log_missed).sum())


def effective_rank(x_nd: Array) -> float:
    """Exponential of the entropy of the covariance's eigenvalues as shares (Roy & Vetterli 2007); 0 for one point."""
    power = np.linalg.svd(x_nd - x_nd.mean(axis=0), compute_uv=False) ** 2
    if not power.sum() > 1e-24 * max(1.0, float((x_nd**2).sum())):
        return 0.0
    share = power[power > 0] / power.sum()
    return float(np.exp(-(share * np.log(share)).sum()))


@dataclass(frozen=True)
class _Training:
    """Training samples and how near real ones are to them."""

    x_nd: Array
    held_md: Array | None

    @cached_property
    def left_out(self) -> tuple[Array, Array]:
        """Distance and place of the nearest other training sample of each."""
        return nearest(self.x_nd)

    @cached_property
    def close(self) -> float:
        """Distance that almost no training sample has to another."""
        return float(np.percentile(self.left_out[0], 1))

    def some(self, most: int) -> Array:
        """At most so many of them, evenly over the rows, since series often stand together."""
        at = np.linspace(0, len(self.x_nd) - 1, min(most, len(self.x_nd))).round().astype(int)
        return np.asarray(self.x_nd[at])


@dataclass(frozen=True)
class _Drawn:
    """Samples to judge against training samples."""

    x_sd: Array
    training: _Training

    @cached_property
    def near(self) -> tuple[Array, Array]:
        """Distance and place of the nearest training sample of each."""
        return nearest(self.x_sd, self.training.x_nd)


def _ask(drawn: _Drawn, judge: str) -> Mapping[str, float]:
    """Figures of one judge."""
    least = 3 if judge in ("pairs", "rank") else 1
    need(len(drawn.x_sd), least, "samples to judge")
    training = drawn.training
    need(len(training.x_nd), max(2, least), "training samples")
    if judge == "held_out":
        if training.held_md is None:
            raise Undefined("no held-out samples")
        held_m = nearest(training.held_md, training.x_nd)[0]
        return {"nearest_ratio": _ratio(np.median(drawn.near[0]), np.median(held_m))}
    if judge == "left_out":
        return {"nearest_ratio_left_out": _ratio(np.median(drawn.near[0]), np.median(training.left_out[0]))}
    if judge == "close":
        return {"close_share": float((drawn.near[0] <= training.close).mean())}
    if judge == "distinct":
        return _distinct(drawn)
    if judge == "pairs":
        return _pairs(drawn)
    m = min(len(training.x_nd), len(drawn.x_sd), N_PAIRED)
    return {"rank_ratio": _ratio(effective_rank(drawn.x_sd[:m]), effective_rank(training.some(m)))}


def _distinct(drawn: _Drawn) -> Mapping[str, float]:
    """How many training samples are nearest to any."""
    count_i = np.unique(drawn.near[1], return_counts=True)[1]
    m = min(len(drawn.training.x_nd), len(drawn.x_sd))
    real = rarefied(np.unique(drawn.training.left_out[1], return_counts=True)[1], m)
    return {"distinct_share": len(count_i) / len(drawn.x_sd), "distinct_relative": rarefied(count_i, m) / real}


def _pairs(drawn: _Drawn) -> Mapping[str, float]:
    """How far samples are from one another."""
    pair_p = pair_distances(drawn.x_sd)
    share = float((pair_p <= drawn.training.close).mean())
    spread = _ratio(pair_p.mean(), pair_distances(drawn.training.some(N_PAIRED)).mean())
    return {"spread_ratio": spread, "duplicate_share": share, "support": 1 / share if share else np.inf}


def _ratio(above: float, below: float) -> float:
    if not below > 0:
        raise Undefined("most real samples have a copy among the training samples, so distances cannot be compared")
    return float(above / below)
