"""Cells of a folder of pairs, and what cells of any source are handed on as."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from corpuscle.errors import OptionError, SourceError
from corpuscle.models.celltext._cells_read import dense, read_obsm

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CellVectors", "checked", "map_of", "of_pairs"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class CellVectors:
    """Cells as a model takes them.

    Attributes
    ----------
    ids
        Names of the n cells; those of several files bear the file's name in front.
    vectors_nd
        (n, width) float32.
    obs
        Table of the cells, indexed by ``ids``.
    coords_n2
        Places on a map that the source has, or None.
    notes
        What to know about them, one line each.
    """

    ids: list[str]
    vectors_nd: Array
    obs: pd.DataFrame
    coords_n2: Array | None = None
    notes: tuple[str, ...] = ()


def map_of(source: Any, basis: str) -> Array | None:
    """(n, 2) places of the cells of a source on its map, None where it has none."""
    xy_nd = read_obsm(source, basis)
    return None if xy_nd is None or xy_nd.shape[1] < 2 else np.asarray(xy_nd[:, :2], np.float64)


def checked(model: Any, found_nd: Array, name: str) -> Array:
    """Vectors as the model takes them.

    Raises
    ------
    OptionError
        Their width is wrong.
    SourceError
        A value is not finite.
    """
    if found_nd.shape[1] != model.width:
        raise OptionError(
            f"{name}: {model.key} has width {found_nd.shape[1]} and the model takes {model.width}; "
            "embed the cells with the embedder that it was trained with"
        )
    bad_n = ~np.isfinite(found_nd).all(axis=1)
    if bad_n.any():
        raise SourceError(f"{name}: {model.key} of {bad_n.sum():,} cells is not finite; embed them again")
    return np.asarray(found_nd, np.float32)


def of_pairs(model: Any, folder: Path, precomputed: bool, basis: str) -> CellVectors:
    """All cells of a folder of pairs, from its archives, without their matrices.

    Raises
    ------
    SourceError
        The folder cannot be read, or another fit embedded its cells.
    OptionError
        It has no such embedding.
    """
    import pandas as pd

    from corpuscle.corpus.pairs._vector_rows import cell_links, places_of, read_rows_archive

    notes = () if precomputed else _same_fit(model, folder)
    cells = cell_links(folder)
    ids = cells.table["id"].to_numpy(object)
    if not ids.size:
        raise SourceError(f"{folder}: has no rows; build it again")
    vectors_nd = np.empty((ids.size, model.width), np.float32)
    coords_n2: Array | None = np.full((ids.size, 2), np.nan)
    tables = []
    with tempfile.TemporaryDirectory(prefix="corpuscle-") as cache:
        for one in cells.links():
            adata = read_rows_archive(one.fetch(cache, cells.base, {}), one, None, matrices=False)
            if model.key not in adata.obsm:
                raise OptionError(
                    f"{one.link}: obsm has no {model.key!r}; it has: {', '.join(adata.obsm) or 'nothing'}"
                )
            places = places_of(adata, one, cells)
            vectors_nd[one.rows_n] = checked(model, dense(adata.obsm[model.key], one.link, model.key), one.link)[places]
            xy_nd = map_of(adata, basis)
            coords_n2 = None if xy_nd is None else coords_n2
            if coords_n2 is not None and xy_nd is not None:
                coords_n2[one.rows_n] = xy_nd[places]
            tables.append(adata.obs.iloc[places].set_axis(pd.Index(ids[one.rows_n], dtype=object)))
    return CellVectors(list(ids), vectors_nd, pd.concat(tables).loc[ids], coords_n2, notes)


def _same_fit(model: Any, folder: Path) -> tuple[str, ...]:
    """A note where it cannot be told whether the folder's vectors are the model's.

    Raises
    ------
    SourceError
        They are not.
    OptionError
        The folder has no such embedding.
    """
    from corpuscle.corpus.pairs.embedders import load_embedder
    from corpuscle.corpus.pairs.manifest import read_pairs_manifest

    entries = {entry.key: entry for entry in read_pairs_manifest(folder).embedders}
    if model.key not in entries:
        raise OptionError(f"{folder}: has no {model.key}; it has: {', '.join(entries) or 'no embeddings'}")
    if model.embedder is None:
        return (
            f"the model has no embedder, so nothing tells whether {model.key} of {folder.name} is what it was trained on",
        )
    stored = load_embedder(folder / entries[model.key].file)
    if not _same(stored, model.embedder):
        raise SourceError(
            f"{folder}: its {model.key} was fitted on other cells than the model's; build it with the embedder of the model's own "
            "data set (--embedders-from), or give the files of counts"
        )
    return ()


def _same(one: Any, other: Any) -> bool:
    (arrays, meta), (others, other_meta) = one.to_arrays(), other.to_arrays()
    same = one.kind == other.kind and meta == other_meta and arrays.keys() == others.keys()
    return same and all(np.array_equal(arrays[key], others[key]) for key in arrays)
