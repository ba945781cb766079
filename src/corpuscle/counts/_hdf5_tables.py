"""Genes x cells in plain HDF5 tables: ``.loom``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from corpuscle.counts._dense import DenseMatrix
from corpuscle.counts._matrix import FileSource
from corpuscle.counts._names import gene_table, name_index
from corpuscle.counts._source import Source
from corpuscle.counts._store import Store, is_array, reading, text
from corpuscle.errors import SourceError

__all__ = ["open_loom"]

SYMBOL_FIELDS = ("Gene", "gene", "GeneName", "gene_name", "gene_names", "gene_symbol", "symbol", "Symbol", "var_names")
ID_FIELDS = ("Accession", "gene_id", "gene_ids", "GeneID", "ensembl_gene", "ensembl_gene_id", "ENSEMBL", "ensembl_id")
CELL_FIELDS = ("CellID", "cell_id", "CellId", "obs_names", "barcode", "barcodes")


def open_loom(path: Path, layer: str | None) -> Source:
    """A loom file: ``matrix`` or one of ``layers``, genes x cells.

    Raises
    ------
    SourceError
        No such layer, no gene or cell names, or the file is damaged.
    """
    store = Store(path, "hdf5", str(path) if layer is None else f"{path} (layer {layer})")
    layers = store.members("layers")
    if layer is not None and layer not in layers:
        raise SourceError(f"{path}: no layer is called {layer!r}; it has: {', '.join(layers) or 'none'}")
    matrix = DenseMatrix(store, "matrix" if layer is None else f"layers/{layer}", cells_axis=1)
    return _source(store, matrix, "row_attrs", "col_attrs", tuple(other for other in layers if other != layer))


def _source(store: Store, matrix: DenseMatrix, genes: str, cells: str, layers: tuple[str, ...]) -> Source:
    gene_fields, cell_fields = _fields(store, genes), _fields(store, cells)
    symbols = _first(gene_fields, SYMBOL_FIELDS)
    ids = _first(gene_fields, ID_FIELDS)
    names = _first(cell_fields, CELL_FIELDS)
    for found, wanted, key in ((symbols or ids, SYMBOL_FIELDS + ID_FIELDS, genes), (names, CELL_FIELDS, cells)):
        if found is None:
            raise SourceError(
                f"{store.name}: {key} has no names: looked for {', '.join(wanted)}; "
                f"it has: {', '.join(store.members(key)) or 'nothing'}"
            )
    used = {field for field in (symbols, ids) if field}
    others = {field: values for field, values in gene_fields.items() if field not in used}
    var = gene_table(gene_fields[symbols or ids], gene_fields[ids] if ids else None, **others)
    obs = pd.DataFrame({k: v for k, v in cell_fields.items() if k != names}, index=name_index(cell_fields[names]))
    return FileSource(store.name, store.path, matrix, obs, var, layers=layers)


def _fields(store: Store, key: str) -> dict[str, Any]:
    """The one-dimensional arrays of a group, text as ``str``."""
    out = {}
    for field in store.members(key):
        node = store[f"{key}/{field}"]
        if is_array(node) and len(node.shape) == 1:
            with reading(f"{store.name}: {key}/{field}"):
                values = np.asarray(node[:])
            out[field] = values if values.dtype.kind in "buif" else text(values)
    return out


def _first(fields: dict[str, Any], wanted: tuple[str, ...]) -> Any:
    """The first of the ``wanted`` fields that is there."""
    return next((field for field in wanted if field in fields), None)
