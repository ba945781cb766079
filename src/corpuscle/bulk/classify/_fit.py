"""One model, fitted, with probabilities and a threshold learnt from training samples that it was not shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from corpuscle.bulk._features import Features
from corpuscle.bulk.classify._splits import folds_of
from corpuscle.bulk.classify._vectors import Vectors
from corpuscle.bulk.classify.calibration import Calibrator, abstention_threshold
from corpuscle.bulk.classify.metrics import answers
from corpuscle.bulk.classify.models import Model, new_model
from corpuscle.bulk.classify.models._base import scores_of
from corpuscle.errors import OptionError
from corpuscle.seeds import stream_seed

__all__ = ["Calibrated", "Taught", "calibrated_on", "fit_calibrated", "fit_model", "fresh", "trainable"]

Array = np.ndarray[Any, Any]
#: Folds inside a training fold.
INNER_FOLDS = 3


@dataclass(frozen=True)
class Taught:
    """Training samples as a model sees them: row k of the vectors has labels ``y_ml[k]`` and is of ``series_m[k]``."""

    vectors: Vectors
    y_ml: Array
    rarest_m: Array
    series_m: Array | None


@dataclass(frozen=True)
class Calibrated:
    """A fitted model with its curves; ``threshold`` is the confidence from which on it answers, None if none is good."""

    model: Model
    calibrator: Calibrator
    threshold: float | None


def fresh(features: Features) -> Features:
    """Features with the same settings that have seen nothing."""
    from corpuscle.bulk._features_files import PARAMS

    return Features(**{name: getattr(features, name) for name in PARAMS}, params=features.params)


def fit_model(name: str, taught: Taught, rows: Array, seed: int) -> Model:
    """Fit on some of the training samples."""
    return new_model(name).fit(taught.vectors, rows, taught.y_ml[rows], stream_seed(seed, "classify", name))


def trainable(y_ml: Array, series_m: Array | None) -> Array:
    """(l,) whether a label is in two series (samples, where series are not known): held out, it is still in training."""
    unit_m = np.arange(len(y_ml)) if series_m is None else series_m
    return np.array([len(np.unique(unit_m[y_ml[:, k] > 0])) > 1 for k in range(y_ml.shape[1])])


def fit_calibrated(name: str, taught: Taught, split: str, seed: int) -> Calibrated:
    """Fit on all training samples, and calibrate on folds of them.

    The folds share the vectors: these look at no label, and at no sample outside the training fold.
    """
    m = len(taught.y_ml)
    model = fit_model(name, taught, np.arange(m), seed)
    grouped = taught.series_m if split == "series" else None
    try:
        folds = folds_of(taught.rarest_m, grouped, split, INNER_FOLDS, seed, quiet=True)
    except OptionError:  # one series, or one sample: there is nothing to hold out
        return Calibrated(model, Calibrator((("none",),) * taught.y_ml.shape[1]), None)
    p_ml = np.zeros((m, taught.y_ml.shape[1]))
    for train, test in folds:
        p_ml[test] = scores_of(fit_model(name, taught, train, seed), taught.vectors, test)
    return calibrated_on(model, p_ml, taught.y_ml, grouped)


def calibrated_on(model: Model, p_ml: Array, y_ml: Array, series_m: Array | None) -> Calibrated:
    """Curves and threshold from held-out scores."""
    calibrator = Calibrator.fit(p_ml, y_ml, trainable(y_ml, series_m))
    told_ml = calibrator(p_ml)
    top_m = answers(told_ml, True, p_ml).argmax(axis=1)
    at = np.arange(len(y_ml))
    right_m = y_ml[at, top_m] > 0
    return Calibrated(model, calibrator, abstention_threshold(told_ml[at, top_m], right_m))
