"""scE2TM as a clustering method: the logits of its topics."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from corpuscle.benchmarks.clustering._methods_cells import Cells, Embedded
from corpuscle.errors import MethodError, OptionError
from corpuscle.models.sce2tm.recipe import Recipe, recipe
from corpuscle.models.views import add_view
from corpuscle.normalize import normalizer_names
from corpuscle.seeds import stream

__all__ = ["SCE2TM", "SCE2TMAuthors"]

#: Where the second view lies in the model's input.
VIEW_KEY = "second_view"
VIEWS = ("given", "none", "shuffled")


class SCE2TM:
    """Topic logits of :class:`corpuscle.models.SCE2TM`, with our recipe (Chen et al., arXiv 2507.08355).

    Parameters
    ----------
    view
        Second view: ``"given"`` takes that of the cells where they have one; ``"none"`` goes without; ``"shuffled"``
        gives every cell the view of another, a control that tells knowledge from regularisation; the id of a
        normalisation takes principal components of its values.
    accelerator
        ``"auto"``, ``"cpu"`` or ``"gpu"``.
    **changes
        Choices of :class:`~corpuscle.models.sce2tm.recipe.Recipe` to change, such as ``n_topics``.

    Notes
    -----
    The model gets raw counts, chooses its genes as its recipe says, and uses the batches where there are batches.
    """

    name = "sce2tm"
    told = "nothing"
    recipe = "corpuscle"
    #: Modules besides this one whose code makes the numbers.
    code = ("corpuscle.models",)
    #: Class whose fields ``changes`` may name.
    more_options = Recipe

    def __init__(self, view: str = "given", accelerator: str = "auto", **changes: Any) -> None:
        recipe(self.recipe, **changes)
        if view not in (*VIEWS, *normalizer_names()):
            raise OptionError(
                f"{self.name}: view={view!r} must be one of: {', '.join(VIEWS)}, or a normalisation: "
                f"{', '.join(normalizer_names())}"
            )
        self.view = view
        self.accelerator = accelerator
        self.changes = changes

    def __call__(self, cells: Cells, *, seed: int, n_types: int | None = None) -> Embedded:
        """Train, and embed the cells, (n, n_topics) float32.

        Raises
        ------
        MethodError
            PyTorch or scvi-tools is not installed, there is no view to shuffle, or training failed.
        """
        from corpuscle.models import SCE2TM as Model

        adata = _anndata(cells)
        key = self._view(adata, cells, seed)
        Model.setup_anndata(adata, foundation_key=key, batch_key=None if cells.batch_n is None else "batch")
        model = Model(adata, recipe=self.recipe, seed=seed, **self.changes)
        model.train(accelerator=self.accelerator, progress=False)
        return Embedded(embedding_nd=np.asarray(model.get_latent_representation(), np.float32))

    def _view(self, adata: Any, cells: Cells, seed: int) -> str | None:
        """Put the second view into ``obsm`` and give its key, or None for no view."""
        if self.view == "none" or (self.view == "given" and cells.view_ne is None):
            return None
        if self.view not in VIEWS:
            return add_view(adata, self.view, VIEW_KEY, seed=seed)
        if cells.view_ne is None:
            raise MethodError(f"{self.name}: {cells.name} has no second view to shuffle; name one of its obsm")
        shuffled = stream(seed, "shuffled view").permutation(cells.n_cells)
        adata.obsm[VIEW_KEY] = cells.view_ne[shuffled] if self.view == "shuffled" else cells.view_ne
        return VIEW_KEY


class SCE2TMAuthors(SCE2TM):
    """Topic logits of :class:`corpuscle.models.SCE2TM`, with every constant as its authors have it."""

    name = "sce2tm_authors"
    recipe = "authors"


def _anndata(cells: Cells) -> Any:
    from anndata import AnnData

    obs = pd.DataFrame(index=[str(i) for i in range(cells.n_cells)])
    if cells.batch_n is not None:
        obs["batch"] = pd.Categorical(cells.batch_n)
    return AnnData(X=cells.counts_ng, obs=obs, var=pd.DataFrame(index=cells.genes))
