"""All numbers of one fit, read one way: plain values, and a reason for each number that does not exist."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from corpuscle.benchmarks._reason import reason_of
from corpuscle.benchmarks.clustering._metrics import MIN_RARE_CELLS
from corpuscle.benchmarks.topics.coherence import topic_coherence
from corpuscle.benchmarks.topics.diversity import topic_diversity, topic_quality
from corpuscle.benchmarks.topics.enrichment import Enrichment, gsea, ora
from corpuscle.benchmarks.topics.gene_sets import GeneSets
from corpuscle.benchmarks.topics.options import Options
from corpuscle.benchmarks.topics.purity import interpretation_purity, strongest_topic
from corpuscle.benchmarks.topics.rare_types import rare_type_recovery
from corpuscle.benchmarks.topics.top_genes import top_genes
from corpuscle.errors import CorpuscleError

__all__ = ["Reference", "Scored", "score_topics"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Reference:
    """What topics of one data set are held against.

    Attributes
    ----------
    labels_n
        Type of each cell, or None, and why there is none.
    gene_sets
        Gene sets that speak of the genes, or None, and why there are none.
    no_ora, no_gsea
        Why a test is not run; empty to run it.
    """

    labels_n: Array | None = None
    no_labels: str = "no column of labels was named"
    gene_sets: GeneSets | None = None
    no_sets: str = "no gene sets were given"
    no_ora: str = ""
    no_gsea: str = ""


@dataclass
class Scored:
    """Numbers of one fit.

    Attributes
    ----------
    numbers
        Metric -> value; NaN for what does not exist, with its reason in ``undefined``.
    undefined
        Metric -> reason.
    failures
        (stage, reason) of what could not be computed.
    top
        Long table: topic, rank, gene, weight.
    topics
        One row a topic: topic, n_cells, coherence.
    types, enriched
        Recovery of each type; enriched sets, with ``test`` (``ora`` or ``gsea``).
    """

    numbers: dict[str, float] = field(default_factory=dict)
    undefined: dict[str, str] = field(default_factory=dict)
    failures: list[tuple[str, str]] = field(default_factory=list)
    top: pd.DataFrame = field(default_factory=pd.DataFrame)
    topics: pd.DataFrame = field(default_factory=pd.DataFrame)
    types: pd.DataFrame = field(default_factory=pd.DataFrame)
    enriched: pd.DataFrame = field(default_factory=pd.DataFrame)

    def add(self, numbers: dict[str, float], reason: str = "") -> None:
        """Take numbers; a NaN needs a reason."""
        self.numbers |= numbers
        self.undefined |= {name: reason for name, value in numbers.items() if not np.isfinite(value)}


def score_topics(
    cell_topic_nk: Array, topic_gene_kg: Array, genes: Sequence[str], reference: Reference, options: Options, seed: int
) -> Scored:
    """Compute every number that needs one fit only; see :data:`corpuscle.benchmarks.topics.names.METRICS`."""
    out = Scored()
    top = top_genes(topic_gene_kg, genes, options.top_genes)
    places = options.top_genes * len(top)
    out.top = _long(top, topic_gene_kg, genes)
    cells_k = np.bincount(strongest_topic(cell_topic_nk), minlength=len(top))
    out.topics = pd.DataFrame({"topic": range(len(top)), "n_cells": cells_k, "coherence": np.nan})
    diversity = topic_diversity(top, "once", options.top_genes)
    out.add(
        {
            "topic_diversity": diversity,
            "topic_diversity_unique": topic_diversity(top, "unique", options.top_genes),
            "genes_listed": sum(map(len, top)) / places,
            "topics_used": float((cells_k > 0).sum()),
        }
    )
    _types(out, cell_topic_nk, reference)
    _coherence(out, top, diversity, reference, options)
    _enrichment(out, top, topic_gene_kg, genes, reference, options, seed)
    return out


def _long(top: list[list[str]], topic_gene_kg: Array, genes: Sequence[str]) -> pd.DataFrame:
    column_of = {gene: j for j, gene in enumerate(genes)}
    rows = [
        (k, rank, gene, float(topic_gene_kg[k, column_of[gene]]))
        for k, listed in enumerate(top)
        for rank, gene in enumerate(listed, 1)
    ]
    return pd.DataFrame(rows, columns=["topic", "rank", "gene", "weight"])


def _types(out: Scored, cell_topic_nk: Array, reference: Reference) -> None:
    nan = float("nan")
    if reference.labels_n is None:
        out.add({"interpretation_purity": nan, "rare_type_f1": nan, "type_f1": nan}, reference.no_labels)
        return
    out.types = rare_type_recovery(cell_topic_nk, reference.labels_n)
    rare = out.types[out.types["rare"] & (out.types["n_cells"] >= MIN_RARE_CELLS)]
    out.add({"interpretation_purity": interpretation_purity(cell_topic_nk, reference.labels_n)})
    out.add({"type_f1": float(out.types["f1"].mean())})
    out.add(
        {"rare_type_f1": float(rare["f1"].mean()) if len(rare) else nan},
        f"no type has less than 5 % of the cells and at least {MIN_RARE_CELLS} of them",
    )


def _coherence(out: Scored, top: list[list[str]], diversity: float, reference: Reference, options: Options) -> None:
    if reference.gene_sets is None:
        names = ("topic_coherence", "topic_quality", "pairs_covered", "pairs_together")
        out.add(dict.fromkeys(names, float("nan")), reference.no_sets)
        return
    found = topic_coherence(top, reference.gene_sets, options.top_genes)
    out.topics["coherence"] = found.of_topic
    out.add(
        {
            "topic_coherence": found.value, "topic_quality": topic_quality(found.value, diversity),
            "pairs_covered": found.covered, "pairs_together": found.together,
        }
    )  # fmt: skip


def _enrichment(
    out: Scored, top: list[list[str]], topic_gene_kg: Array, genes: Sequence[str], reference: Reference,
    options: Options, seed: int,
) -> None:  # fmt: skip
    sets = reference.gene_sets

    def by_ora() -> Enrichment:
        assert sets is not None
        return ora(top, sets)

    def by_gsea() -> Enrichment:
        assert sets is not None
        return gsea(
            topic_gene_kg, genes, sets, permutations=options.gsea_permutations, seed=seed, threads=options.threads
        )

    frames = []
    for test, run, without in (("ora", by_ora, reference.no_ora), ("gsea", by_gsea, reference.no_gsea)):
        names = tuple(f"{test}_{what}" for what in ("n_enriched", "n_unique", "unique_fraction"))
        reason = reference.no_sets if sets is None else without
        if not reason:
            try:
                found = run()
            except (CorpuscleError, MemoryError) as error:
                reason = reason_of(error)
                out.failures.append((test, reason))
        if reason:
            out.add(dict.fromkeys(names, float("nan")), reason)
            continue
        values = (float(found.n_enriched), float(found.n_unique), found.unique_fraction)
        out.add(dict(zip(names, values, strict=True)), "no set is enriched, so no fraction of them exists")
        frames.append(found.table.assign(test=test))
    frames = [frame for frame in frames if len(frame)]
    if frames:
        assert sets is not None
        out.enriched = pd.concat(frames, ignore_index=True)
        out.enriched["collection"] = [sets.collection.get(name, "") for name in out.enriched["gene_set"]]
