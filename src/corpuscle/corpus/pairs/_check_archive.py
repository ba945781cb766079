"""Checks of one archive of a data set of pairs: is it the one of the manifest, with all cells of its rows?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from corpuscle.corpus._folder_checks import Problem
from corpuscle.corpus.pairs._archive_members import MEMBERS, digest_of, parse_members
from corpuscle.corpus.pairs._vector_rows import rows_in_archive
from corpuscle.corpus.pairs.archives import obs_hash, read_archive
from corpuscle.corpus.pairs.links import fetch
from corpuscle.corpus.pairs.manifest import ArchiveEntry, PairsManifest
from corpuscle.errors import CorpuscleError, SourceError

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from corpuscle.corpus.pairs.embedders import Embedder

__all__ = ["archive_problems"]

_BLOCK = 4096
_TOLERANCE = 1e-3  # of the largest value: sums in another order, not other numbers


def archive_problems(
    folder: Path,
    entry: ArchiveEntry,
    manifest: PairsManifest,
    cells: pd.DataFrame | None,
    remake: Mapping[str, Embedder] | None,
    cache: str | Path | None,
    fetching: Mapping[str, Any],
) -> Iterator[Problem]:
    """What is wrong with an archive; ``cells`` are those of its rows, ``remake`` the embedders for a deep check."""
    try:
        path = _find(folder, entry, None if cells is None else len(cells), cache, fetching)
        cells_in = read_archive(path, entry.format, sorted(entry.obsm), matrices=remake is not None)
    except CorpuscleError as error:
        yield Problem("archive", entry.file, str(error))
        return
    yield from _members_problems(folder, entry)
    names = cells_in.obs_names
    if len(names) != entry.n_obs or obs_hash(names) != entry.obs_hash:
        text = f"its {len(names):,} cells are not the {entry.n_obs:,} of the manifest; get or build it again"
        yield Problem("archive", entry.file, text)
    for key, (width, dtype) in entry.obsm.items():
        found = cells_in.obsm[key]
        if found.shape[1] != width or str(found.dtype) != dtype:
            text = f"{key} is {found.dtype} of width {found.shape[1]}, not {dtype} of {width} as the manifest says"
            yield Problem("archive", entry.file, f"{text}; get or build it again")
    if cells is not None:
        try:
            rows_in_archive(names, cells["obs_name"].to_numpy(object), cells["sample_idx"].to_numpy(object), entry.link)
        except SourceError as error:
            yield Problem("archive", entry.file, str(error), rows=len(cells))
    if remake is not None:
        yield from _value_problems(entry, cells_in, remake)


def _members_problems(folder: Path, entry: ArchiveEntry) -> Iterator[Problem]:
    """A list of members that is of another folder: over HTTP nobody could fetch this one."""
    path = folder / f"{entry.file}{MEMBERS}"
    if entry.format != "zarr" or not path.is_file():
        return
    try:
        fits = not path.is_symlink() and digest_of(parse_members(path.read_text(encoding="utf-8"))) == entry.sha256
    except (OSError, ValueError):
        fits = False
    if not fits:
        yield Problem("archive", f"{entry.file}{MEMBERS}", "is not the list of its members; build the data set again")


def _find(
    folder: Path, entry: ArchiveEntry, n_rows: int | None, cache: str | Path | None, fetching: Mapping[str, Any]
) -> Path:
    known: dict[str, Any] = {"sha256": entry.sha256, "format": entry.format, "n_rows": n_rows}
    if (folder / entry.file).exists() or cache is None:
        return fetch(entry.file, folder, base=folder, **known, **fetching)
    return fetch(entry.link, cache, base=folder, **known, **fetching)


def _value_problems(entry: ArchiveEntry, adata: AnnData, remake: Mapping[str, Embedder]) -> Iterator[Problem]:
    counts = adata.layers.get("counts")
    if adata.X is None or counts is None:
        yield Problem("values", entry.file, "has no X or no layer counts; build the data set again")
        return
    if counts.shape and (counts.data.min(initial=0) < 0 or (counts.data != np.floor(counts.data)).any()):
        yield Problem("values", entry.file, "layer counts holds values that are no counts; build the data set again")
    for key in entry.obsm:
        values = adata.obsm[key]
        dense = values.data if hasattr(values, "indptr") else np.asarray(values)
        if not np.isfinite(dense).all():
            yield Problem("values", entry.file, f"{key} holds values that are not finite; embed the cells again")
        elif key in remake:
            worst = _difference(adata, key, remake[key])
            if worst > _TOLERANCE * max(1.0, float(np.abs(dense).max(initial=0))):
                text = f"{key} differs by up to {worst:.3g} from what its embedder makes of the counts; build it again"
                yield Problem("values", entry.file, text)


def _difference(adata: AnnData, key: str, embedder: Embedder) -> float:
    """Largest difference between the stored embedding and the one made again."""
    import scipy.sparse as sp

    from corpuscle.corpus.pairs._block import CellBlock

    worst = 0.0
    log_ng, counts_ng = sp.csr_matrix(adata.X), sp.csr_matrix(adata.layers["counts"])
    for start in range(0, adata.n_obs, _BLOCK):
        rows = slice(start, start + _BLOCK)
        obs = adata.obs.iloc[rows]
        made = embedder.transform(CellBlock(log_ng[rows], counts_ng[rows], tuple(adata.var_names), obs, "archive"))
        stored = adata.obsm[key][rows]
        stored = stored.toarray() if hasattr(stored, "toarray") else np.asarray(stored)
        if stored.shape != made.shape:
            return float("inf")
        worst = max(worst, float(np.abs(stored - made).max(initial=0)))
    return worst
