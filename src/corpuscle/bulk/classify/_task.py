"""What is to be learnt: labelled samples, their series, and the labels that can be judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from corpuscle.bulk.labels.summary import FEWEST_SERIES
from corpuscle.errors import OptionError

if TYPE_CHECKING:
    from corpuscle.bulk.labels.store import Labels
    from corpuscle.counts import Counts

__all__ = ["Task", "task_of"]

Array = np.ndarray[Any, Any]
#: Labels named in a message.
SHOWN = 5


@dataclass(frozen=True)
class Task:
    """Labelled samples.

    Attributes
    ----------
    names
        (l,) labels.
    places_m
        (m,) places of the labelled samples in the counts, ascending.
    y_ml
        (m, l) uint8, 1 where a sample has a label.
    series_m
        (m,) series of each; None where they are not known.
    spare_u
        (u,) places of the other samples.
    left_out
        Labels that take no part: label, n_samples, n_series, reason.
    table
        Labels that take part: label, n_samples, n_series.
    notes
        Lines on samples and labels that were left out.
    """

    names: tuple[str, ...]
    places_m: Array
    y_ml: Array
    series_m: Array | None
    spare_u: Array
    left_out: pd.DataFrame
    table: pd.DataFrame
    notes: list[str]

    @property
    def exclusive(self) -> bool:
        """Whether each sample has one label."""
        return bool((self.y_ml.sum(axis=1) == 1).all())

    @property
    def rarest_m(self) -> Array:
        """(m,) the rarest label of each sample, by which folds are balanced."""
        order_l = np.argsort(self.y_ml.sum(axis=0), kind="stable")
        rarest: Array = order_l[self.y_ml[:, order_l].argmax(axis=1)]
        return rarest


def task_of(counts: Counts, labels: Labels, series: Array | None, *, judged: bool) -> Task:
    """Match labels with samples, and take out what cannot be learnt or judged.

    Parameters
    ----------
    counts
        The samples.
    labels
        Their labels, matched by name.
    series
        (n,) series of each sample; None where they are not known.
    judged
        Take out labels of fewer than three series (three samples, without series): once one is held out, what is left must
        still be more than one study. Samples that have only such labels count as unlabelled.

    Raises
    ------
    OptionError
        There are not two labels, or there are not n series.
    """
    if counts.n_obs < 2:
        raise OptionError(f"{counts.name}: {counts.n_obs} sample cannot be split into training and test; give more")
    if series is not None and len(series) != counts.n_obs:
        raise OptionError(f"there are {len(series):,} series for {counts.n_obs:,} samples; give one a sample")
    found, notes = labels.for_samples(counts.obs.index)
    y_nl = found.y_nl.toarray()
    unit_n = np.arange(counts.n_obs) if series is None else np.unique(series, return_inverse=True)[1]
    size_l, units_l = y_nl.sum(axis=0, dtype=np.int64), _units(found.y_nl, unit_n)
    enough_l = units_l >= (FEWEST_SERIES if judged else 1)
    left_out = _left_out(found.names, size_l, units_l, enough_l, series is not None)
    if len(left_out) and judged:
        notes.append(
            f"{len(left_out)} of {len(found.names)} labels cannot be judged and are left out "
            f"({_named(left_out['label'])}): fewer than {FEWEST_SERIES} {'samples' if series is None else 'series'}"
        )
    names = tuple(name for name, enough in zip(found.names, enough_l, strict=True) if enough)
    if len(names) < 2:
        raise OptionError(_too_few(found.names, names, judged, series is not None))
    y_nl = y_nl[:, enough_l]
    labelled_n = y_nl.any(axis=1)
    places = np.flatnonzero(labelled_n)
    table = pd.DataFrame({"label": names, "n_samples": size_l[enough_l], "n_series": units_l[enough_l]})
    return Task(
        names, places, y_nl[places], None if series is None else unit_n[places], np.flatnonzero(~labelled_n), left_out,
        table, notes,
    )  # fmt: skip


def _units(y_nl: Any, unit_n: Array) -> Array:
    """(l,) in how many series each label is."""
    by_unit = np.unique(
        np.stack([unit_n[np.repeat(np.arange(len(unit_n)), np.diff(y_nl.indptr))], y_nl.indices]), axis=1
    )
    counted: Array = np.bincount(by_unit[1].astype(np.int64), minlength=y_nl.shape[1])
    return counted


def _left_out(names: tuple[str, ...], size_l: Array, units_l: Array, enough_l: Array, known: bool) -> pd.DataFrame:
    out = np.flatnonzero(~enough_l)
    reasons = [
        "no sample" if not size_l[k]
        else f"{units_l[k]} {'series' if known else 'samples'}; {FEWEST_SERIES} are needed" for k in out
    ]  # fmt: skip
    return pd.DataFrame(
        {"label": [names[k] for k in out], "n_samples": size_l[out], "n_series": units_l[out], "reason": reasons}
    )


def _named(names: Any) -> str:
    return ", ".join(map(str, list(names)[:SHOWN])) + (", ..." if len(names) > SHOWN else "")


def _too_few(given: tuple[str, ...], left: tuple[str, ...], judged: bool, known: bool) -> str:
    had = (
        f"there is one label only ({given[0]})"
        if len(given) == 1
        else f"of {len(given)} labels {len(left)} can be used"
    )
    why = ""
    if judged and len(given) > 1:
        unit = "series" if known else "samples"
        why = f", since the others are in fewer than {FEWEST_SERIES} {unit} and none can be held out"
    way = (
        "; name another column for the series, or ask for a random split" if judged and known and len(given) > 1 else ""
    )
    return f"{had}{why}: two are needed to tell samples apart{way or '; give other labels'}"
