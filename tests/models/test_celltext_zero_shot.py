from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from corpuscle.errors import MethodError, OptionError
from corpuscle.models.celltext.zero_shot import label_metrics, retrieval_metrics, zero_shot

LABELS = ["B", "NK", "T", "mono"]


def values(table, column="value"):
    return table[column].to_dict()


@pytest.fixture
def tied():
    rng = np.random.default_rng(0)
    truth = rng.choice(LABELS, 200, p=[0.5, 0.2, 0.2, 0.1]).astype(object)
    # Few distinct values: ties within rows and within columns.
    score_nk = rng.integers(0, 5, (200, 4)) + 2.0 * (truth[:, None] == np.asarray(LABELS)) * rng.integers(
        0, 2, (200, 1)
    )
    return score_nk, truth


def test_scores_are_cosines_and_softmax_sums_to_one_per_cell():
    rng = np.random.default_rng(1)
    cell_nd, text_kd = rng.normal(size=(6, 5)), rng.normal(size=(3, 5))
    wanted = cell_nd @ text_kd.T / np.linalg.norm(cell_nd, axis=1)[:, None] / np.linalg.norm(text_kd, axis=1)
    np.testing.assert_allclose(zero_shot(cell_nd, text_kd, scale=7), 7 * wanted, rtol=1e-5)
    share = zero_shot(cell_nd, text_kd, scale=7, softmax=True)
    np.testing.assert_allclose(share.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(share.argmax(axis=1), wanted.argmax(axis=1))


def test_metrics_are_those_of_scikit_learn_with_ties(tied):
    score_nk, truth = tied
    found = values(label_metrics(score_nk, truth, LABELS))
    said = np.asarray(LABELS, dtype=object)[score_nk.argmax(axis=1)]
    aucs = [sk.roc_auc_score(truth == label, score_nk[:, k]) for k, label in enumerate(LABELS)]
    assert found["mean_auc"] == pytest.approx(np.mean(aucs))
    assert found["std_auc"] == pytest.approx(np.std(aucs))
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(truth, said))
    assert found["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(truth, said))
    assert found["macro_f1"] == pytest.approx(sk.f1_score(truth, said, average="macro"))
    assert found["random_baseline_accuracy"] == 0.25
    assert found["accuracy_over_random"] == pytest.approx(4 * found["accuracy"])
    for k, label in enumerate(LABELS):
        assert found[f"{label}/auc"] == pytest.approx(aucs[k])
        assert found[f"{label}/accuracy"] == pytest.approx(sk.recall_score(truth == label, said == label))
    # scikit-learn gives ties to the last column, so it is asked with the columns turned round.
    code = np.asarray([LABELS.index(label) for label in truth])
    for k in (1, 3):
        wanted = sk.top_k_accuracy_score(3 - code, score_nk[:, ::-1], k=k, labels=range(4))
        assert found[f"topk_accuracy@{k}"] == pytest.approx(wanted)
    assert found["topk_accuracy@1"] == found["accuracy"]
    assert found["topk_accuracy@5"] == 1
    assert found["coverage"] == 1


def test_reciprocal_rank_by_hand():
    found = values(label_metrics([[3, 2, 1], [1, 1, 1], [0, 5, 9]], ["a", "c", "x"], ["a", "b", "c"]))
    assert found["mrr"] == pytest.approx((1 + 1 / 3 + 0) / 3)


def test_absent_labels_are_named_and_not_zero(tied):
    score_nk, truth = tied
    table = label_metrics(score_nk[:, :3], truth, [*LABELS[:2], "nobody"])
    found, reasons = values(table), values(table, "reason")
    assert np.isnan(found["nobody/auc"]) and np.isnan(found["nobody/accuracy"])
    assert reasons["nobody/auc"] == "no cell has this label"
    assert found["coverage"] == pytest.approx(np.isin(truth, LABELS[:2]).mean())
    assert "'T'" in reasons["coverage"] and "'mono'" in reasons["coverage"]
    said = np.asarray([*LABELS[:2], "nobody"], dtype=object)[score_nk[:, :3].argmax(axis=1)]
    assert found["accuracy"] == pytest.approx((said == truth).mean())
    assert found["balanced_accuracy"] == pytest.approx(np.mean([(said == b)[truth == b].mean() for b in LABELS[:2]]))
    wanted = sk.f1_score(truth, said, labels=LABELS, average="macro", zero_division=0)
    assert found["macro_f1"] == pytest.approx(wanted)
    assert found["mean_auc"] == pytest.approx(np.mean([found["B/auc"], found["NK/auc"]]))


def test_one_class_and_no_known_cell_are_undefined():
    table = label_metrics([[1.0, 0.0], [0.0, 1.0]], ["a", "a"], ["a", "b"])
    assert np.isnan(table.value["mean_auc"]) and table.reason["mean_auc"]
    assert table.reason["a/auc"] == "every cell has this label"
    assert table.value["accuracy"] == 0.5
    empty = label_metrics([[1.0, 0.0]], [None], ["a", "b"])
    undefined = ["mean_auc", "accuracy", "balanced_accuracy", "macro_f1", "mrr", "coverage", "accuracy_over_random"]
    assert empty.value[undefined].isna().all() and (empty.reason[undefined] != "").all()
    assert empty.value["n_unlabelled"] == 1


def test_unlabelled_cells_are_left_out(tied):
    score_nk, truth = tied
    wanted = label_metrics(score_nk[10:], truth[10:], LABELS)
    truth = truth.copy()
    truth[:10] = None
    found = label_metrics(score_nk, truth, LABELS)
    assert found.value["n_unlabelled"] == 10
    assert found.value.drop("n_unlabelled").equals(wanted.value.drop("n_unlabelled"))


def test_retrieval_with_group_relevance(tied):
    score_nk, truth = tied
    found = retrieval_metrics(score_nk, truth, [*LABELS[:3], "nobody"], at=(10, 500))
    for k, label in enumerate(LABELS[:3]):
        is_n = truth == label
        assert found.average_precision[label] == pytest.approx(sk.average_precision_score(is_n, score_nk[:, k]))
        assert found.chance[label] == pytest.approx(is_n.mean())
        assert found.n_relevant[label] == is_n.sum()
        # The mean over many random orders of the cells.
        rng = np.random.default_rng(k)
        draws = []
        for _ in range(2000):
            order = rng.permutation(200)
            draws.append(is_n[order][np.argsort(-score_nk[order, k], kind="stable")[:10]].mean())
        assert found["precision@10"][label] == pytest.approx(np.mean(draws), abs=0.02)
        assert found["recall@10"][label] == pytest.approx(found["precision@10"][label] * 10 / is_n.sum())
    assert found["precision@500"].isna().all()
    assert np.isnan(found["precision@10"]["nobody"]) and found.reason["nobody"] == "no cell has this label"


def test_retrieval_by_hand():
    found = retrieval_metrics([[4.0], [3.0], [2.0], [1.0]], ["a", "b", "a", "b"], ["a"], at=(1, 3))
    assert found.loc["a", ["precision@1", "precision@3", "recall@3", "r_precision"]].tolist() == [1, 2 / 3, 1, 0.5]


@pytest.mark.parametrize(
    ("score", "truth", "labels", "error"),
    [
        ([[1.0, 2.0]], ["a"], ["a"], OptionError),
        ([[1.0, 2.0]], ["a"], ["a", "a"], OptionError),
        ([[1.0, np.nan]], ["a"], ["a", "b"], MethodError),
    ],
)
def test_what_does_not_fit_is_refused(score, truth, labels, error):
    with pytest.raises(error):
        label_metrics(score, truth, labels)
    with pytest.raises(error):
        retrieval_metrics(score, truth, labels)


def test_zero_embeddings_and_other_widths_are_refused():
    with pytest.raises(MethodError, match="1 cell embeddings are zero"):
        zero_shot(np.asarray([[0.0, 0.0], [1.0, 0.0]]), np.ones((1, 2)))
    with pytest.raises(OptionError, match="one width"):
        zero_shot(np.ones((1, 3)), np.ones((1, 2)))
