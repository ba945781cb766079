"""Refinement of an AnnData: what goes in, what comes out, what a file keeps, and what is refused."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pbmc68k
import pytest
import scipy.sparse as sp

from corpuscle.annotate._door import read_scores_of, write_scores
from corpuscle.annotate.diagnose import diagnose
from corpuscle.annotate.neighbours import default_representation, umap_graph
from corpuscle.annotate.refine import refine
from corpuscle.annotate.refine_logits import refine_logits
from corpuscle.annotate.scores import Scores
from corpuscle.errors import MethodError, OptionError, SourceError

DATA = Path(os.environ.get("CORPUSCLE_DATA", Path(__file__).parents[3] / "shared" / "data"))
PUBLISHED = {"guard": False}


@pytest.fixture
def adata():
    """Fresh PBMCs with good scores under "canon"."""
    fresh = pbmc68k.cells().copy()
    fresh.obsm["canon"] = pd.DataFrame(pbmc68k.canon(), index=fresh.obs_names, columns=list(pbmc68k.TYPES))
    return fresh


@pytest.fixture
def biased(adata):
    """The same with scores of which the refinement as published makes a type vanish."""
    adata.obsm["asctb"] = pd.DataFrame(pbmc68k.asctb(), index=adata.obs_names, columns=list(pbmc68k.TYPES))
    return adata


def small(n: int = 40, **obsm: object) -> ad.AnnData:
    """Cells on a line with two types, one at each end."""
    at = np.linspace(-1, 1, n, dtype=np.float32)
    cells = ad.AnnData(np.zeros((n, 1), np.float32), obs=pd.DataFrame(index=[f"cell{i}" for i in range(n)]))
    cells.obsm["X_pca"] = np.column_stack([at, at**2])
    cells.obsm["s"] = pd.DataFrame(np.column_stack([-at, at]), index=cells.obs_names, columns=["left", "right"])
    for key, value in obsm.items():
        cells.obsm[key] = value
    return cells


def refined(cells: ad.AnnData, key: str = "s", **options: object) -> ad.AnnData:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        found = refine_logits(cells, key, copy=True, **{**PUBLISHED, "n_neighbors": 5, **options})
    assert found is not None
    return found


# -- what is written ------------------------------------------------------------------------------------------------


def test_the_published_method_is_what_the_arrays_give(adata):
    refine_logits(adata, "canon", **PUBLISHED)
    expected_nk = refine(pbmc68k.canon(), pbmc68k.umap_graph())
    table = adata.obsm["refined_logits"]
    assert list(table.columns) == list(pbmc68k.TYPES)
    assert set(table.dtypes) == {np.dtype(np.float32)}
    assert table.to_numpy() == pytest.approx(expected_nk, abs=1e-5)
    label = adata.obs["refined_label"]
    assert list(label.cat.categories) == list(pbmc68k.TYPES)
    assert (label.cat.codes.to_numpy() == expected_nk.argmax(axis=1)).all()
    assert (adata.obs["refined_changed"] == (expected_nk.argmax(axis=1) != pbmc68k.canon().argmax(axis=1))).all()
    two = np.sort(expected_nk, axis=1)[:, -2:]
    assert adata.obs["refined_margin"].to_numpy() == pytest.approx(two[:, 1] - two[:, 0], abs=1e-5)
    assert pbmc68k.accuracy(label.cat.codes.to_numpy()) == pytest.approx(0.833, abs=0.01)


def test_the_account_says_what_was_done(adata):
    refine_logits(adata, "canon", **PUBLISHED)
    said = adata.uns["refined"]
    assert said["params"]["use_rep"] == "X_pca" and "obsm['X_pca']" in said["graph"]
    assert said["strength"] == pytest.approx(np.median(np.asarray(pbmc68k.umap_graph().sum(axis=1))), rel=1e-5)
    assert said["converged"] and said["residual"] < 1e-4
    assert said["n_changed"] == adata.obs["refined_changed"].sum()
    assert said["cells_after"].tolist() == adata.obs["refined_label"].value_counts(sort=False).tolist()
    assert said["before"]["homophily"] < said["after"]["homophily"]
    assert (said["n_components"], said["n_isolated"]) == (1, 0)


def test_originals_and_the_neighbours_of_others_stay_as_they_are(adata):
    before = adata.copy()
    refine_logits(adata, "canon", **PUBLISHED)
    pd.testing.assert_frame_equal(adata.obsm["canon"], before.obsm["canon"])
    assert (adata.obsp["connectivities"] != before.obsp["connectivities"]).nnz == 0
    assert repr(adata.uns["neighbors"]) == repr(before.uns["neighbors"])
    assert "refined_neighbors" in adata.uns


def test_a_graph_that_lies_there_is_not_used_unasked(adata):
    adata.obsp["connectivities"] = adata.obsp["connectivities"][::-1].tocsr()
    refine_logits(adata, "canon", **PUBLISHED)
    assert pbmc68k.accuracy(adata.obs["refined_label"].cat.codes.to_numpy()) > 0.8


def test_the_graph_that_was_built_can_be_asked_for_again(adata):
    refine_logits(adata, "canon", **PUBLISHED)
    refine_logits(adata, "canon", neighbors_key="refined_neighbors", key_added="again", **PUBLISHED)
    assert (adata.obs["again_label"] == adata.obs["refined_label"]).all()
    assert "X_pca" in adata.uns["again"]["graph"]
    assert "again_neighbors" not in adata.uns


def test_copy_leaves_the_given_object_alone(adata):
    found = refine_logits(adata, "canon", copy=True, **PUBLISHED)
    assert "refined_label" in found.obs and "refined_label" not in adata.obs
    assert "refined_neighbors" not in adata.uns and "refined_neighbors_connectivities" not in adata.obsp


def test_two_runs_are_equal_bit_for_bit(adata):
    one, two = (refine_logits(adata, "canon", copy=True, **PUBLISHED) for _ in range(2))
    assert (one.obsm["refined_logits"].to_numpy() == two.obsm["refined_logits"].to_numpy()).all()


def test_a_view_becomes_an_object_of_its_own_and_says_so(adata):
    view = adata[:300]
    with pytest.warns(UserWarning, match="was a view"):
        refine_logits(view, "canon", **PUBLISHED)
    assert not view.is_view and "refined_label" in view.obs
    assert "refined_label" not in adata.obs
    assert any("was a view" in line for line in view.uns["refined"]["notes"])


def test_scores_that_lose_a_type_raise_a_warning_that_names_it(biased):
    with pytest.warns(UserWarning, match=r"erases NK \(40 cells before, 1 after\)"):
        refine_logits(biased, "asctb", **PUBLISHED)
    assert list(biased.uns["refined"]["erased"]) == ["NK"]
    assert any(line.startswith("NK is erased") for line in biased.uns["refined"]["warnings"])


def test_the_guard_is_on_and_keeps_what_the_published_method_erases(biased):
    with pytest.warns(UserWarning, match="as published erases NK"):
        refine_logits(biased, "asctb", lam=1)
    said = biased.uns["refined"]
    assert list(said["erased_published"]) == ["NK"] and list(said["erased"]) == []
    code_n = biased.obs["refined_label"].cat.codes.to_numpy()
    assert (code_n == biased.obsm["refined_logits"].to_numpy().argmax(axis=1)).all()
    assert pbmc68k.macro_f1(code_n) > pbmc68k.macro_f1(pbmc68k.asctb().argmax(axis=1)) - 0.01
    assert said["guard"]["words"].size


def test_strength_that_is_not_given_is_one_as_published_and_by_need_with_guards(biased):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        refine_logits(biased, "asctb", guard=False)
        published = biased.uns["refined"]["lam"]
        refine_logits(biased, "asctb")
    agreement = diagnose(pbmc68k.asctb(), pbmc68k.umap_graph(), pbmc68k.TYPES).agreement
    assert published == 1.0
    assert biased.uns["refined"]["lam"] == pytest.approx(1 - agreement, abs=0.02)
    assert 0.2 < biased.uns["refined"]["lam"] < 0.4


# -- options --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("guard", [False, True])
def test_no_smoothing_returns_the_scores_bit_for_bit(guard):
    cells = small()
    cells.obsm["s"] = cells.obsm["s"].astype(np.float32)
    found = refined(cells, lam=0, guard=guard)
    assert (found.obsm["refined_logits"].to_numpy() == cells.obsm["s"].to_numpy()).all()
    assert not found.obs["refined_changed"].any()


def test_automatic_strength_keeps_its_path(biased):
    refine_logits(biased, "asctb", lam="auto", **PUBLISHED)
    said = biased.uns["refined"]
    assert said["lam"] == 0.3 and said["params"]["lam"] == "auto"
    assert said["path"]["lam"].tolist() == [0.1, 0.3, 1, 3, 10]
    assert said["path"]["erased"].tolist() == [0, 0, 1, 2, 2]
    assert (said["path"]["cells"].sum(axis=1) == 700).all()


def test_a_gate_refines_only_the_least_certain_and_keeps_the_other_rows(adata):
    found = refine_logits(adata, "canon", gate=0.25, copy=True, **PUBLISHED)
    after_nk, before_nk = found.obsm["refined_logits"].to_numpy(), pbmc68k.canon().astype(np.float32)
    touched_n = (after_nk != before_nk).any(axis=1)
    assert touched_n.sum() == 175
    p_nk = np.exp(pbmc68k.canon()) / np.exp(pbmc68k.canon()).sum(axis=1, keepdims=True)
    entropy_n = -(p_nk * np.log(p_nk)).sum(axis=1)
    assert entropy_n[touched_n].min() >= entropy_n[~touched_n].max()
    everything = refine_logits(adata, "canon", gate=1.0, copy=True, **PUBLISHED)
    assert (everything.obs["refined_label"] == refined(adata, "canon", n_neighbors=15).obs["refined_label"]).all()


def test_fidelity_none_takes_everything_from_neighbours_and_much_keeps_the_cell():
    cells = small()
    wrong = cells.obsm["s"].to_numpy().copy()
    wrong[5] = [-9, 9]
    cells.obsm["s"] = wrong
    cells.obs["trust"] = np.where(np.arange(40) == 5, 0.0, 1.0)
    names = {"class_names": ["left", "right"]}
    assert refined(cells, fidelity="trust", **names).obs["refined_label"].iloc[5] == "left"
    assert (
        refined(cells, fidelity=np.where(np.arange(40) == 5, 1e6, 1.0), **names).obs["refined_label"].iloc[5] == "right"
    )
    shuffled = cells.obs["trust"].sample(frac=1, random_state=0)
    assert (
        refined(cells, fidelity=shuffled, **names).obs["refined_label"]
        == refined(cells, fidelity="trust", **names).obs["refined_label"]
    ).all()


def test_cells_with_a_small_margin_are_unassigned_only_on_request():
    cells = small()
    assert "unassigned" not in refined(cells).obs["refined_label"].cat.categories
    found = refined(cells, unassigned=0.5)
    low = found.obs["refined_margin"] < 0.5
    assert low.any() and not low.all()
    assert ((found.obs["refined_label"] == "unassigned") == low).all()
    assert list(found.obs["refined_label"].cat.categories) == ["left", "right", "unassigned"]


def test_confidence_is_the_probability_of_the_label():
    shares = np.column_stack([np.linspace(0, 1, 40), np.linspace(1, 0, 40)])
    found = refined(small(s=shares), class_names=["a", "b"])
    expected = found.obsm["refined_logits"].to_numpy().max(axis=1)
    assert found.obs["refined_confidence"].to_numpy() == pytest.approx(expected, abs=1e-5)


def test_a_transform_changes_what_is_smoothed_and_not_what_change_is_counted_from(biased):
    found = refine_logits(biased, "asctb", transform="zscore", copy=True, **PUBLISHED)
    assert pbmc68k.macro_f1(found.obs["refined_label"].cat.codes.to_numpy()) == pytest.approx(0.736, abs=0.01)
    start_n = pbmc68k.asctb().argmax(axis=1)
    assert (found.obs["refined_changed"] == (found.obs["refined_label"].cat.codes.to_numpy() != start_n)).all()


def test_one_type_is_trivial_and_says_so():
    cells = small(s=pd.DataFrame({"only": np.ones(40)}, index=[f"cell{i}" for i in range(40)]))
    with pytest.warns(UserWarning, match="one type, only"):
        refine_logits(cells, "s", n_neighbors=5)
    assert set(cells.obs["refined_label"]) == {"only"}
    assert cells.obs["refined_margin"].isna().all()


def test_sparse_and_integer_scores_are_taken():
    onehot = np.eye(2, dtype=np.int64)[np.repeat([0, 1], 20)]
    names = {"class_names": ("a", "b")}
    dense = refined(small(s=onehot), **names).obsm["refined_logits"]
    assert (refined(small(s=sp.csr_matrix(onehot)), **names).obsm["refined_logits"] == dense).all(axis=None)


def test_rows_of_zeros_and_isolated_cells_are_reported_and_stay():
    cells = small()
    values = cells.obsm["s"].to_numpy().copy()
    values[3] = 0
    graph = umap_graph(cells.obsm["X_pca"], 5).tolil()
    graph[7, :] = 0
    graph[:, 7] = 0
    cells.obsm["s"] = pd.DataFrame(values, index=cells.obs_names, columns=["left", "right"])
    cells.obsp["mine"] = graph.tocsr()
    cells.uns["mine"] = {"connectivities_key": "mine", "params": {}}
    found = refined(cells, neighbors_key="mine")
    assert found.uns["refined"]["n_isolated"] == 1 and found.uns["refined"]["before"]["n_blank"] == 1
    assert (found.obsm["refined_logits"].iloc[7].to_numpy() == values[7].astype(np.float32)).all()
    assert found.obs["refined_label"].iloc[3] == "left"
    words = " ".join(found.uns["refined"]["notes"])
    assert "1 have only zeros" in words and "1 of 40 cells have no neighbour" in words


def test_a_graph_that_is_not_symmetric_is_averaged_and_says_so():
    cells = small()
    cells.obsp["mine"] = sp.triu(umap_graph(cells.obsm["X_pca"], 5)).tocsr()
    cells.uns["mine"] = {"connectivities_key": "mine"}
    found = refined(cells, neighbors_key="mine")
    assert any("not symmetric" in line for line in found.uns["refined"]["notes"])


# -- names of types, files, plots -----------------------------------------------------------------------------------


AWKWARD = ["CD4+/CD25 T Reg", "B cell", 'α "β" <b>']


def test_everything_survives_a_file_whatever_the_types_are_called(tmp_path):
    names = AWKWARD
    values = np.random.default_rng(0).normal(size=(40, 3))
    found = refined(small(s=values), class_names=names, lam="auto", unassigned=0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found.write_h5ad(tmp_path / "refined.h5ad")
        again = ad.read_h5ad(tmp_path / "refined.h5ad")
    for column in ("label", "confidence", "margin", "changed"):
        pd.testing.assert_series_equal(
            again.obs[f"refined_{column}"], found.obs[f"refined_{column}"], check_categorical=True
        )
    assert list(again.obs["refined_label"].cat.categories) == [*names, "unassigned"]
    scores = read_scores_of(again, "refined_logits")
    assert scores.types == tuple(names)
    assert (scores.values_nk == read_scores_of(found, "refined_logits").values_nk).all()
    said, kept = found.uns["refined"], again.uns["refined"]
    assert set(said) == set(kept) and set(said["params"]) == set(kept["params"])
    assert kept["types"].tolist() == names
    assert kept["before"]["cells"].tolist() == said["before"]["cells"].tolist()
    assert (again.obsp["refined_neighbors_connectivities"] != found.obsp["refined_neighbors_connectivities"]).nnz == 0


def test_scanpy_draws_the_labels(adata):
    import matplotlib as mpl

    mpl.use("Agg")
    import scanpy as sc

    refine_logits(adata, "canon", unassigned=0.2, **PUBLISHED)
    axis = sc.pl.umap(adata, color="refined_label", show=False)
    assert {text.get_text() for text in axis.get_legend().get_texts()} == {*pbmc68k.TYPES, "unassigned"}


def test_scores_come_back_as_they_went_in():
    cells = small()
    scores = Scores(
        np.arange(120.0).reshape(40, 3),
        AWKWARD,
        cl_ids=("CL:0000815", None, "CL:0000236"),
        source="markers",
        about={"genes": {"CD4+/CD25 T Reg": ["FOXP3"]}, "left_out": [], "n": np.int64(3), "none": None},
    )
    write_scores(cells, scores, "marked")
    back = read_scores_of(cells, "marked")
    assert (back.values_nk == scores.values_nk).all()
    assert (back.types, back.cl_ids, back.source) == (scores.types, scores.cl_ids, "markers")
    assert back.about == {"genes": {"CD4+/CD25 T Reg": ["FOXP3"]}, "left_out": [], "n": 3, "none": None}


def test_scores_that_name_their_cells_are_matched_by_name():
    cells, order = small(), np.random.default_rng(1).permutation(40)
    values = np.column_stack([np.arange(40.0), np.zeros(40)])
    scores = Scores(values[order], ("a", "b"), cells=cells.obs_names.to_numpy()[order])
    with pytest.warns(UserWarning, match="another order"):
        write_scores(cells, scores, "mine")
    assert cells.obsm["mine"]["a"].tolist() == values[:, 0].tolist()


def test_scores_of_other_cells_are_refused():
    cells = small()
    with pytest.raises(SourceError, match="39 cells for 40"):
        write_scores(cells, Scores(np.ones((39, 2)), ("a", "b")), "mine")
    names = cells.obs_names.to_numpy(dtype=object).copy()
    names[4] = "stranger"
    with pytest.raises(SourceError, match=r"other cells: no scores for 1 of 40 cells \(first: cell4\)"):
        write_scores(cells, Scores(np.ones((40, 2)), ("a", "b"), cells=names), "mine")


def test_a_table_with_permuted_rows_is_matched_by_name():
    cells = small()
    straight = refined(cells)
    shuffled = cells.obsm["s"].sample(frac=1, random_state=0)
    with pytest.warns(UserWarning, match="another order"):
        write_scores(cells, shuffled, "shuffled")
    assert (refined(cells, "shuffled").obs["refined_label"] == straight.obs["refined_label"]).all()


# -- what is refused ------------------------------------------------------------------------------------------------


def nan_at(rows: list[int]) -> np.ndarray:
    values = np.ones((40, 2))
    values[rows, 1] = np.nan
    return values


TWO = {"class_names": ["a", "b"]}


@pytest.mark.parametrize(
    "cells, options, error, line",
    [
        (small(), {"key": "nope"}, OptionError, r"obsm has no scores 'nope'; it has: X_pca, s"),
        (small(s=nan_at([7, 9])), TWO, SourceError, r"2 of 40 cells .*\(cells 7, 9\)"),
        (small(s=np.ones((40, 2))), {}, OptionError, "no names for its columns; give class_names"),
        (small(s=np.ones((40, 2))), {"class_names": ["a"]}, SourceError, "2 columns for 1 types"),
        (small(s=np.ones((40, 2))), {"class_names": ["a", "a"]}, OptionError, "'a' is named twice"),
        (small(s=np.ones((40, 2))), {"class_names": ["a", " "]}, OptionError, "type 1 has no name"),
        (small(), {"n_neighbors": 40}, OptionError, "n_neighbors=40 for 40 cells"),
        (small(), {"n_neighbors": 1}, OptionError, "n_neighbors=1"),
        (small(), {"lam": -1}, OptionError, "lam=-1"),
        (small(), {"lam": np.nan}, OptionError, "lam=nan"),
        (small(), {"lam": "best"}, OptionError, "lam='best'"),
        (small(), {"laplacian": "cubic"}, OptionError, "cubic"),
        (small(), {"solver": "guess"}, OptionError, "guess"),
        (small(), {"transform": "sqrt"}, OptionError, "sqrt"),
        (small(), {"transform": "log"}, MethodError, "negative"),
        (small(), {"gate": 0}, OptionError, "gate=0"),
        (small(), {"gate": 1.5}, OptionError, "gate=1.5"),
        (small(), {"unassigned": -1}, OptionError, "unassigned=-1"),
        (small(s=np.ones((40, 2))), {"class_names": ["a", "unassigned"], "unassigned": 1}, OptionError, "rename it"),
        (small(), {"neighbors_key": "mine"}, OptionError, "uns has no neighbours 'mine'; it has: none"),
        (small(), {"use_rep": "X_scvi"}, OptionError, "no representation 'X_scvi'; it has: X_pca, s"),
        (small(X_pca=np.full((40, 2), np.nan)), {}, SourceError, "40 of 40 cells have a NaN"),
        (small(), {"fidelity": "trust"}, OptionError, "obs has no column 'trust'"),
        (small(), {"fidelity": np.ones(39)}, OptionError, r"\(39,\) for 40 cells"),
        (small(), {"fidelity": -np.ones(40)}, OptionError, "negative"),
        (small(), {"fidelity": ["x"] * 40}, OptionError, "not all values are numbers"),
        (small(), {"fidelity": pd.Series(np.ones(40))}, SourceError, "a Series of other cells"),
        (small(), {"key_added": "a/b"}, OptionError, "without a slash"),
        (small(), {"key_added": "s"}, OptionError, "would overwrite the scores 's'"),
    ],
)
def test_bad_input_is_one_line_and_changes_nothing(cells, options, error, line):
    options = dict(options)
    before = cells.copy()
    with pytest.raises(error, match=line) as caught:
        refine_logits(cells, options.pop("key", "s"), **{**PUBLISHED, "n_neighbors": 5, **options})
    assert "\n" not in str(caught.value)
    assert list(cells.obs) == list(before.obs) and set(cells.uns) == set(before.uns)
    assert set(cells.obsm) == set(before.obsm) and set(cells.obsp) == set(before.obsp)


def test_with_a_shuffled_graph_the_guard_leaves_the_scores_alone(adata):
    order = np.random.default_rng(0).permutation(700)
    adata.obsp["shuffled"] = pbmc68k.umap_graph()[order][:, order]
    adata.uns["shuffled"] = {"connectivities_key": "shuffled"}
    refine_logits(adata, "canon", neighbors_key="shuffled")
    assert not adata.obs["refined_changed"].any()
    assert any("hardly agree" in line for line in adata.uns["refined"]["notes"])


def test_a_refinement_may_replace_itself_and_nothing_else():
    cells = small()
    cells.uns["pca"] = {"variance": np.ones(2)}
    for _ in range(2):
        refine_logits(cells, "s", n_neighbors=5, **PUBLISHED)
    with pytest.raises(OptionError, match="is no refinement"):
        refine_logits(cells, "s", n_neighbors=5, key_added="pca", **PUBLISHED)
    with pytest.raises(OptionError, match="would overwrite"):
        refine_logits(cells, "refined_logits", n_neighbors=5, **PUBLISHED)


def test_neighbours_without_their_matrix_or_with_bad_weights_are_refused():
    cells = small()
    cells.uns["mine"] = {"connectivities_key": "lost", "params": {}}
    with pytest.raises(OptionError, match="obsp has no 'lost'"):
        refine_logits(cells, "s", neighbors_key="mine")
    cells.obsp["lost"] = sp.csr_matrix(-np.eye(40)[::-1])
    with pytest.raises(SourceError, match="negative"):
        refine_logits(cells, "s", neighbors_key="mine")


def test_a_backed_object_is_refined_in_place_and_not_copied(tmp_path):
    small().write_h5ad(tmp_path / "cells.h5ad")
    cells = ad.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    refine_logits(cells, "s", n_neighbors=5, **PUBLISHED)
    assert "refined_label" in cells.obs and cells.isbacked
    with pytest.raises(OptionError, match="to_memory"):
        refine_logits(cells, "s", n_neighbors=5, copy=True, **PUBLISHED)
    cells.file.close()


# -- the representation ---------------------------------------------------------------------------------------------


def test_without_components_or_counts_the_way_out_is_named():
    cells = small()
    cells.X = np.full((40, 1), 0.5, np.float32)
    del cells.obsm["X_pca"]
    with pytest.raises(OptionError, match=r"run scanpy.pp.pca, or give use_rep or neighbors_key \(X: "):
        refine_logits(cells, "s", n_neighbors=5, **PUBLISHED)


def poisson(n: int = 120, g: int = 60) -> ad.AnnData:
    rng = np.random.default_rng(0)
    mean = np.where((np.arange(n)[:, None] < n // 2) == (np.arange(g) < g // 2), 8.0, 2.0)
    cells = ad.AnnData(sp.csr_matrix(rng.poisson(mean).astype(np.float32)))
    cells.obsm["s"] = pd.DataFrame(rng.normal(size=(n, 2)), index=cells.obs_names, columns=["a", "b"])
    return cells


def test_components_are_made_from_counts_wherever_these_are():
    cells = poisson()
    found = refine_logits(cells, "s", copy=True, **PUBLISHED)
    assert found.obsm["refined_pca"].shape == (120, 50) and "X_pca" not in found.obsm
    assert "obsm['refined_pca']" in found.uns["refined"]["graph"]
    cells.layers["counts"] = cells.X.copy()
    cells.X = np.log1p(cells.X)
    layered = refine_logits(cells, "s", copy=True, **PUBLISHED)
    assert (layered.obsm["refined_pca"] == found.obsm["refined_pca"]).all()
    assert any("layers['counts']" in line for line in layered.uns["refined"]["notes"])


def test_an_empty_cell_has_no_place_among_neighbours():
    cells = poisson()
    counts = cells.X.toarray()
    counts[17] = 0
    cells.X = sp.csr_matrix(counts)
    with pytest.raises(MethodError, match="cell 17 has no count"):
        default_representation(cells)


def test_the_representation_is_that_of_scanpy():
    path = DATA / "pbmc" / "pbmc3k.h5ad"
    if not path.exists():
        pytest.skip(f"needs {path.name} of the shared data (CORPUSCLE_DATA)")
    import scanpy as sc

    cells = ad.read_h5ad(path)[:600].copy()
    ours_nd = default_representation(cells, n_top_genes=500, n_comps=20)
    sc.pp.normalize_total(cells, target_sum=1e4)
    sc.pp.log1p(cells)
    sc.pp.highly_variable_genes(cells, n_top_genes=500, subset=True)
    sc.pp.scale(cells, max_value=10)
    theirs_nd = sc.pp.pca(cells.X, n_comps=20, svd_solver="arpack")
    for ours_n, theirs_n in zip(ours_nd.T, theirs_nd.T, strict=True):
        assert abs(np.corrcoef(ours_n, theirs_n)[0, 1]) > 0.999


def test_the_graph_is_that_of_scanpy(adata):
    import scanpy as sc

    sc.pp.neighbors(adata, n_neighbors=15, use_rep="X_pca")
    assert (pbmc68k.umap_graph() != adata.obsp["connectivities"]).nnz == 0


def test_a_graph_of_many_cells_is_built_too():
    rng = np.random.default_rng(0)
    centre_kd = rng.normal(size=(20, 8)) * 10
    x_nd = (np.repeat(centre_kd, 450, axis=0) + rng.normal(size=(9_000, 8))).astype(np.float32)
    weights_nn = umap_graph(x_nd, 15, seed=1)
    degree_n = np.asarray(weights_nn.sum(axis=1)).ravel()
    within = weights_nn.tocoo()
    assert weights_nn.shape == (9_000, 9_000) and weights_nn.dtype == np.float32
    assert degree_n.min() >= np.log2(15) - 0.01
    assert np.mean(within.row // 450 == within.col // 450) > 0.99
    assert (weights_nn != umap_graph(x_nd, 15, seed=1)).nnz == 0
