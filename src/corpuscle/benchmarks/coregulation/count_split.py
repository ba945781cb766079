"""Positive controls that need no reporter: a gene's counts split in two halves that share one latent rate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from corpuscle.benchmarks.coregulation.background import GenePool, choose_background
from corpuscle.benchmarks.coregulation.judge import associate_inside
from corpuscle.benchmarks.coregulation.methods import Method, dense_inside, fit
from corpuscle.benchmarks.coregulation.null import split_counts
from corpuscle.benchmarks.coregulation.options import Options
from corpuscle.benchmarks.coregulation.score import score_pair
from corpuscle.benchmarks.coregulation.units import Sample, Setting
from corpuscle.counts import Counts
from corpuscle.datasets import Pair
from corpuscle.seeds import stream

__all__ = ["MEAN_BINS", "SplitGene", "judge_split", "split_sample"]

Array = np.ndarray[Any, Any]

#: Bins of mean UMI a cell; genes are drawn from each, since recovery depends on abundance before anything else.
MEAN_BINS = ((0.2, 1.0), (1.0, 5.0), (5.0, np.inf))
GENES_A_BIN = 20
BACKGROUND = 200
SUFFIX = " (split)"


@dataclass(frozen=True)
class SplitGene:
    """A gene whose half of the counts became a "reporter"."""

    gene: str
    bin: str
    pair: Pair


def split_sample(sample: Sample, pool: GenePool, options: Options) -> tuple[Counts, list[SplitGene]]:
    """Counts in which up to 60 genes are split binomially, and the pairs that result.

    The "reporter" h ~ Binomial(x, 1/2) is a new column and the gene keeps x - h, so that totals are unchanged.

    Parameters
    ----------
    pool
        Eligible genes of the sample's evaluated cells.
    """
    rng = stream(options.seed, sample.id, "count split")
    chosen = [choice for low, high in MEAN_BINS for choice in _drawn(pool, low, high, rng)]
    if not chosen:
        return sample.counts, []
    genes = np.array([gene for gene, _ in chosen])
    x_nk = sample.counts.columns(genes).toarray()
    halves = [split_counts(x_nk[:, j], rng) for j in range(genes.size)]
    names = [str(sample.counts.var_names[gene]) for gene in genes]
    rest = sample.counts.with_columns(genes, np.column_stack([other for _, other in halves]))
    counts = rest.edit_genes(add={name + SUFFIX: half for name, (half, _) in zip(names, halves, strict=True)})
    return counts, list(_pairs(names, [bin_name for _, bin_name in chosen]))


def _drawn(pool: GenePool, low: float, high: float, rng: np.random.Generator) -> Iterator[tuple[int, str]]:
    mean = pool.mean_g[pool.genes]
    inside = pool.genes[(mean >= low) & (mean < high)]
    name = f"{low:g}-{high:g} UMI" if np.isfinite(high) else f">= {low:g} UMI"
    for gene in np.sort(rng.choice(inside, size=min(GENES_A_BIN, inside.size), replace=False)):
        yield int(gene), name


def _pairs(names: list[str], bins: list[str]) -> Iterator[SplitGene]:
    for name, bin_name in zip(names, bins, strict=True):
        pair = Pair(name=f"{name}_split", kind="reporter", gene_a=name + SUFFIX, gene_b=name, construct="count split")
        yield SplitGene(name, bin_name, pair)


def judge_split(
    base: Setting, counts: Counts, splits: list[SplitGene], method: Method, measure: str, options: Options
) -> Iterator[dict[str, Any]]:
    """Score every split gene of one sample with one method, fitted once on the split counts.

    Parameters
    ----------
    base
        Evaluated cells and gene pool of the sample.
    counts, splits
        From :func:`split_sample`.
    """
    mask = base.cells.mask_n
    inside = counts if mask.all() else counts.select_cells(mask)
    split_setting = replace(base, counts=counts, inside=inside, variant="count_split")
    genes = counts.gene_index([split.gene for split in splits])
    halves = counts.gene_index([split.pair.gene_a for split in splits])
    pool = replace(split_setting.pool, genes=np.setdiff1d(split_setting.pool.genes, genes))
    backgrounds = [choose_background(pool, int(gene), n=BACKGROUND) for gene in genes]
    asked = np.unique(np.concatenate([genes, halves, *backgrounds]))
    fitted = fit(method, counts, options.seed, base.sample.id, "count split")
    dense = dense_inside(fitted, split_setting, asked)
    for split, gene, half, background in zip(splits, genes, halves, backgrounds, strict=True):
        others = np.concatenate([[gene], background])
        columns = dense[:, np.searchsorted(asked, others)]
        target = dense[:, np.searchsorted(asked, half)]
        r_k = associate_inside(target, columns, split_setting, measure, others, int(half))
        score = score_pair(float(r_k[0]), r_k[1:], split.pair.sign)
        yield {
            "gene": split.gene, "bin": split.bin, "r": score.r, "bg_median": score.bg_median, "bg_mad": score.bg_mad,
            "percentile": score.percentile, "z_robust": score.z_robust, "n_background": score.n_background,
        }  # fmt: skip
