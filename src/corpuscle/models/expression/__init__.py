"""Generators of expression profiles given a label: a conditional GAN, a conditional VAE and a diffusion model.

:func:`fit_generator` works on arrays; the three classes beside it work on AnnData. They need the extra ``models``;
importing this package does not.
"""

from __future__ import annotations

from corpuscle._lazy import lazy

__all__ = [
    "DiffusionRecipe",
    "ExpressionDiffusion",
    "ExpressionGAN",
    "ExpressionVAE",
    "GANRecipe",
    "Generator",
    "ReferenceGANRecipe",
    "VAERecipe",
    "fit_generator",
]

_RECIPE = "corpuscle.models.expression.recipe"
_GENERATOR = "corpuscle.models.expression.generator"
_MODEL = "corpuscle.models.expression.model"

__getattr__, __dir__ = lazy(
    __name__,
    {
        "DiffusionRecipe": _RECIPE,
        "ExpressionDiffusion": _MODEL,
        "ExpressionGAN": _MODEL,
        "ExpressionVAE": _MODEL,
        "GANRecipe": _RECIPE,
        "Generator": _GENERATOR,
        "ReferenceGANRecipe": _RECIPE,
        "VAERecipe": _RECIPE,
        "fit_generator": _GENERATOR,
    },
    extra="models",
    optional=frozenset({"torch", "safetensors"}),
)
