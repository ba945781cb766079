"""A small network: one hidden layer, a sigmoid for every label."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np

from corpuscle.bulk.classify._vectors import Vectors
from corpuscle.bulk.classify.models._base import Model, column_scale

__all__ = ["Perceptron"]

Array = np.ndarray[Any, Any]


class Perceptron(Model):
    """scikit-learn's perceptron with 128 hidden units; log loss summed over labels, so that they need not exclude each other."""

    name: ClassVar[str] = "mlp"
    hidden, alpha, epochs = 128, 1e-3, 100

    def __init__(self) -> None:
        self.scale = 1.0
        self.network: Any = None

    def fit(self, vectors: Vectors, rows: Array, y_nl: Array, seed: int) -> Self:
        """Train."""
        from sklearn.neural_network import MLPClassifier

        x_nd = vectors.rows(rows)
        self.scale = column_scale(x_nd)
        network = MLPClassifier((self.hidden,), alpha=self.alpha, max_iter=self.epochs, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it could be trained longer
            self.network = network.fit(x_nd / np.float32(self.scale), y_nl)
        for name in ("_optimizer", "_random_state"):  # of use to training only
            if hasattr(self.network, name):
                delattr(self.network, name)
        return self

    def scores(self, x_nd: Array) -> Array:
        """Sigmoids."""
        return np.asarray(self.network.predict_proba(x_nd / np.float32(self.scale)), np.float64)

    def state(self) -> dict[str, Any]:
        """Scale and network."""
        return {"scale": self.scale, "network": self.network}

    @classmethod
    def from_state(cls, state: Mapping[str, Any], n_dims: int, n_labels: int) -> Self:
        """A network of the right shape."""
        from sklearn.neural_network import MLPClassifier

        model = cls()
        model.scale, model.network = float(state["scale"]), state["network"]
        if type(model.network) is not MLPClassifier or model.network.out_activation_ != "logistic":
            raise ValueError("no perceptron with a sigmoid a label")
        shapes = [np.shape(one) for one in model.network.coefs_]
        if not shapes or shapes[0][0] != n_dims or shapes[-1][1] != n_labels:
            raise ValueError("a perceptron of another size")
        return model

    def given(self) -> dict[str, Any]:
        """Size and training."""
        return {"hidden": self.hidden, "alpha": self.alpha, "epochs": self.epochs}
