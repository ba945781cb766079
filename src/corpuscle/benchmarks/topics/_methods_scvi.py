"""Topic-like models of scvi-tools, each on the raw counts it is made for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from corpuscle.benchmarks.topics.data import TopicCells
from corpuscle.benchmarks.topics.methods import Topics
from corpuscle.errors import MethodError, OptionError
from corpuscle.normalize._scvi_quiet import import_scvi, quiet_and_seeded

__all__ = ["AmortizedLDA", "LinearSCVI"]

#: scvi-tools holds a tenth of the cells back for validation; fewer than this are too few to train on.
LEAST_CELLS = 10
QUIET = {
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}


@dataclass
class LinearSCVI:
    r"""scVI with a linear decoder (Svensson et al. 2020, Bioinformatics 36:3418), library defaults.

    A topic is a latent dimension, its genes are ranked by their loading; the sign of a dimension is arbitrary, and only
    its positive end is read.

    Parameters
    ----------
    max_epochs
        Passes over the cells; by default the library's :math:`\min(400, 400 \cdot 20000 / n)`, rounded.
    accelerator
        ``"auto"``, ``"cpu"`` or ``"gpu"``.
    """

    max_epochs: int | None = None
    accelerator: str = "auto"
    name: str = "linear_scvi"
    kind: ClassVar[str] = "LinearSCVI"

    def fit(self, cells: TopicCells, *, n_topics: int, seed: int) -> Topics:
        """Train on raw counts.

        Raises
        ------
        MethodError
            scvi-tools is not installed, there are too few cells, or training failed.
        """
        if self.max_epochs is not None and self.max_epochs < 1:
            raise OptionError(f"{self.name}: max_epochs={self.max_epochs} must be 1 or more")
        if cells.n_cells < LEAST_CELLS:
            raise MethodError(f"{self.name}: {cells.n_cells} cells are too few to train on; it takes hundreds")
        kind = getattr(import_scvi().model, self.kind)
        with quiet_and_seeded(seed):
            model = self._model(kind, cells, n_topics)
            try:
                model.train(max_epochs=self.max_epochs, accelerator=self.accelerator, **QUIET)
                return self._topics(model, cells)
            except (ValueError, RuntimeError) as error:
                reason = " ".join(str(error).split())[:300]
                raise MethodError(f"{self.name}: training on {cells.name} failed: {reason}") from error

    def _model(self, kind: Any, cells: TopicCells, n_topics: int) -> Any:
        adata = _anndata(cells)
        kind.setup_anndata(adata, batch_key=None if cells.batch_n is None else "batch")
        return kind(adata, n_latent=n_topics)

    def _topics(self, model: Any, cells: TopicCells) -> Topics:
        state_nk = np.asarray(model.get_latent_representation(), np.float32)
        loading_gk = model.get_loadings().to_numpy(np.float32)  # genes x dimensions
        return Topics(state_nk, loading_gk.T, cells.genes)


@dataclass
class AmortizedLDA(LinearSCVI):
    """Latent Dirichlet allocation with an encoder network (Blei et al. 2003; scvi-tools), library defaults.

    A topic's genes are ranked by their expected probability in it. It knows no batches.

    Parameters
    ----------
    max_epochs
        Passes over the cells; by default the library's.
    accelerator
        ``"auto"``, ``"cpu"`` or ``"gpu"``.
    """

    name: str = "amortized_lda"
    kind: ClassVar[str] = "AmortizedLDA"
    #: Draws of which expectations are means; the library's 5,000 hold 5,000 x topics x genes at once.
    samples: ClassVar[int] = 200

    def _model(self, kind: Any, cells: TopicCells, n_topics: int) -> Any:
        adata = _anndata(cells)
        kind.setup_anndata(adata)
        return kind(adata, n_topics=n_topics)

    def _topics(self, model: Any, cells: TopicCells) -> Topics:
        share_nk = model.get_latent_representation(n_samples=self.samples).to_numpy(np.float32)
        probability_gk = model.get_feature_by_topic(n_samples=self.samples).to_numpy(np.float32)
        return Topics(share_nk, probability_gk.T, cells.genes)


def _anndata(cells: TopicCells) -> Any:
    """Raw counts under names by position, with the batches."""
    from anndata import AnnData

    obs = pd.DataFrame(index=[str(i) for i in range(cells.n_cells)])
    if cells.batch_n is not None:
        obs["batch"] = pd.Categorical(cells.batch_n)
    var = pd.DataFrame(index=[str(i) for i in range(len(cells.genes))])
    return AnnData(X=cells.counts_ng.astype(np.float32), obs=obs, var=var)
