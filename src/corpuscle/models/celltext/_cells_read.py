"""Tables and maps of cells, read lightly: from AnnData in memory, or from files of its layout without their matrix."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from corpuscle.counts._store import Store, reading
from corpuscle.errors import SourceError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["dense", "pairs_folder", "read_obsm", "read_table"]

Array = np.ndarray[Any, Any]


def read_table(source: Any) -> tuple[pd.DataFrame, list[str]]:
    """Table of the cells, and the keys of ``obsm``.

    Parameters
    ----------
    source
        AnnData, or the path of a ``.h5ad`` file or AnnData ``.zarr`` folder.

    Raises
    ------
    SourceError
        It is none of these, or is damaged.
    """
    import pandas as pd

    if not isinstance(source, Path):
        return source.obs, [str(key) for key in source.obsm]
    store = _store(source)
    if store is None:
        raise SourceError(f"{source}: is no AnnData file; give a .h5ad file or .zarr folder that has vectors of cells")
    try:
        obs = _element(store, "obs")
        if not isinstance(obs, pd.DataFrame):
            raise SourceError(f"{source}: its obs is no table; read and write the file once with anndata")
        return obs, store.members("obsm")
    finally:
        store.close()


def read_obsm(source: Any, key: str) -> Array | None:
    """Entry ``key`` of ``obsm``, shape (n, d), float; None where the source has none of that name.

    Raises
    ------
    SourceError
        The file is damaged, or the entry is no matrix.
    """
    if not isinstance(source, Path):
        return dense(source.obsm[key], "AnnData", key) if key in source.obsm else None
    store = _store(source)
    if store is None:
        return None
    try:
        found = key in store.members("obsm")
        return dense(_element(store, f"obsm/{key}"), str(source), key) if found else None
    finally:
        store.close()


def dense(values: Any, name: str, key: str) -> Array:
    """An entry of ``obsm`` as a plain float matrix.

    Raises
    ------
    SourceError
        It is none.
    """
    for method in ("to_numpy", "toarray"):  # a data frame, a sparse matrix
        values = getattr(values, method)() if hasattr(values, method) else values
    values_nd = np.asarray(values)
    if values_nd.ndim != 2 or values_nd.dtype.kind not in "fiu":
        raise SourceError(f"{name}: obsm {key!r} is no matrix of numbers; write it again")
    return values_nd


def pairs_folder(data: Any) -> Path | None:
    """The folder, if ``data`` names one that ``corpus pair`` wrote."""
    if not isinstance(data, str | Path):
        return None
    folder = Path(data).expanduser()
    marks: Sequence[str] = ("manifest.json", "dataset_dict.json")
    return folder if all((folder / mark).is_file() for mark in marks) else None


def _store(path: Path) -> Store | None:
    """The file or folder opened, if it is of AnnData's layout."""
    import h5py

    if not path.exists():
        raise SourceError(f"{path}: there is no such file or folder; check the path")
    if path.is_dir():
        marks = (".zgroup", "zarr.json")
        store = Store(path, "zarr") if any((path / mark).is_file() for mark in marks) else None
    else:
        store = Store(path, "hdf5") if h5py.is_hdf5(path) else None
    if store is None or not {"obs", "var"} <= set(store.members()):
        return None
    return store


def _element(store: Store, key: str) -> Any:
    from anndata.io import read_elem

    element = store[key]
    with reading(store.name), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return read_elem(element)
