"""Paired comparisons over few units: exact sign flips, Holm's correction, and a bootstrap interval of the mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from corpuscle.seeds import stream

__all__ = ["FEWEST_SETS", "bootstrap_interval", "by_block", "holm", "sign_flip", "tested"]

Array = np.ndarray[Any, Any]

#: Up to here all signs are enumerated; beyond, as many are drawn as this number would have.
EXACT_UNITS = 14
ROUNDS = 10_000
#: With fewer units no p-value of exact sign flips can be below 0.05.
FEWEST_SETS = 6


def sign_flip(difference_s: Array, rng: np.random.Generator) -> float:
    """Two-sided p of the mean under random signs: exact for few units, of which the smallest is 2 / 2**s."""
    n = difference_s.size
    if n <= EXACT_UNITS:
        signs = np.array(list(product((-1, 1), repeat=n)))
    else:
        signs = np.vstack([np.ones(n), rng.choice([-1, 1], size=(2**EXACT_UNITS, n))])
    means = np.abs(signs @ difference_s)
    return float((means >= np.abs(difference_s.sum()) - 1e-12).mean())


def holm(p: list[float]) -> list[float]:
    """Holm's step-down adjustment; a p that is NaN stays NaN and counts for nothing."""
    order = np.argsort(p, kind="stable")
    out = np.full(len(p), np.nan)
    known = int(np.isfinite(p).sum())
    highest = 0.0
    for place, i in enumerate(order[:known]):
        highest = max(highest, min(1.0, (known - place) * p[i]))
        out[i] = highest
    return [float(value) for value in out]


def bootstrap_interval(value_s: Array, rng: np.random.Generator, rounds: int = ROUNDS) -> tuple[float, float]:
    """95 % percentile interval of the mean, units resampled; NaN for fewer than two."""
    if value_s.size < 2:
        return float("nan"), float("nan")
    picks = rng.integers(value_s.size, size=(rounds, value_s.size))
    low, high = np.percentile(value_s[picks].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


def by_block(
    pairs: pd.DataFrame, block: Sequence[str], tests: Callable[[pd.DataFrame, dict[str, Any]], dict[str, Any]]
) -> list[dict[str, Any]]:
    """Test every method of every block of a table of pairs, and adjust p over the methods of a block.

    Parameters
    ----------
    pairs
        Row a data set and method, with the columns of ``block`` and ``method``.
    block
        Columns within which methods are compared.
    tests
        Makes a row, with its ``p``, of the pairs of one method and the names of the block.
    """
    rows: list[dict[str, Any]] = []
    for key, of_block in pairs.groupby(list(block), sort=True):
        names = dict(zip(block, key, strict=True))
        found = [
            names | {"method": str(method)} | tests(rows_of.sort_values("dataset"), names | {"method": str(method)})
            for method, rows_of in of_block.groupby("method", sort=True)
        ]
        adjusted = holm([row["p"] for row in found])
        rows += [row | {"p_holm": p} for row, p in zip(found, adjusted, strict=True)]
    return rows


def tested(difference_s: Array, seed: int, *names: str) -> dict[str, Any]:
    """Test differences of data sets.

    Parameters
    ----------
    difference_s
        (s,) of each data set, in an order that does not depend on the run.
    seed, names
        Of the streams of the bootstrap, and of the signs where there are too many data sets to enumerate them.

    Returns
    -------
    dict
        ``difference`` (mean), ``ci_low`` and ``ci_high`` (95 %, data sets resampled), ``n_better`` of ``n_sets``, ``p``
        (two-sided, exact sign flips; NaN for fewer than 6 data sets) and a ``note``, ``not testable`` for those.
    """
    n = difference_s.size
    low, high = bootstrap_interval(difference_s, stream(seed, "compare", *names, "bootstrap"))
    testable = n >= FEWEST_SETS
    return {
        "difference": float(difference_s.mean()),
        "ci_low": low,
        "ci_high": high,
        "n_better": int(np.count_nonzero(difference_s > 0)),
        "n_sets": n,
        "p": sign_flip(difference_s, stream(seed, "compare", *names, "signs")) if testable else float("nan"),
        "note": "" if testable else f"not testable: {n} data set{'s' * (n != 1)}",
    }
