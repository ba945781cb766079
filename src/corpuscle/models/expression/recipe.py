"""Every choice of a generator and its training, in one place."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

from corpuscle.errors import OptionError

__all__ = ["KINDS", "DiffusionRecipe", "GANRecipe", "Recipe", "ReferenceGANRecipe", "VAERecipe", "recipe_of"]

KINDS = ("gan", "vae", "diffusion")


@dataclass(frozen=True)
class Recipe:
    """Choices that all generators share; an instance never changes.

    Attributes
    ----------
    max_steps
        Most optimiser steps (of the generator, where two networks are trained).
    check_every
        Steps between two looks at the held-out samples.
    patience
        Looks without a new best after which training stops.
    min_steps
        Steps before training may stop early.
    batch_size
        Samples in a mini-batch, always drawn with replacement, so that any number of samples will do.
    balance
        How often a label is drawn: in proportion to (its samples) ** balance. 1 leaves the labels as frequent as they
        are, 0 makes them equal; 0.5 lets a rare label be seen often without repeating its few samples all the time.
    held_out
        Share of every label's samples that chooses the weights and is never trained on; labels of fewer than 5 samples
        hold out none.
    learning_rate
        Of Adam.
    ema
        Decay of the running mean of the weights that samples are drawn with; 0 for none.
    """

    max_steps: int = 5_000
    check_every: int = 200
    patience: int = 5
    min_steps: int = 1_000
    batch_size: int = 64
    balance: float = 0.5
    held_out: float = 0.1
    learning_rate: float = 1e-4
    ema: float = 0.999

    kind: ClassVar[str] = ""
    name: ClassVar[str] = ""
    #: Whether features are scaled to mean 0 and variance 1 before the networks see them.
    standardise: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for field in fields(self):
            value, default = getattr(self, field.name), field.default
            whole = isinstance(default, int)
            if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
                raise OptionError(f"{field.name}={value!r} must be a {'whole ' if whole else ''}number")
            if not (value > 0 if field.name in _POSITIVE else value >= 0):
                raise OptionError(
                    f"{field.name}={value} must {'be more than 0' if field.name in _POSITIVE else 'not be negative'}"
                )
            if field.name in _SHARES and value >= 1:
                raise OptionError(f"{field.name}={value} must be below 1")

    def to_dict(self) -> dict[str, Any]:
        """Give the choices as plain values, for a file."""
        return {"name": self.name, **asdict(self)}


_POSITIVE = frozenset(
    {"max_steps", "check_every", "patience", "batch_size", "learning_rate", "latent", "width", "condition", "hidden"}
    | {"time_width", "sampling_steps", "timesteps", "critic_steps", "epochs", "epoch_steps"}
)
_SHARES = frozenset({"held_out", "ema", "condition_dropout", "dropout", "beta_1", "beta_2"})


@dataclass(frozen=True)
class GANRecipe(Recipe):
    """Conditional Wasserstein GAN with gradient penalty.

    Attributes
    ----------
    latent, condition
        Dimensions of the noise and of the vector that stands for a label.
    penalty
        Weight of the gradient penalty.
    critic_steps
        Steps of the critic for each of the generator.
    beta_1, beta_2
        Of Adam.
    """

    latent: int = 64
    condition: int = 16
    penalty: float = 10.0
    critic_steps: int = 5
    beta_1: float = 0.0
    beta_2: float = 0.9

    kind: ClassVar[str] = "gan"
    name: ClassVar[str] = "corpuscle"


@dataclass(frozen=True)
class ReferenceGANRecipe(Recipe):
    """An unconditional GAN per label with the widths of a published notebook, times ``width``.

    As there: noise of as many dimensions as features, binary cross-entropy, Adam at its default decay rates, one step of
    each network in turn, dropout in the discriminator, features as they are, weights of the last step. Unlike there,
    batches are drawn with replacement, so that the number of samples need not be a multiple of the batch size.

    Attributes
    ----------
    width
        Factor on the hidden widths of the generator, 32,768-2,048-512-2,048-16,384-32,768. At 1 and 59,425 genes it has
        4.534 billion parameters; the default is 512-32-8-32-256-512.
    epochs
        Passes over the samples of a label; ``max_steps`` bounds the steps all the same.
    dropout
        Of the discriminator, 1,024-256-128-64-1, whose widths stay.
    """

    width: float = 1 / 64
    epochs: int = 100
    dropout: float = 0.3
    ema: float = 0.0
    held_out: float = 0.0

    kind: ClassVar[str] = "gan"
    name: ClassVar[str] = "reference"
    standardise: ClassVar[bool] = False


@dataclass(frozen=True)
class VAERecipe(Recipe):
    """Conditional variational autoencoder with a Gaussian likelihood.

    Attributes
    ----------
    latent, condition
        Dimensions of the latent space and of the vector that stands for a label.
    beta, warm_up
        Weight of the Kullback-Leibler term, and epochs over which it rises from 0.
    epochs
        Most passes over the samples.
    epoch_steps
        Fewest steps of an epoch: of few samples, an epoch is several passes.
    """

    max_steps: int = 20_000
    check_every: int = 25
    patience: int = 20
    min_steps: int = 0
    learning_rate: float = 1e-3
    ema: float = 0.0
    latent: int = 32
    condition: int = 16
    beta: float = 0.5
    warm_up: int = 20
    epochs: int = 200
    epoch_steps: int = 10

    kind: ClassVar[str] = "vae"
    name: ClassVar[str] = "corpuscle"


@dataclass(frozen=True)
class DiffusionRecipe(Recipe):
    """Denoising diffusion with a cosine schedule and a condition that is sometimes dropped.

    Attributes
    ----------
    hidden, time_width, condition
        Width of the three hidden layers, and of the vectors that stand for the time and for a label.
    timesteps
        Steps of the noise.
    condition_dropout
        Share of the training samples whose label is hidden, for guidance.
    guidance
        1 samples given the label; more exaggerates what is particular to it, at the price of variety.
    sampling_steps
        Times at which a sample is denoised; as many as ``timesteps`` is the full random walk, fewer is deterministic
        after the first noise.
    """

    max_steps: int = 5_000
    check_every: int = 500
    patience: int = 4
    min_steps: int = 2_000
    learning_rate: float = 1e-3
    hidden: int = 512
    time_width: int = 64
    condition: int = 16
    timesteps: int = 500
    condition_dropout: float = 0.1
    guidance: float = 1.0
    sampling_steps: int = 50

    kind: ClassVar[str] = "diffusion"
    name: ClassVar[str] = "corpuscle"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sampling_steps > self.timesteps:
            raise OptionError(f"sampling_steps={self.sampling_steps} must be at most timesteps={self.timesteps}")
        if self.timesteps > 10_000:
            raise OptionError(f"timesteps={self.timesteps} must be at most 10,000")
        if self.time_width % 2 or self.time_width > 1_024:
            raise OptionError(f"time_width={self.time_width} must be even and at most 1,024")


_CLASSES: dict[tuple[str, str], type[Recipe]] = {
    (made.kind, made.name): made for made in (GANRecipe, ReferenceGANRecipe, VAERecipe, DiffusionRecipe)
}


def recipe_of(kind: str, recipe: Recipe | str | None = None, **changes: Any) -> Recipe:
    """Recipe of a kind by name (the first of the kind if None), with some of its choices changed.

    Raises
    ------
    OptionError
        No such kind, recipe or choice, or a choice that makes no sense.
    """
    if kind not in KINDS:
        raise OptionError(f"generator {kind!r} must be one of: {', '.join(KINDS)}")
    if isinstance(recipe, Recipe):
        if recipe.kind != kind:
            raise OptionError(f"the recipe is of kind {recipe.kind!r}, not {kind!r}; give one of that kind")
        made, start = type(recipe), asdict(recipe)
    else:
        names = [name for of, name in _CLASSES if of == kind]
        name = names[0] if recipe is None else recipe
        if name not in names:
            raise OptionError(f"recipe {name!r} of {kind} must be one of: {', '.join(names)}")
        made, start = _CLASSES[kind, name], {}
    known = {field.name for field in fields(made)}
    for change in changes:
        if change not in known:
            raise OptionError(
                f"the {made.name} recipe of {kind} has no choice {change!r}; it has: {', '.join(sorted(known))}"
            )
    return made(**{**start, **changes})
