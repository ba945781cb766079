"""How well a clustering recovers known types: numbers from two label arrays, and one from an embedding."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from corpuscle.errors import MethodError, OptionError

__all__ = [
    "MIN_RARE_CELLS",
    "RARE_SHARE",
    "Types",
    "agreement",
    "codes",
    "per_type",
    "purity",
    "rare_recall",
    "silhouette",
]

Array = np.ndarray[Any, Any]

#: A type is rare below this share of the cells; with fewer cells than this many its recall is a matter of luck.
RARE_SHARE = 0.05
MIN_RARE_CELLS = 5
#: Cells above which the silhouette, whose work is quadratic, is taken on a random part of so many.
SILHOUETTE_CELLS = 10_000


@dataclass(frozen=True)
class Types:
    """True labels as codes.

    Attributes
    ----------
    code_n
        Type of each cell, (n,) int64, a position in ``names``.
    names
        Names of the types, sorted.
    size_t
        Cells of each type, (t,).
    """

    code_n: Array
    names: list[str]
    size_t: Array

    @classmethod
    def of(cls, labels: Any) -> Types:
        """Encode labels of any kind.

        Raises
        ------
        OptionError
            They are not one label a cell, or one is missing.
        """
        code_n, names = _encoded(labels, "labels")
        return cls(code_n, names, np.bincount(code_n, minlength=len(names)))

    @property
    def rare_t(self) -> Array:
        """(t,) bool: which types are rare, and large enough to be judged."""
        return (self.size_t < RARE_SHARE * self.code_n.size) & (self.size_t >= MIN_RARE_CELLS)


def codes(found: Any, types: Types) -> Array:
    """Encode the labels that a method gave, (n,) int64 from 0.

    Raises
    ------
    MethodError
        They are not one label a cell, or one is missing.
    """
    try:
        found_n = _encoded(found, "clusters")[0]
    except OptionError as error:
        raise MethodError(str(error)) from None
    if found_n.size != types.code_n.size:
        raise MethodError(f"{found_n.size:,} clusters were given for {types.code_n.size:,} labelled cells")
    return found_n


def agreement(found_n: Array, types: Types) -> dict[str, float]:
    """ARI, AMI, NMI and accuracy of a clustering against the types.

    ``ari``: adjusted Rand index (Hubert and Arabie 1985). ``ami``, ``nmi``: mutual information over the arithmetic
    mean of the entropies, adjusted for chance (Vinh et al. 2010) and plain. ``acc``: share of cells in the type that
    their cluster is matched with, one to one, in the best way (Hungarian method).
    """
    from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score, normalized_mutual_info_score

    table_ct = contingency(found_n, types)
    row_c, column_t = _matched(table_ct)
    return {
        "ari": float(adjusted_rand_score(types.code_n, found_n)),
        "ami": float(adjusted_mutual_info_score(types.code_n, found_n)),
        "nmi": float(normalized_mutual_info_score(types.code_n, found_n)),
        "acc": float(table_ct[row_c, column_t].sum() / found_n.size),
    }


def per_type(found_n: Array, types: Types) -> pd.DataFrame:
    """Precision, recall and F1 of each type, one row a type.

    Columns ``type``, ``cells``, ``share``, ``rare``; ``cluster`` (the one matched with the type one to one, -1 where
    none is left for it), ``precision`` (NaN without a cluster), ``recall``, ``f1``; and
    ``majority_recall``, ``majority_f1``, where every cluster stands for its largest type and a type may have several.
    """
    table_ct = contingency(found_n, types)
    cluster_t = np.full(len(types.names), -1)
    row_c, column_t = _matched(table_ct)
    shared = table_ct[row_c, column_t] > 0
    cluster_t[column_t[shared]] = row_c[shared]
    own_t = np.where(cluster_t >= 0, table_ct[cluster_t, np.arange(cluster_t.size)], 0)
    taken_t = np.where(cluster_t >= 0, table_ct.sum(axis=1)[cluster_t], 0)
    majority_c = table_ct.argmax(axis=1)
    both_t = np.bincount(majority_c, weights=table_ct.max(axis=1), minlength=cluster_t.size)
    called_t = np.bincount(majority_c, weights=table_ct.sum(axis=1), minlength=cluster_t.size)
    with np.errstate(invalid="ignore"):
        precision_t = own_t / np.where(taken_t > 0, taken_t, np.nan)
    return pd.DataFrame(
        {
            "type": types.names,
            "cells": types.size_t,
            "share": types.size_t / found_n.size,
            "rare": types.rare_t,
            "cluster": cluster_t,
            "precision": precision_t,
            "recall": own_t / types.size_t,
            "f1": 2 * own_t / (taken_t + types.size_t),
            "majority_recall": both_t / types.size_t,
            "majority_f1": 2 * both_t / (called_t + types.size_t),
        }
    )


def rare_recall(table: pd.DataFrame) -> float:
    """Mean recall of the rare types of a :func:`per_type` table; NaN if none is rare."""
    rare = table.loc[table["rare"], "recall"]
    return float(rare.mean()) if len(rare) else float("nan")


def silhouette(embedding_nd: Array, types: Types, *, random_state: int = 0) -> float:
    """Mean silhouette width of the true types on an embedding (Rousseeuw 1987), Euclidean.

    Of a seeded random part of 10,000 cells where there are more. NaN where it is undefined: fewer than 2 types, or a
    type for every cell.
    """
    from sklearn.metrics import silhouette_score

    code_n = types.code_n
    if code_n.size > SILHOUETTE_CELLS:
        part = np.sort(np.random.default_rng(random_state).choice(code_n.size, SILHOUETTE_CELLS, replace=False))
        embedding_nd, code_n = embedding_nd[part], code_n[part]
    if not 2 <= np.unique(code_n).size < code_n.size:
        return float("nan")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(silhouette_score(embedding_nd.astype(np.float64), code_n))


def purity(groups: Any, labels: Any) -> float:
    """Share of cells whose label is the commonest of their group; rises with the number of groups alone."""
    types = Types.of(labels)
    table_ct = contingency(codes(groups, types), types)
    return float(table_ct.max(axis=1).sum() / types.code_n.size)


def contingency(found_n: Array, types: Types) -> Array:
    """(clusters, types) cells in both, int64."""
    shape = (int(found_n.max()) + 1, len(types.names))
    ones = np.ones(found_n.size, np.int64)
    return sp.coo_matrix((ones, (found_n, types.code_n)), shape=shape).toarray()


def _matched(table_ct: Array) -> tuple[Array, Array]:
    """Clusters and types matched one to one so that the most cells agree; the shorter side is matched whole."""
    from scipy.optimize import linear_sum_assignment

    return linear_sum_assignment(table_ct, maximize=True)


def _encoded(labels: Any, what: str) -> tuple[Array, list[str]]:
    array = np.asarray(labels)
    if array.ndim != 1 or not array.size:
        raise OptionError(f"{what} must be one for each cell, not of shape {array.shape}")
    missing = pd.isna(array)
    if missing.any():
        raise OptionError(
            f"{what}: cell {int(missing.argmax())} has none ({int(missing.sum()):,} of {array.size:,} cells have "
            f"none); leave those cells out"
        )
    code_n, names = pd.factorize(array.astype(str) if array.dtype == object else array, sort=True)
    return code_n.astype(np.int64), [str(name) for name in names]
