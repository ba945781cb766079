"""Do synthetic samples lie where real ones do, and are all of these reached? Balls around nearest neighbours."""

from __future__ import annotations

from typing import Any

from corpuscle.benchmarks.rare_labels._figures import need
from corpuscle.benchmarks.rare_labels._knn import distances, kth_distance

__all__ = ["neighbour_figures"]

Array = Any


def neighbour_figures(real_md: Array, fake_sd: Array, k: int = 5) -> dict[str, float]:
    """Precision and recall (Kynkaanniemi et al. 2019), density and coverage (Naeem et al. 2020).

    The ball of a sample reaches to the k-th nearest of its own set. Precision is the share of synthetic samples in a
    ball of any real one; recall the share of real ones in a ball of any synthetic one; density the number of real
    balls that a synthetic sample is in, over k; coverage the share of real balls with a synthetic sample in them.

    Parameters
    ----------
    real_md
        (m, d) held-out real samples, more than k.
    fake_sd
        (s, d) synthetic samples, more than k.
    k
        Neighbours.

    Returns
    -------
    figures
        ``precision``, ``recall``, ``density``, ``coverage``. Of as many samples each of one distribution,
        density is 1 in the mean and coverage about 1 - 2^-k.

    Raises
    ------
    Undefined
        Too few of either.
    """
    need(len(real_md), k + 1, "real samples")
    need(len(fake_sd), k + 1, "synthetic samples")
    d_ms = distances(real_md, fake_sd)
    in_real_ms = d_ms <= kth_distance(real_md, k)[:, None]
    in_fake_ms = d_ms <= kth_distance(fake_sd, k)[None, :]
    return {
        "precision": in_real_ms.any(axis=0).mean(),
        "recall": in_fake_ms.any(axis=1).mean(),
        "density": in_real_ms.sum(axis=0).mean() / k,
        "coverage": in_real_ms.any(axis=1).mean(),
    }
