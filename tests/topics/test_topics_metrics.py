"""The numbers by hand, on arrays and names, and on the saved topics of scE2TM's authors."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpuscle.benchmarks.topics import (
    GeneSets,
    gsea,
    interpretation_purity,
    ora,
    rare_type_recovery,
    top_genes,
    topic_coherence,
    topic_diversity,
    topic_quality,
    topic_stability,
)
from corpuscle.errors import MethodError, OptionError

DATA = Path(os.environ.get("CORPUSCLE_DATA", Path(__file__).parents[3] / "shared" / "data"))
GENES = st.sampled_from([f"G{i}" for i in range(12)])
LISTS = st.lists(st.lists(GENES, min_size=1, max_size=5, unique=True), min_size=1, max_size=6)
SETS = st.dictionaries(st.text("abc", min_size=1, max_size=3), st.lists(GENES, min_size=1, unique=True), min_size=1)


@pytest.fixture(scope="module")
def wang():
    folder = DATA / "sce2tm_wang"
    if not folder.exists():
        pytest.skip("needs sce2tm_wang of the shared data (CORPUSCLE_DATA)")
    logits = pd.read_csv(folder / "wang_topic_logits.csv.gz", index_col=0).to_numpy()
    return logits, pd.read_csv(folder / "wang_cell_types.csv.gz", index_col=0).iloc[:, 0].to_numpy()


# -- diversity ---------------------------------------------------------------------------------------------------


def test_diversity_counts_places_listed_once_or_different_genes():
    top = [["A", "B"], ["B", "C"], ["D", "E"]]
    assert topic_diversity(top, "once") == pytest.approx(4 / 6)
    assert topic_diversity(top, "unique") == pytest.approx(5 / 6)


def test_symbols_with_hyphens_and_single_letters_are_whole_genes():
    top = [["HLA-A"], ["HLA-B"], ["MT-CO1"]]
    assert topic_diversity(top) == topic_diversity(top, "unique") == 1.0
    assert topic_diversity([["MT-CO1", "T"], ["MT-CO2", "t"]]) == 1.0


def test_a_place_that_a_topic_could_not_fill_is_not_diverse():
    assert topic_diversity([["A"], ["B", "C"]], n_genes=2) == pytest.approx(3 / 4)
    assert math.isnan(topic_diversity([]))


def test_an_unknown_kind_and_a_list_that_is_too_long_are_refused():
    with pytest.raises(OptionError, match="once, unique"):
        topic_diversity([["A"]], "twice")
    with pytest.raises(OptionError, match="more than the 1 places"):
        topic_diversity([["A", "B"]], n_genes=1)


@given(LISTS)
def test_once_is_never_more_than_unique_and_both_are_shares(top):
    once, unique = topic_diversity(top, "once"), topic_diversity(top, "unique")
    assert 0 <= once <= unique <= 1
    assert topic_diversity(top + top, "once") == 0


# -- coherence ---------------------------------------------------------------------------------------------------

CORPUS = {"s1": ["A", "B", "C"], "s2": ["A", "B"], "s3": ["A", "D"], "s4": ["E", "HLA-A"]}


def test_coherence_by_hand():
    # p(A) = 3/4, p(B) = 1/2, p(C) = p(D) = 1/4; A and B share 2 of 4 sets, A-C and B-C one, D nothing with B or C.
    ab = math.log((2 / 4) / (3 / 4 * 2 / 4)) / -math.log(2 / 4)
    ac = math.log((1 / 4) / (3 / 4 * 1 / 4)) / -math.log(1 / 4)
    bc = math.log((1 / 4) / (2 / 4 * 1 / 4)) / -math.log(1 / 4)
    found = topic_coherence([["A", "B", "C"], ["B", "D", "unknown"]], CORPUS)
    np.testing.assert_allclose(found.of_topic, [(ab + ac + bc) / 3, 0.0])
    assert found.value == pytest.approx((ab + ac + bc) / 6)
    assert found.covered == pytest.approx(4 / 6)  # of the second topic only B-D has two known genes
    assert found.together == pytest.approx(3 / 6)


def test_genes_that_only_share_sets_are_perfectly_coherent_and_case_matters():
    assert topic_coherence([["E", "HLA-A"]], CORPUS).value == pytest.approx(1.0)
    assert topic_coherence([["e", "HLA-A"]], CORPUS).value == 0.0
    assert topic_coherence([["A", "B"]], {"only": ["A", "B"]}).value == 1.0  # a pair in every set: the limit


def test_a_topic_without_a_pair_has_no_coherence_and_short_lists_are_penalised():
    assert math.isnan(topic_coherence([["A"]], CORPUS).value)
    assert topic_coherence([["E", "HLA-A"]], CORPUS, n_genes=3).value == pytest.approx(1 / 3)
    assert topic_coherence([[], ["E", "HLA-A"]], CORPUS).value == pytest.approx(1 / 2)


def test_quality_is_the_product_and_undefined_with_either():
    assert topic_quality(0.5, 0.4) == pytest.approx(0.2)
    assert math.isnan(topic_quality(float("nan"), 0.4))


@given(LISTS, SETS)
def test_coherence_stays_between_minus_one_and_what_is_covered(top, sets):
    found = topic_coherence(top, sets)
    if max(map(len, top)) < 2:
        assert math.isnan(found.value)
        return
    assert -1 - 1e-9 <= found.value <= found.together + 1e-9
    assert 0 <= found.together <= found.covered <= 1
    turned = topic_coherence([genes[::-1] for genes in top][::-1], dict(reversed(sets.items())))
    assert turned.value == pytest.approx(found.value)


# -- top genes ---------------------------------------------------------------------------------------------------


def test_top_genes_are_the_largest_weights_and_never_the_least_of_a_row():
    weights = np.array([[0.1, 0.9, 0.5, 0.0], [0.0, 0.0, 0.0, 2.0], [1.0, 1.0, 1.0, 1.0], [-3.0, -1.0, -2.0, -4.0]])
    assert top_genes(weights, list("abcd"), 2) == [["b", "c"], ["d"], [], ["b", "c"]]


def test_weights_that_are_genes_by_topics_or_not_finite_are_refused():
    with pytest.raises(OptionError, match=r"expected \(topics, 3 genes\)"):
        top_genes(np.ones((3, 2)), list("abc"))
    with pytest.raises(OptionError, match="not all finite"):
        top_genes(np.array([[1.0, np.nan]]), list("ab"))


# -- purity and rare types ---------------------------------------------------------------------------------------


def test_purity_by_hand():
    values = np.eye(2)[[0, 0, 0, 1, 1]]
    assert interpretation_purity(values, ["a", "a", "b", "b", "b"]) == pytest.approx(4 / 5)
    with pytest.raises(OptionError, match="2 labels for 5 cells"):
        interpretation_purity(values, ["a", "b"])


def test_purity_of_the_published_topics(wang):
    assert interpretation_purity(*wang) == pytest.approx(0.8928, abs=0.001)


def test_rare_types_of_the_published_topics(wang):
    found = rare_type_recovery(*wang).set_index("type")
    published = {
        "gamma": 0.800, "mesenchyme": 0.651, "ductal": 0.519, "acinar": 0.500, "beta": 0.290, "alpha": 0.190, "delta": 0.154,
    }  # fmt: skip
    for name, f1 in published.items():
        assert found.loc[name, "f1"] == pytest.approx(f1, abs=0.001), name
    assert list(found.index[found["rare"]]) == ["gamma", "delta", "acinar"]
    assert found.loc["acinar", "topic"] == 82


def test_a_tie_between_topics_is_not_settled_in_the_types_favour():
    # x is split evenly between topic 0, which is all x, and topic 1, which is mostly y.
    values = np.eye(2)[[0, 1, 1, 1]]
    found = rare_type_recovery(values, ["x", "x", "y", "y"]).set_index("type")
    assert found.loc["x", "topic"] == 1
    assert (found.loc["x", "recall"], found.loc["x", "precision"]) == pytest.approx((1 / 2, 1 / 3))


# -- enrichment --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sets():
    named = {f"S{i}": tuple(f"c{20 * i + j}orf" for j in range(20)) for i in range(12)}
    return GeneSets(named | {"S0 again": named["S0"]})


def test_ora_finds_the_sets_of_the_genes_and_counts_pairs_and_sets_apart(sets):
    top = [sets.sets["S0"][:10], sets.sets["S0"][10:], sets.sets["S5"][:10], ("unknown",) * 1]
    found = ora(top, sets)
    assert set(zip(found.table["topic"], found.table["gene_set"], strict=True)) == {
        (0, "S0"), (0, "S0 again"), (1, "S0"), (1, "S0 again"), (2, "S5"),
    }  # fmt: skip
    assert (found.n_enriched, found.n_unique, found.unique_fraction) == (5, 3, pytest.approx(0.6))
    assert found.n_tested == 5
    assert (found.table["overlap"] == 10).all() and found.table["genes"][0].split()[0] in sets.sets["S0"]


def test_ora_is_the_hypergeometric_test_against_all_genes_of_the_sets(sets):
    from scipy.stats import hypergeom

    found = ora([(*sets.sets["S1"][:3], "c199orf", "c101orf")], sets, fdr=1.0).table.set_index("gene_set")
    assert found.loc["S1", "p"] == pytest.approx(hypergeom.sf(2, 240, 20, 5))
    # Benjamini-Hochberg over the three sets that share a gene with the topic.
    assert found.loc["S1", "q"] == pytest.approx(3 * hypergeom.sf(2, 240, 20, 5))


def test_lower_case_genes_are_not_made_upper_case_for_upper_case_sets():
    upper = GeneSets({"S": tuple(f"GENE{i}" for i in range(20)), "T": tuple(f"OTHER{i}" for i in range(200))})
    assert ora([[f"gene{i}" for i in range(10)]], upper).n_enriched == 0
    assert ora([[f"GENE{i}" for i in range(10)]], upper).n_enriched == 1


def test_nothing_enriched_has_no_fraction(sets):
    found = ora([("c1orf", "c21orf", "c41orf")], sets)
    assert (found.n_enriched, found.n_unique) == (0, 0) and math.isnan(found.unique_fraction)


def test_gsea_finds_the_set_at_the_top_of_the_ranking_and_repeats(sets):
    genes = sorted(sets.genes)
    rng = np.random.default_rng(0)
    weights = rng.random((3, len(genes)))
    weights[0] += 2.0 * np.isin(genes, sets.sets["S3"])
    weights[2] = 1.0
    found = gsea(weights, genes, sets, permutations=100, seed=1)
    assert found.table.iloc[0][["topic", "gene_set"]].tolist() == [0, "S3"] and found.table["score"][0] > 0
    assert 2 not in set(found.table["topic"])  # equal weights rank nothing
    assert found.n_tested == 2 * 13
    pd.testing.assert_frame_equal(found.table, gsea(weights, genes, sets, permutations=100, seed=1).table)
    order = rng.permutation(len(genes))
    other = gsea(weights[:, order], [genes[i] for i in order], sets, permutations=100, seed=1)
    assert other.table.iloc[0]["gene_set"] == "S3"


def test_gsea_without_a_set_of_a_testable_size_says_so(sets):
    small = GeneSets({"few": ("a", "b", "c")})
    with pytest.raises(MethodError, match="none of the 1 gene sets has 15 to 500"):
        gsea(np.random.default_rng(0).random((1, 5)), list("abcde"), small)


def test_a_failing_test_is_an_error_with_its_topic_and_never_a_missing_row(sets, monkeypatch):
    import gseapy

    def fails(*_, **__):
        raise LookupError("on purpose\nand more")

    monkeypatch.setattr(gseapy, "enrich", fails)
    monkeypatch.setattr(gseapy, "prerank", fails)
    with pytest.raises(MethodError, match="topic 0 failed: LookupError: on purpose and more"):
        ora([sets.sets["S0"][:5]], sets)
    with pytest.raises(MethodError, match="topic 1 failed"):
        genes = sorted(sets.genes)
        gsea(np.stack([np.ones(len(genes)), np.arange(len(genes))]), genes, sets, permutations=10)


# -- stability ---------------------------------------------------------------------------------------------------


def test_the_same_topics_in_another_order_are_perfectly_stable():
    weights = np.random.default_rng(0).random((5, 40))
    found = topic_stability([weights, weights[::-1], 3 * weights[[2, 0, 1, 4, 3]]])
    assert found.cosine == pytest.approx(1) and len(found.pairs) == 3
    same = topic_stability([weights, weights[::-1]])
    assert same.centred == pytest.approx(1)


def test_unrelated_positive_topics_look_stable_until_they_are_centred():
    rng = np.random.default_rng(1)
    a, b = (1 + 0.1 * rng.random((6, 500)) for _ in range(2))
    found = topic_stability([a, b])
    assert found.cosine > 0.99 and abs(found.centred) < 0.2


def test_matching_is_one_to_one():
    a = np.array([[1.0, 0, 0], [0, 1, 0]])
    b = np.array([[1.0, 0.1, 0], [1.0, 0, 0]])  # both are nearest to the first topic of a
    cosine = topic_stability([a, b]).cosine
    assert cosine == pytest.approx((1 + 0.1 / math.hypot(1, 0.1)) / 2)


def test_a_topic_without_direction_and_a_single_run_have_no_stability():
    found = topic_stability([np.ones((2, 3)), np.ones((2, 3))])
    assert found.cosine == pytest.approx(1) and math.isnan(found.centred)
    assert found.pairs["n_matched_centred"][0] == 0
    assert math.isnan(topic_stability([np.ones((2, 3))]).cosine)
    with pytest.raises(OptionError, match="must be alike"):
        topic_stability([np.ones((2, 3)), np.ones((3, 2))])
