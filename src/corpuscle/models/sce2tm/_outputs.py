"""What a model leaves in an AnnData, and its history as tables and as lists."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from corpuscle import __version__
from corpuscle.models._genes import match_genes
from corpuscle.models.sce2tm._card import Card
from corpuscle.models.sce2tm.perturb import softmax

__all__ = ["facts", "history_frames", "history_lists", "store_outputs"]

Array = np.ndarray[Any, Any]


def store_outputs(
    adata: Any, card: Card, logits_nk: Array, embedding_gd: pd.DataFrame, weights_gk: pd.DataFrame
) -> None:
    """Write topics of cells to ``obsm``, vectors and topic weights of genes to ``varm``, and the choices to ``uns``.

    Genes of ``adata`` that the model does not see get NaN.
    """
    position_v = match_genes([str(name) for name in adata.var_names], card.genes, source="AnnData").position_v
    adata.obsm["X_topic_logits"] = logits_nk
    adata.obsm["X_topics"] = softmax(logits_nk).astype(np.float32)
    for key, table in (("gene_embedding", embedding_gd), ("topic_weights", weights_gk)):
        values = np.full((adata.n_vars, table.shape[1]), np.nan, np.float32)
        values[position_v[position_v >= 0]] = table.to_numpy()[position_v >= 0]
        adata.varm[key] = values
    adata.uns["topic_model"] = facts(card)


def facts(card: Card) -> dict[str, Any]:
    """What made the topics, in types that an ``.h5ad`` file can hold; choices as JSON, since some are None."""
    return {
        "model": "SCE2TM",
        "version": __version__,
        "recipe": json.dumps(card.recipe.to_dict(), sort_keys=True),
        "setup": json.dumps(asdict(card.setup), sort_keys=True),
        "seed": int(card.seed),
        "genes": np.asarray(card.genes, dtype=str),
        "ecr_weight": float(card.ecr_weight),
        "mean_row_sum": float(card.mean_row_sum),
        "n_cells": int(card.n_cells),
        "epochs": int(card.epochs),
    }


def history_lists(history: dict[str, Any] | None) -> dict[str, list[float | None]]:
    """Measure -> its values, with None for what was not measured, as JSON has it."""
    lists: dict[str, list[float | None]] = {}
    for name, frame in (history or {}).items():
        values = np.asarray(frame, np.float64).ravel()
        lists[name] = [float(value) if np.isfinite(value) else None for value in values]
    return lists


def history_frames(lists: dict[str, list[float | None]]) -> dict[str, pd.DataFrame]:
    """Measure -> data frame of one column, as scvi-tools keeps it."""
    frames = {}
    for name, values in lists.items():
        frames[name] = pd.DataFrame({name: np.asarray(values, np.float64)})
        frames[name].index.name = "epoch"
    return frames
