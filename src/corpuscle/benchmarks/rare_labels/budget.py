"""How many synthetic samples, and what each sample weighs: the same weight of the rare label in every arm.

An arm that adds ten times as many samples would otherwise also raise the weight of the label elevenfold, and be
credited for what class weights give for nothing. So in every arm but ``none`` the real and synthetic samples of the
target together weigh what ``class_weight="balanced"`` gives the label; arms differ only in where that weight lies.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from corpuscle.errors import OptionError

__all__ = ["AMOUNTS", "Amount", "n_synthetic", "read_amount", "sample_weights"]

Array = np.ndarray[Any, Any]
Amount = float | Literal["median"]
#: Synthetic samples for each real one of the target; ``"median"`` fills the label up to the median class size.
AMOUNTS: tuple[Amount, ...] = (1.0, 5.0, 10.0, "median")
#: No machine of ours judges more; a ratio beyond is a slip.
MAX_RATIO = 1000.0


def read_amount(text: str | float) -> Amount:
    """A ratio above 0, or ``"median"``.

    Raises
    ------
    OptionError
        It is neither.
    """
    if isinstance(text, str) and text.strip().lower() == "median":
        return "median"
    try:
        ratio = float(text)
    except ValueError:
        ratio = np.nan
    if not 0 < ratio <= MAX_RATIO:
        raise OptionError(f"amount {str(text)[:40]!r} must be 'median' or a ratio above 0 and at most {MAX_RATIO:g}")
    return ratio


def n_synthetic(amount: Amount, code_n: Array, target: int) -> int:
    """Synthetic samples that an amount asks for.

    Parameters
    ----------
    amount
        Synthetic samples for each real one, rounded up; or ``"median"``: as many as are missing to the median size of
        all classes, the target among them, which may be none.
    code_n
        (n,) labels of the training samples; below 0 is no class.
    target
        Label to make more of.

    Examples
    --------
    >>> n_synthetic(5, np.array([0, 0, 0, 1, 1, 1, 1, 2]), 2), n_synthetic("median", np.array([0, 0, 0, 1, 1, 2]), 2)
    (5, 1)
    """
    n_own = int(np.count_nonzero(code_n == target))
    if amount == "median":
        sizes_l = np.unique(code_n[code_n >= 0], return_counts=True)[1]
        return max(0, int(np.floor(np.median(sizes_l))) - n_own) if len(sizes_l) else 0
    return int(np.ceil(amount * n_own - 1e-9))


def sample_weights(
    code_n: Array, code_s: Array, target: int, budget: Literal["balanced"] | None = "balanced"
) -> tuple[Array, Array]:
    """Weights of real and synthetic training samples.

    Parameters
    ----------
    code_n
        (n,) labels of the real samples; below 0 is no class and weighs 0.
    code_s
        (s,) labels of the synthetic samples, all of them the target; empty for the arm of class weights.
    target
        Code of the label that was made more of.
    budget
        ``"balanced"``: each of the L classes weighs n / L in all, as by scikit-learn's ``class_weight="balanced"`` on
        the real samples alone, and the target's share is divided evenly over its real and synthetic samples. None:
        every real sample weighs 1, for the arm that adds nothing.

    Returns
    -------
    w_n, w_s
        float64. Pass them as ``sample_weight`` and leave the classifier's own ``class_weight`` at None.

    Raises
    ------
    OptionError
        The target has no real sample, a synthetic one is of another label, or there are any without a budget.
    """
    code_n, code_s = np.asarray(code_n), np.asarray(code_s)
    is_class_n = code_n >= 0
    if not (code_n == target).any() or target < 0:
        raise OptionError(f"label {target} has no training sample, so it has no weight to divide")
    if (code_s != target).any():
        raise OptionError(f"synthetic samples must all be of label {target}; others have no weight of their own")
    if budget is None:
        if len(code_s):
            raise OptionError(
                "synthetic samples without a budget would raise the weight of their label; use 'balanced'"
            )
        return is_class_n.astype(np.float64), np.empty(0)
    classes_l, at_n, size_l = np.unique(code_n[is_class_n], return_inverse=True, return_counts=True)
    total = is_class_n.sum() / len(classes_l)
    size_l = size_l + np.where(classes_l == target, len(code_s), 0)
    w_n = np.zeros(len(code_n))
    w_n[is_class_n] = (total / size_l)[at_n]
    return w_n, np.full(len(code_s), total / size_l[classes_l == target][0])
