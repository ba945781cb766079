"""Methods that fill the holes and then go on as if nothing had been missing."""

from __future__ import annotations

import time
import warnings
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np

from corpuscle.benchmarks.missingness.methods import N_COORDINATES, Found, Given
from corpuscle.benchmarks.missingness.metrics import coordinates, squared_distances
from corpuscle.errors import OptionError

__all__ = ["Filling", "Iterative", "KNNImpute", "MeanFill", "ZeroFill", "column_means", "found_of"]

Array = np.ndarray[Any, Any]


class Filling:
    """Base of the methods that complete the matrix: inner products, distances and principal components of it."""

    name: str
    told = "nothing"
    needs_p = False
    code: tuple[str, ...] = ("corpuscle.benchmarks.missingness._methods_fill",)

    @abstractmethod
    def filled(self, given: Given) -> tuple[Array, tuple[str, ...]]:
        """(n, d) values without holes, and notes."""

    def __call__(self, given: Given) -> Found:
        """Fill, then take what an ordinary analysis would."""
        began = time.perf_counter()
        x_nd, notes = self.filled(given)
        return found_of(x_nd, began, notes)


def found_of(x_nd: Array, began: float, notes: tuple[str, ...] = (), coords_nk: Array | None = None) -> Found:
    """Inner products about the mean, distances and coordinates of complete values; coordinates may be another's."""
    centred_nd = x_nd - x_nd.mean(axis=0)
    gram_nn = centred_nd @ centred_nd.T
    if coords_nk is None:
        coords_nk = coordinates(gram_nn, N_COORDINATES)
    return Found(gram_nn, squared_distances(gram_nn), coords_nk, time.perf_counter() - began, notes)


def column_means(given: Given) -> Array:
    """(d,) mean of the observed values of each column; 0 where there is none, which then tells nothing apart."""
    count_d = given.observed_nd.sum(axis=0)
    return np.asarray(np.where(given.observed_nd, given.x_nd, 0.0).sum(axis=0) / np.maximum(count_d, 1))


@dataclass
class ZeroFill(Filling):
    """Zeros before anything is centred: what happens where missing entries are taken as zeros."""

    name = "zero_fill"

    def filled(self, given: Given) -> tuple[Array, tuple[str, ...]]:
        """Zeros."""
        return np.where(given.observed_nd, given.x_nd, 0.0), ()


@dataclass
class MeanFill(Filling):
    """Mean of the column's observed values: zeros after centring, so its inner products are the uncorrected ones."""

    name = "mean_fill"

    def filled(self, given: Given) -> tuple[Array, tuple[str, ...]]:
        """Means."""
        return np.where(given.observed_nd, given.x_nd, column_means(given)), ()


@dataclass
class KNNImpute(Filling):
    """Mean of the nearest rows that have the entry, by distances over what both have (Troyanskaya et al. 2001).

    Parameters
    ----------
    neighbors
        How many rows.
    """

    neighbors: int = 10
    name = "knn_impute"

    def __post_init__(self) -> None:
        if self.neighbors < 1:
            raise OptionError(f"{self.name}: neighbors={self.neighbors} must be 1 or more")

    def filled(self, given: Given) -> tuple[Array, tuple[str, ...]]:
        """By scikit-learn."""
        from sklearn.impute import KNNImputer

        imputer = KNNImputer(n_neighbors=self.neighbors, keep_empty_features=True)
        return np.asarray(imputer.fit_transform(given.x_nd)), ()


@dataclass
class Iterative(Filling):
    """Each column regressed in turn on others that correlate with it (chained equations, the means of them).

    The cost is one small regression a column and round.

    Parameters
    ----------
    rounds
        Times that every column is fitted.
    nearest
        Columns that one is regressed on, drawn with probabilities in proportion to their correlations with it.
    """

    rounds: int = 3
    nearest: int = 10
    name = "iterative"

    def __post_init__(self) -> None:
        if self.rounds < 1 or self.nearest < 1:
            raise OptionError(f"{self.name}: rounds={self.rounds} and nearest={self.nearest} must be 1 or more")

    def filled(self, given: Given) -> tuple[Array, tuple[str, ...]]:
        """By scikit-learn."""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.experimental import enable_iterative_imputer  # noqa: F401 - makes the next import possible
        from sklearn.impute import IterativeImputer

        imputer = IterativeImputer(
            max_iter=self.rounds,
            n_nearest_features=min(self.nearest, given.x_nd.shape[1] - 1),
            keep_empty_features=True,
            random_state=given.seed,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a few rounds are what was asked for
            return np.asarray(imputer.fit_transform(given.x_nd)), ()
