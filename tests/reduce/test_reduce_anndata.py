"""The door for AnnData: every way to say what is missing, what is written, and scanpy going on from there."""

from __future__ import annotations

import warnings

import anndata
import numpy as np
import pytest
import scipy.sparse as sp

from corpuscle.datasets import bundled_path
from corpuscle.errors import CorpuscleError, GeneError, OptionError, SourceError
from corpuscle.reduce import BlockMask, Missing, UnbiasedPCA, dropout_mask, unbiased_pca


@pytest.fixture(scope="module")
def logged():
    """240 blood cells, 300 genes, log expression, sparse."""
    adata = anndata.read_h5ad(bundled_path("pbmc_1k_v3"))[:240]
    adata = adata[:, np.sort(np.argsort(-adata.X.toarray().var(axis=0))[:300])].copy()
    adata.layers["counts"] = adata.X.copy()
    adata.X = sp.csr_matrix(np.log1p(adata.X.toarray() / adata.X.sum(axis=1).A1[:, None] * 1e4))
    return adata


@pytest.fixture
def holes(logged):
    """True where something was observed; cells differ."""
    rng = np.random.default_rng(0)
    return rng.random(logged.shape) < rng.uniform(0.4, 1, (logged.n_obs, 1))


def with_nan(logged, observed_nd):
    adata = logged.copy()
    adata.X = np.where(observed_nd, logged.X.toarray(), np.nan)
    return adata


def test_every_way_to_name_the_same_gaps_gives_the_same_components(logged, holes):
    expected_nk = UnbiasedPCA(8, random_state=0).fit_transform(np.where(holes, logged.X.toarray(), np.nan))
    layered = logged.copy()
    layered.layers["seen"], layered.layers["gaps"] = holes, sp.csr_matrix(~holes)
    gappy = logged.copy()
    gappy.X = sp.csr_matrix(np.where(holes, logged.X.toarray(), np.nan))
    ways = [
        (with_nan(logged, holes), {}),
        (with_nan(logged, holes), {"mask": "nan"}),
        (gappy, {}),
        (layered, {"mask": "seen"}),
        (layered, {"mask": "gaps", "marks": "missing"}),
        (layered, {"mask": holes}),
        (layered, {"mask": (~holes).astype(float), "marks": "missing"}),
        (layered, {"mask": sp.csr_matrix(holes)}),
        (layered, {"mask": Missing(sp.csc_matrix(~holes))}),
    ]
    for adata, options in ways:
        assert unbiased_pca(adata, n_comps=8, **options) is None
        np.testing.assert_allclose(adata.obsm["X_unbiased_pca"], expected_nk, atol=1e-6)
        np.testing.assert_allclose(adata.obs["observed_share"], holes.mean(axis=1))
        assert adata.uns["unbiased_pca"]["n_missing"] == (~holes).sum()


def test_values_and_other_elements_are_left_alone(logged, holes):
    adata = with_nan(logged, holes)
    before = adata.copy()
    made = unbiased_pca(adata, n_comps=4, key_added="X_mine", copy=True)
    assert not adata.obsm
    assert made.obsm["X_mine"].shape == (240, 4)
    assert "mine" in made.uns
    np.testing.assert_array_equal(made.X, before.X)
    np.testing.assert_array_equal(adata.X, before.X)
    assert not made.varm


def test_the_record_survives_a_file_and_says_what_was_done(logged, holes, tmp_path):
    adata = with_nan(logged, holes)
    unbiased_pca(adata, n_comps=6, center="hajek", propensity="rank1")
    unbiased_pca(adata, n_comps=6, center=None, propensity=np.full(adata.shape, 0.7), key_added="X_given")
    adata.write_h5ad(tmp_path / "cells.h5ad")
    kept = anndata.read_h5ad(tmp_path / "cells.h5ad").uns
    about = kept["unbiased_pca"]
    assert about["params"]["center"] == "hajek"
    assert about["params"]["propensity"] == "rank1"
    assert kept["given"]["params"]["center"] == "none"
    assert kept["given"]["params"]["propensity"] == "given"
    assert about["eigenvalues"].shape == (6,)
    assert (np.diff(about["eigenvalues"]) <= 0).all()
    assert about["missing_share"] == pytest.approx((~holes).mean())
    assert about["propensity"]["n_clipped"] > 0  # rank one goes above 1 where cells are nearly complete
    assert 0 < about["propensity"]["cell_min"] < about["propensity"]["cell_max"] <= 1
    assert about["observed_share"]["min"] == pytest.approx(holes.mean(axis=1).min())


def test_consensus_is_the_dropout_mask_of_the_same_values(logged):
    adata = logged.copy()
    with pytest.warns(UserWarning, match="does not depend on its value"):
        unbiased_pca(adata, mask="consensus", n_comps=5, dropout={"threshold": 0.7})
    mask = dropout_mask(logged.X, threshold=0.7, warn=False)
    expected_nk = UnbiasedPCA(5, random_state=0).fit_transform(logged.X, mask=mask)
    np.testing.assert_allclose(adata.obsm["X_unbiased_pca"], expected_nk, atol=1e-8)
    assert adata.uns["unbiased_pca"]["n_missing"] == mask.n_missing(logged.X) > 0
    assert len(adata.uns["unbiased_pca"]["notes"]) == 1
    of_counts = dropout_mask(logged, layer="counts", threshold=0.7, warn=False)
    unbiased_pca(adata, mask=of_counts, n_comps=5)
    assert adata.uns["unbiased_pca"]["n_missing"] == of_counts.n_missing(logged.X)


def test_dense_and_sparse_values_agree_under_a_block_mask(logged):
    mask = dropout_mask(logged.X, warn=False)
    dense = logged.copy()
    dense.X = logged.X.toarray()
    for adata in (logged, dense):
        unbiased_pca(adata, mask=mask, n_comps=5, key_added="X_block")
    np.testing.assert_allclose(dense.obsm["X_block"], logged.obsm["X_block"], atol=1e-6)


@pytest.mark.parametrize("how", ["name", "matrix", "missing"])
def test_calling_every_zero_missing_is_warned_of_strongly(logged, how):
    observed_nd = logged.X != 0
    missing_nd = sp.csr_matrix(~observed_nd.toarray())
    mask = {"name": "zeros", "matrix": observed_nd, "missing": Missing(missing_nd)}[how]
    adata = logged.copy()
    with pytest.warns(UserWarning, match="destroys the distances"):
        unbiased_pca(adata, mask=mask, n_comps=3)
    assert adata.uns["unbiased_pca"]["n_missing"] == missing_nd.nnz


def test_gaps_that_are_not_the_zeros_are_not_warned_of(logged, holes):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        unbiased_pca(logged.copy(), mask=sp.csr_matrix(holes), n_comps=3)


def test_genes_are_chosen_by_column_booleans_positions_or_names(logged, holes):
    adata = with_nan(logged, holes)
    chosen = np.arange(adata.n_vars) % 2 == 0
    adata.var["highly_variable"] = chosen
    found = []
    for genes in ("highly_variable", chosen, np.flatnonzero(chosen), list(adata.var_names[chosen])):
        unbiased_pca(adata, genes=genes, n_comps=4)
        found.append(adata.obsm["X_unbiased_pca"])
        assert adata.uns["unbiased_pca"]["params"]["n_genes"] == chosen.sum()
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])
    expected_nk = UnbiasedPCA(4, random_state=0).fit_transform(adata.X[:, chosen])
    np.testing.assert_allclose(found[0], expected_nk)


def test_genes_that_were_never_observed_are_left_out_and_counted(logged, holes):
    holes[:, [3, 77]] = False
    adata = with_nan(logged, holes)
    unbiased_pca(adata, n_comps=4)
    assert adata.uns["unbiased_pca"]["n_unobserved_genes"] == 2
    assert np.isfinite(adata.obsm["X_unbiased_pca"]).all()


def test_nothing_missing_is_ordinary_pca_and_is_said(logged):
    from sklearn.decomposition import PCA

    adata = logged.copy()
    with pytest.warns(UserWarning, match="ordinary principal components"):
        unbiased_pca(adata, mask="nan", n_comps=5)
    expected_nk = PCA(5, svd_solver="full").fit_transform(logged.X.toarray())
    np.testing.assert_allclose(np.abs(adata.obsm["X_unbiased_pca"]), np.abs(expected_nk), atol=1e-6)


def test_scanpy_goes_on_from_the_components(logged, holes):
    import scanpy as sc

    adata = with_nan(logged, holes)
    unbiased_pca(adata, n_comps=10)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sc.pp.neighbors(adata, use_rep="X_unbiased_pca", n_neighbors=10, method="gauss")  # umap compiles for seconds
    near_nn = adata.obsp["distances"].toarray()
    coordinates_nk = adata.obsm["X_unbiased_pca"]
    first = int(np.argsort(np.linalg.norm(coordinates_nk - coordinates_nk[0], axis=1))[1])
    assert near_nn[0, first] == pytest.approx(np.linalg.norm(coordinates_nk[0] - coordinates_nk[first]), rel=1e-4)


def test_first_component_follows_the_observed_share_less_than_zero_filling(logged, holes):
    filled_nd = np.where(holes, logged.X.toarray(), 0)
    left_nk = np.linalg.svd(filled_nd - filled_nd.mean(axis=0), full_matrices=False)[0]
    adata = with_nan(logged, holes)
    unbiased_pca(adata, n_comps=2)
    share_n = holes.mean(axis=1)
    zero, corrected = (
        abs(np.corrcoef(share_n, one)[0, 1]) for one in (left_nk[:, 0], adata.obsm["X_unbiased_pca"][:, 0])
    )
    assert corrected < 0.25 < zero - 0.25


def wrong_ways(logged, holes):
    empty = holes.copy()
    empty[5] = False
    return {
        "no mask": (logged, {}, OptionError),
        "no layer": (logged, {"mask": "spliced"}, OptionError),
        "no values": (logged, {"layer": "spliced", "mask": "consensus"}, OptionError),
        "shape": (logged, {"mask": holes[:, 1:]}, OptionError),
        "values": (logged, {"mask": holes + 1.0}, CorpuscleError),
        "marks": (logged, {"mask": holes, "marks": "seen"}, OptionError),
        "column": (logged, {"mask": holes, "genes": "variable"}, OptionError),
        "booleans": (logged, {"mask": holes, "genes": np.ones(3, bool)}, OptionError),
        "positions": (logged, {"mask": holes, "genes": [0, 300]}, OptionError),
        "names": (logged, {"mask": holes, "genes": ["NOT-A-GENE"]}, GeneError),
        "no gene": (logged, {"mask": holes, "genes": np.zeros(300, bool)}, OptionError),
        "dropout": (logged, {"mask": holes, "dropout": {"threshold": 0.7}}, OptionError),
        "estimator": (logged, {"mask": holes, "estimator": "best"}, OptionError),
        "empty cell": (with_nan(logged, empty), {}, CorpuscleError),
        "blocks": (logged, {"mask": BlockMask(np.zeros(3, int), np.ones((1, 300), bool))}, OptionError),
    }


@pytest.mark.parametrize(
    "way",
    [
        "no mask", "no layer", "no values", "shape", "values", "marks", "column", "booleans", "positions", "names", "no gene",
        "dropout", "estimator", "empty cell", "blocks",
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_refused_in_one_line_and_nothing_is_written(logged, holes, way):
    adata, options, error = wrong_ways(logged, holes)[way]
    adata = adata.copy()
    with pytest.raises(error) as refused:
        unbiased_pca(adata, **options)
    assert "\n" not in str(refused.value)
    assert "X_unbiased_pca" not in adata.obsm
    assert "unbiased_pca" not in adata.uns


def test_values_on_disk_are_refused(logged, tmp_path):
    logged.write_h5ad(tmp_path / "cells.h5ad")
    backed = anndata.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    with pytest.raises(SourceError, match="to_memory"):
        unbiased_pca(backed, mask="consensus")
    backed.file.close()
