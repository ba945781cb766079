"""Cell Ranger's ``.h5``: genes x cells by columns, which is cells x genes by rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from corpuscle.counts._compressed import CompressedRows
from corpuscle.counts._matrix import FileSource
from corpuscle.counts._names import gene_expression, gene_table, name_index
from corpuscle.counts._source import Source
from corpuscle.counts._store import Store, reading
from corpuscle.errors import SourceError

__all__ = ["genome_groups", "open_tenx"]

LAYOUT = "genes x cells, CSC"


def genome_groups(store: Store) -> list[str]:
    """Groups of Cell Ranger 1 and 2: one matrix a genome."""
    wanted = {"barcodes", "data", "genes", "indices", "indptr"}
    return [key for key in store.members() if wanted <= set(store.members(key))]


def open_tenx(path: Path, layer: str | None) -> Source:
    """A Cell Ranger file of version 3 (``matrix``) or before (a group a genome; ``layer`` chooses among several).

    Raises
    ------
    SourceError
        The file is damaged, or it has several genomes and none was chosen.
    """
    store = Store(path, "hdf5")
    if "matrix" in store:
        if layer is not None:
            raise SourceError(f"{path}: a 10x file has no layers; leave --layer out")
        return _version_3(store)
    genomes = genome_groups(store)
    if layer is None and len(genomes) > 1:
        raise SourceError(f"{path}: it has {len(genomes)} genomes; choose one of: {', '.join(genomes)} (--layer NAME)")
    if layer is not None and layer not in genomes:
        raise SourceError(f"{path}: no genome is called {layer!r}; it has: {', '.join(genomes)}")
    return _version_2(store, layer or genomes[0])


def _version_3(store: Store) -> Source:
    features = "matrix/features"
    ids, symbols = store.texts(f"{features}/id"), store.texts(f"{features}/name")
    extra = {
        key: store.texts(f"{features}/{key}") for key in ("feature_type", "genome") if f"{features}/{key}" in store
    }
    var = gene_table(symbols, ids, **extra)
    keep, left_out = gene_expression(var, store.name)
    uns = {"left_out_features": left_out} if left_out else {}
    return FileSource(
        store.name, store.path, _matrix(store, "matrix"), _cells(store, "matrix"), var, uns=uns, keep=keep
    )


def _version_2(store: Store, genome: str) -> Source:
    ids = store.texts(f"{genome}/genes")
    symbols = store.texts(f"{genome}/gene_names") if f"{genome}/gene_names" in store else ids
    obs, var = _cells(store, genome), gene_table(symbols, ids)
    return FileSource(store.name, store.path, _matrix(store, genome), obs, var, uns={"genome": genome})


def _matrix(store: Store, key: str) -> CompressedRows:
    with reading(store.name):
        n_genes, n_cells = (int(n) for n in np.asarray(store[f"{key}/shape"][:]))
    return CompressedRows(store, key, (n_cells, n_genes), LAYOUT)


def _cells(store: Store, key: str) -> pd.DataFrame:
    return pd.DataFrame(index=name_index(store.texts(f"{key}/barcodes")))
