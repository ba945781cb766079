"""Scores by likeness to the mean of each type, in any embedding of the cells."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from corpuscle.annotate.scores import Scores
from corpuscle.annotate.sources._similarity import check_temperature, checked_vectors, cosine, negative_distance
from corpuscle.errors import MethodError, OptionError, SourceError

__all__ = ["METRICS", "Prototypes", "class_prototypes", "prototype_scores", "seeded_prototypes"]

Array = np.ndarray[Any, Any]
METRICS = ("cosine", "euclidean")
NAMED = 5


@dataclass(frozen=True)
class Prototypes:
    """One vector a type.

    Attributes
    ----------
    means_kd
        (K, d) means of the cells of each type.
    types
        K names.
    cells_k
        (K,) cells that each is the mean of.
    cl_ids
        K Cell Ontology ids, None where not known; empty where none is.
    notes
        What was left out, a line each.
    """

    means_kd: Array
    types: tuple[str, ...]
    cells_k: Array
    cl_ids: tuple[str | None, ...] = ()
    notes: tuple[str, ...] = ()


def class_prototypes(reference_md: Any, labels_m: Sequence[Any] | Array | pd.Series) -> Prototypes:
    """Mean of the labelled cells of each type, types sorted by name.

    Parameters
    ----------
    reference_md
        (m, d) embedding of labelled cells.
    labels_m
        Their labels; cells with a missing or empty one are left out.

    Raises
    ------
    SourceError
        The embedding is no table of finite numbers.
    OptionError
        The number of labels is another one, or fewer than two types have cells.
    """
    vectors_md = checked_vectors(reference_md, what="embedding of the reference")
    values = pd.Series(np.asarray(labels_m, dtype=object))
    if len(values) != len(vectors_md):
        raise OptionError(f"{len(values):,} labels for {len(vectors_md):,} cells of the reference")
    names_m = np.where(pd.isna(values), "", values.astype(str).str.strip()).astype(object)
    types = sorted(set(names_m) - {""})
    if len(types) < 2:
        raise OptionError(f"{len(types)} types have labelled cells; at least two are needed")
    place = {name: i for i, name in enumerate(types)}
    code_m = np.array([place.get(name, -1) for name in names_m], np.int64)
    n_left = int((code_m < 0).sum())
    notes = (f"{n_left:,} cells of the reference have no label and were left out",) if n_left else ()
    return Prototypes(_means(vectors_md, code_m, len(types)), tuple(types), _sizes(code_m, len(types)), (), notes)


def seeded_prototypes(embedding_nd: Any, scores: Scores, *, per_type: int = 50, least: int = 3) -> Prototypes:
    """Mean of the cells of each type that some scores are surest of.

    Parameters
    ----------
    embedding_nd
        (n, d) embedding of the same cells.
    scores
        From markers, for example. Each type's column is standardised first, so that types whose scores run high take no
        seeds from others; one whose scores are the same everywhere has none.
    per_type
        Seeds of a type: the cells with the largest margin over the next type among those that score highest for it.
    least
        A type with fewer seeds is left out, and named in a warning and in the notes.

    Raises
    ------
    SourceError
        The embedding is no table of finite numbers, or of other cells.
    MethodError
        Fewer than two types have seeds.
    """
    vectors_nd = checked_vectors(embedding_nd, what="embedding")
    if len(vectors_nd) != scores.n_cells:
        raise SourceError(
            f"embedding of {len(vectors_nd):,} cells for scores of {scores.n_cells:,}; give the same cells"
        )
    if not 1 <= least <= per_type:
        raise OptionError(f"per_type ({per_type}) must be at least as large as least ({least}), and that at least 1")
    code_n = _seeds(scores, per_type)
    size_k = _sizes(code_n, scores.n_types)
    kept = np.flatnonzero(size_k >= least)
    if kept.size < 2:
        raise MethodError(f"{scores.source}: {kept.size} types score highest in {least} cells or more; two are needed")
    left_out = [f"{name} ({size_k[k]})" for k, name in enumerate(scores.types) if size_k[k] < least]
    notes = (
        (f"types with fewer than {least} cells to start from were left out: {', '.join(left_out)}",) if left_out else ()
    )
    for line in notes:
        warnings.warn(line, UserWarning, stacklevel=2)
    means_kd = _means(vectors_nd, code_n, scores.n_types)[kept]
    names, ids = tuple(scores.types[int(k)] for k in kept), tuple(scores.cl_ids[int(k)] for k in kept)
    return Prototypes(means_kd, names, size_k[kept], ids, notes)


def prototype_scores(
    embedding_nd: Any,
    prototypes: Prototypes | tuple[Any, Any] | Any,
    types: Sequence[str] = (),
    *,
    temperature: float = 0.1,
    center: bool = True,
    metric: str = "cosine",
    cl_ids: Sequence[str | None] = (),
    cells: Array | None = None,
) -> Scores:
    """Score cells by likeness to one vector a type.

    Parameters
    ----------
    embedding_nd
        (n, d) embedding of the cells.
    prototypes
        :class:`Prototypes`; or a pair of the (m, d) embedding of labelled cells and their m labels; or K x d vectors.
    types
        K names, if vectors are given.
    temperature
        What the scores are divided by. It matters to a softmax of them, never to which is highest.
    center
        Take the mean of the prototypes from everything first. Embeddings of cells share a large common part, next to which
        all cosines are near 1. The mean of the prototypes, unlike that of the cells, does not depend on which types are
        common, or on which cells are there.
    metric
        ``"cosine"``, or ``"euclidean"`` for minus the squared distance.
    cl_ids
        K Cell Ontology ids; those of the prototypes if not given.
    cells
        (n,) names of the cells.

    Returns
    -------
    Scores
        (n, K) float32.

    Raises
    ------
    SourceError
        An embedding is no table of finite numbers or of other dimensions, or a cell or type points nowhere.
    OptionError
        An option makes no sense, or vectors have no names.
    """
    check_temperature(temperature)
    if metric not in METRICS:
        raise OptionError(f"metric {metric!r} is none of {', '.join(METRICS)}")
    cell_nd = checked_vectors(embedding_nd, what="embedding")
    known = _as_prototypes(prototypes, types)
    means_kd = checked_vectors(known.means_kd, what="prototypes", n_dims=cell_nd.shape[1]).astype(np.float64)
    if metric == "euclidean":
        values_nk = negative_distance(cell_nd, means_kd)
    else:
        centre_d = means_kd.mean(axis=0) if center else np.zeros(means_kd.shape[1])
        values_nk = cosine(cell_nd, centre_d, _directions(means_kd - centre_d, known.types), what="embedding")
    about = {
        "metric": metric, "temperature": temperature, "center": center, "notes": list(known.notes),
        "prototype_cells": known.cells_k.tolist(),
    }  # fmt: skip
    values_nk /= np.float32(temperature)
    return Scores(values_nk, known.types, tuple(cl_ids) or known.cl_ids, "likeness to prototypes", cells, about)


def _as_prototypes(prototypes: Any, types: Sequence[str]) -> Prototypes:
    if isinstance(prototypes, Prototypes):
        if types and tuple(types) != prototypes.types:
            raise OptionError("types differ from those of the prototypes; leave them out")
        return prototypes
    if isinstance(prototypes, tuple):
        if len(prototypes) != 2:
            raise OptionError("prototypes must be a pair of an embedding and its labels, vectors, or Prototypes")
        return class_prototypes(*prototypes)
    if not len(types):
        raise OptionError("vectors without names; give types, a name for each")
    return Prototypes(np.asarray(prototypes), tuple(types), np.array([], np.int64))


def _directions(vector_kd: Array, types: Sequence[str]) -> Array:
    norm_k = np.linalg.norm(vector_kd, axis=1)
    flat = np.flatnonzero(norm_k <= 1e-9 * max(float(norm_k.max()), 1e-300))
    if flat.size:
        raise SourceError(f"the prototype of {types[flat[0]]!r} points nowhere: it is zero, or the mean of the others")
    return vector_kd


def _seeds(scores: Scores, per_type: int) -> Array:
    """(n,) type that a cell is a seed of, or -1."""
    code_n = np.full(scores.n_cells, -1, np.int64)
    varies = np.flatnonzero(np.ptp(scores.values_nk, axis=0) > 0)
    if varies.size < 2:
        return code_n
    standard_nk = scores.values_nk[:, varies].astype(np.float64)
    standard_nk = (standard_nk - standard_nk.mean(axis=0)) / standard_nk.std(axis=0)
    best_n = varies[standard_nk.argmax(axis=1)]
    ordered_nk = np.partition(standard_nk, -2, axis=1)
    margin_n = ordered_nk[:, -1] - ordered_nk[:, -2]
    for k in varies:
        members = np.flatnonzero((best_n == k) & (margin_n > 0))
        surest = members[np.argsort(-margin_n[members], kind="stable")[:per_type]]
        code_n[surest] = k
    return code_n


def _sizes(code_n: Array, n_types: int) -> Array:
    sizes: Array = np.bincount(code_n[code_n >= 0], minlength=n_types)
    return sizes


def _means(vector_nd: Array, code_n: Array, n_types: int) -> Array:
    """(K, d) float64 means; zeros for a type without a cell."""
    means_kd = np.zeros((n_types, vector_nd.shape[1]))
    for k in range(n_types):
        members = np.flatnonzero(code_n == k)
        if members.size:
            means_kd[k] = vector_nd[members].mean(axis=0, dtype=np.float64)
    return means_kd
