"""Gradient boosting of trees over binned principal components, one a label."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from corpuscle.bulk.classify.models._base import OneVsRest
from corpuscle.bulk.classify.models._trees import check_links

__all__ = ["Boosting"]


class Boosting(OneVsRest):
    """scikit-learn's histogram gradient boosting, labels weighted to balance."""

    name: ClassVar[str] = "boosting"
    iterations = 100

    def estimator(self, y_n: Any, seed: int) -> Any:
        """One label's booster; a rare label needs leaves of fewer samples than the usual 20."""
        from sklearn.ensemble import HistGradientBoostingClassifier

        leaf = int(np.clip(min(int(y_n.sum()), len(y_n) - int(y_n.sum())) // 3, 2, 20))
        return HistGradientBoostingClassifier(
            max_iter=self.iterations, min_samples_leaf=leaf, class_weight="balanced", early_stopping=False,
            random_state=seed,
        )  # fmt: skip

    @classmethod
    def check_member(cls, member: Any, n_dims: int) -> None:
        """Trees whose links stay inside them: the compiled walk over them does not look."""
        from sklearn.ensemble import HistGradientBoostingClassifier

        if type(member) is not HistGradientBoostingClassifier:
            raise ValueError("an estimator is no booster")
        for predictors in member._predictors:
            for predictor in predictors:
                nodes = predictor.nodes
                if nodes["is_categorical"].any():
                    raise ValueError("a tree has categories, and components have none")
                check_links(nodes["left"], nodes["right"], nodes["feature_idx"], nodes["is_leaf"] != 0, n_dims)

    def given(self) -> dict[str, Any]:
        """Size and weights."""
        return {"max_iter": self.iterations, "class_weight": "balanced"}
