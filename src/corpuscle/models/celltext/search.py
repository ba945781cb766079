"""Cells that are like some words, or like other cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from corpuscle.errors import MethodError, OptionError
from corpuscle.models.celltext.cells import cell_vectors
from corpuscle.models.celltext.closest import CLOSE, closest_captions

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["Found", "Query", "search", "write_scores"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Query:
    """What was asked: some words, or a cell by its name. ``column`` is its column of the scores."""

    column: str
    text: str | None = None
    cell: str | None = None


@dataclass(frozen=True, eq=False)
class Found:
    """What a search found.

    Attributes
    ----------
    scores
        Cosine of every cell (index) with every query (column), float32.
    vectors_nd
        The n cells in the shared space, of unit length, float32.
    obs
        Table of the cells.
    coords
        Their places on the source's own map, shape (n, 2), or None.
    notes
        What to know before believing the scores, one line each.
    closest
        Training captions closest to each text; empty where the model does not know its captions.
    queries
        What was asked, in the order of the columns.
    top
        How many best cells are looked at.
    model
        What the model is: key, width and dim.
    """

    scores: pd.DataFrame
    vectors_nd: Array
    obs: pd.DataFrame
    coords: Array | None
    notes: tuple[str, ...]
    closest: pd.DataFrame
    queries: tuple[Query, ...] = ()
    top: int = 50
    model: dict[str, Any] = field(default_factory=dict)

    def ranks(self) -> pd.DataFrame:
        """Rank of every cell under every query, from 1; equal scores in the order of the cells."""
        scores = self.scores.rank(ascending=False, method="first").astype(np.int64)
        return scores.set_axis(self.scores.columns, axis=1)

    def best(self, column: str, top: int | None = None) -> pd.Series:
        """Scores of the best cells of one query, the best first."""
        return self.scores[column].sort_values(ascending=False, kind="stable").iloc[: self.top if top is None else top]

    def enrichment(self, by: str) -> pd.DataFrame:
        """In which groups the best cells of each query are.

        Parameters
        ----------
        by
            Column of ``obs``. Cells without a value are a group of their own.

        Returns
        -------
        DataFrame
            For each query and each group that has one of its best cells: ``query``, ``group``, ``among_top`` and
            ``cells`` (numbers of cells), ``share_top``, ``share_all`` and ``times``, their quotient; the largest
            share first.

        Raises
        ------
        OptionError
            There is no such column.
        """
        if by not in self.obs:
            raise OptionError(f"obs has no column {by!r}; it has: {', '.join(map(str, self.obs.columns)) or 'none'}")
        group_n = self.obs[by].astype(object).where(self.obs[by].notna(), "(no value)").astype(str)
        all_of = group_n.value_counts()
        tables = []
        for column in self.scores:
            best = self.best(column).index
            among = group_n.loc[best].value_counts()
            table = pd.DataFrame({"query": column, "group": among.index, "among_top": among.to_numpy()})
            table["cells"] = all_of.loc[among.index].to_numpy()
            table["share_top"] = table["among_top"] / len(best)
            table["share_all"] = table["cells"] / len(group_n)
            tables.append(table.assign(times=table["share_top"] / table["share_all"]))
        return pd.concat(tables, ignore_index=True)


def search(
    model: Any,
    data: Any,
    texts: Sequence[str] = (),
    *,
    cells: Sequence[str] = (),
    layer: str | None = None,
    precomputed: bool = False,
    top: int = 50,
    basis: str = "X_umap",
    declared_counts: bool = False,
) -> Found:
    """Score all cells of a source against words, and against example cells.

    A score is a cosine in the space that training made, from -1 to 1. It orders cells under one query; scores of two
    queries cannot be compared. Every query orders all cells, also one that no training caption is like: each text
    therefore comes with the training captions closest to it by the text encoder, and a note where none reaches a cosine
    of .5. That limit tells words about cells from others, and is a hint at most where the words are of another type: of
    types of another organ a fifth reach it, and of types in other words a third to all do
    (``python -m benches.cell_text_words``).

    Parameters
    ----------
    model
        The :class:`~corpuscle.models.celltext.model.CellText`.
    data, layer, precomputed, basis, declared_counts
        As for :func:`~corpuscle.models.celltext.cells.cell_vectors`.
    texts
        Words to search for.
    cells
        Names of cells of the data whose like is searched for.
    top
        How many best cells to look at.

    Raises
    ------
    OptionError
        Nothing is asked, a text is empty or names a cell, something is asked twice, or there is no such cell.
    MethodError, SourceError, NotCountsError, GeneError
        As for :func:`~corpuscle.models.celltext.cells.cell_vectors`.

    Examples
    --------
    >>> found = search(CellText.load("study.model"), "new.h5ad", ["activated B cells"])  # doctest: +SKIP
    >>> found.best("activated B cells")  # doctest: +SKIP
    """
    queries = _queries(texts, cells)
    if isinstance(top, bool) or not isinstance(top, int) or top < 1:
        raise OptionError(f"top={top!r}: give a positive whole number")
    given = cell_vectors(
        model, data, layer=layer, precomputed=precomputed, basis=basis, declared_counts=declared_counts
    )
    ids = pd.Index(given.ids, dtype=object)
    places = _check_named(queries, ids)
    vectors_nd = model.encode_cells(given.vectors_nd)
    _check_unit(vectors_nd, ids)
    text_kd = model.encode_texts([query.text for query in queries if query.text is not None])
    asked_kd = np.concatenate([text_kd, vectors_nd[places]])
    scores = pd.DataFrame(vectors_nd @ asked_kd.T, index=ids, columns=[query.column for query in queries])
    closest, notes = _closest(model, [query.text for query in queries if query.text is not None])
    about = {"key": model.key, "width": model.width, "dim": model.dim}
    return Found(
        scores,
        vectors_nd,
        given.obs,
        given.coords_n2,
        (*given.notes, *notes),
        closest,
        queries,
        min(top, len(ids)),
        about,
    )


def _queries(texts: Sequence[str], cells: Sequence[str]) -> tuple[Query, ...]:
    for name, given in (("texts", texts), ("cells", cells)):
        if isinstance(given, str):
            raise OptionError(f"{name}: one string was given and not a list of them; put it in a list")
    if not len(texts) and not len(cells):
        raise OptionError("nothing to search for: give some words, or a cell")
    for text in texts:
        if not isinstance(text, str) or not text.strip():
            raise OptionError(f"query {text!r} is empty; give some words")
    asked = [Query(" ".join(text.split()), text=" ".join(text.split())) for text in texts]
    asked += [Query(f"cell {id}", cell=str(id)) for id in cells]
    columns = [query.column for query in asked]
    twice = next((column for column in columns if columns.count(column) > 1), None)
    if twice is not None:
        raise OptionError(f"{twice!r} is asked for twice; ask once")
    return tuple(asked)


def _check_named(queries: Sequence[Query], ids: pd.Index) -> Array:
    """Places of the cells that are asked for; a text that is the name of a cell is refused, and so is an unknown cell."""
    for query in queries:
        if query.text is not None and query.text in ids:
            raise OptionError(f"{query.text!r} is the name of a cell; search for cells like it with cells=, or --cell")
        if query.cell is not None and query.cell not in ids:
            there = ", ".join(map(repr, ids[:3]))
            raise OptionError(
                f"there is no cell {query.cell!r}; cells are called {there}, ...; give one of these names"
            )
    return ids.get_indexer(np.asarray([query.cell for query in queries if query.cell is not None], dtype=object))


def _check_unit(vectors_nd: Array, ids: pd.Index) -> None:
    norm_n = np.linalg.norm(vectors_nd, axis=1)
    bad_n = ~(np.abs(norm_n - 1) < 1e-3)
    if bad_n.any():
        raise MethodError(f"the model gives cell {ids[int(np.argmax(bad_n))]!r} no direction; train it again")


def _closest(model: Any, texts: Sequence[str]) -> tuple[pd.DataFrame, list[str]]:
    """Closest training captions, and a note for each text that has none."""
    if model.captions is None or not model.captions.counts or not texts:
        empty = pd.DataFrame(columns=["query", "rank", "caption", "label", "cosine", "cells"])
        unknown = "the model does not say what captions it was trained on, so nothing tells what its scores can mean"
        return empty, [unknown] if texts else []
    closest = closest_captions(model.model, model.captions, texts)
    first = closest[closest["rank"] == 1]
    return closest, [
        f"{row.query!r}: nothing like it was in training (closest: {row.label!r}, cosine {row.cosine:.2f}); scores may mean nothing"
        for row in first.itertuples()
        if row.cosine < CLOSE
    ]


def write_scores(adata: AnnData, found: Found) -> AnnData:
    """Write what was found into an AnnData, by the names of its cells; cells that were not searched get NaN.

    Parameters
    ----------
    adata
        Changed in place: ``obs["search: WORDS"]`` has the scores, ``obsm["X_celltext"]`` the cells in the shared
        space, and ``uns["celltext_search"]`` the queries, their columns and the model.
    found
        Of the same cells.

    Returns
    -------
    AnnData
        The one that was given.

    Raises
    ------
    OptionError
        None of its cells was searched, or a name occurs twice in it.
    """
    if not adata.obs_names.is_unique:
        raise OptionError("two cells of the AnnData have one name; make them unique: adata.obs_names_make_unique()")
    place_n = found.scores.index.get_indexer(np.asarray(adata.obs_names, dtype=object))
    if not (place_n >= 0).any():
        raise OptionError("none of the AnnData's cells was searched; give the cells that the search was of")
    columns = _obs_columns(found.queries)
    for query, column in zip(found.queries, columns, strict=True):
        adata.obs[column] = _aligned(found.scores[query.column].to_numpy(), place_n)
    adata.obsm["X_celltext"] = _aligned(found.vectors_nd, place_n)
    adata.uns["celltext_search"] = {
        "queries": np.array([query.column for query in found.queries], dtype=object),
        "columns": np.array(columns, dtype=object),
        "model": dict(found.model),
        "notes": np.array(list(found.notes), dtype=object),
    }
    return adata


def _obs_columns(queries: Sequence[Query]) -> list[str]:
    """A column for each query; files know no slash in names, so it becomes a bar."""
    columns: list[str] = []
    for query in queries:
        name, k = f"search: {query.column.replace('/', '|')}", 1
        while name in columns:
            k += 1
            name = f"search: {query.column.replace('/', '|')} ({k})"
        columns.append(name)
    return columns


def _aligned(values: Array, place_n: Array) -> Array:
    out = np.full((place_n.size, *values.shape[1:]), np.nan, dtype=np.float32)
    out[place_n >= 0] = values[place_n[place_n >= 0]]
    return out
