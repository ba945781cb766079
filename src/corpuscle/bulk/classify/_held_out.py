"""Answers for samples that a model was not fitted on, fold by fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from corpuscle.bulk.classify._fit import Taught, fit_calibrated, fresh
from corpuscle.bulk.classify._splits import folds_of
from corpuscle.bulk.classify._vectors import Vectors
from corpuscle.bulk.classify.metrics import answers
from corpuscle.bulk.classify.models import MODELS
from corpuscle.bulk.classify.models._base import scores_of
from corpuscle.seeds import stream

if TYPE_CHECKING:
    from corpuscle.bulk._features import Features
    from corpuscle.bulk.classify._task import Task
    from corpuscle.counts import Counts
    from corpuscle.counts._passes import Progress

__all__ = ["Held", "Strangers", "held_out"]

Array = np.ndarray[Any, Any]
#: Samples without a label that are asked about, at most.
MOST_STRANGERS = 2_000


@dataclass
class Held:
    """What one model said of every labelled sample when it was held out.

    Attributes
    ----------
    y_ml
        (m, l) bool, the labels.
    raw_ml, p_ml
        (m, l) scores, and calibrated probabilities.
    fold_m
        (m,) fold in which a sample was tested.
    threshold_m
        (m,) confidence from which on the fold's model answers; NaN where none was good.
    strangers
        What the first fold's model said of samples without a label.
    """

    y_ml: Array
    raw_ml: Array
    p_ml: Array
    fold_m: Array
    threshold_m: Array
    exclusive: bool
    strangers: Strangers | None = None

    @property
    def told_ml(self) -> Array:
        """(m, l) bool, the labels given."""
        return answers(self.p_ml, self.exclusive, self.raw_ml)

    @property
    def top_m(self) -> Array:
        """(m,) likeliest label."""
        top: Array = answers(self.p_ml, True, self.raw_ml).argmax(axis=1)
        return top

    @property
    def confidence_m(self) -> Array:
        """(m,) probability of the likeliest label."""
        confidence: Array = self.p_ml[np.arange(len(self.p_ml)), self.top_m]
        return confidence

    @property
    def right_m(self) -> Array:
        """(m,) whether a sample has its likeliest label."""
        right: Array = self.y_ml[np.arange(len(self.p_ml)), self.top_m]
        return right


@dataclass(frozen=True)
class Strangers:
    """Highest probability of samples that have none of the labels; ``n_all`` is how many there are."""

    confidence_u: Array
    n_all: int
    unseen_series: bool


def held_out(
    counts: Counts,
    task: Task,
    features: Features,
    models: Sequence[str],
    split: str,
    n_folds: int,
    seed: int,
    *,
    budget: int,
    series_n: Array | None = None,
    strangers: bool = False,
    progress: Progress | None = None,
) -> dict[str, Held]:
    """Hold out fold after fold; features, model, calibration and threshold are learnt from the rest."""
    folds = folds_of(task.rarest_m, task.series_m, split, n_folds, seed)
    made = {name: _empty(task) for name in models}
    for k, (train, test) in enumerate(folds):
        taught_counts = counts.view(cells=task.places_m[train])
        fitted = fresh(features).fit(taught_counts, progress)
        asked = _strangers(task, series_n, train, seed) if strangers and k == 0 else None
        for space in dict.fromkeys(MODELS[name].space for name in models):
            taught = Taught(
                Vectors(fitted, taught_counts, space, budget, progress), task.y_ml[train], task.rarest_m[train],
                None if task.series_m is None else task.series_m[train],
            )  # fmt: skip
            tested = Vectors(fitted, counts.view(cells=task.places_m[test]), space, budget, progress)
            unknown = None if asked is None else Vectors(fitted, counts.view(cells=asked[0]), space, budget, progress)
            for name in models:
                if MODELS[name].space == space:
                    _one_fold(made[name], name, taught, tested, unknown, asked, test, k, split, seed)
    return made


def _one_fold(
    held: Held,
    name: str,
    taught: Taught,
    tested: Vectors,
    unknown: Vectors | None,
    asked: tuple[Array, int, bool] | None,
    test: Array,
    k: int,
    split: str,
    seed: int,
) -> None:
    fitted = fit_calibrated(name, taught, split, seed + k)
    raw_nl = scores_of(fitted.model, tested)
    held.raw_ml[test], held.p_ml[test], held.fold_m[test] = raw_nl, fitted.calibrator(raw_nl), k
    held.threshold_m[test] = np.nan if fitted.threshold is None else fitted.threshold
    if unknown is not None and asked is not None:
        p_ul = fitted.calibrator(scores_of(fitted.model, unknown))
        held.strangers = Strangers(p_ul.max(axis=1), asked[1], asked[2])


def _empty(task: Task) -> Held:
    m, n_labels = task.y_ml.shape
    return Held(
        task.y_ml.astype(bool), np.zeros((m, n_labels)), np.zeros((m, n_labels)), np.zeros(m, np.int64),
        np.full(m, np.nan), task.exclusive,
    )  # fmt: skip


def _strangers(task: Task, series_n: Array | None, train: Array, seed: int) -> tuple[Array, int, bool] | None:
    """Places of samples without a label, of series that training has not seen if there are such."""
    spare = task.spare_u
    if not len(spare):
        return None
    unseen = False
    if series_n is not None:
        away = ~np.isin(series_n[spare], series_n[task.places_m[train]])
        unseen = bool(away.any())
        spare = spare[away] if unseen else spare
    n_all = len(spare)
    if n_all > MOST_STRANGERS:
        spare = np.sort(stream(seed, "classify", "strangers").choice(spare, MOST_STRANGERS, replace=False))
    return spare, n_all, unseen
