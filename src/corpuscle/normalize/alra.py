"""ALRA: low-rank completion that keeps biological zeros at zero."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
import scipy.sparse as sp

from corpuscle.counts import Counts
from corpuscle.errors import MethodError, OptionError
from corpuscle.normalize._base import Array, MatrixNormalizer, nonzero_depth
from corpuscle.normalize._graph import transform_in_chunks
from corpuscle.normalize._pca import per_target, top_singular

__all__ = ["Alra", "rank_by_gap"]

#: Standard deviations of the noise gaps that a gap must exceed their mean by.
GAP_SD = 6.0


class Alra(MatrixNormalizer):
    r"""Rank-``k`` approximation of log1p CP10k, thresholded per gene, rescaled, with observed values kept from zero.

    Per gene of the rank-k matrix: entries at or below the absolute ``quantile``-quantile become 0; the others are
    shifted and scaled to the mean and standard deviation of the gene's observed non-zero values; negatives become 0;
    an observed non-zero value that has become 0 is put back.

    Parameters
    ----------
    k
        Rank. By default the last gap between singular values that exceeds the mean of the noise gaps by 6 of their
        standard deviations.
    n_singular
        Singular values computed to choose ``k``.
    noise_from
        Gap (counted from 1) at which only noise is left.
    quantile
        Share of a gene's cells whose approximation sets the size of its error.

    Attributes
    ----------
    k_
        The rank used.
    singular_
        (n_singular,) singular values.

    Notes
    -----
    ``fit`` holds the whole matrix once and keeps two thin factors; ``transform`` works out the genes asked for.
    The singular vectors are exact, where the published code uses randomised ones. Source: Linderman et al. 2022, Nature
    Communications 13:192. Effect on correlations: moderate inflation of the tails, and the sign of an excluding pair
    can turn.
    """

    name = "alra"
    formula = "rank-k SVD of ln(1 + 1e4 x / n), thresholded and rescaled per gene"

    def __init__(
        self, k: int | None = None, n_singular: int = 100, noise_from: int = 80, quantile: float = 0.001
    ) -> None:
        self.k = k
        self.n_singular = n_singular
        self.noise_from = noise_from
        self.quantile = quantile

    def fit(self, counts: Counts) -> Self:
        """Decompose and choose the rank.

        Raises
        ------
        MethodError
            There are not more than ``n_singular`` cells and genes, a cell is empty, or no gap stands out from noise.
        """
        if not 1 <= self.noise_from < self.n_singular - 1 or not 0 <= self.quantile <= 1:
            raise OptionError(f"{self.name}: noise_from must be 1 to n_singular - 2, and quantile 0 to 1")
        wanted = self.n_singular if self.k is None else self.k
        if not 1 <= wanted < min(counts.n_obs, counts.n_vars):
            raise MethodError(
                f"{self.name}: needs more than {wanted} cells and genes, not {counts.n_obs:,} x {counts.n_vars:,}; "
                f"give a smaller rank (k)"
            )
        log_ng = per_target(counts)
        np.log1p(log_ng.data, out=log_ng.data)
        left_nk, self.singular_, right_kg = top_singular(log_ng, wanted)
        self.k_ = rank_by_gap(self.singular_, self.noise_from) if self.k is None else self.k
        # Copies, so that the vectors beyond the rank are let go.
        self.cell_nk_ = left_nk[:, : self.k_] * self.singular_[: self.k_]
        self.gene_kg_ = right_kg[: self.k_].copy()
        self.n_cells_, self.n_genes_ = counts.n_obs, counts.n_vars
        return self

    def transform(self, counts: Counts, genes: Sequence[str] | Array | None = None) -> Array:
        """Completed values of ``genes``, n_obs x len(genes), none negative."""
        self._check(counts)
        scale_n = 1e4 / nonzero_depth(counts)

        def complete(x_nk: sp.csc_matrix, index: Array) -> Array:
            observed_nk = np.log1p(x_nk.toarray() * scale_n[:, None])
            low_nk = self.cell_nk_ @ self.gene_kg_[:, index]
            low_nk[low_nk <= np.abs(np.quantile(low_nk, self.quantile, axis=0))] = 0.0
            value_nk = np.maximum(_rescaled(low_nk, observed_nk), 0.0)
            return np.where(value_nk == 0, observed_nk, value_nk)

        return transform_in_chunks(counts, genes, complete)


def rank_by_gap(singular: Array, noise_from: int) -> int:
    """Place of the last gap that stands out from the gaps numbered ``noise_from`` and up, which are noise.

    Raises
    ------
    MethodError
        No gap does.
    """
    gap = singular[:-1] - singular[1:]
    noise = gap[noise_from - 1 :]
    clear = np.flatnonzero(gap > noise.mean() + GAP_SD * noise.std(ddof=1))
    if not clear.size:
        raise MethodError("alra: no singular value stands out from the noise; give the rank yourself (k)")
    return int(clear[-1]) + 1


def _rescaled(low_nk: Array, observed_nk: Array) -> Array:
    """Non-zeros of ``low_nk`` with the mean and sd of the observed non-zeros, where both sds exist and are not 0."""
    low_mean, low_sd = _nonzero_moments(low_nk)
    mean, sd = _nonzero_moments(observed_nk)
    known = np.isfinite(low_sd) & np.isfinite(sd) & (low_sd > 0)
    factor = np.where(known, sd / np.where(known, low_sd, 1.0), 1.0)
    shift = np.where(known, mean - low_mean * factor, 0.0)
    return np.where(low_nk != 0, low_nk * factor + shift, 0.0)


def _nonzero_moments(x_nk: Array) -> tuple[Array, Array]:
    """Mean and sample sd of each column's non-zeros; NaN where there are not two."""
    there_nk = x_nk != 0
    size = np.where(there_nk.sum(axis=0) > 1, there_nk.sum(axis=0), np.nan)
    mean = x_nk.sum(axis=0) / size
    deviation_nk = np.where(there_nk, x_nk - mean, 0.0)
    return mean, np.sqrt((deviation_nk**2).sum(axis=0) / (size - 1))
