"""What every initial embedding needs of the training cells: moments of the genes, the genes that vary, columns by name.

All sums run over the cells in their order, one value after the other, so how the cells are cut into blocks changes no bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numba
import numpy as np
import scipy.sparse as sp

from corpuscle.corpus.pairs._block import CellBlock
from corpuscle.errors import GeneError, MethodError, OptionError

__all__ = ["Blocks", "GeneColumns", "GeneMoments", "TrainingBlocks", "gene_moments", "moments_of", "variable_genes"]

Array = np.ndarray[Any, Any]
Blocks = Callable[[], Iterable[CellBlock]]

#: Genes are compared with those of like mean, in so many bins.
MEAN_BINS = 20


@dataclass(frozen=True)
class GeneMoments:
    """Mean and variance of the counts per 10,000 over the training cells, of the genes that all sources measure.

    Attributes
    ----------
    genes
        Names, in the order in which the sources have them.
    mean_g, variance_g
        (g,) float64; the variance has ``n_cells - 1`` in its denominator.
    n_cells
        Training cells.
    n_unshared
        Genes left out because some source does not measure them.
    """

    genes: tuple[str, ...]
    mean_g: Array
    variance_g: Array
    n_cells: int
    n_unshared: int


class TrainingBlocks:
    """The training cells as blocks, and their moments, computed once for all embeddings that ask for them."""

    def __init__(self, blocks: Blocks) -> None:
        self._blocks = blocks

    def __call__(self) -> Iterable[CellBlock]:
        """The blocks from the first cell on."""
        return self._blocks()

    @cached_property
    def moments(self) -> GeneMoments:
        """One pass over the cells, remembered."""
        return gene_moments(self._blocks())


def moments_of(blocks: Blocks) -> GeneMoments:
    """Moments of the training cells, those remembered if there are any."""
    return blocks.moments if isinstance(blocks, TrainingBlocks) else gene_moments(blocks())


def gene_moments(blocks: Iterable[CellBlock]) -> GeneMoments:
    """Stream the training cells once.

    Raises
    ------
    MethodError
        There is no cell, or a value is not finite.
    GeneError
        The sources have no gene in common.
    """
    place: dict[str, int] = {}
    total_g, squares_g = np.zeros(0), np.zeros(0)
    measured_g = np.zeros(0, np.int64)
    columns, at_g, n_cells = None, np.zeros(0, np.int64), 0
    for block in blocks:
        if block.genes is not columns:
            columns = block.genes
            at_g = np.array([place.setdefault(gene, len(place)) for gene in columns], np.int64)
            total_g, squares_g, measured_g = (_grown(x, len(place)) for x in (total_g, squares_g, measured_g))
        _add_moments(block.log_ng.data, block.log_ng.indices, at_g, total_g, squares_g)
        measured_g[at_g] += block.log_ng.shape[0]
        n_cells += block.log_ng.shape[0]
    if n_cells == 0:
        raise MethodError("no training cell is left to fit an embedding on; give more cells or a larger training share")
    if not np.isfinite(squares_g).all():
        bad = next(gene for gene, at in place.items() if not np.isfinite(squares_g[at]))
        raise MethodError(f"gene {bad} has a NaN or infinite value in a training cell; mend the source")
    shared = np.flatnonzero(measured_g == n_cells)
    if shared.size == 0:
        raise GeneError("the sources of the training cells have no gene in common; use the same identifiers in all")
    mean_g = total_g[shared] / n_cells
    variance_g = np.maximum(squares_g[shared] - n_cells * mean_g**2, 0) / max(n_cells - 1, 1)
    names = list(place)
    return GeneMoments(tuple(names[i] for i in shared), mean_g, variance_g, n_cells, len(names) - shared.size)


def _grown(x_g: Array, n: int) -> Array:
    return np.concatenate([x_g, np.zeros(n - x_g.size, x_g.dtype)])


@numba.njit(cache=True, nogil=True)
def _add_moments(log: Array, column: Array, at_g: Array, total_g: Array, squares_g: Array) -> None:
    for i in range(log.size):
        value = np.expm1(np.float64(log[i]))
        at = at_g[column[i]]
        total_g[at] += value
        squares_g[at] += value * value


def variable_genes(moments: GeneMoments, n_top: int) -> tuple[str, ...]:
    """Names of the genes whose dispersion is highest among genes of like mean, in the order of the sources.

    Parameters
    ----------
    moments
        Of the training cells.
    n_top
        Genes to choose; fewer if fewer are expressed.

    Notes
    -----
    The dispersions of Satija et al. 2015, Nature Biotechnology 33:495: log of variance over mean, standardised within 20
    bins of the log mean. A gene that does not vary comes after all that do; one that is not expressed is never chosen.
    """
    if n_top < 1:
        raise OptionError(f"{n_top} variable genes: ask for 1 or more")
    expressed_g = moments.mean_g > 0
    standing_g = np.nan_to_num(_standardised_dispersion(moments.mean_g, moments.variance_g), nan=-np.inf)
    order = np.lexsort((-standing_g, ~expressed_g))
    chosen = np.sort(order[: min(n_top, int(expressed_g.sum()))])
    if chosen.size == 0:
        raise MethodError("no gene that all sources measure is expressed in a training cell; check the identifiers")
    return tuple(moments.genes[i] for i in chosen)


def _standardised_dispersion(mean_g: Array, variance_g: Array) -> Array:
    """Log of variance over mean, centred and scaled within bins of the log mean; NaN for a gene that does not vary."""
    import pandas as pd

    with np.errstate(divide="ignore", invalid="ignore"):
        dispersion_g = np.log(variance_g / mean_g)
    dispersion_g[np.isneginf(dispersion_g)] = np.nan
    per_bin = pd.Series(dispersion_g).groupby(pd.cut(np.log1p(mean_g), MEAN_BINS, labels=False))
    centre_g, scale_g = per_bin.transform("mean").to_numpy().copy(), per_bin.transform("std").to_numpy().copy()
    # A gene alone in its bin has nothing to be compared with, and stands at 1, as in scanpy.
    alone_g = np.isnan(scale_g)
    scale_g[alone_g], centre_g[alone_g] = centre_g[alone_g], 0.0
    return (dispersion_g - centre_g) / scale_g


class GeneColumns:
    """The columns of an ordered list of genes, whatever order and genes a block has; genes it lacks are zero.

    Attributes
    ----------
    genes
        The list.
    missing
        Source -> how many of the genes it lacks, for every source seen so far.
    """

    def __init__(self, genes: Sequence[str]) -> None:
        self.genes = tuple(genes)
        self.missing: dict[str, int] = {}
        self._columns: tuple[str, ...] | None = None
        self._at_g: Array = np.zeros(0, np.int32)

    def lacking(self, columns: Iterable[str]) -> tuple[str, ...]:
        """Genes of the list that are not among ``columns``."""
        there = set(columns)
        return tuple(gene for gene in self.genes if gene not in there)

    def of(self, x_ng: sp.csr_matrix, block: CellBlock) -> sp.csr_matrix:
        """(n, len(genes)) of a matrix of the block, its values untouched.

        Raises
        ------
        GeneError
            The block has none of the genes.
        """
        self._look_up(block)
        at = self._at_g[x_ng.indices]
        kept = at >= 0
        ends = np.zeros(kept.size + 1, np.int64)
        np.cumsum(kept, out=ends[1:])
        shape = (x_ng.shape[0], len(self.genes))
        picked = sp.csr_matrix((x_ng.data[kept], at[kept], ends[x_ng.indptr].astype(np.int32)), shape=shape)
        # A cell's values are summed in the order of the list, not in that of its source.
        picked.sort_indices()
        return picked

    def _look_up(self, block: CellBlock) -> None:
        if block.genes is not self._columns:
            place = {gene: i for i, gene in enumerate(self.genes)}
            self._at_g = np.array([place.get(gene, -1) for gene in block.genes], np.int32)
            self._columns = block.genes
        found = int((self._at_g >= 0).sum())
        if not found:
            raise GeneError(
                f"{block.source}: has none of the {len(self.genes):,} genes of the embedding (such as {self.genes[0]}); "
                "use the identifiers that it was made with"
            )
        self.missing[block.source] = len(self.genes) - found
