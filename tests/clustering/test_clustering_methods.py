"""Methods of the clustering benchmark: found by name, fed without labels, repeatable."""

from __future__ import annotations

import importlib
import random
from dataclasses import fields

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from corpuscle.benchmarks.clustering import methods
from corpuscle.benchmarks.clustering._methods_simple import scaled
from corpuscle.benchmarks.clustering.methods import (
    Cells,
    Embedded,
    cells_of,
    checked_result,
    clustering_method,
    method_names,
    parse_method,
)
from corpuscle.benchmarks.clustering.score import score_labels, stability
from corpuscle.datasets import bundled_path
from corpuscle.errors import MethodError, OptionError, SourceError

OURS = ["pca_leiden", "pca_kmeans", "scvi", "linear_scvi", "sce2tm", "sce2tm_authors"]


def made_counts(sizes=(40, 30, 20), g=60, seed=0):
    """Counts of cells of some types, each with 10 genes that it has more of."""
    rng = np.random.default_rng(seed)
    label = np.repeat(np.arange(len(sizes)), sizes)
    rate = np.ones((label.size, g))
    for t in range(len(sizes)):
        rate[label == t, 10 * t : 10 * (t + 1)] = 8.0
    return sp.csr_matrix(rng.poisson(rate).astype(np.int32)), np.array([f"type{i}" for i in label])


def made_cells(**other):
    x_ng, labels = made_counts()
    return Cells("made", x_ng, [f"gene{i}" for i in range(x_ng.shape[1])], **other), labels


def made_adata():
    x_ng, labels = made_counts()
    adata = ad.AnnData(x_ng, obs=pd.DataFrame(index=[f"c{i}" for i in range(90)]))
    adata.var_names = [f"gene{i}" for i in range(60)]
    adata.obs["cell_type"] = pd.Categorical(labels)
    adata.obs["donor"] = np.where(np.arange(90) % 2, "a", "b")
    adata.obsm["X_other"] = np.arange(180.0).reshape(90, 2)
    return adata


# -- names and parameters ------------------------------------------------------------------------------------


def test_built_in_names():
    assert method_names()[:6] == OURS
    assert set(methods.BUILT_IN) == set(OURS)


@pytest.mark.parametrize("name", OURS)
def test_every_built_in_says_its_name_and_what_it_is_told(name):
    if name not in ("pca_leiden", "pca_kmeans"):
        pytest.importorskip("torch")
    method = clustering_method(name)
    assert method.name == name
    assert method.told == ("n_types" if name == "pca_kmeans" else "nothing")
    assert isinstance(method, methods.ClusteringMethod)


def test_parameters_are_read_by_their_annotations():
    method = parse_method("scvi:max_epochs=100, n_latent=20")
    assert (method.max_epochs, method.n_latent) == (100, 20)
    assert method.name == "scvi:max_epochs=100,n_latent=20"
    assert parse_method("scvi:max_epochs=none").max_epochs is None
    assert clustering_method("scvi", max_epochs=100).name == "scvi:max_epochs=100"
    assert clustering_method("scvi").name == "scvi"
    with pytest.raises(OptionError, match="max_epochs=many cannot be read; it must be int or none"):
        parse_method("scvi:max_epochs=many")


def test_choices_of_the_recipe_are_parameters():
    pytest.importorskip("torch")
    words = "n_topics=20,ecr_weight=auto,normalize_embeddings=false,ecr_contrast=false,lr_step=none"
    assert parse_method(f"sce2tm:{words},view=none").changes == {
        "n_topics": 20, "ecr_weight": "auto", "normalize_embeddings": False, "ecr_contrast": False, "lr_step": None,
    }  # fmt: skip
    assert parse_method("sce2tm:ecr_weight=0").changes == {"ecr_weight": 0.0}
    with pytest.raises(OptionError, match="normalize_embeddings=maybe cannot be read; it must be bool"):
        parse_method("sce2tm:normalize_embeddings=maybe")
    with pytest.raises(OptionError, match="n_topics=1 must be 2 or more"):
        parse_method("sce2tm:n_topics=1")
    with pytest.raises(OptionError, match="view='tfidff' must be one of: given, none, shuffled"):
        clustering_method("sce2tm", view="tfidff")


@pytest.mark.parametrize(("text", "message"), [
    ("louvain_pca", "no clustering method is called 'louvain_pca'; there are: pca_leiden"),
    ("pca_leiden:pcs=3", "has no parameter 'pcs'; it has: n_pcs, n_top_genes"),
    ("pca_leiden:n_pcs=3,n_pcs=4", "n_pcs is given twice"),
    ("pca_leiden:n_pcs=3,4", "not of the form key=value"),
    ("pca_leiden:n_pcs=", "n_pcs= cannot be read; it must be int"),
    ("pca_leiden:50", "no clustering method is called 'pca_leiden:50'"),
    ("nowhere_at_all:Mine", "cannot import nowhere_at_all"),
    ("random:Mine", "the module random has no Mine"),
    ("random:Random", "it must be callable and have a name and told"),
])  # fmt: skip
def test_what_is_no_method(text, message):
    with pytest.raises(OptionError, match=message) as error:
        parse_method(text)
    assert "\n" not in str(error.value)


def test_a_class_of_the_current_folder(tmp_path, monkeypatch):
    (tmp_path / "my_clusters_h6.py").write_text(
        "class Mine:\n"
        "    name, told = 'mine', 'nothing'\n"
        "    def __init__(self, k: int = 2): self.k = k\n"
        "    def __call__(self, cells, *, seed, n_types): return self.k, n_types\n"
        "class Cheat(Mine):\n"
        "    told = 'labels'\n"
    )
    monkeypatch.chdir(tmp_path)
    assert parse_method("my_clusters_h6:Mine").name == "mine"
    method = parse_method("my_clusters_h6:Mine:k=7")
    assert method.name == "mine:k=7" and method(None, seed=0, n_types=None) == (7, None)
    with pytest.raises(OptionError, match="told='labels' must be one of: nothing, n_types"):
        parse_method("my_clusters_h6:Cheat")


class Brought:
    name = "brought"
    told = "n_types"

    def __call__(self, cells, *, seed, n_types):
        return Embedded(labels_n=np.zeros(cells.n_cells, int))


class Point:
    def __init__(self, fails):
        self.fails = fails

    def load(self):
        if self.fails:
            raise RuntimeError("no such\nlibrary")
        return Brought


def test_methods_of_other_packages(monkeypatch):
    monkeypatch.setattr(methods.PLUGINS, "external", {"brought": Point(False), "broken": Point(True)})
    assert method_names() == [*OURS, "broken", "brought"]
    assert clustering_method("brought").told == "n_types"
    with pytest.raises(OptionError, match="cannot be loaded: RuntimeError: no such library"):
        clustering_method("broken")


def test_a_missing_extra_is_named(monkeypatch):
    def without_torch(name):
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr(importlib, "import_module", without_torch)
    with pytest.raises(MethodError, match=r"corpuscle\[models\]"):
        clustering_method("sce2tm")


# -- what methods are given and give -------------------------------------------------------------------------


def test_labels_are_kept_from_the_methods():
    cells, labels = cells_of(made_adata(), labels="cell_type", batch="donor", view="X_other", name="set")
    assert {field.name for field in fields(cells)} == {"name", "counts_ng", "genes", "batch_n", "view_ne"}
    assert not any("type0" in str(getattr(cells, field.name)) for field in fields(cells))
    assert labels.tolist() == made_counts()[1].tolist()
    assert cells.batch_n[:2].tolist() == ["b", "a"] and cells.view_ne.dtype == np.float32
    assert (cells.counts_ng != made_counts()[0]).nnz == 0
    assert cells_of(made_adata())[1] is None


def test_cells_that_cannot_be_judged_are_left_out_and_counted():
    adata = made_adata()
    label = adata.obs["cell_type"].astype(object).to_numpy()
    label[:4] = [np.nan, "Unassigned", " ", "alone"]
    adata.obs["cell_type"] = label
    counts = adata.X.tolil()
    counts[89] = 0
    adata.X = counts.tocsr()
    with pytest.warns(UserWarning) as caught:
        cells, labels = cells_of(adata, labels="cell_type", view="X_other")
    said = " | ".join(str(one.message) for one in caught)
    assert "3 of 90 cells have no label in cell_type (Unassigned)" in said
    assert "1 of 90 cells have no count" in said
    assert "types of a single cell in cell_type: alone; they stay" in said
    assert cells.n_cells == labels.size == 86 and labels[0] == "alone"
    assert cells.view_ne[0].tolist() == [6.0, 7.0]


def test_the_same_from_a_file_with_its_second_view(tmp_path):
    adata = made_adata()
    adata.var_names = ["same", "same", *adata.var_names[2:]]
    adata.write_h5ad(tmp_path / "islets.h5ad")
    cells, labels = cells_of(tmp_path / "islets.h5ad", labels="cell_type", view="X_other")
    assert cells.name == "islets" and cells.genes[:2] == ["same", "same-1"]
    assert cells.view_ne.tolist() == made_adata().obsm["X_other"].tolist()
    both, labels = cells_of([tmp_path / "islets.h5ad"], labels="cell_type", batch="donor")
    assert both.batch_n[:2].tolist() == ["b", "a"] and labels.size == 90


@pytest.mark.parametrize(("change", "options", "error", "message"), [
    ({}, {"labels": "type"}, OptionError, "no obs column 'type' for labels; it has: cell_type, donor"),
    ({}, {"batch": "plate"}, OptionError, "no obs column 'plate' for batches"),
    ({}, {"view": "X_scGPT"}, OptionError, "no obsm 'X_scGPT'; it has: X_other"),
    ({"cell_type": "one"}, {"labels": "cell_type"}, OptionError, "only the type one"),
    ({"cell_type": "unknown"}, {"labels": "cell_type"}, OptionError, "has no label"),
    ({"cell_type": [f"c{i}" for i in range(90)]}, {"labels": "cell_type"}, OptionError, "its own for every cell"),
    ({"donor": [None, *"a" * 89]}, {"batch": "donor"}, OptionError, "cell 0 has no batch in donor"),
])  # fmt: skip
def test_columns_that_cannot_be_used(change, options, error, message):
    adata = made_adata()
    for column, values in change.items():
        adata.obs[column] = values
    with pytest.raises(error, match=message.replace("its own for every cell", "of its own for every cell")):
        cells_of(adata, **options)


def test_a_second_view_that_is_not_finite():
    adata = made_adata()
    adata.obsm["X_other"][4, 1] = np.nan
    with pytest.raises(SourceError, match="obsm 'X_other': cell 4 is NaN or infinite"):
        cells_of(adata, view="X_other")


@pytest.mark.parametrize(("result", "message"), [
    (np.zeros((3, 2)), "returned a ndarray"),
    (Embedded(), "neither an embedding nor clusters"),
    (Embedded(np.zeros((2, 2))), "not one row for 3 cells"),
    (Embedded(np.array([[0.0], [np.inf], [0.0]])), "cell 1 is NaN or infinite"),
    (Embedded(labels_n=np.array([0.0, np.nan, 1.0])), "one cluster for each of 3 cells"),
])  # fmt: skip
def test_results_that_cannot_be_used(result, message):
    with pytest.raises(MethodError, match=f"mine: .*{message}"):
        checked_result("mine", result, 3)


# -- the methods ---------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 12), st.integers(1, 6), st.integers(0, 999))
def test_scaled_values_stay_sparse_and_are_those_of_the_dense_way(n, g, seed):
    rng = np.random.default_rng(seed)
    x_ng = rng.poisson(0.7, size=(n, g)) * rng.gamma(1, 5, size=(n, g))
    with np.errstate(invalid="ignore", divide="ignore"):
        sd_g = x_ng.std(axis=0, ddof=1)
        dense = np.clip((x_ng - x_ng.mean(axis=0)) / np.where(sd_g == 0, 1, sd_g), -10, 10)
    sparse = scaled(sp.csr_matrix(x_ng))
    assert sparse.nnz == (x_ng != 0).sum()
    centred = sparse.toarray() - sparse.toarray().mean(axis=0)
    assert centred == pytest.approx(dense - dense.mean(axis=0), abs=1e-9)


def test_a_gene_that_is_the_same_in_all_cells_adds_nothing():
    x_ng = np.column_stack([np.full(7, np.float32(0.1)), np.arange(7.0)])
    sparse = scaled(sp.csr_matrix(x_ng)).toarray()
    assert sparse[:, 0] - sparse[:, 0].mean() == pytest.approx(np.zeros(7), abs=1e-9)


def test_pca_is_scanpys_on_real_cells():
    import scanpy as sc

    cells, _ = cells_of(bundled_path("pbmc_1k_v3"))
    embedding_nd = clustering_method("pca_leiden", n_pcs=20)(cells, seed=0, n_types=None).embedding_nd
    adata = ad.AnnData(cells.counts_ng.astype(np.float32))
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    if adata.n_vars > 2500:
        sc.pp.highly_variable_genes(adata, n_top_genes=2000)
        adata = adata[:, adata.var["highly_variable"]].copy()
    adata.X = adata.X.toarray()
    sc.pp.scale(adata, max_value=10)
    sc.pp.pca(adata, n_comps=20)
    assert np.abs(embedding_nd) == pytest.approx(np.abs(adata.obsm["X_pca"]), abs=0.01)


def test_pca_kmeans_gets_the_number_of_types():
    cells, labels = made_cells()
    method = clustering_method("pca_kmeans", n_pcs=5)
    found = [method(cells, seed=seed, n_types=3).labels_n for seed in (0, 0, 1)]
    assert (found[0] == found[1]).all() and stability(found) == 1.0
    assert score_labels(found[0], labels, told=method.told)["ari"][0] == 1.0
    with pytest.raises(MethodError, match="needs the number of types"):
        method(cells, seed=0, n_types=None)
    with pytest.raises(MethodError, match="cannot make 91 clusters of 90 cells"):
        method(cells, seed=0, n_types=91)


def test_fewer_cells_than_components():
    cells, _ = made_cells()
    few = Cells("few", cells.counts_ng[::18], cells.genes)
    assert clustering_method("pca_leiden")(few, seed=0, n_types=None).embedding_nd.shape == (5, 4)
    with pytest.raises(MethodError, match="3 cells and 3 genes or more"):
        clustering_method("pca_leiden")(Cells("two", few.counts_ng[:2], cells.genes), seed=0, n_types=None)


@pytest.fixture
def one_thread():
    torch = pytest.importorskip("torch")
    pytest.importorskip("scvi")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", ["scvi", "linear_scvi"])
def test_scvi_repeats_and_uses_batches(one_thread, name, capfd):
    method = clustering_method(name, max_epochs=2, n_latent=4, accelerator="cpu")
    batch_n = np.array(["a", "b"] * 45)
    random.seed(3)
    before = random.getstate()
    one, again, other = (
        method(made_cells(batch_n=batch_n)[0], seed=seed, n_types=None).embedding_nd for seed in (0, 0, 1)
    )
    alone = method(made_cells()[0], seed=0, n_types=None).embedding_nd
    assert one.shape == (90, 4) and one.dtype == np.float32 and np.isfinite(one).all()
    assert (one == again).all() and not (one == other).all() and not (one == alone).all()
    assert random.getstate() == before
    assert capfd.readouterr() == ("", "")


def test_scvi_refuses_in_one_line(one_thread):
    cells, _ = made_cells()
    with pytest.raises(MethodError, match="9 cells are too few"):
        clustering_method("scvi")(Cells("nine", cells.counts_ng[:9], cells.genes), seed=0, n_types=None)
    with pytest.raises(OptionError, match="n_latent and max_epochs must be 1 or more"):
        clustering_method("scvi", max_epochs=0)(cells, seed=0, n_types=None)


@pytest.mark.parametrize("name", ["sce2tm", "sce2tm_authors"])
def test_sce2tm_gives_the_logits_of_its_topics(one_thread, name):
    method = clustering_method(name, max_epochs=2, n_topics=6, n_hidden=8, n_embed=8, accelerator="cpu")
    one, again, other = (method(made_cells()[0], seed=seed, n_types=None).embedding_nd for seed in (0, 0, 1))
    assert one.shape == (90, 6) and one.dtype == np.float32
    assert (one == again).all() and not (one == other).all()
    assert one.sum(axis=1) != pytest.approx(np.ones(90))


def test_sce2tm_second_view(one_thread):
    view_ne = np.random.default_rng(0).normal(size=(90, 3)).astype(np.float32)
    small = {"max_epochs": 1, "n_topics": 6, "n_hidden": 8, "n_embed": 8, "accelerator": "cpu"}
    found = {
        view: clustering_method("sce2tm", view=view, **small)(made_cells(view_ne=view_ne)[0], seed=0, n_types=None)
        for view in ("given", "none", "shuffled", "sqrt")
    }
    bare = clustering_method("sce2tm", **small)(made_cells()[0], seed=0, n_types=None)
    assert (found["none"].embedding_nd == bare.embedding_nd).all()
    embeddings = [one.embedding_nd for one in found.values()]
    assert not any(np.array_equal(a, b) for i, a in enumerate(embeddings) for b in embeddings[:i])
    with pytest.raises(MethodError, match="has no second view to shuffle"):
        clustering_method("sce2tm", view="shuffled", **small)(made_cells()[0], seed=0, n_types=None)
