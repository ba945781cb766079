"""Association measures against scipy, on ties, constants, sparse columns and real zeros."""

import os
import warnings
from pathlib import Path

import numba
import numpy as np
import pytest
import scipy.sparse as sp
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from corpuscle.benchmarks.coregulation import _columns
from corpuscle.benchmarks.coregulation.association import (
    MEASURES,
    REASONS,
    associate,
    associate_with_reasons,
    pearson_one_to_many,
    undefined_reason,
)
from corpuscle.errors import MethodError, OptionError

PBMC = (
    Path(os.environ.get("CORPUSCLE_DATA", Path(__file__).parents[3] / "shared/data")) / "coregulation/pbmc_1k_v2.h5ad"
)


def counts(n=400, k=30, seed=0):
    """Sparse, tied counts with shared depth, an absent gene (3), and a gene found in one cell (4)."""
    rng = np.random.default_rng(seed)
    depth_n = rng.gamma(3, 1 / 3, n)
    x_nk = rng.poisson(np.outer(depth_n, 0.2 + rng.gamma(0.5, 2.0, k)) * rng.gamma(2.0, 0.5, (n, k)))
    x_nk[:, 3] = 0
    x_nk[:, 4] = 0
    x_nk[7, 4] = 2
    return rng.poisson(1.5 * depth_n * rng.gamma(1.0, 1.0, n)), x_nk, 1000 * depth_n


@pytest.fixture(params=["counts", "log", "shifted"])
def case(request):
    t_n, x_nk, depth_n = counts()
    if request.param == "counts":
        return t_n.astype(float), x_nk.astype(float)
    if request.param == "log":
        return np.log1p(t_n / depth_n), np.log1p(x_nk / depth_n[:, None])
    shift_n = np.random.default_rng(1).normal(size=depth_n.size)
    return np.log1p(t_n) - shift_n, np.log1p(x_nk) - shift_n[:, None]


def by_scipy(function, t_n, x_nk):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.array([function(t_n, x_n)[0] for x_n in x_nk.T])


@pytest.mark.parametrize(
    ("measure", "function"),
    [("pearson", scipy.stats.pearsonr), ("spearman", scipy.stats.spearmanr), ("kendall", scipy.stats.kendalltau)],
)
def test_equals_scipy(case, measure, function):
    t_n, x_nk = case
    np.testing.assert_allclose(associate(t_n, x_nk, measure), by_scipy(function, t_n, x_nk), atol=1e-12)


@given(st.integers(0, 10_000), st.integers(2, 40), st.sampled_from(["spearman", "kendall", "pearson"]))
@settings(max_examples=60, deadline=None)
def test_equals_scipy_on_few_cells_with_negative_tied_values(seed, n, measure):
    rng = np.random.default_rng(seed)
    t_n = rng.integers(-2, 3, n).astype(float)
    x_nk = rng.integers(-2, 3, (n, 4)).astype(float)
    function = {"spearman": scipy.stats.spearmanr, "kendall": scipy.stats.kendalltau, "pearson": scipy.stats.pearsonr}
    expected = by_scipy(function[measure], t_n, x_nk)
    np.testing.assert_allclose(associate(t_n, x_nk, measure), expected, atol=1e-12)
    np.testing.assert_allclose(associate(t_n, sp.csc_matrix(x_nk), measure), expected, atol=1e-12)


def test_other_measures_equal_their_definitions():
    t_n, x_nk, depth_n = counts()
    a_n, b_n = np.log1p(t_n / depth_n), np.log1p(x_nk[:, 0] / depth_n)
    rho_p = 1 - np.var(a_n - b_n) / (np.var(a_n) + np.var(b_n))
    assert associate(a_n, b_n[:, None], "rho_p")[0] == pytest.approx(rho_p, abs=1e-12)
    cosine = a_n @ b_n / np.linalg.norm(a_n) / np.linalg.norm(b_n)
    assert associate(a_n, b_n[:, None], "cosine")[0] == pytest.approx(cosine, abs=1e-12)


def test_mutual_information_is_log_5_for_a_gene_with_itself_and_keeps_ties_together():
    rng = np.random.default_rng(0)
    t_n = rng.normal(size=500)
    assert associate(t_n, t_n[:, None], "mutual_information")[0] == pytest.approx(np.log(5))
    rare_n = np.r_[np.zeros(400), np.ones(100)]
    entropy = -(0.8 * np.log(0.8) + 0.2 * np.log(0.2))
    assert associate(rare_n, rare_n[:, None], "mutual_information")[0] == pytest.approx(entropy)


def test_bicor_resists_an_outlier_and_falls_back_to_pearson_without_mad():
    rng = np.random.default_rng(0)
    t_n = rng.normal(size=300)
    x_n = t_n + rng.normal(size=300)
    clean = associate(t_n, x_n[:, None], "bicor")[0]
    x_n[0], t_n[0] = 1e4, -1e4
    assert associate(t_n, x_n[:, None], "bicor")[0] == pytest.approx(clean, abs=0.02)
    assert associate(t_n, x_n[:, None], "pearson")[0] < -0.9
    # Found in 30 % of the cells, so that both median and MAD are 0; also if rounding makes them nearly so.
    rare_nk = np.where(rng.random((300, 2)) < 0.3, rng.random((300, 2)), 0.0)
    pearson = associate(rare_nk[:, 0], rare_nk[:, 1:], "pearson")
    np.testing.assert_allclose(associate(rare_nk[:, 0], rare_nk[:, 1:], "bicor"), pearson, atol=1e-12)
    noisy_nk = rare_nk + 1e-15 * rng.normal(size=(300, 2))
    np.testing.assert_allclose(associate(noisy_nk[:, 0], noisy_nk[:, 1:], "bicor"), pearson, atol=1e-9)


@pytest.mark.parametrize("measure", MEASURES)
def test_sparse_columns_give_what_dense_ones_give(measure):
    t_n, x_nk, depth_n = counts()
    given = {"zero_n": t_n == 0, "depth_n": depth_n}
    dense, why = associate_with_reasons(t_n, x_nk, measure, zero_nk=x_nk == 0, **given)
    stored = sp.csc_matrix(x_nk)
    stored.data = stored.data.astype(np.float32)
    sparse, why_sparse = associate_with_reasons(t_n, stored, measure, zero_nk=sp.csr_matrix(x_nk), **given)
    np.testing.assert_allclose(sparse, dense, atol=1e-12)
    assert sparse.dtype == np.float64
    assert np.isfinite(dense).sum() > 20
    assert (why == why_sparse).all()


@pytest.mark.parametrize("measure", MEASURES)
def test_an_absent_gene_is_undefined_with_its_reason_and_never_zero(measure):
    t_n, x_nk, depth_n = counts()
    given = {"zero_n": t_n == 0, "zero_nk": x_nk == 0, "depth_n": depth_n}
    r_k, why_k = associate_with_reasons(t_n, x_nk, measure, **given)
    assert np.isnan(r_k[3])
    assert why_k[3] == "zero_variance"
    assert ((why_k == "") == np.isfinite(r_k)).all()
    assert set(why_k) - {""} <= set(REASONS)
    r_k, why_k = associate_with_reasons(np.zeros_like(t_n), x_nk, measure, **(given | {"zero_n": t_n >= 0}))
    assert np.isnan(r_k).all()
    assert set(why_k) == {"target_zero_variance"}


@pytest.mark.parametrize(
    "measure", ["pearson", "spearman", "kendall", "bicor", "cosine", "mutual_information", "rho_p"]
)
def test_rounding_noise_of_an_absent_gene_is_constant(measure):
    t_n, _, depth_n = counts()
    noise_n = np.log(5.0) + 1e-15 * np.random.default_rng(0).normal(size=t_n.size)
    assert noise_n.std() > 0
    assert undefined_reason(np.log(t_n / depth_n + 5), noise_n, measure) == "zero_variance"
    assert undefined_reason(noise_n, t_n, measure) == "target_zero_variance"
    # A small but real variation is not noise.
    assert undefined_reason(np.log(t_n / depth_n + 5), 5 + 1e-7 * t_n, measure) == ""


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("measure", [name for name in MEASURES if name != "cscore"])
def test_a_column_that_is_not_finite_spoils_no_other(measure, bad):
    t_n, x_nk, _ = counts()
    given = {"zero_n": t_n == 0, "zero_nk": x_nk == 0}
    whole = associate(t_n, x_nk, measure, **given)
    broken = x_nk.astype(float)
    broken[np.flatnonzero(x_nk[:, 0])[0], 0] = bad
    for values in (broken, sp.csc_matrix(broken)):
        r_k, why_k = associate_with_reasons(t_n, values, measure, **given)
        assert why_k[0] == "not_finite"
        np.testing.assert_allclose(r_k[1:], whole[1:], atol=1e-12)


@given(
    st.sampled_from(["pearson", "spearman", "kendall", "bicor", "mutual_information"]),
    st.floats(0.01, 100),
    st.floats(-50, 50),
)
@settings(max_examples=40, deadline=None)
def test_affine_maps_change_nothing(measure, scale, shift):
    t_n, x_nk, depth_n = counts(n=120, k=8)
    a_n, b_nk = np.log1p(t_n / depth_n), np.log1p(x_nk / depth_n[:, None])
    np.testing.assert_allclose(
        associate(scale * a_n + shift, scale * b_nk + shift, measure),
        associate(a_n, b_nk, measure),
        atol=1e-6,
    )


@given(st.floats(0.01, 100))
@settings(max_examples=20, deadline=None)
def test_the_base_of_the_logarithm_changes_nothing(scale):
    t_n, x_nk, depth_n = counts(n=120, k=8)
    a_n, b_nk = np.log1p(t_n / depth_n), np.log1p(x_nk / depth_n[:, None])
    for measure in ("cosine", "rho_p", "pearson"):
        np.testing.assert_allclose(
            associate(scale * a_n, scale * b_nk, measure), associate(a_n, b_nk, measure), atol=1e-10
        )


def test_retying_undoes_a_shift_of_the_zeros_by_cell():
    t_n, x_nk, depth_n = counts()
    zeros = {"zero_n": t_n == 0, "zero_nk": x_nk == 0}
    shift_n = 0.1 * np.log(depth_n)
    moved = (np.where(t_n == 0, shift_n, t_n + 10.0), np.where(x_nk == 0, shift_n[:, None], x_nk + 10.0))
    for measure in ("spearman", "kendall"):
        plain = associate(t_n, x_nk, measure)
        assert np.nanmax(np.abs(associate(*moved, measure) - plain)) > 0.2
        np.testing.assert_allclose(associate(*moved, f"{measure}_retied", **zeros), plain, atol=1e-12)


def test_a_sparse_matrix_whose_zeros_are_not_the_raw_ones_is_retied_too():
    t_n, x_nk, _ = counts()
    values = x_nk + 10.0 * (np.arange(t_n.size) % 3 == 0)[:, None]
    given = {"zero_n": t_n == 0}
    dense = associate(t_n, values, "spearman_retied", zero_nk=x_nk == 0, **given)
    sparse = associate(t_n, sp.csc_matrix(values), "spearman_retied", zero_nk=sp.csc_matrix(x_nk), **given)
    np.testing.assert_allclose(sparse, dense, atol=1e-12)


def test_stored_zeros_and_duplicate_entries_are_no_trap():
    t_n, x_nk, _ = counts()
    odd = sp.csc_matrix(x_nk.astype(float))
    odd.data[::5] = 0.0
    halves = sp.coo_matrix(x_nk.astype(float))
    twice = sp.csc_matrix(
        (np.r_[halves.data, halves.data] / 2, (np.r_[halves.row, halves.row], np.r_[halves.col, halves.col]))
    )
    repeated = sp.csc_matrix(
        (
            np.repeat(sp.csc_matrix(x_nk).data / 2, 2),
            np.repeat(sp.csc_matrix(x_nk).indices, 2),
            2 * sp.csc_matrix(x_nk).indptr,
        ),
        shape=x_nk.shape,
    )
    for measure in ("pearson", "spearman", "kendall"):
        np.testing.assert_allclose(associate(t_n, odd, measure), associate(t_n, odd.toarray(), measure), atol=1e-12)
        for values in (twice, repeated):
            np.testing.assert_allclose(associate(t_n, values, measure), associate(t_n, x_nk, measure), atol=1e-12)


@pytest.mark.parametrize("measure", MEASURES)
def test_chunks_do_not_change_an_answer(measure, monkeypatch):
    t_n, x_nk, depth_n = counts()
    given = {"zero_n": t_n == 0, "zero_nk": sp.csc_matrix(x_nk), "depth_n": depth_n}
    whole = associate(t_n, sp.csc_matrix(x_nk), measure, **given)
    chunks = _columns.column_chunks
    narrow = lambda values, zeros=None: chunks(values, zeros, chunk_bytes=8 * t_n.size * 7)  # noqa: E731
    monkeypatch.setattr("corpuscle.benchmarks.coregulation.association.column_chunks", narrow)
    monkeypatch.setattr("corpuscle.benchmarks.coregulation.cscore.column_chunks", narrow)
    assert len(list(narrow(x_nk))) == 5
    np.testing.assert_array_equal(associate(t_n, sp.csc_matrix(x_nk), measure, **given), whole)


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="one thread only")
@pytest.mark.parametrize("measure", ["spearman", "kendall", "cscore"])
def test_the_number_of_threads_does_not_change_a_bit(measure):
    t_n, x_nk, depth_n = counts()
    many = associate(t_n, x_nk, measure, depth_n=depth_n)
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        np.testing.assert_array_equal(associate(t_n, x_nk, measure, depth_n=depth_n), many)
    finally:
        numba.set_num_threads(before)


def test_no_columns_no_answer():
    assert associate(np.arange(5.0), np.empty((5, 0))).shape == (0,)


def test_mistakes_are_named():
    t_n, x_nk, _ = counts()
    with pytest.raises(OptionError, match="no association measure is called 'person'"):
        associate(t_n, x_nk, "person")
    with pytest.raises(OptionError, match="zero_n"):
        associate(t_n, x_nk, "spearman_retied")
    with pytest.raises(OptionError, match="depth_n"):
        associate(t_n, x_nk, "cscore")
    with pytest.raises(MethodError, match="one row per cell"):
        associate(t_n[1:], x_nk)
    with pytest.raises(MethodError, match="zero_nk has shape"):
        associate(t_n, x_nk, "kendall_retied", zero_n=t_n == 0, zero_nk=x_nk[:, :2] == 0)


@pytest.fixture(scope="module")
def pbmc():
    if not PBMC.is_file():
        pytest.skip(f"needs {PBMC.name} from the shared data (CORPUSCLE_DATA)")
    import anndata as ad

    adata = ad.read_h5ad(PBMC)
    return adata.X.tocsr(), adata.var_names, np.asarray(adata.X.sum(axis=1)).ravel().astype(float)


def test_light_chains_correlate_by_ranks_of_depth_until_zeros_are_tied_again(pbmc):
    """Spearman of IGKC and IGLC2 over all cells: 0.195 where zeros stay tied, about 0.80 where a cell moves them."""
    x_ng, genes, depth_n = pbmc
    pair = [genes.get_loc("IGKC"), genes.get_loc("IGLC2")]
    scaled = x_ng.multiply((depth_n.mean() / depth_n)[:, None]).tocsr()
    log = scaled.log1p()
    keeps = log[:, pair].toarray()
    clr = keeps - np.asarray(log.mean(axis=1)).reshape(-1, 1)
    zero = x_ng[:, pair].toarray() == 0
    zeros = {"zero_n": zero[:, 0], "zero_nk": zero[:, 1:]}

    def between(values, measure, **given):
        return associate(values[:, 0], values[:, 1:], measure, **given)[0]

    assert between(keeps, "spearman") == pytest.approx(0.195, abs=5e-4)
    assert between(np.sqrt(scaled[:, pair].toarray()), "spearman") == pytest.approx(0.195, abs=5e-4)
    assert between(clr, "spearman") == pytest.approx(0.798, abs=5e-4)
    assert between(clr, "spearman_retied", **zeros) == pytest.approx(between(keeps, "spearman"), abs=1e-3)
    assert between(clr, "kendall") > 0.7
    assert between(clr, "kendall_retied", **zeros) == pytest.approx(between(keeps, "kendall"), abs=1e-3)


def test_one_gene_against_a_whole_sparse_sample(pbmc):
    x_ng, genes, depth_n = pbmc
    log = x_ng.multiply((1e4 / depth_n)[:, None]).tocsc().log1p()
    target_n = log[:, [genes.get_loc("CD79A")]].toarray()[:, 0]
    r_g = pearson_one_to_many(target_n, log)
    absent_g = np.diff(x_ng.tocsc().indptr) == 0
    assert (np.isnan(r_g) == absent_g).all()
    some = np.flatnonzero(~absent_g)[::37]
    np.testing.assert_allclose(r_g[some], by_scipy(scipy.stats.pearsonr, target_n, log[:, some].toarray()), atol=1e-12)
    assert genes[np.nanargmax(np.where(genes == "CD79A", -1, r_g))] in {
        "MS4A1",
        "CD79B",
        "IGHM",
        "IGHD",
        "IGKC",
        "TCL1A",
    }
