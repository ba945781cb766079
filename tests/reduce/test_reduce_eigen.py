"""Leading eigenpairs by algebraic value, and how many of them make an embedding."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.linalg import LinearOperator, aslinearoperator

from corpuscle.errors import MethodError, OptionError
from corpuscle.reduce import _eigen
from corpuscle.reduce._eigen import cng, leading, n_components_of

ITERATIVE = ("randomized", "arpack")


def with_spectrum(value_n, seed=0):
    basis_nn = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(value_n), len(value_n))))[0]
    return (basis_nn * value_n) @ basis_nn.T, basis_nn


def indefinite(n=300):
    """Signal, a bulk and negative values that are larger than most of the signal."""
    return np.concatenate([[90, 50, 30, 20, 12], np.linspace(8, -5, n - 8), [-40, -60, -120]])


@pytest.mark.parametrize("solver", ["randomized", "arpack", "dense", "auto"])
def test_the_order_is_algebraic(solver):
    gram_nn, basis_nn = with_spectrum(indefinite())
    value_k, vector_nk, info = leading(aslinearoperator(gram_nn), 6, solver=solver)
    np.testing.assert_allclose(value_k, indefinite()[:6], rtol=1e-10)
    np.testing.assert_allclose(np.abs(np.sum(vector_nk[:, :5] * basis_nn[:, :5], axis=0)), 1, atol=1e-10)
    assert info["converged"]
    assert info["residual"] < 1e-8


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000), st.integers(30, 120), st.integers(1, 12))
def test_randomized_is_dense(seed, n, k):
    half_nn = np.random.default_rng(seed).normal(size=(n, n))
    operator = aslinearoperator(half_nn + half_nn.T)
    expected_k, basis_nk, _ = leading(operator, k, solver="dense")
    value_k, vector_nk, _ = leading(operator, k, solver="randomized", tol=1e-12)
    np.testing.assert_allclose(value_k, expected_k, rtol=1e-9)
    np.testing.assert_allclose(vector_nk, basis_nk, atol=1e-5)


@pytest.mark.parametrize("solver", ITERATIVE)
def test_a_seed_repeats(solver):
    gram = aslinearoperator(with_spectrum(indefinite())[0])
    first, again = (leading(gram, 5, solver=solver, random_state=3) for _ in range(2))
    other = leading(gram, 5, solver=solver, random_state=4)
    assert np.array_equal(first[1], again[1])
    assert np.array_equal(first[0], again[0])
    np.testing.assert_allclose(first[1], other[1], atol=1e-6)


@pytest.mark.parametrize("solver", ["randomized", "dense"])
def test_signs_are_settled(solver):
    vector_nk = leading(aslinearoperator(with_spectrum(indefinite())[0]), 5, solver=solver)[1]
    assert (vector_nk[np.argmax(np.abs(vector_nk), axis=0), np.arange(5)] > 0).all()


def test_restarts_change_nothing(monkeypatch):
    monkeypatch.setattr(_eigen, "_BASIS_BYTES", 1)
    value_n = np.concatenate([[90, 50, 30], np.linspace(8, -5, 997)])
    gram_nn, basis_nn = with_spectrum(value_n)
    solved = _eigen._Krylov(aslinearoperator(gram_nn), 8, 1e-10, 0, None)
    value_k, vector_nk, info = solved.run()
    assert info["n_products"] > 2 * solved.most
    np.testing.assert_allclose(value_k, value_n[:8], rtol=1e-9)
    np.testing.assert_allclose(np.abs(np.sum(vector_nk * basis_nn[:, :8], axis=0)), 1, atol=1e-7)


@pytest.mark.parametrize("rank", [0, 1, 4, 20])
def test_low_rank_matrices(rank):
    # The basis is exhausted at once: what is asked beyond the rank has eigenvalue zero, and nothing is NaN.
    value_n = np.concatenate([np.arange(rank, 0, -1.0), np.zeros(200 - rank)])
    value_k, vector_nk, info = leading(aslinearoperator(with_spectrum(value_n)[0]), 10, solver="randomized")
    np.testing.assert_allclose(value_k, value_n[:10], atol=1e-12)
    np.testing.assert_allclose(vector_nk.T @ vector_nk, np.eye(10), atol=1e-10)
    assert info["converged"]


def test_equal_eigenvalues():
    value_n = np.concatenate([np.full(6, 5.0), np.linspace(1, -1, 194)])
    value_k, vector_nk, _ = leading(aslinearoperator(with_spectrum(value_n)[0]), 6, solver="randomized")
    np.testing.assert_allclose(value_k, 5.0, rtol=1e-10)
    np.testing.assert_allclose(vector_nk.T @ vector_nk, np.eye(6), atol=1e-10)


def test_all_components_of_few_rows():
    value_n = np.array([4.0, 2, 1, 0, -1, -3])
    for solver in ("auto", "randomized", "arpack"):
        np.testing.assert_allclose(
            leading(aslinearoperator(with_spectrum(value_n)[0]), 6, solver=solver)[0], value_n, atol=1e-12
        )


def test_what_cannot_be_reached_is_said(monkeypatch):
    monkeypatch.setattr(_eigen, "_MOST_PRODUCTS", 60)
    gram = aslinearoperator(with_spectrum(np.linspace(1, 0, 400))[0])
    with pytest.warns(RuntimeWarning, match="stopped at a relative residual"):
        value_k, _, info = leading(gram, 20, solver="randomized")
    assert not info["converged"]
    assert np.isfinite(value_k).all()


@pytest.mark.parametrize("solver", ["randomized", "arpack", "dense"])
def test_not_finite(solver):
    broken = LinearOperator((50, 50), matvec=lambda v: np.full(v.shape, np.nan), dtype=float)
    with pytest.raises(MethodError, match="not finite"):
        leading(broken, 3, solver=solver)


def test_options(monkeypatch):
    gram = aslinearoperator(np.eye(40))
    with pytest.raises(OptionError, match="solver 'magic': choose one of"):
        leading(gram, 3, solver="magic")
    for k in (0, 41):
        with pytest.raises(OptionError, match="ask for 1 to 40"):
            leading(gram, k)
    monkeypatch.setattr(_eigen, "_DENSE_LIMIT", 30)
    with pytest.raises(MethodError, match="solver 'dense' holds all pairs of 40 rows"):
        leading(gram, 3, solver="dense")


def test_progress_is_told():
    told = []
    leading(
        aslinearoperator(with_spectrum(indefinite())[0]), 6, solver="randomized", progress=lambda *a: told.append(a)
    )
    products, residuals = zip(*told, strict=True)
    assert list(products) == sorted(products)
    assert residuals[-1] <= 1e-9 < residuals[0]


def test_scree_test_is_that_of_r():
    # Slopes of (10, 8, 6), (8, 6, 2.0), ... against the next three; worked out by hand.
    value_m = [10, 8, 6, 2, 1.8, 1.6, 1.4, 1.2, 1.0]
    slope = [(value_m[i + 2] - value_m[i]) / 2 for i in range(7)]
    bend = [slope[i + 3] - slope[i] for i in range(4)]
    assert int(np.argmax(bend)) == 1
    assert cng(value_m) == 4
    assert cng([*value_m, -3, -50]) == 4
    with pytest.raises(MethodError, match="six eigenvalues and 5 are not negative"):
        cng([5, 4, 3, 2, 1, -1])


def test_rules():
    value_m = np.array([50, 30, 10, 5, 3, 2, 0, -4, -9.0])
    assert n_components_of(4, value_m) == 4
    assert n_components_of(np.int64(2), value_m) == 2
    assert n_components_of("all", value_m) == 6
    assert n_components_of("cng", value_m) == cng(value_m)
    assert n_components_of(0.8, value_m) == 2
    assert n_components_of(0.81, value_m) == 3
    assert n_components_of(0.999999, value_m) == 6
    with pytest.warns(RuntimeWarning, match="8 components were asked for and 6 eigenvalues are positive"):
        assert n_components_of(8, value_m) == 6


@pytest.mark.parametrize("rule", [0, -1, 1.5, 0.0, 1.0, True, "most", None, [3], float("nan")])
def test_rules_that_do_not_exist(rule):
    with pytest.raises(OptionError, match="n_components="):
        n_components_of(rule, [3.0, 2, 1])


def test_nothing_positive():
    with pytest.raises(MethodError, match="no eigenvalue of the Gram matrix is positive"):
        n_components_of(2, [0.0, -1])
