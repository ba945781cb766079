"""Samples of a label in, a generator of more of them out: arrays only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from corpuscle.errors import MethodError, OptionError, SourceError
from corpuscle.models.expression._diffusion import diffusion_network, fit_diffusion
from corpuscle.models.expression._gan import fit_gan, gan_network
from corpuscle.models.expression._networks import hollow
from corpuscle.models.expression._reference import fit_reference, reference_network
from corpuscle.models.expression._training import Progress, Task, split_held_out, torch_stream
from corpuscle.models.expression._vae import ConditionalVAE, fit_vae, vae_network
from corpuscle.models.expression.recipe import (
    DiffusionRecipe,
    GANRecipe,
    Recipe,
    ReferenceGANRecipe,
    VAERecipe,
    recipe_of,
)

__all__ = ["Generator", "fit_generator"]

Array = np.ndarray[Any, Any]
#: Samples drawn at once.
ROWS_AT_ONCE = 4096
_PARTS: dict[type[Recipe], tuple[Any, Any]] = {
    GANRecipe: (gan_network, fit_gan),
    ReferenceGANRecipe: (reference_network, fit_reference),
    VAERecipe: (vae_network, fit_vae),
    DiffusionRecipe: (diffusion_network, fit_diffusion),
}


class Generator:
    """A trained generator; :func:`fit_generator` makes it.

    Attributes
    ----------
    recipe
        The choices it was trained with.
    n_features, n_codes
        Features of a sample (d), labels (L).
    mean_d_, sd_d_
        (d,) what features are standardised by inside.
    history
        Data frame of the looks at training: ``step``, losses, ``mmd``.
    """

    def __init__(
        self, recipe: Recipe, network: nn.Module, n_codes: int, mean_d: Array, sd_d: Array, history: pd.DataFrame
    ) -> None:
        self.recipe, self.network, self.n_codes = recipe, network.eval(), n_codes
        self.mean_d_, self.sd_d_, self.history = mean_d, sd_d, history
        self.n_features = len(mean_d)

    @property
    def kind(self) -> str:
        """``"gan"``, ``"vae"`` or ``"diffusion"``."""
        return self.recipe.kind

    def sample(self, code: int, n: int, seed: int = 0) -> Array:
        """Draw ``n`` samples of one label.

        Returns
        -------
        array (n, d) float32
            The same for the same label, number and seed.

        Raises
        ------
        OptionError
            No such label, or ``n`` is not 1 or more.
        """
        if not isinstance(n, int | np.integer) or isinstance(n, bool) or n < 1:
            raise OptionError(f"n={n!r} samples: must be a whole number of 1 or more")
        if not isinstance(code, int | np.integer) or not 0 <= code < self.n_codes:
            raise OptionError(f"label {code!r} must be one of 0 to {self.n_codes - 1}")
        rng = torch_stream(seed, "sample", str(int(code)))
        out_nd = np.empty((n, self.n_features), np.float32)
        with torch.inference_mode():
            for start in range(0, n, ROWS_AT_ONCE):
                part_nd = out_nd[start : start + ROWS_AT_ONCE]
                drawn: Tensor = self.network.draw(torch.full((len(part_nd),), int(code)), rng)
                part_nd[:] = drawn.numpy() * self.sd_d_ + self.mean_d_
        if not np.isfinite(out_nd).all():
            raise MethodError(f"the {self.kind} gave values that are not finite; train it again with other choices")
        return out_nd

    def encode(self, x_nd: Array, code_n: Array) -> Array:
        """Posterior mean (n, latent) float32 of samples, of a VAE.

        Raises
        ------
        OptionError
            The generator is not a VAE.
        """
        if not isinstance(self.network, ConditionalVAE):
            raise OptionError(f"a {self.kind} has no latent space to encode samples in; train a vae")
        z_nd = torch.from_numpy(((x_nd - self.mean_d_) / self.sd_d_).astype(np.float32))
        with torch.inference_mode():
            mean_nl, _ = self.network.encode(z_nd, torch.from_numpy(np.asarray(code_n, np.int64)))
        return np.asarray(mean_nl.numpy())

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Arrays by name, and what else :meth:`from_state` needs, as JSON has it."""
        arrays = {f"network.{name}": one.numpy().copy() for name, one in self.network.state_dict().items()}
        about = {
            "kind": self.kind,
            "recipe": self.recipe.to_dict(),
            "n_codes": self.n_codes,
            "history": self.history.to_dict(orient="list"),
        }
        return arrays | {"mean": self.mean_d_, "sd": self.sd_d_}, about

    @classmethod
    def from_state(cls, arrays: Mapping[str, Array], about: Mapping[str, Any]) -> Self:
        """Make the generator again of what :meth:`state` gave.

        Raises
        ------
        SourceError
            The two do not belong together, or something is missing.
        """
        try:
            choices = dict(about["recipe"])
            recipe = recipe_of(about["kind"], choices.pop("name"), **choices)
            mean_d, sd_d = (np.asarray(arrays[name], np.float32) for name in ("mean", "sd"))
            n_codes, history = int(about["n_codes"]), pd.DataFrame(dict(about["history"]))
            prefix = "network."
            weights = {
                name[len(prefix) :]: torch.from_numpy(np.array(one))
                for name, one in arrays.items()
                if name.startswith(prefix)
            }
            # A network is built for as many labels as there are weights for, whatever a file says.
            most = max(len(weights), *(len(one) for one in weights.values() if one.ndim))
            if mean_d.ndim != 1 or mean_d.shape != sd_d.shape or not 1 <= n_codes <= most:
                raise ValueError("sizes do not fit")
            network = hollow(_PARTS[type(recipe)][0](recipe, len(mean_d), n_codes))
            network.load_state_dict(weights, assign=True)
        except (KeyError, TypeError, ValueError, RuntimeError, OptionError):
            raise SourceError("the weights of a generator do not fit what is said of it; train it anew") from None
        return cls(recipe, network, n_codes, mean_d, sd_d, history)


def fit_generator(
    kind: str,
    x_nd: Array,
    code_n: Array,
    *,
    recipe: Recipe | str | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Generator:
    """Train a generator of samples given their label.

    Parameters
    ----------
    kind
        ``"gan"``, ``"vae"`` or ``"diffusion"``.
    x_nd
        Samples x features: principal components or z-scored genes. They are standardised inside, feature by feature
        (the ``"reference"`` recipe takes them as they are).
    code_n
        (n,) labels, 0 to L - 1, each with 2 samples or more.
    recipe
        Choices; or ``"reference"`` of a GAN. By default ours.
    seed
        Of everything random. With one thread of PyTorch the same seed gives the same weights; the global random
        generators are neither used nor changed.
    progress
        Called with (steps done, most steps, what) at every look at the held-out samples.

    Returns
    -------
    Generator

    Raises
    ------
    MethodError
        A value is not finite, a label has fewer than 2 samples, there are none, or training diverged.
    OptionError
        No such kind or choice, or the labels are not numbered from 0.

    Notes
    -----
    The weights kept are those of the least discrepancy (of a VAE: the least loss) on samples of each label that are held
    out of ``x_nd``; nothing else is looked at. Labels of fewer than 5 samples hold out none.
    """
    chosen = recipe_of(kind, recipe)
    x_nd, code_n = _checked(x_nd, code_n)
    train, held = split_held_out(code_n, chosen.held_out, seed)
    d = x_nd.shape[1]
    mean_d, sd_d = np.zeros(d, np.float32), np.ones(d, np.float32)
    if chosen.standardise:
        mean_d = x_nd.mean(axis=0, dtype=np.float64).astype(np.float32)
        sd_d = x_nd.std(axis=0, dtype=np.float64).astype(np.float32)
        sd_d[sd_d <= 1e-6 * max(1.0, float(np.abs(x_nd).max()))] = 1.0  # a constant feature stays one
    task = Task(
        x_nd=torch.from_numpy((x_nd - mean_d) / sd_d),
        code_n=torch.from_numpy(code_n),
        n_codes=int(code_n.max()) + 1,
        train=torch.from_numpy(train),
        held=torch.from_numpy(held),
        seed=seed,
        progress=progress,
    )
    network, history = _PARTS[type(chosen)][1](task, chosen)
    return Generator(chosen, network, task.n_codes, mean_d, sd_d, pd.DataFrame(history).astype({"step": int}))


def _checked(x_nd: Array, code_n: Array) -> tuple[Array, Array]:
    """Samples as float32 and labels as int64, or why not."""
    x_nd, code_n = np.ascontiguousarray(x_nd, np.float32), np.asarray(code_n)
    if x_nd.ndim != 2 or 0 in x_nd.shape or code_n.shape != (len(x_nd),):
        raise MethodError(f"samples {x_nd.shape} and labels {code_n.shape}: give n x d numbers and n labels")
    bad = ~np.isfinite(x_nd).all(axis=1)
    if bad.any():
        raise MethodError(
            f"{int(bad.sum()):,} of {len(bad):,} samples have values that are not finite, first sample "
            f"{int(np.argmax(bad)):,}; drop them"
        )
    if not np.issubdtype(code_n.dtype, np.integer) or code_n.min() < 0:
        raise OptionError("labels must be whole numbers from 0; drop the samples without a label and number the others")
    size_l = np.bincount(code_n)
    if size_l.min() < 2:
        few = np.flatnonzero(size_l < 2)
        raise MethodError(
            f"{few.size:,} of {size_l.size:,} labels have fewer than 2 samples, first label {few[0]} with "
            f"{size_l[few[0]]}; drop them, and number the others from 0"
        )
    return x_nd, code_n.astype(np.int64)
