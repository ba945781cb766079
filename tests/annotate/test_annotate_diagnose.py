"""What the diagnosis says of scores and graphs, and what a path over strengths shows and chooses."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pbmc68k
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from corpuscle.annotate.diagnose import compare, diagnose
from corpuscle.annotate.path import choose_lam, score_path
from corpuscle.annotate.refine import refine
from corpuscle.errors import OptionError, SourceError

TWO = ("A", "B")


def ring(n: int) -> sp.csr_matrix:
    """Each cell with the one before and the one after."""
    step_nn = sp.csr_matrix((np.ones(n), (np.arange(n), (np.arange(n) + 1) % n)), shape=(n, n))
    return (step_nn + step_nn.T).tocsr()


def onehot(labels: str | list[int], k: int = 2) -> np.ndarray:
    return np.eye(k)[[TWO.index(one) if isinstance(one, str) else one for one in labels]]


def test_homophily_is_the_share_of_weight_within_types():
    # A-A, A-B, B-B, B-A: two of four edges within a type, and each type half of all degrees.
    seen = diagnose(onehot("AABB"), ring(4), TWO)
    assert (seen.homophily, seen.chance_homophily) == (0.5, 0.5)
    assert seen.homophily_k.tolist() == [0.5, 0.5]
    assert seen.agreement == 0


def test_homophily_counts_weights_and_not_edges():
    weights_nn = sp.csr_matrix([[0, 3.0, 1], [3, 0, 0], [1, 0, 0]])
    seen = diagnose(onehot("AAB"), weights_nn, TWO)
    assert seen.homophily == pytest.approx(0.75)
    assert seen.homophily_k == pytest.approx([6 / 7, 0])


def test_entropy_is_none_for_certain_scores_and_full_for_equal_ones():
    assert diagnose(onehot("AABB"), ring(4), TWO).entropy == 0
    assert diagnose(np.full((4, 3), 1 / 3), ring(4), ("A", "B", "C")).entropy == pytest.approx(1)


def test_entropy_of_one_type_and_homophily_without_edges_do_not_exist():
    seen = diagnose(np.ones((3, 1)), sp.csr_matrix((3, 3)), ("A",))
    assert np.isnan([seen.entropy, seen.margin, seen.homophily]).all()
    assert any("3 of 3 cells have no neighbour" in line for line in seen.words())


def test_ties_blanks_and_parts_are_counted_and_said():
    values_nk = np.array([[0.0, 0], [1, 1], [2, 1], [1, 2], [1, 0]])
    graph_nn = sp.block_diag(
        [np.array([[0, 1.0], [1, 0]]), np.array([[0, 1.0], [1, 0]]), np.zeros((1, 1))], format="csr"
    )
    seen = diagnose(values_nk, graph_nn, TWO)
    assert (seen.n_blank, seen.n_tied, seen.n_isolated, seen.n_components) == (1, 2, 1, 3)
    words = " ".join(seen.words())
    assert "2 of 5 cells have no single highest score (1 have only zeros)" in words
    assert "1 of 5 cells have no neighbour" in words
    assert "falls into 2 parts" in words


def test_a_type_that_nobody_is_and_unequal_columns_are_said():
    values_nk = np.column_stack([np.tile([0.0, 10], 6), np.tile([1.0, 0.5], 6), np.full(12, -5.0)])
    words = " ".join(diagnose(values_nk, ring(12), ("big", "small", "never")).words())
    assert "no cell has its highest score in never" in words
    assert "the scores of big vary 20.0 times as much as those of small" in words


def test_real_scores_agree_with_their_graph_and_name_the_type_that_will_vanish():
    seen = diagnose(pbmc68k.asctb(), pbmc68k.umap_graph(), pbmc68k.TYPES)
    words = " ".join(seen.words())
    assert seen.homophily > 0.7 > 0.2 > seen.chance_homophily
    assert "NK (35%)" in words and "hardly agree" not in words
    assert seen.table()["cells"].sum() == 700


def test_a_graph_of_other_cells_is_suspected():
    order = np.random.default_rng(0).permutation(700)
    seen = diagnose(pbmc68k.canon(), pbmc68k.umap_graph()[order][:, order], pbmc68k.TYPES)
    assert any("hardly agree" in line for line in seen.words())


def test_a_graph_of_another_size_is_refused():
    with pytest.raises(SourceError, match="other cells"):
        diagnose(onehot("AAB"), ring(4), TWO)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60))
def test_changes_add_up(pairs):
    before_n, after_n = np.array(pairs).T
    changes = compare(before_n, after_n, "WXYZ")
    assert changes.n_changed == np.sum(before_n != after_n)
    assert changes.before_k.tolist() == np.bincount(before_n, minlength=4).tolist()
    assert changes.after_k.tolist() == np.bincount(after_n, minlength=4).tolist()
    assert changes.flows()["cells"].sum() == changes.n_changed
    assert set(changes.erased) <= set(changes.shrunk)


@pytest.mark.parametrize(
    "had, has, erased, shrunk",
    [(10, 2, False, True), (10, 1, True, True), (9, 0, False, False), (10, 5, False, False), (10, 4, False, True)],
)
def test_a_type_is_erased_from_ten_cells_on_when_it_loses_more_than_four_fifths(had, has, erased, shrunk):
    before_n = np.repeat([0, 1], [90, had])
    after_n = np.repeat([0, 1], [90 + had - has, has])
    changes = compare(before_n, after_n, ("many", "few"))
    assert changes.erased == (("few",) if erased else ())
    assert changes.shrunk == (("few",) if shrunk else ())
    assert any(line.startswith("few ") for line in changes.warnings()) == shrunk


def test_a_type_of_less_than_two_in_a_thousand_does_not_count():
    before_n = np.repeat([0, 1], [9_985, 15])
    assert compare(before_n, np.zeros(10_000, int), TWO).erased == ()
    assert compare(np.repeat([0, 1], [9_975, 25]), np.zeros(10_000, int), TWO).erased == ("B",)


def test_the_warning_says_where_the_cells_went():
    before_n = np.repeat([0, 1, 2], [50, 20, 30])
    after_n = np.repeat([0, 1, 2, 0], [50, 2, 40, 8])
    (line,) = compare(before_n, after_n, "XYZ").warnings()
    assert line == "Y is erased: 20 cells before, 2 after; 18 become Z"


def test_labels_of_other_cells_or_types_are_refused():
    with pytest.raises(OptionError, match="2 and of 3 cells"):
        compare(np.zeros(2, int), np.zeros(3, int), TWO)
    with pytest.raises(OptionError, match="from 0 to 1"):
        compare(np.array([0, 2]), np.array([0, 1]), TWO)


def test_a_path_has_the_measures_that_scikit_learn_has():
    lams, truth = (0, 1), pbmc68k.truth()
    path = score_path(pbmc68k.canon(), pbmc68k.umap_graph(), pbmc68k.TYPES, lams=lams, truth=truth)
    for lam in lams:
        best_n = refine(pbmc68k.canon(), pbmc68k.umap_graph(), lam=lam).argmax(axis=1)
        names = np.asarray(pbmc68k.TYPES)[best_n]
        one = path[path["lam"] == lam]
        whole = one[one["type"] == ""].set_index("measure")["value"]
        assert whole["accuracy"] == pytest.approx(accuracy_score(truth, names))
        assert whole["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(truth, names))
        assert whole["macro_f1"] == pytest.approx(f1_score(truth, names, average="macro"))
        f1 = one[one["measure"] == "f1"].set_index("type")["value"]
        assert f1[list(pbmc68k.TYPES)].tolist() == pytest.approx(
            f1_score(truth, names, average=None, labels=pbmc68k.TYPES)
        )
        cells = one[one["measure"] == "cells"].set_index("type")["value"]
        assert cells[list(pbmc68k.TYPES)].tolist() == np.bincount(best_n, minlength=7).tolist()
    assert path.query("measure == 'changed' and lam == 0")["value"].item() == 0


def test_cells_of_unknown_type_are_left_out_and_types_without_a_column_count():
    truth = ["A", None, "B", np.nan, "C"]
    path = score_path(onehot("AABBB"), ring(5), TWO, lams=[0], truth=truth).set_index(["measure", "type"])["value"]
    assert path["accuracy", ""] == pytest.approx(2 / 3)
    assert path["balanced_accuracy", ""] == pytest.approx(2 / 3)
    assert (path["f1", "A"], path["f1", "B"], path["f1", "C"]) == pytest.approx((1, 2 / 3, 0))
    assert path["macro_f1", ""] == pytest.approx(5 / 9)


def test_f1_of_a_type_that_nobody_has_or_gets_does_not_exist():
    path = score_path(onehot([0, 0, 1], 3), ring(3), ("A", "B", "C"), lams=[0], truth=["A", "A", "B"])
    f1 = path[path["measure"] == "f1"].set_index("type")["value"]
    assert np.isnan(f1["C"]) and f1["A"] == 1


@pytest.mark.parametrize("truth, error", [(["A"] * 3, SourceError), ([None] * 4, OptionError)])
def test_a_truth_of_other_cells_or_of_none_is_refused(truth, error):
    with pytest.raises(error, match="truth"):
        score_path(onehot("AABB"), ring(4), TWO, truth=truth)


def test_the_chosen_strength_is_the_largest_that_erases_nothing():
    lam, path = choose_lam(pbmc68k.asctb(), pbmc68k.umap_graph(), pbmc68k.TYPES)
    erased = path[path["measure"] == "erased"].set_index("lam")["value"]
    assert lam == 0.3
    assert erased.to_dict() == {0.1: 0, 0.3: 0, 1: 1, 3: 2, 10: 2}
    assert choose_lam(pbmc68k.canon(), pbmc68k.umap_graph(), pbmc68k.TYPES)[0] == 10


def test_the_choice_does_not_look_at_the_truth():
    wrong = pd.Series(pbmc68k.truth()).sample(frac=1, random_state=0)
    assert choose_lam(pbmc68k.canon(), pbmc68k.umap_graph(), pbmc68k.TYPES, truth=wrong)[0] == 10


def test_no_strength_is_chosen_where_all_do_harm():
    # A type whose cells are all among cells of the other: any smoothing that changes them erases it.
    values_nk = np.tile([1.0, 0], (60, 1))
    values_nk[::3] = [0.49, 0.5]
    assert choose_lam(values_nk, ring(60), TWO)[0] == 0.0
