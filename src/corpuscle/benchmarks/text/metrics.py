"""How well words name cells and find them, from the scores of one question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.special import softmax

from corpuscle.errors import MethodError
from corpuscle.models.celltext.zero_shot import label_metrics, retrieval_metrics

if TYPE_CHECKING:
    from corpuscle.benchmarks.text._draw import Question

__all__ = [
    "METRICS",
    "NEAREST",
    "NEW_TYPES",
    "PER_CELL",
    "PER_TYPE",
    "TYPES",
    "Judged",
    "judge",
    "nearest_share",
    "type_means",
]

Array = np.ndarray[Any, Any]

#: Cells that a text finds, and training cells beside a cell, that are looked at.
NEAREST = 10
#: Rows of cells that are compared with all training cells at a time.
BLOCK = 1024
#: End of the tasks about types that no training cell had.
NEW_TYPES = "new_types"
#: Means over types, and the column of :attr:`Judged.types` that each is the mean of.
PER_TYPE = {
    "balanced_accuracy": "recall",
    "macro_f1": "f1",
    "mean_auc": "auc",
    "mean_auc_raw": "auc_raw",
    "precision@10": "precision@10",
    "recall@10": "recall@10",
    "r_precision": "r_precision",
    "average_precision": "average_precision",
}
#: Means over cells.
PER_CELL = ("accuracy", "mrr", "mean_rank", "topk_accuracy@3", "accuracy_over_random", "cell_precision@10")
METRICS = (
    "accuracy", "balanced_accuracy", "macro_f1", "mean_auc", "mean_auc_raw", "mrr", "mean_rank", "topk_accuracy@3",
    "accuracy_over_random", "precision@10", "recall@10", "r_precision", "average_precision", "cell_precision@10",
    "unanswered",
)  # fmt: skip
_OF_WORDS = ("auc", "auc_raw", "precision@10", "recall@10", "r_precision", "average_precision")
#: Columns of :attr:`Judged.types`.
TYPES = ["type", "judged", "left_out", "n", "recall", "f1", *_OF_WORDS, "reason"]
_UNSAID = "the method can say nothing of this type"


@dataclass(frozen=True)
class Judged:
    """Everything that is said of the scores of one question.

    Attributes
    ----------
    numbers
        Metric (:data:`METRICS`) -> value, NaN where it does not exist.
    reasons
        Metric -> why it does not.
    types
        Row a type that has words and cells: type, judged (whether the question is about it), left_out, n (its cells),
        recall, f1, auc, auc_raw, precision@10, recall@10, r_precision, average_precision, reason (why some of these are
        NaN). Types that the question is not about are there in questions of new types only.
    n
        Cells judged.
    """

    numbers: dict[str, float]
    reasons: dict[str, str]
    types: pd.DataFrame
    n: int


def judge(
    score_mk: Array,
    truth: Sequence[str],
    types: Sequence[str],
    question: Question,
    left_out: Sequence[str],
    scale: float | None,
    nearest_m: Array | None = None,
) -> Judged:
    """Judge the scores of one question.

    Judged are the cells of the types that the question is about and has words for, against all types that have words.
    Words are searched for among all test cells of the draw: the others count as negatives of their AUC, precision and
    recall. F1 is over the judged cells; where types are new, over all, or there would be nothing to mistake for them.

    Labels, ranks and ``mean_auc`` are of the probabilities of the types of a cell; ``mean_auc_raw`` and what a text finds
    are of the scores as they are, since those are what a search by words sorts by. A type of which a method can say
    nothing (a column of NaN) is never chosen: its recall is 0, and it has no AUC.

    Parameters
    ----------
    score_mk
        (m, K) score of every test cell for every type's words, higher is better. A column of NaN has no answer.
    truth
        (m,) true types.
    types
        (K,) types asked for.
    question
        With the words of each type, and the types that it is about.
    left_out
        Types without a training cell.
    scale
        Factor of the scores before the softmax over types; None where scores are probabilities already.
    nearest_m
        (m,) from :func:`nearest_share`; None where a method has no vectors of cells.
    """
    true_m, score_mk = np.asarray(truth, dtype=object), np.asarray(score_mk, dtype=np.float64)
    asked = [name for name, text in zip(types, question.texts, strict=True) if text is not None]
    about = [name for name in asked if name in set(question.judged)]
    said_k = ~np.isnan(score_mk).any(axis=0) & np.isin(types, asked)
    labels = [name for name, said in zip(types, said_k, strict=True) if said]
    here_m, new = np.isin(true_m, about), question.task.endswith(NEW_TYPES)
    present = [name for name in (asked if new else about) if (true_m == name).any()]
    unanswered = {"unanswered": float(sum(name in about and name not in labels for name in present))}
    if not here_m.any() or not labels:
        why = "the method can say nothing of any type" if here_m.any() else "none of these types has words and a cell"
        gone = {metric: why for metric in METRICS if metric != "unanswered"}
        return Judged(dict.fromkeys(gone, np.nan) | unanswered, gone, _no_types(), int(here_m.sum()))
    raw_mk = score_mk[:, said_k]
    share_mk = raw_mk if scale is None else softmax(raw_mk * scale, axis=1)
    table = _per_type(share_mk, raw_mk, true_m, labels, present, np.ones_like(here_m) if new else here_m)
    table = table.assign(judged=np.isin(present, about), left_out=np.isin(present, left_out))
    chance = 1.0 / (len(asked) if new else len(present))
    numbers, reasons = _per_cell(share_mk[here_m], true_m[here_m], labels, chance)
    of_types, why_types = type_means(table)
    found, why = _beside(nearest_m, here_m)
    numbers |= of_types | {"cell_precision@10": found} | unanswered
    reasons |= why_types | ({"cell_precision@10": why} if why else {})
    return Judged({metric: numbers[metric] for metric in METRICS}, reasons, table[TYPES], int(here_m.sum()))


def type_means(types: pd.DataFrame) -> tuple[dict[str, float], dict[str, str]]:
    """Means over the judged types of a table of :class:`Judged`, and why some do not exist."""
    judged = types[types["judged"].astype(bool)]
    numbers = {metric: float(judged[column].mean()) for metric, column in PER_TYPE.items()}
    why = "; ".join(dict.fromkeys(one for one in judged["reason"] if one))
    return numbers, {metric: why for metric, value in numbers.items() if np.isnan(value)}


def nearest_share(train_nd: Array, test_md: Array, train_types: Sequence[str], truth: Sequence[str]) -> Array:
    """(m,) share of a test cell's 10 nearest training cells, by cosine, that have its type; NaN for types none of them has.

    Parameters
    ----------
    train_nd, test_md
        Vectors of the training and of the test cells.
    train_types, truth
        (n,) and (m,) their types.

    Raises
    ------
    MethodError
        Vectors of another number of cells, of two widths, or that are not finite.
    """
    train_nd, test_md = (np.asarray(x, dtype=np.float32) for x in (train_nd, test_md))
    if train_nd.ndim != 2 or train_nd.shape[1:] != test_md.shape[1:]:
        raise MethodError(f"vectors of cells have the shapes {train_nd.shape} and {test_md.shape}: two widths")
    if (len(train_nd), len(test_md)) != (len(train_types), len(truth)):
        raise MethodError(
            f"vectors of {len(train_nd):,} training and {len(test_md):,} test cells, of {len(train_types):,} and "
            f"{len(truth):,}"
        )
    if not (np.isfinite(train_nd).all() and np.isfinite(test_md).all()):
        raise MethodError("vectors of cells are not all finite")
    code_n, names = pd.factorize(np.asarray(train_types, dtype=object))
    code_m = pd.Index(names).get_indexer(np.asarray(truth, dtype=object))
    train_dn, k = _unit(train_nd).T, min(NEAREST, len(train_nd))
    share_m = np.empty(len(test_md))
    for start in range(0, len(test_md), BLOCK):
        block = slice(start, start + BLOCK)
        near_bk = np.argpartition(-(_unit(test_md[block]) @ train_dn), k - 1, axis=1)[:, :k]
        share_m[block] = (code_n[near_bk] == code_m[block, None]).mean(axis=1)
    share_m[code_m < 0] = np.nan
    return share_m


def _unit(x_nd: Array) -> Array:
    norm_n1 = np.linalg.norm(x_nd, axis=1, keepdims=True)
    return np.asarray(x_nd / np.where(norm_n1 > 0, norm_n1, 1))


def _no_types() -> pd.DataFrame:
    kinds = dict.fromkeys(TYPES, "float64") | {"type": "object", "n": "int64", "reason": "object"}
    kinds |= {"judged": "bool", "left_out": "bool"}
    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in kinds.items()})


def _per_type(
    share_mk: Array, raw_mk: Array, true_m: Array, labels: list[str], present: list[str], counted_m: Array
) -> pd.DataFrame:
    """Each of these types; ``labels`` are the types of the columns, ``counted_m`` the cells of the F1."""
    best_m = np.asarray(labels, dtype=object)[share_mk.argmax(axis=1)]
    truth = true_m.tolist()
    of_label = label_metrics(share_mk, truth, labels)
    of_raw = of_label if share_mk is raw_mk else label_metrics(raw_mk, truth, labels)
    found = retrieval_metrics(raw_mk, truth, labels, at=(NEAREST,))
    rows = []
    for name in present:
        is_m, said_m = true_m == name, counted_m & (best_m == name)
        n, hits = int(is_m.sum()), int((is_m & said_m).sum())
        row = {"type": name, "n": n, "recall": hits / n, "f1": 2 * hits / (n + int(said_m.sum()))}
        if name not in found.index:
            rows.append(row | dict.fromkeys(_OF_WORDS, np.nan) | {"reason": _UNSAID})
            continue
        row |= {"auc": of_label.at[f"{name}/auc", "value"], "auc_raw": of_raw.at[f"{name}/auc", "value"]}
        row |= {column: found.at[name, column] for column in _OF_WORDS[2:]}
        whys = dict.fromkeys(
            str(why) for why in (of_label.at[f"{name}/auc", "reason"], found.at[name, "reason"]) if why
        )
        rows.append(row | {"reason": "; ".join(whys)})
    return pd.DataFrame(rows)


def _per_cell(
    share_jk: Array, true_j: Array, labels: list[str], chance: float
) -> tuple[dict[str, float], dict[str, str]]:
    table = label_metrics(share_jk, true_j.tolist(), labels, top=(1, 3))["value"]
    code_j = pd.Index(labels).get_indexer(true_j)
    ranked = code_j >= 0
    numbers = {metric: float(table[metric]) for metric in ("accuracy", "mrr", "topk_accuracy@3")}
    numbers["accuracy_over_random"] = numbers["accuracy"] / chance
    numbers["mean_rank"] = float(_ranks(share_jk[ranked], code_j[ranked]).mean()) if ranked.any() else np.nan
    return numbers, {} if ranked.any() else {"mean_rank": _UNSAID}


def _ranks(share_jk: Array, code_j: Array) -> Array:
    """(j,) rank of the true type of each cell, from 1; ties by the order of the types."""
    own_j1 = share_jk[np.arange(len(code_j)), code_j][:, None]
    before_jk = (share_jk == own_j1) & (np.arange(share_jk.shape[1]) < code_j[:, None])
    return np.asarray(1 + ((share_jk > own_j1) | before_jk).sum(axis=1))


def _beside(nearest_m: Array | None, here_m: Array) -> tuple[float, str]:
    """Mean share of like training cells beside the judged cells, or why there is none."""
    if nearest_m is None:
        return float("nan"), "the method has no vectors of cells"
    share_j = nearest_m[here_m]
    share_j = share_j[~np.isnan(share_j)]
    return (float(share_j.mean()), "") if share_j.size else (float("nan"), "no training cell has one of these types")
