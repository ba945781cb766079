"""Score an embedding or a clustering against known cell types, under protocols that are kept apart.

The same embedding scores very differently when the resolution was picked with the true labels, so every row says what
its clustering was told.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from corpuscle.benchmarks.clustering._graph import NeighbourGraph, kmeans, matched_resolution
from corpuscle.benchmarks.clustering._metrics import (
    MIN_RARE_CELLS,
    RARE_SHARE,
    Types,
    agreement,
    codes,
    per_type,
    rare_recall,
    silhouette,
)
from corpuscle.errors import MethodError, OptionError

__all__ = [
    "COLUMNS",
    "RESOLUTIONS",
    "TOLD",
    "Scores",
    "evaluate_embedding",
    "evaluate_labels",
    "score_embedding",
    "score_labels",
    "stability",
]

Array = np.ndarray[Any, Any]

#: The resolutions over which published figures are maximised.
RESOLUTIONS = tuple(i / 10 for i in range(20))
FIXED_RESOLUTION = 1.0
#: Protocol -> what it is told of the truth.
TOLD = {"oracle": "labels", "fixed": "nothing", "matched": "n_types", "kmeans": "n_types"}
METRICS = ("ari", "ami", "nmi", "acc", "silhouette", "macro_f1", "rare_recall")
COLUMNS = ("protocol", "told", "resolution", "n_clusters", *METRICS, "n", "reason")
AGREEMENT = ("ari", "ami", "nmi", "acc")


class Detail(pd.DataFrame):
    """A table in the ``attrs`` of another: as a whole it is equal or not, which is what pandas asks when it joins."""

    @property
    def _constructor(self) -> type[Detail]:
        return Detail

    def __eq__(self, other: object) -> Any:
        return self.equals(other) if isinstance(other, Detail) else super().__eq__(other)


@dataclass(frozen=True)
class Scores:
    """Everything known of one embedding or clustering.

    Attributes
    ----------
    rows
        One row a protocol, columns :data:`COLUMNS`.
    sweep
        One row a resolution: ``resolution``, ``n_clusters``, ``ari``, ``ami``, ``nmi``, ``acc``. Empty for labels.
    per_type
        One row a protocol and type: ``protocol``, then the columns of precision, recall and F1.
    labels
        Protocol -> cluster of each cell, (n,) int64: what :func:`stability` compares.
    """

    rows: pd.DataFrame
    sweep: pd.DataFrame
    per_type: pd.DataFrame
    labels: dict[str, Array]

    def table(self) -> pd.DataFrame:
        """``rows``, with the other two tables in its ``attrs``."""
        out = self.rows.copy()
        out.attrs = {"sweep": Detail(self.sweep), "per_type": Detail(self.per_type)}
        return out


def score_embedding(
    embedding: Any,
    labels: Any,
    *,
    algorithm: str = "leiden",
    resolutions: Sequence[float] | None = None,
    random_state: int = 0,
) -> pd.DataFrame:
    """Cluster an embedding in four ways and score each against the true labels.

    One graph of 15 Euclidean neighbours on the embedding as it is serves all resolutions.

    Parameters
    ----------
    embedding
        (n, d), one row a cell; used as float32.
    labels
        (n,) type of each cell, none missing.
    algorithm
        Communities by ``"leiden"`` or ``"louvain"`` (needs the extra ``louvain``).
    resolutions
        Those that the oracle picks from; 0.0, 0.1, ..., 1.9 by default.
    random_state
        Seed of the partitions, of k-means and of the part of the cells the silhouette is taken on.

    Returns
    -------
    DataFrame
        One row a ``protocol``, and what it was ``told``:

        - ``oracle``: the resolution with the largest ARI against the labels themselves (told ``labels``);
        - ``fixed``: resolution 1.0 (told ``nothing``);
        - ``matched``: the resolution that gives as many clusters as there are types, or comes nearest (``n_types``);
        - ``kmeans``: k-means with as many clusters as there are types, the best of 10 starts (``n_types``).

        Then ``resolution`` (NaN for k-means), ``n_clusters``, ``ari``, ``ami``, ``nmi``, ``acc`` (cells that agree
        under the best one-to-one matching), ``silhouette`` of the true types, ``macro_f1`` over types under that
        matching, ``rare_recall`` (mean recall of types with under 5 % of the cells and 5 cells or more), ``n``, and
        the ``reason`` for what is NaN. ``attrs["sweep"]`` has a row a resolution, ``attrs["per_type"]`` a row a
        protocol and type.

    Raises
    ------
    MethodError
        The embedding is not finite, not one row a cell, the same for all cells, or of fewer than 3 cells.
    OptionError
        Labels are missing, or the algorithm or a resolution makes no sense.

    Notes
    -----
    With louvain, the oracle is the protocol of scE2TM's authors and of much of the field. Source: Chen et al. 2026,
    Nature Communications, scE2TM.
    """
    return evaluate_embedding(
        embedding, labels, algorithm=algorithm, resolutions=resolutions, random_state=random_state
    ).table()


def evaluate_embedding(
    embedding: Any,
    labels: Any,
    *,
    algorithm: str = "leiden",
    resolutions: Sequence[float] | None = None,
    random_state: int = 0,
) -> Scores:
    """As :func:`score_embedding`, with the clusters themselves."""
    types = Types.of(labels)
    embedding_nd = _checked(embedding, types)
    swept = _checked_resolutions(resolutions)
    graph = NeighbourGraph(embedding_nd, algorithm=algorithm, random_state=random_state)
    sweep = _sweep(graph, swept, types)
    matched = matched_resolution(graph, len(types.names))
    found = {
        "fixed": (FIXED_RESOLUTION, graph.clusters(FIXED_RESOLUTION)),
        "matched": (matched, graph.clusters(matched)),
        "kmeans": (float("nan"), codes(kmeans(embedding_nd, len(types.names), random_state), types)),
    }
    best = float(sweep["resolution"].iloc[int(np.argmax(sweep["ari"].fillna(-2.0)))])
    found = {"oracle": (best, graph.clusters(best)), **found}
    width = silhouette(embedding_nd, types, random_state=random_state)
    parts = [_scored(name, TOLD[name], clusters, types, at, width) for name, (at, clusters) in found.items()]
    return Scores(
        pd.DataFrame([row for row, _ in parts], columns=list(COLUMNS)),
        sweep,
        pd.concat([table for _, table in parts], ignore_index=True),
        {name: clusters for name, (_, clusters) in found.items()},
    )


def score_labels(labels_found: Any, labels: Any, *, told: str = "nothing") -> pd.DataFrame:
    """Score clusters that a method gave itself, as protocol ``own``: the columns of :func:`score_embedding`.

    Parameters
    ----------
    labels_found
        (n,) cluster of each cell.
    labels
        (n,) true type of each cell.
    told
        What the method was told of the truth: ``"nothing"`` or ``"n_types"``.

    Raises
    ------
    MethodError
        Not one cluster a cell, or one is missing.
    """
    return evaluate_labels(labels_found, labels, told=told).table()


def evaluate_labels(labels_found: Any, labels: Any, *, told: str = "nothing") -> Scores:
    """As :func:`score_labels`, with the clusters themselves."""
    types = Types.of(labels)
    found_n = codes(labels_found, types)
    row, table = _scored("own", told, found_n, types, float("nan"), float("nan"))
    row["reason"] = _joined(row["reason"], "silhouette: the method gave no embedding")
    sweep = pd.DataFrame(columns=["resolution", "n_clusters", *AGREEMENT], dtype=np.float64)
    return Scores(pd.DataFrame([row], columns=list(COLUMNS)), sweep, table, {"own": found_n})


def stability(labelings: Iterable[Any]) -> float:
    """Mean adjusted Rand index over all pairs of clusterings of the same cells; NaN for fewer than two."""
    from sklearn.metrics import adjusted_rand_score

    listed = [np.asarray(labeling) for labeling in labelings]
    if len({labeling.shape for labeling in listed}) > 1:
        raise OptionError("clusterings can only be compared if they are of the same cells")
    pairs = [float(adjusted_rand_score(one, other)) for one, other in combinations(listed, 2)]
    return float(np.mean(pairs)) if pairs else float("nan")


def _scored(
    protocol: str, told: str, found_n: Array, types: Types, resolution: float, width: float
) -> tuple[dict[str, Any], pd.DataFrame]:
    """One row of the result, and the table of its types."""
    row: dict[str, Any] = {"protocol": protocol, "told": told, "resolution": resolution, "n": found_n.size}
    row["n_clusters"] = np.unique(found_n).size
    table = per_type(found_n, types).assign(protocol=protocol)
    table = table[["protocol", *table.columns.drop("protocol")]]
    if len(types.names) < 2:
        row |= {metric: float("nan") for metric in METRICS}
        row["resolution"] = float("nan") if protocol == "oracle" else resolution
        row["reason"] = "all cells have the same label, against which nothing can be scored"
        return row, table
    row |= agreement(found_n, types)
    row |= {"silhouette": width, "macro_f1": float(table["f1"].mean()), "rare_recall": rare_recall(table)}
    reason = ""
    if len(types.names) == found_n.size:
        reason = "silhouette: every cell is a type of its own"
    if np.isnan(row["rare_recall"]):
        none = f"rare_recall: no type has under {RARE_SHARE:.0%} of the cells and {MIN_RARE_CELLS} cells or more"
        reason = _joined(reason, none)
    row["reason"] = reason
    return row, table


def _joined(*reasons: str) -> str:
    return "; ".join(reason for reason in reasons if reason)


def _sweep(graph: NeighbourGraph, resolutions: Sequence[float], types: Types) -> pd.DataFrame:
    rows = []
    for resolution in resolutions:
        found_n = graph.clusters(resolution)
        scores = agreement(found_n, types) if len(types.names) > 1 else dict.fromkeys(AGREEMENT, float("nan"))
        rows.append({"resolution": resolution, "n_clusters": graph.n_clusters(resolution), **scores})
    return pd.DataFrame(rows)


def _checked(embedding: Any, types: Types) -> Array:
    """Embedding as contiguous float32, one row a cell, finite, and not the same for all."""
    try:
        with np.errstate(over="ignore"):
            out = np.ascontiguousarray(np.asarray(embedding), np.float32)
    except (TypeError, ValueError):
        raise MethodError("the embedding is not an array of numbers") from None
    n = types.code_n.size
    if out.ndim != 2 or out.shape[0] != n or not out.shape[1]:
        raise MethodError(f"the embedding has shape {out.shape}; expected one row for each of {n:,} cells")
    bad = ~np.isfinite(out).all(axis=1)
    if bad.any():
        raise MethodError(
            f"the embedding of cell {int(bad.argmax())} is NaN or infinite ({int(bad.sum()):,} of {n:,} cells)"
        )
    if n < 3:
        raise MethodError(f"{n} cells cannot be clustered; it takes 3 or more")
    if (out == out[0]).all():
        raise MethodError(f"the embedding is the same for all {n:,} cells, so it tells none of them apart")
    return out


def _checked_resolutions(resolutions: Sequence[float] | None) -> list[float]:
    out = list(RESOLUTIONS) if resolutions is None else sorted({float(resolution) for resolution in resolutions})
    if not out:
        raise OptionError("resolutions: none was given")
    for resolution in out:
        if not (np.isfinite(resolution) and resolution >= 0):
            raise OptionError(f"resolution {resolution} must be a number of 0 or more")
    return out
