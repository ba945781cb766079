"""What is done to scores in the annotation benchmark: nothing, a refinement, or a vote.

A refinement is a callable with a name::

    class Mine:
        name = "mine"

        def __call__(self, values_nk, graph, types, seed) -> Refined: ...

It is given scores, the graph of the same cells and the names of the columns, never a label. On the command line,
``module:Class`` names one that is not built in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from corpuscle.benchmarks._method_words import construct, named_with, read_method
from corpuscle.benchmarks.annotation.sources import brief
from corpuscle.errors import MethodError, OptionError
from corpuscle.seeds import stream, stream_seed

if TYPE_CHECKING:
    from corpuscle.annotate._graph import Graph
    from corpuscle.annotate.baselines import Vote

__all__ = ["ALWAYS", "BUILT_IN", "CONTROL", "DEFAULT", "Refined", "Refinement", "checked", "parse_refinement"]

Array = np.ndarray[Any, Any]

#: In every table, whatever was asked for: what there was, the published method, and the baseline it has to beat.
ALWAYS = ("raw", "majority_vote", "grit")
DEFAULT = (
    "raw", "grit", "guarded", "grit_zscore", "majority_vote", "knn_vote", "gated_knn", "label_spreading", "propagate",
    "grit_permuted",
)  # fmt: skip
#: Cannot help, since its graph is of other cells: if it does, something is wrong.
CONTROL = "grit_permuted"


@dataclass(frozen=True)
class Refined:
    """The label of each cell, and how sure of it the method is.

    Attributes
    ----------
    best_n
        (n,) column.
    confidence_n
        (n,) reported probability of that column; NaN where there is none.
    words
        What was done and why, a line each.
    """

    best_n: Array
    confidence_n: Array
    words: tuple[str, ...] = ()


@runtime_checkable
class Refinement(Protocol):
    """What a refinement must be; ``name`` is what tables call it, as a method."""

    name: str

    def __call__(self, values_nk: Array, graph: Graph, types: Sequence[str], seed: int) -> Refined:
        """Label the cells; the same seed gives the same labels on the same machine."""
        ...


@dataclass
class Raw:
    """The highest score of each cell."""

    name = "raw"

    def __call__(self, values_nk: Array, graph: Graph, types: Sequence[str], seed: int) -> Refined:
        return of_values(values_nk)


@dataclass
class Grit:
    """The refinement as published: ``(I + lam L) P = P0``."""

    lam: float = 1.0
    laplacian: str = "unnormalized"
    transform: str = "none"
    name = "grit"

    def __call__(self, values_nk: Array, graph: Graph, types: Sequence[str], seed: int) -> Refined:
        from corpuscle.annotate.refine import refine
        from corpuscle.annotate.transform import transform

        start_nk = transform(values_nk, self.transform)
        return of_values(refine(start_nk, graph, lam=self.lam, laplacian=self.laplacian))


@dataclass
class GritZScore(Grit):
    """The refinement of scores that were standardised type by type."""

    transform: str = "zscore"
    name = "grit_zscore"


@dataclass
class GritPermuted(Grit):
    """The refinement on the graph of other cells: the same graph, its cells shuffled."""

    name = CONTROL

    def __call__(self, values_nk: Array, graph: Graph, types: Sequence[str], seed: int) -> Refined:
        from corpuscle.annotate._graph import as_graph

        order_n = stream(seed, "annotation", "permuted").permutation(graph.n_cells)
        return super().__call__(values_nk, as_graph(graph.weights_nn[order_n][:, order_n]), types, seed)


@dataclass
class Guarded:
    """The refinement with the guards that it has by default, and their lambda unless another is given."""

    lam: float | None = None
    laplacian: str = "unnormalized"
    transform: str = "none"
    name = "guarded"

    def __call__(self, values_nk: Array, graph: Graph, types: Sequence[str], seed: int) -> Refined:
        from corpuscle.annotate.guards import refine_guarded
        from corpuscle.annotate.transform import transform

        start_nk = transform(values_nk, self.transform)
        found = refine_guarded(start_nk, graph, types, lam=self.lam, laplacian=self.laplacian)
        refined = of_values(found.values_nk)
        return Refined(refined.best_n, refined.confidence_n, tuple(found.words))


@dataclass
class MajorityVote:
    """The most frequent type of each cell's cluster, by CellTypist's rule."""

    resolution: float | None = None
    name = "majority_vote"

    def __call__(self, values_nk: Array, graph: Graph, types: Sequence[str], seed: int) -> Refined:
        from corpuscle.annotate.baselines import majority_vote

        best_n, at = values_nk.argmax(axis=1), stream_seed(seed, "annotation", "leiden")
        return _of_vote(majority_vote(best_n, graph, resolution=self.resolution, seed=at), values_nk)


@dataclass
class KNNVote:
    """The type with the largest weight among a cell's neighbours and itself."""

    own_weight: float = 1.0
    name = "knn_vote"

    def __call__(self, values_nk: Array, graph: Graph, types: Sequence[str], seed: int) -> Refined:
        from corpuscle.annotate.baselines import knn_vote

        return _of_vote(knn_vote(values_nk.argmax(axis=1), graph, own_weight=self.own_weight), values_nk)


@dataclass
class GatedKNN:
    """Uncertain cells take the type of their confident neighbours."""

    share: float = 0.5
    by: str = "margin"
    name = "gated_knn"

    def __call__(self, values_nk: Array, graph: Graph, types: Sequence[str], seed: int) -> Refined:
        from corpuscle.annotate.baselines import gated_knn

        return _of_vote(gated_knn(values_nk, graph, share=self.share, by=self.by), values_nk)


@dataclass
class LabelSpreading:
    """Label spreading to its limit: the refinement on the symmetric Laplacian."""

    alpha: float = 0.5
    name = "label_spreading"

    def __call__(self, values_nk: Array, graph: Graph, types: Sequence[str], seed: int) -> Refined:
        from corpuscle.annotate.baselines import label_spreading

        return of_values(label_spreading(values_nk, graph, alpha=self.alpha))


@dataclass
class Propagate:
    """Label spreading of probabilities, cut short, with self-loops; a cell that nothing is said of starts uniform."""

    alpha: float = 0.2
    n_iter: int = 3
    name = "propagate"

    def __call__(self, values_nk: Array, graph: Graph, types: Sequence[str], seed: int) -> Refined:
        from corpuscle.annotate.baselines import propagate
        from corpuscle.annotate.transform import probabilities

        start_nk = np.nan_to_num(probabilities(values_nk), nan=1 / values_nk.shape[1])
        return of_values(propagate(start_nk, graph, alpha=self.alpha, n_iter=self.n_iter, softmax=False))


BUILT_IN: dict[str, Any] = {
    made.name: made
    for made in (
        Raw, Grit, Guarded, GritZScore, MajorityVote, KNNVote, GatedKNN, LabelSpreading, Propagate, GritPermuted,
    )
}  # fmt: skip


def of_values(values_nk: Array) -> Refined:
    """Labels and confidence of refined scores: the best of each row, and its share or softmax."""
    from corpuscle.annotate._certainty import certainty

    return Refined(values_nk.argmax(axis=1), certainty(values_nk)[0])


def _of_vote(vote: Vote, values_nk: Array) -> Refined:
    """Labels of a vote; where nobody voted, how sure the cell's own scores were."""
    own_n = of_values(values_nk).confidence_n
    return Refined(vote.best_n, np.where(np.isnan(vote.share_n), own_n, vote.share_n))


def parse_refinement(text: str) -> Refinement:
    """Find the refinement that a word stands for: ``NAME``, ``NAME:key=value,...`` or ``module:Class``.

    Raises
    ------
    OptionError
        It is none of these, or a value cannot be read.
    """
    name, made, params = read_method(text, _registered)
    method = refinement_of(construct(name, made, params))
    if params:
        method.name = named_with(method.name, brief(params))
    return method


def refinement_of(method: Any) -> Refinement:
    """Check that an object is a refinement.

    Raises
    ------
    OptionError
        It cannot be called, or has no name.
    """
    if (
        not callable(method)
        or not isinstance(method, Refinement)
        or not isinstance(method.name, str)
        or not method.name
    ):
        raise OptionError(f"{method!r} is no refinement: it needs a name, and to be called with scores and a graph")
    return method


def _registered(name: str) -> Any:
    if name not in BUILT_IN:
        raise OptionError(f"no refinement is called {name!r}; there are: {', '.join(BUILT_IN)}")
    return BUILT_IN[name]


def checked(found: Any, shape: tuple[int, ...], name: str) -> Refined:
    """What a refinement returned, made sure to be one label a cell.

    Raises
    ------
    MethodError
        It is not.
    """
    if not isinstance(found, Refined):
        raise MethodError(f"{name}: returned a {type(found).__name__}, not a Refined")
    best_n, confidence_n = np.asarray(found.best_n), np.asarray(found.confidence_n, np.float64)
    if best_n.shape != shape[:1] or best_n.dtype.kind not in "iu" or best_n.min() < 0 or best_n.max() >= shape[1]:
        raise MethodError(f"{name}: did not give one of {shape[1]} columns for each of {shape[0]:,} cells")
    if confidence_n.shape != best_n.shape:
        raise MethodError(f"{name}: did not give one confidence a cell")
    return Refined(best_n.astype(np.int64), confidence_n, found.words)
