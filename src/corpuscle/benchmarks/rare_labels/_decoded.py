"""Synthetic samples decoded to expression: genes together, genes detected, reads in all, and values below 0."""

from __future__ import annotations

from typing import Any

import numpy as np

from corpuscle.benchmarks.rare_labels._figures import Undefined, need

__all__ = ["N_GENES", "correlation_agreement", "detection_share", "largest_gap", "library_log10"]

Array = np.ndarray[Any, Any]
#: Most variable genes whose correlations are compared.
N_GENES = 1000
#: A gene counts as detected above this: 1 count per million where values are log2(CPM + 1).
DETECTED = 1.0


def correlation_agreement(real_mg: Array, fake_sg: Array, n_genes: int = N_GENES) -> float:
    """Pearson correlation of two gene-gene correlation matrices, each pair of genes once.

    Parameters
    ----------
    real_mg, fake_sg
        (m, g) and (s, g) values.
    n_genes
        Genes most variable in the real samples; those without spread in either set are left out.

    Raises
    ------
    Undefined
        Fewer than three samples of either, or fewer than three genes with spread.
    """
    need(min(len(real_mg), len(fake_sg)), 3, "samples on one side")
    spread_g = real_mg.std(axis=0)
    top_k = np.argsort(-spread_g, kind="stable")[:n_genes]
    top_k = top_k[_varies(real_mg[:, top_k]) & _varies(fake_sg[:, top_k])]
    need(len(top_k), 3, "genes that vary in both sets")
    pairs = np.triu_indices(len(top_k), 1)
    real_p, fake_p = (np.corrcoef(x_ng[:, top_k], rowvar=False)[pairs] for x_ng in (real_mg, fake_sg))
    if not (real_p.std() > 0 and fake_p.std() > 0):
        raise Undefined("all genes correlate alike, so there is nothing to compare")
    return float(np.corrcoef(real_p, fake_p)[0, 1])


def detection_share(x_ng: Array) -> Array:
    """(n,) share of genes above the value of 1 count per million on the scale of log2(CPM + 1)."""
    return np.asarray((x_ng > DETECTED).mean(axis=1))


def library_log10(x_ng: Array) -> Array:
    """(n,) log10 of the summed 2^x - 1, values below 0 taken as 0: reads in these genes per million in all, or so.

    Of real samples on the scale of log2(CPM + 1) it is the same up to genes left out; of synthetic ones it tells
    whether genes together make a sample that could have been sequenced.
    """
    total_n = np.expm1(np.clip(x_ng, 0.0, 60.0) * np.log(2)).sum(axis=1)
    return np.asarray(np.log10(np.maximum(total_n, 1e-9)))


def largest_gap(a_n: Array, b_m: Array) -> float:
    """Kolmogorov-Smirnov distance of two sets of numbers, 0 to 1."""
    need(min(len(a_n), len(b_m)), 1, "samples on one side")
    at_p = np.concatenate([a_n, b_m])
    a_p, b_p = (np.searchsorted(np.sort(x_n), at_p, side="right") / len(x_n) for x_n in (a_n, b_m))
    return float(np.abs(a_p - b_p).max())


def _varies(x_ng: Array) -> Array:
    return np.asarray(np.ptp(x_ng, axis=0) > 1e-9)
