"""The labels of the most similar training samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np

from corpuscle.bulk._nearest import nearest, unit_rows
from corpuscle.bulk.classify._vectors import Vectors
from corpuscle.bulk.classify.models._base import Model

__all__ = ["NearestNeighbours"]

Array = np.ndarray[Any, Any]


class NearestNeighbours(Model):
    """Share of each label among the k training samples of the highest cosine, each weighted by its cosine, if above 0."""

    name: ClassVar[str] = "knn"

    def __init__(self, k: int = 10) -> None:
        self.k = k
        self.unit_nd, self.y_nl = np.zeros((0, 0), np.float32), np.zeros((0, 0), np.uint8)

    def fit(self, vectors: Vectors, rows: Array, y_nl: Array, seed: int) -> Self:
        """Keep the training samples."""
        self.unit_nd, self.y_nl = unit_rows(vectors.rows(rows)), y_nl.astype(np.uint8)
        return self

    def scores(self, x_nd: Array) -> Array:
        """Shares."""
        k, foreign_n = min(self.k, len(self.unit_nd)), np.full(len(x_nd), -1)
        nobody_n = np.zeros(len(self.unit_nd), np.int64)
        place_nk, cosine_nk = nearest(
            unit_rows(x_nd), self.unit_nd, k, group_q=None, group_n=nobody_n, self_q=foreign_n
        )
        weight_nk = np.maximum(cosine_nk.astype(np.float64), 1e-6)
        total_nl = np.zeros((len(x_nd), self.y_nl.shape[1]))
        for place_n, weight_n in zip(place_nk.T, weight_nk.T, strict=True):
            total_nl += weight_n[:, None] * self.y_nl[place_n]
        return np.clip(total_nl / weight_nk.sum(axis=1, keepdims=True), 0.0, 1.0)

    def state(self) -> dict[str, Any]:
        """The training samples."""
        return {"k": self.k, "unit_nd": self.unit_nd, "y_nl": self.y_nl}

    @classmethod
    def from_state(cls, state: Mapping[str, Any], n_dims: int, n_labels: int) -> Self:
        """Checked arrays."""
        model = cls(int(state["k"]))
        model.unit_nd, model.y_nl = state["unit_nd"], state["y_nl"]
        n = len(model.unit_nd)
        if type(model.unit_nd) is not np.ndarray or type(model.y_nl) is not np.ndarray:
            raise TypeError("vectors and labels must be arrays")
        fits = model.unit_nd.shape == (n, n_dims) and model.y_nl.shape == (n, n_labels) and n > 0 and model.k > 0
        if not fits or model.unit_nd.dtype != np.float32 or model.y_nl.dtype != np.uint8:
            raise ValueError("vectors and labels do not fit together")
        return model

    def given(self) -> dict[str, Any]:
        """Neighbours and likeness."""
        return {"k": self.k, "similarity": "cosine", "weights": "cosine"}
