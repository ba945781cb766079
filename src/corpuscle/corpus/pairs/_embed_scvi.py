"""Latent states of scVI: trained by the library on the training cells, applied by the encoder's stored weights."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pandas as pd
import scipy.sparse as sp

from corpuscle.corpus.pairs._block import CellBlock
from corpuscle.corpus.pairs._embed_checks import array_in, check_name, genes_in, integer_in, whole_number
from corpuscle.corpus.pairs._embed_genes import Blocks, GeneColumns, moments_of, variable_genes
from corpuscle.errors import MethodError, OptionError, SourceError
from corpuscle.normalize._scvi_quiet import import_scvi, quiet_and_seeded

__all__ = ["ScviLatent"]

Array = np.ndarray[Any, Any]

#: Cells for which the full number of epochs is meant; more cells get fewer.
REFERENCE_CELLS = 20_000
FULL_EPOCHS = 400
LEAST_CELLS = 10
#: What the library adds to the variances of its batch normalisation.
EPSILON = 1e-3


class ScviLatent:
    """Mean of the latent state that scVI's encoder gives a cell.

    Parameters
    ----------
    n_latent, n_hidden, n_layers
        Shape of the networks.
    max_epochs
        Passes over the training cells; 0 takes min(400, 400 * 20,000 / cells).
    n_genes
        Genes that vary most among the training cells, which the model is of; fewer if fewer are expressed.
    batch
        Column of the cell table with batches for the decoder to correct for; none if empty. The encoder does not see
        it, so new cells need no batch.
    seed
        Of the weights and the order of the cells.
    name
        What the vectors are called: ``X_<name>``.

    Notes
    -----
    Training needs the extra ``models`` and holds the training counts of the chosen genes; a stored model needs neither,
    since only the encoder's weights are kept, as plain arrays. A repeat on the same machine gives the same numbers.
    Source: Lopez et al. 2018, Nature Methods 15:1053.
    """

    kind = "scvi"
    _columns: GeneColumns | None = None

    def __init__(
        self,
        n_latent: int = 50,
        max_epochs: int = 0,
        n_hidden: int = 128,
        n_layers: int = 1,
        n_genes: int = 2000,
        batch: str = "",
        seed: int = 0,
        name: str = "scvi",
    ) -> None:
        self.n_latent = whole_number("scvi", "n_latent", n_latent)
        self.n_hidden = whole_number("scvi", "n_hidden", n_hidden)
        self.n_layers = whole_number("scvi", "n_layers", n_layers)
        self.n_genes = whole_number("scvi", "n_genes", n_genes)
        self.max_epochs = whole_number("scvi", "max_epochs", max_epochs, least=0)
        self.seed = whole_number("scvi", "seed", seed, least=0)
        self.batch = str(batch)
        self.name = check_name(name)

    @property
    def columns(self) -> GeneColumns:
        """Where the genes are found, and which sources lack some."""
        if self._columns is None:
            raise MethodError(f"embedding {self.name}: fit it on training cells first")
        return self._columns

    @property
    def width(self) -> int:
        """Numbers a cell."""
        return self.n_latent

    @property
    def genes(self) -> tuple[str, ...]:
        """The genes the model is of."""
        return self.columns.genes

    @property
    def missing(self) -> dict[str, int]:
        """Source -> genes that it lacks and that therefore count as 0, of the sources embedded so far."""
        return self.columns.missing

    def fit(self, blocks: Blocks) -> Self:
        """Train on the training cells.

        Raises
        ------
        MethodError
            scvi-tools is not installed, there are fewer than 10 cells, or training failed or diverged.
        GeneError
            The sources have no gene in common.
        OptionError
            The cells have no column ``batch``.
        """
        import_scvi()
        moments = moments_of(blocks)
        if moments.n_cells < LEAST_CELLS:
            raise MethodError(f"embedding {self.name}: {moments.n_cells} cells are too few to train on; give hundreds")
        columns = GeneColumns(variable_genes(moments, self.n_genes))
        parts, batches = [], []
        for block in blocks():
            parts.append(columns.of(block.counts_ng, block).astype(np.float32))
            if self.batch:
                batches.append(self._batch_of(block))
        x_ng = sp.vstack(parts, format="csr")
        parts.clear()
        encoder = self._trained(x_ng, np.concatenate(batches) if batches else None)
        self.weights = {key: np.asarray(value, np.float32) for key, value in encoder.items()}
        if not all(np.isfinite(value).all() for value in self.weights.values()):
            raise MethodError(f"embedding {self.name}: training diverged (weights are not finite); lower max_epochs")
        self._columns = GeneColumns(columns.genes)
        return self

    def _batch_of(self, block: CellBlock) -> Array:
        if self.batch not in block.obs:
            raise OptionError(
                f"{block.source}: no column {self.batch!r} for scvi:batch=; name one that all sources have"
            )
        return block.obs[self.batch].astype(str).to_numpy(object)

    def _trained(self, x_ng: sp.csr_matrix, batch_n: Array | None) -> dict[str, Array]:
        """Weights of the encoder after training, by the library's names."""
        from anndata import AnnData

        scvi = import_scvi()
        obs = pd.DataFrame(index=np.arange(x_ng.shape[0]).astype(str))
        if batch_n is not None:
            obs["batch"] = pd.Categorical(batch_n)
        epochs = self.max_epochs or min(round(FULL_EPOCHS * REFERENCE_CELLS / x_ng.shape[0]), FULL_EPOCHS) or 1
        with quiet_and_seeded(self.seed):
            adata = AnnData(x_ng, obs=obs)
            scvi.model.SCVI.setup_anndata(adata, batch_key=None if batch_n is None else "batch")
            shape = {"n_latent": self.n_latent, "n_hidden": self.n_hidden, "n_layers": self.n_layers}
            model = scvi.model.SCVI(adata, gene_likelihood="nb", **shape)
            try:
                model.train(
                    max_epochs=epochs,
                    accelerator="cpu",
                    logger=False,
                    enable_checkpointing=False,
                    enable_progress_bar=False,
                    enable_model_summary=False,
                )
            except (ValueError, RuntimeError) as error:
                reason = " ".join(str(error).split())[:300]
                raise MethodError(f"embedding {self.name}: training failed: {reason}") from error
            state = model.module.z_encoder.state_dict()
        return _encoder_weights({key: value.cpu().numpy() for key, value in state.items()}, self.n_layers)

    def transform(self, block: CellBlock) -> Array:
        """Latent means of the cells: (n, width) float32; a gene that the block lacks counts as 0.

        Raises
        ------
        GeneError
            The block has none of the genes.
        """
        x_ng = self.columns.of(block.counts_ng, block).astype(np.float64)
        np.log1p(x_ng.data, out=x_ng.data)
        h_nd: Any = x_ng
        for layer in range(self.n_layers):
            h_nd = np.maximum(_affine(h_nd, self.weights, f"hidden{layer}"), 0)
        return np.asarray(_affine(h_nd, self.weights, "latent"), np.float32)

    def to_arrays(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Weights of the encoder; and the list of genes."""
        options = ("name", "n_latent", "max_epochs", "n_hidden", "n_layers", "n_genes", "batch", "seed")
        meta = {option: getattr(self, option) for option in options} | {"genes": list(self.genes)}
        return dict(self.weights), meta

    @classmethod
    def from_arrays(cls, arrays: dict[str, Array], meta: dict[str, Any]) -> Self:
        """Make it again from what :meth:`to_arrays` gave; nothing in it is trusted."""
        shape = {key: integer_in(meta, key) for key in ("n_latent", "n_hidden", "n_layers", "n_genes")}
        if len(arrays) != 2 * (shape["n_layers"] + 1):
            raise SourceError("stored embedding: the number of layers is not that of its arrays; make it anew")
        made = cls(
            **shape,
            max_epochs=meta.get("max_epochs", -1),
            seed=meta.get("seed", -1),
            batch=meta.get("batch", ""),
            name=meta.get("name", ""),
        )
        genes = genes_in(meta)
        wide, made.weights = len(genes), {}
        sizes = [(f"hidden{i}", made.n_hidden) for i in range(made.n_layers)] + [("latent", made.n_latent)]
        for key, high in sizes:
            weight = array_in(arrays, f"{key}_weight", (wide, high))
            made.weights[f"{key}_weight"] = weight.astype(np.float32)
            made.weights[f"{key}_bias"] = array_in(arrays, f"{key}_bias", (high,)).astype(np.float32)
            wide = high
        made._columns = GeneColumns(genes)
        return made


def _encoder_weights(state: dict[str, Array], n_layers: int) -> dict[str, Array]:
    """Each layer with its batch normalisation, as one product and one sum."""
    weights: dict[str, Array] = {}
    for layer in range(n_layers):
        at = f"encoder.fc_layers.Layer {layer}."
        part = {key.removeprefix(at): value.astype(np.float64) for key, value in state.items() if key.startswith(at)}
        factor = part["1.weight"] / np.sqrt(part["1.running_var"] + EPSILON)
        weights[f"hidden{layer}_weight"] = np.ascontiguousarray((part["0.weight"] * factor[:, None]).T)
        weights[f"hidden{layer}_bias"] = (part["0.bias"] - part["1.running_mean"]) * factor + part["1.bias"]
    weights["latent_weight"] = np.ascontiguousarray(state["mean_encoder.weight"].T)
    weights["latent_bias"] = state["mean_encoder.bias"]
    return weights


def _affine(x_nd: Any, weights: dict[str, Array], key: str) -> Array:
    weight = weights[f"{key}_weight"].astype(np.float64)
    # A sparse product adds up each cell by itself, so a cell's state does not depend on its block.
    product = sp.csr_matrix(x_nd) @ weight
    return np.asarray(product) + weights[f"{key}_bias"]
