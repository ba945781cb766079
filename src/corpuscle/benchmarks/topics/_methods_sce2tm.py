"""scE2TM as a topic method: its logits, and its genes by weight and by probability."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd

from corpuscle.benchmarks.topics.data import TopicCells
from corpuscle.benchmarks.topics.methods import Topics
from corpuscle.errors import OptionError
from corpuscle.models.sce2tm.recipe import Recipe, recipe

__all__ = ["SCE2TM"]

VIEW_KEY = "second_view"


class SCE2TM:
    """Topics of :class:`corpuscle.models.SCE2TM` (Chen et al., arXiv 2507.08355) on log values.

    Its own ranking is the topic-gene weight, which is normalised over topics and so ranks genes by how much they are one
    topic's. ``@prob`` ranks them by their probability in the topic instead.

    Parameters
    ----------
    recipe
        ``"corpuscle"`` or ``"authors"``.
    accelerator
        ``"auto"``, ``"cpu"`` or ``"gpu"``.
    **changes
        Choices of :class:`~corpuscle.models.sce2tm.recipe.Recipe` to change. The genes, their normalisation and the
        number of topics are the benchmark's.

    Notes
    -----
    The second view of the cells and their batches are used where there are any.
    """

    #: Class whose fields ``changes`` may name.
    more_options = Recipe

    def __init__(self, recipe: str = "corpuscle", accelerator: str = "auto", **changes: Any) -> None:
        self.name = "sce2tm"
        self.recipe = recipe
        self.accelerator = accelerator
        self.changes = changes
        fixed = sorted({"n_topics", "n_top_genes", "target_sum"} & changes.keys())
        if fixed:
            raise OptionError(f"method sce2tm: {fixed[0]} is the benchmark's to choose, the same for every method")
        _recipe(recipe, changes)

    def fit(self, cells: TopicCells, *, n_topics: int, seed: int) -> Topics:
        """Train on the log values.

        Raises
        ------
        MethodError
            PyTorch or scvi-tools is not installed, or training failed.
        """
        from corpuscle.models import SCE2TM as Model

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            adata = _anndata(cells)
            Model.setup_anndata(
                adata,
                foundation_key=None if cells.view_ne is None else VIEW_KEY,
                batch_key=None if cells.batch_n is None else "batch",
                expression="log",
            )
            chosen = _recipe(self.recipe, self.changes | {"n_topics": n_topics, "n_top_genes": None})
            model = Model(adata, recipe=chosen, seed=seed)
            model.train(accelerator=self.accelerator, progress=False)
            logits_nk = np.asarray(model.get_latent_representation(), np.float32)
            weights = {kind: _columns(model.get_topic_gene(kind), cells.genes) for kind in ("beta", "probability")}
        return Topics(logits_nk, weights["beta"], cells.genes, {"prob": weights["probability"]})


def _recipe(name: str, changes: dict[str, Any]) -> Recipe:
    return recipe(name, **changes)


def _columns(table: pd.DataFrame, genes: list[str]) -> np.ndarray[Any, Any]:
    """Topics x genes in the order of the cells' genes."""
    return table.reindex(columns=genes).to_numpy(np.float32)


def _anndata(cells: TopicCells) -> Any:
    from anndata import AnnData

    obs = pd.DataFrame(index=[str(i) for i in range(cells.n_cells)])
    if cells.batch_n is not None:
        obs["batch"] = pd.Categorical(cells.batch_n)
    adata = AnnData(X=cells.log_ng, obs=obs, var=pd.DataFrame(index=cells.genes))
    if cells.view_ne is not None:
        adata.obsm[VIEW_KEY] = cells.view_ne
    return adata
