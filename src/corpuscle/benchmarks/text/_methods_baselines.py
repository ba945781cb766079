"""Simple baselines on the same vectors: a classifier, the classifier with words, centroids, and the shares of types."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from corpuscle.benchmarks.text._methods_texts import SCALE, by_text, cosines, unit_rows, unit_vectors
from corpuscle.benchmarks.text.methods import Array, Scorer
from corpuscle.errors import MethodError, OptionError

if TYPE_CHECKING:
    from corpuscle.benchmarks.text._draw import Shown

__all__ = ["Centroid", "Logistic", "LogisticText", "Majority"]


@dataclass
class Logistic:
    """Multinomial logistic regression on the standardised vectors; no words at all.

    It is told which type a text means, and cannot say anything of types that no training cell has.

    Parameters
    ----------
    C
        Inverse strength of the penalty.
    max_iter
        Steps of the solver at most; a note says where they did not suffice.
    """

    C: float = 1.0
    max_iter: int = 2000
    name = "logistic"
    told = "the types of the training cells, and which type a text means"
    needs_vectors = True

    def __post_init__(self) -> None:
        if not self.C > 0 or self.max_iter < 1:
            raise OptionError(f"{self.name}: C={self.C} must be above 0, and max_iter={self.max_iter} 1 or more")

    def __call__(self, shown: Shown, key: str | None, seed: int) -> Scorer:
        """Learn the types, then give their probabilities."""
        found = _probabilities(self, shown, key, shown.train_types)
        return Scorer(_of_types(found.types, found.p_mc), None, found.cells, found.notes)


@dataclass
class LogisticText(Logistic):
    """The vector of text that :class:`Logistic` expects of a cell, next to the vector of what is asked.

    The mean of the training captions' vectors under the cell's probabilities of the captions, at unit length; the
    score is its cosine with the text's vector. Nothing of the text encoder is trained.

    Parameters
    ----------
    text_model
        Folder of a text encoder; all-MiniLM-L6-v2 if None.
    """

    text_model: str | None = None
    name = "logistic_text"
    told = "the captions of the training cells"
    code = ("corpuscle.benchmarks.text._methods_texts",)

    def __call__(self, shown: Shown, key: str | None, seed: int) -> Scorer:
        """Learn the captions, then compare expected and asked text."""
        found = _probabilities(self, shown, key, shown.captions)
        expected_md = unit_rows(found.p_mc @ unit_vectors(found.types, self.text_model))
        return Scorer(cosines(expected_md, self.text_model), SCALE, None, found.notes)


@dataclass
class Centroid:
    r"""Nearest mean of a type's training vectors: scores :math:`-d^2 / 2s`, with ``s`` the variance within types.

    ``s`` is the mean over cells and dimensions, so that the softmax of the scores are the probabilities under round
    clouds of one size and equal numbers of cells. Types that no training cell has cannot be judged.
    """

    name = "centroid"
    told = "the types of the training cells, and which type a text means"
    needs_vectors = True

    def __call__(self, shown: Shown, key: str | None, seed: int) -> Scorer:
        """Take the means, then the distances."""
        train_nd, test_md = _vectors(shown, key)
        types, code_n = np.unique(np.asarray(shown.train_types, str), return_inverse=True)
        sum_cd = np.zeros((len(types), train_nd.shape[1]))
        np.add.at(sum_cd, code_n, train_nd)
        mean_cd = sum_cd / np.bincount(code_n)[:, None]
        within = float(np.mean((train_nd - mean_cd[code_n]) ** 2))
        distance_mc = np.stack([((test_md - mean_d) ** 2).sum(axis=1) for mean_d in mean_cd], axis=1)
        # One cell a type has no spread; any factor then gives the same order.
        return Scorer(_of_types(types.tolist(), -distance_mc / (2 * within or 1.0)), 1.0, (train_nd, test_md))


@dataclass
class Majority:
    """The share of each type among the training cells, the same for every cell; 0 for types that none of them has."""

    name = "majority"
    told = "how many training cells each type has"
    needs_vectors = False

    def __call__(self, shown: Shown, key: str | None, seed: int) -> Scorer:
        """Count the types."""
        types, count_c = np.unique(np.asarray(shown.train_types, str), return_counts=True)
        share = dict(zip(types.tolist(), count_c / count_c.sum(), strict=True))
        m = len(shown.ids("test"))

        def score(texts: Sequence[str | None], asked: Sequence[str]) -> Array:
            row_k = [np.nan if text is None else share.get(one, 0.0) for text, one in zip(texts, asked, strict=True)]
            return np.tile(row_k, (m, 1))

        return Scorer(score)


@dataclass(frozen=True)
class _Found:
    types: list[str]
    p_mc: Array
    cells: tuple[Array, Array]
    notes: tuple[str, ...]


def _vectors(shown: Shown, key: str | None) -> tuple[Array, Array]:
    """Vectors of the training cells and of those to be judged, float64."""
    assert key is not None
    return np.asarray(shown.vectors(key, "train"), np.float64), np.asarray(shown.vectors(key, "test"), np.float64)


def _probabilities(method: Logistic, shown: Shown, key: str | None, truth_n: Sequence[str]) -> _Found:
    """Probabilities of classes, (m, C), by logistic regression; classes in the order of their names."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    classes_n = np.asarray(truth_n, str)
    if len(set(classes_n.tolist())) < 2:
        raise MethodError(f"{method.name}: all training cells have one type, so there is nothing to learn")
    train_nd, test_md = _vectors(shown, key)
    scaler = StandardScaler().fit(train_nd)
    train_nd, test_md = scaler.transform(train_nd), scaler.transform(test_md)
    model: Any = LogisticRegression(C=method.C, max_iter=method.max_iter)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # said in a note
        model.fit(train_nd, classes_n)
    steps = int(np.max(model.n_iter_))
    name = f"{method.name}@{str(key).removeprefix('X_')}"
    notes = (f"{name}: not converged after {steps:,} steps",) if steps >= method.max_iter else ()
    return _Found(model.classes_.tolist(), model.predict_proba(test_md), (train_nd, test_md), notes)


def _of_types(types: list[str], score_mc: Array) -> Any:
    """Scorer that looks at the type a text means; NaN for a type that is not among those learnt."""
    place = {name: c for c, name in enumerate(types)}

    def score(texts: Sequence[str | None], asked: Sequence[str]) -> Array:
        known = [None if text is None or one not in place else one for text, one in zip(texts, asked, strict=True)]
        return by_text(known, len(score_mc), lambda names: score_mc[:, [place[name] for name in names]])

    return score
