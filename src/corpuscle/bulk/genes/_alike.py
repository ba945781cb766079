"""How alike the samples of each gene's window are, and how alike those of windows drawn at random."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from corpuscle.bulk.genes._by_gene import Ordered, Reading
from corpuscle.bulk.genes._statistics import GeneStatistics
from corpuscle.bulk.genes.cosine import from_gram, from_scores, from_sums
from corpuscle.bulk.genes.windows import random_windows, series_windows
from corpuscle.errors import OptionError

__all__ = ["GRAM_SAMPLES", "KINDS", "Alike", "Kind", "alike"]

Array = np.ndarray[Any, Any]
Kind = Literal["centred", "uncentred", "pcs"]
KINDS = ("centred", "uncentred", "pcs")
#: Windows drawn at random.
WINDOWS = 200
#: Principal components of the kind ``pcs``.
N_PCS = 100
#: Up to so many samples, the inner products of all pairs are held: 200 MB, and a window then costs k x k look-ups.
GRAM_SAMPLES = 5_000
#: Reads a sample from which genes with few reads are left out of the components, as is usual in bulk samples.
BULK_READS = 1e6


@dataclass(frozen=True)
class Alike:
    """Mean cosines (g,) of the genes' windows, NaN where there is none, and of random windows (w,)."""

    cosine_g: Array
    random_w: Array
    series_w: Array | None
    n_series_g: Array | None


def alike(
    reading: Reading, kind: Kind, ordered: Ordered, found: GeneStatistics, code_n: Array | None, seed: int
) -> Alike:
    """Mean cosine of each window of ``ordered``.

    Parameters
    ----------
    reading
        The samples.
    kind
        Of which profiles: all genes as they are, all genes less their means, or principal components.
    ordered
        The windows, and where they are known the inner products of the samples.
    found
        Statistics of all genes.
    code_n
        (n,) series of each sample, for windows made of whole series; None for no such windows.
    seed
        Of the random windows.
    """
    member_gk = ordered.member_gk
    assert member_gk is not None
    has_g = member_gk[:, 0] >= 0
    n, k = reading.counts.n_obs, member_gk.shape[1]
    windows = [member_gk[has_g], random_windows(n, k, WINDOWS, seed)]
    if code_n is not None:
        windows.append(series_windows(code_n, k, WINDOWS, seed))
    member_wk = np.concatenate(windows).astype(np.int64)
    if kind == "pcs":
        cosine_w = from_scores(_components(reading, found, seed), member_wk)
    elif ordered.gram_nn is not None:
        cosine_w = from_gram(ordered.gram_nn, member_wk)
    else:
        mean_g = found.mean_g if kind == "centred" else None
        cosine_w = from_sums(
            reading.counts, reading.method, member_wk, mean_g, budget=reading.budget, progress=reading.progress
        )
    n_genes = int(has_g.sum())
    cosine_g = np.full(has_g.size, np.nan)
    cosine_g[has_g] = cosine_w[:n_genes]
    series_w = None if code_n is None else cosine_w[n_genes + WINDOWS :]
    return Alike(cosine_g, cosine_w[n_genes : n_genes + WINDOWS], series_w, _n_series(member_gk, has_g, code_n))


def _n_series(member_gk: Array, has_g: Array, code_n: Array | None) -> Array | None:
    """(g,) series that the samples of each window are from; NaN without a window."""
    if code_n is None:
        return None
    n_series_g = np.full(has_g.size, np.nan)
    sorted_gk = np.sort(code_n[member_gk[has_g]], axis=1)
    n_series_g[has_g] = 1 + (np.diff(sorted_gk, axis=1) > 0).sum(axis=1)
    return n_series_g


def _components(reading: Reading, found: GeneStatistics, seed: int) -> Array:
    """(n, d) principal components of scaled genes."""
    from corpuscle.bulk._features import Features
    from corpuscle.normalize import normalizer_names

    method, n = reading.method, reading.counts.n_obs
    if method.name not in normalizer_names():
        raise OptionError(f"principal components need a registered normalisation, not {method.name}; choose centred")
    features = Features(
        method.name, params=method.get_params(deep=False), n_pcs=max(1, min(N_PCS, n - 1)), random_state=seed,
        min_reads=20 if found.n_counts >= BULK_READS * n else 0,
    )  # fmt: skip
    return features.fit(reading.counts, reading.progress).transform(reading.counts, reading.progress)
