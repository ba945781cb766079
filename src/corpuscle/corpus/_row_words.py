"""The first row that breaks a rule, told in a way that a person can look up."""

from __future__ import annotations

from typing import Any

import numpy as np

from corpuscle.corpus import _row_checks as rows
from corpuscle.corpus._row_checks import RowRules

__all__ = ["describe"]

Array = np.ndarray[Any, Any]


def describe(bit: int, ids: Array, rules: RowRules, stated: int, counts: Array | None) -> str:
    """What is wrong with a row that has this bit.

    Parameters
    ----------
    bit
        One of :data:`corpuscle.corpus._row_checks.CHECKS`.
    ids, counts
        (k,) tokens and counts of the row.
    stated
        Its length as stated beside it.
    """
    if bit in (rows.COUNT_VALUE, rows.COUNT_SPECIAL, rows.COUNT_ORDER):
        return _about_counts(bit, ids, rules, counts if counts is not None else np.empty(0))
    if bit == rows.LENGTH:
        return f"column length says {stated:,}, and there are {ids.size:,} tokens"
    if bit == rows.TOO_LONG:
        return f"{ids.size:,} tokens, more than the {rules.max_len:,} allowed"
    if bit == rows.FRAME:
        return f"<cls> and <eos> are not exactly at its ends{'' if rules.framed else ': it should have none'}"
    if bit == rows.EMPTY:
        return "no token of a gene"
    if bit == rows.TWICE:
        _, first = np.unique(ids, return_index=True)
        again = int(np.setdiff1d(np.arange(ids.size), first)[0])
        return f"{_name(int(ids[again]), rules)} is there twice, the second time at place {again:,}"
    size = rules.kind_v.size
    inside = (ids >= 0) & (ids < size)
    kinds = np.where(inside, rules.kind_v[np.where(inside, ids, 0)], rows.UNKNOWN)
    wrong = {
        rows.RANGE: ~inside,
        rows.NO_GENE: inside & (kinds == rows.UNKNOWN),
        rows.SPECIAL: (kinds == rows.PAD_OR_MASK) | (kinds == rows.OTHER_SPECIAL),
    }[bit]
    place = int(np.argmax(wrong))
    said = {
        rows.RANGE: f"outside the vocabulary's 0 to {size - 1:,}",
        rows.NO_GENE: "which is no token of the vocabulary",
        rows.SPECIAL: "which does not belong inside a cell",
    }[bit]
    return f"{_name(int(ids[place]), rules)} at place {place:,}, {said}"


def _about_counts(bit: int, ids: Array, rules: RowRules, counts: Array) -> str:
    genes = rules.kind_v[ids] == rows.GENE
    if bit == rows.COUNT_SPECIAL:
        place = int(np.argmax(~genes & (counts != 0)))
        return f"count {counts[place]:g} at {_name(int(ids[place]), rules)}, where it should be 0"
    right = (counts > 0) & np.isfinite(counts)
    if bit == rows.COUNT_VALUE:
        place = int(np.argmax(genes & ~right))
        return f"count {counts[place]:g} of {_name(int(ids[place]), rules)}, which should be positive and finite"
    places = np.flatnonzero(genes & right)
    scaled = counts[places] / rules.medians_v[ids[places]]
    rise = int(np.argmax(scaled[1:] > scaled[:-1] * (1 + rows.ROUNDING[counts.dtype.itemsize])))
    upper, lower = (int(ids[places[rise + k]]) for k in (0, 1))
    return f"{_name(lower, rules)} ranks behind {_name(upper, rules)}, but its count / median is higher"


def _name(token: int, rules: RowRules) -> str:
    name = rules.names.get(token)
    return f"token {token:,}" if name is None else f"token {token:,} ({name})"
