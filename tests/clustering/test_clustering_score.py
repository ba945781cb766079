"""Scores of embeddings and clusterings: published figures, properties, and what is refused."""

from __future__ import annotations

import os
import sys
from itertools import permutations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpuscle.benchmarks.clustering import _metrics
from corpuscle.benchmarks.clustering._graph import NeighbourGraph, matched_resolution
from corpuscle.benchmarks.clustering._metrics import Types, agreement, codes, per_type, purity
from corpuscle.benchmarks.clustering.score import (
    COLUMNS,
    evaluate_embedding,
    score_embedding,
    score_labels,
    stability,
)
from corpuscle.errors import MethodError, OptionError

WANG = Path(os.environ.get("CORPUSCLE_DATA", Path(__file__).parents[3] / "shared" / "data")) / "sce2tm_wang"
#: ARI of the authors' saved matrix at resolutions 0.1 to 1.9, by Louvain.
PUBLISHED_SWEEP = [
    0.785, 0.785, 0.785, 0.834, 0.670, 0.670, 0.670, 0.618, 0.460, 0.460, 0.460, 0.449, 0.453, 0.453, 0.444, 0.444,
    0.444, 0.388, 0.361,
]  # fmt: skip


@pytest.fixture(scope="module")
def wang():
    if not WANG.is_dir():
        pytest.skip("needs sce2tm_wang of the shared data (CORPUSCLE_DATA)")
    logits_nk = pd.read_csv(WANG / "wang_topic_logits.csv.gz", index_col=0).to_numpy(np.float32)
    labels = pd.read_csv(WANG / "wang_cell_types.csv.gz")["wang@colData$cell_type1"].to_numpy()
    return logits_nk, labels


@pytest.fixture(scope="module")
def louvain():
    return pytest.importorskip("louvain", reason="needs the extra louvain", exc_type=ImportError)


def blobs(sizes=(40, 30, 20), d=5, seed=0, spread=0.3):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(len(sizes), d)) * 8
    label = np.repeat(np.arange(len(sizes)), sizes)
    return centres[label] + rng.normal(size=(label.size, d)) * spread, np.array([f"type{i}" for i in label])


def row(table, protocol):
    return table.set_index("protocol").loc[protocol]


# -- the authors' own matrix ---------------------------------------------------------------------------------


def test_published_figures_of_the_authors_matrix(wang, louvain):
    logits_nk, labels = wang
    table = score_embedding(logits_nk, labels, algorithm="louvain")
    oracle, fixed = row(table, "oracle"), row(table, "fixed")
    assert (oracle.resolution, fixed.resolution) == (0.4, 1.0)
    assert [oracle.ari, oracle.ami, oracle.nmi, oracle.silhouette] == pytest.approx(
        [0.8338, 0.7719, 0.7765, 0.1256], abs=1e-3
    )
    assert [fixed.ari, fixed.ami] == pytest.approx([0.460, 0.632], abs=1e-3)
    assert row(table, "kmeans").ari == pytest.approx(0.527, abs=0.02)
    sweep = table.attrs["sweep"]
    assert sweep["resolution"].tolist() == pytest.approx([i / 10 for i in range(20)])
    assert sweep["ari"].tolist() == pytest.approx([0.0, *PUBLISHED_SWEEP], abs=1e-3)
    assert purity(logits_nk.argmax(axis=1), labels) == pytest.approx(0.8928, abs=1e-4)


def test_leiden_on_the_authors_matrix(wang):
    table = score_embedding(*wang)
    assert row(table, "oracle")[["resolution", "ari"]].tolist() == pytest.approx([0.2, 0.8107], abs=1e-3)
    assert row(table, "fixed").ari == pytest.approx(0.461, abs=1e-3)


def test_the_second_view_alone(wang, louvain):
    view = pd.read_csv(WANG / "wang_scgpt.csv.gz", index_col=0).to_numpy(np.float32)
    oracle = row(score_embedding(view, wang[1], algorithm="louvain"), "oracle")
    assert [oracle.ari, oracle.ami, oracle.silhouette] == pytest.approx([0.250, 0.349, -0.001], abs=1e-3)


@pytest.mark.parametrize("algorithm", ["leiden", "louvain"])
def test_clusters_are_those_of_scanpy(wang, algorithm, request):
    import scanpy as sc
    from anndata import AnnData

    if algorithm == "louvain":
        request.getfixturevalue("louvain")
    adata = AnnData(wang[0])
    sc.pp.neighbors(adata, n_neighbors=15, use_rep="X")
    graph = NeighbourGraph(wang[0], algorithm=algorithm, random_state=3)
    for resolution in (0.3, 1.0):
        if algorithm == "leiden":
            sc.tl.leiden(
                adata, resolution, flavor="igraph", n_iterations=2, directed=False, random_state=3, key_added="k"
            )
        else:
            sc.tl.louvain(adata, resolution, random_state=3, key_added="k")
        assert (adata.obs["k"].astype(int).to_numpy() == graph.clusters(resolution)).all()


# -- protocols -----------------------------------------------------------------------------------------------


def test_separate_types_are_found_by_every_protocol_that_can():
    embedding, labels = blobs()
    table = score_embedding(embedding, labels, resolutions=[0.1, 0.2])
    assert table["protocol"].tolist() == ["oracle", "fixed", "matched", "kmeans"]
    assert table["told"].tolist() == ["labels", "nothing", "n_types", "n_types"]
    assert tuple(table.columns) == COLUMNS
    for protocol in ("oracle", "matched", "kmeans"):
        found = row(table, protocol)
        assert found[["ari", "ami", "nmi", "acc", "macro_f1"]].tolist() == pytest.approx([1.0] * 5)
        assert found.n_clusters == 3
    assert table["silhouette"].nunique() == 1 and table["silhouette"][0] > 0.8
    assert np.isnan(row(table, "kmeans").resolution)
    assert table["n"].tolist() == [90] * 4


def test_only_the_oracle_looks_at_the_labels():
    embedding, labels = blobs((30, 30, 30), spread=4.0)
    other = np.random.default_rng(1).permutation(labels)
    true, shuffled = evaluate_embedding(embedding, labels), evaluate_embedding(embedding, other)
    for protocol in ("fixed", "matched", "kmeans"):
        assert (true.labels[protocol] == shuffled.labels[protocol]).all()
    best = true.sweep["ari"].max()
    assert row(true.rows, "oracle").ari == best >= row(true.rows, "fixed").ari


def test_the_oracle_takes_the_smallest_of_equal_resolutions():
    embedding, labels = blobs()
    sweep = score_embedding(embedding, labels, resolutions=[0.3, 0.2, 0.1]).attrs["sweep"]
    assert sweep["ari"].tolist() == [1.0] * 3
    assert row(score_embedding(embedding, labels, resolutions=[0.3, 0.2, 0.1]), "oracle").resolution == 0.1


def test_resolutions_of_the_oracle_change_no_other_protocol():
    embedding, labels = blobs((30, 30, 30), spread=4.0)
    few, many = (score_embedding(embedding, labels, resolutions=r) for r in ([0.5], None))
    pd.testing.assert_frame_equal(few.iloc[1:], many.iloc[1:])


class Staircase:
    """A graph whose number of clusters is the integer part of ``10 x resolution``, give or take what is missing."""

    def __init__(self, missing=(), least=1):
        self.missing, self.least, self.asked = missing, least, []

    def n_clusters(self, resolution):
        self.asked.append(resolution)
        n = max(self.least, int(10 * resolution))
        return n + 1 if n in self.missing else n


@pytest.mark.parametrize(("n_types", "graph", "n_found"), [
    (7, Staircase(), 7),
    (45, Staircase(), 45),
    (7, Staircase(missing=(7,)), 6),
    (3, Staircase(least=8), 8),
    (10**6, Staircase(), 1280),
])  # fmt: skip
def test_matched_resolution(n_types, graph, n_found):
    resolution = matched_resolution(graph, n_types)
    assert graph.n_clusters(resolution) == n_found
    assert len(graph.asked) < 40


def test_seeds_repeat_and_the_process_wide_generators_stay():
    import random

    embedding, labels = blobs((40, 40), spread=6.0)
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    before = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    one, two = (score_embedding(embedding, labels, random_state=1) for _ in range(2))
    pd.testing.assert_frame_equal(one, two)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before  # noqa: NPY002


def test_tables_can_be_joined_with_their_details():
    embedding, labels = blobs()
    one, two = score_embedding(embedding, labels), score_embedding(embedding * 2, labels)
    assert len(pd.concat([one, two])) == 8
    assert len(one.attrs["per_type"]) == 12
    assert set(one.attrs["per_type"].query("protocol == 'kmeans'")["f1"]) == {1.0}


# -- metrics -------------------------------------------------------------------------------------------------

clusterings = st.integers(2, 12).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(0, 4), min_size=n, max_size=n), st.lists(st.integers(0, 3), min_size=n, max_size=n)
    )
)


def brute_accuracy(found, truth):
    clusters, types = sorted(set(found)), sorted(set(truth))
    short, long = (clusters, types) if len(clusters) <= len(types) else (types, clusters)
    pairs = list(zip(found, truth, strict=True))
    best = 0
    for chosen in permutations(long, len(short)):
        matching = set(zip(short, chosen, strict=True))
        agreed = {(c, t) if len(clusters) <= len(types) else (t, c) for c, t in matching}
        best = max(best, sum(pair in agreed for pair in pairs))
    return best / len(pairs)


@settings(max_examples=60, deadline=None)
@given(clusterings)
def test_accuracy_is_the_best_matching(pair):
    found, truth = map(np.array, pair)
    types = Types.of(truth)
    assert agreement(codes(found, types), types)["acc"] == pytest.approx(brute_accuracy(*pair))


@settings(max_examples=40, deadline=None)
@given(clusterings, st.permutations(range(5)), st.permutations(range(4)))
def test_names_of_clusters_and_types_do_not_matter(pair, new_clusters, new_types):
    found, truth = map(np.array, pair)
    one = score_labels(found, truth)
    other = score_labels(np.array(new_clusters)[found], np.array(list("wxyz"))[np.array(new_types)[truth]])
    metrics = ["ari", "ami", "nmi", "acc", "n_clusters"]
    assert one[metrics].to_numpy(float) == pytest.approx(other[metrics].to_numpy(float), nan_ok=True)


@settings(max_examples=40, deadline=None)
@given(clusterings)
def test_per_type_against_its_definition(pair):
    found, truth = map(np.array, pair)
    types = Types.of(truth)
    found_n = codes(found, types)
    table = per_type(found_n, types)
    majority = {c: np.bincount(types.code_n[found_n == c]).argmax() for c in set(found_n.tolist())}
    called = np.array([majority[c] for c in found_n.tolist()])
    for t, line in table.iterrows():
        true, mine, most = types.code_n == t, found_n == line.cluster, called == t
        assert line.recall == pytest.approx((true & mine).sum() / true.sum())
        assert line.f1 == pytest.approx(2 * (true & mine).sum() / (true.sum() + mine.sum()))
        assert line.majority_recall == pytest.approx((true & most).sum() / true.sum())
        assert line.majority_f1 == pytest.approx(2 * (true & most).sum() / (true.sum() + most.sum()))
        assert np.isnan(line.precision) == (line.cluster < 0)
    matched = table.loc[table["cluster"] >= 0, "cluster"]
    assert matched.is_unique


def test_rare_types_are_judged_apart():
    truth = np.repeat(["big", "mid", "rare", "tiny"], [180, 100, 10, 3])
    found = np.where(truth == "big", 0, 1)
    table = score_labels(found, truth)
    assert table["rare_recall"][0] == 0.0
    assert table.attrs["per_type"].set_index("type")["rare"].to_dict() == {
        "big": False, "mid": False, "rare": True, "tiny": False,
    }  # fmt: skip
    found[truth == "rare"] = 2
    assert score_labels(found, truth)["rare_recall"][0] == 1.0
    none = score_labels([0, 0, 1, 1], list("aabb"))
    assert np.isnan(none["rare_recall"][0]) and "rare_recall: no type" in none["reason"][0]


def test_silhouette_of_many_cells_is_of_a_seeded_part(monkeypatch):
    monkeypatch.setattr(_metrics, "SILHOUETTE_CELLS", 60)
    embedding, labels = blobs(spread=4.0)
    types = Types.of(labels)
    one, again, other = (_metrics.silhouette(embedding, types, random_state=seed) for seed in (0, 0, 1))
    assert one == again != other
    monkeypatch.undo()
    assert one == pytest.approx(_metrics.silhouette(embedding, types), abs=0.15)


def test_purity_and_stability():
    assert purity([0, 0, 1, 1, 1], list("aabba")) == 0.8
    same = [np.array([0, 0, 1, 1]), np.array([5, 5, 2, 2]), np.array([0, 0, 1, 1])]
    assert stability(same) == 1.0
    assert stability([*same[:1], np.array([0, 1, 0, 1])]) == pytest.approx(-0.5)
    assert np.isnan(stability(same[:1]))
    with pytest.raises(OptionError, match="same cells"):
        stability([[0, 1], [0, 1, 2]])


# -- what is refused or undefined ----------------------------------------------------------------------------


def test_one_type_is_undefined_and_says_so():
    embedding, _ = blobs()
    table = score_embedding(embedding, np.repeat("only", 90))
    assert len(table) == 4
    assert table[["ari", "ami", "nmi", "acc", "silhouette", "macro_f1", "rare_recall"]].isna().all(axis=None)
    assert table["reason"].str.contains("same label").all()
    assert np.isnan(row(table, "oracle").resolution)


@pytest.mark.parametrize(("spoil", "message"), [
    (lambda x: np.where(np.arange(90)[:, None] == 7, np.nan, x), "cell 7 is NaN or infinite"),
    (lambda x: x * 1e300, "NaN or infinite"),
    (lambda x: np.ones_like(x), "same for all 90 cells"),
    (lambda x: x[:50], "expected one row for each of 90 cells"),
    (lambda x: x[:, 0], "expected one row"),
    (lambda x: x[:, :0], "expected one row"),
    (lambda x: np.full(x.shape, "a"), "not an array of numbers"),
])  # fmt: skip
def test_an_embedding_that_cannot_be_used(spoil, message):
    embedding, labels = blobs()
    with pytest.raises(MethodError, match=message) as error:
        score_embedding(spoil(embedding), labels)
    assert "\n" not in str(error.value)


def test_labels_and_options_that_make_no_sense():
    embedding, labels = blobs()
    with pytest.raises(OptionError, match="cell 3 has none"):
        score_embedding(embedding, [None if i == 3 else label for i, label in enumerate(labels)])
    with pytest.raises(OptionError, match="one for each cell"):
        score_embedding(embedding, labels[:, None])
    with pytest.raises(OptionError, match="algorithm 'infomap' must be one of: leiden, louvain"):
        score_embedding(embedding, labels, algorithm="infomap")
    for resolutions in ([], [-1.0], [float("nan")]):
        with pytest.raises(OptionError, match="resolution"):
            score_embedding(embedding, labels, resolutions=resolutions)
    with pytest.raises(MethodError, match="2 cells cannot be clustered"):
        score_embedding(embedding[:2], ["a", "b"])
    with pytest.raises(MethodError, match="3 clusters were given for 4"):
        score_labels([0, 1, 1], list("aabb"))
    with pytest.raises(MethodError, match="clusters: cell 1 has none"):
        score_labels([0.0, np.nan], list("ab"))


def test_louvain_that_is_not_there_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "louvain", None)
    embedding, labels = blobs()
    with pytest.raises(MethodError, match=r"corpuscle\[louvain\]"):
        score_embedding(embedding, labels, algorithm="louvain")


def test_few_cells_and_copies_of_one_cell():
    table = score_embedding([[0.0, 0], [0, 1], [9, 9], [9, 8]], list("aabb"))
    assert row(table, "kmeans").ari == 1.0
    copies = np.repeat([[0.0, 0.0], [5.0, 5.0]], 30, axis=0)
    table = score_embedding(copies, np.repeat(["a", "b", "c"], 20))
    assert row(table, "kmeans").n_clusters == 2
    every = score_embedding(np.arange(8.0).reshape(4, 2), list("abcd"))
    assert every["silhouette"].isna().all() and every["reason"].str.contains("silhouette: every cell").all()
