"""What an arm of the benchmark is: training samples in, synthetic samples of one label out."""

from __future__ import annotations

import time
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np

from corpuscle.errors import MethodError
from corpuscle.seeds import stream, stream_seed

__all__ = ["Arm", "Augmented", "Given", "Synthesis", "checked_augmented", "unchanged"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Given:
    """What an arm is shown: training samples of one fold and nothing else.

    Attributes
    ----------
    x_nd
        (n, d) float32 features: principal components or z-scored genes, fitted on these samples.
    code_n
        (n,) label of each, 0 or more; below 0 where a sample has none or several, and such are no class.
    target
        Code of the label to make more of.
    n_wanted
        How many synthetic samples.
    seed
        Of whatever is random in the arm.
    groups_n
        (n,) series of each sample.
    """

    x_nd: Array
    code_n: Array
    target: int
    n_wanted: int
    seed: int
    groups_n: Array

    @property
    def own_cd(self) -> Array:
        """(c, d) samples of the target."""
        return np.asarray(self.x_nd[self.code_n == self.target])

    def labelled(self) -> tuple[Array, Array]:
        """Samples that have one label, and their codes."""
        keep_n = self.code_n >= 0
        return np.asarray(self.x_nd[keep_n]), np.asarray(self.code_n[keep_n])

    def generator(self, *keys: str) -> np.random.Generator:
        """Random numbers of this fold and target for what ``keys`` name."""
        return stream(self.seed, "rare-labels", *keys)

    def int_seed(self, *keys: str) -> int:
        """The same for libraries that want an integer."""
        return stream_seed(self.seed, "rare-labels", *keys)


@dataclass(frozen=True)
class Augmented:
    """What an arm adds.

    Attributes
    ----------
    x_sd
        (s, d) float32 synthetic samples in random order, so that the first m of them are a draw of m; s may be 0.
    code_s
        (s,) their label.
    class_weight
        None: every sample weighs 1. ``"balanced"``: the budget of :func:`~.budget.sample_weights`.
    seconds
        Wall seconds it took.
    notes
        What a reader should know, a line each.
    """

    x_sd: Array
    code_s: Array
    class_weight: Literal["balanced"] | None
    seconds: float
    notes: tuple[str, ...] = ()


@runtime_checkable
class Arm(Protocol):
    """What an arm must be.

    Attributes
    ----------
    name
        What tables call it; two arms of one run have different names.
    told
        What it uses of the training samples, in a few words.
    kind
        ``"none"`` adds and weighs nothing, ``"weights"`` only weighs, ``"synthetic"`` makes samples.
    """

    name: str
    told: str
    kind: str

    def __call__(self, given: Given) -> Augmented:
        """Synthetic samples; the same seed must give the same on the same machine."""
        ...


class Synthesis:
    """Base of the arms that make samples: they say how in :meth:`draw`, are timed and checked here.

    Attributes
    ----------
    at_least
        Training samples of the target without which there is nothing to draw from.
    """

    name: str
    told = "samples of the label"
    kind = "synthetic"
    at_least: ClassVar[int] = 1
    code: ClassVar[tuple[str, ...]] = ()

    @property
    def params(self) -> dict[str, Any]:
        """Its parameters as plain values."""
        return {key: value for key, value in vars(self).items() if key not in ("name", "told") and key[0] != "_"}

    @abstractmethod
    def draw(self, given: Given) -> tuple[Array, tuple[str, ...]]:
        """(s, d) samples in random order, and notes."""

    def __call__(self, given: Given) -> Augmented:
        """Make samples of the target, or none where none are wanted.

        Raises
        ------
        MethodError
            Too few training samples, or it could not run on these.
        """
        began = time.perf_counter()
        n_own = int(np.count_nonzero(given.code_n == given.target))
        if n_own < self.at_least:
            few = "no training sample" if n_own == 0 else f"{n_own} training sample{'s' if n_own > 1 else ''}"
            raise MethodError(f"{self.name}: the label has {few}; it takes {self.at_least} or more")
        if given.n_wanted < 1:
            return unchanged(given, "balanced", began)
        x_sd, notes = self.draw(given)
        x_sd = np.ascontiguousarray(x_sd, dtype=np.float32)
        code_s = np.full(len(x_sd), given.target, dtype=np.int64)
        made = Augmented(x_sd, code_s, "balanced", time.perf_counter() - began, notes)
        return checked_augmented(made, given, self.name)


def unchanged(given: Given, class_weight: Literal["balanced"] | None, began: float) -> Augmented:
    """Nothing added."""
    x_0d = np.empty((0, given.x_nd.shape[1]), dtype=np.float32)
    return Augmented(x_0d, np.empty(0, dtype=np.int64), class_weight, time.perf_counter() - began)


def checked_augmented(made: Any, given: Given, name: str) -> Augmented:
    """What an arm returned, made sure to be finite samples of labels that were given.

    Raises
    ------
    MethodError
        It is not.
    """
    if not isinstance(made, Augmented):
        raise MethodError(f"{name}: returned a {type(made).__name__}, not an Augmented")
    x_sd, code_s = np.asarray(made.x_sd), np.asarray(made.code_s)
    d = given.x_nd.shape[1]
    if x_sd.ndim != 2 or x_sd.shape[1] != d or code_s.shape != (len(x_sd),):
        raise MethodError(f"{name}: samples of shape {x_sd.shape} and labels {code_s.shape}; features are {d:,}")
    if x_sd.dtype.kind != "f" or not np.isfinite(x_sd).all():
        raise MethodError(f"{name}: a synthetic sample has an entry that is not a finite number")
    if not np.isin(code_s, given.code_n[given.code_n >= 0]).all():
        raise MethodError(f"{name}: a synthetic sample has a label that no training sample has")
    if made.class_weight not in (None, "balanced"):
        raise MethodError(f"{name}: class_weight {made.class_weight!r} is neither None nor 'balanced'")
    return made
