"""Arms that draw between a sample and its nearest neighbours, by imbalanced-learn."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar

import numpy as np

from corpuscle.benchmarks.rare_labels._arms import Given, Synthesis
from corpuscle.errors import MethodError, OptionError

__all__ = ["ADASYN", "SMOTE", "BorderlineSMOTE"]

Array = np.ndarray[Any, Any]
HERE = ("corpuscle.benchmarks.rare_labels._arms", "corpuscle.benchmarks.rare_labels._arms_smote")


@dataclass
class SMOTE(Synthesis):
    """Points between a sample and one of its nearest of the label (Chawla et al. 2002).

    Parameters
    ----------
    k
        Neighbours; with n samples of the label at most n - 1, and the cut is noted.
    """

    k: int = 5
    name = "smote"
    at_least: ClassVar[int] = 2
    code: ClassVar[tuple[str, ...]] = HERE
    sampler: ClassVar[str] = "SMOTE"

    def __post_init__(self) -> None:
        if self.k < 1:
            raise OptionError(f"{self.name}: k={self.k} must be 1 or more")

    def draw(self, given: Given) -> tuple[Array, tuple[str, ...]]:
        """Samples that the library appends, in random order."""
        x_nd, code_n = given.labelled()
        is_own_n = code_n == given.target
        n_own, n_other = int(is_own_n.sum()), int((~is_own_n).sum())
        k = min(self.k, n_own - 1)
        notes = (f"k cut from {self.k} to {k}",) if k < self.k else ()
        if n_other == 0:
            raise MethodError(f"{self.name}: all training samples are of the label; it takes others beside it")
        maker = _library()(self.sampler)(
            sampling_strategy={1: n_own + given.n_wanted},
            random_state=given.int_seed(type(self).name),
            **self.options(k, len(x_nd)),
        )
        try:
            made_nd, _ = maker.fit_resample(x_nd, is_own_n.astype(np.int64))
        except (ValueError, RuntimeError) as error:
            raise MethodError(f"{self.name}: {' '.join(str(error).split())}") from error
        made_sd = made_nd[len(x_nd) :]
        if not len(made_sd):
            raise MethodError(f"{self.name}: {self.nothing}")
        return made_sd[given.generator(type(self).name, "order").permutation(len(made_sd))], notes

    nothing: ClassVar[str] = "made no sample"

    def options(self, k: int, n: int) -> dict[str, Any]:
        """Options of the library's class for ``k`` neighbours among ``n`` samples."""
        return {"k_neighbors": k}


@dataclass
class BorderlineSMOTE(SMOTE):
    """SMOTE from those samples that have other labels around them, but not only (Han et al. 2005, the first kind).

    Parameters
    ----------
    k
        Neighbours to draw towards.
    m
        Neighbours of any label that say whether a sample is at the border: at least half of them, not all, of others.
    """

    m: int = 10
    name = "borderline_smote"
    told = "samples of the label, neighbours of any"
    sampler: ClassVar[str] = "BorderlineSMOTE"
    nothing: ClassVar[str] = "no sample of the label is at the border: none has other labels for half of its neighbours"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.m < 1:
            raise OptionError(f"{self.name}: m={self.m} must be 1 or more")

    def options(self, k: int, n: int) -> dict[str, Any]:
        """Both numbers of neighbours."""
        return {"k_neighbors": k, "m_neighbors": min(self.m, n - 1)}


@dataclass
class ADASYN(SMOTE):
    """SMOTE with more samples where there are more other labels around (He et al. 2008).

    It rounds the number of samples made from each, so in all there may be a few more or less than were asked for.
    """

    name = "adasyn"
    told = "samples of the label, neighbours of any"
    sampler: ClassVar[str] = "ADASYN"

    def options(self, k: int, n: int) -> dict[str, Any]:
        """Its own word for neighbours."""
        return {"n_neighbors": k}


def _library() -> Any:
    """Look-up of a class of imbalanced-learn, which is an extra."""
    try:
        module = import_module("imblearn.over_sampling")
    except ImportError:
        raise MethodError("smote and its kin need an extra; run: pip install 'corpuscle[bulk]'") from None
    return lambda name: getattr(module, name)
