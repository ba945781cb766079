"""From rows back to numbers: the vectors of every cell as one memory-mapped table, and the cells as AnnData."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from corpuscle._folders import new_folder
from corpuscle.corpus.pairs._link_errors import MissingId
from corpuscle.corpus.pairs._link_words import About, shown
from corpuscle.corpus.pairs._vector_cells import rows_to_anndata
from corpuscle.corpus.pairs._vector_rows import CellLinks, LinkOf, cell_links, places_of, read_rows_archive
from corpuscle.errors import OutputError, SourceError

__all__ = ["VectorStore", "build_store", "rows_to_anndata"]

Array = np.ndarray[Any, Any]
_SCHEMA = 1


class VectorStore:
    """Vectors of cells by id, on disk; opening one reads only the ids.

    Parameters
    ----------
    folder
        What :func:`build_store` wrote.
    key, width
        What a model was trained with; a store of another embedding or width is refused. None to take any.

    Attributes
    ----------
    vectors_nd
        Read-only memory map, shape (n, d), float32.
    ids
        The n ids, an index.
    provenance
        Schema, key, width, cells, and link, SHA-256, format and cells of every archive.

    Raises
    ------
    SourceError
        The folder is no store, is damaged, or is of another key or width.
    """

    def __init__(self, folder: str | Path, *, key: str | None = None, width: int | None = None) -> None:
        import pandas as pd

        self.folder = Path(folder)
        try:
            self.provenance: dict[str, Any] = json.loads((self.folder / "provenance.json").read_text(encoding="utf-8"))
            self.vectors_nd: Array = np.load(self.folder / "vectors.npy", mmap_mode="r", allow_pickle=False)
            ids = json.loads((self.folder / "ids.json").read_text(encoding="utf-8"))
            self.key, self.width = str(self.provenance["key"]), int(self.provenance["width"])
            schema = self.provenance["schema"]
            self.ids = pd.Index(np.asarray(ids, dtype=object))
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise SourceError(f"{self.folder}: no vectors can be read ({error}); build the store again") from None
        if schema != _SCHEMA:
            raise SourceError(f"{self.folder}: is of schema {schema}, not {_SCHEMA}; build the store again")
        whole = self.vectors_nd.shape == (len(self.ids), self.width) and self.vectors_nd.dtype == np.float32
        if not whole or not self.ids.is_unique:
            raise SourceError(f"{self.folder}: ids and vectors do not belong together; build the store again")
        if key is not None and key != self.key:
            raise SourceError(f"{self.folder}: holds {self.key}, not {key}; build a store of {key}")
        if width is not None and width != self.width:
            raise SourceError(f"{self.folder}: vectors of {self.key} have width {self.width}, not {width}")

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, id: object) -> bool:
        return id in self.ids

    def __getitem__(self, id: str) -> Array:
        """The vector of one cell, shape (d,)."""
        return self.lookup([id])[0]

    def lookup(self, ids: Sequence[str]) -> Array:
        """The vectors of cells in the order asked, shape (len(ids), d), float32.

        Raises
        ------
        MissingId
            Also a KeyError; names the first id that is not there and some that are.
        """
        places = self.ids.get_indexer(np.asarray(list(ids), dtype=object))
        if (places < 0).any():
            first = list(ids)[int(np.flatnonzero(places < 0)[0])]
            there = ", ".join(repr(name) for name in self.ids[:5])
            raise MissingId(
                f"{self.folder}: no vector of {first!r}; there are {there}, ...; add its rows and build again"
            )
        return np.asarray(self.vectors_nd[places])


def build_store(
    dataset: Any,
    key: str,
    out: str | Path,
    *,
    cache: str | Path,
    sample_column: str = "sample_idx",
    link_column: str = "adata_link",
    base: str | Path | None = None,
    force: bool = False,
    **fetching: Any,
) -> VectorStore:
    """Write the vectors ``obsm[key]`` of all cells of a data set to the folder ``out``.

    Each archive is fetched and read once, one in memory at a time; a cell with several rows is stored once.

    Parameters
    ----------
    dataset
        Dataset, DatasetDict (all splits), or the folder of one; relative links then start there.
    key
        Entry of ``obsm``, such as ``"X_pca"``; dense or sparse.
    cache
        Folder of downloads.
    base
        Folder or URL that relative links start from.
    force
        Replace a store that is there.
    **fetching
        For :func:`links.fetch`: max_bytes, timeout, storage_options ...

    Raises
    ------
    MissingId, MissingKey
        A cell or the key is not in an archive; both are KeyErrors too.
    SourceError
        Rows or an archive cannot be used; archives differ in width; values are not finite.
    OutputError
        ``out`` is there already or cannot be written.
    """
    out = Path(out)
    _check_out(out, force)
    cells = cell_links(dataset, sample_column=sample_column, link_column=link_column, base=base)
    if not len(cells.table):
        raise SourceError("the data set has no rows; build it again")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{out}: cannot be written ({error.strerror}); choose another folder") from None
    with new_folder(out, lambda: _check_out(out, force)) as work:
        _write_store(work, cells, key, cache, fetching)
    return VectorStore(out, key=key)


def _check_out(out: Path, force: bool) -> None:
    # Only a store is ever replaced: whatever else lies there is not ours to remove.
    if out.exists() and not (force and (out / "provenance.json").is_file()):
        raise OutputError(f"{out}: is there already; remove it or choose another folder")


def _write_store(work: Path, cells: CellLinks, key: str, cache: str | Path, fetching: Mapping[str, Any]) -> None:
    ids = cells.table["id"].to_numpy(object)
    record: list[dict[str, Any]] = []
    vectors_nd: Array | None = None
    for one in cells.links():
        found_nd, sha256 = _vectors(one, cells, key, cache, fetching)
        if vectors_nd is None:
            shape = (len(ids), found_nd.shape[1])
            vectors_nd = np.lib.format.open_memmap(work / "vectors.npy", mode="w+", dtype=np.float32, shape=shape)
        if found_nd.shape[1] != vectors_nd.shape[1]:
            raise SourceError(
                f"{About(one.link, len(one.rows_n))}: {key} has width {found_nd.shape[1]} and {vectors_nd.shape[1]} in "
                f"{shown(record[0]['link'])}; embed all archives with one fitted embedder"
            )
        vectors_nd[one.rows_n] = found_nd
        record.append({"link": one.link, "sha256": sha256, "format": one.format, "cells": len(one.rows_n)})
    assert vectors_nd is not None
    width = vectors_nd.shape[1]
    vectors_nd.flush()  # type: ignore[attr-defined]
    provenance = {"schema": _SCHEMA, "key": key, "width": width, "cells": len(ids), "archives": record}
    (work / "ids.json").write_text(json.dumps(list(ids)), encoding="utf-8")
    (work / "provenance.json").write_text(
        json.dumps(provenance, indent=1, sort_keys=True) + os.linesep, encoding="utf-8"
    )


def _vectors(
    one: LinkOf, cells: CellLinks, key: str, cache: str | Path, fetching: Mapping[str, Any]
) -> tuple[Array, str]:
    """The vectors that the rows want of one archive, shape (rows, d), and the archive's SHA-256."""
    from corpuscle.corpus.pairs.archives import archive_sha256

    path = one.fetch(cache, cells.base, fetching)
    adata = read_rows_archive(path, one, [key], matrices=False)
    places = places_of(adata, one, cells)
    values = adata.obsm[key]
    if hasattr(values, "iloc"):  # a data frame
        values = values.to_numpy()
    found = values[places]
    found_nd = np.asarray(found.toarray() if hasattr(found, "toarray") else found, dtype=np.float32)
    about = About(one.link, len(places))
    if found_nd.ndim != 2:
        raise SourceError(f"{about}: {key} has {found_nd.ndim} dimensions and not 2; embed the cells again")
    bad = ~np.isfinite(found_nd).all(axis=1)
    if bad.any():
        name = adata.obs_names[places[int(np.flatnonzero(bad)[0])]]
        raise SourceError(f"{about}: {key} of {bad.sum():,} cells is not finite, the first {name!r}; embed them again")
    return found_nd, one.sha256 or archive_sha256(path)
