"""The genes a pair is compared with: alike in detection and abundance, and not related by design."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from corpuscle.counts import Profile
from corpuscle.counts.genes import immunoglobulin_genes, reporter_genes
from corpuscle.datasets import Pair
from corpuscle.errors import MethodError, OptionError

__all__ = ["MODES", "GenePool", "choose_background", "eligible_genes", "related_genes"]

Array = np.ndarray[Any, Any]

MODES = ("matched", "matched_random", "random_expressed", "all")
#: Made together with the chains.
CO_REGULATED = {"JCHAIN"}
MATCH_BINS = 20


@dataclass(frozen=True)
class GenePool:
    """Eligible genes and where each gene of the sample lies in detection and abundance.

    Attributes
    ----------
    genes
        (m,) positions of eligible genes, in gene order.
    rate_g, mean_g
        (g,) share of evaluated cells with the gene, and mean UMI, over all genes.
    """

    genes: Array
    rate_g: Array
    mean_g: Array


def related_genes(names: Iterable[str], pairs: Sequence[Pair]) -> Array:
    """(g,) genes that may be related to a pair by design: the pairs, cassette genes, and for exclusion immunoglobulins."""
    listed = [str(name) for name in names]
    of_pairs = {gene for pair in pairs for gene in (pair.gene_a, pair.gene_b)}
    related = np.array([name in of_pairs for name in listed], bool) | reporter_genes(listed)
    if any(pair.kind == "exclusion" for pair in pairs):
        related |= immunoglobulin_genes(listed) | np.array([name.upper() in CO_REGULATED for name in listed], bool)
    return related


def eligible_genes(profile: Profile, related_g: Array) -> GenePool:
    """Genes detected in at least 10 and at least 1 % of the evaluated cells, less the related ones."""
    n = profile.depth_n.size
    detected = profile.cells_g >= max(10, 0.01 * n)
    return GenePool(np.flatnonzero(detected & ~related_g), profile.cells_g / n, profile.total_g / n)


def choose_background(
    pool: GenePool, target: int, *, mode: str = "matched", n: int = 500, rng: np.random.Generator | None = None
) -> Array:
    """Positions of the background genes of one target, in gene order.

    Parameters
    ----------
    pool
        Eligible genes of the evaluated cells.
    target
        Position of the target gene.
    mode
        ``"matched"``: the nearest in (log detection rate, log mean UMI), both z-scored; no randomness.
        ``"matched_random"``: drawn from the target's quantile bin of mean UMI, widened until it holds twice as many.
        ``"random_expressed"``: drawn from all eligible genes. ``"all"``: every eligible gene.
    n
        Number wanted; matched modes take at most half the pool.
    rng
        For the random modes.

    Raises
    ------
    MethodError
        The target is not detected, or no gene is eligible.
    """
    genes = pool.genes[pool.genes != target]
    if mode not in MODES:
        raise OptionError(f"background {mode!r} is unknown; use one of {', '.join(MODES)}")
    if not genes.size:
        raise MethodError("no other gene is detected in 10 cells and 1 % of them; there is nothing to compare with")
    if mode == "all":
        return genes
    if mode == "random_expressed":
        return np.sort(_rng(rng).choice(genes, size=min(n, genes.size), replace=False))
    n = min(n, max(1, genes.size // 2))
    if mode == "matched_random":
        near = _widened_bin(pool.mean_g[genes], pool.mean_g[target], 2 * n)
        return np.sort(_rng(rng).choice(genes[near], size=n, replace=False))
    return np.sort(genes[_nearest(pool, genes, target)[:n]])


def _rng(rng: np.random.Generator | None) -> np.random.Generator:
    if rng is None:
        raise OptionError("a random background needs a random generator")
    return rng


def _nearest(pool: GenePool, genes: Array, target: int) -> Array:
    """Order of ``genes`` by distance to the target; ties keep gene order."""
    if pool.rate_g[target] == 0:
        raise MethodError("the target gene is zero in every evaluated cell")
    distance = np.zeros(genes.size)
    for stat_g in (pool.rate_g, pool.mean_g):
        log_k = np.log(stat_g[genes])
        scale = log_k.std() or 1.0
        distance += ((log_k - np.log(stat_g[target])) / scale) ** 2
    return np.argsort(distance, kind="stable")


def _widened_bin(mean_k: Array, target_mean: float, wanted: int) -> Array:
    """Places in ``mean_k`` of the target's quantile bin, widened by whole bins on both sides until it holds enough."""
    order = np.argsort(mean_k, kind="stable")
    bins = np.array_split(order, min(MATCH_BINS, order.size))
    upper = np.array([mean_k[members].max() for members in bins])
    centre = min(int(np.searchsorted(upper, target_mean)), len(bins) - 1)
    for width in range(len(bins)):
        members = np.concatenate(bins[max(0, centre - width) : centre + width + 1])
        if members.size >= wanted:
            break
    return members
