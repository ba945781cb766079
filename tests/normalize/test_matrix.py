"""Smoothers, completions and models that see the whole matrix."""

from __future__ import annotations

import os
import random
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from corpuscle import Counts, open_counts
from corpuscle.counts import MemorySource
from corpuscle.errors import MethodError, OptionError
from corpuscle.normalize import Normalizer, normalizer
from corpuscle.normalize._graph import adaptive_markov
from corpuscle.normalize._pca import principal_components
from corpuscle.normalize.alra import rank_by_gap

DATA = Path(os.environ.get("CORPUSCLE_DATA", Path(__file__).parents[3] / "shared" / "data")) / "coregulation"
B_MARKERS = ["CD79A", "MS4A1", "CD79B", "BANK1", "CD19"]
SMOOTHERS = [("knn_smooth", {"k": 5, "n_pcs": 8}), ("magic", {"n_pcs": 8}), ("alra", {"k": 4})]


def as_counts(x_ng: np.ndarray) -> Counts:
    obs = pd.DataFrame(index=[f"c{i}" for i in range(x_ng.shape[0])])
    var = pd.DataFrame(index=[f"g{i}" for i in range(x_ng.shape[1])])
    return Counts([MemorySource(sp.csr_matrix(x_ng.astype(np.int32)), obs, var)])


@pytest.fixture(scope="module")
def counts() -> Counts:
    """Three kinds of cells, 90 x 60, with one gene that is never seen."""
    rng = np.random.default_rng(0)
    program_kg = rng.gamma(0.5, 4.0, (3, 60))
    program_kg[:, 13] = 0
    return as_counts(rng.poisson(program_kg[np.arange(90) % 3] * rng.lognormal(0, 0.3, 90)[:, None]))


@pytest.fixture(scope="module")
def scaled_ng(counts: Counts) -> np.ndarray:
    x_ng = counts.to_csr().toarray().astype(float)
    return 1e4 * x_ng / x_ng.sum(axis=1, keepdims=True)


def real(name: str) -> Counts:
    path = DATA / f"{name}.h5ad"
    if not path.is_file():
        pytest.skip(f"needs {path.name} from the shared data (CORPUSCLE_DATA)")
    return _opened(path)


@cache
def _opened(path: Path) -> Counts:
    return open_counts(path).load()


def light_chain_correlation(counts: Counts, fitted: Normalizer) -> float:
    """Pearson IGKC against IGLC2 in B cells chosen by markers, fitted on all cells."""
    markers = [gene for gene in B_MARKERS if counts.has_gene(gene)]
    inside = np.asarray((counts.columns(markers) > 0).sum(axis=1)).ravel() >= 2
    values = fitted.transform(counts, ["IGKC", "IGLC2"])
    return float(np.corrcoef(values[inside].T)[0, 1])


# -- what all of them promise ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "params"), SMOOTHERS)
def test_some_genes_are_columns_of_all(counts: Counts, name: str, params: dict) -> None:
    method = normalizer(name, **params).fit(counts)
    everything = method.transform(counts)
    assert everything.shape == (90, 60) and everything.dtype == np.float64
    np.testing.assert_allclose(method.transform(counts, ["g7", "g0", "g7"]), everything[:, [7, 0, 7]], atol=1e-12)
    assert method.transform(counts, []).shape == (90, 0)


@pytest.mark.parametrize(("name", "params"), SMOOTHERS)
def test_two_fits_agree_to_the_bit(counts: Counts, name: str, params: dict) -> None:
    first, second = (normalizer(name, **params).fit(counts).transform(counts) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(("name", "params"), SMOOTHERS)
def test_other_cells_and_no_fit_are_refused(counts: Counts, name: str, params: dict) -> None:
    with pytest.raises(MethodError, match="call fit before transform"):
        normalizer(name, **params).transform(counts)
    with pytest.raises(MethodError, match="fitted on 90 cells x 60 genes"):
        normalizer(name, **params).fit(counts).transform(counts.select_cells(np.arange(50)))


@pytest.mark.parametrize(("name", "params"), SMOOTHERS)
def test_an_empty_cell_is_named(name: str, params: dict) -> None:
    x_ng = np.random.default_rng(0).poisson(2.0, (30, 20))
    x_ng[4] = 0
    with pytest.raises(MethodError, match="c4 has no counts"):
        normalizer(name, **params).fit(as_counts(x_ng))


@pytest.mark.parametrize("name", ["knn_smooth", "magic"])
def test_cells_that_are_all_alike_have_no_neighbours(name: str) -> None:
    alike = as_counts(np.outer(np.arange(1, 41), np.arange(1, 31)))
    with pytest.raises(MethodError, match="all 40 cells have the same profile"):
        normalizer(name).fit(alike)


@pytest.mark.parametrize("name", ["knn_smooth", "magic", "alra", "scran", "sct_v2"])
@pytest.mark.parametrize("n_cells", [1, 4])
def test_too_few_cells_are_refused_in_words(name: str, n_cells: int) -> None:
    few = as_counts(np.random.default_rng(1).poisson(3.0, (n_cells, 40)) + 1)
    with pytest.raises(MethodError):
        normalizer(name).fit(few)


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("knn_smooth", {"k": 0}),
        ("knn_smooth", {"n_pcs": 0}),
        ("magic", {"t": -1}),
        ("magic", {"knn": 0}),
        ("magic", {"decay": 0.0}),
        ("alra", {"noise_from": 99}),
        ("alra", {"quantile": 2.0}),
        ("alra", {"k": 0}),
        ("scvi", {"max_epochs": 0}),
    ],
)
def test_parameters_without_sense_are_refused(counts: Counts, name: str, params: dict) -> None:
    with pytest.raises((OptionError, MethodError)):
        normalizer(name, **params).fit(counts)


# -- nearest neighbours ------------------------------------------------------------------------------------------


def test_knn_is_the_mean_over_brute_force_neighbours(counts: Counts, scaled_ng: np.ndarray) -> None:
    log_ng = np.log1p(scaled_ng)
    u, s, _ = np.linalg.svd(log_ng - log_ng.mean(axis=0), full_matrices=False)
    score_nc = (u * s)[:, :8]
    distance_nn = np.linalg.norm(score_nc[:, None] - score_nc[None], axis=2)
    nearest = np.argsort(distance_nn, axis=1)[:, :5]  # the cell itself comes first
    found = normalizer("knn_smooth", k=5, n_pcs=8).fit(counts).transform(counts)
    np.testing.assert_allclose(found, log_ng[nearest].mean(axis=1), atol=1e-10)


def test_knn_weights_are_a_mean_that_includes_the_cell(counts: Counts) -> None:
    weight_nn = normalizer("knn_smooth", k=5).fit(counts).weight_nn_
    np.testing.assert_allclose(weight_nn.sum(axis=1), 1)
    np.testing.assert_array_equal(np.diff(weight_nn.indptr), 5)
    np.testing.assert_allclose(weight_nn.diagonal(), 0.2)


def test_one_neighbour_is_the_log(counts: Counts, scaled_ng: np.ndarray) -> None:
    found = normalizer("knn_smooth", k=1).fit(counts).transform(counts)
    np.testing.assert_allclose(found, np.log1p(scaled_ng), rtol=1e-12)


def test_a_copy_of_a_cell_is_its_neighbour_once() -> None:
    x_ng = np.random.default_rng(3).poisson(3.0, (40, 25))
    x_ng[1] = x_ng[0]
    weight_nn = normalizer("knn_smooth", k=2, n_pcs=5).fit(as_counts(x_ng)).weight_nn_.toarray()
    np.testing.assert_allclose(weight_nn[0, :2], 0.5)
    np.testing.assert_allclose(weight_nn[1, :2], 0.5)


def test_components_are_those_of_the_centred_matrix() -> None:
    x_ng = np.random.default_rng(5).gamma(1.0, size=(50, 30))
    found = principal_components(sp.csr_matrix(x_ng), 4, method="test")
    u, s, _ = np.linalg.svd(x_ng - x_ng.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(np.abs(found), np.abs((u * s)[:, :4]), atol=1e-8)


def test_smoothing_inflates_unrelated_genes() -> None:
    counts = real("pbmc_1k_v3")
    genes = np.argsort(-counts.profile().cells_g)[200:260]
    plain, smooth = (normalizer(name).fit(counts).transform(counts, genes) for name in ("log1p_cp10k", "knn_smooth"))
    upper = np.triu_indices(60, 1)
    background, inflated = (np.median(np.abs(np.corrcoef(v.T)[upper])) for v in (plain.toarray(), smooth))
    assert inflated > 2 * background


# -- MAGIC -------------------------------------------------------------------------------------------------------


def test_no_diffusion_is_the_square_root(counts: Counts, scaled_ng: np.ndarray) -> None:
    found = normalizer("magic", t=0, n_pcs=8).fit(counts).transform(counts)
    np.testing.assert_allclose(found, np.sqrt(scaled_ng), rtol=1e-12)


def test_diffusion_is_a_power_of_the_markov_matrix(counts: Counts, scaled_ng: np.ndarray) -> None:
    method = normalizer("magic", t=3, n_pcs=8).fit(counts)
    markov_nn = method.markov_nn_.toarray()
    np.testing.assert_allclose(markov_nn.sum(axis=1), 1)
    assert (markov_nn >= 0).all() and (markov_nn.diagonal() > 0).all()
    expected = np.linalg.matrix_power(markov_nn, 3) @ np.sqrt(scaled_ng)
    np.testing.assert_allclose(method.transform(counts), expected, rtol=1e-10)


def test_kernel_follows_its_formula() -> None:
    point_n = np.array([0.0, 1.0, 3.0, 7.0])
    distance_nn = np.abs(point_n[:, None] - point_n[None])
    order = np.argsort(distance_nn, axis=1)[:, 1:]
    distance_nk = np.take_along_axis(distance_nn, order, axis=1)
    width_n = distance_nk[:, 1]
    kernel = np.exp(-((distance_nn / width_n[:, None]) ** 2.0))
    kernel[kernel < 0.01] = 0
    kernel = (kernel + kernel.T) / 2
    found = adaptive_markov(distance_nk, order, knn=2, decay=2.0, threshold=0.01)
    np.testing.assert_allclose(found.toarray(), kernel / kernel.sum(axis=1, keepdims=True))


def test_copies_of_a_cell_do_not_divide_by_zero() -> None:
    x_ng = np.random.default_rng(4).poisson(3.0, (30, 20))
    x_ng[:8] = x_ng[0]
    found = normalizer("magic", knn=3).fit(as_counts(x_ng)).transform(as_counts(x_ng))
    assert np.isfinite(found).all()


# -- ALRA --------------------------------------------------------------------------------------------------------


def dense_alra(log_ng: np.ndarray, k: int) -> np.ndarray:
    """The published steps, gene by gene, on a dense matrix."""
    u, s, vt = np.linalg.svd(log_ng, full_matrices=False)
    low_ng = (u[:, :k] * s[:k]) @ vt[:k]
    out_ng = np.zeros_like(low_ng)
    for j in range(low_ng.shape[1]):
        low, seen = low_ng[:, j], log_ng[:, j]
        low = np.where(low <= abs(np.quantile(low, 0.001)), 0, low)
        kept, observed = low[low != 0], seen[seen != 0]
        if len(kept) > 1 and len(observed) > 1:
            scaled = (low - kept.mean()) / kept.std(ddof=1) * observed.std(ddof=1) + observed.mean()
            low = np.where(low != 0, scaled, 0)
        low = np.maximum(low, 0)
        out_ng[:, j] = np.where((low == 0) & (seen > 0), seen, low)
    return out_ng


def test_alra_is_the_published_recipe(counts: Counts, scaled_ng: np.ndarray) -> None:
    found = normalizer("alra", k=4).fit(counts).transform(counts)
    np.testing.assert_allclose(found, dense_alra(np.log1p(scaled_ng), 4), atol=1e-9)


def test_alra_keeps_what_was_seen_above_zero_and_completes_some_zeros(counts: Counts) -> None:
    seen = counts.to_csr().toarray() > 0
    found = normalizer("alra", k=4).fit(counts).transform(counts)
    assert (found[seen] > 0).all() and (found >= 0).all()
    assert 0 < (found[~seen] > 0).mean() < 1
    assert not found[:, 13].any()  # never seen in any cell


def test_rank_is_the_last_gap_above_noise() -> None:
    noise = 20 - 0.1 * np.arange(100) + 0.01 * np.sin(np.arange(100))
    singular = noise + np.where(np.arange(100) < 12, 5.0, 0.0) + np.where(np.arange(100) < 3, 50.0, 0.0)
    assert rank_by_gap(singular, 80) == 12
    with pytest.raises(MethodError, match="give the rank yourself"):
        rank_by_gap(noise, 80)


@pytest.mark.parametrize(
    ("name", "rank", "correlation"),
    [("pbmc_1k_v2", 76, -0.636), ("pbmc_1k_v3", 27, -0.805), ("pbmc_8k_5p_1kcells", 68, 0.029)],
)
def test_alra_on_blood(name: str, rank: int, correlation: float) -> None:
    counts = real(name)
    method = normalizer("alra").fit(counts)
    assert method.k_ == rank
    assert light_chain_correlation(counts, method) == pytest.approx(correlation, abs=0.02)


@pytest.mark.parametrize(
    ("name", "correlation"), [("pbmc_1k_v2", -0.163), ("pbmc_1k_v3", -0.661), ("pbmc_8k_5p_1kcells", 0.167)]
)
def test_knn_on_blood(name: str, correlation: float) -> None:
    counts = real(name)
    method = normalizer("knn_smooth").fit(counts)
    assert light_chain_correlation(counts, method) == pytest.approx(correlation, abs=0.02)


# -- SCTransform -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def varied() -> Counts:
    """Overdispersed counts over a wide range of means, 150 x 300; the last genes are too rare to keep."""
    rng = np.random.default_rng(7)
    mean_g = np.r_[np.geomspace(0.1, 20, 295), np.full(5, 0.002)]
    depth_n = rng.lognormal(0, 0.3, 150)
    return as_counts(rng.poisson(depth_n[:, None] * mean_g * rng.gamma(2.0, 0.5, (150, 300))))


def test_residuals_are_those_of_the_package(varied: Counts) -> None:
    sctransform = pytest.importorskip("sctransform")
    theirs = sctransform.vst(varied.to_csr().T, gene_names=list(varied.var_names), vst_flavor="v2", verbosity=0)["y"]
    method = normalizer("sct_v2").fit(varied)
    found = method.transform(varied)
    kept = varied.gene_index(list(theirs.index))
    np.testing.assert_allclose(found[:, kept], theirs.to_numpy().T, atol=1e-4)
    np.testing.assert_allclose(method.transform(varied, ["g3", "g1"]), found[:, [3, 1]])


def test_genes_that_sctransform_drops_have_no_values(varied: Counts) -> None:
    pytest.importorskip("sctransform")
    method = normalizer("sct_v2").fit(varied)
    found = method.transform(varied)
    rare = varied.profile().cells_g < 5
    assert rare.any()
    np.testing.assert_array_equal(method.dropped_, rare)
    np.testing.assert_array_equal(np.isnan(found), np.broadcast_to(rare, found.shape))


@pytest.mark.parametrize(("name", "package", "extra"), [("sct_v2", "sctransform", "sct"), ("scvi", "scvi", "models")])
def test_a_missing_extra_is_named(
    varied: Counts, monkeypatch: pytest.MonkeyPatch, name: str, package: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MethodError, match=rf"pip install 'corpuscle\[{extra}\]'"):
        normalizer(name).fit(varied)


# -- scVI --------------------------------------------------------------------------------------------------------


def test_scvi_decodes_shares_of_a_fixed_library(counts: Counts) -> None:
    pytest.importorskip("scvi")
    random.seed(5)
    expected_draw = random.Random(5).random()
    global_state = np.random.get_state()[1].copy()  # noqa: NPY002
    method = normalizer("scvi", max_epochs=2, n_samples=2).fit(counts)
    everything = method.transform(counts)
    assert everything.shape == (90, 60) and everything.dtype == np.float64
    np.testing.assert_allclose(everything.sum(axis=1), 1e4, rtol=1e-4)
    np.testing.assert_allclose(method.transform(counts, ["g9", "g2"]), everything[:, [9, 2]], rtol=1e-5)
    assert random.random() == expected_draw
    np.testing.assert_array_equal(np.random.get_state()[1], global_state)  # noqa: NPY002
    again = normalizer("scvi", max_epochs=2, n_samples=2).fit(counts).transform(counts)
    np.testing.assert_allclose(again, everything, rtol=1e-5)
    other = normalizer("scvi", max_epochs=2, n_samples=2, random_state=1).fit(counts).transform(counts)
    assert not np.allclose(other, everything, rtol=1e-3)
