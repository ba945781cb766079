"""Non-negative matrix factorisation: the plain way to topics, without training."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from corpuscle.benchmarks.topics.data import TopicCells
from corpuscle.benchmarks.topics.methods import Topics

__all__ = ["NMF"]


@dataclass
class NMF:
    """Non-negative factors of the log values (Lee and Seung 1999, Nature 401:788), coordinate descent.

    The start is random, so that seeds differ. A factor is scaled to sum to 1 over its genes, and its cells' scores
    accordingly, since the product alone fixes no scale.

    Parameters
    ----------
    max_iter
        Sweeps; it stops before if it has converged.
    """

    max_iter: int = 200
    name: str = "nmf"

    def fit(self, cells: TopicCells, *, n_topics: int, seed: int) -> Topics:
        """Factorise cells x genes of log values."""
        from sklearn.decomposition import NMF as Factors
        from sklearn.exceptions import ConvergenceWarning

        factors = Factors(n_components=n_topics, init="random", max_iter=self.max_iter, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            score_nk = factors.fit_transform(cells.log_ng)
        weight_kg = factors.components_
        sum_k = weight_kg.sum(axis=1)
        scale_k = np.where(sum_k > 0, sum_k, 1.0)  # a factor may have vanished
        return Topics(
            (score_nk * scale_k).astype(np.float32), (weight_kg / scale_k[:, None]).astype(np.float32), cells.genes
        )
