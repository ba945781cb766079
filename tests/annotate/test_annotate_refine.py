import importlib
import itertools
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import kneighbors_graph

from corpuscle.annotate import _kernel, _solve
from corpuscle.annotate._graph import as_graph
from corpuscle.annotate._solve import DIRECT_CELLS
from corpuscle.annotate.refine import LAPLACIANS, refine, solve
from corpuscle.annotate.scores import Scores
from corpuscle.errors import MethodError, OptionError, SourceError

refine_module = importlib.import_module("corpuscle.annotate.refine")
PATH = sp.csr_matrix(np.array([[0.0, 1, 0], [1, 0, 1], [0, 1, 0]]))


def knn_graph(n: int, seed: int = 0, k: int = 8, dims: int = 4) -> sp.csr_matrix:
    """Weighted graph of cells in three clouds that lie near each other."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, dims)) + 2.5 * rng.normal(size=(3, dims))[rng.integers(3, size=n)]
    near = kneighbors_graph(x, k, mode="distance")
    near.data = np.exp(-near.data)
    return (near + near.T - near.multiply(near.T)).tocsr()


def one_part(n: int, seed: int = 0) -> sp.csr_matrix:
    """The same, joined by a ring so that it has one component."""
    ring = sp.diags_array([np.full(n - 1, 0.3)], offsets=[1]).tocsr()
    return (knn_graph(n, seed) + ring + ring.T).tocsr()


def some_scores(n: int, k: int = 6, seed: int = 0, dtype: type = np.float64) -> np.ndarray:
    values = np.random.default_rng(seed).gamma(0.5, size=(n, k))
    return (values / values.sum(axis=1, keepdims=True)).astype(dtype)


def oracle(p0: np.ndarray, w: sp.spmatrix, lam: float, laplacian: str, c: np.ndarray | None = None) -> np.ndarray:
    """The published systems as they are written, in dense algebra."""
    w = w.toarray()
    d, eye = w.sum(axis=1), np.eye(len(w))
    with np.errstate(divide="ignore"):
        inverse = np.where(d > 0, 1 / d, 0)
    normal = np.diag((d > 0).astype(float))
    system = {
        "unnormalized": np.diag(d) - w,
        "random_walk": normal - inverse[:, None] * w,
        "symmetric": normal - np.sqrt(inverse)[:, None] * w * np.sqrt(inverse),
    }[laplacian]
    fidelity = eye if c is None else np.diag(c)
    return np.linalg.solve(fidelity + lam * system, fidelity @ p0)


def spread_of(values: np.ndarray) -> float:
    return float(np.abs(values).max())


# --- the solution itself


def test_path_of_three_cells_is_the_known_fraction():
    for solver in ("pcg", "direct"):
        got = refine(np.array([[1.0], [0], [0]]), PATH, solver=solver, tol=1e-12)
        np.testing.assert_allclose(got.ravel(), [5 / 8, 2 / 8, 1 / 8], atol=1e-15)


@pytest.mark.parametrize("laplacian", LAPLACIANS)
@pytest.mark.parametrize("lam", [0.01, 0.1, 1, 10, 100])
@pytest.mark.parametrize("solver", ["pcg", "direct"])
def test_both_solvers_agree_with_dense_algebra(laplacian, lam, solver):
    w, p0 = knn_graph(400), some_scores(400)
    got = refine(p0, w, lam=lam, laplacian=laplacian, solver=solver, tol=1e-8)
    assert spread_of(got - oracle(p0, w, lam, laplacian)) < 1e-6 * spread_of(p0)


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(20, 150),
    k=st.integers(1, 9),
    seed=st.integers(0, 10**6),
    log_lam=st.floats(-2, 2),
    laplacian=st.sampled_from(LAPLACIANS),
    single=st.booleans(),
    weighted=st.booleans(),
)
def test_gradients_agree_with_dense_algebra_on_any_graph(n, k, seed, log_lam, laplacian, single, weighted):
    rng = np.random.default_rng(seed)
    w = sp.random_array((n, n), density=3 / n, rng=rng, format="csr")
    w = (w + w.T).tocsr()
    w.setdiag(0)
    w.eliminate_zeros()
    p0 = (10 * rng.normal(size=(n, k))).astype(np.float32 if single else np.float64)
    c = rng.uniform(0.1, 3, n) if weighted else None
    got = solve(p0, w, lam=10**log_lam, laplacian=laplacian, weights=c, solver="pcg", tol=1e-6)
    assert got.converged and got.values_nk.dtype == p0.dtype
    assert spread_of(got.values_nk - oracle(p0.astype(float), w, 10**log_lam, laplacian, c)) < 1e-4 * spread_of(p0)


@pytest.mark.parametrize("laplacian", ["unnormalized", "symmetric"])
def test_it_is_the_minimum_of_the_published_objective(laplacian):
    n, lam = 300, 2.0
    w, p0 = one_part(n), some_scores(n)
    d = np.asarray(w.sum(axis=1)).ravel()
    laplace = sp.diags_array(d) - w
    if laplacian == "symmetric":
        laplace = sp.diags_array(d**-0.5) @ laplace @ sp.diags_array(d**-0.5)
    p = refine(p0, w, lam=lam, laplacian=laplacian, solver="pcg", tol=1e-6)

    def objective(p: np.ndarray) -> float:
        return ((p - p0) ** 2).sum() + lam * (p * (laplace @ p)).sum()

    gradient = (p - p0) + lam * (laplace @ p)
    assert np.linalg.norm(gradient) < 1e-5 * np.linalg.norm(p0)
    rng = np.random.default_rng(1)
    others = [p0, np.broadcast_to(p0.mean(axis=0), p0.shape)]
    others += [p + 0.01 * rng.normal(size=p.shape) for _ in range(20)]
    assert all(objective(p) < objective(other) for other in others)


def test_weights_pull_to_the_scores_they_trust():
    w, p0 = one_part(300), some_scores(300)
    c = np.random.default_rng(0).uniform(0, 2, 300)
    c[:40] = 0
    for laplacian, solver in itertools.product(LAPLACIANS, ("pcg", "direct")):
        got = refine(p0, w, weights=c, laplacian=laplacian, solver=solver, tol=1e-9)
        np.testing.assert_allclose(got, oracle(p0, w, 1, laplacian, c), atol=1e-7)
    ignored = p0.copy()
    ignored[:40] = 7
    np.testing.assert_allclose(refine(ignored, w, weights=c), refine(p0, w, weights=c), atol=1e-10)
    clamped = refine(p0, w, weights=np.where(np.arange(300) < 5, 1e9, 1.0), solver="pcg", tol=1e-12)
    np.testing.assert_allclose(clamped[:5], p0[:5], atol=1e-6)


def test_weights_that_leave_a_part_of_the_graph_without_any_are_refused():
    with pytest.raises(MethodError, match=r"3 cells \(first: cell 3\) have no answer"):
        refine(np.eye(6), sp.block_diag([PATH, PATH]).tocsr(), weights=[1, 1, 1, 0, 0, 0])
    for bad in ([1, 1], [1, 1, -1], [1, np.nan, 1], ["a", "b", "c"]):
        with pytest.raises(OptionError, match="weights"):
            refine(np.eye(3), PATH, weights=bad)


# --- the five facts


@pytest.mark.parametrize("laplacian", ["unnormalized", "random_walk"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("lam", [0.3, 3, 100])
def test_rows_keep_their_sum_and_columns_their_range_at_the_default_tolerance(laplacian, dtype, lam):
    w, p0 = knn_graph(2500), some_scores(2500, 12, dtype=dtype)
    got = refine(p0, w, lam=lam, laplacian=laplacian)
    assert np.abs(got.sum(axis=1, dtype=float) - 1).max() < 1e-6
    assert (got >= p0.min(axis=0)).all() and (got <= p0.max(axis=0)).all()


def test_probabilities_of_few_types_stay_probabilities():
    p0 = np.eye(40, dtype=np.float32)[np.random.default_rng(0).integers(40, size=3000)]
    got = refine(p0, knn_graph(3000), lam=0.1)
    assert got.min() >= 0 and np.abs(got.sum(axis=1, dtype=float) - 1).max() < 1e-6


def test_totals_are_kept_in_each_component():
    w, p0 = sp.block_diag([one_part(2100), one_part(90, 1)]).tocsr(), some_scores(2190)
    part = np.repeat([0, 1], [2100, 90])
    plain, walk = refine(p0, w), refine(p0, w, laplacian="random_walk")
    d = np.asarray(w.sum(axis=1))
    for b in (0, 1):
        np.testing.assert_allclose(plain[part == b].sum(axis=0), p0[part == b].sum(axis=0), rtol=1e-7)
        np.testing.assert_allclose((d * walk)[part == b].sum(axis=0), (d * p0)[part == b].sum(axis=0), rtol=1e-6)


def test_scaling_and_constants_commute_with_it():
    w, p0 = knn_graph(500), some_scores(500, dtype=np.float32)
    got = refine(p0, w, solver="pcg")
    np.testing.assert_array_equal(refine(p0 * np.float32(8), w, solver="pcg"), got * np.float32(8))
    far = refine(p0 + np.arange(6, dtype=np.float32) * 16, w, solver="pcg") - np.arange(6) * 16
    np.testing.assert_allclose(far, got, atol=5e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_smoothing_returns_the_scores_bit_for_bit(dtype):
    p0 = np.random.default_rng(0).normal(size=(200, 5)).astype(dtype)
    got = refine(p0, knn_graph(200), lam=0)
    assert got.dtype == dtype and got.tobytes() == p0.tobytes() and not np.shares_memory(got, p0)


@pytest.mark.parametrize("solver", ["pcg", "direct"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_endless_smoothing_gives_the_mean_of_the_component(solver, dtype):
    w, p0 = sp.block_diag([one_part(300), one_part(100, 1)]).tocsr(), some_scores(400, dtype=dtype)
    d = np.asarray(w.sum(axis=1)).ravel()
    plain = refine(p0, w, lam=1e6, solver=solver)
    walk = refine(p0, w, lam=1e6, laplacian="random_walk", solver=solver)
    for part in (slice(0, 300), slice(300, 400)):
        np.testing.assert_allclose(plain[part], np.tile(p0[part].mean(axis=0), (len(p0[part]), 1)), atol=1e-4)
        weighted = np.average(p0[part], axis=0, weights=d[part])
        np.testing.assert_allclose(walk[part], np.tile(weighted, (len(p0[part]), 1)), atol=1e-4)


@pytest.mark.parametrize("laplacian", LAPLACIANS)
@pytest.mark.parametrize("solver", ["pcg", "direct"])
def test_isolated_cells_keep_their_scores_bit_for_bit(laplacian, solver):
    w = sp.block_diag([knn_graph(80), sp.csr_matrix((3, 3))]).tocsr()
    p0 = np.random.default_rng(0).normal(size=(83, 4)).astype(np.float32)
    got = refine(p0, w, lam=5, laplacian=laplacian, solver=solver)
    assert got[80:].tobytes() == p0[80:].tobytes() and np.isfinite(got).all()
    alone = refine(p0, sp.csr_matrix((83, 83)), laplacian=laplacian, solver=solver)
    assert alone.tobytes() == p0.tobytes()


@pytest.mark.parametrize("laplacian", LAPLACIANS)
def test_order_of_cells_and_types_does_not_matter(laplacian):
    w, p0 = knn_graph(300), some_scores(300)
    rng = np.random.default_rng(0)
    cells, types = rng.permutation(300), rng.permutation(6)
    got = refine(p0, w, laplacian=laplacian, solver="pcg", tol=1e-9)
    moved = refine(p0[cells], w[cells][:, cells], laplacian=laplacian, solver="pcg", tol=1e-9)
    np.testing.assert_allclose(moved, got[cells], atol=1e-9)
    swapped = refine(p0[:, types], w, laplacian=laplacian, solver="pcg", tol=1e-9)
    np.testing.assert_allclose(swapped, got[:, types], atol=1e-12)


# --- relatives


@pytest.mark.parametrize("alpha", [0.5, 0.9])
def test_symmetric_is_label_spreading(alpha):
    w, y = knn_graph(300), some_scores(300)
    d = np.asarray(w.sum(axis=1)).ravel()
    s = sp.diags_array(d**-0.5) @ w @ sp.diags_array(d**-0.5)
    f = y.copy()
    for _ in range(400):
        f = alpha * (s @ f) + (1 - alpha) * y
    got = refine(y, w, lam=alpha / (1 - alpha), laplacian="symmetric", solver="pcg", tol=1e-7)
    np.testing.assert_allclose(got, f, atol=1e-5)


@pytest.mark.parametrize("alpha", [0.5, 0.9])
def test_symmetric_is_what_scikit_learn_spreads(alpha):
    from sklearn.semi_supervised import LabelSpreading

    w, rng = knn_graph(200), np.random.default_rng(0)
    known = np.where(rng.random(200) < 0.3, rng.integers(3, size=200), -1)
    peer = LabelSpreading(kernel=lambda a, b: w.toarray(), alpha=alpha, max_iter=2000, tol=1e-12)
    peer.fit(np.arange(200.0)[:, None], known)
    onehot = (known[:, None] == np.arange(3)).astype(float)
    got = refine(onehot, w, lam=alpha / (1 - alpha), laplacian="symmetric", tol=1e-9)
    reached = got.sum(axis=1) > 1e-9
    share = got[reached] / got[reached].sum(axis=1, keepdims=True)
    assert reached.sum() > 150
    np.testing.assert_allclose(share, peer.label_distributions_[reached], atol=1e-5)


# --- numerics


def test_chunks_and_threads_change_no_bit(monkeypatch):
    n = 3 * _kernel.BLOCK + 17
    w = sp.random_array((n, n), density=6 / n, rng=np.random.default_rng(0), format="csr", dtype=np.float32)
    w, p0 = (w + w.T).tocsr(), some_scores(n, 7, dtype=np.float32)
    monkeypatch.setattr(_solve, "n_threads", lambda: 1)
    one = refine(p0, w)
    monkeypatch.setattr(_solve, "n_threads", lambda: 3)
    for chunk in (1, 2, 5, 32):
        assert refine(p0, w, chunk=chunk).tobytes() == one.tobytes()


def test_a_type_that_is_solved_does_not_move_while_others_go_on():
    w, p0 = knn_graph(400), some_scores(400, 3)
    p0[:, 1] = 0
    p0[:, 2] = 5
    got = solve(p0, w, solver="pcg")
    assert not got.values_nk[:, 1].any()
    np.testing.assert_allclose(got.values_nk[:, 2], 5, rtol=1e-14)
    assert got.iterations > 3 and got.converged


@pytest.mark.parametrize("laplacian", LAPLACIANS)
def test_residual_that_is_reported_is_the_residual(laplacian):
    w, p0 = one_part(500), some_scores(500, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        got = solve(p0, w, lam=5, laplacian=laplacian, solver="pcg", max_iter=4)
    d = np.asarray(w.sum(axis=1))
    laplace = sp.diags_array(d.ravel()) - w
    if laplacian == "symmetric":
        half = sp.diags_array(d.ravel() ** -0.5)
        left = got.values_nk + 5 * (half @ laplace @ half @ got.values_nk) - p0
        right = p0
    else:
        f = d if laplacian == "random_walk" else np.ones_like(d)
        left, right = f * (got.values_nk - p0) + 5 * (laplace @ got.values_nk), f * p0
    true = (np.linalg.norm(left, axis=0) / np.linalg.norm(right, axis=0)).max()
    assert 0.2 * got.residual < true < 1.2 * got.residual


def test_a_tolerance_not_reached_is_said_with_the_residual():
    w, p0 = knn_graph(400), some_scores(400)
    with pytest.warns(UserWarning, match=r"residual is [0-9.e-]+ of the right-hand side after 2 iterations") as caught:
        got = solve(p0, w, lam=50, solver="pcg", max_iter=2)
    assert not got.converged and got.residual > 1e-4 and len(caught) == 1
    assert f"{got.residual:.2g}" in str(caught[0].message)


def test_single_precision_is_not_used_where_it_does_not_serve():
    w, p0 = one_part(600), some_scores(600)
    exact = oracle(p0, w, 3e4, "unnormalized")
    got = refine(p0.astype(np.float32), w, lam=3e4, solver="pcg", tol=1e-6)
    assert got.dtype == np.float32 and spread_of(got - exact) < 1e-5


def test_scores_of_every_make():
    w, p0 = knn_graph(200), np.random.default_rng(0).integers(0, 9, size=(200, 3))
    exact = refine(p0.astype(np.float64), w)
    mixed = pd.DataFrame({"a": p0[:, 0].astype(np.float32), "b": p0[:, 1], "c": p0[:, 2].astype(np.int8)})
    for scores in (p0, p0.astype(np.float32), mixed, sp.csr_matrix(p0), np.asfortranarray(p0), p0.tolist()):
        np.testing.assert_allclose(refine(scores, w), exact, atol=1e-4)
    named = Scores(p0, ["a", "b", "c"])
    np.testing.assert_allclose(refine(named, w), exact, atol=1e-4)
    assert refine(p0, w).dtype == np.float32 and refine(p0.astype(float), w).dtype == np.float64
    np.testing.assert_allclose(refine(np.asfortranarray(p0), w, solver="pcg"), exact, atol=1e-3)


def test_large_scores_beside_small_ones_stay_apart():
    w, p0 = one_part(400), some_scores(400, 3)
    unit = np.array([1, 1e160, 1e-200])
    exact = oracle(p0, w, 1, "unnormalized")
    np.testing.assert_allclose(refine(p0 * unit, w, solver="pcg", tol=1e-8) / unit, exact, rtol=1e-4)
    unit = np.array([1, 1e30, 1e-30], np.float32)
    np.testing.assert_allclose(refine(p0.astype(np.float32) * unit, w, solver="pcg") / unit, exact, rtol=1e-2)


def test_what_overflows_is_not_called_converged():
    p0 = np.full((3, 2), 1e308)
    p0[0] = -1e308
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        got = solve(p0, PATH, lam=1e5, solver="pcg")
    assert not got.converged or np.isfinite(got.values_nk).all()


def test_few_cells_are_factorised_and_many_are_not():
    assert solve(np.eye(3), PATH).solver == "direct"
    w = sp.eye_array(2001, k=1).tocsr()
    assert solve(some_scores(2001), (w + w.T).tocsr()).solver == "pcg"
    n = DIRECT_CELLS + 1
    with pytest.raises(OptionError, match="fill the factors of 20,001 cells"):
        refine(np.ones((n, 1)), sp.csr_matrix((n, n)), solver="direct")


# --- options and graphs that make no sense


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"lam": -0.1}, "lam=-0.1"), ({"lam": np.nan}, "lam=nan"), ({"lam": np.inf}, "lam=inf"), ({"lam": "1"}, "lam='1'"),
        ({"laplacian": "normalised"}, "there are: unnormalized, symmetric, random_walk"),
        ({"solver": "lu"}, "there are: auto, pcg, direct"), ({"tol": 0}, "tol=0"), ({"max_iter": 0}, "max_iter=0"),
        ({"chunk": 0}, "chunk=0"),
    ],
)  # fmt: skip
def test_an_option_that_makes_no_sense_is_one_line(options, line):
    with pytest.raises(OptionError, match=line) as caught:
        refine(np.eye(3), PATH, **options)
    assert "\n" not in str(caught.value)


def test_scores_that_are_none_are_refused_with_the_cells():
    for bad in (np.nan, np.inf):
        p0 = np.eye(3)
        p0[1, 2] = bad
        with pytest.raises(SourceError, match=r"1 of 3 cells have a NaN or infinite score \(cells 1\)"):
            refine(p0, PATH)
    with pytest.raises(SourceError, match="not cells x types"):
        refine(np.ones(3), PATH)


def test_graph_of_other_cells_or_no_graph_is_refused():
    with pytest.raises(SourceError, match="graph of other cells: 3 x 3 for 4 cells"):
        refine(np.eye(4), PATH)
    with pytest.raises(SourceError, match="shape 2 x 3 is not cells x cells"):
        as_graph(PATH[:2])
    for bad in ("connectivities", None, np.ones(3), sp.csr_matrix(np.eye(3) * 1j)):
        with pytest.raises(OptionError, match="graph"):
            as_graph(bad)


@pytest.mark.parametrize(("bad", "line"), [(np.nan, "NaN"), (np.inf, "infinite"), (-0.5, "negative"), (1e39, "beyond")])
def test_weights_of_edges_that_are_none_are_refused_with_the_place(bad, line):
    w = PATH.copy()
    w[2, 1] = bad
    with pytest.raises(SourceError, match=f"weight of cells 2 and 1 is .*{line}"):
        as_graph(w)


def test_graph_is_mended_where_it_can_be():
    given = sp.csr_matrix(np.array([[5.0, 1, 0], [0.5, 3, 0], [0, 0, 0]]))
    kept = given.copy()
    graph = as_graph(given)
    np.testing.assert_array_equal(graph.weights_nn.toarray(), [[0, 0.75, 0], [0.75, 0, 0], [0, 0, 0]])
    assert "not symmetric" in graph.notes[0] and "0.5" in graph.notes[0]
    assert (given != kept).nnz == 0
    assert graph.n_components == 2 and graph.isolated_n.tolist() == [False, False, True]
    np.testing.assert_allclose(graph.degree_n, [0.75, 0.75, 0])
    assert as_graph(graph) is graph
    one_way = sp.csr_matrix(np.triu(PATH.toarray()))
    np.testing.assert_allclose(as_graph(one_way).weights_nn.toarray(), PATH.toarray() / 2)


@pytest.mark.parametrize("kind", [sp.coo_matrix, sp.csc_matrix, sp.csr_array, sp.lil_matrix, np.asarray])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64, bool])
def test_graph_of_every_make_becomes_the_same(kind, dtype):
    graph = as_graph(kind(PATH.toarray().astype(dtype)))
    assert graph.weights_nn.dtype == np.float32 and graph.weights_nn.indices.dtype == np.int32
    assert graph.weights_nn.has_sorted_indices and graph.notes == ()
    np.testing.assert_array_equal(graph.weights_nn.toarray(), PATH.toarray())


def test_rounding_is_no_asymmetry_and_stored_zeros_are_no_edges():
    w = knn_graph(60).astype(np.float64)
    w.data *= 1 + 1e-8 * np.random.default_rng(0).normal(size=w.nnz)
    graph = as_graph(w)
    assert graph.notes == () and (graph.weights_nn != graph.weights_nn.T).nnz == 0
    stored = PATH.copy()
    stored.data[:] = 0
    assert as_graph(stored).weights_nn.nnz == 0 and as_graph(stored).n_components == 3
    twice = sp.coo_matrix(([1.0, 1, 1, 1], ([0, 0, 1, 1], [1, 1, 0, 0])), shape=(2, 2))
    assert as_graph(twice).weights_nn[0, 1] == 2
