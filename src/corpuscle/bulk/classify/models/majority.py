"""How frequent labels are: what a model must beat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np

from corpuscle.bulk.classify._vectors import Vectors
from corpuscle.bulk.classify.models._base import Model

__all__ = ["Majority"]

Array = np.ndarray[Any, Any]


class Majority(Model):
    """The share of every label in training, whatever the sample."""

    name: ClassVar[str] = "majority"

    def __init__(self) -> None:
        self.share_l = np.zeros(0)

    def fit(self, vectors: Vectors, rows: Array, y_nl: Array, seed: int) -> Self:
        """Count."""
        self.share_l = y_nl.mean(axis=0, dtype=np.float64)
        return self

    def scores(self, x_nd: Array) -> Array:
        """The same for all."""
        return np.tile(self.share_l, (len(x_nd), 1))

    def state(self) -> dict[str, Any]:
        """Shares."""
        return {"share_l": self.share_l}

    @classmethod
    def from_state(cls, state: Mapping[str, Any], n_dims: int, n_labels: int) -> Self:
        """Checked shares."""
        model = cls()
        model.share_l = np.asarray(state["share_l"], np.float64)
        if model.share_l.shape != (n_labels,):
            raise ValueError("shares of other labels")
        return model
