"""Samples that get several labels of one kind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from corpuscle.bulk.labels._findings import Findings

__all__ = ["CONFLICTS", "settled"]

Array = np.ndarray[Any, Any]

#: What can become of them.
CONFLICTS = ("multi", "ambiguous", "first")


def settled(findings: Findings, n: int, conflict: str) -> tuple[sp.csr_matrix, list[str]]:
    """Memberships (n, l) after conflicts, and a note on how many samples had one."""
    n_labels = len(findings.names)
    ones = np.ones(len(findings.sample_e), dtype=np.int64)
    y_nl = sp.csr_matrix((ones, (findings.sample_e, findings.label_e)), shape=(n, n_labels))
    y_nl.data[:] = 1  # several findings of one label were added up
    special_nl = _special(y_nl, _ancestors(findings))
    kind_l, kinds = pd.factorize(findings.table["kind"].to_numpy())
    in_kind_lk = sp.csr_matrix((np.ones(n_labels, np.int64), (np.arange(n_labels), kind_l)))
    several = (special_nl @ in_kind_lk).tocoo()
    clash = several.data > 1
    n_clash = len(np.unique(several.row[clash]))
    if not n_clash or conflict == "multi":
        notes = [f"{n_clash:,} samples have several labels of one kind; all are kept"] if n_clash else []
        return (y_nl if conflict == "multi" else special_nl), notes
    kept = special_nl.tocoo()
    group_m = kept.row.astype(np.int64) * len(kinds) + kind_l[kept.col]
    clashing = several.row[clash].astype(np.int64) * len(kinds) + several.col[clash]
    stands_m = ~np.isin(group_m, clashing)
    if conflict == "first":
        stands_m |= _is_first(findings, kept.row, kept.col, group_m)
        note = f"{n_clash:,} samples have several labels of one kind; the first of each was taken"
    else:
        note = f"{n_clash:,} samples have several labels of one kind and were given none of that kind"
    rows, cols = kept.row[stands_m], kept.col[stands_m]
    return sp.csr_matrix((np.ones(len(rows), np.int64), (rows, cols)), shape=y_nl.shape), [note]


def _ancestors(findings: Findings) -> sp.csr_matrix:
    """(l, l), 1 where the column's label is an ancestor, of the same kind, of the row's."""
    place = {label: k for k, label in enumerate(findings.names)}
    known = findings.known
    pairs = []
    for name, k in place.items():
        seen, at = {name}, known[name].parent
        while at in known and at not in seen:  # a file may say that two labels are parts of each other
            seen.add(at)
            if at in place and known[at].kind == known[name].kind:
                pairs.append((k, place[at]))
            at = known[at].parent
    rows, cols = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return sp.csr_matrix((np.ones(len(rows), np.int64), (rows, cols)), shape=(len(place), len(place)))


def _special(y_nl: sp.csr_matrix, above_ll: sp.csr_matrix) -> sp.csr_matrix:
    """Memberships without those that a more special label of the sample implies."""
    implied_nl = (y_nl @ above_ll).astype(bool).astype(np.int64)
    special_nl = (y_nl - y_nl.multiply(implied_nl)).tocsr()
    special_nl.eliminate_zeros()
    return special_nl


def _is_first(findings: Findings, row_m: Array, col_m: Array, group_m: Array) -> Array:
    """Which memberships (m,) are of the first finding of their sample and kind."""
    n_labels = len(findings.names)
    pair_m = row_m.astype(np.int64) * n_labels + col_m
    pair_e = findings.sample_e * n_labels + findings.label_e
    order_e = np.lexsort((findings.at_e, findings.rank_e))
    distinct, first = np.unique(pair_e[order_e], return_index=True)  # where each membership first comes in that order
    came_m = first[np.searchsorted(distinct, pair_m)]
    order_m = np.lexsort((came_m, group_m))
    new_group = np.append(True, np.diff(group_m[order_m]) > 0)
    is_first_m = np.zeros(len(pair_m), dtype=bool)
    is_first_m[order_m[new_group[: len(order_m)]]] = True
    return is_first_m
