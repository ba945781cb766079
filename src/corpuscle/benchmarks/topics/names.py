"""The numbers of the benchmark: unambiguous names beside the published ones."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import pandas as pd

__all__ = ["METRICS", "Metric", "metric", "names_table"]


@dataclass(frozen=True)
class Metric:
    """One number.

    Attributes
    ----------
    name
        What tables and code call it.
    task
        What it needs: ``genes`` nothing more, ``cells`` the labels, ``gene_sets`` gene sets, ``seeds`` several runs.
    published
        What scE2TM's authors call it; empty for numbers that they do not have.
    title
        A few words for a column.
    meaning
        One line.
    note
        What to beware of.
    """

    name: str
    task: str
    published: str
    title: str
    meaning: str
    note: str = ""


UNCERTAIN = (
    "The published code prints three numbers, and the letters U and Q beside two of them are not explained: by their order "
    "U is the number of different sets and Q the fraction, by analogy with TD and TQ it is the other way round."
)
METRICS = (
    Metric(
        "interpretation_purity", "cells", "IP", "Purity",
        "Share of cells of the commonest type among the cells with the same strongest topic.",
        "Rises by itself with the number of topics.",
    ),
    Metric(
        "topic_coherence", "gene_sets", "TC", "Coherence",
        "Mean normalised pointwise mutual information of the gene pairs of a topic, over the gene sets.",
        "Pairs that no set holds count 0. Comparable only with the same gene sets and number of top genes.",
    ),
    Metric(
        "topic_diversity", "genes", "TD", "Diversity",
        "Share of the places in the topics' gene lists whose gene is in no other list.",
        "Symbols are compared whole. The published code cut them at hyphens and dots.",
    ),
    Metric("topic_quality", "gene_sets", "TQ", "Quality", "Coherence times diversity."),
    Metric(
        "ora_n_enriched", "gene_sets", "ORA_N", "ORA sets",
        "Topic-set pairs over-represented among the topic's top genes, q at most 0.01, summed over topics.",
        "Topics that repeat each other are counted again.",
    ),
    Metric("ora_n_unique", "gene_sets", "ORA_U or ORA_Q", "ORA unique", "Different sets among those.", UNCERTAIN),
    Metric(
        "ora_unique_fraction", "gene_sets", "ORA_Q or ORA_U", "ORA fraction", "Different sets over enriched pairs.", UNCERTAIN
    ),
    Metric(
        "gsea_n_enriched", "gene_sets", "GSEA_N", "GSEA sets",
        "Topic-set pairs enriched in the topic's ranking of all genes, q at most 0.01, both signs, summed over topics.",
        "Depends on which genes are ranked.",
    ),
    Metric("gsea_n_unique", "gene_sets", "GSEA_U or GSEA_Q", "GSEA unique", "Different sets among those.", UNCERTAIN),
    Metric(
        "gsea_unique_fraction", "gene_sets", "GSEA_Q or GSEA_U", "GSEA fraction", "Different sets over enriched pairs.", UNCERTAIN
    ),
    Metric(
        "topic_diversity_unique", "genes", "", "Unique genes", "Different genes over all places in the topics' gene lists.",
        "The diversity of most papers on topic models; never smaller than the other.",
    ),
    Metric(
        "pairs_covered", "gene_sets", "", "Pairs covered", "Share of the top-gene pairs of which some set names each gene.",
        "Coherence cannot be higher than this share.",
    ),
    Metric("pairs_together", "gene_sets", "", "Pairs together", "Share of the top-gene pairs that some set holds both of."),
    Metric(
        "genes_listed", "genes", "", "Places filled", "Share of the places in the topics' gene lists that a gene fills.",
        "Below 1 where a topic gives weight to too few genes, or to all alike.",
    ),
    Metric(
        "topics_used", "genes", "", "Topics used", "Topics that are the strongest of at least one cell.",
    ),
    Metric(
        "rare_type_f1", "cells", "", "Rare types",
        "Mean F1 of 'the strongest topic is the type's topic' over types with less than 5 % of the cells.",
        "Published for single types. Types with fewer than 5 cells are left out.",
    ),
    Metric(
        "type_f1", "cells", "", "All types", "The same over all types.",
    ),
    Metric(
        "topic_stability_cosine", "seeds", "stability", "Stability", "Mean cosine of topics matched one to one between two seeds.",
        "High for unrelated topics too where weights are all positive; see the next number.",
    ),
    Metric(
        "topic_stability_centred", "seeds", "", "Stability, centred",
        "The same after taking each gene's mean over topics off, for scE2TM's weights 1/K.",
        "0 is what unrelated topics have.",
    ),
)  # fmt: skip
_BY_NAME = {one.name: one for one in METRICS}


def metric(name: str) -> Metric:
    """Look a number up by its name."""
    return _BY_NAME[name]


def names_table() -> pd.DataFrame:
    """Our name, task, published name, title, meaning and note of every number."""
    return pd.DataFrame([asdict(one) for one in METRICS])
