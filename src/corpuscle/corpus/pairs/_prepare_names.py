"""What sources, their genes and their cells are called in the data set."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from corpuscle.corpus._units import SourceSpec, list_sources
from corpuscle.errors import OptionError, SourceError

__all__ = ["OURS", "check_unique", "named_sources", "renamed_columns", "sample_ids", "unique_names"]

#: Columns of the cell table that are ours.
OURS = ("source", "obs_name", "sample_idx")
SUFFIXES = re.compile(r"(\.(h5ad|h5|hdf5|zarr|loom|mtx|csv|tsv|txt|gz))+$", re.IGNORECASE)
UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def named_sources(sources: Any, layer: str | None) -> dict[str, SourceSpec]:
    """Name -> source: those of a mapping, else the file's name without its ending, with its folder where two are equal.

    Raises
    ------
    SourceError
        A path is missing or named twice, or there is none.
    OptionError
        A given name cannot be part of a file name.
    """
    if isinstance(sources, Mapping):
        specs = {}
        for name, source in sources.items():
            if not isinstance(name, str) or UNSAFE.search(name) or not name.strip("."):
                raise OptionError(f"source name {name!r}: use letters, digits, dots, dashes and underscores only")
            found = list_sources(source, layer)
            if len(found) > 1:
                raise OptionError(f"source name {name!r} stands for {len(found)} files; give each a name of its own")
            specs[name] = found[0]
        list_sources(list(sources.values()), layer)  # a file under two names is a file named twice
        return specs
    listed = list_sources(sources, layer)
    names = [_short(spec, 1) for spec in listed]
    twice = {name for name, n in Counter(names).items() if n > 1}
    names = [_short(spec, 2) if name in twice else name for spec, name in zip(listed, names, strict=True)]
    return dict(zip(unique_names(names), listed, strict=True))


def _short(spec: SourceSpec, parts: int) -> str:
    if spec.adata is not None:
        return "AnnData"
    path = Path(spec.name)
    said = "_".join([*path.parts[-parts:-1], SUFFIXES.sub("", path.name) or path.name])
    return UNSAFE.sub("_", said).strip("._") or "source"


def unique_names(names: Sequence[str]) -> list[str]:
    """The same names, repeated ones with ``-1``, ``-2``, ... behind them; a name that is free stays as it is."""
    taken, seen = set(names), set()
    out = []
    for name in names:
        new, k = name, 0
        while new in seen or (k and new in taken):
            k += 1
            new = f"{name}-{k}"
        seen.add(new)
        out.append(new)
    return out


def renamed_columns(obs: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The table without columns that are called as ours are (they become ``<name>_given``), and which those were."""
    names = [str(name) for name in obs.columns]
    clash = [name for name in names if name in OURS]
    new = unique_names([f"{name}_given" if name in OURS else name for name in names])
    out = obs.set_axis(pd.Index(new, dtype=object), axis=1)
    return out.set_axis(pd.Index([str(name) for name in obs.index], dtype=object), axis=0), clash


def check_unique(names: pd.Index, source: str) -> None:
    """Refuse a source in which a cell is named twice: rows find their cell by its name.

    Raises
    ------
    SourceError
        A name occurs twice.
    """
    if names.is_unique:
        return
    twice = names[names.duplicated()]
    raise SourceError(
        f"{source}: {len(twice):,} cells bear the name of another, first {twice[0]!r}; make cell names unique "
        "(adata.obs_names_make_unique()) and write the file again"
    )


def sample_ids(names: Mapping[str, pd.Index], *, namespace: bool) -> dict[str, np.ndarray[Any, Any]]:
    """Source -> name of each of its cells in the data set, unique over all sources.

    Raises
    ------
    SourceError
        Two sources have a cell of the same name, and names are not to be told apart by their source.
    """
    if namespace:
        names = {source: pd.Index([f"{source}:{name}" for name in index]) for source, index in names.items()}
    home: dict[str, str] = {}
    for source, index in names.items():
        for name in index:
            other = home.setdefault(name, source)
            if other != source:
                shared = len(names[other].intersection(index))
                raise SourceError(
                    f"{source}: {shared:,} cell names are also in {other}, first {name!r}; ask for names with their source in "
                    "front (namespace=True, --namespace), or rename the cells"
                )
    return {source: index.to_numpy(object) for source, index in names.items()}
