"""Nearest neighbours by corrected distances: of all pairs for few samples, by coordinates for many."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp

from corpuscle.errors import OptionError
from corpuscle.reduce._coordinates import LARGE_COMPONENTS, coordinates
from corpuscle.reduce.distances import SMALL_SAMPLES, count_negative, distance_blocks, gram_blocks

__all__ = ["Neighbors", "coordinate_neighbors", "corrected_neighbors"]

Array = np.ndarray[Any, Any]

#: Up to so many samples all pairs of coordinates are compared; that is faster than compiling the approximate search.
ALL_PAIRS_SAMPLES = 20_000
#: Memory for distances between coordinates compared at a time, in MiB.
WORKING_MIB = 128


@dataclass(frozen=True)
class Neighbors:
    """The nearest other samples of every sample.

    Attributes
    ----------
    index_nk
        (n, k) int64 positions, nearest first, never the sample itself; -1 where an approximate search found no more.
    distance_nk
        (n, k) float64 distances, not squared, none below 0; infinite where there is no neighbour.
    exact
        Whether they are the nearest by corrected distances, and not by coordinates.
    n_clipped
        Of the n (n - 1) squared distances compared, those that were negative by more than rounding and count as 0;
        0 where coordinates were compared.
    """

    index_nk: Array
    distance_nk: Array
    exact: bool
    n_clipped: int

    def graph(self, mode: Literal["distance", "connectivity"] = "distance") -> sp.csr_matrix:
        """Directed graph of the neighbours.

        Parameters
        ----------
        mode
            ``"distance"`` stores distances, those of 0 too; ``"connectivity"`` stores ones.

        Returns
        -------
        scipy.sparse.csr_matrix
            (n, n) float64; row i has the neighbours of sample i, nearest first.

        Raises
        ------
        OptionError
            There is no such mode.
        """
        if mode not in ("distance", "connectivity"):
            raise OptionError(f"no graph is called {mode!r}; there are: distance, connectivity")
        n = self.index_nk.shape[0]
        found_nk = self.index_nk >= 0
        weight = self.distance_nk[found_nk] if mode == "distance" else np.ones(int(found_nk.sum()))
        starts = np.concatenate([[0], np.cumsum(found_nk.sum(axis=1))])
        return sp.csr_matrix((weight, self.index_nk[found_nk], starts), shape=(n, n))


def corrected_neighbors(
    estimator: Any, n_neighbors: int = 15, *, exact: bool | None = None, random_state: int = 0
) -> Neighbors:
    """Nearest other samples of every sample, with distances corrected for what was not observed.

    Parameters
    ----------
    estimator
        Fitted :class:`~corpuscle.reduce.UnbiasedGram` or :class:`~corpuscle.reduce.UnbiasedPCA`, a Gram operator, or an
        (n, n) array.
    n_neighbors
        Neighbours of a sample, the sample itself not among them.
    exact
        Whether to compare all pairs by corrected distances, a block of samples at a time, which takes time in n^2 d;
        otherwise Euclidean distances between coordinates are compared. By default exact up to 5,000 samples.
    random_state
        Seed of the decomposition and of the approximate search where there are many samples; it repeats exactly.

    Returns
    -------
    Neighbors
        Positions and distances, and their graph.

    Raises
    ------
    OptionError
        There are not more samples than ``n_neighbors``, or it is less than 1, or the estimator is not fitted.
    MethodError
        A distance is NaN or infinite.

    Notes
    -----
    Pairs whose estimate is negative are still ranked by it, the lowest first, although their distance is given as 0.
    Coordinates are those that an estimator was fitted with, or else the 50 leading ones.
    """
    n = gram_blocks(estimator).shape[0]
    check_n_neighbors(n_neighbors, n)
    if n <= SMALL_SAMPLES if exact is None else exact:
        return _exact_neighbors(estimator, n_neighbors)
    fitted = getattr(estimator, "embedding_", None)
    x_nk = coordinates(estimator, LARGE_COMPONENTS, random_state=random_state) if fitted is None else fitted
    return coordinate_neighbors(x_nk, n_neighbors, random_state=random_state)


def coordinate_neighbors(x_nk: Array, n_neighbors: int = 15, *, random_state: int = 0) -> Neighbors:
    """Nearest other samples by Euclidean distance between coordinates.

    Up to 20,000 samples all pairs are compared. Above, pynndescent searches on one thread, so that it repeats exactly;
    without that package scikit-learn compares, which takes longer.

    Parameters
    ----------
    x_nk
        (n, k) coordinates.
    n_neighbors
        Neighbours of a sample, the sample itself not among them.
    random_state
        Seed of the search.

    Raises
    ------
    OptionError
        There are not more samples than ``n_neighbors``, it is less than 1, or a coordinate is NaN or infinite.
    """
    x_nk = np.asarray(x_nk, dtype=np.float64)
    if x_nk.ndim != 2 or x_nk.shape[1] == 0 or not np.isfinite(x_nk).all():
        raise OptionError(f"coordinates of shape {x_nk.shape} must be samples x dimensions, all finite")
    check_n_neighbors(n_neighbors, x_nk.shape[0])
    found = _searched(x_nk, n_neighbors, random_state) if x_nk.shape[0] > ALL_PAIRS_SAMPLES else None
    index_nk, distance_nk = found or _compared(x_nk, n_neighbors)
    return Neighbors(index_nk, distance_nk, False, 0)


def check_n_neighbors(n_neighbors: int, n: int) -> None:
    """Refuse a number of neighbours that so many samples do not have.

    Raises
    ------
    OptionError
        There are not more samples than ``n_neighbors``, or it is less than 1.
    """
    if n_neighbors < 1:
        raise OptionError(f"n_neighbors={n_neighbors}: ask for 1 or more")
    if n_neighbors >= n:
        raise OptionError(f"n_neighbors={n_neighbors} for {n:,} samples: ask for fewer neighbours than samples")


def _exact_neighbors(estimator: Any, k: int) -> Neighbors:
    norm_n = np.abs(gram_blocks(estimator).diagonal())
    n = norm_n.size
    index_nk, squared_nk = np.empty((n, k), np.int64), np.empty((n, k))
    n_clipped = 0
    for rows, squared_rn in distance_blocks(estimator):
        n_clipped += count_negative(squared_rn, norm_n[rows, None] + norm_n)
        # Positions ascend before the stable sort, so that equal distances are listed by position.
        nearest_rk = np.sort(np.argpartition(squared_rn, k - 1, axis=1)[:, :k], axis=1)
        nearest_squared_rk = np.take_along_axis(squared_rn, nearest_rk, axis=1)
        order_rk = np.argsort(nearest_squared_rk, axis=1, kind="stable")
        index_nk[rows] = np.take_along_axis(nearest_rk, order_rk, axis=1)
        squared_nk[rows] = np.take_along_axis(nearest_squared_rk, order_rk, axis=1)
    return Neighbors(index_nk, np.sqrt(np.maximum(squared_nk, 0.0)), True, n_clipped)


def _compared(x_nk: Array, k: int) -> tuple[Array, Array]:
    import sklearn
    from sklearn.neighbors import NearestNeighbors

    with sklearn.config_context(working_memory=WORKING_MIB):
        # Asked without samples, it leaves out the sample itself, also where others are identical to it.
        distance_nk, index_nk = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(x_nk).kneighbors()
    return index_nk.astype(np.int64), distance_nk


def _searched(x_nk: Array, k: int, seed: int) -> tuple[Array, Array] | None:
    """What pynndescent finds, or nothing where it is not installed."""
    try:
        from pynndescent import NNDescent
    except ModuleNotFoundError:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of lists that it could not fill; those are padded
        # One thread: what it finds depends on their number.
        found = NNDescent(x_nk.astype(np.float32), n_neighbors=k + 1, random_state=seed, n_jobs=1).neighbor_graph
    index_nk, distance_nk = found[0].astype(np.int64), found[1].astype(np.float64)
    itself_nk = index_nk == np.arange(x_nk.shape[0])[:, None]
    # Among identical samples it may have lost the sample itself; then the farthest is one too many.
    itself_nk[~itself_nk.any(axis=1), -1] = True
    distance_nk[itself_nk | (index_nk < 0)] = np.inf
    index_nk[itself_nk] = -1
    order_nk = np.argsort(distance_nk, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(index_nk, order_nk, axis=1), np.take_along_axis(distance_nk, order_nk, axis=1)
