"""Consecutive cells of a source with all that is needed to turn their counts into expression values of known genes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from corpuscle.corpus._depth import Depth, DepthChoice
from corpuscle.corpus._units import Piece, SourceSpec, blocks_of, opened
from corpuscle.counts._profile import Block

__all__ = ["GeneBlock", "Portion", "blocks_to_do", "gene_block", "pack"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Portion:
    """A piece of a source, ready to be sent to another process.

    Attributes
    ----------
    spec, piece
        Which cells of what.
    slot_f
        (f,) int32 gene of each column, or -1.
    collapses
        Whether two columns have the same gene, so that their counts are added up.
    keep_n
        (n,) cells of the piece to use.
    depth
        How the total of a cell is known.
    """

    spec: SourceSpec
    piece: Piece
    slot_f: Array
    collapses: bool
    keep_n: Array
    depth: DepthChoice


@dataclass(frozen=True, eq=False, slots=True)
class GeneBlock:
    """Counts of cells as CSR arrays, the gene of each column, and the depths that the counts are divided by."""

    csr: tuple[Array, Array, Array]
    slot_f: Array
    depth_n: Array


def pack(portions: Sequence[Portion], unit_cells: int) -> list[tuple[Portion, ...]]:
    """Whole portions together, in their order, as long as they have no more than ``unit_cells`` cells."""
    out: list[list[Portion]] = []
    room = 0
    for portion in portions:
        if not out or portion.piece.n_obs > room:
            out.append([])
            room = unit_cells
        out[-1].append(portion)
        room -= portion.piece.n_obs
    return [tuple(unit) for unit in out]


def blocks_to_do(portions: Sequence[Portion]) -> Iterator[tuple[Portion, Depth, Block]]:
    """Every block of the portions, read one after the other."""
    for portion in portions:
        depth = Depth(opened(portion.spec), portion.depth)
        for block in blocks_of(portion.spec, portion.piece):
            yield portion, depth, block


def gene_block(portion: Portion, depth: Depth, block: Block, n_genes: int) -> GeneBlock:
    """The cells to use of a block, with their depths and one column a gene.

    Raises
    ------
    NotCountsError
        A total that the file states is missing or wrong.
    """
    x_ng, slot_f, rows = block.x_ng, portion.slot_f, block.rows
    keep_n = portion.keep_n[rows.start - portion.piece.start : rows.stop - portion.piece.start]
    if keep_n.all():
        depth_n = depth.of(x_ng, rows)
    else:
        x_ng = x_ng[keep_n]
        depth_n = depth.of(x_ng, rows.start + np.flatnonzero(keep_n))
    if portion.collapses:
        x_ng, slot_f = _summed(x_ng, slot_f, n_genes), np.arange(n_genes, dtype=np.int32)
    count = x_ng.data if x_ng.data.dtype == np.int32 else x_ng.data.astype(np.float64, copy=False)
    csr = (count, x_ng.indices.astype(np.int32, copy=False), x_ng.indptr.astype(np.int64, copy=False))
    return GeneBlock(csr, slot_f, depth_n)


def _summed(x_nf: sp.csr_matrix, slot_f: Array, n_genes: int) -> sp.csr_matrix:
    """Columns of the same gene added up: cells x genes."""
    used = np.flatnonzero(slot_f >= 0)
    dtype = np.float64 if x_nf.data.dtype.kind == "f" else np.int64
    gene_of = sp.csr_matrix((np.ones(used.size, dtype), (used, slot_f[used])), shape=(slot_f.size, n_genes))
    return (x_nf.astype(dtype) @ gene_of).tocsr()
