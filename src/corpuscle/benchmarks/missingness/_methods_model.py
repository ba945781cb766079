"""Methods that fit a low-rank model to what is observed: matrix completion and probabilistic components."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from corpuscle.benchmarks.missingness._methods_fill import Array, Filling, column_means, found_of
from corpuscle.benchmarks.missingness._ppca import ppca
from corpuscle.benchmarks.missingness._soft_impute import soft_impute
from corpuscle.benchmarks.missingness.methods import N_COORDINATES, Found, Given
from corpuscle.errors import OptionError

__all__ = ["PPCA", "SoftImpute"]

FILL_CODE = "corpuscle.benchmarks.missingness._methods_fill"


@dataclass
class SoftImpute(Filling):
    """Soft-thresholded singular values of the column-centred matrix, the threshold chosen on held-out entries.

    Columns are centred at their observed means and not scaled.

    Parameters
    ----------
    max_rank
        Factors at most.
    held_out
        Share of the observed entries that thresholds are compared on.
    """

    max_rank: int = 50
    held_out: float = 0.05
    name = "soft_impute"
    code = (FILL_CODE, "corpuscle.benchmarks.missingness._soft_impute")

    def __post_init__(self) -> None:
        if self.max_rank < 1 or not 0 < self.held_out < 1:
            raise OptionError(
                f"{self.name}: max_rank={self.max_rank} must be 1 or more, and held_out={self.held_out} in (0, 1)"
            )

    def filled(self, given: Given) -> tuple[Array, tuple[str, ...]]:
        """Complete what is missing; what is observed stays."""
        mean_d = column_means(given)
        rng = np.random.default_rng(given.seed)
        centred_nd = given.x_nd - mean_d
        found = soft_impute(centred_nd, given.observed_nd, rng, max_rank=self.max_rank, held_out=self.held_out)
        full = " (all that it may have)" if found.rank == self.max_rank else ""
        note = f"{self.name}: threshold {found.threshold:.4g}, rank {found.rank}{full}"
        return np.where(given.observed_nd, given.x_nd, found.dense() + mean_d), (note,)


@dataclass
class PPCA:
    """Probabilistic principal components with missing values: holes get their expectations, coordinates are the scores.

    Parameters
    ----------
    rank
        Factors.
    max_iter
        Steps at most; a note says where they did not suffice.
    """

    rank: int = 10
    max_iter: int = 200
    name = "ppca"
    told = "nothing"
    needs_p = False
    code = (FILL_CODE, "corpuscle.benchmarks.missingness._ppca")

    def __post_init__(self) -> None:
        if self.rank < 1 or self.max_iter < 1:
            raise OptionError(f"{self.name}: rank={self.rank} and max_iter={self.max_iter} must be 1 or more")

    def __call__(self, given: Given) -> Found:
        """Fit, then inner products of the completed values and coordinates of the model's own scores."""
        began = time.perf_counter()
        model = ppca(given.x_nd, given.observed_nd, self.rank, max_iter=self.max_iter)
        # Centred W z = Q (R z): the orthonormal Q changes no inner product, so R z has the axes of the expectations.
        stretch_kk = np.linalg.qr(model.loading_dk)[1]
        score_nk = (model.score_nk - model.score_nk.mean(axis=0)) @ stretch_kk.T
        left_nk, value_k, _ = np.linalg.svd(score_nk, full_matrices=False)
        k = min(N_COORDINATES, int(np.sum(value_k > 1e-10 * max(float(value_k[0]), 0.0))))
        notes = () if model.converged else (f"{self.name}: not converged after {model.iterations} steps",)
        filled_nd = np.where(given.observed_nd, given.x_nd, model.dense())
        return found_of(filled_nd, began, notes, left_nk[:, :k] * value_k[:k])
