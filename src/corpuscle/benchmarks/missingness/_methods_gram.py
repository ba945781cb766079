"""Methods that fill nothing and correct the inner products: the estimators of :mod:`corpuscle.reduce` under names."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from corpuscle.benchmarks.missingness.methods import N_COORDINATES, Found, Given
from corpuscle.errors import MethodError

__all__ = [
    "Authors", "Corrected", "Hetero", "HorvitzThompson", "HorvitzThompsonOracle", "Pairwise", "RatioOracle",
    "RatioRank1", "Unbiased",
]  # fmt: skip

Array = np.ndarray[Any, Any]


class Corrected:
    """Base: an estimator of the Gram matrix, its distances, and principal components from it."""

    name: str
    told = "nothing"
    needs_p = False
    diagonal = "estimated"
    code: tuple[str, ...] = ("corpuscle.reduce",)

    def options(self, given: Given) -> dict[str, Any]:
        """Parameters of :class:`~corpuscle.reduce.UnbiasedGram`."""
        return {}

    def __call__(self, given: Given) -> Found:
        """Fit, then the whole matrix, since there are few rows."""
        from corpuscle.reduce import UnbiasedGram, UnbiasedPCA

        began = time.perf_counter()
        pca = UnbiasedPCA(
            N_COORDINATES,
            solver="dense",
            diagonal=self.diagonal,
            random_state=given.seed,
            gram=UnbiasedGram(**self.options(given)),
        )
        coords_nk = np.asarray(pca.fit_transform(given.x_nd))
        gram_nn, d2_nn = pca.gram_.gram(), pca.distances()
        return Found(gram_nn, d2_nn, coords_nk, time.perf_counter() - began)


def _probabilities(given: Given, name: str) -> Array:
    """The true ones, for methods that were told."""
    if given.p_nd is None:
        raise MethodError(f"{name}: there are no probabilities that depend on no value; leave it out under this mask")
    return given.p_nd


@dataclass
class Unbiased(Corrected):
    """Ours as it comes: ratio estimator, probabilities from an additive logit model of rows and columns."""

    name = "unbiased"


@dataclass
class RatioRank1(Corrected):
    """Ratio estimator with the product of row and column fractions as probabilities, each clipped at 1."""

    name = "ratio_rank1"

    def options(self, given: Given) -> dict[str, Any]:
        """Rank one."""
        return {"propensity": "rank1"}


@dataclass
class Authors(Corrected):
    """As the authors' code: rank one, all probabilities divided by the largest where it is above 1, not re-centred."""

    name = "authors"

    def options(self, given: Given) -> dict[str, Any]:
        """Their policy; no floor under probabilities."""
        return {"propensity": "rank1", "cap": "authors", "double_center": False, "p_min": 1e-9}


@dataclass
class HorvitzThompson(Corrected):
    """Values divided by their probabilities.

    Parameters
    ----------
    propensity
        How these are fitted.
    """

    propensity: Literal["logit", "rank1"] = "logit"
    name = "ht"

    def options(self, given: Given) -> dict[str, Any]:
        """Horvitz-Thompson."""
        return {"estimator": "ht", "propensity": self.propensity}


@dataclass
class Pairwise(Corrected):
    """Inner products over the number of columns that both rows have."""

    name = "pairwise"

    def options(self, given: Given) -> dict[str, Any]:
        """Pairwise."""
        return {"estimator": "pairwise"}


@dataclass
class Hetero(Corrected):
    """As ``unbiased``, but coordinates come from a diagonal refilled by the components; distances are the same."""

    name = "hetero"
    diagonal = "hetero"


@dataclass
class RatioOracle(Corrected):
    """Ratio estimator that is told the probabilities."""

    name = "ratio_oracle"
    told = "the probability of each entry to be observed"
    needs_p = True

    def options(self, given: Given) -> dict[str, Any]:
        """The truth."""
        return {"propensity": _probabilities(given, self.name)}


@dataclass
class HorvitzThompsonOracle(Corrected):
    """Horvitz-Thompson that is told the probabilities."""

    name = "ht_oracle"
    told = "the probability of each entry to be observed"
    needs_p = True

    def options(self, given: Given) -> dict[str, Any]:
        """The truth."""
        return {"estimator": "ht", "propensity": _probabilities(given, self.name)}
