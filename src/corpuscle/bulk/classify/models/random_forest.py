"""A random forest on scaled genes: 500 trees, grown on parts of the samples where all would not fit into memory."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np

from corpuscle.bulk.classify._vectors import Vectors
from corpuscle.bulk.classify.models._base import Model
from corpuscle.bulk.classify.models._trees import check_links
from corpuscle.seeds import stream

__all__ = ["RandomForest"]

Array = np.ndarray[Any, Any]
#: A part of the samples is never smaller, whatever the budget.
SMALLEST_PART = 1_000


class RandomForest(Model):
    """Breiman's forest; the score of a label is the mean over trees of its share in the leaf.

    Samples that each have one label make a forest of classes, others one of several answers. Where the samples times the
    genes exceed the budget of :class:`Vectors`, samples are dealt into parts at random, the trees are shared out over the
    parts, and the parts' trees vote as one forest.
    """

    name: ClassVar[str] = "random_forest"
    space: ClassVar[str] = "genes"

    def __init__(self, n_trees: int = 500) -> None:
        self.n_trees = n_trees
        self.forests: list[Any] = []
        self.n_labels = 0

    def fit(self, vectors: Vectors, rows: Array, y_nl: Array, seed: int) -> Self:
        """Grow the trees."""
        from sklearn.ensemble import RandomForestClassifier

        most = max(vectors.budget // (4 * vectors.n_dims), SMALLEST_PART)
        n_parts = min(math.ceil(len(rows) / most), self.n_trees)
        dealt = stream(seed, "forest", "parts").permutation(len(rows))
        exclusive = bool((y_nl.sum(axis=1) == 1).all())
        self.forests, self.n_labels = [], y_nl.shape[1]
        shares = np.diff(np.linspace(0, self.n_trees, n_parts + 1).astype(int))
        for k, (part, n_trees) in enumerate(zip(np.array_split(dealt, n_parts), shares, strict=True)):
            part = np.sort(part)
            forest = RandomForestClassifier(
                int(n_trees), max_features="sqrt", min_samples_leaf=1, class_weight="balanced_subsample", n_jobs=-1,
                random_state=(seed + k) % 2**31,
            )  # fmt: skip
            target = y_nl[part].argmax(axis=1) if exclusive else y_nl[part]
            self.forests.append(forest.fit(vectors.rows(rows[part]), target))
        return self

    def scores(self, x_nd: Array) -> Array:
        """Mean of the trees."""
        total_nl = np.zeros((len(x_nd), self.n_labels))
        for forest in self.forests:
            found = forest.predict_proba(x_nd)
            if isinstance(found, list):
                for label, (share_nc, classes) in enumerate(zip(found, forest.classes_, strict=True)):
                    total_nl[:, label] += len(forest.estimators_) * share_nc[:, classes == 1].sum(axis=1)
            else:
                total_nl[:, forest.classes_.astype(np.int64)] += len(forest.estimators_) * found
        return np.clip(total_nl / sum(len(forest.estimators_) for forest in self.forests), 0.0, 1.0)

    def state(self) -> dict[str, Any]:
        """The forests."""
        return {"forests": self.forests}

    @classmethod
    def from_state(cls, state: Mapping[str, Any], n_dims: int, n_labels: int) -> Self:
        """Forests whose trees hold together."""
        model = cls()
        model.forests, model.n_labels = list(state["forests"]), n_labels
        for forest in model.forests:
            _check_forest(forest, n_dims, n_labels)
        model.n_trees = sum(len(forest.estimators_) for forest in model.forests)
        if not model.n_trees:
            raise ValueError("a forest without trees")
        return model

    def given(self) -> dict[str, Any]:
        """As published but for the number of trees and the weights."""
        return {
            "n_estimators": self.n_trees, "max_features": "sqrt", "min_samples_leaf": 1,
            "class_weight": "balanced_subsample", "parts": len(self.forests),
        }  # fmt: skip


def _check_forest(forest: Any, n_dims: int, n_labels: int) -> None:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.tree import DecisionTreeClassifier

    if type(forest) is not RandomForestClassifier or forest.n_features_in_ != n_dims:
        raise ValueError("no random forest of this size")
    several = forest.n_outputs_ > 1
    classes = list(forest.classes_) if several else [forest.classes_]
    for one in classes:
        values = np.asarray(one).astype(np.int64)
        if len(values) == 0 or values.min() < 0 or values.max() >= (2 if several else n_labels):
            raise ValueError("a forest of other labels")
    if len(classes) != (n_labels if several else 1):
        raise ValueError("a forest of another number of labels")
    n_classes = [len(one) for one in classes]
    for member in forest.estimators_:
        tree = member.tree_
        if type(member) is not DecisionTreeClassifier or list(tree.n_classes) != n_classes:
            raise ValueError("a tree of other labels")
        if list(np.atleast_1d(member.n_classes_)) != n_classes or member.n_outputs_ != forest.n_outputs_:
            raise ValueError("a tree of other labels")
        check_links(tree.children_left, tree.children_right, tree.feature, tree.children_left == -1, n_dims)
