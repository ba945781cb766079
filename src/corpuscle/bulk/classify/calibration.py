"""From scores to probabilities, label by label, learnt from samples that the model had not seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

__all__ = ["Calibrator", "abstention_threshold"]

Array = np.ndarray[Any, Any]
#: With fewer held-out samples, or fewer of the label, two numbers are learnt (a sigmoid) and not a curve (isotonic).
CURVE_SAMPLES, CURVE_POSITIVES = 1_000, 100
#: Scores nearer to 0 or 1 count as this near: a logit needs a finite number.
EDGE = 1e-6
#: Share of the answers that shall be right among those that are given.
ACCURACY = 0.95


@dataclass(frozen=True)
class Calibrator:
    """A curve a label, from score to probability.

    Attributes
    ----------
    curves
        For each label ``("sigmoid", slope, offset)`` on the logit of the score, ``("isotonic", scores, probabilities)``
        between which it is linear, or ``("none",)``.
    """

    curves: tuple[tuple[Any, ...], ...]

    @classmethod
    def fit(cls, p_ml: Array, y_ml: Array, known_l: Array | None = None) -> Self:
        """Learn from held-out scores.

        Parameters
        ----------
        p_ml
            (m, l) scores of samples that the model was not fitted on.
        y_ml
            (m, l) their labels.
        known_l
            (l,) whether a label was in training when its samples were held out; the others get the curve of all labels
            that were, together. All by default.
        """
        known_l = np.ones(p_ml.shape[1], bool) if known_l is None else known_l
        known_l = known_l & y_ml.any(axis=0) & ~y_ml.all(axis=0)
        if not known_l.any():
            return cls((("none",),) * p_ml.shape[1])
        shared: tuple[Any, ...] = ()
        if not known_l.all():
            shared = _curve(p_ml[:, known_l].ravel(), y_ml[:, known_l].ravel())
        return cls(
            tuple(_curve(p_ml[:, k], y_ml[:, k]) if known_l[k] else shared for k in range(p_ml.shape[1])),
        )

    def __call__(self, p_nl: Array) -> Array:
        """(n, l) probabilities."""
        return np.column_stack([_applied(curve, p_nl[:, k]) for k, curve in enumerate(self.curves)])

    def to_json(self) -> list[list[Any]]:
        """Numbers and lists."""
        return [[part.tolist() if isinstance(part, np.ndarray) else part for part in curve] for curve in self.curves]

    @classmethod
    def from_json(cls, given: Any, n_labels: int) -> Self:
        """Checked curves.

        Raises
        ------
        TypeError, ValueError, IndexError
            They are none.
        """
        curves = tuple(_checked(list(one)) for one in given)
        if len(curves) != n_labels:
            raise ValueError(f"{len(curves)} curves for {n_labels} labels")
        return cls(curves)

    @property
    def words(self) -> Mapping[str, int]:
        """How many labels have which kind of curve."""
        kinds = [str(curve[0]) for curve in self.curves]
        return {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}


def _curve(p_n: Array, y_n: Array) -> tuple[Any, ...]:
    if len(p_n) >= CURVE_SAMPLES and CURVE_POSITIVES <= y_n.sum() <= len(y_n) - CURVE_POSITIVES:
        from sklearn.isotonic import IsotonicRegression

        edge = 1 / (len(p_n) + 2)  # no sample was seen that would justify certainty
        made = IsotonicRegression(y_min=edge, y_max=1 - edge, out_of_bounds="clip").fit(p_n, y_n)
        return "isotonic", np.asarray(made.X_thresholds_, float), np.asarray(made.y_thresholds_, float)
    return "sigmoid", *_sigmoid(_logit(p_n), y_n.astype(bool))


def _sigmoid(z_n: Array, y_n: Array) -> tuple[float, float]:
    """Platt's sigmoid with his targets, that are not quite 0 and 1 (Platt 1999, Advances in Large Margin Classifiers)."""
    from sklearn.linear_model import LogisticRegression

    positive, negative = int(y_n.sum()), int((~y_n).sum())
    target_n = np.where(y_n, (positive + 1) / (positive + 2), 1 / (negative + 2))
    rate = float(target_n.mean())
    if np.ptp(z_n) > 0:
        z_kn, weight = np.concatenate([z_n, z_n])[:, None], np.concatenate([target_n, 1 - target_n])
        answer = np.repeat([1, 0], len(z_n))
        found = LogisticRegression(C=np.inf, max_iter=200).fit(z_kn, answer, sample_weight=weight)
        if found.coef_[0, 0] > 0:
            return float(found.coef_[0, 0]), float(found.intercept_[0])
    # scores that tell nothing, or the contrary: a model is not turned round
    return 0.0, float(np.log(rate / (1 - rate)))


def _logit(p_n: Array) -> Array:
    p_n = np.clip(p_n, EDGE, 1 - EDGE)
    logit: Array = np.log(p_n / (1 - p_n))
    return logit


def _applied(curve: tuple[Any, ...], p_n: Array) -> Array:
    if curve[0] == "isotonic":
        return np.interp(p_n, curve[1], curve[2])
    if curve[0] == "sigmoid":
        from scipy.special import expit

        return np.asarray(expit(curve[1] * _logit(p_n) + curve[2]))
    return np.clip(p_n, 0.0, 1.0)


def _checked(curve: list[Any]) -> tuple[Any, ...]:
    if curve == ["none"]:
        return ("none",)
    if curve[0] == "sigmoid" and len(curve) == 3:
        slope, offset = float(curve[1]), float(curve[2])
        if np.isfinite([slope, offset]).all():
            return "sigmoid", slope, offset
    if curve[0] == "isotonic" and len(curve) == 3:
        x, y = np.asarray(curve[1], float), np.asarray(curve[2], float)
        whole = x.ndim == 1 and x.shape == y.shape and len(x) > 0 and bool(np.isfinite(x).all())
        if whole and (np.diff(x) >= 0).all() and ((y >= 0) & (y <= 1)).all():
            return "isotonic", x, y
    raise ValueError("no calibration curve")


def abstention_threshold(confidence_m: Array, right_m: Array, accuracy: float = ACCURACY) -> float | None:
    """The lowest confidence from which on so large a share of held-out answers is right; None if there is none.

    Ties are kept together, fewer than ten answers settle nothing, and it is never below 0.5, where a label is less likely
    than not.
    """
    order = np.argsort(-confidence_m, kind="stable")
    sorted_m = confidence_m[order]
    share_m = np.cumsum(right_m[order]) / np.arange(1, len(order) + 1)
    last_m = np.append(sorted_m[1:] != sorted_m[:-1], True)
    enough = np.flatnonzero(last_m & (share_m >= accuracy) & (np.arange(1, len(order) + 1) >= 10))
    return max(0.5, float(sorted_m[enough[-1]])) if len(enough) else None
