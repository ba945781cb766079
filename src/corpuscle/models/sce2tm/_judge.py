"""How well a predicted change of expression matches a measured one: numbers, not a picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from corpuscle.errors import MethodError

__all__ = [
    "INTERFERON_GENES",
    "METRICS",
    "Measured",
    "differential_genes",
    "judge_perturbation",
    "log_fold_change",
    "profile",
    "share_removed",
]

Array = np.ndarray[Any, Any]

#: Genes that every text-book response to type I interferon switches on.
INTERFERON_GENES = (
    "ISG15", "ISG20", "IFI6", "IFI27", "IFI44L", "IFIT1", "IFIT2", "IFIT3", "IFITM3", "MX1", "MX2", "OAS1", "LY6E",
    "IRF7", "STAT1", "RSAD2", "CXCL10",
)  # fmt: skip

#: Metric -> what it says.
METRICS: Mapping[str, str] = {
    "share_reconstruction": "share of the distance between the reconstructed centroids removed",
    "share_pcs": "the same in principal components of the measured cells",
    "share_measured_pcs": "share of the distance to the measured target's centroid removed, in those components",
    "pearson_all": "Pearson correlation of predicted log ratio and measured log fold change, all genes",
    "spearman_all": "the same, Spearman",
    "pearson_top": "Pearson correlation over the genes most different on the other half of the cells",
    "spearman_top": "the same, Spearman",
    "auroc_responders": "chance that a known responder is predicted to rise more than another gene",
}

TARGET_SUM = 1e4
#: Added to both means of counts per 10,000, so that genes near zero have no large fold changes.
PSEUDOCOUNT = 1.0


@dataclass(frozen=True)
class Measured:
    """What was measured, against which a prediction is judged.

    Attributes
    ----------
    fold_change_g
        (V,) log2 fold change, target over start, of the cells that judge.
    top_t, responder_r
        Positions of the genes most different, chosen on other cells, and of known responders.
    loadings_gp
        (V, p) principal directions of measured profiles, of other cells.
    target_g
        (V,) measured centroid of the target.
    """

    fold_change_g: Array
    top_t: Array
    responder_r: Array
    loadings_gp: Array
    target_g: Array


def judge_perturbation(before_g: Array, after_g: Array, target_g: Array, measured: Measured) -> dict[str, float]:
    """Judge one predicted change by every number of :data:`METRICS`.

    Parameters
    ----------
    before_g, after_g, target_g
        (V,) centroids of reconstructed expression shares: of the start, of the perturbed start, of the target.
    measured
        What it should have been.

    Returns
    -------
    dict
        NaN where a number is not defined: a constant prediction, no responder among the genes, no distance.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        predicted_g = np.log2(after_g) - np.log2(before_g)
    w_gp, top_t = measured.loadings_gp, measured.top_t
    return {
        "share_reconstruction": share_removed(before_g, after_g, target_g),
        "share_pcs": share_removed(before_g @ w_gp, after_g @ w_gp, target_g @ w_gp),
        "share_measured_pcs": share_removed(before_g @ w_gp, after_g @ w_gp, measured.target_g @ w_gp),
        **judge_fold_change(predicted_g, measured.fold_change_g, top_t, measured.responder_r),
    }


def judge_fold_change(predicted_g: Array, measured_g: Array, top_t: Array, responder_r: Array) -> dict[str, float]:
    """Judge predicted changes of genes, whatever they come from, by the metrics that need no centroid."""
    return {
        "pearson_all": _pearson(predicted_g, measured_g),
        "spearman_all": _spearman(predicted_g, measured_g),
        "pearson_top": _pearson(predicted_g[top_t], measured_g[top_t]),
        "spearman_top": _spearman(predicted_g[top_t], measured_g[top_t]),
        "auroc_responders": _auroc(predicted_g, responder_r),
    }


def share_removed(before_d: Array, after_d: Array, target_d: Array) -> float:
    """Share of the Euclidean distance from ``before`` to ``target`` that ``after`` has covered; negative if further."""
    whole = float(np.linalg.norm(before_d - target_d))
    return 1.0 - float(np.linalg.norm(after_d - target_d)) / whole if whole > 0 else float("nan")


def profile(x_ng: sp.csr_matrix) -> sp.csr_matrix:
    """Each cell's expression as shares of its own sum, what the decoder reconstructs; cells with none are left out."""
    sum_n = np.asarray(x_ng.sum(axis=1)).ravel()
    return (sp.diags(1.0 / sum_n[sum_n > 0]) @ x_ng[sum_n > 0]).tocsr()


def principal_directions(profile_ng: sp.csr_matrix, n_components: int, *, seed: int) -> Array:
    """(V, p) directions of largest variance between cells; fewer than asked for where the cells do not have them.

    Raises
    ------
    MethodError
        Fewer than 3 cells or genes.
    """
    from sklearn.decomposition import PCA

    if min(profile_ng.shape) < 3:
        raise MethodError(f"principal components need 3 cells and 3 genes or more, not {profile_ng.shape}")
    p = min(n_components, min(profile_ng.shape) - 1)
    pca = PCA(n_components=p, svd_solver="arpack", random_state=seed).fit(profile_ng.astype(np.float64))
    loadings_gp: Array = pca.components_.T
    return loadings_gp


def log_fold_change(start_ng: sp.csr_matrix, target_ng: sp.csr_matrix) -> Array:
    """(V,) log2 fold change of mean counts per 10,000, target over start, of two matrices of ``log1p`` values."""
    start_g, target_g = _mean_per_10k(start_ng), _mean_per_10k(target_ng)
    change_g: Array = np.log2((target_g + PSEUDOCOUNT) / (start_g + PSEUDOCOUNT))
    return change_g


def _mean_per_10k(x_ng: sp.csr_matrix) -> Array:
    return TARGET_SUM * np.asarray(profile(x_ng.astype(np.float64).expm1()).mean(axis=0)).ravel()


def differential_genes(start_ng: sp.csr_matrix, target_ng: sp.csr_matrix, n_genes: int) -> Array:
    """Positions of the ``n_genes`` with the largest absolute Welch t between two matrices of log values."""
    (mean_a, error_a), (mean_b, error_b) = _moments(start_ng), _moments(target_ng)
    spread_g = np.sqrt(error_a + error_b)
    t_g = np.divide(np.abs(mean_b - mean_a), spread_g, out=np.zeros(spread_g.size), where=spread_g > 0)
    return np.sort(np.argsort(-t_g, kind="stable")[:n_genes])


def _moments(x_ng: sp.csr_matrix) -> tuple[Array, Array]:
    """Mean and squared standard error of each gene."""
    x_ng = x_ng.astype(np.float64)
    n = x_ng.shape[0]
    mean_g = np.asarray(x_ng.mean(axis=0)).ravel()
    square_g = np.asarray(x_ng.multiply(x_ng).mean(axis=0)).ravel()
    return mean_g, np.maximum(square_g - mean_g**2, 0.0) / max(n - 1, 1)


def _pearson(a_g: Array, b_g: Array) -> float:
    both_g = np.isfinite(a_g) & np.isfinite(b_g)
    a_g, b_g = a_g[both_g], b_g[both_g]
    if a_g.size < 3 or np.ptp(a_g) == 0 or np.ptp(b_g) == 0:
        return float("nan")
    return float(np.corrcoef(a_g, b_g)[0, 1])


def _spearman(a_g: Array, b_g: Array) -> float:
    from scipy.stats import rankdata

    both_g = np.isfinite(a_g) & np.isfinite(b_g)
    return _pearson(rankdata(a_g[both_g]), rankdata(b_g[both_g]))


def _auroc(value_g: Array, positive_r: Array) -> float:
    from scipy.stats import rankdata

    finite_g = np.isfinite(value_g)
    is_positive_g = np.zeros(value_g.size, bool)
    is_positive_g[positive_r] = True
    positive_g = is_positive_g[finite_g]
    n_positive = int(positive_g.sum())
    if n_positive in (0, positive_g.size):
        return float("nan")
    above = rankdata(value_g[finite_g])[positive_g].sum() - n_positive * (n_positive + 1) / 2
    return float(above / (n_positive * (positive_g.size - n_positive)))
