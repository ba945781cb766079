"""Which graph the scores of an AnnData are smoothed on, and what it was made from: never one that nobody asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from corpuscle.annotate._graph import Graph, as_graph
from corpuscle.annotate.neighbours import check_neighbours, default_representation, umap_graph
from corpuscle.errors import CorpuscleError, OptionError, SourceError

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["CellGraph", "built_graph", "given_graph", "keep_graph"]

Array = np.ndarray[Any, Any]
#: What scanpy computes and calls the principal components.
PCA = "X_pca"


@dataclass(frozen=True)
class CellGraph:
    """A graph and its origin.

    Attributes
    ----------
    graph
        Checked weights.
    words
        What made it, in one line.
    neighbors_key
        Where the AnnData has it, or is to have it.
    use_rep
        The representation, as far as known.
    notes
        What a reader should know, a line each.
    params
        What it was built with; empty for a graph that was given.
    components_nd
        The representation, if that was made here too.
    """

    graph: Graph
    words: str
    neighbors_key: str
    use_rep: str
    notes: tuple[str, ...] = ()
    params: Mapping[str, Any] | None = None
    components_nd: Array | None = None


def given_graph(adata: AnnData, neighbors_key: str) -> CellGraph:
    """Read the graph that ``uns[neighbors_key]`` stands for.

    Raises
    ------
    OptionError
        There is none under that key.
    SourceError
        It is of other cells, or its weights are none.
    """
    about = adata.uns.get(neighbors_key)
    if not isinstance(about, Mapping):
        known = ", ".join(str(name) for name, one in adata.uns.items() if isinstance(one, Mapping) and "params" in one)
        raise OptionError(
            f"uns has no neighbours {neighbors_key!r}; it has: {known or 'none'} (scanpy.pp.neighbors makes them)"
        )
    key = str(about.get("connectivities_key", "connectivities"))
    if key not in adata.obsp:
        known = ", ".join(map(str, adata.obsp)) or "nothing"
        raise OptionError(f"neighbours {neighbors_key!r}: obsp has no {key!r}; it has: {known}")
    graph = as_graph(adata.obsp[key], adata.n_obs)
    params = about.get("params", {})
    params = params if isinstance(params, Mapping) else {}
    use_rep = str(params.get("use_rep", "unknown"))
    made_from = use_rep if "use_rep" in params else "a representation that it does not name"
    count = np.ravel(params.get("n_neighbors", ()))
    words = f"obsp[{key!r}], asked for by neighbors_key={neighbors_key!r}, made from {made_from}"
    words += f", {int(count[0])} neighbours" if count.size else ""
    return CellGraph(graph, words, neighbors_key, use_rep, graph.notes)


def built_graph(adata: AnnData, use_rep: str, n_neighbors: int, seed: int, key_added: str) -> CellGraph:
    """Build a graph from a representation; nothing is written before :func:`keep_graph`.

    Where ``X_pca`` is asked for and absent, principal components are made from the raw counts.

    Raises
    ------
    OptionError
        There is no such representation, nothing to make one from, or too few cells.
    SourceError
        The representation holds NaN.
    """
    check_neighbours(n_neighbors, adata.n_obs)
    notes: tuple[str, ...] = ()
    components_nd = None
    if use_rep == PCA and PCA not in adata.obsm:
        components_nd, notes = _components(adata)
        use_rep = f"{key_added}_pca"
    x_nd = _representation(adata, use_rep) if components_nd is None else components_nd
    weights_nn = umap_graph(x_nd, n_neighbors, seed)
    params = {
        "n_neighbors": int(n_neighbors),
        "method": "umap",
        "metric": "euclidean",
        "random_state": int(seed),
        "use_rep": use_rep,
    }
    place = "X" if use_rep == "X" else f"obsm[{use_rep!r}]"
    words = f"{n_neighbors} nearest neighbours in {place} ({x_nd.shape[1]} dimensions), UMAP weights"
    return CellGraph(as_graph(weights_nn), words, f"{key_added}_neighbors", use_rep, notes, params, components_nd)


def keep_graph(adata: AnnData, cells: CellGraph) -> None:
    """Write a graph that was built, and what it was built from, under keys of its own, as scanpy lays it out."""
    if cells.params is None:
        return
    if cells.components_nd is not None:
        adata.obsm[cells.use_rep] = cells.components_nd
    connectivities_key = f"{cells.neighbors_key}_connectivities"
    adata.obsp[connectivities_key] = cells.graph.weights_nn
    adata.uns[cells.neighbors_key] = {"connectivities_key": connectivities_key, "params": dict(cells.params)}


def _representation(adata: AnnData, use_rep: str) -> Any:
    if use_rep == "X" and adata.X is not None:
        return adata.X[:] if adata.isbacked else adata.X
    if use_rep not in adata.obsm:
        known = ", ".join(map(str, adata.obsm)) or "nothing"
        raise OptionError(f"obsm has no representation {use_rep!r}; it has: {known}")
    x_nd = adata.obsm[use_rep]
    if hasattr(x_nd, "to_numpy"):
        x_nd = x_nd.to_numpy()
    if x_nd.ndim != 2 or x_nd.dtype.kind not in "buif":
        raise SourceError(f"obsm[{use_rep!r}] is no table of numbers, cells x dimensions")
    return x_nd


def _components(adata: AnnData) -> tuple[Array, tuple[str, ...]]:
    """Principal components of the first matrix that holds raw counts."""
    tried: list[tuple[str, str | None]] = []
    tried += [("layers['counts']", "counts")] if "counts" in adata.layers else []
    tried += [("X", None)] if adata.X is not None else []
    tried += [("raw", "raw")] if adata.raw is not None else []
    reasons = []
    for place, layer in tried:
        try:
            components_nd = default_representation(adata, layer=layer)
        except CorpuscleError as error:
            reasons.append(f"{place}: {error}")
            continue
        return components_nd, (
            f"there was no obsm['X_pca']; principal components were made from the counts in {place}",
        )
    raise OptionError(
        "no graph, no obsm['X_pca'], and no counts to make one from; run scanpy.pp.pca, or give use_rep or "
        "neighbors_key" + (f" ({'; '.join(reasons)})" if reasons else "")
    )
