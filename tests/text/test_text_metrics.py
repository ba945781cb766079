"""What the numbers of the benchmark of cells and words mean, against scikit-learn and by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax
from sklearn.metrics import accuracy_score, average_precision_score, f1_score, roc_auc_score
from sklearn.neighbors import NearestNeighbors

from corpuscle.benchmarks.text._draw import Question
from corpuscle.benchmarks.text.metrics import METRICS, PER_TYPE, judge, nearest_share
from corpuscle.errors import MethodError

TYPES = ("a", "b", "c", "d")
ALL = Question("new_cells", tuple(f"a {one} cell" for one in TYPES), TYPES)


def random_scores(seed, m=80, types=TYPES, absent=1, ties=True):
    rng = np.random.default_rng(seed)
    truth = rng.choice(types[: len(types) - absent], m)
    score_mk = rng.normal(size=(m, len(types))) + 1.5 * (truth[:, None] == np.asarray(types))
    return (np.round(score_mk) if ties else score_mk), truth.tolist()


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("scale", [None, 3.0])
def test_numbers_are_those_of_scikit_learn_with_ties_and_an_absent_label(seed, scale):
    score_mk, truth = random_scores(seed, absent=seed % 2)
    found = judge(score_mk, truth, TYPES, ALL, (), scale)
    share_mk = score_mk if scale is None else softmax(score_mk * scale, axis=1)
    best = [TYPES[k] for k in share_mk.argmax(axis=1)]
    there, true_m = sorted(set(truth)), np.asarray(truth)
    place = {name: k for k, name in enumerate(TYPES)}

    def mean(of, scores):
        return np.mean([of(true_m == name, scores[:, place[name]]) for name in there])

    expected = {
        "accuracy": accuracy_score(truth, best),
        "balanced_accuracy": np.mean([np.mean(np.asarray(best)[true_m == name] == name) for name in there]),
        "macro_f1": f1_score(truth, best, labels=there, average="macro"),
        "mean_auc": mean(roc_auc_score, share_mk),
        "mean_auc_raw": mean(roc_auc_score, score_mk),
        "average_precision": mean(average_precision_score, score_mk),
        "accuracy_over_random": accuracy_score(truth, best) * len(there),
    }
    order_mk = np.argsort(-share_mk, axis=1, kind="stable")
    rank_m = np.array([1 + order.tolist().index(place[one]) for order, one in zip(order_mk, truth, strict=True)])
    expected |= {"mrr": np.mean(1 / rank_m), "mean_rank": rank_m.mean(), "topk_accuracy@3": np.mean(rank_m <= 3)}
    for metric, value in expected.items():
        assert found.numbers[metric] == pytest.approx(value), metric
    assert set(found.numbers) == set(METRICS) and found.n == 80 and found.numbers["unanswered"] == 0
    assert list(found.types["type"]) == there


def test_a_type_of_which_nothing_can_be_said_is_never_chosen_and_is_counted():
    score_mk, truth = random_scores(1, absent=0, ties=False)
    silent_mk = score_mk.copy()
    silent_mk[:, 0] = np.nan
    found = judge(silent_mk, truth, TYPES, ALL, (), 20.0)
    row = found.types.set_index("type").loc["a"]
    assert found.numbers["unanswered"] == 1
    assert row["recall"] == 0 and row["f1"] == 0 and np.isnan(row["auc"]) and np.isnan(row["precision@10"])
    assert row["reason"] == "the method can say nothing of this type"
    best = np.asarray(TYPES)[1:][score_mk[:, 1:].argmax(axis=1)]
    recall_k = [np.mean(best[np.asarray(truth) == name] == name) for name in TYPES]
    assert found.numbers["balanced_accuracy"] == pytest.approx(np.mean(recall_k)) and recall_k[0] == 0
    # Its cells have no rank at all, so that three other types beside it cannot count as three guesses.
    assert found.numbers["topk_accuracy@3"] == pytest.approx(np.mean(np.asarray(truth) != "a"))
    rest = softmax(score_mk[:, 1:] * 20, axis=1)
    auc_k = [roc_auc_score(np.asarray(truth) == name, rest[:, k]) for k, name in enumerate(TYPES[1:])]
    assert found.numbers["mean_auc"] == pytest.approx(np.mean(auc_k))


def test_a_method_that_says_nothing_at_all_has_no_numbers_but_a_reason():
    truth = ["a", "b", "c", "d"] * 5
    found = judge(np.full((20, 4), np.nan), truth, TYPES, ALL, (), None)
    assert found.numbers["unanswered"] == 4 and found.n == 20 and found.types.empty
    assert all(np.isnan(found.numbers[metric]) for metric in METRICS if metric != "unanswered")
    assert set(found.reasons.values()) == {"the method can say nothing of any type"}


def test_one_type_only_has_no_auc_and_says_why():
    score_mk, _ = random_scores(2)
    found = judge(score_mk, ["a"] * 80, TYPES, ALL, (), 20.0)
    assert np.isnan(found.numbers["mean_auc"]) and np.isnan(found.numbers["mean_auc_raw"])
    assert found.reasons["mean_auc"] == "every cell has this label"
    assert found.numbers["accuracy"] == pytest.approx(np.mean(score_mk.argmax(axis=1) == 0))


def test_no_cell_of_these_types_is_a_reason():
    question = Question("new_cells", ALL.texts, ("d",))
    found = judge(np.zeros((3, 4)), ["a", "b", "c"], TYPES, question, (), None)
    assert np.isnan(found.numbers["accuracy"]) and found.n == 0
    assert found.reasons["accuracy"] == "none of these types has words and a cell"


def test_a_type_without_words_is_neither_asked_nor_judged_but_its_cells_are_searched():
    score_mk, truth = random_scores(3, absent=0, ties=False)
    question = Question("new_wording: {definition}", ("x", "y", "z", None), TYPES)
    score_mk[:, 3] = 1e6
    found = judge(score_mk, truth, TYPES, question, (), 20.0)
    here = np.asarray(truth) != "d"
    assert found.n == here.sum() and list(found.types["type"]) == ["a", "b", "c"]
    assert found.numbers["accuracy"] == pytest.approx(
        np.mean(np.asarray(TYPES)[score_mk[here, :3].argmax(axis=1)] == np.asarray(truth)[here])
    )
    raw = [roc_auc_score(np.asarray(truth) == name, score_mk[:, k]) for k, name in enumerate("abc")]
    assert found.numbers["mean_auc_raw"] == pytest.approx(np.mean(raw))
    assert found.numbers["unanswered"] == 0


def test_new_types_are_judged_among_all_types_and_searched_among_all_cells():
    score_mk, truth = random_scores(4, absent=0, ties=False)
    found = judge(score_mk, truth, TYPES, Question("new_types", ALL.texts, ("a", "b")), ("a", "b"), None)
    true_m, best = np.asarray(truth), np.asarray(TYPES)[score_mk.argmax(axis=1)]
    new = np.isin(true_m, ["a", "b"])
    assert found.n == new.sum()
    assert found.numbers["accuracy"] == pytest.approx(np.mean(best[new] == true_m[new]))
    assert found.numbers["accuracy_over_random"] == pytest.approx(4 * found.numbers["accuracy"])
    auc = [roc_auc_score(true_m == name, score_mk[:, k]) for k, name in enumerate("ab")]
    assert found.numbers["mean_auc"] == pytest.approx(np.mean(auc))
    f1 = f1_score(true_m, best, labels=["a", "b"], average="macro")
    assert found.numbers["macro_f1"] == pytest.approx(f1), "cells of other types that it mistakes for new ones count"
    types = found.types.set_index("type")
    assert types["left_out"].tolist() == [True, True, False, False] == types["judged"].tolist()
    assert types.loc["c", "auc"] == pytest.approx(roc_auc_score(true_m == "c", score_mk[:, 2]))
    for metric, column in PER_TYPE.items():
        assert found.numbers[metric] == pytest.approx(types.loc[["a", "b"], column].mean())


def test_probabilities_compare_the_types_of_a_cell_and_raw_scores_do_not():
    """A cell that is like every text moves in the raw order of a text, and not in its probabilities."""
    truth = ["a"] * 10 + ["b"] * 10
    score_mk = np.where(np.asarray(truth)[:, None] == np.asarray(["a", "b"]), 0.2, 0.1)
    score_mk[::2] += 5.0
    question = Question("new_cells", ("x", "y"), ("a", "b"))
    found = judge(score_mk, truth, ("a", "b"), question, (), 20.0)
    assert found.numbers["mean_auc"] == 1.0 and found.numbers["mean_auc_raw"] == pytest.approx(0.75)
    assert found.numbers["precision@10"] == pytest.approx(0.5)
    same = judge(score_mk, truth, ("a", "b"), question, (), None)
    assert same.numbers["mean_auc"] == same.numbers["mean_auc_raw"]


def test_what_a_text_finds_is_counted_by_hand():
    truth = ["a"] * 4 + ["b"] * 16
    score_m = np.arange(20, 0, -1.0)
    score_m[3] = 1.5  # the fourth cell of "a" comes next to last
    score_mk = np.stack([score_m, -score_m], axis=1)
    found = judge(score_mk, truth, ("a", "b"), Question("new_cells", ("x", "y"), ("a",)), (), None)
    assert found.numbers["precision@10"] == pytest.approx(0.3) and found.numbers["recall@10"] == pytest.approx(0.75)
    assert found.numbers["r_precision"] == pytest.approx(0.75)


def test_fewer_than_ten_cells_have_no_precision_at_ten():
    score_mk, truth = random_scores(0, m=9, absent=0)
    found = judge(score_mk, truth, TYPES, ALL, (), None)
    assert np.isnan(found.numbers["precision@10"]) and not np.isnan(found.numbers["r_precision"])
    assert "fewer than 10 cells" in found.reasons["precision@10"]


def test_cells_beside_a_cell_are_those_of_a_search_by_cosine():
    rng = np.random.default_rng(0)
    train_nd, test_md = rng.normal(size=(300, 5)), rng.normal(size=(1500, 5)) * rng.uniform(0.1, 9, (1500, 1))
    train_types, truth = rng.choice(list("abc"), 300), rng.choice(list("abcx"), 1500)
    share_m = nearest_share(train_nd, test_md, train_types, truth)
    near_mk = NearestNeighbors(n_neighbors=10, metric="cosine").fit(train_nd).kneighbors(test_md)[1]
    known = truth != "x"
    expected = (train_types[near_mk] == truth[:, None]).mean(axis=1)
    assert np.mean(np.isclose(share_m[known], expected[known])) > 0.999  # float32 may swap two at the edge
    assert np.isnan(share_m[~known]).all()
    score_mk = rng.normal(size=(1500, 4))
    types = ("a", "b", "c", "x")
    found = judge(score_mk, truth, types, Question("new_cells", types, types), ("x",), None, share_m)
    assert found.numbers["cell_precision@10"] == pytest.approx(np.nanmean(share_m))
    new = judge(score_mk, truth, types, Question("new_types", types, ("x",)), ("x",), None, share_m)
    assert np.isnan(new.numbers["cell_precision@10"])
    assert new.reasons["cell_precision@10"] == "no training cell has one of these types"


def test_few_training_cells_are_all_looked_at():
    share_m = nearest_share(np.eye(3), np.eye(3), ["a", "a", "b"], ["a", "b", "b"])
    np.testing.assert_allclose(share_m, [2 / 3, 1 / 3, 1 / 3])


@pytest.mark.parametrize(
    ("train_nd", "test_md", "words"),
    [
        (np.ones((3, 2)), np.ones((2, 3)), "two widths"),
        (np.ones((4, 2)), np.ones((2, 2)), "4 training and 2 test cells"),
        (np.full((3, 2), np.nan), np.ones((2, 2)), "not all finite"),
    ],
)
def test_vectors_that_do_not_fit_are_refused(train_nd, test_md, words):
    with pytest.raises(MethodError, match=words):
        nearest_share(train_nd, test_md, ["a", "a", "b"], ["a", "b"])


def test_types_are_plain_columns_that_a_file_can_hold(tmp_path):
    score_mk, truth = random_scores(0)
    found = judge(score_mk, truth, TYPES, ALL, (), 20.0)
    found.types.to_parquet(tmp_path / "types.parquet")
    assert pd.read_parquet(tmp_path / "types.parquet")["judged"].dtype == bool
