"""What a trained model says of its topics and genes, and of cells through them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch

from corpuscle.counts import Counts
from corpuscle.errors import OptionError
from corpuscle.models.sce2tm._card import Card
from corpuscle.models.sce2tm._encode import decode_topics
from corpuscle.models.sce2tm._outputs import facts, store_outputs
from corpuscle.models.sce2tm._topics import Score, TopicGenes, topic_genes
from corpuscle.models.sce2tm.perturb import softmax

__all__ = ["TopicAnswers"]

Array = np.ndarray[Any, Any]


class TopicAnswers:
    """The questions that need the decoder, apart from the model that answers them."""

    if TYPE_CHECKING:
        module: Any
        _card: Card
        _share_g: Array
        _detected_g: Array

        @property
        def genes_(self) -> list[str]: ...
        def get_latent_representation(self, adata: Any = None) -> Array: ...
        def open_cells(self, adata: Any) -> AbstractContextManager[Counts]: ...
        def _expression(self, adata: Any) -> Iterator[sp.csr_matrix]: ...
        def _attached(self) -> Any: ...

    def get_expression_sums(self, adata: Any = None) -> Array:
        """Sum of each cell's log expression over the model's genes, (n,) float64."""
        sums = [np.asarray(x_ng.sum(axis=1, dtype=np.float64)).ravel() for x_ng in self._expression(adata)]
        return np.concatenate(sums) if sums else np.empty(0)

    def get_cell_topics(
        self, adata: Any = None, representation: Literal["proportion", "logit"] = "proportion"
    ) -> pd.DataFrame:
        """Topics of cells: rows are cells by name, columns topics 0 to K - 1.

        ``"proportion"`` is the softmax of the logits, whose rows sum to 1; ``"logit"`` is
        :meth:`get_latent_representation`.
        """
        if representation not in ("proportion", "logit"):
            raise OptionError(f"representation={representation!r} must be one of: proportion, logit")
        if adata is None:
            logits_nk, names = self.get_latent_representation(), self._attached().obs_names
        else:
            with self.open_cells(adata) as counts:
                logits_nk, names = self.get_latent_representation(counts), counts.obs.index
        values_nk = logits_nk if representation == "logit" else softmax(logits_nk).astype(np.float32)
        return pd.DataFrame(values_nk, index=names, columns=range(values_nk.shape[1]))

    def get_reconstruction(
        self, adata: Any = None, theta: Array | None = None, scale: Literal["prob", "expression"] = "prob"
    ) -> Array:
        """Expression that the decoder gives cells, without the effect of any batch.

        Parameters
        ----------
        adata
            Cells, as for :meth:`get_latent_representation`.
        theta
            (n, K) topic proportions to decode instead of those of the cells.
        scale
            ``"prob"``: shares that sum to 1 over the model's genes; ``"expression"``: times each cell's own sum of log
            expression, for which ``theta`` must have a row for every cell.

        Returns
        -------
        array (n, V) float32
            Dense, columns as ``genes_``: ask for no more cells than you have room for.

        Raises
        ------
        OptionError
            No such scale, or ``theta`` is not of the right shape.
        """
        if scale not in ("prob", "expression"):
            raise OptionError(f"scale={scale!r} must be one of: prob, expression")
        if theta is None:
            theta = softmax(self.get_latent_representation(adata))
        theta_nk = np.asarray(theta, np.float32)
        if theta_nk.ndim != 2 or theta_nk.shape[1] != self._card.recipe.n_topics:
            raise OptionError(f"theta is of shape {theta_nk.shape}; it needs {self._card.recipe.n_topics} columns")
        shares_ng = decode_topics(self.module, theta_nk, len(self.genes_))
        if scale == "expression":
            sum_n = self.get_expression_sums(adata)
            if sum_n.size != len(shares_ng):
                raise OptionError(f"theta has {len(shares_ng):,} rows and there are {sum_n.size:,} cells to scale by")
            shares_ng *= sum_n[:, None].astype(np.float32)
        return shares_ng

    # -- topics and genes ------------------------------------------------------------------------------------

    def get_topic_gene(self, kind: Literal["beta", "probability"] = "beta") -> pd.DataFrame:
        """Topics x genes.

        ``"beta"``: topic-gene weights; each gene's (column) sum to 1 over the topics, rows do not. ``"probability"``:
        expression that the decoder gives a cell of one topic alone; each topic's (row) sum to 1 over the genes.
        """
        if kind not in ("beta", "probability"):
            raise OptionError(f"kind={kind!r} must be one of: beta, probability")
        table = self._topic_genes()
        return pd.DataFrame(table.beta_kg if kind == "beta" else table.probability_kg, columns=self.genes_)

    def get_topic_genes(self, n: int = 10, score: Score = "beta", min_pct: float | None = None) -> pd.DataFrame:
        """Leading genes of each topic, as a long table; see :func:`corpuscle.models.sce2tm._topics.topic_genes`."""
        return topic_genes(self._topic_genes(), n, score, min_pct)

    def _topic_genes(self) -> TopicGenes:
        alone_kk = np.eye(self._card.recipe.n_topics, dtype=np.float32)
        with torch.no_grad():
            beta_kg = self.module.decoder.beta_kg().cpu().numpy()
        return TopicGenes(
            self.genes_, beta_kg, self.get_reconstruction(theta=alone_kk), self._share_g, self._detected_g
        )

    def get_topic_embeddings(self) -> pd.DataFrame:
        """Topic vectors as the decoder uses them, K x D."""
        with torch.no_grad():
            return pd.DataFrame(self.module.decoder.topic_vectors().cpu().numpy())

    def get_gene_embeddings(self) -> pd.DataFrame:
        """Gene vectors as the decoder uses them, V x D, rows by name."""
        with torch.no_grad():
            return pd.DataFrame(self.module.decoder.gene_vectors().cpu().numpy(), index=self.genes_)

    # -- analyses --------------------------------------------------------------------------------------------

    def perturb_topics(self, adata: Any = None, cells: Any = None, topics: Any = (), **options: Any) -> Any:
        """Change topics of cells and decode them; see :func:`corpuscle.models.sce2tm.perturb.perturb_topics`."""
        from corpuscle.models.sce2tm.perturb import perturb_topics

        return perturb_topics(self, self._attached() if adata is None else adata, cells, topics, **options)

    def differential_topics(self, adata: Any = None, *, groupby: str, **options: Any) -> pd.DataFrame:
        """Topics that the groups in ``obs[groupby]`` use more or less than all other cells.

        The options are those of :func:`corpuscle.models.sce2tm.differential.differential_topics`.
        """
        from corpuscle.models.sce2tm.differential import differential_topics

        cells = self._attached() if adata is None else adata
        if groupby not in cells.obs:
            raise OptionError(f"AnnData: obs has no column {groupby!r}; it has: {', '.join(cells.obs) or 'none'}")
        return differential_topics(self.get_latent_representation(adata), cells.obs[groupby], **options)

    def store(self, adata: Any = None) -> None:
        """Write the outputs into an AnnData, by default the model's own.

        ``obsm["X_topic_logits"]`` and ``obsm["X_topics"]`` (n, K), float32; ``varm["gene_embedding"]`` (genes x D) and
        ``varm["topic_weights"]`` (genes x K), NaN for genes the model does not see; ``uns["topic_model"]``, the
        choices as JSON, preprocessing, seed and versions.
        """
        logits_nk = self.get_latent_representation(adata)
        store_outputs(
            self._attached() if adata is None else adata,
            self._card,
            logits_nk,
            self.get_gene_embeddings(),
            self.get_topic_gene().T,
        )

    def facts(self) -> dict[str, Any]:
        """Choices, preprocessing, seed and version, as :meth:`store` puts them into ``uns``."""
        return facts(self._card)
