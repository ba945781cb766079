"""Values that came from outside: checked, and put in the order of the counts by name."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from corpuscle.counts import Counts
from corpuscle.errors import MethodError
from corpuscle.normalize._base import Array

__all__ = ["Aligned", "align", "checked_values", "read_values", "unique_names", "write_counts"]

#: Rows whose values are looked at together.
CHECK_ROWS = 1024


@dataclass(frozen=True)
class Aligned:
    """Values in their own order, and where each cell and gene of the counts is among them.

    Attributes
    ----------
    values
        Array or CSC matrix, cells x genes, in the order of whoever made them.
    row_n
        (n,) row of each cell.
    column_g
        (g,) column of each gene, -1 where there is none.
    """

    values: Any
    row_n: Array
    column_g: Array

    def columns(self, index: Array) -> Array:
        """Dense float64 values of genes at ``index``, n x len(index); NaN for genes that are not there."""
        column = self.column_g[index]
        out = np.full((self.row_n.size, index.size), np.nan)
        there = np.flatnonzero(column >= 0)
        picked = self.values[:, column[there]]
        out[:, there] = (picked.toarray() if sp.issparse(picked) else picked)[self.row_n]
        return out


def unique_names(names: pd.Index) -> pd.Index:
    """Names as text, repeats made unique with a number (``A``, ``A-1``, ...), so that a file can be aligned by them."""
    seen: set[str] = set()
    taken = {str(name) for name in names}
    out = []
    for name in map(str, names):
        unique, i = name, 0
        while unique in seen or (i and unique in taken):
            i += 1
            unique = f"{name}-{i}"
        seen.add(unique)
        out.append(unique)
    return pd.Index(out, dtype=object)


def write_counts(path: Path, counts: Counts, cells: pd.Index, genes: pd.Index) -> None:
    """Write raw counts, names and gene ids as h5ad: no annotations, no ``uns``."""
    from anndata import AnnData

    var = pd.DataFrame(index=genes)
    for column in ("gene_id", "gene_ids", "ensembl_id"):
        if column in counts.var:
            var["gene_id"] = counts.var[column].astype(str).to_numpy(object)
            break
    AnnData(X=counts.to_csr(), obs=pd.DataFrame(index=cells), var=var).write_h5ad(path)


def read_values(name: str, path: Path) -> tuple[Any, pd.Index, pd.Index]:
    """``X``, cell names and gene names of an h5ad that a stranger wrote; nothing else of it is read.

    Raises
    ------
    MethodError
        There is no such file, or it is not a whole h5ad.
    """
    import h5py
    from anndata.io import read_elem

    if not path.is_file():
        raise MethodError(f"{name}: the command ended well but wrote no file at {{out}}")
    try:
        with h5py.File(path, "r") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            missing = [key for key in ("X", "obs", "var") if key not in file]
            if missing:
                raise MethodError(f"{name}: the output has no {', '.join(missing)}; write an h5ad with X, obs and var")
            cells, genes = (_index(read_elem(file[axis][file[axis].attrs["_index"]])) for axis in ("obs", "var"))
            x = file["X"]
            # Before it is read: a small file can claim to hold any number of values.
            _check_shape(name, tuple(x.shape if isinstance(x, h5py.Dataset) else x.attrs["shape"]), cells, genes)
            values = read_elem(x)
    except (OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise MethodError(f"{name}: the output is not a readable h5ad ({reason})") from error
    return checked_values(name, values, cells, genes), cells, genes


def checked_values(name: str, values: Any, cells: Sequence[str] | pd.Index, genes: Sequence[str] | pd.Index) -> Any:
    """Values as an array or CSC matrix of floats, if they are real, finite and of the shape cells x genes.

    Raises
    ------
    MethodError
        They are not; the first bad value is named by cell and gene.
    """
    values = values.tocsc() if sp.issparse(values) else np.asarray(values)
    _check_shape(name, values.shape, cells, genes)
    if values.dtype.kind not in "fiub":
        raise MethodError(f"{name}: returned values of type {values.dtype}; they must be real numbers")
    if values.dtype.kind != "f":
        values = values.astype(np.float64)
    bad = _first_not_finite(values)
    if bad is not None:
        row, column = bad
        raise MethodError(
            f"{name}: returned {values[row, column]} for cell {cells[row]}, gene {genes[column]}; values must be finite"
        )
    return values


def align(
    name: str, values: Any, its_cells: pd.Index, its_genes: pd.Index, cells: pd.Index, genes: pd.Index
) -> Aligned:
    """Find each of our cells and genes among theirs, by name.

    Raises
    ------
    MethodError
        A name repeats, a cell is missing or new, or no gene is left.
    """
    for what, theirs in (("cell", its_cells), ("gene", its_genes)):
        if not theirs.is_unique:
            raise MethodError(f"{name}: {what} {theirs[theirs.duplicated()][0]} is in the output more than once")
    row_n, column_g = its_cells.get_indexer(cells), its_genes.get_indexer(genes)
    if (row_n < 0).any():
        n_missing = int((row_n < 0).sum())
        raise MethodError(
            f"{name}: {n_missing:,} of {len(cells):,} cells are not in the output, the first "
            f"{cells[int(np.argmin(row_n))]}; keep obs_names"
        )
    if len(its_cells) != len(cells):
        raise MethodError(
            f"{name}: the output has {len(its_cells):,} cells and the input {len(cells):,}; keep obs_names"
        )
    if not (column_g >= 0).any():
        raise MethodError(
            f"{name}: no gene of the output is one of the input, e.g. {next(iter(its_genes), 'none')}; keep var_names"
        )
    return Aligned(values, row_n, column_g)


def _index(names: Any) -> pd.Index:
    return pd.Index(np.asarray(names, dtype=object).astype(str), dtype=object)


def _check_shape(name: str, shape: tuple[int, ...], cells: Sequence[str] | pd.Index, genes: Any) -> None:
    if shape != (len(cells), len(genes)):
        found = " x ".join(map(str, shape)) or "none"
        raise MethodError(f"{name}: returned values of shape {found}, not {len(cells)} cells x {len(genes)} genes")


def _first_not_finite(values: Any) -> tuple[int, int] | None:
    """Row and column of a value that is NaN or infinite, in bounded memory."""
    if sp.issparse(values):
        bad = np.flatnonzero(~np.isfinite(values.data))
        if not bad.size:
            return None
        return int(values.indices[bad[0]]), int(np.searchsorted(values.indptr, bad[0], side="right")) - 1
    for start in range(0, values.shape[0], CHECK_ROWS):
        part = values[start : start + CHECK_ROWS]
        if not np.isfinite(part).all():
            row, column = np.argwhere(~np.isfinite(part))[0]
            return start + int(row), int(column)
    return None
