"""Roads from a corrected Gram matrix to maps, and the latent-variable model."""

from __future__ import annotations

import sys
import warnings
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.spatial import procrustes
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from corpuscle.errors import MethodError, OptionError
from corpuscle.reduce._coordinates import coordinates
from corpuscle.reduce.embed import METHODS, embed
from corpuscle.reduce.gplvm import GramGPLVM, gram_log_likelihood, per_feature_gram
from corpuscle.reduce.gram import UnbiasedGram
from corpuscle.reduce.neighbors import coordinate_neighbors, corrected_neighbors
from corpuscle.reduce.pca import UnbiasedPCA

LABEL_N = np.repeat([0, 1], 30)


def two_clusters() -> np.ndarray:
    rng = np.random.default_rng(0)
    latent_nk = rng.normal(size=(60, 2)) * 0.4
    latent_nk[LABEL_N == 1, 0] += 3
    return latent_nk @ rng.normal(size=(2, 300)) + rng.normal(size=(60, 300)) + 3


@pytest.fixture(scope="module")
def complete() -> np.ndarray:
    return two_clusters()


@pytest.fixture(scope="module")
def fitted(complete: np.ndarray) -> UnbiasedGram:
    """Of the same with half missing, unevenly."""
    rng = np.random.default_rng(1)
    p_nd = rng.uniform(0.4, 1, (60, 1)) * rng.uniform(0.5, 1, 300)
    return UnbiasedGram().fit(np.where(rng.random(complete.shape) < p_nd, complete, np.nan))


def clusters_found(map_nk: np.ndarray) -> float:
    return float(adjusted_rand_score(LABEL_N, KMeans(2, n_init=5, random_state=0).fit_predict(map_nk)))


def same_up_to_sign(a_nk: np.ndarray, b_nk: np.ndarray) -> None:
    sign_k = np.sign((a_nk * b_nk).sum(axis=0))
    np.testing.assert_allclose(a_nk * sign_k, b_nk, atol=1e-8 * np.abs(b_nk).max())


def test_all_coordinates_have_the_positive_part_of_the_matrix(fitted: UnbiasedGram) -> None:
    x_nk = coordinates(fitted, "all")
    value_n, vector_nn = np.linalg.eigh(fitted.gram())
    assert x_nk.shape[1] < 59
    np.testing.assert_allclose(
        x_nk @ x_nk.T, (vector_nn * np.maximum(value_n, 0)) @ vector_nn.T, atol=1e-8 * value_n[-1]
    )
    same_up_to_sign(coordinates(fitted, 3), x_nk[:, :3])


def test_coordinates_that_were_fitted_are_not_computed_again() -> None:
    held = SimpleNamespace(operator_=np.eye(6), embedding_=np.arange(12.0).reshape(6, 2))
    np.testing.assert_array_equal(coordinates(held, 1), held.embedding_[:, :1])
    assert coordinates(held, 5).shape == (6, 5)
    held.diagonal = "hetero"
    np.testing.assert_array_equal(coordinates(held, "all"), held.embedding_)


def test_fewer_coordinates_where_fewer_eigenvalues_are_positive() -> None:
    gram_nn = np.diag([4.0, 1.0, -1.0, -2.0])
    expected = [[2, 0], [0, 1], [0, 0], [0, 0]]
    np.testing.assert_allclose(np.abs(coordinates(gram_nn, 3)), expected, atol=1e-12)
    with pytest.warns(UserWarning, match="2 eigenvalues are positive where 3"):
        np.testing.assert_allclose(np.abs(embed(gram_nn, "mds", 3)), expected, atol=1e-12)
    with pytest.raises(MethodError, match="no eigenvalue"):
        coordinates(-np.eye(4), 2)
    with pytest.raises(OptionError, match="1 or more"):
        coordinates(gram_nn, 0)


def test_scaling_of_complete_values_is_principal_components(complete: np.ndarray) -> None:
    from sklearn.decomposition import PCA

    same_up_to_sign(embed(UnbiasedGram().fit(complete), "mds"), PCA(2).fit_transform(complete))


def test_principal_components_take_the_same_roads(complete: np.ndarray) -> None:
    seen_nd = np.where(np.random.default_rng(2).random(complete.shape) < 0.7, complete, np.nan)
    gram, components = UnbiasedGram().fit(seen_nd), UnbiasedPCA(5).fit(seen_nd)
    np.testing.assert_array_equal(embed(components, "mds", 5), components.embedding_)
    same_up_to_sign(embed(components, "kernel_pca"), embed(gram, "kernel_pca"))
    np.testing.assert_array_equal(corrected_neighbors(components).index_nk, corrected_neighbors(gram).index_nk)
    by_coordinates = corrected_neighbors(components, exact=False)
    np.testing.assert_array_equal(by_coordinates.index_nk, coordinate_neighbors(components.embedding_).index_nk)


def test_isomap_and_kernel_components_of_complete_values_are_the_ordinary_ones(complete: np.ndarray) -> None:
    from sklearn.decomposition import KernelPCA
    from sklearn.manifold import Isomap

    estimator = UnbiasedGram().fit(complete)
    expected = KernelPCA(2, kernel="rbf", gamma=1e-3).fit_transform(complete)
    same_up_to_sign(embed(estimator, "kernel_pca", gamma=1e-3), expected)
    plain = Isomap(n_neighbors=40, n_components=2, eigen_solver="dense").fit_transform(complete)
    same_up_to_sign(embed(estimator, "isomap", n_neighbors=40), plain)


@pytest.mark.filterwarnings("ignore:The number of connected components")
@pytest.mark.parametrize("method", ["mds", "tsne", "isomap", "kernel_pca", "lle"])
def test_maps_repeat_and_are_finite(fitted: UnbiasedGram, method: Any) -> None:
    found = embed(fitted, method)
    assert found.shape == (60, 2)
    assert found.dtype == np.float64
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found, embed(fitted, method))
    if method != "lle":  # which needs neighbours that connect the clusters
        assert clusters_found(found) == 1.0


def test_tsne_starts_from_all_coordinates_or_from_those_asked_for(
    fitted: UnbiasedGram, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[np.ndarray] = []
    monkeypatch.setitem(METHODS, "tsne", lambda x_nk, k, seed, **options: seen.append(x_nk) or x_nk[:, :k])
    embed(fitted, "tsne")
    embed(fitted, "tsne", coordinates_from=4)
    every = coordinates(fitted, "all")
    monkeypatch.setattr(sys.modules["corpuscle.reduce.embed"], "SMALL_SAMPLES", 59)
    monkeypatch.setattr(sys.modules["corpuscle.reduce.embed"], "LARGE_COMPONENTS", 5)
    embed(fitted, "tsne")
    np.testing.assert_array_equal(seen[0], every)
    assert [x_nk.shape[1] for x_nk in seen] == [every.shape[1], 4, 5]


def test_umap_is_given_neighbours_seed_and_one_thread(fitted: UnbiasedGram, monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[str, Any] = {}

    class UMAP:
        def __init__(self, **options: Any) -> None:
            told.update(options)

        def fit_transform(self, x_nk: np.ndarray) -> np.ndarray:
            return x_nk[:, :2].astype(np.float32)

    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=UMAP))
    assert embed(fitted, "umap", n_neighbors=9, random_state=5, min_dist=0.3).dtype == np.float64
    assert told == {"n_components": 2, "n_neighbors": 9, "random_state": 5, "n_jobs": 1, "min_dist": 0.3}


@pytest.mark.parametrize(("module", "method"), [("umap", "umap"), ("torch", "gplvm")])
def test_a_missing_extra_is_one_line(
    fitted: UnbiasedGram, monkeypatch: pytest.MonkeyPatch, module: str, method: Any
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MethodError, match=r"corpuscle\[models\]"):
        embed(fitted, method)


def test_maps_that_there_are_not(fitted: UnbiasedGram, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OptionError, match="there are: mds"):
        embed(fitted, "som")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="n_components=0"):
        embed(fitted, "mds", 0)
    with pytest.raises(OptionError, match="n_neighbors=60"):
        embed(fitted, "isomap", n_neighbors=60)
    with pytest.raises(OptionError, match="perplexities"):
        embed(fitted, "tsne", perplexities=3)
    with pytest.raises(OptionError, match="gamma=-1"):
        embed(fitted, "kernel_pca", gamma=-1)
    with pytest.raises(MethodError, match="half of all distances"):
        embed(np.ones((4, 4)), "kernel_pca")
    with pytest.raises(OptionError, match="not fitted"):
        embed(UnbiasedGram(), "mds")
    for module in ("embed", "_coordinates"):
        monkeypatch.setattr(sys.modules[f"corpuscle.reduce.{module}"], "SMALL_SAMPLES", 59)
    for method in ("isomap", "kernel_pca", "gplvm"):
        with pytest.raises(OptionError, match="all pairs of 60 samples"):
            embed(fitted, method)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="all pairs of 60 samples"):
        embed(fitted, "tsne", coordinates_from="all")


def test_the_likelihood_is_that_of_independent_features() -> None:
    torch = pytest.importorskip("torch")
    from scipy.stats import multivariate_normal

    rng = np.random.default_rng(0)
    latent_nk, x_nd = rng.normal(size=(6, 2)), rng.normal(size=(6, 4))
    kernel_nn = 1.7 * np.exp(-0.5 * ((latent_nk[:, None] - latent_nk[None]) ** 2).sum(axis=2)) + 0.3 * np.eye(6)
    expected = multivariate_normal(np.zeros(6), kernel_nn).logpdf(x_nd.T).mean()
    tensors = [
        torch.as_tensor(v, dtype=torch.float64) for v in (latent_nk, np.log(1.7), np.log(0.3), x_nd @ x_nd.T / 4)
    ]
    assert gram_log_likelihood(*tensors).item() == pytest.approx(expected, rel=1e-12)


def test_the_gradient_is_that_of_finite_differences() -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    x_nd = rng.normal(size=(7, 5))
    gram = torch.as_tensor(x_nd @ x_nd.T / 5, dtype=torch.float64)
    start = [
        torch.tensor(v, dtype=torch.float64, requires_grad=True)
        for v in (rng.normal(size=(7, 2)), np.array(0.2), np.array(-0.5))
    ]
    assert torch.autograd.gradcheck(lambda *theta: gram_log_likelihood(*theta, gram), start, atol=1e-7, rtol=1e-6)


def test_latent_positions_recover_planted_clusters_under_missingness(fitted: UnbiasedGram) -> None:
    pytest.importorskip("torch")
    model = GramGPLVM(tol=1e-5).fit(fitted)
    assert model.embedding_.shape == (60, 2)
    assert clusters_found(model.embedding_) == 1.0
    assert (np.diff(model.loss_history_) <= 0).all()
    assert model.loss_history_[-1] < model.loss_history_[0]
    assert model.log_likelihood_ == -model.loss_history_[-1]
    assert model.n_iter_ == model.loss_history_.size - 1 > 1
    assert model.n_negative_ > 0
    np.testing.assert_allclose(model.embedding_.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_array_equal(embed(fitted, "gplvm", tol=1e-5), model.embedding_)


def test_the_likelihood_at_the_end_is_that_of_what_was_found(complete: np.ndarray) -> None:
    torch = pytest.importorskip("torch")
    gram_nn = np.cov(complete, bias=True)
    model = GramGPLVM(1, tol=1e-4).fit(gram_nn)
    found = (model.embedding_, np.log(model.kernel_variance_), np.log(model.noise_variance_), gram_nn)
    again = gram_log_likelihood(*(torch.as_tensor(v, dtype=torch.float64) for v in found)).item()
    assert again == pytest.approx(model.log_likelihood_, rel=1e-9)


def test_either_scale_gives_the_same_average_over_features(complete: np.ndarray) -> None:
    seen_nd = complete.copy()
    seen_nd[np.random.default_rng(3).random(complete.shape) < 0.2] = np.nan
    seen_nd[:, 7] = np.nan
    for estimator in ("ratio", "ht", "pairwise"):
        total, average = (UnbiasedGram(estimator, scale=s).fit(seen_nd) for s in ("total", "per_feature"))
        np.testing.assert_allclose(per_feature_gram(total), average.gram(), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(per_feature_gram(total) * 299, total.gram(), rtol=1e-9, atol=1e-9)


def test_starts(complete: np.ndarray) -> None:
    pytest.importorskip("torch")
    gram_nn = np.cov(complete, bias=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        random = [GramGPLVM(init="random", max_iter=2, random_state=s).fit_transform(gram_nn) for s in (0, 0, 1)]
        given = GramGPLVM(init=np.eye(60)[:, :2], max_iter=1).fit(gram_nn)
        # Two dimensions of points on a line: the second axis has no eigenvector to start from.
        line = np.outer(np.arange(20.0) - 9.5, np.arange(20.0) - 9.5)
        flat = GramGPLVM(max_iter=5).fit(line)
    np.testing.assert_array_equal(random[0], random[1])
    assert not np.allclose(random[0], random[2])
    assert procrustes(given.embedding_, np.eye(60)[:, :2])[2] < 0.1
    assert np.isfinite(flat.embedding_).all()
    with pytest.raises(OptionError, match="60 x 2"):
        GramGPLVM(init=np.zeros((3, 2))).fit(gram_nn)
    with pytest.raises(OptionError, match="pca, random"):
        GramGPLVM(init="tsne").fit(gram_nn)


def test_a_model_that_cannot_be_fitted() -> None:
    pytest.importorskip("torch")
    with pytest.raises(OptionError, match="n_components"):
        GramGPLVM(0).fit(np.eye(4))
    with pytest.raises(OptionError, match="max_iter"):
        GramGPLVM(max_iter=0).fit(np.eye(4))
    with pytest.raises(MethodError, match="nothing to model"):
        GramGPLVM().fit(np.zeros((4, 4)))
    with pytest.raises(MethodError, match="NaN"):
        GramGPLVM().fit(np.full((4, 4), np.nan))
    assert clone(GramGPLVM(3, max_iter=7)).get_params()["max_iter"] == 7


def test_too_few_iterations_are_said(complete: np.ndarray) -> None:
    pytest.importorskip("torch")
    from sklearn.exceptions import ConvergenceWarning

    with pytest.warns(ConvergenceWarning, match="raise max_iter"):
        GramGPLVM(max_iter=1, tol=0).fit(np.cov(complete, bias=True))
