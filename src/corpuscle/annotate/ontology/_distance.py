"""Steps from a type to its ancestors, and edges between types over a common one: a pair, k types, millions of pairs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any

import numpy as np

from corpuscle.annotate.ontology._terms import Term
from corpuscle.errors import SourceError

__all__ = ["between", "matrix", "of_pairs", "upwards"]

Array = np.ndarray[Any, Any]


def upwards(terms: Mapping[str, Term], source: str) -> dict[str, dict[str, int]]:
    """Fewest steps from each term to itself and to each of its ancestors.

    Raises
    ------
    SourceError
        A parent is not there, or a term is a kind of itself.
    """
    above = {cl_id: [parent for parent, _ in term.parents] for cl_id, term in terms.items()}
    for cl_id, parents in above.items():
        missing = [parent for parent in parents if parent not in above]
        if missing:
            raise SourceError(f"{source}: {cl_id} is a kind of {missing[0]}, which is not there; is the file complete?")
    try:
        order = list(TopologicalSorter(above).static_order())
    except CycleError as error:
        raise SourceError(f"{source}: {error.args[1][0]} is a kind of itself; fetch the file again") from None
    up: dict[str, dict[str, int]] = {}
    for cl_id in order:
        reached = {cl_id: 0}
        for parent, steps in terms[cl_id].parents:
            for other, further in up[parent].items():
                reached[other] = min(reached.get(other, steps + further), steps + further)
        up[cl_id] = reached
    return up


def between(up_a: Mapping[str, int], up_b: Mapping[str, int]) -> int | None:
    """Fewest edges, from the steps of each to itself and its ancestors; None without a common one."""
    return min((steps + up_b[other] for other, steps in up_a.items() if other in up_b), default=None)


def matrix(up: Sequence[Mapping[str, int]]) -> Array:
    """(k, k) fewest edges between k types, NaN without a common ancestor."""
    place: dict[str, int] = {}
    for steps in up:
        for other in steps:
            place.setdefault(other, len(place))
    up_ka = np.full((len(up), len(place)), np.inf, dtype=np.float32)
    for row, steps in enumerate(up):
        up_ka[row, [place[other] for other in steps]] = list(steps.values())
    out_kk = np.empty((len(up), len(up)))
    for row, steps in enumerate(up):
        own = [place[other] for other in steps]
        out_kk[row] = (up_ka[:, own] + up_ka[row, own]).min(axis=1)
    out_kk[np.isinf(out_kk)] = np.nan
    return out_kk


def of_pairs(a_n: Sequence[str | None], b_n: Sequence[str | None], of_types: Callable[[list[str]], Array]) -> Array:
    """(n,) distances of pairs, each different type looked at once."""
    place: dict[str | None, int] = {}
    for one in (*a_n, *b_n):
        if one is not None:
            place.setdefault(one, len(place))
    ids = [one for one in place if one is not None]
    known_kk = np.full((len(ids) + 1, len(ids) + 1), np.nan)
    if ids:
        known_kk[:-1, :-1] = of_types(ids)
    place[None] = len(ids)
    row_n = np.fromiter((place[one] for one in a_n), dtype=np.intp, count=len(a_n))
    column_n = np.fromiter((place[one] for one in b_n), dtype=np.intp, count=len(b_n))
    return known_kk[row_n, column_n]
