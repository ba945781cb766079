"""scVI and its linearly decoded kin, on raw counts of the same genes as the others."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from corpuscle.benchmarks.clustering._methods_cells import Cells, Embedded
from corpuscle.benchmarks.clustering._methods_simple import TARGET_SUM, chosen_genes
from corpuscle.errors import MethodError, OptionError
from corpuscle.models._expression import log_normalise
from corpuscle.normalize._scvi_quiet import import_scvi, quiet_and_seeded

__all__ = ["SCVI", "LinearSCVI"]

#: scvi-tools holds a tenth of the cells back for validation; fewer than this are too few to train on.
LEAST_CELLS = 10


@dataclass
class SCVI:
    r"""Posterior mean of scVI's latent state (Lopez et al. 2018, Nature Methods 15:1053), library defaults.

    On raw counts of the genes that :class:`PCALeiden` chooses, with the batches where there are batches.

    Parameters
    ----------
    n_latent
        Latent dimensions.
    max_epochs
        Passes over the cells; by default the library's :math:`\min(400, 400 \cdot 20000 / n)`, rounded.
    n_top_genes
        Variable genes.
    accelerator
        ``"auto"``, ``"cpu"`` or ``"gpu"``.
    """

    n_latent: int = 10
    max_epochs: int | None = None
    n_top_genes: int = 2000
    accelerator: str = "auto"
    name = "scvi"
    told = "nothing"
    code = ("corpuscle.models._expression", "corpuscle.benchmarks.clustering._methods_simple")
    model: ClassVar[str] = "SCVI"

    def __call__(self, cells: Cells, *, seed: int, n_types: int | None = None) -> Embedded:
        """Train, and embed the cells, (n, n_latent) float32.

        Raises
        ------
        MethodError
            scvi-tools is not installed, there are fewer than 10 cells, or training failed.
        """
        if self.n_latent < 1 or (self.max_epochs is not None and self.max_epochs < 1):
            raise OptionError(f"{self.name}: n_latent and max_epochs must be 1 or more")
        if cells.n_cells < LEAST_CELLS:
            raise MethodError(f"{self.name}: {cells.n_cells} cells are too few to train on; it takes hundreds")
        kind = getattr(import_scvi().model, self.model)
        adata = _chosen(cells, self.n_top_genes)
        with quiet_and_seeded(seed):
            kind.setup_anndata(adata, batch_key=None if cells.batch_n is None else "batch")
            model = kind(adata, n_latent=self.n_latent)
            try:
                model.train(
                    max_epochs=self.max_epochs,
                    accelerator=self.accelerator,
                    logger=False,
                    enable_checkpointing=False,
                    enable_progress_bar=False,
                    enable_model_summary=False,
                )
                embedding_nd = np.asarray(model.get_latent_representation(), np.float32)
            except (ValueError, RuntimeError) as error:
                reason = " ".join(str(error).split())[:300]
                raise MethodError(f"{self.name}: training on {cells.name} failed: {reason}") from error
        return Embedded(embedding_nd=embedding_nd)


@dataclass
class LinearSCVI(SCVI):
    """As :class:`SCVI`, decoded linearly (Svensson et al. 2020, Bioinformatics 36:3418)."""

    name = "linear_scvi"
    model: ClassVar[str] = "LinearSCVI"


def _chosen(cells: Cells, n_top_genes: int) -> Any:
    """Raw counts of the chosen genes, named by position, with the batches."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from anndata import AnnData

        gene = chosen_genes(cells, log_normalise(cells.counts_ng, TARGET_SUM), n_top_genes)
        obs = pd.DataFrame(index=[str(i) for i in range(cells.n_cells)])
        if cells.batch_n is not None:
            obs["batch"] = pd.Categorical(cells.batch_n)
        var = pd.DataFrame(index=[str(i) for i in gene])
        return AnnData(X=cells.counts_ng[:, gene].astype(np.float32), obs=obs, var=var)
