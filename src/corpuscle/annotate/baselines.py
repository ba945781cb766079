"""What a refinement has to beat: votes of clusters and of neighbours, and spreading of scores."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from corpuscle.annotate._certainty import certainty, margins
from corpuscle.annotate._graph import Graph, as_graph
from corpuscle.annotate._leiden import leiden
from corpuscle.annotate._spreading import label_spreading, propagate
from corpuscle.annotate.scores import checked_values
from corpuscle.errors import OptionError, SourceError

__all__ = [
    "UNCERTAINTIES",
    "Vote",
    "gated_knn",
    "knn_vote",
    "label_spreading",
    "majority_vote",
    "overclustering_resolution",
    "propagate",
    "uncertainty",
]

Array = np.ndarray[Any, Any]

#: (cells below, resolution) of CellTypist's over-clustering, and the resolution of still more cells.
RESOLUTIONS = ((5_000, 5.0), (20_000, 10.0), (40_000, 15.0), (100_000, 20.0), (200_000, 25.0))
LARGEST_RESOLUTION = 30.0
UNCERTAINTIES = ("margin", "entropy")
#: Cells whose votes are counted at a time.
BLOCK = 65_536


class Vote(NamedTuple):
    """The winner of each cell's vote.

    Attributes
    ----------
    best_n
        (n,) int64 column of the type.
    share_n
        (n,) float64 share of the votes that it got; NaN where nobody voted, and the cell kept its own type.
    """

    best_n: Array
    share_n: Array


def overclustering_resolution(n_cells: int) -> float:
    """Leiden resolution for so many cells, by CellTypist's rule.

    5 below 5,000 cells, 10 below 20,000, 15 below 40,000, 20 below 100,000, 25 below 200,000, else 30. Source:
    Dominguez Conde et al. 2022, Science 376:eabl5197.
    """
    return next((resolution for below, resolution in RESOLUTIONS if n_cells < below), LARGEST_RESOLUTION)


def majority_vote(
    best_n: Any, graph: Any, *, resolution: float | None = None, clusters: Any = None, seed: int = 0
) -> Vote:
    """Give every cell the most frequent type of its cluster.

    Parameters
    ----------
    best_n
        (n,) column of each cell's own type, such as :meth:`~corpuscle.annotate.scores.Scores.best_n`.
    graph
        (n, n) weights of the neighbour graph, on which Leiden finds the clusters.
    resolution
        Of Leiden; None is :func:`overclustering_resolution`.
    clusters
        (n,) clusters to use instead, of any kind; ``graph`` is then only checked.
    seed
        Of Leiden.

    Returns
    -------
    Vote
        Of equally frequent types the first column. ``share_n`` is the type's share of the cluster.

    Raises
    ------
    OptionError
        A resolution that is not positive, clusters of other cells, or a graph of other cells.

    Notes
    -----
    The "majority voting" of CellTypist (Dominguez Conde et al. 2022, Science 376:eabl5197) with igraph's Leiden.
    """
    best_n, graph = _checked(best_n, graph)
    if resolution is not None and not (np.isfinite(resolution) and resolution > 0):
        raise OptionError(f"resolution {resolution} must be a positive number")
    if clusters is None:
        cluster_n = leiden(graph.weights_nn, resolution or overclustering_resolution(best_n.size), seed)
    else:
        cluster_n = np.unique(np.asarray(clusters), return_inverse=True)[1].ravel()
        if cluster_n.size != best_n.size:
            raise OptionError(f"{cluster_n.size:,} clusters were given for {best_n.size:,} cells")
    shape = (int(cluster_n.max()) + 1, int(best_n.max()) + 1)
    cells_ck = np.bincount(cluster_n * shape[1] + best_n, minlength=shape[0] * shape[1]).reshape(shape)
    winner_c = cells_ck.argmax(axis=1)
    share_c = cells_ck.max(axis=1) / cells_ck.sum(axis=1)
    return Vote(winner_c[cluster_n], share_c[cluster_n])


def knn_vote(best_n: Any, graph: Any, *, own_weight: float = 1.0) -> Vote:
    """Give every cell the type with the largest weight among its neighbours.

    Parameters
    ----------
    best_n
        (n,) column of each cell's own type.
    graph
        (n, n) weights.
    own_weight
        Weight of the cell's own vote; 1 is that of a nearest neighbour in a UMAP graph, 0 leaves it out.

    Returns
    -------
    Vote
        Of equal types the cell's own, else the first column. An isolated cell keeps its own.
    """
    best_n, graph = _checked(best_n, graph)
    if not (np.isfinite(own_weight) and own_weight >= 0):
        raise OptionError(f"own_weight {own_weight} must be 0 or more")
    return _voted(best_n, graph, np.ones(best_n.size, bool), own_weight)


def gated_knn(values_nk: Any, graph: Any, *, share: float = 0.5, by: str = "margin", own_weight: float = 0.0) -> Vote:
    """Give uncertain cells the type of their confident neighbours; confident cells keep their own.

    Parameters
    ----------
    values_nk
        (n, K) scores.
    graph
        (n, n) weights.
    share
        Share of the cells, the most uncertain, that are open to a vote; where the last of them are as uncertain as the
        next, all of those stay closed, so that the order of the cells decides nothing.
    by
        What makes a cell uncertain, as in :func:`uncertainty`.
    own_weight
        Weight of an uncertain cell's own vote.

    Returns
    -------
    Vote
        ``share_n`` is NaN where the cell kept its own type without a vote: it is confident, or has no confident
        neighbour.
    """
    values_nk = checked_values(values_nk)
    best_n, graph = _checked(values_nk.argmax(axis=1), graph)
    if not 0 <= share <= 1:
        raise OptionError(f"share {share} must be between 0 and 1")
    open_n = _most(uncertainty(values_nk, by), round(share * best_n.size))
    vote = _voted(best_n, graph, ~open_n, own_weight)
    return Vote(np.where(open_n, vote.best_n, best_n), np.where(open_n, vote.share_n, np.nan))


def _most(doubt_n: Array, count: int) -> Array:
    """(n,) which cells are among so many with the highest doubt; of equal ones at the border, none."""
    if count >= doubt_n.size:
        return np.ones(doubt_n.size, bool)
    border = np.partition(doubt_n, doubt_n.size - count - 1)[doubt_n.size - count - 1]
    most: Array = doubt_n > border
    return most


def uncertainty(values_nk: Array, by: str = "margin") -> Array:
    """(n,) how uncertain each cell is: minus the lead of its best score, or the entropy of the scores as probabilities.

    A cell that the scores say nothing of is infinitely uncertain.

    Raises
    ------
    OptionError
        ``by`` is neither ``"margin"`` nor ``"entropy"``.
    """
    if by not in UNCERTAINTIES:
        raise OptionError(f"uncertainty {by!r} must be {' or '.join(UNCERTAINTIES)}")
    if values_nk.shape[1] < 2:
        return np.zeros(len(values_nk))
    doubt_n = -margins(values_nk).astype(np.float64) if by == "margin" else certainty(values_nk)[1]
    doubt: Array = np.nan_to_num(doubt_n, nan=np.inf)
    return doubt


def _checked(best_n: Any, graph: Any) -> tuple[Array, Graph]:
    """Own types as int64 columns, and the graph of the same cells."""
    best_n = np.asarray(best_n)
    if best_n.ndim != 1 or best_n.dtype.kind not in "iu" or not best_n.size:
        raise SourceError("the types of the cells must be one column number a cell")
    if best_n.min() < 0:
        raise SourceError(f"cell {int(best_n.argmin())} has no type; leave such cells out")
    return best_n.astype(np.int64), as_graph(graph, best_n.size)


def _voted(best_n: Array, graph: Graph, votes_n: Array, own_weight: float) -> Vote:
    """Weighted votes of the neighbours that have one, and of the cell itself."""
    n, n_types = best_n.size, int(best_n.max()) + 1
    ballots_nk = sp.csr_matrix((votes_n.astype(np.float64), (np.arange(n), best_n)), shape=(n, n_types))
    ballots_nk.eliminate_zeros()
    winner_n, share_n = best_n.copy(), np.full(n, np.nan)
    for rows in _blocks(n):
        own = best_n[rows]
        at = np.arange(own.size)
        votes_bk = np.asarray((graph.weights_nn[rows] @ ballots_nk).todense())
        votes_bk[at, own] += own_weight
        total, top = votes_bk.sum(axis=1), votes_bk.argmax(axis=1)
        top = np.where(votes_bk[at, own] >= votes_bk[at, top], own, top)
        winner_n[rows] = top
        np.divide(votes_bk[at, top], total, out=share_n[rows], where=total > 0)
    return Vote(winner_n, share_n)


def _blocks(n: int) -> Iterator[slice]:
    return (slice(start, min(start + BLOCK, n)) for start in range(0, n, BLOCK))
