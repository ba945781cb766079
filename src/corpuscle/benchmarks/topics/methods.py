"""What takes part: anything that makes topics of cells and says which genes are typical of each.

A method is an object with a name and one function::

    class Mine:
        name = "mine"

        def fit(self, cells: TopicCells, *, n_topics: int, seed: int) -> Topics: ...

It is given counts, logs, gene names, batches and a second view, never a label. A package adds its own by an entry point
of the group ``corpuscle.topic_methods``; on the command line, ``module:Class`` names one that is not installed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np

from corpuscle.benchmarks.topics.data import TopicCells
from corpuscle.errors import MethodError
from corpuscle.seeds import stream

__all__ = ["OWN", "SHUFFLED", "Reading", "TopicMethod", "Topics", "checked_topics"]

Array = np.ndarray[Any, Any]

#: The ranking that a method gives by itself, and the control: that ranking with the genes' names shuffled.
OWN, SHUFFLED = "own", "shuffled"


@dataclass(frozen=True)
class Topics:
    """Topics of one fit.

    Attributes
    ----------
    cell_topic_nk
        Cells x topics: logits, proportions or factor scores; the largest of a row is the cell's topic.
    topic_gene_kg
        Topics x genes (never genes x topics): higher is more typical of the topic, by the model's own ranking.
    genes
        Names of the columns of ``topic_gene_kg``: those of the cells, in their order.
    also
        Other rankings of the same fit by name, each topics x genes.
    """

    cell_topic_nk: Array
    topic_gene_kg: Array
    genes: list[str]
    also: Mapping[str, Array] = field(default_factory=dict)


@runtime_checkable
class TopicMethod(Protocol):
    """What a method must be; see the text of this module."""

    name: str

    def fit(self, cells: TopicCells, *, n_topics: int, seed: int) -> Topics:
        """Learn ``n_topics`` topics; the same seed must give the same topics on the same machine."""
        ...


@dataclass(frozen=True)
class Reading:
    """One row of the leaderboard: a method, and which of its rankings its topics are read by."""

    name: str
    method: TopicMethod
    ranking: str = OWN

    def weights(self, topics: Topics, seed: int) -> Array:
        """Topics x genes of this ranking.

        Raises
        ------
        MethodError
            The fit has no such ranking.
        """
        if self.ranking == OWN:
            return topics.topic_gene_kg
        if self.ranking == SHUFFLED:
            order = stream(seed, "shuffled genes").permutation(len(topics.genes))
            return topics.topic_gene_kg[:, order]
        if self.ranking not in topics.also:
            have = ", ".join([OWN, SHUFFLED, *topics.also])
            raise MethodError(f"{self.method.name} has no ranking {self.ranking!r}; it has: {have}")
        return topics.also[self.ranking]


def checked_topics(topics: Any, method: str, cells: TopicCells, n_topics: int) -> Topics:
    """What a method returned, made sure to be finite topics of these cells over these genes.

    Raises
    ------
    MethodError
        It is something else, such as genes x topics.
    """
    if not isinstance(topics, Topics):
        raise MethodError(f"{method}: returned a {type(topics).__name__}, not Topics")
    if list(topics.genes) != list(cells.genes):
        raise MethodError(f"{method}: its genes are not those of the cells, in their order")
    cell_topic_nk = _matrix(
        topics.cell_topic_nk, (cells.n_cells, n_topics), f"{method}: topics of the cells", "cells x topics"
    )
    weights = {
        name: _matrix(weight_kg, (n_topics, len(cells.genes)), f"{method}: weights ({name})", "topics x genes")
        for name, weight_kg in {OWN: topics.topic_gene_kg, **topics.also}.items()
    }
    return Topics(cell_topic_nk, weights.pop(OWN), list(topics.genes), weights)


def _matrix(values: Any, shape: tuple[int, int], what: str, axes: str) -> Array:
    matrix = np.asarray(values)
    if matrix.shape != shape:
        turned = "; transpose it" if matrix.shape == shape[::-1] else ""
        raise MethodError(f"{what} have shape {matrix.shape}, expected {shape}, {axes}{turned}")
    if matrix.dtype.kind not in "fiu" or not np.isfinite(matrix).all():
        raise MethodError(f"{what} are not all finite numbers; training may have diverged")
    return matrix
