"""The models by name."""

from __future__ import annotations

from corpuscle.bulk.classify.models._base import Model
from corpuscle.bulk.classify.models.boosting import Boosting
from corpuscle.bulk.classify.models.knn import NearestNeighbours
from corpuscle.bulk.classify.models.logistic import Logistic
from corpuscle.bulk.classify.models.majority import Majority
from corpuscle.bulk.classify.models.mlp import Perceptron
from corpuscle.bulk.classify.models.random_forest import RandomForest
from corpuscle.errors import OptionError

__all__ = ["MODELS", "Model", "new_model"]

MODELS: dict[str, type[Model]] = {
    cls.name: cls for cls in (Logistic, RandomForest, NearestNeighbours, Boosting, Perceptron, Majority)
}


def new_model(name: str) -> Model:
    """A model that has seen nothing.

    Raises
    ------
    OptionError
        There is none of that name.
    """
    if name not in MODELS:
        raise OptionError(f"there is no model {name!r}; choose from: {', '.join(MODELS)}")
    return MODELS[name]()
