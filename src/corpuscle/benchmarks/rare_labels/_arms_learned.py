"""Arms that train a generator, and the same trained on what cannot help: the null controls."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from corpuscle.benchmarks.rare_labels._arms import Given, Synthesis
from corpuscle.errors import MethodError, OptionError
from corpuscle.models.expression.recipe import (
    DiffusionRecipe,
    GANRecipe,
    Recipe,
    ReferenceGANRecipe,
    VAERecipe,
    recipe_of,
)

__all__ = ["GAN", "VAE", "Diffusion", "GANOther", "GANReference", "GANShuffled", "Learned", "VAEShuffled"]

Array = np.ndarray[Any, Any]


class Learned(Synthesis):
    """Base: a generator is trained on the training samples of all labels, so that rare ones borrow from the others.

    Neither the label nor the number of samples is asked for in training: :meth:`train` once does for every label of a
    fold and every amount, except in the arms that say otherwise.

    Parameters
    ----------
    steps
        Most training steps; None for the recipe's own.
    **options
        Any other choice of the recipe (:mod:`corpuscle.models.expression`).
    """

    told = "samples and labels of all"
    at_least: ClassVar[int] = 2
    code: ClassVar[tuple[str, ...]] = (
        "corpuscle.benchmarks.rare_labels._arms",
        "corpuscle.benchmarks.rare_labels._arms_learned",
        "corpuscle.models.expression",
    )
    more_options: ClassVar[type[Recipe]]

    def __init__(self, steps: int | None = None, **options: Any) -> None:
        if steps is not None and "max_steps" in options:
            raise OptionError(f"{self.name}: steps and max_steps are one thing; give one of them")
        chosen = options if steps is None else {**options, "max_steps": steps}
        self._recipe = recipe_of(self.more_options.kind, self.more_options.name, **chosen)

    @property
    def params(self) -> dict[str, Any]:
        """Every choice of its recipe."""
        return {**self._recipe.to_dict(), "recipe": self.more_options.name}

    def data(self, given: Given) -> tuple[Array, Array, int]:
        """Samples, labels numbered from 0, and the number to ask for; labels of single samples are left out."""
        return _numbered(*given.labelled(), given.target)

    def train(self, given: Given) -> tuple[Any, int]:
        """The generator, and the number that the label has in it.

        Raises
        ------
        MethodError
            The extra is missing, or it cannot be trained on these samples.
        """
        from corpuscle.models.expression import fit_generator

        x_nd, code_n, asked = self.data(given)
        seed = given.int_seed(type(self).name, "train")
        return fit_generator(self.more_options.kind, x_nd, code_n, recipe=self._recipe, seed=seed), asked

    def drawn(self, trained: tuple[Any, int], given: Given) -> Array:
        """Samples of a generator that :meth:`train` gave, as many as are wanted."""
        generator, asked = trained
        return np.asarray(generator.sample(asked, given.n_wanted, given.int_seed(type(self).name, "draw")))

    def draw(self, given: Given) -> tuple[Array, tuple[str, ...]]:
        """Train, then sample."""
        trained = self.train(given)
        history = trained[0].history
        notes = (f"{int(history['step'].iloc[-1]):,} steps",) if len(history) and "step" in history else ()
        return self.drawn(trained, given), notes


class GAN(Learned):
    """A conditional Wasserstein GAN with gradient penalty (Gulrajani et al. 2017)."""

    name = "gan"
    more_options = GANRecipe


class VAE(Learned):
    """A conditional variational autoencoder."""

    name = "vae"
    more_options = VAERecipe


class Diffusion(Learned):
    """Conditional denoising diffusion."""

    name = "diffusion"
    more_options = DiffusionRecipe


class GANReference(Learned):
    """The unconditional GAN of the published notebook at reduced width, trained on the label's samples alone."""

    name = "gan_reference"
    told = "samples of the label"
    more_options = ReferenceGANRecipe

    def data(self, given: Given) -> tuple[Array, Array, int]:
        """The label's own samples."""
        own_cd = given.own_cd
        return own_cd, np.zeros(len(own_cd), dtype=np.int64), 0


class GANShuffled(GAN):
    """Null control: the GAN with labels shuffled among the training samples. It must not help."""

    name = "gan_shuffled"
    told = "samples of all, labels shuffled"

    def data(self, given: Given) -> tuple[Array, Array, int]:
        """The same samples under each other's labels."""
        return _shuffled(given)


class VAEShuffled(VAE):
    """Null control: the autoencoder with labels shuffled among the training samples. It must not help."""

    name = "vae_shuffled"
    told = "samples of all, labels shuffled"

    def data(self, given: Given) -> tuple[Array, Array, int]:
        """The same samples under each other's labels."""
        return _shuffled(given)


class GANOther(GAN):
    """Null control: the GAN trained on another label alone, whose samples are given the target's name.

    The other label is drawn from those with at least as many samples, and as many are taken as the target has, so that
    nothing but the label is wrong; where none has as many, it is the largest.
    """

    name = "gan_other"
    told = "samples of another label"

    def data(self, given: Given) -> tuple[Array, Array, int]:
        """Samples of the other label."""
        x_nd, code_n = given.labelled()
        labels_l, size_l = np.unique(code_n, return_counts=True)
        n_own = int(size_l[labels_l == given.target].sum())
        is_other_l = (labels_l != given.target) & (size_l >= 2)
        if not is_other_l.any():
            raise MethodError(f"{self.name}: no other label has two training samples")
        labels_l, size_l = labels_l[is_other_l], size_l[is_other_l]
        rng = given.generator(self.name, "label")
        enough_k = labels_l[size_l >= n_own]
        other = rng.choice(enough_k) if len(enough_k) else labels_l[np.argmax(size_l)]
        at = np.flatnonzero(code_n == other)
        at = np.sort(rng.permutation(at)[: max(2, n_own)])
        return x_nd[at], np.zeros(len(at), dtype=np.int64), 0


def _shuffled(given: Given) -> tuple[Array, Array, int]:
    x_nd, code_n = given.labelled()
    return _numbered(x_nd, given.generator("shuffled labels").permutation(code_n), given.target)


def _numbered(x_nd: Array, code_n: Array, target: int) -> tuple[Array, Array, int]:
    labels_l, at_n, size_l = np.unique(code_n, return_inverse=True, return_counts=True)
    keep_n = size_l[at_n] >= 2
    kept_k, code_n = np.unique(labels_l[at_n[keep_n]], return_inverse=True)
    return x_nd[keep_n], code_n, int(np.searchsorted(kept_k, target))
