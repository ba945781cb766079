"""The cells of rows as AnnData: the exact inverse of building the rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from corpuscle.corpus.pairs._link_errors import MissingId, MissingKey
from corpuscle.corpus.pairs._vector_rows import CellLinks, cell_links, places_of, read_rows_archive
from corpuscle.errors import OptionError, SourceError

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["rows_to_anndata"]


def rows_to_anndata(
    dataset: Any,
    ids: Sequence[str] | None = None,
    *,
    cache: str | Path,
    keys: Sequence[str] | None = None,
    sample_column: str = "sample_idx",
    link_column: str = "adata_link",
    base: str | Path | None = None,
    **fetching: Any,
) -> AnnData:
    """The cells of rows as AnnData: the exact inverse of building the rows.

    Parameters
    ----------
    dataset
        Dataset, DatasetDict (all splits), or the folder of one.
    ids
        The cells wanted, in this order; None for all, in the order of the rows.
    cache
        Folder of downloads.
    keys
        Entries of ``obsm`` to read; all by default.
    base
        Folder or URL that relative links start from.
    **fetching
        For :func:`links.fetch`.

    Returns
    -------
    AnnData
        Named by ``sample_idx``, with the values of the archives bit for bit. Where archives have different genes, all genes
        are there and those that an archive lacks are 0.

    Raises
    ------
    MissingId, MissingKey
        A cell or key is not there; both are KeyErrors too.
    SourceError
        Rows or an archive cannot be used.
    """
    import pandas as pd

    cells = cell_links(dataset, sample_column=sample_column, link_column=link_column, base=base)
    if ids is not None:
        cells = _only(cells, ids)
    if not len(cells.table):
        raise SourceError("no rows are asked for; name at least one cell")
    parts = []
    for one in cells.links():
        adata = read_rows_archive(one.fetch(cache, cells.base, fetching), one, keys, matrices=True)
        part = adata[places_of(adata, one, cells)].copy()
        part.obs_names = pd.Index(cells.table["id"].to_numpy(object)[one.rows_n])
        parts.append(part)
    if len(parts) == 1:
        return parts[0]
    return _joined(parts)[cells.table["id"].to_numpy(object)].copy()


def _only(cells: CellLinks, ids: Sequence[str]) -> CellLinks:
    known: pd.Index[str] = cells.table.set_index("id").index
    wanted = np.asarray(list(ids), dtype=object)
    places = known.get_indexer(wanted)
    if (places < 0).any():
        first = wanted[int(np.flatnonzero(places < 0)[0])]
        there = ", ".join(repr(name) for name in known[:5])
        raise MissingId(f"the rows have no cell {first!r}; they have {there}, ...; ask for one of theirs")
    if len(set(places)) < len(places):
        raise OptionError("a cell is asked for twice; name each once")
    return CellLinks(cells.table.iloc[places].reset_index(drop=True), cells.base)


def _joined(parts: list[AnnData]) -> AnnData:
    import anndata

    keys = [set(part.obsm) for part in parts]
    if any(one != keys[0] for one in keys):
        odd = sorted(set.union(*keys) - set.intersection(*keys))
        raise MissingKey(f"{odd[0]} is not in every archive; name the keys that are, or embed all archives")
    for key in keys[0]:
        widths = {part.obsm[key].shape[1] for part in parts}
        if len(widths) > 1:
            raise SourceError(
                f"{key} has different widths ({sorted(widths)}) in the archives; embed them all with one embedder"
            )
    genes = [part.var_names for part in parts]
    same = all(one.equals(genes[0]) for one in genes)
    return anndata.concat(parts, join="inner" if same else "outer", merge="first" if same else "same", fill_value=0)
