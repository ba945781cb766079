"""The cells of a source as the vectors that a model takes, made by the model's own embedder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from corpuscle.counts._open import expand_source
from corpuscle.errors import GeneError, MethodError, OptionError, SourceError
from corpuscle.models.celltext._cells_pairs import CellVectors, checked, map_of, of_pairs
from corpuscle.models.celltext._cells_read import pairs_folder, read_obsm, read_table

if TYPE_CHECKING:
    from corpuscle.corpus.pairs.prepare import Prepared

__all__ = ["CellVectors", "cell_vectors"]

Array = np.ndarray[Any, Any]
#: Shares of an embedder's genes: with fewer a source is taken for another species, or is noted as a poor fit.
_TOO_FEW, _FEW = 0.05, 0.5


def cell_vectors(
    model: Any,
    data: Any,
    *,
    layer: str | None = None,
    precomputed: bool = False,
    basis: str = "X_umap",
    declared_counts: bool = False,
) -> CellVectors:
    """Vectors of all cells of a source.

    An ``obsm`` entry of the same name is not trusted unless that is asked for: another fit has other axes.

    Parameters
    ----------
    model
        The :class:`~corpuscle.models.celltext.model.CellText`.
    data
        Folder of pairs (all its splits), AnnData, or path, glob or list of files of raw counts. Counts are normalised
        over all genes of the source and go through the model's embedder; cells without any count are left out.
    layer
        Matrix with the raw counts, instead of the main one.
    precomputed
        Take ``obsm[model.key]`` as it is.
    basis
        Entry of ``obsm`` whose first two columns are a map.
    declared_counts
        Take whole numbers for raw counts whatever they look like.

    Raises
    ------
    MethodError
        The model has no embedder and the data are raw counts.
    SourceError
        The data cannot be read, or are pairs that another fit embedded.
    NotCountsError
        The values are no raw counts.
    GeneError
        The source has fewer than 5 % of the embedder's genes.
    OptionError
        ``obsm`` lacks the key, or its width is wrong.
    """
    folder = pairs_folder(data)
    if layer is not None and (precomputed or folder is not None):
        raise OptionError(f"layer={layer!r}: is of raw counts, and no counts are read here; leave it out")
    if folder is not None:
        return of_pairs(model, folder, precomputed, basis)
    return _of_obsm(model, data, basis) if precomputed else _of_counts(model, data, layer, basis, declared_counts)


def _of_counts(model: Any, data: Any, layer: str | None, basis: str, declared: bool) -> CellVectors:
    from corpuscle.corpus._units import list_sources
    from corpuscle.corpus.pairs.embedders import embed_block
    from corpuscle.corpus.pairs.prepare import prepare

    specs = list_sources(data, layer)
    if model.embedder is None:
        raise MethodError(
            f"the model has no embedder that makes {model.key} of counts; give the folder of pairs it was trained on, or take "
            f"vectors that a file has in obsm[{model.key!r}] (precomputed=True, --precomputed)"
        )
    given = [spec.name if spec.adata is None else spec.adata for spec in specs]
    prepared = prepare(given, layer=layer, rules=None, namespace=len(specs) > 1, declared_counts=declared)
    notes = [*prepared.notes, *_gene_notes(model, prepared)]
    vectors_nd = np.empty((prepared.n_obs, model.width), np.float32)
    at = 0
    for block in prepared.blocks():
        vectors_nd[at : at + block.n_obs] = embed_block([model.embedder], block)[model.key]
        at += block.n_obs
    maps = [map_of(_source(one.spec), basis) for one in prepared.sources]
    coords = None
    if all(found is not None for found in maps):
        coords = np.concatenate([
            found[one.row_n] for found, one in zip(maps, prepared.sources, strict=True) if found is not None
        ])  # fmt: skip
    if (empty := len(prepared.removed)) > 0:
        notes.append(f"{empty:,} cells without any count were left out")
    ours = ["sample_idx", "obs_name", *(["source"] if len(specs) == 1 else [])]
    obs = prepared.obs.drop(columns=ours).rename(columns={f"{name}_given": name for name in ours})
    return CellVectors(list(prepared.obs.index), vectors_nd, obs, coords, tuple(notes))


def _source(spec: Any) -> Any:
    return spec.path if spec.adata is None else spec.adata


def _gene_notes(model: Any, prepared: Prepared) -> list[str]:
    """How many of the embedder's genes each source has.

    Raises
    ------
    GeneError
        Too few for the vectors to mean anything.
    """
    genes = getattr(model.embedder, "genes", None)
    if not genes:  # an embedder of another package need not tell
        return []
    notes = []
    for one in prepared.sources:
        found = len(set(genes) & set(one.var.index))
        words = f"{one.name}: {found:,} of the {len(genes):,} genes of {model.key} were found"
        if found < _TOO_FEW * len(genes):
            there = ", ".join(map(str, one.var.index[:3]))
            raise GeneError(
                f"{words} (it has {there}, ...; the model wants {', '.join(genes[:3])}, ...); give cells of the species and with "
                "the identifiers that the model was trained on"
            )
        if found < len(genes):
            notes.append(
                words + ("; the others count as 0" if found >= _FEW * len(genes) else ", so scores may mean little")
            )
    return notes


def _of_obsm(model: Any, data: Any, basis: str) -> CellVectors:
    import pandas as pd

    given = data if isinstance(data, list | tuple) else [data]
    parts = [item for one in given for item in expand_source(one)]
    tables, vectors, maps = [], [], []
    for part in parts:
        name = str(part) if isinstance(part, Path) else "AnnData"
        obs, keys = read_table(part)
        found_nd = read_obsm(part, model.key)
        if found_nd is None:
            raise OptionError(f"{name}: obsm has no {model.key!r}; it has: {', '.join(keys) or 'nothing'}")
        vectors.append(checked(model, found_nd, name))
        maps.append(map_of(part, basis))
        prefix = f"{part.stem}:" if len(parts) > 1 and isinstance(part, Path) else ""
        tables.append(obs.set_axis(pd.Index([f"{prefix}{id}" for id in obs.index], dtype=object)))
    table = pd.concat(tables)
    coords = None if any(one is None for one in maps) else np.concatenate([one for one in maps if one is not None])
    note = f"obsm {model.key!r} was taken as it is; scores mean something only if the model's own embedder made it"
    return _unique(CellVectors(list(table.index), np.concatenate(vectors), table, coords, (note,)))


def _unique(cells: CellVectors) -> CellVectors:
    if not cells.obs.index.is_unique:
        twice = cells.obs.index[cells.obs.index.duplicated()][0]
        raise SourceError(f"two cells are called {twice!r}; make names unique and write the file again")
    return cells
