"""A classifier that learns from labelled cells: what it scores, what it refuses, and its file."""

from __future__ import annotations

import os
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from corpuscle.annotate._expression import open_expression
from corpuscle.annotate.sources._reference_fit import sampled_cells, type_weights
from corpuscle.annotate.sources._reference_genes import ClassSums, choose_genes, panel_blocks
from corpuscle.annotate.sources.reference import ReferenceClassifier, reference_scores, train_reference
from corpuscle.counts.genes import human_mouse_pairs
from corpuscle.errors import GeneError, MethodError, OptionError, OutputError, SourceError

TYPES = ("B cell", "T cell", "monocyte")
N_GENES = 120


def symbols(n: int) -> list[str]:
    """Human symbols with one mouse partner of the same name."""
    pairs = human_mouse_pairs()
    human = pairs["human_symbol"]
    same = (human == pairs["mouse_symbol"].str.upper()) & human.str.fullmatch(r"[A-Z]+[A-Z0-9]*")
    return sorted(set(human[same]))[:n]


GENES = symbols(N_GENES)


def made(n: int = 120, seed: int = 0, depth: float = 1.0, types: tuple[str, ...] = TYPES) -> ad.AnnData:
    """Cells of types, each with 15 genes of its own that are five times higher."""
    rng = np.random.default_rng(seed)
    rate_kg = np.tile(np.random.default_rng(7).gamma(2, 2, N_GENES), (len(types), 1))
    for k in range(len(types)):
        rate_kg[k, 15 * k : 15 * (k + 1)] *= 5
    code_n = np.arange(n) % len(types)
    x_ng = rng.poisson(rate_kg[code_n] * depth).astype(np.int32)
    obs = pd.DataFrame({"cell_type": np.array(types)[code_n]}, index=[f"cell{i}" for i in range(n)])
    return ad.AnnData(sp.csr_matrix(x_ng), obs=obs, var=pd.DataFrame(index=GENES))


@pytest.fixture(scope="module")
def reference() -> ad.AnnData:
    return made(seed=1)


@pytest.fixture(scope="module")
def query() -> ad.AnnData:
    return made(90, seed=2)


@pytest.fixture(scope="module")
def classifier(reference: ad.AnnData) -> ReferenceClassifier:
    return train_reference(reference)


@pytest.fixture
def real_set() -> Callable[[str], ad.AnnData]:
    folder = Path(os.environ.get("CORPUSCLE_DATA", Path(__file__).parents[3] / "shared" / "data"))
    if not (folder / "pbmc").is_dir():
        pytest.skip("no real data: set CORPUSCLE_DATA")
    return lambda name: ad.read_h5ad(folder / f"{name}.h5ad")


# -- what it scores --------------------------------------------------------------------------------------------------


def test_it_names_cells_that_it_has_not_seen(reference: ad.AnnData, query: ad.AnnData) -> None:
    scores = reference_scores(query, reference)
    assert scores.types == TYPES
    assert scores.cl_ids == ("CL:0000236", "CL:0000084", "CL:0000576")
    assert list(scores.cells) == list(query.obs_names)
    assert (scores.labels() == query.obs["cell_type"].to_numpy()).mean() > 0.97


def test_probabilities_are_the_softmax_of_decisions_that_are_centred_over_types(
    reference: ad.AnnData, query: ad.AnnData
) -> None:
    probability_nk = reference_scores(query, reference).values_nk
    decision_nk = reference_scores(query, reference, kind="decision").values_nk
    np.testing.assert_allclose(decision_nk.sum(axis=1), 0, atol=1e-4)
    np.testing.assert_allclose(probability_nk, softmax(decision_nk, axis=1), atol=1e-5)


def dense_scores(classifier: ReferenceClassifier, counts: pd.DataFrame) -> np.ndarray[Any, Any]:
    """Decision values by the formula, on a table of cells x genes."""
    genes = np.array(classifier.genes)
    there_u = np.isin(genes, counts.columns)
    share = classifier.level_u[there_u].sum() / classifier.level_u.sum()
    panel = counts[genes[there_u]]
    log_nu = np.log1p(panel.div(panel.sum(axis=1), axis=0) * 1e4 * share)
    z_nv = np.zeros((len(counts), classifier.chosen_v.size))
    for v, place in enumerate(classifier.chosen_v):
        if there_u[place]:
            z_nv[:, v] = (log_nu[genes[place]] - classifier.mean_v[v]) / classifier.sd_v[v]
    return np.minimum(z_nv, 10) @ classifier.weights_kv.T + classifier.intercept_k


@pytest.mark.parametrize("n_there", [N_GENES, 70])
def test_streamed_sparse_scores_equal_the_formula_on_a_dense_table(
    classifier: ReferenceClassifier, query: ad.AnnData, n_there: int
) -> None:
    panel = query[:, ::-1][:, :n_there].copy()
    found = classifier.scores(panel, kind="decision").values_nk
    np.testing.assert_allclose(found, dense_scores(classifier, panel.to_df()), atol=1e-4)


def test_a_value_far_out_is_cut_at_ten_standard_deviations(classifier: ReferenceClassifier, query: ad.AnnData) -> None:
    sharp = replace(classifier, sd_v=classifier.sd_v / 20)
    found = sharp.scores(query, kind="decision").values_nk
    expected = dense_scores(sharp, query.to_df())
    assert np.abs(expected).max() > 5
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)


def test_another_depth_or_sum_before_the_logarithm_changes_nothing(
    classifier: ReferenceClassifier, query: ad.AnnData
) -> None:
    logged = query.copy()
    logged.X = sp.csr_matrix(np.log1p(query.to_df().div(query.to_df().sum(axis=1), axis=0).to_numpy() * 3e5))
    doubled = query.copy()
    doubled.X = query.X * 2
    expected = classifier.scores(query).values_nk
    np.testing.assert_allclose(classifier.scores(logged, logged=True).values_nk, expected, atol=1e-4)
    np.testing.assert_allclose(classifier.scores(doubled).values_nk, expected, atol=1e-6)


def test_it_learns_over_the_genes_that_both_have(reference: ad.AnnData, query: ad.AnnData) -> None:
    half = query[:, :60].copy()
    scores = reference_scores(half, reference)
    assert scores.about["genes_used"] == 60
    assert (scores.labels() == query.obs["cell_type"].to_numpy()).mean() > 0.97


def test_order_of_cells_and_genes_does_not_matter(reference: ad.AnnData, query: ad.AnnData) -> None:
    rng = np.random.default_rng(0)
    cells, genes = rng.permutation(query.n_obs), rng.permutation(query.n_vars)
    plain = reference_scores(query, reference).values_nk
    shuffled = reference_scores(query[cells][:, genes].copy(), reference).values_nk
    np.testing.assert_allclose(shuffled, plain[cells], atol=1e-5)


def test_it_repeats_bit_for_bit_and_the_seed_decides_which_cells_it_learns_from(
    reference: ad.AnnData, query: ad.AnnData
) -> None:
    def values(seed: int) -> np.ndarray[Any, Any]:
        return reference_scores(query, reference, max_cells=60, seed=seed).values_nk

    np.testing.assert_array_equal(values(0), values(0))
    assert not np.array_equal(values(0), values(1))


def test_two_types_have_two_columns(query: ad.AnnData) -> None:
    scores = reference_scores(query, made(80, types=("A", "B")), kind="decision")
    assert scores.values_nk.shape == (90, 2)
    np.testing.assert_allclose(scores.values_nk.sum(axis=1), 0, atol=1e-4)


def test_mouse_cells_are_matched_by_their_orthologs(reference: ad.AnnData, query: ad.AnnData) -> None:
    mouse = query.copy()
    mouse.var_names = [name.capitalize() for name in GENES]
    scores = reference_scores(mouse, reference)
    assert (scores.labels() == query.obs["cell_type"].to_numpy()).mean() > 0.97


def test_ten_cells_a_type_name_the_rest_of_a_real_set(real_set: Callable[[str], ad.AnnData]) -> None:
    cells = real_set("clustering/zheng_facs_3774")
    order = np.random.default_rng(0).permutation(cells.n_obs)
    place_in_type = (
        cells.obs["cell_type"].iloc[order].groupby(cells.obs["cell_type"].iloc[order], observed=True).cumcount()
    )
    few, rest = cells[order[place_in_type < 10]].copy(), cells[order[place_in_type >= 10][:800]].copy()
    scores = reference_scores(rest, few)
    assert (scores.labels() == rest.obs["cell_type"].to_numpy()).mean() > 0.72


def test_one_study_names_the_cells_of_another(real_set: Callable[[str], ad.AnnData]) -> None:
    pbmc, sorted_cells = real_set("pbmc/pbmc3k"), real_set("clustering/zheng_facs_3774")
    of_pbmc = {"B": "B cell", "NK": "NK cell", "CD14+ Mono": "monocyte", "Naive CD4 T": "T cell", "CD8 T": "T cell"}
    of_sorted = {"CD19+ B": "B cell", "CD56+ NK": "NK cell", "CD14+ Monocyte": "monocyte", "CD4+ T Helper2": "T cell"}
    truth = sorted_cells.obs["cell_type"].map(of_sorted).astype(object)
    known = np.flatnonzero(truth.notna())[::3]
    labels = pbmc.obs["cell_type"].map(of_pbmc).astype(object)
    scores = reference_scores(sorted_cells[known].copy(), pbmc[::2].copy(), labels[::2])
    assert (scores.labels() == truth.iloc[known].to_numpy()).mean() > 0.9
    assert any("no label" in note for note in scores.about["notes"])


# -- what goes into it -----------------------------------------------------------------------------------------------


def test_sums_by_type_are_the_same_for_any_split_of_the_cells(reference: ad.AnnData) -> None:
    code_n = np.arange(reference.n_obs) % 4 - 1
    with open_expression(reference) as expression:
        columns = np.arange(N_GENES)
        ((_, scaled_nu, log_nu),) = panel_blocks(expression, columns)
    whole, parts = ClassSums.empty(3, N_GENES), ClassSums.empty(3, N_GENES)
    whole.update(code_n, scaled_nu, log_nu)
    for rows in (slice(50, 120), slice(0, 7), slice(7, 50)):
        parts.update(code_n[rows], scaled_nu[rows], log_nu[rows])
    for name in vars(whole):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), rtol=1e-10)
    member = np.flatnonzero(code_n == 2)
    np.testing.assert_allclose(whole.log_ku[2], np.asarray(log_nu[member].sum(axis=0)).ravel(), rtol=1e-5)


def test_genes_that_tell_types_apart_are_chosen(reference: ad.AnnData) -> None:
    with open_expression(reference) as expression:
        sums = ClassSums.empty(3, N_GENES)
        for _, scaled_nu, log_nu in panel_blocks(expression, np.arange(N_GENES)):
            sums.update(np.arange(reference.n_obs) % 3, scaled_nu, log_nu)
    chosen = choose_genes(sums, 60)
    assert chosen.size == 60
    assert np.isin(np.arange(45), chosen).mean() > 0.75


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-1, 4), min_size=1, max_size=200), st.integers(2, 80), st.integers(0, 5))
def test_sampled_cells_keep_every_type_and_all_cells_of_the_small_ones(codes: list[int], most: int, seed: int) -> None:
    code_n = np.array(codes)
    keep_n = sampled_cells(code_n, most, seed)
    n_k, kept_k = np.bincount(code_n[code_n >= 0], minlength=5), np.bincount(code_n[keep_n], minlength=5)
    assert not keep_n[code_n < 0].any()
    assert kept_k.sum() <= max(most, (n_k > 0).sum())
    assert ((kept_k > 0) == (n_k > 0)).all()
    largest = kept_k.max() if kept_k.size else 0
    assert (kept_k >= np.minimum(n_k, largest)).all()
    np.testing.assert_array_equal(keep_n, sampled_cells(code_n, most, seed))


def test_types_weigh_alike_but_a_single_cell_not_like_a_thousand() -> None:
    n_k = np.array([1000, 100, 1])
    weight_k = type_weights(n_k, balanced=True)
    assert weight_k @ n_k == pytest.approx(n_k.sum())
    assert weight_k[0] * 1000 == pytest.approx(weight_k[1] * 100)
    assert weight_k[2] == pytest.approx(10 * weight_k[1])
    np.testing.assert_allclose(type_weights(n_k, balanced=False), 1)


# -- labels and ids --------------------------------------------------------------------------------------------------


def test_a_type_of_one_cell_is_kept_and_named_in_a_warning(reference: ad.AnnData, query: ad.AnnData) -> None:
    labels = reference.obs["cell_type"].astype(object).to_numpy().copy()
    labels[0] = "rare"
    with pytest.warns(UserWarning, match=r"fewer than 10 labelled cells.*rare \(1\)"):
        scores = reference_scores(query, reference, labels)
    assert "rare" in scores.types
    assert (scores.labels() == "rare").mean() < 0.05


def test_cells_without_a_label_are_left_out(reference: ad.AnnData, query: ad.AnnData) -> None:
    labels = reference.obs["cell_type"].astype(object).to_numpy().copy()
    labels[:5], labels[5:9] = None, [np.nan, "", " ", None]
    scores = reference_scores(query, reference, labels)
    assert scores.types == TYPES
    assert "reference: 9 cells have no label and were left out" in scores.about["notes"]


@pytest.mark.parametrize(
    ("labels", "words"),
    [("type", "no column 'type'.*cell_type"), (["a", "b"], "2 labels for 120 cells"), (["one"] * 120, "only 'one'")],
)
def test_labels_that_cannot_be_used_are_refused(
    reference: ad.AnnData, query: ad.AnnData, labels: Any, words: str
) -> None:
    with pytest.raises(OptionError, match=words):
        reference_scores(query, reference, labels)


def test_ids_come_from_the_user_then_from_the_file_then_from_the_name(reference: ad.AnnData) -> None:
    cells = reference.copy()
    ids = {"B cell": "CL:0000788", "T cell": "CL:0000624", "monocyte": "CL:0000860"}
    cells.obs["cell_type_ontology_term_id"] = cells.obs["cell_type"].map(ids).astype(object)
    cells.obs.loc[cells.obs_names[2], "cell_type_ontology_term_id"] = "CL:0002397"
    assert train_reference(cells).cl_ids == ("CL:0000788", "CL:0000624", "CL:0000576")
    assert train_reference(cells, cl_ids={"T cell": "CL:0000625"}).cl_ids == ("CL:0000236", "CL:0000625", "CL:0000576")
    with pytest.raises(OptionError, match="'T cell': 'T'"):
        train_reference(cells, cl_ids={"T cell": "T"})
    with pytest.raises(OptionError, match="no column 'ids'"):
        train_reference(cells, cl_ids="ids")


# -- what it refuses -------------------------------------------------------------------------------------------------


def test_sources_without_genes_in_common_are_refused(reference: ad.AnnData, classifier: ReferenceClassifier) -> None:
    other = made(20)
    other.var_names = [f"AT1G{i:05d}" for i in range(N_GENES)]
    with pytest.raises(GeneError, match="share 0 genes"):
        reference_scores(other, reference)
    with pytest.raises(GeneError, match="only 0 of the 120 genes"):
        classifier.scores(other)


def test_a_source_with_few_of_the_genes_is_warned_of(classifier: ReferenceClassifier, query: ad.AnnData) -> None:
    with pytest.warns(UserWarning, match="only 30 of the 120 genes"):
        scores = classifier.scores(query[:, :30].copy())
    assert any("only 30" in note for note in scores.about["notes"])


def test_a_cell_that_expresses_no_shared_gene_is_named(reference: ad.AnnData, query: ad.AnnData) -> None:
    x_ng = np.pad(query.X.toarray(), ((0, 0), (0, 1)))
    x_ng[4, :-1], x_ng[4, -1] = 0, 3
    odd = ad.AnnData(sp.csr_matrix(x_ng), obs=query.obs, var=pd.DataFrame(index=[*GENES, "only_here"]))
    with pytest.raises(MethodError, match="first: cell4; drop them"):
        reference_scores(odd, reference)
    learned = train_reference(odd, genes=GENES)
    assert learned.cells_k.sum() == query.n_obs - 1


def test_a_type_whose_cells_express_no_shared_gene_is_named(query: ad.AnnData) -> None:
    labels = query.obs["cell_type"].astype(object).to_numpy().copy()
    labels[4] = "odd"
    x_ng = np.pad(query.X.toarray(), ((0, 0), (0, 1)))
    x_ng[4, :-1], x_ng[4, -1] = 0, 3
    odd = ad.AnnData(sp.csr_matrix(x_ng), obs=query.obs, var=pd.DataFrame(index=[*GENES, "only_here"]))
    with pytest.raises(MethodError, match="no cell of type 'odd'"):
        train_reference(odd, labels, genes=GENES)


@pytest.mark.parametrize("option", [{"kind": "log"}, {"n_genes": 3}, {"C": 0}, {"C": np.nan}, {"max_cells": 1}])
def test_options_that_make_no_sense_are_refused(
    reference: ad.AnnData, query: ad.AnnData, option: dict[str, Any]
) -> None:
    with pytest.raises(OptionError):
        reference_scores(query, reference, **option)


# -- its file --------------------------------------------------------------------------------------------------------


def test_a_saved_classifier_scores_as_before(
    classifier: ReferenceClassifier, query: ad.AnnData, tmp_path: Path
) -> None:
    path = tmp_path / "pbmc.npz"
    classifier.save(path)
    loaded = ReferenceClassifier.load(path)
    assert (loaded.types, loaded.cl_ids, loaded.genes) == (classifier.types, classifier.cl_ids, classifier.genes)
    assert loaded.about == classifier.about
    np.testing.assert_array_equal(loaded.scores(query).values_nk, classifier.scores(query).values_nk)
    np.testing.assert_array_equal(reference_scores(query, loaded).values_nk, loaded.scores(query).values_nk)
    assert [file.name for file in tmp_path.iterdir()] == ["pbmc.npz"]
    with np.load(path, allow_pickle=False) as arrays:
        assert set(arrays) >= {"weights_kv", "genes"}


def test_a_write_that_fails_leaves_the_older_file(
    classifier: ReferenceClassifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "pbmc.npz"
    path.write_bytes(b"older")

    def full(file: Any, **arrays: Any) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(OutputError, match="No space left"):
        classifier.save(path)
    assert [file.name for file in tmp_path.iterdir()] == ["pbmc.npz"]
    assert path.read_bytes() == b"older"
    with pytest.raises(OutputError, match="no folder"):
        classifier.save(tmp_path / "missing" / "pbmc.npz")


def resaved(path: Path, **changed: Any) -> None:
    with np.load(path, allow_pickle=False) as arrays:
        parts = dict(arrays) | changed
    np.savez(path, **parts)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-200]),
        lambda path: path.write_bytes(b"no zip"),
        lambda path: resaved(path, weights_kv=np.array([{"an": "object"}], dtype=object)),
        lambda path: resaved(path, weights_kv=np.full((3, 120), np.nan, np.float32)),
        lambda path: resaved(path, types=np.array(["B", "T"])),
        lambda path: resaved(path, chosen_v=np.arange(120) + 1),
        lambda path: resaved(path, chosen_v=np.zeros(120, np.int64)),
        lambda path: resaved(path, sd_v=np.zeros(120)),
        lambda path: resaved(path, about=np.array('{"format": 99}')),
        lambda path: resaved(path, about=np.array("not JSON")),
        lambda path: path.unlink(),
    ],
)
def test_a_file_that_is_damaged_or_hostile_is_refused(
    classifier: ReferenceClassifier, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    path = tmp_path / "pbmc.npz"
    classifier.save(path)
    damage(path)
    with pytest.raises(SourceError, match=r"pbmc\.npz"):
        ReferenceClassifier.load(path)


def test_a_header_that_promises_more_than_there_is_takes_no_memory(
    classifier: ReferenceClassifier, tmp_path: Path
) -> None:
    path = tmp_path / "pbmc.npz"
    classifier.save(path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    small, large = b"(120,), }", b"(9999999999999,), }"
    header = members["sd_v.npy"]
    assert small in header
    members["sd_v.npy"] = header.replace(small + b" " * 10, large)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    with pytest.raises(SourceError, match="sd_v is truncated"):
        ReferenceClassifier.load(path)


def test_nothing_is_warned_of_where_all_is_well(reference: ad.AnnData, query: ad.AnnData) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        reference_scores(query, reference)
