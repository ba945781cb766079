"""Are two sets of samples draws of one distribution? Figures that compare the sets as wholes."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from corpuscle.benchmarks.rare_labels._figures import Undefined, need
from corpuscle.benchmarks.rare_labels._knn import distances, no_taller
from corpuscle.seeds import stream

__all__ = ["frechet_distance", "kernel_test", "real_or_fake_auc", "wasserstein_by_feature"]

Array = np.ndarray[Any, Any]


def kernel_test(a_nd: Array, b_md: Array, *, permutations: int = 199, seed: int = 0) -> dict[str, float]:
    """Squared maximum mean discrepancy, unbiased, and the p of its permutation test (Gretton et al. 2012).

    Parameters
    ----------
    a_nd, b_md
        (n, d) and (m, d) samples, two or more of each.
    permutations
        Relabellings; the smallest p is 1 / (permutations + 1).
    seed
        Of the relabellings.

    Returns
    -------
    figures
        ``mmd2``, which can be below 0, and ``mmd_p``. The kernel is exp(-d^2 / (2 h^2)) with h the median distance of
        different samples of both sets.

    Raises
    ------
    Undefined
        Too few, or all samples are one point.
    """
    n, m = len(a_nd), len(b_md)
    need(min(n, m), 2, "samples on one side")
    x_pd = np.vstack([a_nd, b_md])
    d_pp = distances(x_pd, x_pd)
    bandwidth = float(np.median(d_pp[np.triu_indices(n + m, 1)])) or float(d_pp.mean())
    if bandwidth == 0:
        raise Undefined("all samples are one point")
    kernel_pp = np.exp(-(d_pp**2) / (2 * bandwidth**2))
    np.fill_diagonal(kernel_pp, 0.0)
    rng = stream(seed, "rare-labels", "kernel test")
    first_p = np.arange(n + m) < n
    first_pr = np.stack([first_p, *(rng.permutation(first_p) for _ in range(permutations))], axis=1).astype(np.float64)
    mmd2_r = _mmd2(kernel_pp, first_pr, n, m)
    # Ties count as at least as extreme; a relabelling that swaps equal samples may differ by rounding alone.
    extreme = np.count_nonzero(mmd2_r[1:] >= mmd2_r[0] - 1e-12)
    return {"mmd2": mmd2_r[0], "mmd_p": (1 + extreme) / (1 + permutations)}


def _mmd2(kernel_pp: Array, first_pr: Array, n: int, m: int) -> Array:
    """Statistic of every labelling from the kernel without its diagonal."""
    to_first_pr = kernel_pp @ first_pr
    within_first_r = (first_pr * to_first_pr).sum(axis=0)
    across_r = ((1 - first_pr) * to_first_pr).sum(axis=0)
    within_second_r = kernel_pp.sum() - within_first_r - 2 * across_r
    return np.asarray(within_first_r / (n * (n - 1)) + within_second_r / (m * (m - 1)) - 2 * across_r / (n * m))


def frechet_distance(a_nd: Array, b_md: Array) -> float:
    """Squared Frechet distance of the normal distributions with the moments of two sets (Heusel et al. 2017).

    The trace of the root of the product of two covariances is the nuclear norm of the product of their factors, the
    centred samples. So it is exact for singular covariances, as those of few samples are, and nothing is regularised.
    It is biased upwards for few samples: compare with the figure of as many real ones.

    Raises
    ------
    Undefined
        Fewer than two of either.
    """
    need(min(len(a_nd), len(b_md)), 2, "samples on one side")
    roots: list[Array] = []
    total = float(((a_nd.mean(axis=0) - b_md.mean(axis=0)) ** 2).sum())
    for x_nd in (a_nd, b_md):
        root_nd = (x_nd - x_nd.mean(axis=0)) / np.sqrt(len(x_nd) - 1)
        total += float((root_nd**2).sum())
        roots.append(no_taller(root_nd))
    nuclear = float(np.linalg.svd(roots[0] @ roots[1].T, compute_uv=False).sum())
    return max(0.0, total - 2 * nuclear)


def wasserstein_by_feature(a_nd: Array, b_md: Array) -> Array:
    """(d,) Wasserstein-1 distance of each feature's two distributions, in the feature's unit.

    Raises
    ------
    Undefined
        None of either.
    """
    n, m = len(a_nd), len(b_md)
    need(min(n, m), 1, "samples on one side")
    # Both quantile functions are steps; in units of 1 / (n m), their jumps are whole numbers.
    steps_t = np.union1d(np.arange(n + 1) * m, np.arange(m + 1) * n)
    width_t, left_t = np.diff(steps_t) / (n * m), steps_t[:-1]
    gap_td = np.abs(np.sort(a_nd, axis=0)[left_t // m] - np.sort(b_md, axis=0)[left_t // n])
    return np.asarray(width_t @ gap_td)


def real_or_fake_auc(real_md: Array, fake_sd: Array, *, seed: int = 0, folds: int = 5) -> float:
    """Area under the curve of a logistic regression that tells synthetic from real, mean over held-out folds.

    0.5 is ideal, above 0.95 bad. With fewer samples than features some weight is put on shrinkage (scikit-learn's
    default), and folds are stratified.

    Raises
    ------
    Undefined
        Fewer than two a fold on either side.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    need(min(len(real_md), len(fake_sd)), 2 * folds, "samples on one side")
    x_nd = np.vstack([real_md, fake_sd])
    fake_n = np.arange(len(x_nd)) >= len(real_md)
    model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=200))
    areas = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # separable classes do not converge, and are told apart all the same
        for train, test in StratifiedKFold(folds, shuffle=True, random_state=seed).split(x_nd, fake_n):
            score_n = model.fit(x_nd[train], fake_n[train]).decision_function(x_nd[test])
            areas.append(roc_auc_score(fake_n[test], score_n))
    return float(np.mean(areas))
