"""Features of bulk samples: what is chosen, exact components, frozen use on new samples, folders."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData
from sklearn.decomposition import PCA

from corpuscle import open_counts
from corpuscle.bulk._features import Features
from corpuscle.bulk._pca import ValueMoments, principal_components
from corpuscle.counts import Block, Counts
from corpuscle.errors import GeneError, MethodError, OptionError, OutputError, SourceError


def cells(n: int = 300, g: int = 90, seed: int = 0) -> AnnData:
    random = np.random.default_rng(seed)
    level_ng = np.exp(random.normal(5, 1, (1, g)) + random.normal(0, 1, (n, 3)) @ random.normal(0, 0.7, (3, g)))
    names = [f"g{i}" for i in range(g)]
    x_ng = sp.csr_matrix(random.poisson(level_ng))
    return AnnData(x_ng, obs=pd.DataFrame(index=[f"s{i}" for i in range(n)]), var=pd.DataFrame(index=names))


def counts(n: int = 300, g: int = 90, seed: int = 0) -> Counts:
    return open_counts(cells(n, g, seed))


@pytest.mark.parametrize("n", [40, 300, 700])  # fewer samples than genes, and several units
def test_components_are_those_of_scikit_learn(n: int) -> None:
    features = Features(n_pcs=8, n_genes=60).fit(counts(n))
    z_ng = features.values(counts(n))
    peer = PCA(8, svd_solver="full").fit(z_ng.astype(np.float64))
    z_nd = features.transform(counts(n))
    assert z_nd.dtype == np.float32 and z_nd.shape == (n, 8)
    assert np.allclose(np.abs(peer.transform(z_ng)), np.abs(z_nd), atol=2e-4)
    assert np.allclose(features.explained_d_, peer.explained_variance_ratio_, rtol=1e-6)
    assert np.allclose(features.components_dg_ @ features.components_dg_.T, np.eye(8), atol=1e-10)
    largest = np.abs(features.components_dg_).argmax(axis=1)
    assert (features.components_dg_[np.arange(8), largest] > 0).all()


def test_both_sides_of_the_covariance_agree() -> None:
    x_ng = np.random.default_rng(0).normal(size=(41, 40))
    many = principal_components([x_ng[:17], x_ng[17:]], 41, 40, 6)
    x_wide = np.hstack([x_ng, np.zeros((41, 2))])  # two genes more than there are samples: the other way
    few = principal_components([x_wide], 41, 42, 6)
    assert np.allclose(many.axes_dg, few.axes_dg[:, :40], atol=1e-9)
    assert np.allclose(many.variance_d, few.variance_d)
    assert np.isclose(many.total, few.total)


def test_components_are_cut_to_the_rank() -> None:
    assert Features(n_pcs=200).fit(counts(12)).transform(counts(12)).shape == (12, 11)
    doubled = np.repeat(np.random.default_rng(0).normal(size=(5, 30)), 2, axis=0)
    assert len(principal_components([doubled], 10, 30, 9).variance_d) == 4


def test_moments_do_not_depend_on_the_split() -> None:
    x_ng = np.random.default_rng(1).normal(3, 2, (50, 7)).astype(np.float32)
    whole = ValueMoments(7)
    whole.update(Block(x_ng, slice(0, 50), ""))
    parts = ValueMoments(7)
    for start in (40, 0, 13):
        one = ValueMoments(7)
        stop = {40: 50, 0: 13, 13: 40}[start]
        one.update(Block(x_ng[start:stop], slice(start, stop), ""))
        parts.merge(one)
    assert np.allclose(whole.mean_g, parts.mean_g, rtol=1e-12)
    assert np.allclose(whole.variance_g, x_ng.var(axis=0, ddof=1, dtype=np.float64), rtol=1e-10)
    assert np.allclose(parts.variance_g, whole.variance_g, rtol=1e-12)


def test_genes_need_enough_reads_in_enough_samples() -> None:
    made = cells(100, 20)
    x_ng = made.X.toarray()
    x_ng[:, 3] = 20  # never more than 20
    x_ng[:, 4] = [21, 21] + [0] * 98  # in just 2 % of the samples
    x_ng[:, 5] = [900] + [0] * 99
    made.X = sp.csr_matrix(x_ng)
    features = Features(n_pcs=2).fit(open_counts(made))
    assert {"g3", "g5"} & set(features.known_genes_) == set()
    assert "g4" in features.known_genes_


def test_the_most_variable_genes_are_kept_in_the_order_of_the_collection() -> None:
    made = counts(200, 50)
    every = Features(n_genes=None, n_pcs=None).fit(made)
    some = Features(n_genes=10, n_pcs=None).fit(made)
    top = every.genes_[np.sort(np.argsort(-every.sd_g_, kind="stable")[:10])]
    assert list(some.genes_) == list(top)


def test_genes_that_do_not_vary_are_left_out() -> None:
    made = cells(30, 10)
    x_ng = made.X.toarray()
    x_ng[:, 2] = 50
    made.X = sp.csr_matrix(x_ng)
    features = Features("raw", n_pcs=None).fit(open_counts(made))
    assert "g2" in features.known_genes_ and "g2" not in features.genes_


def test_scaled_values_and_their_inverse() -> None:
    made = counts(120, 40)
    features = Features(n_pcs=None, clip=None).fit(made)
    z_ng = features.transform(made)
    assert np.allclose(z_ng.mean(axis=0), 0, atol=1e-5) and np.allclose(z_ng.std(axis=0, ddof=1), 1, atol=1e-5)
    assert np.array_equal(z_ng, features.values(made))
    values = features.inverse(z_ng)
    assert np.allclose(values, z_ng * features.sd_g_ + features.mean_g_, atol=1e-4)
    assert (features.inverse(z_ng - 1e3) == 0).all()
    assert np.abs(Features(n_pcs=None, clip=1.5).fit(made).transform(made)).max() == 1.5


def test_all_components_restore_the_values() -> None:
    made = counts(120, 30)
    features = Features(n_pcs=30, clip=None).fit(made)
    restored = features.inverse(features.transform(made))
    assert np.allclose(restored, features.values(made) * features.sd_g_ + features.mean_g_, atol=1e-3)
    with pytest.raises(OptionError, match="30 columns"):
        features.inverse(np.zeros((2, 3)))


def test_without_scaling_values_are_centred_only() -> None:
    made = counts(60, 20)
    plain = Features(n_pcs=None, scale=False).fit(made)
    scaled = Features(n_pcs=None, clip=None).fit(made)
    assert np.allclose(plain.transform(made), scaled.transform(made) * scaled.sd_g_, atol=1e-4)


def test_a_sample_is_the_same_alone_and_among_others() -> None:
    made = counts()
    features = Features(n_pcs=5).fit(made)
    whole = features.transform(made)
    part = features.transform(made.view(cells=np.array([7, 290, 3])))
    assert np.allclose(whole[[7, 290, 3]], part, atol=1e-5)


def test_genes_of_new_samples_are_found_by_name() -> None:
    made = cells()
    features = Features(n_pcs=5).fit(open_counts(made))
    shuffled = made[:, np.random.default_rng(0).permutation(made.n_vars)].copy()
    extra = AnnData(np.full((made.n_obs, 1), 7), obs=shuffled.obs, var=pd.DataFrame(index=["new"]))
    wide = AnnData(sp.hstack([shuffled.X, extra.X]).tocsr(), obs=made.obs, var=pd.concat([shuffled.var, extra.var]))
    assert np.allclose(features.transform(open_counts(wide)), features.transform(open_counts(made)), atol=1e-5)
    with pytest.raises(GeneError, match=r"1 of the 90 genes of the fitted features are missing, such as g5"):
        features.transform(open_counts(made[:, [name != "g5" for name in made.var_names]].copy()))


def test_of_one_symbol_twice_the_gene_with_most_counts_is_used() -> None:
    made = cells(100, 20)
    x_ng = made.X.toarray()
    x_ng[:, 1] = x_ng[:, 0] * 2
    made.X = sp.csr_matrix(x_ng)
    made.var_names = ["twice", "twice", *made.var_names[2:]]
    features = Features(n_pcs=None).fit(open_counts(made))
    single = made[:, 1:].copy()
    assert list(features.known_genes_).count("twice") == 1
    assert np.allclose(features.transform(open_counts(made)), features.transform(open_counts(single)), atol=1e-6)


def test_fitting_sees_training_samples_only() -> None:
    made = counts()
    train = np.arange(0, 300, 2)
    features = Features(n_pcs=4).fit(made.view(cells=train))
    copied = Features(n_pcs=4).fit(open_counts(cells()[train].copy()))
    assert np.allclose(features.components_dg_, copied.components_dg_, atol=1e-9)
    assert features.n_samples_ == 150


def test_a_sample_without_counts_is_named() -> None:
    made = cells(20, 15)
    features = Features(n_pcs=2).fit(open_counts(made))
    x_ng = made.X.toarray()
    x_ng[4] = 0
    made.X = sp.csr_matrix(x_ng)
    with pytest.raises(MethodError, match="sample s4 has no counts"):
        Features().fit(open_counts(made))
    with pytest.raises(MethodError, match="sample s4 has no counts"):
        features.transform(open_counts(made))


def test_shallow_samples_say_what_to_lower() -> None:
    made = AnnData(np.ones((30, 8), int))
    with pytest.raises(
        OptionError, match=r"no gene has more than 20 reads in 2\.0% of the 30 samples; lower min_reads"
    ):
        Features().fit(open_counts(made))


@pytest.mark.parametrize(
    ("given", "message"),
    [({"n_genes": 0}, "n_genes"), ({"n_pcs": 1.5}, "n_pcs"), ({"min_share": 2}, "min_share"), ({"clip": 0}, "clip"),
     ({"min_reads": -1}, "min_reads"), ({"normalizer": "nothing"}, "nothing"), ({"params": {"no": 1}}, "no parameter")],
)  # fmt: skip
def test_parameters_that_make_no_sense_are_refused(given: dict, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Features(**given).fit(counts(10, 10))


def test_what_cannot_be_applied_to_new_samples_is_refused() -> None:
    with pytest.raises(MethodError, match="choose another normalisation"):
        Features("magic").fit(counts(10, 10))
    with pytest.raises(MethodError, match="call fit"):
        Features().transform(counts(10, 10))
    with pytest.raises(MethodError, match="at least two"):
        Features().fit(counts(1, 10))


def test_a_saved_folder_gives_the_same_vectors(tmp_path: Path) -> None:
    made = counts()
    features = Features(n_pcs=5, params={}).fit(made)
    features.save(tmp_path / "f")
    loaded = Features.load(tmp_path / "f")
    assert np.array_equal(loaded.transform(made), features.transform(made))
    assert list(loaded.genes_) == list(features.genes_) and loaded.about_ == features.about_
    loaded.save(tmp_path / "g")
    assert np.array_equal(Features.load(tmp_path / "g").transform(made), features.transform(made))
    again = pickle.loads(pickle.dumps(features))
    assert np.array_equal(again.transform(made), features.transform(made))


def test_a_folder_of_something_else_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("x")
    with pytest.raises(OutputError, match="something else"):
        Features(n_pcs=2).fit(counts(10, 10)).save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]


@pytest.mark.parametrize("harm", ["missing", "json", "genes", "truncated", "shape", "pickle"])
def test_a_damaged_folder_is_refused(tmp_path: Path, harm: str) -> None:
    Features(n_pcs=3).fit(counts(30, 12)).save(tmp_path / "f")
    about, arrays = tmp_path / "f" / "features.json", tmp_path / "f" / "features.npz"
    stored = dict(np.load(arrays))
    if harm == "missing":
        arrays.unlink()
    elif harm == "json":
        about.write_text("{")
    elif harm == "genes":
        text = json.loads(about.read_text())
        text["known_genes"][0] = "other"
        about.write_text(json.dumps(text))
    elif harm == "truncated":
        arrays.write_bytes(arrays.read_bytes()[:200])
    elif harm == "shape":
        np.savez(arrays, **{**stored, "mean_g": stored["mean_g"][1:]})
    else:
        np.savez(arrays, **{**stored, "mean_g": np.array([{}], object)})
    with pytest.raises(SourceError):
        Features.load(tmp_path / "f")
