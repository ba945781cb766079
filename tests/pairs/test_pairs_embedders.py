"""Initial embeddings: fitted on the training cells alone, the same whatever the blocks, genes joined by name."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from corpuscle.corpus.pairs import embedders
from corpuscle.corpus.pairs._block import CellBlock
from corpuscle.corpus.pairs.embedders import (
    embed_block,
    embedder,
    embedder_names,
    embedding_words,
    fit_embedders,
    load_embedder,
    save_embedder,
)
from corpuscle.errors import GeneError, MethodError, OptionError


def block(counts_ng, genes, source="s"):
    counts_ng = sp.csr_matrix(counts_ng).astype(np.int32)
    depth_n = np.maximum(np.asarray(counts_ng.sum(axis=1), np.float64).ravel(), 1)
    log_ng = counts_ng.astype(np.float64)
    log_ng.data = np.log1p(log_ng.data * np.repeat(1e4 / depth_n, np.diff(counts_ng.indptr)))
    obs = pd.DataFrame(index=[f"{source}{i}" for i in range(counts_ng.shape[0])])
    return CellBlock(log_ng.astype(np.float32), counts_ng, tuple(genes), obs, source)


@cache
def pbmc():
    """700 real cells x 765 genes, their counts rebuilt from the logged values."""
    scanpy = pytest.importorskip("scanpy")
    adata = scanpy.datasets.pbmc68k_reduced()
    depth_n = adata.obs["n_counts"].to_numpy()[:, None]
    counts_ng = np.round(np.expm1(adata.raw.X.toarray().astype(np.float64)) * depth_n / 1e4)
    return block(counts_ng, adata.raw.var_names, "pbmc")


def part(whole, rows):
    return CellBlock(whole.log_ng[rows], whole.counts_ng[rows], whole.genes, whole.obs.iloc[rows], whole.source)


def cut(whole, cuts):
    edges = sorted({0, whole.n_obs, *cuts})
    return [part(whole, np.arange(a, b)) for a, b in pairwise(edges)]


def test_variable_genes_are_those_of_scanpy():
    import scanpy as sc
    from anndata import AnnData

    whole = pbmc()
    logged = AnnData(whole.log_ng.astype(np.float64), var=pd.DataFrame(index=list(whole.genes)))
    logged.uns["log1p"] = {"base": None}
    theirs = sc.pp.highly_variable_genes(logged, n_top_genes=100, flavor="seurat", inplace=False)
    chosen = theirs["highly_variable"].to_numpy()
    ours = embedder("hvg:n=100").fit(lambda: [whole])
    assert ours.genes == tuple(np.array(whole.genes)[chosen])
    assert ours.width == chosen.sum() == 100
    np.testing.assert_array_equal(ours.transform(whole), whole.log_ng[:, np.flatnonzero(chosen)].toarray())


def test_components_are_those_of_a_full_decomposition():
    from sklearn.decomposition import PCA

    whole = pbmc()
    ours = embedder("pca:n_components=20,n_genes=300").fit(lambda: cut(whole, [211, 500]))
    at = [whole.genes.index(gene) for gene in ours.genes]
    x_ng = whole.log_ng[:, at].toarray().astype(np.float64)
    scaled = (x_ng - x_ng.mean(axis=0)) / x_ng.std(axis=0, ddof=1)
    model = PCA(20, svd_solver="full").fit(scaled)
    got, theirs = ours.transform(whole), model.transform(scaled)
    sign = np.sign((got * theirs).sum(axis=0))
    np.testing.assert_allclose(got, theirs * sign, atol=2e-4)
    np.testing.assert_allclose(ours.variance_d, model.explained_variance_, rtol=1e-9)
    largest = np.abs(ours.components_gd).argmax(axis=0)
    assert (ours.components_gd[largest, np.arange(20)] > 0).all()


@settings(max_examples=12, deadline=None)
@given(st.sets(st.integers(1, 699), max_size=6))
def test_how_cells_are_cut_into_blocks_changes_no_bit(cuts):
    whole = pbmc()
    for word in ("hvg:n=50", "pca:n_components=5,n_genes=60"):
        one = embedder(word).fit(lambda: [whole])
        many = embedder(word).fit(lambda: cut(whole, cuts))
        assert one.to_arrays()[1] == many.to_arrays()[1]
        for key, value in one.to_arrays()[0].items():
            np.testing.assert_array_equal(value, many.to_arrays()[0][key])
        apart = np.concatenate([many.transform(piece) for piece in cut(whole, cuts)])
        np.testing.assert_array_equal(one.transform(whole), apart)


def test_changing_the_test_cells_leaves_the_training_vectors_alone():
    whole = pbmc()
    train, test = np.arange(0, 700, 2), np.arange(1, 700, 2)
    vectors = []
    for factor in (1, 7):
        counts_ng = whole.counts_ng.toarray()
        counts_ng[test] = counts_ng[test][:, ::-1] * factor
        changed = block(counts_ng, whole.genes, "pbmc")
        fitted = [embedder("hvg:n=64"), embedder("pca:n_components=8")]
        fit_embedders(fitted, lambda data=changed: [part(data, train)])
        embed_block(fitted, part(changed, test))
        vectors.append(embed_block(fitted, part(changed, train)))
    for key in ("X_hvg", "X_pca"):
        np.testing.assert_array_equal(vectors[0][key], vectors[1][key])
    moved = embedder("hvg:n=64").fit(lambda: [changed])
    assert moved.genes != fitted[0].genes  # the test cells would have had a say


def test_genes_are_joined_by_name_and_missing_ones_are_zero_and_counted():
    whole = pbmc()
    fitted = [embedder("hvg:n=40"), embedder("pca:n_components=6,n_genes=40")]
    fit_embedders(fitted, lambda: [whole])
    lost = set(fitted[0].genes[:3])
    kept = [i for i in np.random.default_rng(0).permutation(len(whole.genes)) if whole.genes[i] not in lost]
    fewer = CellBlock(
        whole.log_ng[:, kept], whole.counts_ng[:, kept], tuple(whole.genes[i] for i in kept), whole.obs, "fewer"
    )
    zeroed = whole.log_ng.toarray()
    zeroed[:, [whole.genes.index(gene) for gene in lost]] = 0
    same = CellBlock(sp.csr_matrix(zeroed), whole.counts_ng, whole.genes, whole.obs, "zeroed")
    for one in fitted:
        np.testing.assert_array_equal(one.transform(fewer), one.transform(same))
        assert one.missing == {"fewer": 3, "zeroed": 0}
    assert set(fitted[0].columns.lacking(fewer.genes)) == lost
    strangers = CellBlock(whole.log_ng, whole.counts_ng, tuple(f"ENSG{g}" for g in whole.genes), whole.obs, "mouse")
    with pytest.raises(GeneError, match=r"mouse: has none of the 40 genes"):
        fitted[1].transform(strangers)


def test_only_genes_that_every_source_measures_are_chosen():
    whole = pbmc()
    # A gene that one source alone measures would vary most of all if it counted as 0 in the other.
    extra = np.hstack([whole.counts_ng.toarray(), np.full((700, 1), 50)])
    second = block(extra[:, ::-1], ["only_here", *whole.genes][::-1][-1:] + list(whole.genes[::-1]), "second")
    fitted = embedder("hvg:n=765").fit(lambda: [whole, second])
    assert "only_here" not in fitted.genes
    assert set(fitted.genes) <= set(whole.genes)
    apart = CellBlock(whole.log_ng, whole.counts_ng, tuple(f"x{g}" for g in whole.genes), whole.obs, "apart")
    with pytest.raises(GeneError, match="no gene in common"):
        embedder("hvg").fit(lambda: [whole, apart])


def test_fewer_cells_or_genes_than_asked_for_give_fewer_numbers():
    counts_ng = np.random.default_rng(0).poisson(3, (6, 4))
    fitted = [embedder("hvg:n=100"), embedder("pca:n_components=50")]
    few = block(counts_ng, "abcd")
    fit_embedders(fitted, lambda: [few])
    vectors = embed_block(fitted, few)
    assert {key: x_nd.shape for key, x_nd in vectors.items()} == {"X_hvg": (6, 4), "X_pca": (6, 4)}
    with pytest.raises(MethodError, match="too few"):
        embedder("pca").fit(lambda: [part(few, [0, 1])])
    with pytest.raises(MethodError, match="all alike"):
        embedder("pca").fit(lambda: [block(np.ones((5, 4)), "abcd")])
    with pytest.raises(MethodError, match="no training cell"):
        embedder("hvg").fit(lambda: [])
    with pytest.raises(MethodError, match="fit it on training cells first"):
        embedder("hvg").transform(few)


def test_a_damaged_training_value_is_named():
    broken = block(np.ones((4, 3)), "abc")
    broken.log_ng.data[1] = np.nan
    with pytest.raises(MethodError, match="gene b has a NaN"):
        embedder("hvg").fit(lambda: [broken])


@pytest.mark.parametrize(
    ("word", "words"),
    [
        ("nonsense", "there are: hvg, pca, panel, scvi"),
        ("hvg:m=3", "has no option 'm'; it has: n, name"),
        ("hvg:n=0", "n=0 must be a whole number, 1 or more"),
        ("hvg:n=many", "n='many' must be a whole number"),
        ("hvg:n=3,n=4", "each option once"),
        ("hvg:", "is no option"),
        ("hvg:name=../x", "cannot be called '../x'"),
        ("pca:n_genes=20000", "more than 800 MB"),
        ("panel", "write panel:genes="),
        ("scvi:max_epochs=-1", "0 or more"),
    ],
)
def test_a_word_that_names_no_embedding_is_refused(word, words):
    with pytest.raises(OptionError, match=r"^[^\n]*$") as caught:
        embedder(word)
    assert words in str(caught.value)


def test_a_list_of_embeddings_keeps_the_options_of_each():
    text = "hvg, pca:n_components=20,n_genes=100 ,panel:genes=f.txt,hvg,n=3"
    assert embedding_words(text) == ["hvg", "pca:n_components=20,n_genes=100", "panel:genes=f.txt", "hvg:n=3"]
    with pytest.raises(OptionError, match="two embeddings are called hvg"):
        fit_embedders([embedder("hvg"), embedder("hvg:n=3")], lambda: [])


class Depth:
    """What another package might bring: one number a cell."""

    kind, name, width = "depth", "depth", 1

    def __init__(self, scale: float = 1.0):
        self.scale = scale

    def fit(self, blocks):
        self.mean = np.mean([b.counts_ng.sum() / b.n_obs for b in blocks()])
        return self

    def transform(self, block):
        return np.asarray(block.counts_ng.sum(axis=1) / self.mean * self.scale, np.float32)

    def to_arrays(self):
        return {"mean": np.array([self.mean])}, {"scale": self.scale}

    @classmethod
    def from_arrays(cls, arrays, meta):
        made = cls(meta["scale"])
        made.mean = arrays["mean"][0]
        return made


class Point:
    name = "depth"

    def load(self):
        return Depth


def test_another_package_can_bring_an_embedding(monkeypatch, tmp_path):
    monkeypatch.setattr(embedders.PLUGINS, "external", {"depth": Point()})
    assert embedder_names()[-1] == "depth"
    fitted = embedder("depth:scale=0.5").fit(lambda: [pbmc()])
    loaded = load_embedder(save_embedder(fitted, tmp_path / "depth.npz"))
    np.testing.assert_array_equal(loaded.transform(pbmc()), fitted.transform(pbmc()))
    assert embedder(fitted) is fitted


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda x: x.astype(np.float64), "float64"),
        (lambda x: x[:-1], r"\(699, 1\)"),
        (lambda x: x * np.nan, "NaN"),
        (lambda x: x.tolist(), "list"),
    ],
)
def test_vectors_that_cannot_be_stored_are_refused(monkeypatch, wrong, words):
    fitted = Depth().fit(lambda: [pbmc()])
    right = fitted.transform(pbmc())
    monkeypatch.setattr(fitted, "transform", lambda block: wrong(right), raising=False)
    with pytest.raises(MethodError, match=f"embedding depth .*{words}"):
        embed_block([fitted], pbmc())


def test_importing_embeddings_is_light():
    code = (
        "import sys; before = set(sys.modules); import corpuscle.corpus; base = set(sys.modules)\n"
        "import corpuscle.corpus.pairs.embedders\n"
        "print([m for m in ('anndata', 'scanpy', 'torch', 'sklearn', 'zarr', 'datasets', 'scvi')"
        " if m in sys.modules and m not in base])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
