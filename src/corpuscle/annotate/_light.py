"""A file of cells, read lightly: names, and only what is asked for."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from corpuscle.errors import SourceError

if TYPE_CHECKING:
    import h5py
    from anndata import AnnData

__all__ = ["PLACES", "h5ad_of", "members", "names_in", "obs_group", "read_light"]

#: Where something can be added beside the matrix.
PLACES = ("obsm", "obsp", "uns")


def h5ad_of(source: Any) -> Path | None:
    """The one ``.h5ad`` file that ``source`` names, by its content; None if it is anything else."""
    import h5py

    from corpuscle.counts._open import expand_source

    if not isinstance(source, str | Path):
        return None
    paths = [item for item in expand_source(source) if isinstance(item, Path)]
    if len(paths) != 1 or not paths[0].is_file() or not h5py.is_hdf5(paths[0]):
        return None
    with _opened(paths[0]) as file:
        return paths[0] if {"obs", "var"} <= set(file) else None


def members(path: Path) -> dict[str, list[str]]:
    """Names that a file has in ``obs``, ``obsm``, ``obsp`` and ``uns``."""
    with _opened(path) as file:
        return {place: names_in(file, place) for place in ("obs", *PLACES)}


def read_light(path: Path, **wanted: Sequence[str]) -> AnnData:
    """Names of the cells and only the elements asked for, e.g. ``obsm=["X_pca"]``; those that are not there are left out.

    Raises
    ------
    SourceError
        The file is damaged, or of a layout that AnnData has not written since 2020.
    """
    from anndata import AnnData
    from anndata.io import read_elem

    from corpuscle.counts._store import reading

    with _opened(path) as file, reading(str(path)), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pandas as pd

        obs = obs_group(file, path)
        index = pd.Index(np.asarray(read_elem(obs[obs.attrs["_index"]])).astype(str), name=_index_name(obs))
        columns = {name: read_elem(obs[name]) for name in wanted.get("obs", ()) if name in obs}
        light = AnnData(obs=pd.DataFrame(columns, index=index))
        for place in PLACES:
            for name in wanted.get(place, ()):
                if name in names_in(file, place):
                    getattr(light, place)[name] = read_elem(file[place][name])
    return light


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    import h5py

    try:
        file = h5py.File(path, "r")
    except OSError as error:
        reason = " ".join(str(error).split())[:200]
        raise SourceError(f"{path}: cannot be read ({reason}); it may be truncated or damaged: get it again") from None
    with file:
        yield file


def names_in(file: h5py.File, place: str) -> list[str]:
    """Names under one place of an open file."""
    import h5py

    group = file.get(place)
    if not isinstance(group, h5py.Group):
        return []
    return [name for name in group if name not in ("__categories", group.attrs.get("_index"))]


def obs_group(file: h5py.File, path: Path) -> h5py.Group:
    """The table of the cells of an open file.

    Raises
    ------
    SourceError
        It is of a layout that AnnData has not written since 2020.
    """
    import h5py

    obs = file["obs"]
    if not isinstance(obs, h5py.Group) or "_index" not in obs.attrs:
        raise SourceError(f"{path}: obs is of a layout from before 2020; read and write the file once with anndata")
    return obs


def _index_name(obs: h5py.Group) -> str | None:
    name = str(obs.attrs["_index"])
    return None if name in ("_index", "index") else name
