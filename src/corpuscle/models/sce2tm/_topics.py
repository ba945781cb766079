"""Tables of topics and genes: which genes make a topic, by weight, probability or specificity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from corpuscle.errors import OptionError

__all__ = ["EXPRESSED_PCT", "Score", "TopicGenes", "topic_genes"]

Array = np.ndarray[Any, Any]
Score = Literal["beta", "prob", "lift", "expressed_lift"]
#: Share of cells that must express a gene for ``"expressed_lift"``, unless the caller says otherwise.
EXPRESSED_PCT = 0.05


@dataclass(frozen=True)
class TopicGenes:
    """What a model says of its K topics and V genes.

    Attributes
    ----------
    genes
        (V,) names.
    beta_kg
        Topic-gene weights (K, V): each gene's sum to 1 over the topics, so that they rank the genes of a topic by how
        much they are its own.
    probability_kg
        (K, V): expression that the decoder gives a cell of this topic alone; each topic's sum to 1 over the genes.
    share_g
        (V,) share of all expression of the training cells.
    detected_g
        (V,) share of training cells that express the gene.
    """

    genes: list[str]
    beta_kg: Array
    probability_kg: Array
    share_g: Array
    detected_g: Array

    def lift_kg(self) -> Array:
        """Natural logarithm of a gene's probability in a topic over its share of all expression; NaN without any."""
        marginal_g = np.where(self.share_g > 0, self.share_g, np.nan).astype(np.float64)
        with np.errstate(divide="ignore"):
            lift_kg: Array = np.log(self.probability_kg.astype(np.float64)) - np.log(marginal_g)
        return lift_kg

    def score_kg(self, score: Score) -> Array:
        """(K, V) values that rank the genes of a topic.

        Raises
        ------
        OptionError
            There is no such score.
        """
        if score not in get_args(Score):
            raise OptionError(f"score={score!r} must be one of: {', '.join(get_args(Score))}")
        return (
            {"beta": self.beta_kg, "prob": self.probability_kg}[score] if score in ("beta", "prob") else self.lift_kg()
        )


def topic_genes(table: TopicGenes, n: int = 10, score: Score = "beta", min_pct: float | None = None) -> pd.DataFrame:
    """The ``n`` genes that lead each topic.

    Parameters
    ----------
    table
        Of the model.
    n
        Genes a topic.
    score
        ``"beta"``: weight, which ranks by specificity and lets genes that are almost never expressed come first;
        ``"prob"``: probability in the topic, which abundant genes lead; ``"lift"``: log ratio of that probability to
        the gene's share of all expression; ``"expressed_lift"``: the same among genes that at least 5 % of the cells
        express.
    min_pct
        Least share of the training cells, 0 to 1, that must express a gene, for any score.

    Returns
    -------
    DataFrame
        Long, ``n`` rows a topic: topic, rank (from 1), gene, score, beta, probability, lift, pct.

    Raises
    ------
    OptionError
        No such score, ``min_pct`` is not a share, or fewer than ``n`` genes are left.
    """
    value_kg = table.score_kg(score)
    if min_pct is None:
        min_pct = EXPRESSED_PCT if score == "expressed_lift" else 0.0
    if not 0 <= min_pct <= 1:
        raise OptionError(f"min_pct={min_pct} must be a share of the cells, from 0 to 1")
    eligible = np.flatnonzero((table.detected_g >= min_pct) & np.isfinite(value_kg).all(axis=0))
    if not 1 <= n <= eligible.size:
        raise OptionError(
            f"n={n} must be from 1 to {eligible.size:,}, the genes that can be listed; lower n or min_pct"
        )
    # Stable, so that genes of equal weight keep the model's order.
    gene_kn = eligible[np.argsort(-value_kg[:, eligible], axis=1, kind="stable")[:, :n]]
    topic_kn = np.repeat(np.arange(len(value_kg)), n)
    flat = gene_kn.ravel()
    return pd.DataFrame(
        {
            "topic": topic_kn,
            "rank": np.tile(np.arange(1, n + 1), len(value_kg)),
            "gene": np.asarray(table.genes, dtype=object)[flat],
            "score": value_kg[topic_kn, flat],
            "beta": table.beta_kg[topic_kn, flat],
            "probability": table.probability_kg[topic_kn, flat],
            "lift": table.lift_kg()[topic_kn, flat],
            "pct": table.detected_g[flat],
        }
    )
