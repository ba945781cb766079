"""Second views: principal components of other normalisations, exact and without a dense matrix."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp

from corpuscle.datasets import bundled_path
from corpuscle.errors import CorpuscleError, MethodError, NotCountsError, OptionError
from corpuscle.models import views
from corpuscle.normalize import normalizer

GENES = 300


def add_view(adata, method="pearson_analytic", key=None, **options):
    return views.add_view(adata, method, key, **({"n_top_genes": GENES} | options))


@pytest.fixture(scope="module")
def pbmc():
    return ad.read_h5ad(bundled_path("pbmc_1k_v3"))[:300].copy()


def values_of(adata, method):
    from corpuscle.counts import open_counts
    from corpuscle.models._expression import highly_variable, log_normalise

    with open_counts(adata) as counts:
        gene_k = highly_variable(log_normalise(counts.to_csr(), 1e4), GENES)
        values = normalizer(method).fit(counts).transform(counts, gene_k)
    return values.toarray() if sp.issparse(values) else values


@pytest.mark.parametrize("method", ["pearson_analytic", "log1p_cp10k", "knn_smooth"])
def test_components_are_those_of_the_values(pbmc, method, monkeypatch):
    from sklearn.decomposition import PCA

    monkeypatch.setattr(views, "BLOCK_CELLS", 77)
    adata = pbmc.copy()
    key = add_view(adata, method, n_pcs=10, normalize_rows=False)
    assert key == f"X_view_{method}"
    expected = PCA(10, svd_solver="full").fit_transform(values_of(pbmc, method))
    found = adata.obsm[key]
    assert found.shape == (300, 10) and found.dtype == np.float32
    signs = np.sign((found * expected).sum(axis=0))
    assert found * signs == pytest.approx(expected, abs=1e-3 * np.abs(expected).max())


def test_rows_have_length_one_and_views_repeat(pbmc):
    one, other = pbmc.copy(), pbmc.copy()
    key = add_view(one, n_pcs=20)
    add_view(other, n_pcs=20, key="mine")
    assert np.linalg.norm(one.obsm[key], axis=1) == pytest.approx(np.ones(300), abs=1e-5)
    assert np.array_equal(one.obsm[key], other.obsm["mine"])
    assert one.uns["views"][key]["method"] == "pearson_analytic" and one.uns["views"][key]["n_pcs"] == 20


def test_the_view_does_not_depend_on_labels_and_uses_the_layer(pbmc):
    adata = pbmc.copy()
    adata.layers["counts"] = adata.X.copy()
    adata.X = adata.X.astype(np.float32).log1p()
    adata.obs["cell_type"] = "the answer"
    plain = pbmc.copy()
    assert np.array_equal(adata.obsm[add_view(adata, layer="counts")], plain.obsm[add_view(plain)])


def test_parameters_reach_the_method_and_the_record_can_be_written(pbmc, tmp_path):
    adata = pbmc.copy()
    first, second = add_view(adata, theta=100.0, key="a"), add_view(adata, theta=1.0, key="b")
    assert not np.allclose(adata.obsm[first], adata.obsm[second], atol=1e-3)
    adata.write_h5ad(tmp_path / "views.h5ad")
    assert ad.read_h5ad(tmp_path / "views.h5ad").uns["views"]["b"]["params"]["theta"] == "1.0"


def test_no_more_components_than_the_cells_have(pbmc):
    adata = pbmc[:6].copy()
    assert adata.obsm[add_view(adata, "log1p_cp10k", n_pcs=50)].shape == (6, 5)


def test_the_whole_matrix_is_never_dense(pbmc, monkeypatch):
    monkeypatch.setattr(views, "BLOCK_CELLS", 50)
    sizes = []
    dense = views._dense
    monkeypatch.setattr(views, "_dense", lambda values: sizes.append(values.shape[0]) or dense(values))
    add_view(pbmc.copy())
    assert max(sizes) == 50


def alike(adata):
    adata.X = sp.csr_matrix(np.ones(adata.shape, np.int32))
    return adata


def logged(adata):
    adata.X = adata.X.astype(np.float32).log1p()
    return adata


def emptied(adata):
    x = adata.X.tolil()
    x[4] = 0
    adata.X = x.tocsr()
    return adata


@pytest.mark.parametrize(
    ("change", "options", "error", "words"),
    [
        (logged, {}, NotCountsError, "count"),
        (emptied, {}, MethodError, "cell [ACGT-]+.* has no counts"),
        (alike, {"method": "log1p_cp10k"}, MethodError, "same profile"),
        (lambda a: a[:2].copy(), {}, MethodError, "3 cells"),
        (lambda a: a, {"method": "tsne"}, OptionError, "no method is called 'tsne'"),
        (lambda a: a, {"colour": 1}, OptionError, "no parameter 'colour'"),
        (lambda a: a, {"n_pcs": 0}, OptionError, "n_pcs=0"),
    ],
)
def test_bad_input_is_refused_in_one_line_and_leaves_no_view(pbmc, change, options, error, words):
    adata = change(pbmc[:40].copy())
    with pytest.raises(error, match=words) as caught:
        add_view(adata, **options)
    assert isinstance(caught.value, CorpuscleError) and "\n" not in str(caught.value)
    assert not adata.obsm and "views" not in adata.uns
