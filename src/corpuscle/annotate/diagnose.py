"""What scores look like on the graph that would smooth them: what to know before they are refined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from corpuscle.annotate._certainty import certainty, margins
from corpuscle.annotate._changes import Changes, compare
from corpuscle.annotate._graph import Graph, as_graph
from corpuscle.annotate._label_edges import ROWS, agreement_of, same_label_weight
from corpuscle.annotate.scores import checked_values

if TYPE_CHECKING:
    import scipy.sparse as sp

__all__ = ["Changes", "Diagnosis", "compare", "diagnose", "listed"]

Array = np.ndarray[Any, Any]

#: A type with less than this share of its edge weight inside is scattered among others.
SCATTERED = 0.5
#: Agreement of scores and graph, of what is possible beyond chance, below which they hardly know of each other.
LEAST_AGREEMENT = 0.2
#: Columns whose standard deviations differ by more than this factor do not compete on equal terms.
UNEQUAL_SPREAD = 3.0
#: Types that one line names, before it says "and more".
NAMED = 8


@dataclass(frozen=True)
class Diagnosis:
    """Scores of n cells for K types, seen on the graph of the cells.

    Attributes
    ----------
    types
        Names of the columns.
    n_cells
        Number of cells.
    count_k
        (K,) cells that each type is the highest score of.
    entropy
        Mean entropy of the cells' scores as probabilities, over log K: 0 is certain, 1 knows nothing. NaN for one type.
    margin
        Mean of highest score less second highest, in units of the scores. NaN for one type.
    homophily
        Share of the graph's edge weight between cells of the same highest type. NaN without edges.
    chance_homophily
        What that would be if edges ended at any cell, in proportion to its degree.
    homophily_k
        (K,) share of the edge weight of a type's cells that stays within the type. NaN where it has no cell or edge.
    spread_k
        (K,) standard deviation of each column.
    n_blank, n_tied
        Cells with only zeros, and cells (those included) with more than one highest score.
    n_isolated, n_components
        Cells without neighbours, and connected components, each isolated cell being one.
    median_degree
        Median sum of a cell's edge weights; times lambda it is the strength of the smoothing.
    """

    types: tuple[str, ...]
    n_cells: int
    count_k: Array
    entropy: float
    margin: float
    homophily: float
    chance_homophily: float
    homophily_k: Array
    spread_k: Array
    n_blank: int
    n_tied: int
    n_isolated: int
    n_components: int
    median_degree: float

    @property
    def share_k(self) -> Array:
        """(K,) share of the cells that each type is the highest score of."""
        share: Array = self.count_k / self.n_cells
        return share

    @property
    def agreement(self) -> float:
        """How far scores and graph agree: 0 is chance, 1 is every edge within a type."""
        return agreement_of(self.homophily, self.chance_homophily)

    def table(self) -> pd.DataFrame:
        """One row a type: cells, share, homophily, spread of its column."""
        columns = {
            "cells": self.count_k,
            "share": self.share_k,
            "homophily": self.homophily_k,
            "spread": self.spread_k,
        }
        return pd.DataFrame(columns, index=pd.Index(self.types, name="type", dtype=object))

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers and arrays that an h5ad file can hold."""
        whole = ("n_cells", "n_blank", "n_tied", "n_isolated", "n_components")
        real = ("entropy", "margin", "homophily", "chance_homophily", "median_degree")
        return {
            **{name: int(getattr(self, name)) for name in whole},
            **{name: float(getattr(self, name)) for name in real},
            "cells": np.asarray(self.count_k, np.int64),
            "type_homophily": np.asarray(self.homophily_k, np.float64),
            "spread": np.asarray(self.spread_k, np.float64),
        }

    def words(self) -> tuple[str, ...]:
        """What a reader should know before refining these scores, a line each."""
        return (*self._about_scores(), *self._about_graph(), *self._about_types())

    def _about_scores(self) -> list[str]:
        lines = []
        if self.n_tied:
            zeros = f" ({self.n_blank:,} have only zeros)" if self.n_blank else ""
            lines.append(
                f"{self.n_tied:,} of {self.n_cells:,} cells have no single highest score{zeros}: "
                "they count as the first of the highest types"
            )
        varying = self.spread_k[self.spread_k > 0]
        if varying.size > 1 and varying.max() > UNEQUAL_SPREAD * varying.min():
            widest, narrowest = (
                int(np.argmax(self.spread_k)),
                int(np.argmin(np.where(self.spread_k > 0, self.spread_k, np.inf))),
            )
            lines.append(
                f"the scores of {self.types[widest]} vary {varying.max() / varying.min():.1f} times as much as those of "
                f"{self.types[narrowest]}: types do not compete on equal terms; compare with transform='zscore'"
            )
        return lines

    def _about_graph(self) -> list[str]:
        lines = []
        if self.n_isolated:
            lines.append(
                f"{self.n_isolated:,} of {self.n_cells:,} cells have no neighbour: their scores stay as they are"
            )
        if self.n_components - self.n_isolated > 1:
            lines.append(
                f"the graph falls into {self.n_components - self.n_isolated:,} parts: nothing is smoothed across them"
            )
        if np.isfinite(self.homophily):
            lines.append(
                f"neighbours share their highest type in {self.homophily:.0%} of the graph's weight, "
                f"against {self.chance_homophily:.0%} by chance"
            )
        if self.agreement < LEAST_AGREEMENT:
            lines.append(
                "scores and graph hardly agree: check that the graph is of these cells and that the scores know their types"
            )
        return lines

    def _about_types(self) -> list[str]:
        lines = []
        absent = [name for name, count in zip(self.types, self.count_k, strict=True) if count == 0]
        if absent:
            lines.append(f"no cell has its highest score in {listed(absent)}")
        order = np.argsort(self.homophily_k, kind="stable")  # NaN comes last
        scattered = [f"{self.types[k]} ({self.homophily_k[k]:.0%})" for k in order if self.homophily_k[k] < SCATTERED]
        if scattered and len(self.types) > 1:
            lines.append(
                f"less than half of the edge weight of {listed(scattered)} stays within the type: smoothing hands such "
                "cells to the types around them"
            )
        return lines


def diagnose(values_nk: Array, graph: Graph | sp.spmatrix, types: Sequence[str], *, kind: str = "auto") -> Diagnosis:
    """Describe scores on the graph that would smooth them.

    Parameters
    ----------
    values_nk
        (n, K) finite scores.
    graph
        (n, n) symmetric sparse weights.
    types
        K names.
    kind
        How the entropy reads scores as probabilities: ``"shares"``, ``"logits"``, or ``"auto"``, see
        :func:`~corpuscle.annotate.transform.probabilities`.

    Raises
    ------
    SourceError
        Scores are no finite table of n x K, or the graph is of other cells.
    """
    values_nk = checked_values(values_nk, len(types))
    graph = as_graph(graph, len(values_nk))
    best_n = values_nk.argmax(axis=1)
    inside_k = np.bincount(best_n, same_label_weight(best_n, graph), len(types))
    weight_k = np.bincount(best_n, graph.degree_n, len(types))
    total = float(weight_k.sum())
    with np.errstate(invalid="ignore", divide="ignore"):
        homophily_k = inside_k / weight_k
    entropy_n, margin_n = certainty(values_nk, kind)[1], margins(values_nk)
    return Diagnosis(
        types=tuple(types),
        n_cells=len(values_nk),
        count_k=np.bincount(best_n, minlength=len(types)),
        entropy=_mean_of_known(entropy_n),
        margin=float(margin_n.mean(dtype=np.float64)),
        homophily=float(inside_k.sum()) / total if total else float("nan"),
        chance_homophily=float(((weight_k / total) ** 2).sum()) if total else float("nan"),
        homophily_k=homophily_k,
        spread_k=_spread(values_nk),
        n_blank=int((~values_nk.any(axis=1)).sum()),
        n_tied=int((margin_n == 0).sum()),
        n_isolated=int(np.sum(graph.isolated_n)),
        n_components=graph.n_components,
        median_degree=graph.median_degree,
    )


def _mean_of_known(values_n: Array) -> float:
    known = np.isfinite(values_n)
    return float(values_n[known].mean()) if known.any() else float("nan")


def _spread(values_nk: Array) -> Array:
    """(K,) standard deviation of each column, without a copy of all values in double precision."""
    mean_k = values_nk.mean(axis=0, dtype=np.float64)
    blocks = (values_nk[start : start + ROWS] - mean_k for start in range(0, len(values_nk), ROWS))
    squares_k = sum((np.einsum("bk,bk->k", block_bk, block_bk) for block_bk in blocks), np.zeros(len(mean_k)))
    spread_k: Array = np.sqrt(squares_k / len(values_nk))
    return spread_k


def listed(names: Sequence[str]) -> str:
    """Names in one line, the first eight of them."""
    # Names of the Cell Ontology have commas in them.
    return "; ".join(names[:NAMED]) + (f"; and {len(names) - NAMED} more" if len(names) > NAMED else "")
