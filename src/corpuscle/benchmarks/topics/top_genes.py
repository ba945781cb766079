"""The genes that a topic is read by: those with the largest weights in its row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from corpuscle.errors import OptionError

__all__ = ["top_genes"]

Array = np.ndarray[Any, Any]


def top_genes(topic_gene_kg: Array, genes: Sequence[str], n: int = 10) -> list[list[str]]:
    """The ``n`` genes of each topic with the largest weights, the largest first.

    A gene whose weight is the least of its row is never listed: where a sparse model gives a topic three genes and all
    others exactly 0, three are listed, and an all-equal row has none. Of equal weights the first in ``genes`` wins.

    Parameters
    ----------
    topic_gene_kg
        Topics x genes, higher is more typical.
    genes
        Names of the columns.
    n
        Genes a topic.

    Raises
    ------
    OptionError
        ``n`` is below 1, the shapes disagree, or a weight is not finite.
    """
    weight_kg = np.asarray(topic_gene_kg)
    if n < 1:
        raise OptionError(f"{n} top genes were asked for; it takes 1 or more")
    if weight_kg.ndim != 2 or weight_kg.shape[1] != len(genes):
        raise OptionError(f"topic weights have shape {weight_kg.shape}, expected (topics, {len(genes)} genes)")
    if not np.isfinite(weight_kg).all():
        raise OptionError("topic weights are not all finite, so genes cannot be ranked")
    out = []
    for weight_g in weight_kg:
        best = np.argsort(-weight_g, kind="stable")[:n]
        out.append([str(genes[j]) for j in best if weight_g[j] > weight_g.min()])
    return out
