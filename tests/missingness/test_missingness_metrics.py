"""What methods are judged by, against numbers worked out by hand and against the definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpuscle.benchmarks.missingness.methods import Found
from corpuscle.benchmarks.missingness.metrics import (
    METRICS,
    centred,
    coordinates,
    gram_error,
    judge,
    knn_recall,
    nearest,
    reference,
    relative_error,
    sin_theta,
    squared_distances,
)

E = np.eye(4)


def found_from(x_nd: np.ndarray, k: int = 10) -> Found:
    gram_nn = (x_nd - x_nd.mean(axis=0)) @ (x_nd - x_nd.mean(axis=0)).T
    return Found(gram_nn, squared_distances(gram_nn), coordinates(gram_nn, k), 0.0)


def clustered(rng: np.random.Generator, n: int = 60, d: int = 30) -> tuple[np.ndarray, np.ndarray]:
    code_n = np.arange(n) % 3
    return 6 * rng.normal(size=(3, d))[code_n] + rng.normal(size=(n, d)), code_n


def test_the_truth_itself_has_no_error():
    x_nd, code_n = clustered(np.random.default_rng(0))
    got = judge(found_from(x_nd), reference(x_nd, code_n, seed=1))
    assert list(got) == list(METRICS)
    for name in ("gram_error", "d2_error", "sin_theta"):
        assert got[name] < 1e-6
    for name in ("d2_correlation", "knn_recall_pcs", "knn_recall_distances", "ari", "truth_ari"):
        assert got[name] == pytest.approx(1.0)


def test_relative_error_by_hand():
    assert relative_error(np.array([[0.0, 3.0], [3.0, 0.0]]), np.array([[0.0, 4.0], [4.0, 0.0]])) == pytest.approx(0.25)
    assert np.isnan(relative_error(np.ones((2, 2)), np.zeros((2, 2))))


def test_gram_error_does_not_depend_on_the_origin_but_on_the_scale():
    x_nd = np.random.default_rng(1).normal(size=(12, 5))
    assert gram_error((x_nd + 7) @ (x_nd + 7).T, x_nd @ x_nd.T) < 1e-12
    assert gram_error(0.25 * x_nd @ x_nd.T, x_nd @ x_nd.T) == pytest.approx(0.75)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 9), st.integers(0, 1000))
def test_centred_is_the_product_with_the_centring_matrix(n: int, seed: int):
    gram_nn = np.random.default_rng(seed).normal(size=(n, n))
    h_nn = np.eye(n) - 1 / n
    np.testing.assert_allclose(centred(gram_nn), h_nn @ gram_nn @ h_nn, atol=1e-12)


def test_squared_distances_are_those_of_the_rows_and_negative_ones_are_zero():
    x_nd = np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]])
    np.testing.assert_allclose(squared_distances(x_nd @ x_nd.T), [[0, 25, 1], [25, 0, 18], [1, 18, 0]])
    assert squared_distances(np.array([[1.0, 5.0], [5.0, 1.0]])).tolist() == [[0, 0], [0, 0]]


def test_sin_theta_by_hand():
    assert sin_theta(E[:, :2], E[:, :2] * 9) == pytest.approx(0)
    assert sin_theta(E[:, :2], E[:, 2:]) == pytest.approx(1)
    assert sin_theta(E[:, :2], E[:, 1:3]) == pytest.approx(np.sqrt(0.5))
    tilted = np.column_stack([np.cos(0.3) * E[0] + np.sin(0.3) * E[1]])
    assert sin_theta(tilted, E[:, :1]) == pytest.approx(np.sin(0.3))


def test_a_direction_that_was_not_found_counts_as_missed():
    assert sin_theta(E[:, :1], E[:, :2]) == pytest.approx(np.sqrt(0.5))
    assert sin_theta(np.column_stack([E[:, 0], E[:, 0]]), E[:, :2]) == pytest.approx(np.sqrt(0.5))


def test_neighbours_leave_the_row_out_and_recall_is_the_shared_part():
    line_n = np.array([0.0, 1.0, 3.0, 3.5])
    near_nm = nearest((line_n[:, None] - line_n) ** 2, 2)
    assert near_nm.tolist() == [[1, 2], [0, 2], [3, 1], [2, 1]]
    assert knn_recall(near_nm, np.array([[1, 3], [0, 2], [3, 0], [0, 1]])) == pytest.approx(5 / 8)
    assert nearest(np.zeros((3, 3)), 15).tolist() == [[1, 2], [0, 2], [0, 1]]


def test_coordinates_rebuild_the_inner_products_and_leave_out_negative_eigenvalues():
    x_nd = np.random.default_rng(2).normal(size=(8, 3))
    x_nd -= x_nd.mean(axis=0)
    coords_nk = coordinates(x_nd @ x_nd.T, 10)
    assert coords_nk.shape == (8, 3)
    np.testing.assert_allclose(coords_nk @ coords_nk.T, x_nd @ x_nd.T, atol=1e-10)
    assert coordinates(np.diag([2.0, 1.0, -5.0]), 3).shape == (3, 2)


def test_without_types_only_the_clustering_is_undefined():
    x_nd, _ = clustered(np.random.default_rng(3))
    got = judge(found_from(x_nd), reference(x_nd, None, seed=0))
    assert np.isnan(got["ari"]) and np.isnan(got["truth_ari"])
    assert np.isfinite([got[name] for name in METRICS if "ari" not in name]).all()


def test_shuffled_rows_are_found_out_by_every_metric():
    x_nd, code_n = clustered(np.random.default_rng(4))
    truth = reference(x_nd, code_n, seed=0)
    right, wrong = judge(found_from(x_nd), truth), judge(found_from(np.random.default_rng(5).permutation(x_nd)), truth)
    for name, more_is_better in METRICS.items():
        if name != "truth_ari":
            assert (right[name] > wrong[name]) == more_is_better, name


def test_constant_distances_have_no_correlation():
    x_nd, code_n = clustered(np.random.default_rng(6), n=30)
    flat_nn = np.ones((30, 30)) - np.eye(30)
    got = judge(Found(np.eye(30), flat_nn, coordinates(np.eye(30), 10), 0.0), reference(x_nd, code_n, seed=0))
    assert np.isnan(got["d2_correlation"])
