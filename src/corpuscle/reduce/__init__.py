"""Dimension reduction that knows about missing values.

What is imported first is small; the rest comes when it is asked for.
"""

from __future__ import annotations

from corpuscle._lazy import lazy

# The function has the name of its module, which would take the name when it is imported.
from corpuscle.reduce.embed import embed

#: Module -> what it gives.
_WHERE = {
    "_block_mask": ("BlockMask",),
    "_values": ("InputError", "Missing"),
    "anndata": ("unbiased_pca",),
    "distances": ("CorrectedDistances", "corrected_distances"),
    "dropout": ("dropout_mask",),
    "gplvm": ("GramGPLVM",),
    "gram": ("UnbiasedGram",),
    "neighbors": ("Neighbors", "coordinate_neighbors", "corrected_neighbors"),
    "pca": ("UnbiasedPCA",),
    "run": ("Reduced", "reduce_file"),
}
__getattr__, __dir__ = lazy(
    __name__,
    {name: f"{__name__}.{module}" for module, names in _WHERE.items() for name in names},
    extra="models",
    optional=frozenset({"torch"}),
)

__all__ = [
    "BlockMask",
    "CorrectedDistances",
    "GramGPLVM",
    "InputError",
    "Missing",
    "Neighbors",
    "Reduced",
    "UnbiasedGram",
    "UnbiasedPCA",
    "coordinate_neighbors",
    "corrected_distances",
    "corrected_neighbors",
    "dropout_mask",
    "embed",
    "reduce_file",
    "unbiased_pca",
]
