"""One pass over the cells: totals, mitochondrial reads and detected genes of each, and the moments of each data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numba
import numpy as np
import pandas as pd

from corpuscle.corpus._fingerprint import block_digest
from corpuscle.corpus._moments import Moments
from corpuscle.corpus._units import Piece, SourceSpec, blocks_of, opened
from corpuscle.corpus.gene_plan import GeneOptions, plan_genes
from corpuscle.counts import Block, Counts
from corpuscle.counts._threads import map_ordered
from corpuscle.counts.genes import GeneTable, mitochondrial, strip_version
from corpuscle.errors import GeneError, SourceError

__all__ = ["NOT_JUDGED", "GeneRoles", "MeasureTask", "Measured", "gene_roles", "measure"]

Array = np.ndarray[Any, Any]
#: Data set of a cell that belongs to none: left out by a filter, or without a value of the grouping column.
NOT_JUDGED = -1
#: Columns of ``var`` that may name genes otherwise than the index does.
NAME_COLUMNS = (
    "ensembl_id", "gene_id", "gene_ids", "gene_name", "gene_names", "gene_symbol", "gene_symbols", "symbol", "feature_id",
    "feature_name",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class GeneRoles:
    """What the genes of a source count for.

    Attributes
    ----------
    mito_g
        (g,) whether the gene is mitochondrial.
    slot_g
        (g,) int32 number of the gene among those whose detection counts, -1 for others. Columns of one gene share a slot.
    n_slots
        Number of slots.
    match
        How genes were matched to the biotypes, or None where all genes count.
    """

    mito_g: Array
    slot_g: Array
    n_slots: int
    match: dict[str, Any] | None = None

    @property
    def n_mito(self) -> int:
        """Mitochondrial genes in the file."""
        return int(self.mito_g.sum())

    @property
    def n_counted(self) -> int:
        """Genes in the file whose detection counts."""
        return int(np.unique(self.slot_g[self.slot_g >= 0]).size)


def gene_roles(
    counts: Counts, *, biotypes: Sequence[str], mito_genes: Sequence[str] | None, options: GeneOptions
) -> GeneRoles:
    """Tell which genes of a source are mitochondrial and which are of the biotypes.

    Parameters
    ----------
    counts
        The source.
    biotypes
        Ensembl gene types, such as ``protein_coding``; empty for all genes.
    mito_genes
        Symbols or ids, instead of those known by name.
    options
        How genes are matched.

    Raises
    ------
    GeneError
        No gene of the file is of the biotypes, or most are of another species.
    """
    mito_g = _mitochondrial(counts.var, mito_genes, options.column)
    if not biotypes:
        return GeneRoles(mito_g, np.arange(counts.n_vars, dtype=np.int32), counts.n_vars)
    frame = GeneTable.human().frame
    ids = list(frame.index[frame["gene_type"].isin(list(biotypes))])
    try:
        plan = plan_genes(counts.var, ids, options, source=counts.name)
    except GeneError as error:
        kinds = " or ".join(biotypes)
        raise GeneError(
            f"{error}; the vocabulary is here the human genes of type {kinds}: let all genes count with --biotypes all"
        ) from None
    return GeneRoles(mito_g, plan.slot_f, len(ids), plan.match.to_dict())


def _mitochondrial(var: pd.DataFrame, asked: Sequence[str] | None, column: str | None) -> Array:
    """(g,) mask of the genes that any of their names says to be mitochondrial."""
    names = [var.index, *(var[name] for name in dict.fromkeys((column, *NAME_COLUMNS)) if name in var)]
    mask = np.zeros(len(var), bool)
    wanted = None if asked is None else {strip_version(name).upper() for name in asked}
    for one in names:
        texts = [str(name) for name in one]
        if wanted is None:
            mask |= mitochondrial(texts)
        else:
            mask |= np.fromiter((strip_version(text).upper() in wanted for text in texts), bool, len(texts))
    return mask


@dataclass(frozen=True, eq=False)
class MeasureTask:
    """Some cells of one source, for any process.

    Attributes
    ----------
    spec, piece
        Which cells.
    roles
        What the genes count for.
    set_n
        (n,) int32 number of the data set of each cell, or :data:`NOT_JUDGED`.
    fraction
        Judge the mitochondrial share of the counts and not the reads.
    """

    spec: SourceSpec
    piece: Piece
    roles: GeneRoles
    set_n: Array
    fraction: bool


@dataclass(eq=False)
class Measured:
    """What is known of these cells, and the moments of their data sets.

    Attributes
    ----------
    total_n, mito_n
        (n,) float64 counts of each cell over all genes, and over the mitochondrial ones.
    genes_n
        (n,) int32 detected genes among those that count.
    digests
        First row of a block -> its digest.
    moments
        Data set -> moments of the totals, and of the mitochondrial metric.
    """

    total_n: Array
    mito_n: Array
    genes_n: Array
    digests: dict[int, str] = field(default_factory=dict)
    moments: dict[int, tuple[Moments, Moments]] = field(default_factory=dict)


def measure(task: MeasureTask) -> Measured:
    """Read the cells once.

    Raises
    ------
    NotCountsError, SourceError
        A value is no count, or the file is damaged, or not the one that was looked at before.
    """
    counts = opened(task.spec)
    if counts.n_vars != task.roles.slot_g.size or counts.n_obs < task.piece.stop:
        raise SourceError(f"{counts.name}: the file changed while it was read; run again once it is still")
    n = task.piece.n_obs
    out = Measured(np.zeros(n), np.zeros(n), np.zeros(n, np.int32))

    def take_in(block: Block) -> tuple[int, str]:
        x_ng = block.x_ng
        rows = slice(block.rows.start - task.piece.start, block.rows.stop - task.piece.start)
        seen_s = np.full(task.roles.n_slots, -1, np.int32)
        _measure_block(
            (x_ng.data, x_ng.indices, x_ng.indptr), (task.roles.mito_g, task.roles.slot_g), seen_s,
            (out.total_n[rows], out.mito_n[rows], out.genes_n[rows]),
        )  # fmt: skip
        return block.rows.start, block_digest(x_ng)

    out.digests = dict(map_ordered(take_in, blocks_of(task.spec, task.piece)))
    out.moments = _moments(out, task)
    return out


@numba.njit(cache=True, nogil=True)
def _measure_block(
    csr: tuple[Array, Array, Array], roles: tuple[Array, Array], seen_s: Array, out: tuple[Array, Array, Array]
) -> None:
    count, gene, indptr = csr
    mito_g, slot_g = roles
    total_n, mito_n, genes_n = out
    for i in range(indptr.size - 1):
        total, mito, genes = 0.0, 0.0, 0
        for k in range(indptr[i], indptr[i + 1]):
            g = np.uint32(gene[k])  # unsigned: no test for an index from the end
            total += count[k]
            if mito_g[g]:
                mito += count[k]
            slot = slot_g[g]
            if slot >= 0 and seen_s[slot] != i:  # two columns of one gene are one gene
                seen_s[slot] = i
                genes += 1
        total_n[i], mito_n[i], genes_n[i] = total, mito, genes


def _moments(measured: Measured, task: MeasureTask) -> dict[int, tuple[Moments, Moments]]:
    """Moments of each data set among these cells; an empty cell has no mitochondrial share."""
    out = {}
    order = np.argsort(task.set_n, kind="stable")
    sets, starts = np.unique(task.set_n[order], return_index=True)
    for number, cells in zip(sets.tolist(), np.split(order, starts[1:]), strict=True):
        if number == NOT_JUDGED:
            continue
        total_m, mito_m = measured.total_n[cells], measured.mito_n[cells]
        if task.fraction:
            some = total_m > 0
            mito_m = mito_m[some] / total_m[some]
        out[number] = Moments.of(total_m), Moments.of(mito_m) if task.roles.n_mito else Moments()
    return out
