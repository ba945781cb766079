"""How far inner products, distances, coordinates, neighbours and clusters are from those of the complete data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from corpuscle.benchmarks.missingness.methods import N_COORDINATES, Found

__all__ = [
    "METRICS",
    "N_NEIGHBORS",
    "Reference",
    "centred",
    "coordinates",
    "gram_error",
    "judge",
    "knn_recall",
    "nearest",
    "reference",
    "relative_error",
    "sin_theta",
    "squared_distances",
]

Array = np.ndarray[Any, Any]

N_NEIGHBORS = 15
#: Restarts of k-means.
N_RESTARTS = 10
#: What :func:`judge` gives, with whether more is better.
METRICS = {
    "gram_error": False,
    "d2_error": False,
    "d2_correlation": True,
    "sin_theta": False,
    "knn_recall_pcs": True,
    "knn_recall_distances": True,
    "ari": True,
    "truth_ari": True,
}


@dataclass(frozen=True)
class Reference:
    """What is true of the complete data, worked out once for all methods of a draw.

    Attributes
    ----------
    gram_nn, d2_nn
        (n, n) centred inner products and squared distances.
    coords_nk
        (n, k) principal coordinates; as many are judged of every method.
    near_pcs_nm, near_nm
        (n, m) nearest neighbours in the coordinates, and by the distances.
    code_n
        True types, or None.
    n_types, ari
        How many types, and the adjusted Rand index of k-means on the true coordinates; NaN without types.
    seed
        Of k-means.
    """

    gram_nn: Array
    d2_nn: Array
    coords_nk: Array
    near_pcs_nm: Array
    near_nm: Array
    code_n: Array | None
    n_types: int
    ari: float
    seed: int

    @property
    def n_coordinates(self) -> int:
        """Coordinates that are judged."""
        return int(self.coords_nk.shape[1])


def reference(
    x_nd: Array, code_n: Array | None, seed: int, *, n_coordinates: int = N_COORDINATES, n_neighbors: int = N_NEIGHBORS
) -> Reference:
    """Work out what methods are held to.

    Parameters
    ----------
    x_nd
        (n, d) complete values.
    code_n
        (n,) true types, or None where there are none.
    seed
        Of k-means.
    n_coordinates, n_neighbors
        Leading coordinates and nearest rows that are compared.
    """
    centred_nd = x_nd - x_nd.mean(axis=0)
    gram_nn = centred_nd @ centred_nd.T
    d2_nn = squared_distances(gram_nn)
    coords_nk = coordinates(gram_nn, n_coordinates)
    n_types = 0 if code_n is None else int(np.unique(code_n).size)
    return Reference(
        gram_nn, d2_nn, coords_nk,
        nearest(squared_distances(coords_nk @ coords_nk.T), n_neighbors), nearest(d2_nn, n_neighbors),
        code_n, n_types, _agreement(coords_nk, code_n, n_types, seed), seed,
    )  # fmt: skip


def judge(found: Found, truth: Reference) -> dict[str, float]:
    """Every metric of :data:`METRICS`; NaN where one is undefined."""
    k = truth.n_coordinates
    coords_nk = np.asarray(found.coords_nk, np.float64)[:, :k]
    m = truth.near_nm.shape[1]
    near_pcs_nm = nearest(squared_distances(coords_nk @ coords_nk.T), m)
    return {
        "gram_error": gram_error(found.gram_nn, truth.gram_nn),
        "d2_error": relative_error(found.d2_nn, truth.d2_nn),
        "d2_correlation": _correlation(found.d2_nn, truth.d2_nn),
        "sin_theta": sin_theta(coords_nk, truth.coords_nk),
        "knn_recall_pcs": knn_recall(near_pcs_nm, truth.near_pcs_nm),
        "knn_recall_distances": knn_recall(nearest(found.d2_nn, m), truth.near_nm),
        "ari": _agreement(coords_nk, truth.code_n, truth.n_types, truth.seed),
        "truth_ari": truth.ari,
    }


def centred(gram_nn: Array) -> Array:
    """(n, n) inner products about the mean of the rows, H G H with H = I - 11'/n."""
    gram_nn = np.asarray(gram_nn, np.float64)
    row_n, column_n = gram_nn.mean(axis=1), gram_nn.mean(axis=0)
    return np.asarray(gram_nn - row_n[:, None] - column_n + row_n.mean())


def squared_distances(gram_nn: Array) -> Array:
    """(n, n) squared distances that inner products mean, those below 0 raised to 0, an exact 0 on the diagonal."""
    diagonal_n = np.diagonal(gram_nn)
    d2_nn = np.maximum(diagonal_n[:, None] + diagonal_n - 2 * gram_nn, 0.0)
    np.fill_diagonal(d2_nn, 0.0)
    return np.asarray(d2_nn)


def coordinates(gram_nn: Array, k: int) -> Array:
    """(n, at most k) principal coordinates: leading eigenvectors times the roots of their eigenvalues above 0."""
    from scipy.linalg import eigh

    n = len(gram_nn)
    value_k, vector_nk = eigh(gram_nn, subset_by_index=(max(n - k, 0), n - 1))
    value_k, vector_nk = value_k[::-1], vector_nk[:, ::-1]
    kept_k = value_k > np.finfo(np.float64).eps * n * max(float(value_k[0]), 0.0)
    return np.asarray(vector_nk[:, kept_k] * np.sqrt(value_k[kept_k]))


def relative_error(found_nn: Array, true_nn: Array) -> float:
    """Frobenius norm of the difference over that of the truth; NaN where the truth is 0."""
    scale = float(np.linalg.norm(true_nn))
    return float(np.linalg.norm(found_nn - true_nn)) / scale if scale > 0 else float("nan")


def gram_error(found_nn: Array, true_nn: Array) -> float:
    """Relative Frobenius error of inner products, both about the mean."""
    return relative_error(centred(found_nn), centred(true_nn))


def sin_theta(found_nk: Array, true_nk: Array) -> float:
    """Root mean square sine of the angles between two subspaces, 0 where they are the same and 1 where orthogonal.

    Only the spaces count, not lengths. A direction of the truth to which there is none in what was found counts 1.
    """
    left_nk, right_nk = _basis(found_nk), _basis(true_nk)
    if right_nk.shape[1] == 0:
        return float("nan")
    return float(np.sqrt(max(1.0 - np.sum((left_nk.T @ right_nk) ** 2) / right_nk.shape[1], 0.0)))


def nearest(d2_nn: Array, n_neighbors: int) -> Array:
    """(n, m) nearest rows of each, itself left out; among equal distances the first."""
    d2_nn = np.array(d2_nn, np.float64)
    np.fill_diagonal(d2_nn, np.inf)
    m = min(n_neighbors, len(d2_nn) - 1)
    return np.argsort(d2_nn, axis=1, kind="stable")[:, :m]


def knn_recall(found_nm: Array, true_nm: Array) -> float:
    """Share of the true neighbours that are among those found."""
    n, m = true_nm.shape
    near_nn = np.zeros((n, n), bool)
    np.put_along_axis(near_nn, found_nm, True, axis=1)
    return float(np.take_along_axis(near_nn, true_nm, axis=1).mean()) if n and m else float("nan")


def _basis(coords_nk: Array) -> Array:
    """Orthonormal basis of the columns; a column that depends on others brings no direction."""
    left_nk, value_k, _ = np.linalg.svd(np.asarray(coords_nk, np.float64), full_matrices=False)
    largest = float(value_k[0]) if value_k.size else 0.0
    return np.asarray(left_nk[:, value_k > 1e-10 * largest])


def _correlation(found_nn: Array, true_nn: Array) -> float:
    """Pearson correlation over pairs of different rows; NaN where either side is constant."""
    upper = np.triu_indices(len(true_nn), 1)
    found, true = np.asarray(found_nn, np.float64)[upper], true_nn[upper]
    found, true = found - found.mean(), true - true.mean()
    scale = float(np.linalg.norm(found) * np.linalg.norm(true))
    return float(found @ true) / scale if scale > 0 else float("nan")


def _agreement(coords_nk: Array, code_n: Array | None, n_types: int, seed: int) -> float:
    """Adjusted Rand index of k-means with as many clusters as there are types; NaN without types."""
    if code_n is None or n_types < 2:
        return float("nan")
    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_rand_score

    clusters_n = KMeans(n_types, n_init=N_RESTARTS, random_state=seed).fit_predict(coords_nk)
    return float(adjusted_rand_score(code_n, clusters_n))
