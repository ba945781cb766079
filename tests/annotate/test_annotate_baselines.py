"""Votes and spreading: what each cell is given, the figures they are known to reach, and what they must equal."""

from __future__ import annotations

import numpy as np
import pbmc68k
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from corpuscle.annotate.baselines import (
    gated_knn,
    knn_vote,
    label_spreading,
    majority_vote,
    overclustering_resolution,
    propagate,
    uncertainty,
)
from corpuscle.errors import OptionError, SourceError


def path_of(n: int, isolated: int = 0) -> sp.csr_matrix:
    """Cells in a row, each joined to the next; then cells without an edge."""
    edges = np.arange(n - 1)
    half = sp.coo_matrix((np.ones(n - 1), (edges, edges + 1)), shape=(n + isolated, n + isolated))
    return (half + half.T).tocsr()


@st.composite
def problems(draw):
    """Scores of some cells, and a random graph of them, with isolated cells here and there."""
    n, k = draw(st.integers(3, 40)), draw(st.integers(2, 5))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    weights = sp.random(n, n, draw(st.floats(0.02, 0.4)), random_state=rng, format="csr")
    weights.setdiag(0)
    weights.eliminate_zeros()
    return rng.normal(size=(n, k)), (weights + weights.T).tocsr()


# -- known figures -----------------------------------------------------------------------------------------------


def test_majority_vote_reaches_its_known_figures_on_good_markers():
    votes = [majority_vote(pbmc68k.canon().argmax(1), pbmc68k.umap_graph(), seed=seed).best_n for seed in range(20)]
    accuracy = np.array([pbmc68k.accuracy(best_n) for best_n in votes])
    assert accuracy.mean() == pytest.approx(0.784, abs=0.02)
    assert accuracy.min() > 0.74 and accuracy.max() < 0.83
    assert np.mean([pbmc68k.macro_f1(best_n) for best_n in votes]) == pytest.approx(0.749, abs=0.02)


@pytest.mark.parametrize(("resolution", "accuracy", "macro_f1"), [(2.0, 0.761, 0.703), (10.0, 0.778, 0.735)])
def test_other_resolutions_reach_theirs(resolution, accuracy, macro_f1):
    best_n, graph = pbmc68k.canon().argmax(1), pbmc68k.umap_graph()
    votes = [majority_vote(best_n, graph, resolution=resolution, seed=seed).best_n for seed in range(20)]
    assert np.mean([pbmc68k.accuracy(one) for one in votes]) == pytest.approx(accuracy, abs=0.02)
    assert np.mean([pbmc68k.macro_f1(one) for one in votes]) == pytest.approx(macro_f1, abs=0.02)


def test_majority_vote_on_biased_markers_keeps_the_rare_types():
    best_n = pbmc68k.asctb().argmax(1)
    votes = [majority_vote(best_n, pbmc68k.umap_graph(), seed=seed).best_n for seed in range(20)]
    assert np.mean([pbmc68k.accuracy(one) for one in votes]) == pytest.approx(0.779, abs=0.02)
    assert np.mean([pbmc68k.macro_f1(one) for one in votes]) == pytest.approx(0.742, abs=0.02)


def test_three_steps_of_spreading_reach_their_known_figures():
    best_n = propagate(pbmc68k.canon(), pbmc68k.umap_graph()).argmax(1)
    assert pbmc68k.accuracy(best_n) == pytest.approx(0.734, abs=0.01)
    assert pbmc68k.macro_f1(best_n) == pytest.approx(0.684, abs=0.01)


def test_three_steps_of_spreading_reach_their_known_figures_on_biased_markers():
    best_n = propagate(pbmc68k.asctb(), pbmc68k.umap_graph()).argmax(1)
    assert pbmc68k.accuracy(best_n) == pytest.approx(0.741, abs=0.01)
    assert pbmc68k.macro_f1(best_n) == pytest.approx(0.680, abs=0.01)


def test_votes_of_neighbours_help_on_real_cells():
    own = pbmc68k.canon().argmax(1)
    before = pbmc68k.accuracy(own)
    assert pbmc68k.accuracy(knn_vote(own, pbmc68k.umap_graph()).best_n) > before + 0.04
    assert pbmc68k.accuracy(gated_knn(pbmc68k.canon(), pbmc68k.umap_graph()).best_n) > before + 0.04


# -- clusters ----------------------------------------------------------------------------------------------------


def test_clusters_are_those_of_scanpy():
    import scanpy as sc

    cells = pbmc68k.cells().copy()
    sc.tl.leiden(
        cells, resolution=5, flavor="igraph", n_iterations=2, directed=False, random_state=3,
        adjacency=pbmc68k.umap_graph(), key_added="over",
    )  # fmt: skip
    best_n = pbmc68k.canon().argmax(1)
    ours = majority_vote(best_n, pbmc68k.umap_graph(), seed=3)
    theirs = majority_vote(best_n, pbmc68k.umap_graph(), clusters=cells.obs["over"])
    np.testing.assert_array_equal(ours.best_n, theirs.best_n)
    np.testing.assert_array_equal(ours.share_n, theirs.share_n)


def test_a_seed_repeats_and_leaves_the_process_wide_numbers_alone():
    import random

    best_n, graph = pbmc68k.canon().argmax(1), pbmc68k.umap_graph()
    random.seed(1)
    expected = random.random()
    random.seed(1)
    one, again = (majority_vote(best_n, graph, seed=5).best_n for _ in range(2))
    assert random.random() == expected
    np.testing.assert_array_equal(one, again)


@pytest.mark.parametrize(
    ("n", "resolution"),
    [(4_999, 5), (5_000, 10), (19_999, 10), (20_000, 15), (40_000, 20), (100_000, 25), (199_999, 25), (200_000, 30)],
)
def test_resolution_rises_with_the_number_of_cells(n, resolution):
    assert overclustering_resolution(n) == resolution


def test_a_cluster_takes_its_most_frequent_type_and_the_first_of_equal_ones():
    vote = majority_vote([2, 2, 0, 1, 3, 3, 1], path_of(7), clusters=["a", "a", "a", "b", "b", "c", "c"])
    assert vote.best_n.tolist() == [2, 2, 2, 1, 1, 1, 1]
    assert vote.share_n == pytest.approx([2 / 3, 2 / 3, 2 / 3, 1 / 2, 1 / 2, 1 / 2, 1 / 2])


# -- neighbours --------------------------------------------------------------------------------------------------


def test_neighbours_outvote_a_cell_and_a_tie_changes_nothing():
    own = [0, 1, 0, 2, 1]
    assert knn_vote(own, path_of(5)).best_n.tolist() == [0, 0, 0, 2, 1], "own vote counts 1: only cell 1 is outvoted"
    assert knn_vote(own, path_of(5), own_weight=0).best_n.tolist() == [1, 0, 1, 0, 2]


def test_an_isolated_cell_keeps_its_type_and_says_that_nobody_voted():
    vote = knn_vote([0, 0, 1], path_of(2, isolated=1), own_weight=0)
    assert vote.best_n.tolist() == [0, 0, 1]
    assert vote.share_n[:2].tolist() == [1, 1] and np.isnan(vote.share_n[2])


def test_only_uncertain_cells_are_open_to_a_vote_and_only_confident_ones_vote():
    values_nk = np.array([[5.0, 0], [0.1, 0.2], [5, 0], [0, 5], [0.1, 0.3]])
    graph = path_of(5)
    vote = gated_knn(values_nk, graph, share=0.4)
    assert vote.best_n.tolist() == [0, 0, 0, 1, 1]
    assert np.isnan(vote.share_n[[0, 2, 3]]).all() and vote.share_n[[1, 4]].tolist() == [1, 1]
    both = gated_knn(np.array([[0.1, 0.0], [0.0, 0.1]]), path_of(2), share=1.0)
    assert both.best_n.tolist() == [0, 1] and np.isnan(both.share_n).all(), "uncertain cells do not vote"


def test_a_gate_of_nothing_changes_nothing():
    vote = gated_knn(pbmc68k.canon(), pbmc68k.umap_graph(), share=0.0)
    np.testing.assert_array_equal(vote.best_n, pbmc68k.canon().argmax(1))


def test_both_uncertainties_put_the_clear_cell_last():
    values_nk = np.array([[3.0, 0, 0], [1, 1, 1], [9, 0, 0]])
    for by in ("margin", "entropy"):
        assert np.argsort(-uncertainty(values_nk, by)).tolist() == [1, 0, 2]


# -- spreading ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [0.5, 0.9])
def test_label_spreading_equals_the_refinement_on_the_symmetric_laplacian(alpha):
    from corpuscle.annotate.refine import refine

    values_nk = pbmc68k.canon()
    spread = label_spreading(values_nk, pbmc68k.umap_graph(), alpha=alpha, tol=1e-9)
    refined = refine(values_nk, pbmc68k.umap_graph(), lam=alpha / (1 - alpha), laplacian="symmetric", tol=1e-9)
    assert np.abs(spread - refined).max() < 1e-5 * np.abs(values_nk).max()


@given(problem=problems(), alpha=st.sampled_from([0.1, 0.5, 0.8]))
@settings(max_examples=30, deadline=None)
def test_label_spreading_solves_its_equation_on_any_graph(problem, alpha):
    values_nk, weights = problem
    found = label_spreading(values_nk, weights, alpha=alpha, tol=1e-10)
    degree = np.asarray(weights.sum(1)).ravel()
    alone = degree == 0
    root = np.where(alone, 0, 1 / np.sqrt(np.where(alone, 1, degree)))
    system = np.eye(len(root)) - alpha * root[:, None] * weights.toarray() * root
    expected = np.linalg.solve(system, (1 - alpha) * values_nk)
    expected[alone] = values_nk[alone]
    np.testing.assert_allclose(found, expected, atol=1e-7)


def test_label_spreading_that_did_not_settle_says_so():
    with pytest.warns(UserWarning, match="not settled after 2 iterations"):
        label_spreading(pbmc68k.canon(), pbmc68k.umap_graph(), alpha=0.99, max_iter=2)


@given(problem=problems(), n_iter=st.integers(0, 4))
@settings(max_examples=30, deadline=None)
def test_propagated_rows_are_probabilities_and_permuting_the_cells_permutes_them(problem, n_iter):
    values_nk, weights = problem
    p_nk = propagate(values_nk, weights, n_iter=n_iter)
    np.testing.assert_allclose(p_nk.sum(1), 1)
    assert (p_nk >= 0).all()
    order = np.random.default_rng(0).permutation(len(values_nk))
    np.testing.assert_allclose(propagate(values_nk[order], weights[order][:, order], n_iter=n_iter), p_nk[order])


def test_float32_scores_stay_float32():
    values_nk = pbmc68k.canon().astype(np.float32)
    assert label_spreading(values_nk, pbmc68k.umap_graph()).dtype == np.float32
    assert propagate(values_nk, pbmc68k.umap_graph()).dtype == np.float32


# -- bad input ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: knn_vote([0, 1], path_of(3)), (OptionError, SourceError), "3"),
        (lambda: knn_vote([0, -1, 1], path_of(3)), SourceError, "cell 1 has no type"),
        (lambda: knn_vote([0.5, 1, 1], path_of(3)), SourceError, "column number"),
        (lambda: knn_vote([0, 1, 1], path_of(3), own_weight=-1), OptionError, "own_weight"),
        (lambda: majority_vote([0, 1, 1], path_of(3), resolution=0), OptionError, "resolution"),
        (lambda: majority_vote([0, 1, 1], path_of(3), clusters=[1, 2]), OptionError, "2 clusters"),
        (lambda: gated_knn(np.eye(3), path_of(3), share=2), OptionError, "share"),
        (lambda: gated_knn(np.eye(3), path_of(3), by="mood"), OptionError, "mood"),
        (lambda: label_spreading(np.eye(3), path_of(3), alpha=1), OptionError, "alpha"),
        (lambda: label_spreading(np.full((3, 2), np.nan), path_of(3)), SourceError, "NaN"),
        (lambda: propagate(np.eye(3), path_of(3), alpha=2), OptionError, "alpha"),
        (lambda: propagate(np.array([[1.0, -1], [1, 0], [1, 0]]), path_of(3), softmax=False), SourceError, "cell 0"),
        (lambda: propagate(np.array([[1.0, 1], [0, 0], [1, 0]]), path_of(3), softmax=False), SourceError, "cell 1"),
    ],
)
def test_what_makes_no_sense_is_one_line_that_says_what(call, error, words):
    with pytest.raises(error) as caught:
        call()
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_cells_that_are_equally_uncertain_are_opened_together_or_not_at_all():
    one_hot = np.eye(3)[[0, 0, 1, 1, 2, 2, 0, 1]]
    vote = gated_knn(one_hot, path_of(8), share=0.5)
    assert vote.best_n.tolist() == one_hot.argmax(1).tolist(), "nothing but their order would tell these cells apart"
