"""Smooth quantile normalisation: samples are made alike as far as their groups are."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar, Literal, Self

import numpy as np
from scipy.ndimage import median_filter

from corpuscle.counts import Block, Counts, reduce_blocks
from corpuscle.errors import MethodError, OptionError
from corpuscle.normalize import _qn_kernels as kernels
from corpuscle.normalize._base import Array, Normalizer, require_number
from corpuscle.normalize._bulk import as_dense, refuse_other_genes
from corpuscle.normalize._moments import GeneMoments
from corpuscle.normalize._stream import map_values

__all__ = ["QSmooth"]

#: Sums of squares below this are rounding: the samples do not differ at that quantile.
NO_VARIATION = 1e-6
#: Samples whose sorted profiles are held as float64 at a time.
SORTED_ROWS = 64


class QSmooth(Normalizer):
    r"""log2(1 + x) quantile-normalised to a target between that of all samples and that of the sample's group.

    At each quantile the target is :math:`w \bar q + (1 - w) \bar q_k`: mean over all fitted samples, and mean over
    those of group k, of their sorted log2(1 + x). The weight w is the share of the variation between samples at that
    quantile that is not between groups, 1 - SSB/SST, smoothed by a running median over the quantiles.

    Parameters
    ----------
    group
        Column of the sample table that says which group (tissue, cell type) a sample is of.
    window
        Width of the running median, as a share of the genes.

    Attributes
    ----------
    groups_
        (k,) names of the groups.
    target_kg_
        (k, g) target of each group, ascending.
    weight_g_
        (g,) smoothed weights: 1 where all share a target, 0 where each group has its own.
    genes_
        Names of the genes.

    Notes
    -----
    Two passes over whole samples, as for :class:`~corpuscle.normalize.log2_qn.QuantileNormalizer`, whose rule for
    ties this is; with one group the two are the same. A new sample needs its group, which must be one of those
    fitted: the values depend on it, so it cannot be what is then to be predicted. Source: Hicks et al., Biostatistics
    2018 (qsmooth). Effect on correlations: keeps differences between the distributions of groups that quantile
    normalisation removes, and puts what the groups are into the values.
    """

    name = "qsmooth"
    formula = "target of the group at the ranks of x in its sample"
    needs: ClassVar[Literal["columns", "matrix"]] = "columns"
    reads_dense: ClassVar[bool] = True

    def __init__(self, group: str = "tissue", window: float = 0.05) -> None:
        self.group = group
        self.window = window

    def fit(self, counts: Counts) -> Self:
        """Learn the targets from these samples, in one pass.

        Raises
        ------
        OptionError
            There is no such column, a sample has no group, or the window is not a share.
        """
        require_number(self, "window", above=0.0)
        if self.window >= 1:
            raise OptionError(f"{self.name}: window is {self.window!r} and must be below 1")
        groups_n = self._groups_of(counts, slice(0, counts.n_obs))
        self.groups_ = np.unique(groups_n)
        code_n = np.searchsorted(self.groups_, groups_n)
        found = reduce_blocks(counts, partial(_GroupProfiles, counts.n_vars, code_n), dense=True, what="samples")
        self.weight_g_, self.target_kg_ = _targets(found, len(self.groups_), self.window)
        self.genes_ = np.array(counts.var_names.astype(str), dtype=str)
        return self

    def transform(
        self, counts: Counts, genes: Sequence[str] | Array | None = None, *, dtype: Any = np.float64
    ) -> Array:
        """Values of ``genes`` (all if None), n_obs x len(genes), dense."""
        self._check(counts)
        index = None if genes is None else counts.gene_index(genes)
        out_nk = np.empty((counts.n_obs, counts.n_vars if index is None else index.size), dtype)
        at = 0
        for values_nk in map_values(counts, self, _only_values, genes=index, dtype=dtype):
            out_nk[at : at + len(values_nk)] = values_nk
            at += len(values_nk)
        return out_nk

    def transform_rows(self, counts: Counts, x_ng: Any, rows: slice, *, dtype: Any = np.float64) -> Array:
        """Values of all genes for a block of samples, dense or CSR, whose groups are in the table of ``counts``.

        Raises
        ------
        OptionError
            A sample has no group, or one that the fit has not seen; the sample is named.
        """
        self._check(counts)
        groups_n = self._groups_of(counts, rows)
        code_n = np.minimum(np.searchsorted(self.groups_, groups_n), len(self.groups_) - 1)
        unknown_n = self.groups_[code_n] != groups_n
        if unknown_n.any():
            first = int(np.argmax(unknown_n))
            raise OptionError(
                f"{counts.name}: sample {counts.obs.index[rows.start + first]!s} is of {self.group} {str(groups_n[first])!r}, "
                f"which the fit has not seen; it has: {', '.join(self.groups_)}"
            )
        dense_ng = as_dense(x_ng)
        out_ng = np.empty(dense_ng.shape, np.float64 if dtype == np.float64 else np.float32)
        for code in np.unique(code_n):
            of_group, target_g = code_n == code, self.target_kg_[code]
            values_ng = np.empty((int(of_group.sum()), dense_ng.shape[1]), out_ng.dtype)
            up_to = np.concatenate([[0.0], np.cumsum(target_g)])
            kernels.fill_ranked(dense_ng[of_group], target_g, up_to, values_ng)
            out_ng[of_group] = values_ng
        return out_ng.astype(dtype, copy=False)

    def _groups_of(self, counts: Counts, rows: slice) -> Array:
        """(n,) names of the groups of some samples."""
        if self.group not in counts.obs:
            columns = ", ".join(map(str, counts.obs.columns)) or "none"
            raise OptionError(f"{counts.name}: its samples have no column {self.group!r}; they have: {columns}")
        column = counts.obs[self.group].iloc[rows]
        absent = column.isna().to_numpy()
        if absent.any():
            first = counts.obs.index[rows.start + int(np.argmax(absent))]
            raise OptionError(f"{counts.name}: sample {first!s} has no {self.group}; {self.name} needs one of each")
        return column.astype(str).to_numpy(str)

    def _check(self, counts: Counts) -> None:
        if not hasattr(self, "target_kg_"):
            raise MethodError(f"{self.name}: call fit before transform")
        refuse_other_genes(self.name, self.genes_, counts)


class _GroupProfiles:
    """Mergeable moments of the sorted profiles of each group.

    Parameters
    ----------
    n_vars
        Number of genes.
    code_n
        (n,) group of every sample, by its place in the whole.
    """

    def __init__(self, n_vars: int, code_n: Array) -> None:
        self.n_vars, self.code_n = n_vars, code_n
        self.of_group: dict[int, GeneMoments] = {}

    def update(self, block: Block) -> None:
        """Take in a dense block of samples."""
        code_n = self.code_n[block.rows]
        for code in np.unique(code_n):
            moments = self.of_group.setdefault(int(code), GeneMoments(self.n_vars))
            places = np.flatnonzero(code_n == code)
            for start in range(0, places.size, SORTED_ROWS):
                sorted_ng = np.sort(block.x_ng[places[start : start + SORTED_ROWS]], axis=1)
                moments.add(np.log2(1.0 + sorted_ng))

    def merge(self, other: Self) -> None:
        """Take in what another has seen."""
        for code, moments in other.of_group.items():
            if code in self.of_group:
                self.of_group[code].merge(moments)
            else:
                self.of_group[code] = moments

    def __getstate__(self) -> dict[str, Any]:
        return {"of_group": self.of_group}  # merging needs no more


def _targets(found: _GroupProfiles, n_groups: int, window: float) -> tuple[Array, Array]:
    """Smoothed weights (g,) and targets of the groups (k, g)."""
    groups = [found.of_group[code] for code in range(n_groups)]
    n_k, mean_kg = np.array([one.n for one in groups]), np.array([one.mean_g for one in groups])
    mean_g = n_k @ mean_kg / n_k.sum()
    between_g = n_k @ np.square(mean_kg - mean_g)
    total_g = between_g + np.sum([one.m2_g for one in groups], axis=0)
    varies = total_g >= NO_VARIATION
    rough_g = np.where(varies, 1 - between_g / np.where(varies, total_g, 1.0), 1.0)
    weight_g = _running_median(rough_g, window)
    return weight_g, weight_g * mean_g + (1 - weight_g) * mean_kg


def _running_median(value_g: Array, window: float) -> Array:
    """Median of an odd number of neighbours; at both ends, that of the first place where they are all there."""
    size = int(window * value_g.size)
    size += size % 2 == 0
    if size > value_g.size:
        size = max(1, value_g.size - 1 + value_g.size % 2)
    median_g: Array = median_filter(value_g, size=size)
    half = size // 2
    if half:
        median_g[:half], median_g[-half:] = median_g[half], median_g[-half - 1]
    return median_g


def _only_values(values_nk: Array, rows: slice) -> Array:
    return values_nk
