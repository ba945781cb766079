"""What a method is given: counts, gene names, batches and a second view, and never a label."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from corpuscle.benchmarks._choices import UNLABELLED
from corpuscle.counts import Counts, expand_source, open_counts
from corpuscle.errors import MethodError, OptionError, SourceError

__all__ = ["Cells", "Embedded", "cells_of", "checked_result"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Cells:
    """One data set as every method sees it.

    Attributes
    ----------
    name
        What tables call the data set.
    counts_ng
        (n, g) raw counts, CSR, whole numbers.
    genes
        Gene names, unique.
    batch_n
        (n,) batch of each cell as text, or None. Batches are data: every method is given them and may use them.
    view_ne
        (n, e) float32 second view of the cells, such as the embedding of a foundation model, or None.
    """

    name: str
    counts_ng: sp.csr_matrix
    genes: list[str]
    batch_n: Array | None = None
    view_ne: Array | None = None

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return int(self.counts_ng.shape[0])


@dataclass(frozen=True)
class Embedded:
    """What a method gives: an embedding, clusters, or both.

    Attributes
    ----------
    embedding_nd
        (n, d) float32, or None.
    labels_n
        (n,) cluster of each cell, or None.
    """

    embedding_nd: Array | None = None
    labels_n: Array | None = None


def checked_result(name: str, result: Any, n_cells: int) -> Embedded:
    """What a method returned, made sure to be an embedding or clusters of all cells.

    Raises
    ------
    MethodError
        It is neither, of another number of cells, or not finite.
    """
    if not isinstance(result, Embedded):
        raise MethodError(f"{name}: returned a {type(result).__name__}, not an Embedded")
    if result.embedding_nd is None and result.labels_n is None:
        raise MethodError(f"{name}: returned neither an embedding nor clusters")
    embedding_nd, labels_n = result.embedding_nd, result.labels_n
    if embedding_nd is not None:
        embedding_nd = np.asarray(embedding_nd, np.float32)
        if embedding_nd.ndim != 2 or embedding_nd.shape[0] != n_cells or not embedding_nd.shape[1]:
            raise MethodError(
                f"{name}: its embedding has shape {embedding_nd.shape}, not one row for {n_cells:,} cells"
            )
        bad = ~np.isfinite(embedding_nd).all(axis=1)
        if bad.any():
            raise MethodError(
                f"{name}: its embedding of cell {int(bad.argmax())} is NaN or infinite ({int(bad.sum()):,} of "
                f"{n_cells:,} cells)"
            )
    if labels_n is not None:
        labels_n = np.asarray(labels_n)
        if labels_n.shape != (n_cells,) or pd.isna(labels_n).any():
            raise MethodError(f"{name}: did not give one cluster for each of {n_cells:,} cells")
    return Embedded(embedding_nd, labels_n)


def cells_of(
    source: Any,
    *,
    layer: str | None = None,
    labels: str | None = None,
    batch: str | None = None,
    view: str | None = None,
    name: str | None = None,
    unlabelled: Sequence[str] = UNLABELLED,
) -> tuple[Cells, Array | None]:
    """Read a data set, and its labels apart from it.

    Cells without a label, or without a count, are left out with a warning that says how many; a label is never
    guessed. A type of a single cell stays, with a warning.

    Parameters
    ----------
    source
        Whatever :func:`corpuscle.open_counts` takes.
    layer
        Matrix to use instead of the main one.
    labels
        Column of ``obs`` with the true types; None for none.
    batch
        Column of ``obs`` with batches; ``"source"`` tells several files apart.
    view
        Key of ``obsm`` (AnnData, ``.h5ad`` or ``.zarr``) with a second view.
    name
        What tables call it; the file's name by default.
    unlabelled
        Labels, in lower case, that mean that there is none.

    Returns
    -------
    cells, labels_n
        The cells that are left, and their types as text, (n,) or None.

    Raises
    ------
    SourceError, NotCountsError
        The source cannot be read, or is not raw counts.
    OptionError
        No such column or key, or labels that nothing can be scored against: none, one type, or one for every cell.
    """
    with open_counts(source, layer) as counts:
        label_n = None if labels is None else _labels(counts, labels, unlabelled)
        batch_n = None if batch is None else _batches(counts, batch)
        view_ne = None if view is None else _view(source, view, counts.n_obs)
        x_ng = counts.to_csr()
        keep = np.asarray(x_ng.sum(axis=1)).ravel() > 0
        if not keep.all():
            _say(f"{counts.name}: {int((~keep).sum()):,} of {keep.size:,} cells have no count and were left out")
        if label_n is not None:
            keep &= label_n != ""
            _check_types(counts.name, str(labels), label_n[keep])
        genes = _unique(counts.var_names)
        name = name or _short_name(source, counts)
    if not keep.all():
        x_ng = x_ng[keep]
    cells = Cells(
        name,
        x_ng,
        genes,
        None if batch_n is None else batch_n[keep],
        None if view_ne is None else view_ne[keep],
    )
    return cells, None if label_n is None else label_n[keep]


def _say(message: str) -> None:
    warnings.warn(message, UserWarning, stacklevel=3)


def _column(counts: Counts, column: str, what: str) -> pd.Series:
    if column not in counts.obs:
        have = ", ".join(map(str, counts.obs)) or "none"
        raise OptionError(f"{counts.name}: no obs column {column!r} for {what}; it has: {have}")
    return counts.obs[column]


def _labels(counts: Counts, column: str, unlabelled: Sequence[str]) -> Array:
    """Type of each cell as text, "" where it has none."""
    values = _column(counts, column, "labels")
    text = values.astype(object).where(values.notna().to_numpy(), "").astype(str).str.strip()
    without = text.str.lower().isin(set(unlabelled)).to_numpy()
    if without.any() and not without.all():
        words = sorted(set(text[without]) - {""})
        named = f" ({', '.join(words)})" if words else ""
        _say(
            f"{counts.name}: {int(without.sum()):,} of {without.size:,} cells have no label in {column}{named} "
            f"and were left out"
        )
    return np.where(without, "", text.to_numpy(dtype=object)).astype(str)


def _check_types(name: str, column: str, label_n: Array) -> None:
    types, size_t = np.unique(label_n, return_counts=True)
    if types.size < 2:
        have = f"only the type {types[0]}" if types.size else "no label"
        raise OptionError(f"{name}: {column} has {have}; clusters are scored against two types or more")
    if types.size == label_n.size:
        raise OptionError(f"{name}: {column} has a label of its own for every cell; name the column of cell types")
    single = types[size_t == 1]
    if single.size:
        more = f" and {single.size - 3} more" if single.size > 3 else ""
        _say(f"{name}: types of a single cell in {column}: {', '.join(single[:3])}{more}; they stay")


def _batches(counts: Counts, column: str) -> Array:
    values = _column(counts, column, "batches")
    missing = values.isna().to_numpy()
    if missing.any():
        raise OptionError(
            f"{counts.name}: cell {int(missing.argmax())} has no batch in {column} ({int(missing.sum()):,} cells have "
            f"none); fill it in or leave the batches out"
        )
    return values.astype(str).to_numpy(dtype=str)


def _view(source: Any, key: str, n_cells: int) -> Array:
    """``obsm[key]`` of all sources, (n, e) float32, finite."""
    given = source if isinstance(source, list | tuple) else [source]
    parts = [_one_view(item, key) for one in given for item in expand_source(one)]
    if len({part.shape[1:] for part in parts}) > 1:
        raise SourceError(f"obsm {key!r} has another width in another source; use the same embedding in all")
    view_ne = np.concatenate(parts)
    if view_ne.ndim != 2 or view_ne.shape[0] != n_cells:
        raise SourceError(f"obsm {key!r} has shape {view_ne.shape}; expected one row for each of {n_cells:,} cells")
    bad = ~np.isfinite(view_ne).all(axis=1)
    if bad.any():
        raise SourceError(f"obsm {key!r}: cell {int(bad.argmax())} is NaN or infinite ({int(bad.sum()):,} cells are)")
    return view_ne


def _one_view(item: Any, key: str) -> Array:
    if isinstance(item, Path):
        found, have = _stored_view(item, key)
    else:
        have = sorted(map(str, item.obsm))
        found = item.obsm[key] if key in item.obsm else None  # noqa: SIM401 - obsm has no get that may miss
    if found is None:
        raise OptionError(f"{item if isinstance(item, Path) else 'AnnData'}: no obsm {key!r}; it has: {_list(have)}")
    return np.asarray(found.toarray() if sp.issparse(found) else found, np.float32)


def _stored_view(path: Path, key: str) -> tuple[Any, list[str]]:
    """``obsm[key]`` of a file, or None, and which keys it has."""
    import h5py
    from anndata.io import read_elem

    from corpuscle.counts._store import Store, reading

    if not path.is_dir() and not h5py.is_hdf5(path):
        return None, []
    store = Store(path, "zarr" if path.is_dir() else "hdf5")
    try:
        have = store.members("obsm")
        if key not in have:
            return None, have
        with reading(f"{path}: obsm/{key}"):
            return read_elem(store[f"obsm/{key}"]), have
    finally:
        store.close()


def _list(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"


def _unique(names: pd.Index) -> list[str]:
    """Gene names as text; a repeat gets a number behind it."""
    from corpuscle.normalize._aligned import unique_names

    return [str(name) for name in unique_names(names)]


def _short_name(source: Any, counts: Counts) -> str:
    given = source if isinstance(source, list | tuple) else [source]
    stems = [item.stem if isinstance(item, Path) else counts.name for one in given for item in expand_source(one)]
    return "+".join(stems[:3]) + (f"+{len(stems) - 3}" if len(stems) > 3 else "")
