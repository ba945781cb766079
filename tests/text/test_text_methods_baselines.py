from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import softmax
from text_shown import CL_IDS, shown

from corpuscle.benchmarks.text.methods import checked_scores, parse_method
from corpuscle.errors import MethodError

LEFT = ("CD19+ B",)


@pytest.fixture(scope="module")
def cells():
    return shown()


@pytest.fixture(scope="module")
def without_b():
    return shown(left_out=LEFT)


def scores(method, given, texts=None, seed=0):
    made = parse_method(method) if isinstance(method, str) else method
    scorer = made(given, "pca" if made.needs_vectors else None, seed)
    found = scorer.score(given.types if texts is None else texts, given.types)
    return checked_scores(found, (len(given.test_types), len(given.types)), made.name), scorer


def test_logistic_is_that_of_scikit_learn(cells):
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    found_mk, scorer = scores("logistic:C=0.1", cells)
    by_hand = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=5000))
    by_hand.fit(cells.vectors_nd["train"].astype(float), cells.train_types)
    place = [cells.types.index(name) for name in by_hand.classes_]
    np.testing.assert_allclose(
        found_mk[:, place], by_hand.predict_proba(cells.vectors_nd["test"].astype(float)), atol=1e-6
    )
    assert scorer.scale is None and scorer.notes == ()


def test_logistic_says_where_the_solver_stopped_early(cells):
    _, scorer = scores("logistic:max_iter=2", cells)
    assert scorer.notes == ("logistic:max_iter=2@pca: not converged after 2 steps",)


def test_a_classifier_knows_the_type_that_is_meant_and_not_the_words(cells):
    for name in ("logistic", "centroid", "majority"):
        np.testing.assert_array_equal(scores(name, cells)[0], scores(name, cells, ["?"] * len(cells.types))[0])


def test_types_that_training_never_saw_are_unsaid_or_have_no_share(without_b):
    place = without_b.types.index(LEFT[0])
    for name in ("logistic", "centroid"):
        found_mk, _ = scores(name, without_b)
        assert np.isnan(found_mk[:, place]).all() and np.isfinite(np.delete(found_mk, place, axis=1)).all()
    assert (scores("majority", without_b)[0][:, place] == 0).all()


@pytest.mark.parametrize("name", ["logistic", "centroid", "majority"])
def test_a_type_without_words_is_not_scored(cells, name):
    texts = [None, *cells.types[1:]]
    found_mk, _ = scores(name, cells, texts)
    assert np.isnan(found_mk[:, 0]).all() and np.isfinite(found_mk[:, 1:]).all()


def test_majority_gives_every_cell_the_shares_of_training(cells):
    found_mk, scorer = scores("majority", cells)
    shares = [np.mean(np.asarray(cells.train_types) == name) for name in cells.types]
    np.testing.assert_allclose(found_mk, np.tile(shares, (len(cells.test_types), 1)))
    assert scorer.scale is None and scorer.cells is None


def test_centroid_is_the_posterior_of_round_clouds_of_one_size(cells):
    found_mk, scorer = scores("centroid", cells)
    train_nd, test_md = (cells.vectors_nd[part].astype(float) for part in ("train", "test"))
    truth_n = np.asarray(cells.train_types)
    means = {name: train_nd[truth_n == name].mean(axis=0) for name in set(cells.train_types)}
    within = np.mean([(x_d - means[name]) ** 2 for x_d, name in zip(train_nd, truth_n, strict=True)])
    density_mk = np.stack(
        [np.exp(-((test_md - means[name]) ** 2).sum(axis=1) / (2 * within)) for name in cells.types], axis=1
    )
    np.testing.assert_allclose(
        softmax(found_mk * scorer.scale, axis=1), density_mk / density_mk.sum(axis=1, keepdims=True), atol=1e-9
    )


def test_centroids_of_single_cells_are_finite():
    small = shown()
    names = list(dict.fromkeys(small.train_types))
    first = [small.train_types.index(name) for name in names]
    small.train_types = tuple(names)
    small.vectors_nd["train"] = small.vectors_nd["train"][first]
    found_mk, _ = scores("centroid", small)
    known = [name in names for name in small.types]
    assert np.isfinite(found_mk[:, known]).all()


def test_one_type_cannot_be_learnt_and_that_is_said(cells):
    only = replace(cells, train_types=("B",) * len(cells.train_types))
    with pytest.raises(MethodError, match="one type"):
        scores("logistic", only)


def test_cells_are_given_for_the_comparison_of_cells(cells):
    for name in ("logistic", "centroid"):
        train_nd, test_md = scores(name, cells)[1].cells
        assert train_nd.shape == (300, 20) and test_md.shape == (100, 20)


def test_markers_judge_types_with_an_id_and_name_the_others(cells):
    found_mk, scorer = scores("markers", cells)
    said = {name for name, score_m in zip(cells.types, found_mk.T, strict=True) if np.isfinite(score_m).all()}
    assert said == set(CL_IDS)
    assert any("types without markers, so not judged" in note and "CD34+" in note for note in scorer.notes)
    asked = [name for name in cells.types if name in CL_IDS]
    judged = np.isin(cells.test_types, asked)
    best = np.asarray(cells.types)[np.nan_to_num(found_mk, nan=-np.inf).argmax(axis=1)]
    assert np.mean(best[judged] == np.asarray(cells.test_types)[judged]) > 0.8


def test_markers_do_not_look_at_training_cells(cells):
    before, _ = scores("markers", cells)
    other = replace(cells, captions=cells.captions[::-1], train_types=cells.train_types[::-1], rows=None)
    np.testing.assert_array_equal(scores("markers", other)[0], before)


def test_markers_without_any_id_say_so(cells):
    with pytest.raises(MethodError, match="no type has a Cell Ontology id"):
        scores("markers", replace(cells, cl_ids=dict.fromkeys(cells.types)))


def test_markers_of_a_table_of_ones_own(cells, tmp_path):
    table = tmp_path / "mine.tsv"
    table.write_text("type\tgene\nCD19+ B\tCD79A\nCD19+ B\tMS4A1\nDendritic\tFCER1A\nDendritic\tCST3\n")
    found_mk, _ = scores(f"markers:table={table}", cells)
    said = {name for name, score_m in zip(cells.types, found_mk.T, strict=True) if np.isfinite(score_m).all()}
    assert said == {"CD19+ B", "Dendritic"}
