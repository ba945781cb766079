"""One archive: its cells gathered from blocks, with vectors and gene sentences."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from corpuscle.corpus.pairs._prepared import Prepared
from corpuscle.corpus.pairs.embedders import Embedder, embed_block
from corpuscle.corpus.pairs.sentences import cell_sentences
from corpuscle.counts._source import csr_of

__all__ = ["GatheredCells", "gather"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class GatheredCells:
    """Cells of an archive: normalised values and counts on the same index arrays, table, vectors by key, sentences."""

    log_ng: sp.csr_matrix
    counts_ng: sp.csr_matrix
    obs: pd.DataFrame
    obsm: dict[str, Array]
    sentences: list[str]


def gather(
    prepared: Prepared,
    cells: Array,
    n_genes: int,
    embedders: Sequence[Embedder],
    sentence_genes: int,
    allowed: Collection[str] | None,
) -> GatheredCells:
    """Read some cells of one source. Matrices are filled in place, so that they are never held twice.

    Parameters
    ----------
    prepared
        The sources.
    cells
        Ascending places of n cells of one source.
    n_genes
        Genes of that source.
    embedders
        Fitted.
    sentence_genes, allowed
        Longest sentence, 0 for none, and which genes it may name.
    """
    room = int(prepared.values_n[cells].sum())
    log, counts, gene = np.empty(room, np.float32), np.empty(room, np.int32), np.empty(room, np.int32)
    indptr = np.zeros(cells.size + 1, np.int32)
    obsm = {f"X_{one.name}": np.empty((cells.size, one.width), np.float32) for one in embedders}
    obs, sentences, row, at = [], [], 0, 0
    for block in prepared.blocks(cells):
        size = block.log_ng.nnz
        rows, place = slice(row, row + block.n_obs), slice(at, at + size)
        log[place], counts[place], gene[place] = block.log_ng.data, block.counts_ng.data, block.log_ng.indices
        indptr[row + 1 : row + block.n_obs + 1] = block.log_ng.indptr[1:] + at
        for key, x_nd in embed_block(embedders, block).items():
            obsm[key][rows] = x_nd
        if sentence_genes:
            sentences += cell_sentences(block.counts_ng, block.genes, sentence_genes, allowed=allowed)
        obs.append(block.obs)
        row, at = rows.stop, place.stop
    shape = (cells.size, n_genes)
    log_ng, counts_ng = (csr_of(data[:at], gene[:at], indptr, shape) for data in (log, counts))
    for matrix in (log_ng, counts_ng):
        matrix.has_sorted_indices = matrix.has_canonical_format = True
    return GatheredCells(log_ng, counts_ng, pd.concat(obs), obsm, sentences)
