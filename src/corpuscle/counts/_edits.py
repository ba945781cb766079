"""The same counts, changed: fewer or other cells, genes and values, in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from corpuscle.counts._check import as_counts
from corpuscle.counts._source import MemorySource

if TYPE_CHECKING:
    from corpuscle.counts._counts import Counts

__all__ = ["Edits"]


class Edits:
    """What :class:`~corpuscle.counts.Counts` can be turned into."""

    def select_cells(self: Any, cells: np.ndarray[Any, Any]) -> Counts:
        """Only these cells (boolean mask or positions), in memory."""
        index = np.flatnonzero(cells) if cells.dtype == bool else cells
        other = self._derive(self.to_csr()[index], obs=self.obs.iloc[index])
        if self._depth_without is not None:
            other._depth_without = self._depth_without[index]
        return other

    def edit_genes(
        self: Any, *, drop: Sequence[str] = (), add: Mapping[str, np.ndarray[Any, Any]] | None = None
    ) -> Counts:
        """Without the genes ``drop`` and with new genes ``add`` (name -> (n_obs,) counts) at the end, in memory."""
        keep = np.ones(self.n_vars, bool)
        keep[self.gene_index(list(drop))] = False
        added = add or {}
        parts = [self.to_csr()[:, keep]] + [sp.csr_matrix(np.asarray(column)[:, None]) for column in added.values()]
        extra = pd.DataFrame(index=pd.Index(list(added), dtype=object))
        var = pd.concat([self.var[keep], extra])
        return self._derive(sp.hstack(parts, format="csr"), var=var)

    def renamed(self: Any, names: Sequence[str]) -> Counts:
        """The same counts under other gene names, the old ones kept as ``var["gene_id"]``; in memory."""
        var = self.var.set_axis(pd.Index(list(names), dtype=object), axis=0)
        return self._derive(self.to_csr(), var=var.assign(gene_id=self.var_names.to_numpy()))

    def stripped(self: Any) -> Counts:
        """The same counts without ``uns``, where files keep ground truth that a method may not see; in memory."""
        return type(self)([MemorySource(self.to_csr(), self.obs, self.var, name=self.name, checked=True)])

    def with_matrix(self: Any, x_ng: sp.csr_matrix) -> Counts:
        """The same cells and genes with other counts, in memory."""
        return self._derive(x_ng)

    def with_columns(self: Any, genes: np.ndarray[Any, Any], x_nk: np.ndarray[Any, Any]) -> Counts:
        """The counts of ``genes`` (k positions) replaced by ``x_nk`` (n_obs, k), gene order kept, in memory."""
        keep = np.ones(self.n_vars)
        keep[genes] = 0
        placed = sp.csr_matrix(
            (np.ones(genes.size, x_nk.dtype), (np.arange(genes.size), genes)), shape=(genes.size, self.n_vars)
        )
        kept = self.to_csr() @ sp.diags(keep.astype(np.int32), format="csr", dtype=np.int32)
        return self._derive((kept + sp.csr_matrix(x_nk) @ placed).tocsr())

    def without_depth_of(self: Any, genes: Sequence[str]) -> Counts:
        """The same matrix whose cell depths leave these genes out (``leave_pair_out_depth``)."""
        other = self._derive(self.to_csr())
        other._depth_without = np.asarray(self.columns(genes).sum(axis=1)).ravel().astype(np.int64)
        return other

    def _derive(
        self: Any, x_ng: sp.csr_matrix, obs: pd.DataFrame | None = None, var: pd.DataFrame | None = None
    ) -> Counts:
        obs, var = self.obs if obs is None else obs, self.var if var is None else var
        checked = as_counts(x_ng, source=self.name, first_row=0, cells=obs.index, genes=var.index)
        return type(self)([MemorySource(checked, obs, var, uns=self.uns, name=self.name, checked=True)])
