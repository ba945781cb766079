"""Topics that one group of cells uses more, or less, than all other cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
import scipy.sparse as sp

from corpuscle.errors import MethodError, OptionError
from corpuscle.seeds import stream

__all__ = ["MIN_CELLS", "Test", "differential_topics", "topic_matrix"]

Array = np.ndarray[Any, Any]
Test = Literal["mannwhitney", "permutation"]

#: A group, or what is left beside it, with fewer cells is not tested.
MIN_CELLS = 5


def differential_topics(
    logits_nk: Array | pd.DataFrame,
    groups: Sequence[Any] | Array | pd.Series,
    test: Test = "mannwhitney",
    min_diff: float = 1.0,
    fdr: float = 0.05,
    seed: int = 0,
    *,
    n_permutations: int = 1000,
    min_cells: int = MIN_CELLS,
) -> pd.DataFrame:
    """Test every topic in every group of cells against all other cells, two-sided.

    Cells are the units of the test: it says whether these cells differ, not whether the next donor's will.

    Parameters
    ----------
    logits_nk
        (n, K) topic logits; the columns of a data frame name the topics, otherwise they are called by position.
    groups
        (n,) group of each cell. Cells without one (NaN, None) are left out of both sides.
    test
        ``"mannwhitney"``: U test with tie and continuity corrections, normal approximation. ``"permutation"``:
        difference of means under random relabelling, p = (1 + at least as large) / (1 + permutations).
    min_diff
        Least absolute difference of mean logits of a significant topic.
    fdr
        Largest adjusted p of a significant topic.
    seed
        Of the permutations.
    n_permutations
        How many; the smallest p possible is one over one more.
    min_cells
        Groups with fewer cells are listed with a reason instead of numbers.

    Returns
    -------
    DataFrame, one row a group and topic
        ``group, topic, n_group, n_rest, mean_group, mean_rest, difference, auroc`` (share of pairs of one cell of the
        group and one of the rest in which the former is higher), ``p, p_adjusted`` (Benjamini-Hochberg over all tests
        made), ``significant, reason``. Groups in sorted order, and within one the largest difference first.

    Raises
    ------
    OptionError
        Lengths differ, there are fewer than two groups, or a threshold makes no sense.
    MethodError
        A logit is not finite.

    Notes
    -----
    Source of the thresholds: the published analysis of melanoma with scE2TM (arXiv 2507.08355).
    """
    x_nk, topics = topic_matrix(logits_nk)
    _check_options(test, min_diff, fdr, n_permutations, min_cells)
    code_n, names = _codes(groups, len(x_nk))
    x_nk, code_n = x_nk[code_n >= 0], code_n[code_n >= 0]
    member_gn = sp.csr_matrix((np.ones(code_n.size), (code_n, np.arange(code_n.size))), shape=(len(names), code_n.size))
    n_g = np.bincount(code_n, minlength=len(names))
    tested_g = (n_g >= min_cells) & (code_n.size - n_g >= min_cells)
    difference_gk, auroc_gk, p_gk = _mann_whitney(x_nk, member_gn, n_g)
    if test == "permutation":
        p_gk = _permutation(x_nk, member_gn, n_g, difference_gk, stream(seed, "differential topics"), n_permutations)
    for values_gk in (difference_gk, auroc_gk, p_gk):
        values_gk[~tested_g] = np.nan
    table = _table(x_nk, member_gn, n_g, names, topics)
    table["difference"], table["auroc"], table["p"] = difference_gk.ravel(), auroc_gk.ravel(), p_gk.ravel()
    table["p_adjusted"] = _adjusted(table["p"].to_numpy())
    table["significant"] = (table["p_adjusted"] <= fdr) & (table["difference"].abs() >= min_diff)
    table["reason"] = np.repeat([_reason(n, code_n.size - n, min_cells) for n in n_g], len(topics))
    order = np.lexsort((-table["difference"].fillna(0.0), np.repeat(np.arange(len(names)), len(topics))))
    return table.iloc[order].reset_index(drop=True)


def topic_matrix(values_nk: Array | pd.DataFrame) -> tuple[Array, list[Any]]:
    """Finite (n, K) float64 values and the names of their K topics.

    Raises
    ------
    OptionError
        Not two-dimensional.
    MethodError
        A value is not finite.
    """
    x_nk = np.asarray(values_nk, np.float64)
    if x_nk.ndim != 2 or x_nk.shape[1] == 0:
        raise OptionError(f"topics must be a cells x topics matrix, not of shape {x_nk.shape}")
    topics = list(values_nk.columns) if isinstance(values_nk, pd.DataFrame) else list(range(x_nk.shape[1]))
    if not np.isfinite(x_nk).all():
        cell, topic = np.argwhere(~np.isfinite(x_nk))[0]
        raise MethodError(
            f"topic {topics[topic]} of cell {cell} is {x_nk[cell, topic]}: leave out cells without expression, or train "
            "the model again if every cell is so"
        )
    return x_nk, topics


def _check_options(test: str, min_diff: float, fdr: float, n_permutations: int, min_cells: int) -> None:
    if test not in get_args(Test):
        raise OptionError(f"no test is called {test!r}; there are: {', '.join(get_args(Test))}")
    if not min_diff >= 0:
        raise OptionError(f"min_diff={min_diff} must not be negative")
    if not 0 < fdr <= 1:
        raise OptionError(f"fdr={fdr} must be above 0 and at most 1")
    if n_permutations < 1 or min_cells < 2:
        raise OptionError(f"n_permutations={n_permutations} must be 1 or more, and min_cells={min_cells} 2 or more")


def _codes(groups: Any, n: int) -> tuple[Array, list[Any]]:
    """Place of each cell's group in the sorted list of groups, -1 for none, and that list."""
    labels = pd.Series(groups).reset_index(drop=True)
    if len(labels) != n:
        raise OptionError(f"there are groups for {len(labels):,} cells and topics for {n:,}; give one group a cell")
    codes, names = pd.factorize(labels.astype(object), sort=False)
    rank = np.argsort([str(name) for name in names], kind="stable")
    if len(names) < 2:
        raise OptionError(f"all cells are of one group ({len(names)} found); give two groups or more")
    place = np.empty(len(names) + 1, np.int64)
    place[rank], place[-1] = np.arange(len(names)), -1
    return place[codes], [names[i] for i in rank]


def _mann_whitney(x_nk: Array, member_gn: sp.csr_matrix, n_g: Array) -> tuple[Array, Array, Array]:
    """Difference of means, U over the number of pairs, and p, each (G, K).

    A group and its rest are together all cells, so one ranking of the cells serves every group.
    """
    from scipy.stats import norm, rankdata

    n = len(x_nk)
    m_g = n_g[:, None].astype(np.float64)
    rank_nk = rankdata(x_nk, axis=0)
    u_gk = member_gn @ rank_nk - m_g * (m_g + 1) / 2
    pairs_g = m_g * (n - m_g)
    tie_k = np.array([_tie_term(x_nk[:, k]) for k in range(x_nk.shape[1])])
    with np.errstate(invalid="ignore", divide="ignore"):
        spread_gk = np.sqrt(pairs_g / 12 * ((n + 1) - tie_k / (n * (n - 1.0))))
        z_gk = np.maximum(np.abs(u_gk - pairs_g / 2) - 0.5, 0.0) / spread_gk
        sum_gk = member_gn @ x_nk
        difference_gk = sum_gk / m_g - (x_nk.sum(axis=0) - sum_gk) / (n - m_g)
        auroc_gk = u_gk / pairs_g
    p_gk = np.minimum(2 * norm.sf(z_gk), 1.0)
    return difference_gk, auroc_gk, np.where(spread_gk > 0, p_gk, 1.0)


def _tie_term(x_n: Array) -> float:
    count = np.unique(x_n, return_counts=True)[1].astype(np.float64)
    return float((count**3 - count).sum())


def _permutation(
    x_nk: Array, member_gn: sp.csr_matrix, n_g: Array, observed_gk: Array, rng: np.random.Generator, times: int
) -> Array:
    m_g = n_g[:, None].astype(np.float64)
    total_k, n = x_nk.sum(axis=0), len(x_nk)
    as_large_gk = np.ones(observed_gk.shape)
    # The observed labelling, seen again, must count as being as large whatever the order of its sum.
    least_gk = np.abs(observed_gk) * (1 - 1e-9) - 1e-12
    for _ in range(times):
        sum_gk = member_gn @ x_nk[rng.permutation(n)]
        with np.errstate(invalid="ignore", divide="ignore"):
            as_large_gk += np.abs(sum_gk / m_g - (total_k - sum_gk) / (n - m_g)) >= least_gk
    return as_large_gk / (times + 1)


def _table(x_nk: Array, member_gn: sp.csr_matrix, n_g: Array, names: list[Any], topics: list[Any]) -> pd.DataFrame:
    n, k = x_nk.shape
    sum_gk = member_gn @ x_nk
    with np.errstate(invalid="ignore", divide="ignore"):
        mean_rest_gk = (x_nk.sum(axis=0) - sum_gk) / (n - n_g)[:, None]
    return pd.DataFrame(
        {
            "group": [name for name in names for _ in range(k)],
            "topic": topics * len(names),
            "n_group": np.repeat(n_g, k),
            "n_rest": np.repeat(n - n_g, k),
            "mean_group": (sum_gk / n_g[:, None]).ravel(),
            "mean_rest": mean_rest_gk.ravel(),
        }
    )


def _adjusted(p_t: Array) -> Array:
    from scipy.stats import false_discovery_control

    made_t = np.isfinite(p_t)
    adjusted_t = np.full(p_t.size, np.nan)
    if made_t.any():
        adjusted_t[made_t] = false_discovery_control(p_t[made_t])
    return adjusted_t


def _reason(n_group: int, n_rest: int, min_cells: int) -> str:
    if n_group < min_cells:
        return f"{n_group} cells in the group, fewer than {min_cells}"
    return f"{n_rest} cells beside the group, fewer than {min_cells}" if n_rest < min_cells else ""
