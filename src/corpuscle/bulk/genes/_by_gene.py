"""What needs all values of a gene in order: exact percentiles, Gini coefficients and the samples of its window."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from corpuscle.bulk.genes._gene_blocks import BUDGET, gene_blocks
from corpuscle.bulk.genes._statistics import GeneStatistics
from corpuscle.bulk.genes.cosine import add_inner_products
from corpuscle.bulk.genes.percentiles import GeneHistogram, Quantiles, sorted_quantiles
from corpuscle.bulk.genes.scores import gini
from corpuscle.bulk.genes.windows import Window
from corpuscle.counts import Counts
from corpuscle.counts._passes import Progress
from corpuscle.normalize import Normalizer
from corpuscle.normalize._stream import reduce_values
from corpuscle.seeds import stream

__all__ = ["Ordered", "Reading", "exact", "sketched"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Reading:
    """What is read how: the samples, their normalisation, bytes to hold, where a transposed copy may go, who is told."""

    counts: Counts
    method: Normalizer
    budget: int = BUDGET
    scratch: Path | None = None
    progress: Progress | None = None


@dataclass(frozen=True)
class Ordered:
    """Of each gene asked for, in that order.

    Attributes
    ----------
    quantiles
        Percentiles, their interval and Gini coefficients.
    member_gk
        (g, k) samples of the window; -1 for a gene without one. None where no window was asked for.
    tied_g
        (g,) equal values at an end of the window left a choice.
    gram_nn
        (n, n) inner products of the samples over all genes; None where they were not asked for.
    """

    quantiles: Quantiles
    member_gk: Array | None
    tied_g: Array
    gram_nn: Array | None = None


def exact(
    reading: Reading,
    genes: Array,
    q: float,
    window: Window | None,
    windowed_g: Array,
    seed: int,
    gram_mean_g: Array | None,
) -> Ordered:
    """Sort every gene.

    Parameters
    ----------
    reading
        The samples.
    genes
        (g,) positions of the genes.
    q
        The upper percentile, as a share.
    window
        Its window; None for none.
    windowed_g
        (g,) whether a gene shall have one.
    seed
        Of the draw among equal values, one stream a gene.
    gram_mean_g
        (all genes,) taken off before inner products over all genes are summed; None for no inner products.
    """
    counts = reading.counts
    asked_g = np.full(counts.n_vars, -1)
    asked_g[genes] = np.arange(genes.size)
    number_5g = np.full((5, genes.size), np.nan)
    member_gk = None if window is None else np.full((genes.size, window.k), -1, np.int32)
    tied_g = np.zeros(genes.size, bool)
    gram_nn = None if gram_mean_g is None else np.zeros((counts.n_obs, counts.n_obs))
    places = np.unique(genes) if gram_nn is None else np.arange(counts.n_vars)
    for block, value_bn in gene_blocks(
        counts, reading.method, places, budget=reading.budget, scratch=reading.scratch, progress=reading.progress
    ):
        if gram_nn is not None and gram_mean_g is not None:
            add_inner_products(value_bn, gram_mean_g[block], gram_nn)
        wanted_b = asked_g[block] >= 0
        at_b = asked_g[block[wanted_b]]
        value_bn = value_bn[wanted_b] if not wanted_b.all() else value_bn
        sorted_bn = np.sort(value_bn, axis=1)
        number_5g[:, at_b] = [*sorted_quantiles(sorted_bn.T, q), gini(sorted_bn.T)]
        if window is None or member_gk is None:
            continue
        for value_n, sorted_n, g in zip(value_bn, sorted_bn, at_b, strict=True):
            if windowed_g[g]:
                tied_g[g] = window.has_choice(sorted_n)
                rng = stream(seed, "gene window ties", str(genes[g])) if tied_g[g] else None
                member_gk[g] = window.members(value_n, sorted_n, rng)
    return Ordered(Quantiles(*number_5g), member_gk, tied_g, gram_nn)


def sketched(reading: Reading, genes: Array, q: float, found: GeneStatistics) -> tuple[Ordered, Array]:
    """Percentiles from histograms between the extremes found, in one pass; and the largest error of each gene's."""
    sketch = reduce_values(
        reading.counts, reading.method, partial(GeneHistogram, found.min_g[genes], found.max_g[genes]),
        genes=genes, progress=reading.progress, what="samples: histograms",
    )  # fmt: skip
    return Ordered(sketch.quantiles(q), None, np.zeros(genes.size, bool)), sketch.error_g
