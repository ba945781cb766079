"""What a model of labels must offer, and one estimator a label."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np

from corpuscle.bulk.classify._vectors import CHUNK, Vectors

__all__ = ["Model", "OneVsRest", "column_scale", "scores_of"]

Array = np.ndarray[Any, Any]


class Model(ABC):
    """Scores of every label, between 0 and 1, for samples as vectors.

    Attributes
    ----------
    name
        What the command line calls it.
    space
        What it is given: ``"axes"`` (principal components) or ``"genes"`` (scaled genes).
    """

    name: ClassVar[str]
    space: ClassVar[str] = "axes"

    @abstractmethod
    def fit(self, vectors: Vectors, rows: Array, y_nl: Array, seed: int) -> Self:
        """Learn from the given rows of the vectors, whose labels are ``y_nl`` (0 and 1)."""

    @abstractmethod
    def scores(self, x_nd: Array) -> Array:
        """(n, l) float64 scores."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """What it learnt, as arrays, numbers and estimators of scikit-learn in dicts and lists."""

    @classmethod
    @abstractmethod
    def from_state(cls, state: Mapping[str, Any], n_dims: int, n_labels: int) -> Self:
        """The model again.

        Raises
        ------
        TypeError, ValueError, KeyError, AttributeError, IndexError
            It is not the state of such a model.
        """

    def given(self) -> dict[str, Any]:
        """Settings, for the card."""
        return {}


def scores_of(model: Model, vectors: Vectors, rows: Array | None = None) -> Array:
    """(n, l) scores of the rows (all by default), some thousands at a time."""
    rows = np.arange(vectors.n) if rows is None else rows
    parts = [model.scores(vectors.rows(rows[at : at + CHUNK])) for at in range(0, len(rows), CHUNK)]
    return np.concatenate(parts) if parts else np.zeros((0, 0))


def column_scale(x_nd: Array) -> float:
    """Root of the mean variance of the columns: one number, so that large components stay larger than small ones."""
    return float(np.sqrt(max(float(np.mean(np.var(x_nd, axis=0, dtype=np.float64))), 1e-12)))


class OneVsRest(Model):
    """One estimator a label; where training has one answer only, that answer's share."""

    def __init__(self) -> None:
        self.scale = 1.0
        self.members: list[Any] = []  # estimators, or a number where there was nothing to learn

    @abstractmethod
    def estimator(self, y_n: Array, seed: int) -> Any:
        """An unfitted estimator for one label."""

    @classmethod
    @abstractmethod
    def check_member(cls, member: Any, n_dims: int) -> None:
        """Raise where a stored estimator is not what this model makes."""

    def fit(self, vectors: Vectors, rows: Array, y_nl: Array, seed: int) -> Self:
        """Fit label after label."""
        x_nd = vectors.rows(rows)
        self.scale = column_scale(x_nd)
        x_nd = x_nd / np.float32(self.scale)
        self.members = []
        for label in range(y_nl.shape[1]):
            y_n = y_nl[:, label]
            if y_n.min() == y_n.max():
                self.members.append(float(y_n[0]))
                continue
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of iterations; calibration and held-out scores tell what it is worth
                self.members.append(self.estimator(y_n, seed).fit(x_nd, y_n))
        return self

    def scores(self, x_nd: Array) -> Array:
        """One column a label."""
        x_nd = (x_nd / np.float32(self.scale)).astype(np.float32, copy=False)
        columns = [
            np.full(len(x_nd), member) if isinstance(member, float) else member.predict_proba(x_nd)[:, 1]
            for member in self.members
        ]
        return np.column_stack(columns).astype(np.float64)

    def state(self) -> dict[str, Any]:
        """Scale and members."""
        return {"scale": self.scale, "members": self.members}

    @classmethod
    def from_state(cls, state: Mapping[str, Any], n_dims: int, n_labels: int) -> Self:
        """Checked members."""
        model = cls()
        model.scale, model.members = float(state["scale"]), list(state["members"])
        if len(model.members) != n_labels or not model.scale > 0:
            raise ValueError(f"{len(model.members)} estimators for {n_labels} labels")
        for member in model.members:
            if type(member) is not float:
                cls.check_member(member, n_dims)
                if member.n_features_in_ != n_dims or member.classes_.tolist() != [0, 1]:
                    raise ValueError("an estimator was fitted on something else")
        return model
