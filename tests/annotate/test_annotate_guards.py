"""Guards keep types that the graph supports, and touch nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from corpuscle.annotate import refine
from corpuscle.annotate._graph import as_graph
from corpuscle.annotate.guards import refine_guarded, supported
from corpuscle.errors import OptionError, SourceError

RARE, COMMON = 80, 320


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def ring(n: int, reach: int = 6) -> sp.csr_matrix:
    """Cells on a line, each joined to the ``reach`` next."""
    matrix = sum(sp.diags([1.0], [step], shape=(n, n)) for step in range(1, reach + 1))
    return sp.csr_matrix(matrix + matrix.T)


def biased(rng: np.random.Generator, shift: float = 0.6) -> np.ndarray:
    """Two types that stand apart; a rare cell's own score is too low in most of its kind, and in few of them not."""
    rare_n = np.arange(RARE + COMMON) < RARE
    score_n = np.where(rare_n, -shift + rng.normal(0, 0.7, rare_n.size), -2.0)
    return np.column_stack([score_n, np.zeros(rare_n.size)])


def test_a_type_whose_cells_stand_together_is_kept_where_smoothing_erases_it(rng):
    scores, graph = biased(rng), ring(RARE + COMMON)
    before = np.sum(scores.argmax(axis=1) == 0)
    assert before > 12
    assert np.sum(refine(scores, graph, lam=5).argmax(axis=1) == 0) == 0
    guarded = refine_guarded(scores, graph, ["rare", "common"], lam=5)
    support = supported(scores.argmax(axis=1), as_graph(graph), 2) & (scores.argmax(axis=1) == 0)
    kept = guarded.values_nk.argmax(axis=1) == 0
    assert support.sum() >= 3
    assert kept.sum() == support.sum()
    assert not kept[RARE:].any()
    assert guarded.offset_k[0] > 0
    assert guarded.offset_k[1] == 0
    assert any(line.startswith("rare: ") and "stand together" in line for line in guarded.words)


def test_scattered_mistakes_are_still_repaired(rng):
    truth = np.repeat([0, 1], 200)
    noisy = np.where(rng.random(400) < 0.2, rng.integers(0, 2, 400), truth)
    guarded = refine_guarded(np.eye(2)[noisy], ring(400), ["a", "b"])
    assert np.mean(noisy == truth) < 0.93
    assert np.mean(guarded.values_nk.argmax(axis=1) == truth) > 0.97
    assert guarded.words == ()
    assert np.array_equal(guarded.values_nk, guarded.solution.values_nk)


def test_a_graph_that_knows_nothing_of_the_scores_changes_none(rng):
    scores = np.eye(3)[np.repeat([0, 1, 2], 100)]
    order = rng.permutation(300)
    shuffled = ring(300)[order][:, order]
    guarded = refine_guarded(scores, shuffled, list("abc"))
    assert np.array_equal(guarded.values_nk, scores)
    assert guarded.kept_n.all()
    assert "hardly more than chance" in guarded.words[0]


def test_a_type_smaller_than_a_neighbourhood_keeps_its_scores():
    scores = np.column_stack([np.zeros(200), np.full(200, -1.0), np.zeros(200) - 2])
    scores[100:, 1] = 1.0
    scores[[40, 43, 160], 2] = 2.5
    graph = ring(200)
    assert not (refine(scores, graph).argmax(axis=1) == 2).any()
    guarded = refine_guarded(scores, graph, ["a", "b", "tiny"])
    assert np.flatnonzero(guarded.values_nk.argmax(axis=1) == 2).tolist() == [40, 43, 160]
    assert np.array_equal(guarded.values_nk[40], scores[40])
    assert guarded.kept_n.sum() == 3
    assert any(line.startswith("tiny: 3 cells are too few") for line in guarded.words)


@pytest.mark.parametrize("lam", [0.1, 1.0, 30.0])
def test_no_type_falls_below_its_supported_cells(rng, lam):
    n, types = 600, 7
    truth = np.sort(rng.choice(types, n, p=np.array([30, 5, 25, 5, 20, 5, 10]) / 100))
    scores = np.eye(types)[truth] + rng.normal(0, 0.6, (n, types)) + rng.normal(0, 0.4, types)
    graph = ring(n, 8)
    best = scores.argmax(axis=1)
    floor = np.bincount(best[supported(best, as_graph(graph), types)], minlength=types)
    guarded = refine_guarded(scores, graph, [str(k) for k in range(types)], lam=lam)
    kept = guarded.kept_n
    after = np.bincount(guarded.values_nk.argmax(axis=1)[~kept], minlength=types)
    small = np.bincount(best[kept], minlength=types) > 0
    assert (after[~small] + np.bincount(best[kept], minlength=types)[~small] >= floor[~small] - kept.sum()).all()
    assert (guarded.offset_k >= 0).all()


def test_support_is_more_neighbours_than_chance():
    graph = as_graph(ring(60, 3))
    best = np.zeros(60, int)
    best[20:30] = 1
    best[50] = 1
    found = supported(best, graph, 2)
    assert found[22:28].all()
    assert not found[50]


def test_an_isolated_cell_is_not_supported_and_keeps_its_scores():
    graph = ring(50).tolil()
    graph[49] = 0
    graph[:, 49] = 0
    scores = np.eye(2)[np.repeat([0, 1], 25)] * 1.0
    guarded = refine_guarded(scores, sp.csr_matrix(graph), ["a", "b"])
    assert not supported(scores.argmax(axis=1), as_graph(sp.csr_matrix(graph)), 2)[49]
    assert np.array_equal(guarded.values_nk[49], scores[49])


def test_strength_zero_leaves_scores_and_says_nothing(rng):
    scores = rng.normal(size=(50, 3))
    guarded = refine_guarded(scores, ring(50), list("abc"), lam=0)
    assert np.array_equal(guarded.values_nk.argmax(axis=1), scores.argmax(axis=1))


def test_bad_input_is_one_line(rng):
    scores = rng.normal(size=(50, 3))
    with pytest.raises(SourceError, match="graph of other cells"):
        refine_guarded(scores, ring(40), list("abc"))
    with pytest.raises(SourceError, match="3 columns for 2 types"):
        refine_guarded(scores, ring(50), list("ab"))
    with pytest.raises(OptionError, match="lam=-1"):
        refine_guarded(scores, ring(50), list("abc"), lam=-1)
    scores[7, 1] = np.nan
    with pytest.raises(SourceError, match="cells 7"):
        refine_guarded(scores, ring(50), list("abc"))
