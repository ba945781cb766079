"""Refinement that does not absorb types which the graph itself supports.

Smoothing removes noise that is independent from cell to cell, and amplifies bias that is the same in all cells of a
kind: a rare type whose scores are a little too low loses every cell. Both look alike in the refined scores, but not in
the neighbourhoods. A mislabelled cell stands among cells of other labels; cells of a true rare type stand together.
So each type keeps at least as many cells as stand together, whatever smoothing would make of it.

The rules look at scores and graph only, never at a label. They are ours; the published method has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from corpuscle.annotate._graph import Graph, as_graph
from corpuscle.annotate._label_edges import agreement_of, same_label_weight, sum_of_squares
from corpuscle.annotate.refine import Solution, solve
from corpuscle.annotate.scores import checked_values

__all__ = ["Guarded", "refine_guarded", "supported"]

Array = np.ndarray[Any, Any]

#: Strength where neighbours agree no more than chance; it falls to 0 where all agree. As all constants here it was chosen
#: on data sets that are not reported on.
LARGEST_LAM = 1.0
#: Standard deviations by which the neighbours that agree must exceed what chance gives.
SUPPORT = 2.0
#: Below this agreement beyond chance (0 chance, 1 all) the graph knows nothing of the scores.
LEAST_AGREEMENT = 0.05
#: Rounds of raising types, for each type; far more than needed, and an end.
ROUNDS = 20


@dataclass(frozen=True)
class Guarded:
    """Refined scores under guards.

    Attributes
    ----------
    values_nk
        (n, K) scores; the highest of a row is the guarded label.
    solution
        Of the method without guards.
    kept_n
        (n,) whether a cell's own scores were kept.
    offset_k
        (K,) what was added to each column of the refined scores.
    lam
        Strength of smoothing.
    words
        What was done and why, a line each; empty where no guard had to act.
    """

    values_nk: Array
    solution: Solution
    kept_n: Array
    offset_k: Array
    lam: float
    words: tuple[str, ...] = ()


def refine_guarded(
    values_nk: Array,
    graph: Any,
    types: Sequence[str],
    *,
    lam: float | None = None,
    laplacian: str = "unnormalized",
    weights: Any = None,
    solver: str = "auto",
    tol: float = 1e-4,
    max_iter: int = 1000,
    chunk: int = 32,
) -> Guarded:
    """Refine scores, and keep types that the graph supports from being absorbed.

    Smoothing is as strong as there is something to repair: unless it is given, ``lam`` is 1 where neighbours agree on the
    type no more than chance would have it, and falls in proportion to 0 where all agree. Then:

    1. If neighbours agree no more than chance would have it, the graph says nothing of the scores: they stay.
    2. A type with no more cells than a cell has neighbours cannot be judged by its neighbourhood: its cells keep their
       scores.
    3. A cell is *supported* if more of its neighbours have its label than chance explains (2 standard deviations).
       A type that refinement would leave with fewer cells than are supported has its column raised just so much that
       it keeps that many: those whose refined scores are best for it.

    Parameters
    ----------
    values_nk
        (n, K) finite scores.
    graph
        (n, n) symmetric sparse weights.
    types
        K names.
    lam
        Strength of smoothing, >= 0; None for the one above.
    laplacian, weights, solver, tol, max_iter, chunk
        Of :func:`~corpuscle.annotate.refine.refine`.

    Returns
    -------
    Guarded
        Scores, what was done, and the solution without guards.

    Raises
    ------
    SourceError, OptionError, MethodError
        As :func:`~corpuscle.annotate.refine.refine`.

    Warns
    -----
    UserWarning
        The tolerance was not reached.
    """
    values_nk = checked_values(values_nk, len(types))
    graph = as_graph(graph, len(values_nk))
    best_n, n_types = values_nk.argmax(axis=1), len(types)
    agreement = _agreement(best_n, graph, n_types)
    if lam is None:
        lam = LARGEST_LAM * float(np.clip(1 - np.nan_to_num(agreement), 0, 1))
    solution = solve(
        values_nk, graph, lam=lam, laplacian=laplacian, weights=weights, solver=solver, tol=tol, max_iter=max_iter, chunk=chunk
    )  # fmt: skip
    if not agreement >= LEAST_AGREEMENT and lam > 0:
        line = (
            f"neighbours agree hardly more than chance ({agreement:.0%} of the way to full agreement): the graph says "
            "nothing of these scores, and they were left as they are"
        )
        return Guarded(values_nk.copy(), solution, np.ones(len(values_nk), bool), np.zeros(n_types), lam, (line,))
    before_k = np.bincount(best_n, minlength=n_types)
    small_k = (before_k > 0) & (before_k <= _neighbours(graph))
    floor_k = np.bincount(best_n[supported(best_n, graph, n_types)], minlength=n_types)
    raised_nk, offset_k = _raised(solution.values_nk, floor_k)
    kept_n = small_k[best_n]
    raised_nk[kept_n] = values_nk[kept_n]
    after_n = solution.values_nk.argmax(axis=1)
    words = [*_words_small(types, best_n, after_n, small_k), *_words_raised(types, after_n, floor_k, offset_k)]
    return Guarded(raised_nk, solution, kept_n, offset_k, lam, tuple(words))


def supported(best_n: Array, graph: Graph, n_types: int, deviations: float = SUPPORT) -> Array:
    """(n,) whether more of a cell's neighbours have its label than chance explains.

    Chance draws labels by their shares, for as many neighbours as a cell effectively has, ``(sum w)^2 / sum w^2``.

    Parameters
    ----------
    best_n
        (n,) label of each cell, a number from 0 to ``n_types`` - 1.
    graph
        Of the same cells.
    n_types
        Number of labels.
    deviations
        Binomial standard deviations beyond the expectation.
    """
    same_n, square_n = same_label_weight(best_n, graph), sum_of_squares(graph)
    with np.errstate(invalid="ignore", divide="ignore"):
        observed_n = same_n / graph.degree_n
        effective_n = graph.degree_n**2 / square_n
        share_n = (np.bincount(best_n, minlength=n_types) / best_n.size)[best_n]
        beyond_n = share_n + deviations * np.sqrt(share_n * (1 - share_n) / effective_n)
        found: Array = observed_n > beyond_n
    return found


def _agreement(best_n: Array, graph: Graph, n_types: int) -> float:
    """Share of edge weight within a label, from 0 (chance) to 1; NaN without edges or with one label."""
    total = float(graph.degree_n.sum())
    if total == 0:
        return float("nan")
    share_k = np.bincount(best_n, graph.degree_n, n_types) / total
    return agreement_of(float(same_label_weight(best_n, graph).sum()) / total, float((share_k**2).sum()))


def _neighbours(graph: Graph) -> float:
    return float(np.median(np.diff(graph.weights_nn.indptr)))


def _raised(refined_nk: Array, floor_k: Array) -> tuple[Array, Array]:
    """Scores with columns raised until each has its floor of cells, and by how much.

    Offsets only grow and the floors sum to at most n, so that raising one type below its floor after another ends, as
    an auction does.
    """
    raised_nk = refined_nk.copy()
    offset_k = np.zeros(len(floor_k))
    for _ in range(ROUNDS * len(floor_k)):
        lacking_k = floor_k - np.bincount(raised_nk.argmax(axis=1), minlength=len(floor_k))
        k = int(lacking_k.argmax())
        if lacking_k[k] <= 0:
            break
        needed_n = _needed(raised_nk, k)
        needed = np.partition(needed_n, floor_k[k] - 1)[floor_k[k] - 1]
        step = float(needed) + 4 * np.spacing(np.abs(raised_nk).max())
        raised_nk[:, k] += raised_nk.dtype.type(step)
        offset_k[k] += step
    return raised_nk, offset_k


def _needed(raised_nk: Array, k: int) -> Array:
    """(n,) how much column k lacks to the best of the others."""
    own_n = raised_nk[:, k].copy()
    raised_nk[:, k] = -np.inf
    needed: Array = raised_nk.max(axis=1) - own_n
    raised_nk[:, k] = own_n
    return needed


def _words_small(types: Sequence[str], best_n: Array, after_n: Array, small_k: Array) -> list[str]:
    lost_k = np.bincount(best_n[best_n != after_n], minlength=len(types))
    return [
        f"{types[k]}: {np.sum(best_n == k):,} cells are too few to be judged by their neighbours and keep their scores; "
        f"refinement would have renamed {lost_k[k]:,}"
        for k in np.flatnonzero(small_k & (lost_k > 0)).tolist()
    ]


def _words_raised(types: Sequence[str], after_n: Array, floor_k: Array, offset_k: Array) -> list[str]:
    after_k = np.bincount(after_n, minlength=len(types))
    return [
        f"{types[k]}: {floor_k[k]:,} cells stand together and refinement would have left {after_k[k]:,}; its scores were "
        f"raised by {offset_k[k]:.3g} so that it keeps {floor_k[k]:,}"
        for k in np.flatnonzero(offset_k > 0).tolist()
    ]
