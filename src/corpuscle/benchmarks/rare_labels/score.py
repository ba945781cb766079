"""How well a label is found among held-out samples, and what becomes of the other labels."""

from __future__ import annotations

from typing import Any

import numpy as np

from corpuscle.seeds import stream

__all__ = ["METRICS", "N_REPLICATES", "classifier", "f1_of", "scores", "series_weights"]

Array = np.ndarray[Any, Any]
#: What is judged; more is better in all.
METRICS = ("auprc", "f1", "recall", "precision", "macro_f1_others")
#: Resamples of the held-out series, the same for every arm of a draw.
N_REPLICATES = 100
#: Times that a resample without any sample of the label is drawn again.
TRIES = 30


def classifier(x_nd: Array, code_n: Array, w_n: Array) -> Any:
    """Multinomial logistic regression (C = 1), the same for every arm."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=1.0, max_iter=1000).fit(x_nd.astype(np.float64), code_n, sample_weight=w_n)


def scores(model: Any, x_md: Array, code_m: Array, target: int, weight_bm: Array) -> dict[str, Array]:
    """Scores of a model on held-out samples, under weights.

    Parameters
    ----------
    model
        A fitted classifier whose classes are codes.
    x_md, code_m
        Held-out samples and their labels.
    target
        The rare label.
    weight_bm
        (b, m) how often each sample counts, one row a resample.

    Returns
    -------
    scores
        Metric -> (b,): ``auprc`` (average precision), ``recall``, ``precision`` and ``f1`` of the target, the last
        three 0 where nothing is found; ``macro_f1_others``, the mean F1 of the other labels that the model knows and
        that are among the held-out samples.
    """
    probability_ml = model.predict_proba(x_md.astype(np.float64))
    classes_l = np.asarray(model.classes_)
    predicted_m = classes_l[probability_ml.argmax(axis=1)]
    at = int(np.flatnonzero(classes_l == target)[0])
    true_ml, said_ml = (code_m[:, None] == classes_l).astype(float), (predicted_m[:, None] == classes_l).astype(float)
    true_bl, said_bl, both_bl = weight_bm @ true_ml, weight_bm @ said_ml, weight_bm @ (true_ml * said_ml)
    f1_bl = 2 * both_bl / np.maximum(true_bl + said_bl, 1e-12)
    present_bl = true_bl > 0
    present_bl[:, at] = False
    n_present_b = present_bl.sum(axis=1)
    others_b = np.where(n_present_b > 0, (f1_bl * present_bl).sum(axis=1) / np.maximum(n_present_b, 1), np.nan)
    return {
        "auprc": _average_precision(probability_ml[:, at], code_m == target, weight_bm),
        "f1": f1_bl[:, at],
        "recall": both_bl[:, at] / np.maximum(true_bl[:, at], 1e-12),
        "precision": both_bl[:, at] / np.maximum(said_bl[:, at], 1e-12),
        "macro_f1_others": others_b,
    }


def _average_precision(score_m: Array, is_target_m: Array, weight_bm: Array) -> Array:
    """(b,) sum of precision times step in recall over the distinct scores, largest first."""
    order = np.argsort(-score_m, kind="stable")
    last_k = np.append(np.flatnonzero(np.diff(score_m[order])), len(order) - 1)
    weight_bm = weight_bm[:, order]
    found_bk = np.cumsum(weight_bm * is_target_m[order], axis=1)[:, last_k]
    called_bk = np.cumsum(weight_bm, axis=1)[:, last_k]
    step_bk = np.diff(found_bk, axis=1, prepend=0.0)
    precision_bk = found_bk / np.maximum(called_bk, 1e-12)
    return np.asarray((precision_bk * step_bk).sum(axis=1) / found_bk[:, -1])


def f1_of(model: Any, x_nd: Array, code_n: Array, target: int) -> float:
    """F1 of one label."""
    said_n = model.predict(x_nd.astype(np.float64)) == target
    both = int((said_n & (code_n == target)).sum())
    return 2 * both / max(int(said_n.sum() + (code_n == target).sum()), 1)


def series_weights(groups_m: Array, is_target_m: Array, seed: int, name: str, n: int = N_REPLICATES) -> Array:
    """(n, m) how often each held-out sample counts when series are drawn with replacement.

    A resample without any sample of the label is drawn again; where that does not help, all series count once.
    """
    rng = stream(seed, "rare-labels", "series", name)
    _, group_m = np.unique(groups_m, return_inverse=True)
    n_groups = int(group_m.max()) + 1
    share = np.full(n_groups, 1 / n_groups)
    weight_bm = rng.multinomial(n_groups, share, size=n)[:, group_m]
    for _ in range(TRIES):
        without = np.flatnonzero(weight_bm[:, is_target_m].sum(axis=1) == 0)
        if not len(without):
            break
        weight_bm[without] = rng.multinomial(n_groups, share, size=len(without))[:, group_m]
    weight_bm[weight_bm[:, is_target_m].sum(axis=1) == 0] = 1
    return weight_bm.astype(np.float64)
