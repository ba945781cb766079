"""Arms that cost next to nothing, which a learned generator has to beat."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from corpuscle.benchmarks.rare_labels._arms import Augmented, Given, Synthesis, unchanged
from corpuscle.benchmarks.rare_labels._knn import no_taller
from corpuscle.errors import MethodError, OptionError

__all__ = ["MVN", "ClassWeight", "Mixup", "NoAugmentation", "Noise", "Oversample"]

Array = np.ndarray[Any, Any]
HERE = tuple(f"corpuscle.benchmarks.rare_labels.{name}" for name in ("_arms", "_arms_cheap", "_knn"))


@dataclass
class NoAugmentation:
    """The training samples as they are, each of the same weight."""

    name = "none"
    told = "nothing"
    kind = "none"
    code: ClassVar[tuple[str, ...]] = HERE

    def __call__(self, given: Given) -> Augmented:
        """Nothing."""
        return unchanged(given, None, time.perf_counter())


@dataclass
class ClassWeight:
    """The training samples as they are, classes weighing the same: what every other arm is compared to."""

    name = "class_weight"
    told = "class sizes"
    kind = "weights"
    code: ClassVar[tuple[str, ...]] = HERE

    def __call__(self, given: Given) -> Augmented:
        """Nothing but the budget."""
        return unchanged(given, "balanced", time.perf_counter())


@dataclass
class Oversample(Synthesis):
    """Copies of the label's samples, drawn with replacement."""

    name = "oversample"
    code: ClassVar[tuple[str, ...]] = HERE

    def draw(self, given: Given) -> tuple[Array, tuple[str, ...]]:
        """Copies."""
        own_cd = given.own_cd
        return own_cd[given.generator("oversample").integers(len(own_cd), size=given.n_wanted)], ()


@dataclass
class Noise(Synthesis):
    """Gaussian noise around the label's samples (a smoothed bootstrap).

    Parameters
    ----------
    scale
        Standard deviation of the noise in units of the one that a feature has within classes. That is pooled over all
        classes, since a label with few samples says little about its own.
    """

    scale: float = 0.2
    name = "noise"
    told = "samples of the label, spread within all labels"
    code: ClassVar[tuple[str, ...]] = HERE

    def __post_init__(self) -> None:
        if not (np.isfinite(self.scale) and self.scale > 0):
            raise OptionError(f"{self.name}: scale={self.scale} must be above 0")

    def draw(self, given: Given) -> tuple[Array, tuple[str, ...]]:
        """Samples drawn with replacement, each with noise of its own."""
        rng, own_cd = given.generator("noise"), given.own_cd
        residual_nd, df = _residuals(*given.labelled())
        if df < 1:
            raise MethodError(f"{self.name}: no label has two training samples, so there is no spread to take")
        sd_d = np.sqrt((residual_nd**2).sum(axis=0) / df)
        from_s = rng.integers(len(own_cd), size=given.n_wanted)
        return own_cd[from_s] + self.scale * sd_d * rng.standard_normal((given.n_wanted, len(sd_d))), ()


@dataclass
class Mixup(Synthesis):
    """Points between two different samples of the label, whichever (Zhang et al. 2018, within one class).

    Parameters
    ----------
    alpha
        Of the Beta(alpha, alpha) distribution of the share of one of the two; 1 is uniform, less is nearer to one.
    """

    alpha: float = 1.0
    name = "mixup"
    at_least: ClassVar[int] = 2
    code: ClassVar[tuple[str, ...]] = HERE

    def __post_init__(self) -> None:
        if not (np.isfinite(self.alpha) and self.alpha > 0):
            raise OptionError(f"{self.name}: alpha={self.alpha} must be above 0")

    def draw(self, given: Given) -> tuple[Array, tuple[str, ...]]:
        """Convex combinations."""
        rng, own_cd, n = given.generator("mixup"), given.own_cd, given.n_wanted
        first_s = rng.integers(len(own_cd), size=n)
        second_s = (first_s + rng.integers(1, len(own_cd), size=n)) % len(own_cd)
        share_s1 = rng.beta(self.alpha, self.alpha, size=(n, 1))
        return share_s1 * own_cd[first_s] + (1 - share_s1) * own_cd[second_s], ()


@dataclass
class MVN(Synthesis):
    """A multivariate normal with the label's mean and a shrunk covariance (Ledoit & Wolf 2004).

    Parameters
    ----------
    covariance
        ``"pooled"``: of the samples of all labels about their own means, as linear discriminant analysis has it.
        ``"class"``: of the label's samples alone. With fewer samples than features the latter is shrunk until it is
        nearly a sphere, which no expression class is; so pooled is the default, and class is for labels of hundreds.

    Notes
    -----
    Shrunk, the covariance is (1 - a) R'R / df + a m I with residuals R and their mean variance m; a draw is
    sqrt((1 - a) / df) R'u + sqrt(a m) v with normal u and v, so no d x d matrix is ever made.
    """

    covariance: Literal["pooled", "class"] = "pooled"
    name = "mvn"
    told = "mean of the label, covariance within all labels"
    code: ClassVar[tuple[str, ...]] = HERE

    def __post_init__(self) -> None:
        if self.covariance not in ("pooled", "class"):
            raise OptionError(f"{self.name}: covariance={self.covariance!r} must be pooled or class")
        if self.covariance == "class":
            self.told = "mean and covariance of the label"

    def draw(self, given: Given) -> tuple[Array, tuple[str, ...]]:
        """Normal samples."""
        from sklearn.covariance import ledoit_wolf_shrinkage

        rng, own_cd = given.generator("mvn"), given.own_cd
        x_nd, code_n = (own_cd, np.zeros(len(own_cd), dtype=int)) if self.covariance == "class" else given.labelled()
        residual_nd, df = _residuals(x_nd, code_n)
        if df < 1:
            raise MethodError(f"{self.name}: no spread can be taken from single samples; it takes two of one label")
        shrinkage = float(ledoit_wolf_shrinkage(residual_nd, assume_centered=True))
        mean_variance = float((residual_nd**2).sum() / df / residual_nd.shape[1])
        root_kd = no_taller(residual_nd)
        along_sd = rng.standard_normal((given.n_wanted, len(root_kd))) @ root_kd
        around_sd = rng.standard_normal((given.n_wanted, residual_nd.shape[1]))
        x_sd = np.sqrt((1 - shrinkage) / df) * along_sd + np.sqrt(shrinkage * mean_variance) * around_sd
        return own_cd.mean(axis=0, dtype=np.float64) + x_sd, (f"shrinkage {shrinkage:.3f}",)


def _residuals(x_nd: Array, code_n: Array) -> tuple[Array, int]:
    """float64 samples about the mean of their class, and their degrees of freedom (samples less classes)."""
    _, at_n, size_l = np.unique(code_n, return_inverse=True, return_counts=True)
    x_nd = x_nd.astype(np.float64)
    starts_l = np.concatenate([[0], np.cumsum(size_l)[:-1]])
    mean_ld = np.add.reduceat(x_nd[np.argsort(at_n, kind="stable")], starts_l, axis=0) / size_l[:, None]
    return x_nd - mean_ld[at_n], len(x_nd) - len(size_l)
