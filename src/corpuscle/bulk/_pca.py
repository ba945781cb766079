"""Exact principal components of more samples than fit in memory, from sums that one pass makes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, Self

import numpy as np

from corpuscle.counts import Block

__all__ = ["Components", "ValueMoments", "principal_components"]

Array = np.ndarray[Any, Any]
#: Components with less variance than this, of the first one's, are rounding.
ROUNDING = 1e-9


class ValueMoments:
    """Mergeable mean and variance of every gene, float64, by Chan's formula.

    Attributes
    ----------
    n
        Samples seen.
    mean_g, squares_g
        (g,) mean, and sum of squared differences from it.
    n_undefined, first_undefined
        Samples with a value that is no finite number, and the place of the first one (-1 if there is none).
    """

    def __init__(self, n_genes: int) -> None:
        self.n, self.n_undefined, self.first_undefined = 0, 0, -1
        self.mean_g, self.squares_g = np.zeros(n_genes), np.zeros(n_genes)

    def update(self, block: Block) -> None:
        """Add the values of one block, dense."""
        self.merge(self._of(block))

    def _of(self, block: Block) -> Self:
        one = self.__class__(len(self.mean_g))
        x_ng = block.x_ng
        undefined = np.flatnonzero(~np.isfinite(x_ng).all(axis=1))
        if len(undefined):
            one.n_undefined, one.first_undefined = len(undefined), block.rows.start + int(undefined[0])
        one.n = x_ng.shape[0]
        one.mean_g = x_ng.mean(axis=0, dtype=np.float64)
        one.squares_g = np.square(x_ng - one.mean_g).sum(axis=0)
        return one

    def merge(self, other: Self) -> None:
        """Add what another summary has seen."""
        if other.n_undefined and (not self.n_undefined or other.first_undefined < self.first_undefined):
            self.first_undefined = other.first_undefined
        self.n_undefined += other.n_undefined
        n = self.n + other.n
        if not other.n:
            return
        apart_g = other.mean_g - self.mean_g
        self.squares_g += other.squares_g + apart_g**2 * (self.n * other.n / n)
        self.mean_g += apart_g * (other.n / n)
        self.n = n

    @property
    def variance_g(self) -> Array:
        """(g,) variance with divisor n - 1."""
        return self.squares_g / max(self.n - 1, 1)


class Components(NamedTuple):
    """Principal axes.

    Attributes
    ----------
    centre_g
        (g,) mean of the values.
    axes_dg
        (d, g) orthonormal rows, the one with most variance first; the largest loading of each is positive.
    variance_d
        (d,) variance along each, divisor n - 1.
    total
        Variance of all genes together.
    """

    centre_g: Array
    axes_dg: Array
    variance_d: Array
    total: float


def principal_components(blocks: Iterable[Array], n: int, n_genes: int, n_pcs: int) -> Components:
    """Leading axes of samples that come in blocks, each looked at once and in this order.

    With more samples than genes the g x g matrix of products is summed up; else the samples are held and the n x n one
    is made, so that neither is larger than it need be.

    Parameters
    ----------
    blocks
        (rows, n_genes) values; n rows in all.
    n, n_genes
        Samples and genes.
    n_pcs
        Axes wanted; there are at most min(n - 1, n_genes), and none whose variance is rounding.
    """
    n_pcs = min(n_pcs, n - 1, n_genes)
    if n > n_genes:
        return _from_products(blocks, n, n_genes, n_pcs)
    return _from_samples(np.concatenate([block.astype(np.float64) for block in blocks]), n_pcs)


def _from_products(blocks: Iterable[Array], n: int, n_genes: int, n_pcs: int) -> Components:
    from scipy.linalg.blas import dsyrk

    product_gg = np.zeros((n_genes, n_genes), order="F")
    sum_g = np.zeros(n_genes)
    for block in blocks:
        x_ng = block.astype(np.float64)
        sum_g += x_ng.sum(axis=0)
        # x' x added in place to the upper triangle: half the work, and no second matrix
        product_gg = dsyrk(1.0, x_ng.T, beta=1.0, c=product_gg, overwrite_c=1)
    centre_g = sum_g / n
    for g in range(n_genes):  # column by column, so that the outer product is never a matrix
        product_gg[: g + 1, g] -= sum_g[: g + 1] * centre_g[g]
    product_gg /= n - 1
    total = float(np.trace(product_gg))
    variance_d, axes_gd = _leading(product_gg, n_pcs)
    return Components(centre_g, _signed(axes_gd.T), variance_d, total)


def _from_samples(x_ng: Array, n_pcs: int) -> Components:
    n = len(x_ng)
    centre_g = x_ng.mean(axis=0)
    x_ng -= centre_g
    gram_nn = np.asfortranarray(x_ng @ x_ng.T)
    gram_nn /= n - 1
    total = float(np.trace(gram_nn))
    variance_d, side_nd = _leading(gram_nn, n_pcs)
    axes_dg = (side_nd.T @ x_ng) / np.sqrt(variance_d * (n - 1))[:, None]
    return Components(centre_g, _signed(axes_dg), variance_d, total)


def _leading(symmetric: Array, k: int) -> tuple[Array, Array]:
    """The k largest eigenvalues, descending, and their vectors as columns; ``symmetric`` (upper half) is overwritten."""
    from scipy.linalg import eigh

    size = len(symmetric)
    if k < 1:
        return np.zeros(0), np.zeros((size, 0))
    value_k, vector_k = eigh(
        symmetric, lower=False, overwrite_a=True, check_finite=False, subset_by_index=(size - k, size - 1)
    )
    value_k, vector_k = value_k[::-1], vector_k[:, ::-1]
    real = value_k > ROUNDING * max(value_k[0], 0.0)
    return np.ascontiguousarray(value_k[real]), np.ascontiguousarray(vector_k[:, real])


def _signed(axes_dg: Array) -> Array:
    """The axes with their largest loading positive: a sign means nothing, and must not depend on the library."""
    if not len(axes_dg):
        return axes_dg
    largest_d = np.take_along_axis(axes_dg, np.abs(axes_dg).argmax(axis=1)[:, None], axis=1)
    return np.ascontiguousarray(axes_dg * np.where(largest_d < 0, -1.0, 1.0))
