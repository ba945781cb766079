"""AnnData: ``.h5ad`` files, ``.zarr`` folders (formats 2 and 3), and objects in memory."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import scipy.sparse as sp

from corpuscle.counts._check import way_out
from corpuscle.counts._compressed import CompressedColumns, CompressedRows
from corpuscle.counts._dense import DenseMatrix
from corpuscle.counts._matrix import FileSource, Matrix, native
from corpuscle.counts._source import MemorySource, Source
from corpuscle.counts._store import Store, is_array, is_group, reading, text
from corpuscle.errors import NotCountsError, SourceError

__all__ = ["from_anndata", "open_anndata"]


def open_anndata(path: Path, layer: str | None, kind: Literal["hdf5", "zarr"]) -> Source:
    """An AnnData file or folder; ``layer`` names a layer, or ``"raw"`` for ``raw.X``.

    Raises
    ------
    SourceError
        There is no ``X`` or no such layer, or the file is damaged.
    """
    name = str(path) if layer is None else f"{path} (layer {layer})"
    store = Store(path, kind, name)
    layers = store.members("layers") + (["raw"] if "raw/X" in store else [])
    key = _matrix_key(store, layer, layers)
    obs, var = _table(store, "obs"), _table(store, "raw/var" if key == "raw/X" else "var")
    matrix = _matrix(store, key, (len(obs), len(var)))
    others = tuple(other for other in layers if other != layer)
    watched = path if kind == "hdf5" else _chunk_folder(path / key)
    return FileSource(name, path, matrix, obs, var, uns=lambda: _uns(store), layers=others, watched=watched)


def _matrix_key(store: Store, layer: str | None, layers: list[str]) -> str:
    if layer is None or (layer == "X" and "X" not in layers):
        x = store.get("X")
        if x is None or not (is_group(x) or is_array(x)):
            have = f"; ask for one of its layers: {', '.join(layers)}" if layers else "; write it with a count matrix"
            raise SourceError(f"{store.path}: there is no X in it{have}")
        return "X"
    if layer not in layers:
        have = f"it has: {', '.join(layers)}" if layers else "it has none; leave --layer out to use X"
        raise SourceError(f"{store.path}: no layer is called {layer!r}; {have}")
    return "raw/X" if layer == "raw" and layer not in store.members("layers") else f"layers/{layer}"


def _matrix(store: Store, key: str, shape: tuple[int, int]) -> Matrix:
    node = store[key]
    if not is_group(node):
        if not is_array(node) or len(node.shape) != 2:
            raise SourceError(f"{store.name}: {key} is not a matrix; write it as cells x genes")
        return DenseMatrix(store, key)
    attributes = dict(node.attrs)
    encoding = str(attributes.get("encoding-type", attributes.get("h5sparse_format", "")))  # the latter before 2020
    stored_shape = attributes.get("shape", attributes.get("h5sparse_shape"))
    if stored_shape is not None and tuple(int(n) for n in stored_shape) != shape:
        stored = " x ".join(f"{int(n):,}" for n in stored_shape)
        raise SourceError(
            f"{store.name}: {key} is {stored} but the file names {shape[0]:,} cells and {shape[1]:,} genes; "
            f"it is damaged: get it again"
        )
    if encoding.startswith("csr"):
        return CompressedRows(store, key, shape)
    if encoding.startswith("csc"):
        return CompressedColumns(store, key, shape)
    raise SourceError(f"{store.name}: {key} is stored as {encoding or 'an unknown kind'}; write it dense, CSR or CSC")


def _table(store: Store, key: str) -> pd.DataFrame:
    """``obs`` or ``var``; the index as text."""
    from anndata.io import read_elem

    node = store.get(key)
    if node is None:
        raise SourceError(f"{store.name}: there is no {key} in it; it is not a complete AnnData file")
    with reading(f"{store.name}: {key}"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = _legacy_table(node) if is_array(node) else read_elem(node)
        table.index = pd.Index(text(table.index), dtype=object, name=table.index.name)
    return table


def _legacy_table(node: Any) -> pd.DataFrame:
    """A table as AnnData wrote it before 2020: one record array, its first or ``index`` field the names."""
    records = node[:]
    table = pd.DataFrame({field: _plain(records[field]) for field in records.dtype.names})
    return table.set_index("index" if "index" in table else table.columns[0])


def _plain(values: Any) -> Any:
    return values if values.dtype.kind in "buif" else text(values)


def _uns(store: Store) -> dict[str, Any]:
    """``uns`` entry by entry: one that cannot be read is left out with a warning, since no count depends on it."""
    from anndata.io import read_elem

    out: dict[str, Any] = {}
    for key in store.members("uns"):
        try:
            with reading(f"{store.name}: uns/{key}"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                out[key] = read_elem(store[f"uns/{key}"])
        except SourceError as error:
            warnings.warn(f"left out: {error}", stacklevel=3)
    return out


def _chunk_folder(folder: Path) -> Path:
    """The innermost folder that replacing a chunk of the values would touch."""
    for part in ("data", "c"):
        folder = folder / part if (folder / part).is_dir() else folder
    return folder


def from_anndata(adata: Any, layer: str | None) -> Source:
    """An AnnData object, in memory or backed by a file.

    Raises
    ------
    SourceError
        There is no such matrix, or it is neither an array nor a SciPy sparse matrix.
    """
    if adata.isbacked and not adata.is_view and str(adata.filename).endswith(".h5ad"):
        source = open_anndata(Path(adata.filename), layer, "hdf5")
        source.obs = adata.obs
        return source
    if adata.isbacked:
        adata = adata.to_memory()
    layers = [*adata.layers.keys(), *(["raw"] if adata.raw is not None else [])]
    raw = layer == "raw" and layer not in adata.layers
    x, var = adata.X, adata.var
    if layer is not None and not (layer == "X" and layer not in layers):
        if layer not in layers:
            raise SourceError(f"AnnData: no layer is called {layer!r}; it has: {', '.join(layers) or 'none'}")
        x, var = (adata.raw.X, adata.raw.var) if raw else (adata.layers[layer], adata.var)
    if x is None:
        raise SourceError(f"AnnData: it has no X; ask for one of its layers: {', '.join(layers) or 'it has none'}")
    name = "AnnData" if layer is None else f"AnnData (layer {layer})"
    if 0 in x.shape:
        raise SourceError(
            f"{name}: its matrix is {x.shape[0]} x {x.shape[1]}; choose a source that has cells and genes"
        )
    others = tuple(other for other in layers if other != layer)
    x_ng, layout = _csr(x, name, others)
    return MemorySource(x_ng, adata.obs, var, uns=dict(adata.uns), name=name, layout=layout, layers=others)


def _csr(x: Any, name: str, layers: tuple[str, ...]) -> tuple[sp.csr_matrix, str]:
    if not (sp.issparse(x) or isinstance(x, np.ndarray)):
        raise SourceError(f"{name}: a {type(x).__name__} cannot be streamed; make it an array or a SciPy sparse matrix")
    if x.dtype.kind not in "buif":
        raise NotCountsError(f"{name}: values of type {x.dtype} are not numbers; {way_out(layers)}")
    if sp.issparse(x):
        return sp.csr_matrix(x), x.format.upper()
    return sp.csr_matrix(native(np.asarray(x))), "dense"
