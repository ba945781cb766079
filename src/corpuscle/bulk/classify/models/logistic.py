"""Logistic regression on principal components, one a label: the strong plain choice."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from corpuscle.bulk.classify.models._base import OneVsRest

__all__ = ["Logistic"]


class Logistic(OneVsRest):
    """L2-penalised logistic regression, labels weighted to balance.

    All components are divided by one number, so that the penalty still spares the large ones: scaling each to variance 1
    would give hundreds of components of noise the same say.
    """

    name: ClassVar[str] = "logistic"
    C = 1.0

    def estimator(self, y_n: Any, seed: int) -> Any:
        """One label's regression; nothing in it is random."""
        from sklearn.linear_model import LogisticRegression

        return LogisticRegression(C=self.C, class_weight="balanced", max_iter=500)

    @classmethod
    def check_member(cls, member: Any, n_dims: int) -> None:
        """A regression with as many coefficients as there are components."""
        from sklearn.linear_model import LogisticRegression

        if type(member) is not LogisticRegression or np.shape(member.coef_) != (1, n_dims):
            raise ValueError("an estimator is no logistic regression of this size")

    def given(self) -> dict[str, Any]:
        """Penalty and weights."""
        return {"C": self.C, "class_weight": "balanced"}
