"""Neighbour lists: against a slow reference, on identical cells, and on real cells."""

from __future__ import annotations

import os
import sys
import types
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import cdist

from corpuscle.errors import MethodError, OptionError
from corpuscle.models import _neighbours
from corpuscle.models._mutual import undirected
from corpuscle.models._neighbours import NeighbourLists, mutual_neighbours

DATA = Path(os.environ.get("CORPUSCLE_DATA", Path(__file__).parents[3] / "shared" / "data"))


def lists_of(index_nk):
    return [[int(j) for j in row if j >= 0] for row in index_nk]


def n_components(index_nk):
    rows, columns = np.nonzero(index_nk >= 0)
    n = index_nk.shape[0]
    graph = sp.coo_matrix((np.ones(rows.size), (rows, index_nk[rows, columns])), shape=(n, n))
    return connected_components(graph, directed=False)[0]


class Sets:
    """Which cells are joined already."""

    def __init__(self, n):
        self.parent = list(range(n))

    def root(self, i):
        while self.parent[i] != i:
            i = self.parent[i]
        return i

    def join(self, i, j):
        i, j = self.root(i), self.root(j)
        self.parent[i] = j
        return i != j


def reference(x, k):
    """The published walk, word for word: tree of all cells first, then its edges one at a time."""
    n, d = len(x), cdist(x, x)
    knn = [[j for j in np.argsort(d[i], kind="stable") if j != i][: k - 1] for i in range(n)]
    edges = {(min(i, j), max(i, j)) for i in range(n) for j in knn[i]}
    mutual = {(i, j) for i, j in edges if j in knn[i] and i in knn[j]}
    shortest_first = sorted(edges, key=lambda edge: d[edge])
    tree_sets, sets, kept = Sets(n), Sets(n), set(mutual)
    tree = [edge for edge in shortest_first if tree_sets.join(*edge)]
    for edge in mutual:
        sets.join(*edge)
    apart = len({sets.root(i) for i in range(n)})
    kept |= {edge for edge in tree if sets.join(*edge)}
    lists = []
    for i in range(n):
        others = [j for j in range(n) if (min(i, j), max(i, j)) in kept and j != i]
        lists.append([i, *sorted(others, key=lambda j: d[i, j])][:k])
    return lists, apart


@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 40), k=st.integers(2, 8), p=st.integers(1, 6), seed=st.integers(0, 10_000))
def test_lists_are_those_of_the_walk_along_the_tree(n, k, p, seed):
    x = np.random.default_rng(seed).standard_normal((n, p))
    found = mutual_neighbours(x, k, 0)
    lists, apart = reference(x, k)
    assert lists_of(found.index_nk) == lists
    assert found.n_components == apart


@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 40), k=st.integers(2, 8), seed=st.integers(0, 10_000), kind=st.sampled_from(["mutual", "knn"]))
def test_lists_are_valid_where_many_cells_are_identical(n, k, seed, kind):
    x = np.random.default_rng(seed).integers(0, 3, (n, 2)).astype(np.float32)
    index_nk = mutual_neighbours(x, k, 0, kind=kind).index_nk
    assert index_nk.shape == (n, k) and index_nk.dtype == np.int32
    assert (index_nk[:, 0] == np.arange(n)).all()
    distance_nn = cdist(x, x)
    for i, (row, members) in enumerate(zip(index_nk, lists_of(index_nk), strict=True)):
        assert (row[len(members) :] == -1).all()
        assert len(set(members)) == len(members) and max(members) < n
        assert (np.diff(distance_nn[i, members]) >= -1e-6).all()
    knn = mutual_neighbours(x, k, 0, kind="knn").index_nk
    if (_degrees(x, k) < k).all():
        assert n_components(index_nk) == n_components(knn)


def _degrees(x, k):
    """Cells that each cell has an edge with, before its list is cut."""
    distance_nk, index_nk = _neighbours._nearest_others(x, min(k, len(x)) - 1, 0)
    edges = undirected(distance_nk, index_nk)
    return np.bincount(np.concatenate([edges.low_e, edges.high_e]), minlength=len(x)) + 1


@settings(max_examples=25, deadline=None)
@given(n=st.integers(2, 60), seed=st.integers(0, 10_000))
def test_an_edge_is_mutual_just_when_each_cell_lists_the_other(n, seed):
    index_nk = np.array([np.random.default_rng([seed, i]).permutation(n)[:5] for i in range(n)]).reshape(n, -1)
    index_nk = np.where(index_nk == np.arange(n)[:, None], -1, index_nk)
    edges = undirected(np.ones(index_nk.shape), index_nk)
    listed = {(i, j) for i, row in enumerate(lists_of(index_nk)) for j in row}
    expected = {(min(i, j), max(i, j)): (j, i) in listed for i, j in listed}
    assert (
        dict(zip(zip(edges.low_e.tolist(), edges.high_e.tolist(), strict=True), edges.mutual_e, strict=True))
        == expected
    )


def test_identical_cells_are_joined_over_a_distance_of_zero():
    # Cells 0-4 are copies. The nearest neighbour of 1-4 is 0, so only one pair is mutual and all bridges have length 0.
    x = np.zeros((5, 2))
    distance_nk = np.zeros((5, 1))
    index_nk = np.array([[1], [0], [0], [0], [0]])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_neighbours, "_nearest_others", lambda *_: (distance_nk, index_nk))
        found = mutual_neighbours(x, 5, 0)
    assert found.n_components == 4
    assert lists_of(found.index_nk) == [[0, 1, 2, 3, 4], [1, 0], [2, 0], [3, 0], [4, 0]]


def test_sparse_and_dense_coordinates_give_the_same_lists():
    x = sp.random(80, 300, 0.1, format="csr", dtype=np.float32, random_state=0)
    sparse, dense = mutual_neighbours(x, 10, 0), mutual_neighbours(x.toarray(), 10, 0)
    assert (sparse.index_nk == dense.index_nk).all()
    assert sparse.n_components == dense.n_components


def test_scgpt_graph_falls_into_as_many_components_as_the_authors_saw():
    file = DATA / "sce2tm_wang" / "wang_scgpt.csv.gz"
    if not file.exists():
        pytest.skip(f"needs {file.name} of the shared data (CORPUSCLE_DATA)")
    view_ne = pd.read_csv(file, index_col=0).to_numpy(np.float32)
    found = mutual_neighbours(view_ne, 15, 0, include_self=True)
    assert found.n_components == 17
    assert n_components(found.index_nk) == 1
    assert found.size_n.min() == 2


# -- the approximate search ----------------------------------------------------------------------------------------


def test_search_that_loses_the_cell_or_fills_no_list_still_gives_valid_lists(monkeypatch):
    found = np.array([[0, 1, 2], [0, 2, 3], [2, -1, -1], [3, 2, 0]])  # cell 1 is not in its own list
    lengths = np.array([[0, 1, 2], [0, 0.5, 0.7], [0, np.inf, np.inf], [0, 3, 4]])
    asked = {}

    class Search:
        def __init__(self, x, **options):
            asked.update(options)
            self.neighbor_graph = found, lengths

    monkeypatch.setitem(sys.modules, "pynndescent", types.SimpleNamespace(NNDescent=Search))
    monkeypatch.setattr(_neighbours, "EXACT_CELLS", 3)
    lists = mutual_neighbours(np.zeros((4, 2)), 3, seed=7, kind="knn")
    assert lists_of(lists.index_nk) == [[0, 1, 2], [1, 0, 2], [2], [3, 2, 0]]
    assert asked == {"n_neighbors": 3, "random_state": 7, "n_jobs": 1}


# -- drawing -------------------------------------------------------------------------------------------------------

LISTS = np.array([[0, 1, 2, 3], [1, 0, -1, -1], [2, -1, -1, -1], [3, 0, 1, -1]], np.int32)


@pytest.mark.parametrize("include_self", [False, True])
def test_draws_are_uniform_over_the_list_and_keep_to_the_self_rule(include_self):
    lists = NeighbourLists(LISTS, 1, include_self)
    rows = np.tile(np.arange(4), 3000)
    drawn = lists.draw(rows, np.random.default_rng(0)).reshape(3000, 4)
    for cell, members in enumerate(lists_of(LISTS)):
        may = members if include_self or len(members) == 1 else members[1:]
        values, counts = np.unique(drawn[:, cell], return_counts=True)
        assert set(values) == set(may)
        assert np.abs(counts / 3000 - 1 / len(may)).max() < 0.04


def test_draws_repeat_with_the_seed_only():
    lists = mutual_neighbours(np.random.default_rng(1).standard_normal((50, 3)), 8, 0)
    rows = np.arange(50)
    first, again, other = (lists.draw(rows, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert first.dtype == np.int64
    assert (first == again).all()
    assert (first != other).any()


def test_among_keeps_order_and_the_cell_itself():
    kept = NeighbourLists(LISTS, 1, False).among(np.array([False, True, True, False]))
    assert kept.index_nk.tolist() == [[0, 1, 2, -1], [1, -1, -1, -1], [2, -1, -1, -1], [3, 1, -1, -1]]
    assert kept.index_nk.dtype == np.int32


# -- bad input -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix])
def test_nan_names_the_cell(form):
    x = np.ones((4, 3), np.float32)
    x[2, 1] = np.nan
    with pytest.raises(MethodError, match="cell 2 is NaN"):
        mutual_neighbours(form(x), 3, 0)


def test_one_cell_is_its_own_only_neighbour():
    lists = mutual_neighbours(np.zeros((1, 2)), 5, 0)
    assert lists.index_nk.tolist() == [[0, -1, -1, -1, -1]]
    assert lists.draw(np.zeros(3, int), np.random.default_rng(0)).tolist() == [0, 0, 0]


def test_what_makes_no_sense_is_refused():
    x = np.zeros((3, 2))
    with pytest.raises(OptionError, match="no neighbours are called 'radius'"):
        mutual_neighbours(x, 2, 0, kind="radius")
    with pytest.raises(OptionError, match="ask for 2 or more"):
        mutual_neighbours(x, 1, 0)
    with pytest.raises(MethodError, match="no cell"):
        mutual_neighbours(x[:0], 2, 0)
