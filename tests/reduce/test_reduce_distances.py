"""Corrected distances, clipping, and neighbours by them."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

import corpuscle.reduce.neighbors as neighbors_module
from corpuscle.errors import MethodError, OptionError
from corpuscle.reduce.distances import corrected_distances, distance_blocks
from corpuscle.reduce.gram import UnbiasedGram
from corpuscle.reduce.neighbors import coordinate_neighbors, corrected_neighbors


@pytest.fixture(scope="module")
def masked() -> tuple[np.ndarray, np.ndarray]:
    """Complete values and the same with a third missing, unevenly."""
    rng = np.random.default_rng(0)
    x_nd = rng.normal(size=(60, 3)) @ rng.normal(size=(3, 250)) + rng.normal(size=(60, 250)) + 3
    p_nd = rng.uniform(0.4, 1, (60, 1)) * rng.uniform(0.7, 1, 250)
    return x_nd, np.where(rng.random(x_nd.shape) < p_nd, x_nd, np.nan)


@pytest.fixture(scope="module")
def fitted(masked: tuple[np.ndarray, np.ndarray]) -> UnbiasedGram:
    return UnbiasedGram().fit(masked[1])


def euclidean(x_nd: np.ndarray) -> np.ndarray:
    return ((x_nd[:, None] - x_nd[None]) ** 2).sum(axis=2)


def test_distances_are_those_of_the_gram_matrix(fitted: UnbiasedGram) -> None:
    gram_nn = fitted.gram()
    norm_n = gram_nn.diagonal()
    expected = np.maximum(norm_n[:, None] + norm_n - 2 * gram_nn, 0)
    np.fill_diagonal(expected, 0)
    found = corrected_distances(fitted)
    np.testing.assert_allclose(found.squared_rc, expected, atol=1e-9 * norm_n.max())
    np.testing.assert_array_equal(found.squared_rc.diagonal(), 0.0)


def test_a_part_is_that_part_of_the_whole(fitted: UnbiasedGram) -> None:
    whole = corrected_distances(fitted).squared_rc
    chosen = np.zeros(60, bool)
    chosen[[2, 5, 59]] = True
    part = corrected_distances(fitted, slice(10, 20), chosen).squared_rc
    np.testing.assert_allclose(part, whole[10:20][:, chosen], rtol=1e-10)
    np.testing.assert_allclose(corrected_distances(fitted, [7, 3], -1).squared_rc, whole[[7, 3]][:, [-1]], rtol=1e-10)


def test_centring_leaves_distances_alone(masked: tuple[np.ndarray, np.ndarray], fitted: UnbiasedGram) -> None:
    plain = UnbiasedGram(double_center=False).fit(masked[1])
    np.testing.assert_allclose(
        corrected_distances(plain).squared_rc, corrected_distances(fitted).squared_rc, rtol=1e-8, atol=1e-8
    )


def test_complete_values_have_their_ordinary_distances(masked: tuple[np.ndarray, np.ndarray]) -> None:
    found = corrected_distances(UnbiasedGram().fit(masked[0]))
    np.testing.assert_allclose(found.squared_rc, euclidean(masked[0]), rtol=1e-10, atol=1e-9)
    assert found.n_clipped == 0


def test_distances_are_closer_to_the_truth_than_those_of_zero_and_mean_filling(
    masked: tuple[np.ndarray, np.ndarray], fitted: UnbiasedGram
) -> None:
    complete_nd, seen_nd = masked
    truth = euclidean(complete_nd)
    error = np.linalg.norm(corrected_distances(fitted).squared_rc - truth)
    mean_filled = np.where(np.isnan(seen_nd), np.nanmean(seen_nd, axis=0), seen_nd)
    assert error < 0.5 * np.linalg.norm(euclidean(np.nan_to_num(seen_nd)) - truth)
    assert error < 0.5 * np.linalg.norm(euclidean(mean_filled) - truth)


def test_negative_estimates_become_zero_and_are_counted() -> None:
    gram_nn = np.array([[1.0, 2.0, 0.0], [2.0, 1.0, 0.0], [0.0, 0.0, 4.0]])
    found = corrected_distances(gram_nn)
    np.testing.assert_array_equal(found.squared_rc, [[0, 0, 5], [0, 0, 5], [5, 5, 0]])
    assert found.n_clipped == 2
    assert corrected_distances(gram_nn, 0, [1, 2]).n_clipped == 1


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 12), st.integers(1, 4))
def test_distances_of_any_points_come_back(seed: int, n: int, repeats: int) -> None:
    """Also where points are equal, whose distance is 0 with rounding: that is not clipping."""
    x_nd = np.repeat(np.random.default_rng(seed).normal(size=(n, 5)) * 100, repeats, axis=0)
    found = corrected_distances(x_nd @ x_nd.T)
    np.testing.assert_allclose(found.squared_rc, euclidean(x_nd), atol=1e-8)
    assert found.n_clipped == 0


def test_blocks_are_the_whole(fitted: UnbiasedGram) -> None:
    whole = corrected_distances(fitted).squared_rc
    seen = []
    for rows, squared_rn in distance_blocks(fitted, pairs_at_once=60 * 7):
        assert squared_rn.shape[0] <= 7
        assert np.isinf(squared_rn[np.arange(squared_rn.shape[0]), np.arange(60)[rows]]).all()
        expected, finite = whole[rows], np.isfinite(squared_rn)
        np.testing.assert_allclose(np.maximum(squared_rn, 0)[finite], expected[finite], rtol=1e-10, atol=1e-9)
        seen.extend(range(rows.start, rows.stop))
    assert seen == list(range(60))


def test_what_cannot_be_asked_for(fitted: UnbiasedGram) -> None:
    with pytest.raises(OptionError, match="not fitted"):
        corrected_distances(UnbiasedGram())
    with pytest.raises(OptionError, match="no Gram matrix"):
        corrected_distances("gram")
    with pytest.raises(OptionError, match="samples x samples"):
        corrected_distances(np.zeros((3, 4)))
    with pytest.raises(OptionError, match="rows: there are 60 samples"):
        corrected_distances(fitted, [60])
    with pytest.raises(MethodError, match="samples 0 and 1 is NaN"):
        corrected_distances(np.array([[1.0, np.nan], [np.nan, 1.0]]))

    class Huge:
        shape = (5001, 5001)

        def block(self, rows: object, cols: object) -> np.ndarray:
            raise AssertionError("must not be formed")

        def diagonal(self) -> np.ndarray:
            return np.ones(5001)

    with pytest.raises(OptionError, match="corrected_neighbors"):
        corrected_distances(Huge())


def test_neighbours_of_complete_values_are_the_ordinary_ones(masked: tuple[np.ndarray, np.ndarray]) -> None:
    from sklearn.neighbors import NearestNeighbors

    distance_nk, index_nk = NearestNeighbors(n_neighbors=7).fit(masked[0]).kneighbors()
    found = corrected_neighbors(UnbiasedGram().fit(masked[0]), 7)
    assert found.exact
    assert found.n_clipped == 0
    np.testing.assert_array_equal(found.index_nk, index_nk)
    np.testing.assert_allclose(found.distance_nk, distance_nk, rtol=1e-9)


def test_neighbours_are_the_lowest_of_the_distances(fitted: UnbiasedGram, monkeypatch: pytest.MonkeyPatch) -> None:
    squared = corrected_distances(fitted).squared_rc
    np.fill_diagonal(squared, np.inf)
    blocks = neighbors_module.distance_blocks
    monkeypatch.setattr(neighbors_module, "distance_blocks", lambda estimator: blocks(estimator, pairs_at_once=60 * 11))
    found = corrected_neighbors(fitted, 5)
    np.testing.assert_array_equal(found.index_nk, np.argsort(squared, axis=1)[:, :5])
    np.testing.assert_allclose(found.distance_nk**2, np.sort(squared, axis=1)[:, :5], rtol=1e-9)


def test_clipped_pairs_are_counted_and_ranked_by_their_estimate() -> None:
    gram_nn = np.eye(4)
    gram_nn[0, 1] = gram_nn[1, 0] = 1.5
    gram_nn[0, 3] = gram_nn[3, 0] = 2.0
    found = corrected_neighbors(gram_nn, 2)
    np.testing.assert_array_equal(found.index_nk[0], [3, 1])
    np.testing.assert_array_equal(found.distance_nk[0], [0.0, 0.0])
    assert found.n_clipped == 4


def test_equal_distances_are_listed_by_position() -> None:
    np.testing.assert_array_equal(corrected_neighbors(np.eye(4), 3).index_nk[2], [0, 1, 3])


def test_the_graph_has_every_neighbour_also_at_distance_zero(fitted: UnbiasedGram) -> None:
    found = corrected_neighbors(fitted, 5)
    graph = found.graph()
    np.testing.assert_array_equal(graph.indices.reshape(60, 5), found.index_nk)
    np.testing.assert_array_equal(graph.data.reshape(60, 5), found.distance_nk)
    assert corrected_neighbors(np.ones((4, 4)), 2).graph().nnz == 8
    connectivity = found.graph("connectivity")
    assert isinstance(connectivity, sp.csr_matrix)
    np.testing.assert_array_equal(np.asarray(connectivity.sum(axis=1)).ravel(), 5)
    with pytest.raises(OptionError, match="connectivity"):
        found.graph("umap")  # type: ignore[arg-type]


def test_neighbours_by_coordinates_are_those_of_the_coordinates(masked: tuple[np.ndarray, np.ndarray]) -> None:
    """With all coordinates of complete values they are the exact ones."""
    estimator = UnbiasedGram().fit(masked[0])
    found = corrected_neighbors(estimator, 6, exact=False)
    assert not found.exact
    exact = corrected_neighbors(estimator, 6)
    shared = [len(set(a) & set(b)) / 6 for a, b in zip(found.index_nk, exact.index_nk, strict=True)]
    assert np.mean(shared) > 0.9
    assert (found.distance_nk <= exact.distance_nk + 1e-9).all()


def test_coordinates_that_an_estimator_was_fitted_with_are_taken() -> None:
    class Fitted:
        operator_ = np.eye(5)
        embedding_ = np.array([[0.0], [1.0], [3.0], [3.5], [9.0]])

    found = corrected_neighbors(Fitted(), 1, exact=False)
    np.testing.assert_array_equal(found.index_nk[:, 0], [1, 0, 3, 2, 3])
    np.testing.assert_allclose(found.distance_nk[:, 0], [1, 1, 0.5, 0.5, 5.5])


def test_without_the_approximate_search_all_pairs_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    x_nk = np.random.default_rng(0).normal(size=(50, 4))
    exact = coordinate_neighbors(x_nk, 8)
    monkeypatch.setattr(neighbors_module, "ALL_PAIRS_SAMPLES", 10)
    monkeypatch.setitem(sys.modules, "pynndescent", None)
    np.testing.assert_array_equal(coordinate_neighbors(x_nk, 8).index_nk, exact.index_nk)


def test_what_the_approximate_search_finds_is_put_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """It lists the sample itself, first or not, or loses it, and leaves lists unfilled."""
    told: dict[str, Any] = {}
    index_nk = np.array([[0, 1, 2], [0, 1, 3], [0, 1, 3], [3, 2, -1]], np.int32)
    distance_nk = np.array([[0, 1, 2], [0, 0, 3], [0.5, 1, 4], [0, 2, np.inf]], np.float32)

    class Search:
        neighbor_graph = (index_nk, distance_nk)

        def __init__(self, x_nk: np.ndarray, **options: Any) -> None:
            told.update(options)

    monkeypatch.setattr(neighbors_module, "ALL_PAIRS_SAMPLES", 3)
    monkeypatch.setitem(sys.modules, "pynndescent", SimpleNamespace(NNDescent=Search))
    found = coordinate_neighbors(np.eye(4), 2, random_state=3)
    assert told == {"n_neighbors": 3, "random_state": 3, "n_jobs": 1}
    np.testing.assert_array_equal(found.index_nk, [[1, 2], [0, 3], [0, 1], [2, -1]])
    np.testing.assert_array_equal(found.distance_nk, [[1, 2], [0, 3], [0.5, 1], [2, np.inf]])
    assert found.graph("connectivity").nnz == 7


def test_numbers_of_neighbours_that_there_are_not(fitted: UnbiasedGram) -> None:
    with pytest.raises(OptionError, match="1 or more"):
        corrected_neighbors(fitted, 0)
    with pytest.raises(OptionError, match="fewer neighbours than samples"):
        corrected_neighbors(fitted, 60)
    with pytest.raises(OptionError, match="all finite"):
        coordinate_neighbors(np.full((5, 2), np.nan), 2)


@pytest.fixture(scope="module")
def cells() -> np.ndarray:
    """Log expression of 300 blood cells in 765 genes, complete."""
    import scanpy as sc

    x_nd = sc.datasets.pbmc68k_reduced().raw.X[:300]
    return np.asarray(x_nd.todense() if sp.issparse(x_nd) else x_nd, dtype=np.float64)


def test_neighbours_of_masked_cells_are_found_better_than_by_filling(cells: np.ndarray) -> None:
    rng = np.random.default_rng(1)
    p_nd = rng.uniform(0.2, 1, (cells.shape[0], 1)) * rng.uniform(0.2, 1, cells.shape[1])
    seen_nd = np.where(rng.random(cells.shape) < p_nd, cells, np.nan)
    seen_nd = seen_nd[:, ~np.isnan(seen_nd).all(axis=0)]
    truth = corrected_neighbors(UnbiasedGram().fit(cells)).index_nk

    def recall(index_nk: np.ndarray) -> float:
        return float(np.mean([len(set(a) & set(b)) / 15 for a, b in zip(index_nk, truth, strict=True)]))

    corrected = recall(corrected_neighbors(UnbiasedGram().fit(seen_nd)).index_nk)
    zero = recall(coordinate_neighbors(np.nan_to_num(seen_nd)).index_nk)
    mean = recall(coordinate_neighbors(np.where(np.isnan(seen_nd), np.nanmean(seen_nd, axis=0), seen_nd)).index_nk)
    assert corrected > 2 * zero
    assert corrected > 2 * mean
