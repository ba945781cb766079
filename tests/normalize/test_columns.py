"""Column methods against plain dense formulas, scanpy, and what a user relies on."""

import os
import pickle
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import rankdata
from sklearn.base import clone

from corpuscle.counts import Counts, MemorySource, open_counts
from corpuscle.datasets.bundled import bundled_path
from corpuscle.errors import GeneError, MethodError, NotCountsError, OptionError
from corpuscle.normalize import ColumnNormalizer, normalizer, normalizer_class, normalizer_names

DATA = Path(os.environ.get("CORPUSCLE_DATA", Path(__file__).parents[3] / "shared" / "data"))
METHODS = [
    "raw", "cpm", "cp10k", "log1p_cp10k", "log1p_cpm", "log1p_pf", "pf_log1p_pf", "pflog_clr", "sqrt", "freeman_tukey",
    "acosh", "shifted_log_alpha", "pearson_analytic", "deviance_poisson", "deviance_binomial", "tfidf", "rank", "quantile",
]  # fmt: skip


def as_counts(x: np.ndarray | sp.spmatrix, name: str = "AnnData") -> Counts:
    x = sp.csr_matrix(x)
    obs = pd.DataFrame(index=[f"cell{i}" for i in range(x.shape[0])])
    var = pd.DataFrame(index=[f"gene{j}" for j in range(x.shape[1])])
    return Counts([MemorySource(x, obs, var, name=name)])


def dense(values) -> np.ndarray:
    return values.toarray() if sp.issparse(values) else values


def xlogy(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """x ln y with 0 ln 0 = 0."""
    out = np.zeros(np.broadcast_shapes(x.shape, y.shape))
    return np.multiply(x, np.log(y, where=x > 0, out=np.zeros_like(out)), out=out)


def reference(name: str, x: np.ndarray) -> np.ndarray:
    """The textbook formula on a dense matrix, cells x genes."""
    x = x.astype(float)
    n_cells, n_genes = x.shape
    n = x.sum(axis=1, keepdims=True)
    s = n / n.mean()
    p = x.sum(axis=0) / x.sum()
    mu = n * p
    with np.errstate(all="ignore"):
        log = np.log1p(x / s)
        return {
            "raw": lambda: x,
            "cpm": lambda: 1e6 * x / n,
            "cp10k": lambda: 1e4 * x / n,
            "log1p_cp10k": lambda: np.log1p(1e4 * x / n),
            "log1p_cpm": lambda: np.log1p(1e6 * x / n),
            "log1p_pf": lambda: log,
            "pf_log1p_pf": lambda: log * (log.sum(axis=1).mean() / log.sum(axis=1, keepdims=True)),
            "pflog_clr": lambda: log - log.mean(axis=1, keepdims=True),
            "sqrt": lambda: np.sqrt(x / s),
            "freeman_tukey": lambda: np.sqrt(x / s) + np.sqrt(x / s + 1),
            "acosh": lambda: np.arccosh(2 * 0.05 * x / s + 1) / np.sqrt(0.05),
            "shifted_log_alpha": lambda: np.log(x / s + 5),
            "pearson_analytic": lambda: np.nan_to_num(
                np.clip((x - mu) / np.sqrt(mu + mu**2 / 100), -np.sqrt(n_cells), np.sqrt(n_cells))
            ),
            "deviance_poisson": lambda: np.sign(x - mu) * np.sqrt(2 * np.maximum(xlogy(x, x / mu) - (x - mu), 0)),
            "deviance_binomial": lambda: np.sign(x - mu)
            * np.sqrt(2 * np.maximum(xlogy(x, x / mu) + xlogy(n - x, (n - x) / (n * (1 - p))), 0)),
            "tfidf": lambda: np.log1p(1e4 * x / n * np.where((x > 0).any(axis=0), np.log1p(n_cells / (x > 0).sum(axis=0)), 1)),
            "rank": lambda: np.array([rankdata(row) for row in x]) / n_genes,
            "quantile": lambda: quantile_reference(x),
        }[name]()  # fmt: skip


def quantile_reference(x: np.ndarray) -> np.ndarray:
    target = np.sort(x, axis=1).mean(axis=0)
    out = np.empty(x.shape)
    for i, row in enumerate(x):
        ordered = np.sort(row)
        low, high = np.searchsorted(ordered, row, "left"), np.searchsorted(ordered, row, "right")
        out[i] = [target[a:b].mean() for a, b in zip(low, high, strict=True)]
    return out


@pytest.fixture(scope="module")
def pbmc() -> Counts:
    """Droplet data: 150 cells x 3,000 genes of a bundled set, some genes without a count."""
    adata = anndata.read_h5ad(bundled_path("pbmc_1k_v3"))
    return as_counts(adata.X[:150, :3000])


@pytest.fixture(scope="module")
def embryo() -> Counts:
    """Read counts in the hundred thousands, far beyond what is looked up."""
    path = DATA / "clustering" / "goolam_mouse_embryo.h5ad"
    if not path.exists():
        pytest.skip("needs the shared data (CORPUSCLE_DATA)")
    return as_counts(anndata.read_h5ad(path).X[:60, :2000])


# -- the formulas --------------------------------------------------------------------------------------------


def test_every_method_is_registered() -> None:
    assert set(METHODS) <= set(normalizer_names())
    for name in METHODS:
        made = normalizer_class(name)
        assert made.name == name and made.needs == "columns" and made.formula
        assert "correlations" in made.__doc__


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("data", ["pbmc", "embryo"])
def test_equals_the_dense_formula_on_real_data(name: str, data: str, request: pytest.FixtureRequest) -> None:
    counts = request.getfixturevalue(data)
    x = counts.to_csr().toarray()
    values = normalizer(name).fit(counts).transform(counts)
    np.testing.assert_allclose(dense(values), reference(name, x), rtol=1e-9, atol=1e-6)


MATRICES = hnp.arrays(
    np.int32,
    st.tuples(st.integers(2, 7), st.integers(2, 9)),
    elements=st.one_of(st.just(0), st.integers(0, 3), st.integers(25, 40), st.integers(1000, 1050)),
).filter(lambda x: bool((x.sum(axis=1) > 0).all()) and bool(((x > 0).sum(axis=0) > 0).sum() > 1))


@settings(max_examples=25, deadline=None)
@given(x=MATRICES)
def test_equals_the_dense_formula_on_any_counts(x: np.ndarray) -> None:
    counts = as_counts(x)
    for name in METHODS:
        values = dense(normalizer(name).fit(counts).transform(counts))
        np.testing.assert_allclose(values, reference(name, x), rtol=1e-8, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("name", METHODS)
def test_some_genes_are_the_same_columns_of_all(name: str, pbmc: Counts) -> None:
    fitted = normalizer(name).fit(pbmc)
    every = fitted.transform(pbmc)
    index = np.array([2999, 5, 0, 5, 1200])
    some = fitted.transform(pbmc, index)
    np.testing.assert_allclose(dense(some), dense(every)[:, index], rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(dense(fitted.transform(pbmc, ["gene2999", "gene5"])), dense(some)[:, [0, 1]])
    many = np.arange(0, 3000, 2)  # enough non-zeros that columns are looked up as rows are
    np.testing.assert_allclose(dense(fitted.transform(pbmc, many)), dense(every)[:, many], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", METHODS)
def test_any_block_size_gives_the_same(name: str, pbmc: Counts, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = normalizer(name).fit(pbmc).transform(pbmc)
    blocks = Counts.blocks
    monkeypatch.setattr(Counts, "blocks", lambda self, size=0: blocks(self, 37))
    counts = as_counts(pbmc.sources[0].x_ng)
    fitted = normalizer(name).fit(counts)
    np.testing.assert_allclose(dense(fitted.transform(counts)), dense(whole), rtol=1e-12)
    rows = [fitted.transform_rows(counts, block.x_ng, block.rows) for block in counts.blocks()]
    assert len(rows) == 5
    np.testing.assert_allclose(np.vstack([dense(part) for part in rows]), dense(whole), rtol=1e-12)


@pytest.mark.parametrize("name", METHODS)
def test_float32_is_the_rounded_float64(name: str, pbmc: Counts) -> None:
    fitted = normalizer(name).fit(pbmc)
    for genes in (None, np.arange(40)):
        exact, rounded = fitted.transform(pbmc, genes), fitted.transform(pbmc, genes, dtype=np.float32)
        assert exact.dtype == np.float64 and rounded.dtype == np.float32
        np.testing.assert_array_equal(dense(rounded), dense(exact).astype(np.float32))


@pytest.mark.parametrize("name", METHODS)
def test_zeros_stay_zero_exactly_if_promised(name: str, pbmc: Counts) -> None:
    fitted = normalizer(name).fit(pbmc)
    every, some = fitted.transform(pbmc), fitted.transform(pbmc, np.arange(50))
    x = pbmc.to_csr()
    if fitted.keeps_zeros:
        assert every.format == "csr" and some.format == "csc"
        np.testing.assert_array_equal(every.indices, x.indices)
        assert (every.data > 0).all()
    else:
        assert isinstance(every, np.ndarray) and isinstance(some, np.ndarray)
        zero = every[x.toarray() == 0]
        assert (zero != 0).any()


# -- what invariants they promise ----------------------------------------------------------------------------


def test_second_proportional_fitting_gives_all_cells_one_sum(pbmc: Counts) -> None:
    sums = np.asarray(normalizer("pf_log1p_pf").fit(pbmc).transform(pbmc).sum(axis=1)).ravel()
    np.testing.assert_allclose(sums, sums[0], rtol=1e-12)


def test_centred_log_ratio_has_mean_zero_in_every_cell(pbmc: Counts) -> None:
    np.testing.assert_allclose(normalizer("pflog_clr").fit(pbmc).transform(pbmc).mean(axis=1), 0, atol=1e-13)


def test_ranks_lie_in_the_unit_interval_and_sum_as_ranks_do(pbmc: Counts) -> None:
    rank = normalizer("rank").fit(pbmc).transform(pbmc)
    assert rank.min() > 0 and rank.max() <= 1
    np.testing.assert_allclose(rank.sum(axis=1), (3000 + 1) / 2)


def test_quantile_normalised_cells_share_one_profile_without_ties() -> None:
    rng = np.random.default_rng(0)
    x = np.array([rng.choice(5000, 60, replace=False) for _ in range(9)])
    values = normalizer("quantile").fit(as_counts(x)).transform(as_counts(x))
    ordered = np.sort(values, axis=1)
    np.testing.assert_allclose(ordered, np.broadcast_to(np.sort(x, axis=1).mean(axis=0), x.shape), rtol=1e-12)


def test_per_gene_overdispersion_is_the_moment_estimate_and_zero_where_there_is_none(pbmc: Counts) -> None:
    fitted = normalizer("acosh", alpha=None).fit(pbmc)
    x = pbmc.to_csr().toarray()
    s = x.sum(axis=1, keepdims=True) / x.sum(axis=1).mean()
    mean = x.sum(axis=0) / s.sum()
    with np.errstate(invalid="ignore"):
        alpha = ((x - s * mean) ** 2 - s * mean).sum(axis=0) / ((s * mean) ** 2).sum(axis=0)
    np.testing.assert_allclose(fitted.alpha_g_, np.nan_to_num(np.maximum(alpha, 0)), atol=1e-8)
    poisson = np.flatnonzero((fitted.alpha_g_ == 0) & (x.sum(axis=0) > 0))
    assert poisson.size
    np.testing.assert_allclose(dense(fitted.transform(pbmc, poisson)), 2 * np.sqrt(x[:, poisson] / s), rtol=1e-12)


def test_moment_estimate_finds_a_known_overdispersion() -> None:
    rng = np.random.default_rng(1)
    alpha, mu = np.array([0.2, 1.0, 0.0]), 20.0
    rate = np.column_stack([mu * rng.gamma(1 / a, a, 20_000) if a else np.full(20_000, mu) for a in alpha])
    x = np.column_stack([rng.poisson(rate), np.full(20_000, 2000)])  # the last gene fixes the depth
    np.testing.assert_allclose(normalizer("acosh", alpha=None).fit(as_counts(x)).alpha_g_[:3], alpha, atol=0.05)


def test_acosh_tends_to_the_square_root(pbmc: Counts) -> None:
    small = normalizer("acosh", alpha=1e-12).fit(pbmc).transform(pbmc)
    root = normalizer("sqrt").fit(pbmc).transform(pbmc)
    np.testing.assert_allclose(small.data, 2 * root.data, rtol=1e-8)
    limit = normalizer("acosh", alpha=0).fit(pbmc).transform(pbmc)
    np.testing.assert_allclose(limit.data, 2 * root.data, rtol=1e-14)


# -- the same as scanpy --------------------------------------------------------------------------------------


def test_log_methods_equal_scanpy(pbmc: Counts) -> None:
    import scanpy as sc

    for name, params, target in [
        ("log1p_cp10k", {}, 1e4),
        ("log1p_cpm", {}, 1e6),
        ("log1p_pf", {"target": "median"}, None),
        ("log1p_pf", {}, pbmc.profile().depth_n.mean()),
        ("log1p_pf", {"target": 500}, 500),
    ]:
        adata = anndata.AnnData(pbmc.to_csr().astype(np.float64))
        sc.pp.normalize_total(adata, target_sum=target)
        sc.pp.log1p(adata)
        values = normalizer(name, **params).fit(pbmc).transform(pbmc)
        np.testing.assert_allclose(values.toarray(), adata.X.toarray(), rtol=1e-12)


@pytest.mark.parametrize("params", [{}, {"theta": 10.0}, {"theta": np.inf, "clip": 2.0}])
def test_pearson_residuals_equal_scanpy(pbmc: Counts, params: dict[str, float]) -> None:
    import scanpy as sc

    expressed = pbmc.to_csr()[:, pbmc.profile().cells_g > 0]  # scanpy divides 0 by 0 for the others
    adata = anndata.AnnData(expressed.astype(np.float64))
    sc.experimental.pp.normalize_pearson_residuals(adata, **params)
    counts = as_counts(expressed)
    values = normalizer("pearson_analytic", **params).fit(counts).transform(counts)
    np.testing.assert_allclose(values, adata.X, rtol=1e-9, atol=1e-12)


# -- what it touches, keeps and refuses ----------------------------------------------------------------------


@pytest.mark.parametrize("name", METHODS)
def test_columns_never_touch_other_genes(name: str, pbmc: Counts, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = as_counts(pbmc.sources[0].x_ng)
    fitted = normalizer(name).fit(counts)
    fitted.transform(counts, np.array([0]))  # the numbers per cell are known now
    asked: list[np.ndarray] = []
    columns = Counts.columns
    monkeypatch.setattr(Counts, "columns", lambda self, genes: asked.append(np.asarray(genes)) or columns(self, genes))
    monkeypatch.setattr(Counts, "to_csr", lambda self: pytest.fail("held the whole matrix"))
    monkeypatch.setattr(ColumnNormalizer, "_all_genes", lambda *args: pytest.fail("computed all genes"))
    rows = [block.x_ng.shape[0] for block in counts.blocks()]
    read: list[int] = []
    blocks = Counts.blocks
    monkeypatch.setattr(Counts, "blocks", lambda self, *size: (read.append(1), blocks(self, *size))[1])
    for genes in (np.array([7, 11]), np.array([3])):
        fitted.transform(counts, genes)
    assert [a.tolist() for a in asked] == [[7, 11], [3]]
    assert len(read) <= len(asked) and len(rows) == 1  # one pass for each new set of genes, none for anything else


def test_what_the_caller_does_to_values_reaches_neither_counts_nor_the_next_method(pbmc: Counts) -> None:
    counts = as_counts(pbmc.sources[0].x_ng.copy())
    before = counts.to_csr().copy()
    fitted = normalizer("log1p_cp10k").fit(counts)
    expected = fitted.transform(counts, np.arange(100)).toarray()
    for block in counts.blocks(50):
        for values in (
            fitted.transform(counts, np.arange(100)),
            fitted.transform(counts),
            fitted.transform_rows(counts, block.x_ng, block.rows),
        ):
            values.data[:] = 0
            values.eliminate_zeros()
    assert (counts.to_csr() != before).nnz == 0
    np.testing.assert_array_equal(fitted.transform(counts, np.arange(100)).toarray(), expected)
    np.testing.assert_array_equal(normalizer("raw").fit(counts).transform(counts).toarray(), before.toarray())


NEED_DEPTH = sorted(set(METHODS) - {"raw", "rank", "quantile"})


@pytest.mark.parametrize("name", NEED_DEPTH)
def test_an_empty_cell_is_refused_by_name(name: str) -> None:
    counts = as_counts([[1, 2, 0], [0, 0, 0], [3, 1, 1]], name="study.h5ad")
    with pytest.raises(MethodError, match=r"study\.h5ad: cell cell1 has no counts \(1 such cells\); remove"):
        normalizer(name).fit(counts).transform(counts)


@pytest.mark.parametrize("name", ["raw", "rank", "quantile"])
def test_an_empty_cell_is_no_trouble_where_nothing_is_divided_by_depth(name: str) -> None:
    x = np.array([[1, 2, 0], [0, 0, 0], [3, 1, 1]])
    counts = as_counts(x)
    fitted = normalizer(name).fit(counts)
    np.testing.assert_allclose(dense(fitted.transform(counts)), reference(name, x))
    np.testing.assert_allclose(dense(fitted.transform(counts, [2, 0])), reference(name, x)[:, [2, 0]])


@pytest.mark.parametrize("name", METHODS)
def test_cells_not_seen_in_fit_use_what_was_learnt(name: str, pbmc: Counts) -> None:
    fitted = normalizer(name).fit(pbmc)
    some = np.arange(20, 60)
    x = pbmc.to_csr()[some]
    np.testing.assert_allclose(
        dense(fitted.transform(as_counts(x))), dense(fitted.transform(pbmc))[some], rtol=1e-9, atol=1e-12
    )


@pytest.mark.parametrize("name", METHODS)
def test_counterfactual_counts_equal_the_values_of_real_ones(name: str, pbmc: Counts) -> None:
    fitted = normalizer(name).fit(pbmc)
    gene = int(pbmc.profile().total_g.argmax())
    x = pbmc.columns(np.array([gene])).toarray()
    values = fitted.counterfactual(pbmc, np.repeat(x, 3, axis=1), gene)
    np.testing.assert_allclose(values, np.repeat(dense(fitted.transform(pbmc, [gene])), 3, axis=1), rtol=1e-12)


def test_a_gene_unseen_in_fit_is_impossible_not_zero() -> None:
    fit, new = as_counts([[1, 0, 3], [2, 0, 1]]), as_counts([[1, 2, 3], [1, 0, 1]])
    for name, impossible in [("deviance_poisson", np.inf), ("tfidf", np.inf), ("pearson_analytic", np.sqrt(2))]:
        values = dense(normalizer(name).fit(fit).transform(new))
        assert values[0, 1] == pytest.approx(impossible)
        assert values[1, 1] == 0


def test_before_fit_and_with_other_genes_it_refuses(pbmc: Counts) -> None:
    with pytest.raises(MethodError, match="log1p_cp10k: call fit before transform"):
        normalizer("log1p_cp10k").transform(pbmc)
    fitted = normalizer("log1p_cp10k").fit(pbmc)
    with pytest.raises(MethodError, match="fitted on 3,000 genes, asked to transform 2"):
        fitted.transform(as_counts([[1, 2]]))
    with pytest.raises(GeneError, match="NOPE"):
        fitted.transform(pbmc, ["NOPE"])


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("cpm", {"target": 0}),
        ("log1p_cp10k", {"target": "many"}),
        ("log1p_pf", {"target": "mode"}),
        ("log1p_pf", {"target": -1}),
        ("acosh", {"alpha": -0.1}),
        ("shifted_log_alpha", {"alpha": 0}),
        ("shifted_log_alpha", {"alpha": float("nan")}),
        ("pearson_analytic", {"theta": 0}),
        ("pearson_analytic", {"clip": -1}),
        ("tfidf", {"target": None}),
    ],
)
def test_parameters_that_make_no_sense_are_refused(name: str, params: dict, pbmc: Counts) -> None:
    with pytest.raises(OptionError, match=f"{name}: {next(iter(params))} is "):
        normalizer(name, **params).fit(pbmc)


def test_unknown_names_and_parameters_are_refused() -> None:
    with pytest.raises(OptionError, match="no method is called 'nope'; there are: raw, cpm"):
        normalizer("nope")
    with pytest.raises(OptionError, match="method acosh has no parameter 'beta'; it has: alpha"):
        normalizer("acosh", beta=1)


@pytest.mark.parametrize("name", METHODS)
def test_it_is_a_scikit_learn_estimator(name: str, pbmc: Counts) -> None:
    method = normalizer(name)
    params = method.get_params()
    assert vars(method) == params  # the constructor only stores
    fitted = method.fit(pbmc)
    fresh = clone(fitted)
    assert fresh.get_params() == params and not hasattr(fresh, "n_genes_")
    restored = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(dense(restored.transform(pbmc, [1, 2])), dense(fitted.transform(pbmc, [1, 2])))


def test_a_fault_in_a_later_block_is_raised_not_lost(tmp_path: Path) -> None:
    x = sp.csr_matrix(np.ones((9000, 5), np.float32))
    x.data[-1] = 0.5
    path = tmp_path / "bad.h5ad"
    anndata.AnnData(x).write_h5ad(path)
    good = as_counts(np.ones((9000, 5), np.int32))
    for name in ("log1p_cp10k", "freeman_tukey"):
        fitted = normalizer(name).fit(good)
        with open_counts(path) as counts:
            counts.__dict__["_profile"] = good.profile()
            with pytest.raises(NotCountsError, match=r"not raw counts.*0\.5.*cell 8999"):
                fitted.transform(counts)
