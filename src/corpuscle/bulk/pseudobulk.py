"""Cells of one donor and type added up into one sample, as bulk sequencing would have seen them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
import scipy.sparse as sp

from corpuscle.counts import Block, Counts, reduce_blocks
from corpuscle.errors import OptionError

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["pseudobulk"]

Array = np.ndarray[Any, Any]


def pseudobulk(counts: Counts, by: str | Sequence[str] = ("batch", "cell_type"), min_cells: int = 10) -> AnnData:
    """Sum raw counts over the cells of each group; one pass, and only the sums are held.

    Parameters
    ----------
    counts
        Cells.
    by
        obs columns whose combinations are the groups, e.g. the donor and the cell type.
    min_cells
        Groups of fewer cells are left out, as are cells without a value in one of the columns.

    Returns
    -------
    AnnData
        groups x genes CSR of whole numbers, in the order of the sorted groups. ``obs`` has the columns of ``by``,
        ``n_cells``, and every other column that is constant within each group; ``uns["pseudobulk"]`` says what was
        left out.

    Raises
    ------
    OptionError
        A column is missing, or no group has so many cells.
    """
    from anndata import AnnData

    columns = [by] if isinstance(by, str) else list(by)
    code_n, obs = _groups(counts, columns, min_cells)
    kept = np.flatnonzero(code_n >= 0)
    view = counts if len(kept) == counts.n_obs else counts.view(cells=kept)
    sums = reduce_blocks(view, partial(_GroupSums, code_n[kept], len(obs), counts.n_vars))
    x_kg = sums.x_kg
    if x_kg.nnz and x_kg.data.max() <= np.iinfo(np.int32).max:
        x_kg = x_kg.astype(np.int32)
    about = {"by": columns, "min_cells": min_cells, "n_cells_left_out": counts.n_obs - len(kept)}
    return AnnData(x_kg, obs=obs, var=counts.var.copy(), uns={"pseudobulk": about})


def _groups(counts: Counts, columns: list[str], min_cells: int) -> tuple[Array, pd.DataFrame]:
    """(n,) group of each cell, -1 for none, and the table of the groups."""
    missing = [column for column in columns if column not in counts.obs]
    if missing or not columns:
        raise OptionError(
            f"{counts.name}: no column {', '.join(missing) or 'was named'} to group cells by; choose from: "
            f"{', '.join(map(str, counts.obs.columns)) or 'none'}"
        )
    obs = counts.obs.reset_index(drop=True)
    grouped = obs.groupby(columns, observed=True, sort=True)
    group_n = grouped.ngroup().fillna(-1).to_numpy(np.int64)  # -1 where a column has no value
    size_k = np.bincount(group_n[group_n >= 0])
    enough_k = size_k >= max(min_cells, 1)
    if not enough_k.any():
        raise OptionError(
            f"{counts.name}: none of the {len(size_k):,} groups by {', '.join(columns)} has {min_cells:,} cells (the largest "
            f"has {size_k.max(initial=0):,}); lower min_cells or group by fewer columns"
        )
    place_k = np.where(enough_k, np.cumsum(enough_k) - 1, -1)
    code_n = np.where(group_n >= 0, place_k[np.maximum(group_n, 0)], -1)
    return code_n, _table(obs[code_n >= 0], code_n[code_n >= 0], columns)


def _table(obs: pd.DataFrame, code_n: Array, columns: list[str]) -> pd.DataFrame:
    """One row a group: what its cells have in common."""
    others = [column for column in obs if column not in columns and column != "n_cells"]
    varied = obs[others].groupby(code_n).nunique(dropna=False)
    constant = [column for column in others if (varied[column] == 1).all()]
    first_k = np.unique(code_n, return_index=True)[1]
    table = obs[columns + constant].iloc[first_k].copy()
    table["n_cells"] = np.bincount(code_n)
    names = table[columns].astype(str).agg(":".join, axis=1)
    repeat = names.groupby(names).cumcount()
    table.index = pd.Index(names.where(repeat == 0, names + "-" + repeat.astype(str)).to_numpy(), name=None)
    for column in table.select_dtypes("category"):
        table[column] = table[column].cat.remove_unused_categories()
    return table


class _GroupSums:
    """Mergeable sums of counts by group: whole numbers, so that no order matters."""

    def __init__(self, code_n: Array, n_groups: int, n_vars: int) -> None:
        self._code_n: Array | None = code_n
        self.x_kg = sp.csr_matrix((n_groups, n_vars), dtype=np.int64)

    def update(self, block: Block) -> None:
        """Add the cells of one block."""
        assert self._code_n is not None
        code = self._code_n[block.rows]
        n_cells = len(code)
        ones = np.ones(n_cells, np.int64)
        member_kn = sp.csr_matrix((ones, (code, np.arange(n_cells))), shape=(self.x_kg.shape[0], n_cells))
        self.x_kg = self.x_kg + member_kn @ block.x_ng.astype(np.int64)

    def merge(self, other: Self) -> None:
        """Add the sums of another."""
        self.x_kg = self.x_kg + other.x_kg

    def __getstate__(self) -> dict[str, Any]:
        return {"x_kg": self.x_kg, "_code_n": None}  # merging needs no more
