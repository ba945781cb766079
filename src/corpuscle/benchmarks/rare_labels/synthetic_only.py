"""Training on synthetic samples and testing on real ones, and the other way round (Esteban et al. 2017)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from corpuscle.errors import OptionError

__all__ = ["train_test_crossed"]

Array = np.ndarray[Any, Any]


def train_test_crossed(
    fit: Callable[[Array, Array], Any],
    score: Callable[[Any, Array, Array], float],
    train: tuple[Array, Array],
    test: tuple[Array, Array],
    synthetic_sd: Array,
    target: int,
) -> dict[str, float]:
    """Score a classifier with real samples of one label replaced by synthetic ones, in training or in testing.

    Samples of the other labels stay real throughout. A replaced label keeps its number of samples where there are as
    many synthetic ones (the first are taken), so that scores differ by what the samples are, not by how many.

    Parameters
    ----------
    fit
        Called with samples and labels; gives a model.
    score
        Called with a model, samples and labels; gives a number, more being better, such as the F1 of the target.
    train, test
        Real samples and labels, (n, d) and (n,), of different series.
    synthetic_sd
        (s, d) synthetic samples of the target in random order.
    target
        Its label.

    Returns
    -------
    scores
        ``trtr`` (real, real), ``tstr`` (trained on synthetic, tested on real), ``trts`` (the reverse), and
        ``tstr_ratio``, tstr over trtr; NaN where trtr is not above 0.

    Raises
    ------
    OptionError
        No synthetic samples, or none of the target to replace.
    """
    if not len(synthetic_sd):
        raise OptionError("no synthetic samples to train on or to test with")
    model = fit(*train)
    trtr, trts = score(model, *test), score(model, *_replaced(*test, synthetic_sd, target, "test"))
    tstr = score(fit(*_replaced(*train, synthetic_sd, target, "training")), *test)
    ratio = tstr / trtr if trtr > 0 else np.nan
    return {"trtr": float(trtr), "tstr": float(tstr), "trts": float(trts), "tstr_ratio": float(ratio)}


def _replaced(x_nd: Array, code_n: Array, synthetic_sd: Array, target: int, what: str) -> tuple[Array, Array]:
    is_target_n = code_n == target
    if not is_target_n.any():
        raise OptionError(f"no {what} sample is of label {target}, so there is none to replace")
    new_kd = synthetic_sd[: int(is_target_n.sum())]
    x_md = np.concatenate([x_nd[~is_target_n], new_kd.astype(x_nd.dtype, copy=False)])
    return x_md, np.concatenate([code_n[~is_target_n], np.full(len(new_kd), target, dtype=code_n.dtype)])
