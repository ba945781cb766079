"""The roads from a corrected Gram matrix to a map of the samples."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from corpuscle.errors import MethodError, OptionError
from corpuscle.reduce._coordinates import LARGE_COMPONENTS, ROUNDING, coordinates, warn_of_fewer
from corpuscle.reduce.distances import SMALL_SAMPLES, corrected_distances, gram_blocks
from corpuscle.reduce.neighbors import check_n_neighbors

__all__ = ["METHODS", "embed"]

Array = np.ndarray[Any, Any]


def embed(
    estimator: Any,
    method: Literal["mds", "tsne", "umap", "lle", "isomap", "kernel_pca", "gplvm"] = "umap",
    n_components: int = 2,
    *,
    n_neighbors: int = 15,
    coordinates_from: int | Literal["all"] | None = None,
    random_state: int = 0,
    **options: Any,
) -> Array:
    """Lay out samples in a few dimensions, from inner products corrected for what was not observed.

    ========================  ==========================================================================================
    ``"mds"``                 leading eigenvectors of the Gram matrix times the roots of their eigenvalues; the same as PCA
    ``"tsne"``, ``"umap"``,   scikit-learn's, umap-learn's and scikit-learn's (locally linear embedding), from coordinates
    ``"lle"``
    ``"isomap"``              scikit-learn's, from corrected distances
    ``"kernel_pca"``          of ``exp(-gamma D2)`` of the corrected squared distances, negative eigenvalues left out
    ``"gplvm"``               :class:`~corpuscle.reduce.GramGPLVM`
    ========================  ==========================================================================================

    Parameters
    ----------
    estimator
        Fitted :class:`~corpuscle.reduce.UnbiasedGram` or :class:`~corpuscle.reduce.UnbiasedPCA`, a Gram operator, or an
        (n, n) array.
    method
        One of the above. The last three compare all pairs and take at most 5,000 samples.
    n_components
        Dimensions of the map.
    n_neighbors
        Neighbours of a sample, for ``"umap"``, ``"lle"`` and ``"isomap"``.
    coordinates_from
        Coordinates that ``"tsne"``, ``"umap"`` and ``"lle"`` start from: so many, or ``"all"`` with a positive
        eigenvalue. By default all for up to 5,000 samples and the 50 leading ones for more.
    random_state
        Seed; a map repeats exactly.
    **options
        Further parameters of the class that does the work; for ``"kernel_pca"`` only ``gamma``, by default 1 over the
        median squared distance of two samples.

    Returns
    -------
    numpy.ndarray
        (n, n_components) float64; fewer columns, with a warning, where ``"mds"`` or ``"kernel_pca"`` finds fewer positive
        eigenvalues.

    Raises
    ------
    OptionError
        There is no such method or option, it does not take so many samples or neighbours, or the estimator is not fitted.
    MethodError
        An extra is missing, or the Gram matrix has no positive eigenvalue.

    Notes
    -----
    Source: Ling, Liu and Xue 2021, Dimension Reduction for Data with Heterogeneous Missingness, UAI, PMLR 161, for MDS,
    t-SNE, UMAP and GPLVM of the corrected Gram matrix.
    """
    if method not in METHODS:
        raise OptionError(f"no map is called {method!r}; there are: {', '.join(METHODS)}")
    n = gram_blocks(estimator).shape[0]
    if not 1 <= n_components < n:
        raise OptionError(f"n_components={n_components} for {n:,} samples: ask for 1 or more, and fewer than samples")
    if method in ("umap", "lle", "isomap"):
        check_n_neighbors(n_neighbors, n)
        options["n_neighbors"] = n_neighbors
    if method in ("tsne", "umap", "lle"):
        enough: int | Literal["all"] = "all" if n <= SMALL_SAMPLES else LARGE_COMPONENTS
        of = coordinates(estimator, enough if coordinates_from is None else coordinates_from, random_state=random_state)
    else:
        of = estimator
    try:
        map_nk = METHODS[method](of, n_components, random_state, **options)
    except TypeError as error:
        if "unexpected keyword" in str(error):
            raise OptionError(f"{method}: {error}") from None
        raise
    return np.asarray(map_nk, dtype=np.float64)


def _mds(estimator: Any, k: int, seed: int) -> Array:
    map_nk = coordinates(estimator, k, random_state=seed)
    warn_of_fewer(map_nk.shape[1], k)
    return map_nk


def _tsne(x_nk: Array, k: int, seed: int, **options: Any) -> Array:
    from sklearn.manifold import TSNE

    n = x_nk.shape[0]
    options.setdefault("perplexity", min(30.0, (n - 1) / 3))
    options.setdefault("init", "pca" if min(x_nk.shape) >= k else "random")
    if k > 3:
        options.setdefault("method", "exact")
    return TSNE(k, random_state=seed, **options).fit_transform(x_nk)


def _umap(x_nk: Array, k: int, seed: int, **options: Any) -> Array:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its choice of threads, and of packages it does not need here
        try:
            from umap import UMAP
        except ModuleNotFoundError:
            raise MethodError("umap: needs an extra; run: pip install 'corpuscle[models]'") from None
        # One thread, or it would not repeat.
        return UMAP(n_components=k, random_state=seed, n_jobs=1, **options).fit_transform(x_nk)


def _lle(x_nk: Array, k: int, seed: int, **options: Any) -> Array:
    from sklearn.manifold import LocallyLinearEmbedding

    return LocallyLinearEmbedding(n_components=k, random_state=seed, **options).fit_transform(x_nk)


def _isomap(estimator: Any, k: int, seed: int, **options: Any) -> Array:
    from scipy.sparse import SparseEfficiencyWarning
    from sklearn.manifold import Isomap

    # Exact, so that it repeats without a seed.
    options.setdefault("eigen_solver", "dense")
    distance_nn = np.sqrt(_all_pairs(estimator, "isomap"))
    with warnings.catch_warnings():
        # Of how it joins parts that no neighbours connect; that it does so, it still says.
        warnings.simplefilter("ignore", SparseEfficiencyWarning)
        return Isomap(n_components=k, metric="precomputed", **options).fit_transform(distance_nn)


def _kernel_pca(estimator: Any, k: int, seed: int, gamma: float | None = None) -> Array:
    from scipy.linalg import eigh

    squared_nn = _all_pairs(estimator, "kernel_pca")
    n = squared_nn.shape[0]
    if gamma is None:
        typical = float(np.median(squared_nn[np.triu_indices(n, 1)]))
        if not typical > 0:
            raise MethodError("kernel_pca: half of all distances are 0, so they give no width; pass gamma")
        gamma = 1.0 / typical
    if not (np.isfinite(gamma) and gamma > 0):
        raise OptionError(f"gamma={gamma}: ask for a number above 0")
    kernel_nn = np.exp(-gamma * squared_nn)
    mean_n = kernel_nn.mean(axis=0)
    kernel_nn += mean_n.mean() - mean_n[:, None] - mean_n[None, :]
    # Distances that were estimated need not be those of any points; scikit-learn's class refuses such a kernel.
    value_k, vector_nk = eigh(kernel_nn, subset_by_index=(n - k, n - 1))
    value_k, vector_nk = value_k[::-1], vector_nk[:, ::-1]
    vector_nk = vector_nk * np.sign(vector_nk[np.abs(vector_nk).argmax(axis=0), np.arange(k)])
    positive_k = value_k > ROUNDING * np.abs(value_k).max()
    warn_of_fewer(int(positive_k.sum()), k)
    return vector_nk[:, positive_k] * np.sqrt(value_k[positive_k])


def _gplvm(estimator: Any, k: int, seed: int, **options: Any) -> Array:
    from corpuscle.reduce.gplvm import GramGPLVM

    return GramGPLVM(k, random_state=seed, **options).fit_transform(estimator)


def _all_pairs(estimator: Any, method: str) -> Array:
    n = gram_blocks(estimator).shape[0]
    if n > SMALL_SAMPLES:
        raise OptionError(
            f"{method} compares all pairs of {n:,} samples; take at most {SMALL_SAMPLES:,} of them, or the method 'umap'"
        )
    return corrected_distances(estimator).squared_rc


#: Name -> function of what it starts from (coordinates or the estimator), the dimensions and the seed.
METHODS: dict[str, Callable[..., Array]] = {
    "mds": _mds,
    "tsne": _tsne,
    "umap": _umap,
    "lle": _lle,
    "isomap": _isomap,
    "kernel_pca": _kernel_pca,
    "gplvm": _gplvm,
}
