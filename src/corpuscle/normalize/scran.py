"""scran: size factors by pooling and deconvolution, then a log."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Literal

import numpy as np
import scipy.sparse as sp

from corpuscle.counts import Counts
from corpuscle.errors import MethodError, OptionError
from corpuscle.normalize._base import Array, ColumnNormalizer, nonzero_depth, require_positive
from corpuscle.normalize._pools import pool_ratios, positive_factors, ring_order, solve_ring
from corpuscle.normalize._quick_clusters import quick_clusters

__all__ = ["Scran"]


class Scran(ColumnNormalizer):
    r"""Log of counts over deconvolved size factors, :math:`\log_2(x_{ij} / f_i + 1)`.

    Cells lie on a ring by depth. Pools slide around it; a pool's factor is the median over genes of its summed profile
    over the average pseudo-cell, so genes that differ between cells do not move it as they move the depth. The factors
    of single cells solve all pools' equations by least squares, with one faint equation a cell that says its factor
    is its depth. Clusters are solved apart and brought to one scale by the median ratio of their average profiles to
    that of the cluster with the most genes. Factors have mean 1.

    Parameters
    ----------
    clusters
        None (one cluster), ``"quick"`` (graph clusters of at least 100 cells), or a label for each cell.
    sizes
        Pool sizes; those above the number of cells of a cluster are left out.
    min_mean
        Only genes whose mean count, adjusted for depth, is at least this in a cluster take part.

    Attributes
    ----------
    size_factors_
        (n,) positive, mean 1.
    n_repaired_
        Cells whose deconvolved factor was not positive and was read off the curve of detected genes instead.

    Notes
    -----
    ``fit`` holds the counts of the genes that take part; ``transform`` needs only the columns asked for and works for
    the cells it was fitted on. Source: Lun, Bach and Marioni 2016, Genome Biology 17:75. Effect on correlations: small
    next to division by depth, unless cells differ strongly in composition.
    """

    name = "scran"
    formula = "log2(x / f + 1), f pooled and deconvolved"
    needs = "matrix"
    keeps_zeros = True
    gene_free = True

    def __init__(
        self,
        clusters: Literal["quick"] | Sequence[object] | Array | None = None,
        sizes: Sequence[int] = tuple(range(21, 102, 5)),
        min_mean: float = 0.1,
    ) -> None:
        self.clusters = clusters
        self.sizes = sizes
        self.min_mean = min_mean

    def check_params(self) -> None:
        """Refuse pools of one cell, and no threshold on genes."""
        if not len(self.sizes) or min(self.sizes) < 2:
            raise OptionError(f"{self.name}: pool sizes are {self.sizes!r} and must be 2 cells or more each")
        require_positive(self, "min_mean")

    def fit_genes(self, counts: Counts) -> None:
        """Deconvolve the size factors.

        Raises
        ------
        MethodError
            A cluster has fewer cells than the smallest pool, no gene is expressed enough, or a cell is empty.
        """
        depth_n = nonzero_depth(counts)
        label_n = self._labels(counts)
        share_cg, cells_c = _cluster_profiles(counts, depth_n, label_n)
        depth_c = np.bincount(label_n, depth_n) / cells_c
        used_cg = share_cg * depth_c[:, None] >= self.min_mean
        gene = np.flatnonzero(used_cg.any(axis=0))
        share_nu = _shares(counts, depth_n, gene)
        factor_n = np.empty(counts.n_obs)
        for cluster in range(len(cells_c)):
            cell = np.flatnonzero(label_n == cluster)
            used = used_cg[cluster, gene]
            reference = share_cg[cluster, gene[used]]
            factor_n[cell] = depth_n[cell] * self._deconvolve(share_nu[cell][:, used], reference, depth_n[cell])
        factor_n *= self._cluster_scale(share_cg, depth_c)[label_n]
        positive_n, self.n_repaired_ = positive_factors(factor_n, counts.profile().genes_n, method=self.name)
        if self.n_repaired_:
            warnings.warn(
                f"{self.name}: {self.n_repaired_} size factors were not positive and follow from detected genes",
                stacklevel=3,
            )
        self.size_factors_ = positive_n / positive_n.mean()
        self._cells = counts.obs.index

    def per_cell(self, counts: Counts) -> tuple[Array, ...]:
        """Give the size factors, if these are the cells they were computed for."""
        if not counts.obs.index.equals(self._cells):
            raise MethodError(f"{self.name}: size factors belong to the cells they were fitted on; fit on these cells")
        return (self.size_factors_,)

    def values(self, x: Array, gene: Array, *cell: Array) -> Array:
        """Evaluate the formula elementwise."""
        (factor,) = cell
        return np.log2(x / factor + 1.0)

    def _labels(self, counts: Counts) -> Array:
        """Cluster numbers 0, 1, ... of the cells."""
        if self.clusters is None:
            return np.zeros(counts.n_obs, np.int64)
        if isinstance(self.clusters, str):
            if self.clusters != "quick":
                raise OptionError(
                    f'{self.name}: clusters must be None, "quick" or one label a cell, not {self.clusters!r}'
                )
            return quick_clusters(counts, method=self.name)
        label = np.asarray(self.clusters)
        if label.shape != (counts.n_obs,):
            raise OptionError(f"{self.name}: {label.size:,} cluster labels for {counts.n_obs:,} cells; give one a cell")
        return np.unique(label, return_inverse=True)[1]

    def _deconvolve(self, share_nu: sp.csr_matrix, reference_u: Array, depth_n: Array) -> Array:
        """Factors relative to depth, (n,), of the cells of one cluster."""
        sizes = sorted({int(size) for size in self.sizes if size <= depth_n.size})
        if not sizes:
            raise MethodError(
                f"{self.name}: {depth_n.size} cells in a cluster are fewer than the smallest pool ({min(self.sizes)}); "
                f"merge clusters, or give smaller sizes"
            )
        if not reference_u.size:
            raise MethodError(f"{self.name}: no gene has a mean count of {self.min_mean:g} or more; lower min_mean")
        ring = ring_order(depth_n)
        relative = np.empty(depth_n.size)
        relative[ring] = solve_ring(pool_ratios(share_nu[ring], reference_u, sizes), sizes)
        return relative

    def _cluster_scale(self, share_cg: Array, depth_c: Array) -> Array:
        """Median ratio of each cluster's average profile to that of the cluster with the most genes, (clusters,)."""
        reference = int(np.argmax((share_cg > 0).sum(axis=1)))
        scale_c = np.ones(len(depth_c))
        for cluster in range(len(depth_c)):
            both = share_cg[[cluster, reference]]
            used = both.mean(axis=0) * depth_c[[cluster, reference]].mean() >= self.min_mean
            with np.errstate(divide="ignore"):
                ratio = both[0, used] / both[1, used]
            middle = float(np.median(ratio)) if ratio.size else np.nan
            if not (np.isfinite(middle) and middle > 0):
                raise MethodError(
                    f"{self.name}: two clusters share too few genes to be brought to one scale; merge clusters"
                )
            scale_c[cluster] = middle
        return scale_c


def _cluster_profiles(counts: Counts, depth_n: Array, label_n: Array) -> tuple[Array, Array]:
    """Mean share of each gene in each cluster (clusters, g), and cells of each cluster."""
    cells_c = np.bincount(label_n)
    total_cg = np.zeros((cells_c.size, counts.n_vars))
    for block in counts.blocks():
        label, depth = label_n[block.rows], depth_n[block.rows]
        weight = sp.csr_matrix((1.0 / depth, (label, np.arange(label.size))), shape=(cells_c.size, label.size))
        total_cg += (weight @ block.x_ng).toarray()
    return total_cg / cells_c[:, None], cells_c


def _shares(counts: Counts, depth_n: Array, gene: Array) -> sp.csr_matrix:
    """Divide counts of some genes by the cell's depth: n_obs x len(gene)."""
    parts = [sp.diags(1.0 / depth_n[block.rows]) @ block.x_ng[:, gene] for block in counts.blocks()]
    return sp.vstack(parts, format="csr")
