"""Biweight midcorrelation and binned mutual information: measures that need a column whole."""

from __future__ import annotations

import numpy as np

from corpuscle.benchmarks.coregulation._columns import CONSTANT_TOLERANCE, Array

__all__ = ["bicor", "mutual_information"]

N_BINS = 5


def bicor(target_n: Array, x_nc: Array) -> Array:
    """Biweight midcorrelation of a target with dense columns, (c,)."""
    t_n = _biweight(target_n[:, None])[:, 0]
    return np.einsum("n,nc->c", t_n, _biweight(x_nc))


def _biweight(x_nc: Array) -> Array:
    r"""Columns with outliers weighted down, of unit length.

    With :math:`u = (x - med) / (9 MAD)` an entry gets the weight :math:`(1 - u^2)^2` inside \|u\| < 1 and none
    outside. A column with MAD = 0, as every gene found in fewer than half of the cells has, is centred and scaled as
    for Pearson instead, that column alone (the "individual" fallback of Langfelder & Horvath 2012).
    """
    median_c = np.median(x_nc, axis=0)
    y_nc = x_nc - median_c
    mad_c = np.median(np.abs(y_nc), axis=0)
    plain_c = mad_c < CONSTANT_TOLERANCE * np.maximum(1.0, np.abs(median_c))
    u_nc = y_nc / (9.0 * np.where(plain_c, 1.0, mad_c))
    y_nc *= np.where(np.abs(u_nc) < 1.0, (1.0 - u_nc * u_nc) ** 2, 0.0)
    if plain_c.any():
        y_nc[:, plain_c] = x_nc[:, plain_c] - x_nc[:, plain_c].mean(axis=0)
    length_c = np.sqrt(np.einsum("nc,nc->c", y_nc, y_nc))
    return y_nc / np.where(length_c > 0, length_c, np.nan)


def mutual_information(target_n: Array, x_nc: Array) -> Array:
    """Plug-in mutual information in nats over equal-frequency bins, (c,); ties are never split between bins."""
    n, c = x_nc.shape
    bin_n = _equal_frequency_bins(target_n[:, None])
    cell_nc = N_BINS * bin_n + _equal_frequency_bins(x_nc) + N_BINS**2 * np.arange(c)
    joint = np.bincount(cell_nc.ravel(), minlength=c * N_BINS**2).reshape(c, N_BINS, N_BINS) / n
    expected = joint.sum(axis=2, keepdims=True) * joint.sum(axis=1, keepdims=True)
    ratio = np.divide(joint, expected, out=np.ones_like(joint), where=joint > 0)
    return np.maximum((joint * np.log(ratio)).sum(axis=(1, 2)), 0.0)


def _equal_frequency_bins(x_nc: Array) -> Array:
    from scipy.stats import rankdata

    rank_nc = rankdata(x_nc, axis=0)
    return ((rank_nc - 0.5) * N_BINS / len(x_nc)).astype(np.int64)
