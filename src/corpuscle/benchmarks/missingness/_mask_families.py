"""Families of masks: with which probability an entry is lost, and what methods see of it."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal

import numpy as np

from corpuscle.benchmarks._method_words import named_with
from corpuscle.errors import OptionError

__all__ = ["POLICIES", "AuthorsMask", "Constant", "Dropout", "LogitNormal", "Mask", "Uniform"]

Array = np.ndarray[Any, Any]
Policy = Literal["none", "oracle", "consensus", "zeros"]

#: What each choice of missing zeros was told.
POLICIES = {
    "none": "nothing: every zero is taken as a value",
    "oracle": "which entries were lost",
    "consensus": "which zeros clusterings of the cells call missing",
    "zeros": "nothing: every zero is taken as missing",
}


@dataclass
class Mask:
    """A way to lose entries.

    Attributes
    ----------
    kind
        ``"random"`` (whatever the value) or ``"dropout"`` (only values above 0).
    word
        What it is called without its parameters.
    """

    kind: ClassVar[str]
    word: ClassVar[str]

    @property
    def params(self) -> dict[str, Any]:
        """Parameters by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def name(self) -> str:
        """Word with all its parameters, e.g. ``"constant:p=0.5"``."""
        return named_with(self.word, self.params)

    @property
    def key(self) -> str:
        """What the lost entries are drawn under: masks of one key lose the same entries for the same seed."""
        return self.name

    @property
    def told(self) -> str:
        """What is known about which entries are missing, in a few words."""
        return "which entries are missing"

    @abstractmethod
    def draw(self, truth_nd: Array, rng: np.random.Generator) -> tuple[Array, Array | None]:
        """(n, d) bool of the entries that are kept, and their (n, d) probabilities where they depend on no value."""

    def shown(self, truth_nd: Array, observed_nd: Array, seed: int) -> Array:
        """(n, d) values as methods see them, NaN where one is said to be missing."""
        return np.where(observed_nd, truth_nd, np.nan)


class _RandomMask(Mask):
    """Independent draws with probabilities that know no value."""

    kind = "random"

    @abstractmethod
    def probabilities(self, n: int, d: int, rng: np.random.Generator) -> Array:
        """(n, d) probability that an entry is observed."""

    def draw(self, truth_nd: Array, rng: np.random.Generator) -> tuple[Array, Array | None]:
        """Draw probabilities, then entries."""
        n, d = truth_nd.shape
        p_nd = self.probabilities(n, d, rng)
        return rng.random(truth_nd.shape) < p_nd, p_nd


@dataclass
class Constant(_RandomMask):
    """Every entry is observed with the same probability ``p``."""

    p: float = 0.5
    word = "constant"

    def __post_init__(self) -> None:
        _check_share(self.word, "p", self.p)

    def probabilities(self, n: int, d: int, rng: np.random.Generator) -> Array:
        """The same everywhere."""
        return np.full((n, d), self.p)


@dataclass
class Uniform(_RandomMask):
    """Observed with probability a_i b_k, both uniform between ``low`` and 1."""

    low: float = 0.2
    word = "uniform"

    def __post_init__(self) -> None:
        _check_share(self.word, "low", self.low)

    def probabilities(self, n: int, d: int, rng: np.random.Generator) -> Array:
        """Outer product of the two."""
        return np.outer(rng.uniform(self.low, 1, n), rng.uniform(self.low, 1, d))


@dataclass
class AuthorsMask(_RandomMask):
    """*Missing* with probability u_i v_k, u uniform on (.4, .6) and v on (.7, .9), as in Ling, Liu & Xue, UAI 2021."""

    word = "authors"

    def probabilities(self, n: int, d: int, rng: np.random.Generator) -> Array:
        """One less the outer product of the two."""
        return 1 - np.outer(rng.uniform(0.4, 0.6, n), rng.uniform(0.7, 0.9, d))


@dataclass
class LogitNormal(_RandomMask):
    """Observed with the logistic of alpha_i + beta_k, both normal with mean 0 and standard deviation ``sd``."""

    sd: float = 1.2
    word = "logit_normal"

    def __post_init__(self) -> None:
        if not 0 <= self.sd <= 10:
            raise OptionError(f"mask {self.word}: sd={self.sd} must be between 0 and 10")

    def probabilities(self, n: int, d: int, rng: np.random.Generator) -> Array:
        """Logistic of the sum."""
        from scipy.special import expit

        return np.asarray(expit(rng.normal(0, self.sd, n)[:, None] + rng.normal(0, self.sd, d)))


@dataclass
class Dropout(Mask):
    """Each value above 0 is kept with probability a_i b_k, both uniform between ``low`` and 1; else it becomes 0.

    Parameters
    ----------
    low
        Lowest of the factors; 0.6 is mild and 0.3 strong.
    mask
        Zeros that methods are told are missing: ``none``; ``oracle``, those that were lost; ``consensus``, those that
        :func:`corpuscle.reduce.dropout_mask` finds; ``zeros``, all.
    """

    low: float = 0.6
    mask: Policy = "none"
    kind = "dropout"
    word = "dropout"

    def __post_init__(self) -> None:
        _check_share(self.word, "low", self.low)
        if self.mask not in POLICIES:
            raise OptionError(f"mask {self.word}: mask={self.mask} is none of: {', '.join(POLICIES)}")

    @property
    def key(self) -> str:
        """Without the choice of missing zeros."""
        return named_with(self.word, {"low": self.low})

    @property
    def told(self) -> str:
        """By the choice of missing zeros."""
        return POLICIES[self.mask]

    def draw(self, truth_nd: Array, rng: np.random.Generator) -> tuple[Array, Array | None]:
        """Zeros are always kept; so the probability of an entry depends on its value, and none is given."""
        n, d = truth_nd.shape
        p_nd = np.outer(rng.uniform(self.low, 1, n), rng.uniform(self.low, 1, d))
        return (rng.random((n, d)) < p_nd) | (truth_nd == 0), None

    def shown(self, truth_nd: Array, observed_nd: Array, seed: int) -> Array:
        """Zeros where values were lost, and NaN by the choice of missing zeros."""
        x_nd = np.where(observed_nd, truth_nd, 0.0)
        if self.mask == "none":
            return x_nd
        missing_nd = ~observed_nd
        if self.mask == "zeros":
            missing_nd = x_nd == 0
        elif self.mask == "consensus":
            missing_nd = _consensus(x_nd, seed)
        return np.where(missing_nd, np.nan, x_nd)


def _check_share(word: str, key: str, value: float) -> None:
    if not 0 < value <= 1:
        raise OptionError(f"mask {word}: {key}={value} must be above 0 and at most 1")


def _consensus(x_nd: Array, seed: int) -> Array:
    """(n, d) bool of the zeros that clusterings of the cells call missing; values are logarithms already."""
    from scipy.sparse import csr_matrix

    from corpuscle.reduce import dropout_mask

    x_csr = csr_matrix(x_nd)
    # That values decide what is missing, of which it would warn, is what is studied here.
    blocks = dropout_mask(x_csr, log=False, random_state=seed, warn=False)
    return np.asarray(blocks.to_csr_missing(x_csr).toarray() != 0)
