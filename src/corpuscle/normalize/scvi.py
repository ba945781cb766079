"""scVI: the decoder mean of a variational autoencoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import pandas as pd

from corpuscle.counts import Counts
from corpuscle.errors import MethodError, OptionError
from corpuscle.normalize._base import Array, MatrixNormalizer, nonzero_depth
from corpuscle.normalize._scvi_quiet import import_scvi, quiet_and_seeded

__all__ = ["SCVI"]

#: Cells for which the full number of epochs is meant; fewer cells get more, up to it.
REFERENCE_CELLS = 20_000
FULL_EPOCHS = 400
#: Genes decoded at once: the library holds all draws of them for every cell.
CHUNK_GENES = 1024


class SCVI(MatrixNormalizer):
    r"""Expected counts at a library of 10,000, decoded from the latent state of each cell.

    A conditional VAE with a negative binomial likelihood, 10 latent dimensions and one hidden layer of 128. The values
    are the mean of the decoder over ``n_samples`` draws of the cell's latent state.

    Parameters
    ----------
    max_epochs
        Passes over the cells; by default :math:`\min(400, 400 \cdot 20000 / N)`, rounded.
    n_latent, n_hidden, n_layers
        Shape of the networks.
    n_samples
        Draws of the latent state averaged over.
    accelerator
        ``"auto"``, ``"cpu"`` or ``"gpu"``.
    random_state
        Seed of the weights, the batches and the draws.

    Attributes
    ----------
    max_epochs_
        Epochs trained.

    Notes
    -----
    Needs the extra ``models`` (scvi-tools). ``fit`` holds the whole matrix; a repeat on the same machine with the same
    seed gives the same values. Source: Lopez et al. 2018, Nature Methods 15:1053. Effect on correlations: the decoder
    mean **inflates**, since all genes are functions of 10 numbers a cell; the model's posterior-predictive correlation
    is the fair use of it.
    """

    name = "scvi"
    formula = "decoder mean of a VAE at library 1e4"

    def __init__(
        self,
        max_epochs: int | None = None,
        n_latent: int = 10,
        n_hidden: int = 128,
        n_layers: int = 1,
        n_samples: int = 10,
        accelerator: str = "auto",
        random_state: int = 0,
    ) -> None:
        self.max_epochs = max_epochs
        self.n_latent = n_latent
        self.n_hidden = n_hidden
        self.n_layers = n_layers
        self.n_samples = n_samples
        self.accelerator = accelerator
        self.random_state = random_state

    def fit(self, counts: Counts) -> Self:
        """Train the model.

        Raises
        ------
        MethodError
            scvi-tools is not installed, a cell is empty, there are fewer than 10 cells, or training diverged.
        """
        if self.max_epochs is not None and self.max_epochs < 1:
            raise OptionError(f"{self.name}: max_epochs={self.max_epochs} must be 1 or more")
        nonzero_depth(counts)
        if counts.n_obs < 10:
            raise MethodError(f"{self.name}: {counts.n_obs} cells are too few to train on; it takes hundreds")
        scvi = import_scvi()
        self.max_epochs_ = self.max_epochs or min(round(FULL_EPOCHS * REFERENCE_CELLS / counts.n_obs), FULL_EPOCHS)
        with quiet_and_seeded(self.random_state):
            adata = _bare_anndata(counts)
            scvi.model.SCVI.setup_anndata(adata)
            self.model_ = scvi.model.SCVI(
                adata,
                n_latent=self.n_latent,
                n_hidden=self.n_hidden,
                n_layers=self.n_layers,
                gene_likelihood="nb",
            )
            self._train(counts)
        self.n_cells_, self.n_genes_ = counts.n_obs, counts.n_vars
        return self

    def _train(self, counts: Counts) -> None:
        try:
            self.model_.train(
                max_epochs=self.max_epochs_,
                accelerator=self.accelerator,
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
            )
        except (ValueError, RuntimeError) as error:
            raise MethodError(
                f"{self.name}: training on {counts.name} failed: {' '.join(str(error).split())[:300]}"
            ) from error

    def transform(self, counts: Counts, genes: Sequence[str] | Array | None = None) -> Array:
        """Decode values of ``genes``, n_obs x len(genes)."""
        self._check(counts)
        index = np.arange(counts.n_vars) if genes is None else counts.gene_index(genes)
        wanted, back = np.unique(index, return_inverse=True)
        chunks = np.array_split(wanted, max(1, -(-wanted.size // CHUNK_GENES)))
        values = np.concatenate([self._decode(chunk) for chunk in chunks], axis=1)[:, back]
        if not np.isfinite(values).all():
            raise MethodError(
                f"{self.name}: training diverged on {counts.name} (values are not finite); lower max_epochs"
            )
        return values

    def _decode(self, gene: Array) -> Array:
        # Each call draws the same latent states, so that genes decoded apart belong together.
        with quiet_and_seeded(self.random_state):
            decoded = self.model_.get_normalized_expression(
                gene_list=[str(i) for i in gene],
                library_size=1e4,
                n_samples=self.n_samples,
                return_mean=True,
                return_numpy=True,
            )
        return np.asarray(decoded, np.float64)


def _bare_anndata(counts: Counts) -> Any:
    """Name genes by position: names may repeat, and the model has no use for anything else."""
    from anndata import AnnData

    obs = pd.DataFrame(index=[str(i) for i in range(counts.n_obs)])
    var = pd.DataFrame(index=[str(i) for i in range(counts.n_vars)])
    return AnnData(X=counts.to_csr().astype(np.float32), obs=obs, var=var)
