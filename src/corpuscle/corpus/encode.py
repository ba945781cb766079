"""Rank-value encoding: a cell as the tokens of its genes, from the most to the least unusually expressed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from corpuscle.corpus._depth import totals
from corpuscle.corpus._rank import BAD, MATCHED, TOTAL, encode_rows
from corpuscle.corpus.vocabulary import RankVocabulary
from corpuscle.errors import NotCountsError, OptionError, SourceError

__all__ = ["Encoded", "RankEncoder"]

Array = np.ndarray[Any, Any]
NO_TOKEN = -1


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """Tokens of the cells of one block that have a vocabulary gene: m of n cells.

    Attributes
    ----------
    input_ids
        (offsets[-1],) int32 tokens of these cells, one cell behind the other.
    offsets
        (m + 1,) int64 where the tokens of each begin; the last is the number of tokens.
    counts
        Counts in 10,000 of the gene of each token, 0 at special tokens; None if they were not asked for.
    kept_n
        (n,) whether a cell of the block is among them.
    n_genes
        (m,) int64 vocabulary genes of each before it was cut to the longest length.
    counts_total
        Sum of the counts of all n cells.
    counts_matched
        The part of it that is of vocabulary genes.
    """

    input_ids: np.ndarray[Any, np.dtype[np.int32]]
    offsets: np.ndarray[Any, np.dtype[np.int64]]
    counts: np.ndarray[Any, np.dtype[np.float64]] | None
    kept_n: np.ndarray[Any, np.dtype[np.bool_]]
    n_genes: np.ndarray[Any, np.dtype[np.int64]]
    counts_total: float
    counts_matched: float


class RankEncoder:
    """Encodes blocks of cells of one source; any number of threads may use it at once.

    A gene with count x and non-zero median m has the key x / m in float64. Genes with a count are ordered by descending
    key, equal keys by ascending token [1]_. The depth of a cell divides all its keys and so cannot change the order.

    Parameters
    ----------
    vocabulary
        Tokens, medians, longest length and whether cells are framed by special tokens.
    slot_f
        (f,) place of the gene of each column in ``vocabulary.gene_ids``, or -1.
    collapses
        Whether columns share a place; their counts are then added up before anything else.
    keep_counts
        Give the counts in 10,000 of each token too.

    Raises
    ------
    OptionError
        A place is not one of the vocabulary, or columns share one although it was said that none do.

    References
    ----------
    .. [1] Theodoris et al. Transfer learning enables predictions in network biology. Nature 618 (2023).
    """

    def __init__(
        self, vocabulary: RankVocabulary, slot_f: Array, collapses: bool, *, keep_counts: bool = False
    ) -> None:
        slot_f = np.asarray(slot_f)
        n_slots = len(vocabulary.gene_ids)
        if slot_f.ndim != 1 or slot_f.dtype.kind not in "iu":
            raise OptionError("slot_f must be a one-dimensional array of integers; take it from plan_genes")
        wrong = np.flatnonzero((slot_f < -1) | (slot_f >= n_slots))
        if wrong.size:
            raise OptionError(
                f"slot {slot_f[wrong[0]]} of column {wrong[0]} is none of the {n_slots:,} genes of vocabulary "
                f"{vocabulary.name}; take the slots from plan_genes with this vocabulary"
            )
        known_f = slot_f >= 0
        group_f = _groups(slot_f, n_slots)
        if group_f.size and not collapses:
            twice = vocabulary.gene_ids[slot_f[np.argmax(group_f >= 0)]]
            raise OptionError(f"several columns are gene {twice}; let them be added up (collapses=True)")
        self.vocabulary, self.keep_counts, self.n_columns = vocabulary, keep_counts, slot_f.size
        token_f = np.where(known_f, vocabulary.tokens_g[slot_f], NO_TOKEN).astype(np.int32)
        median_f = np.where(known_f, vocabulary.medians_g[slot_f], 1.0).astype(np.float64)
        self._columns = (token_f, median_f, group_f)
        self._n_groups = int(group_f.max(initial=-1)) + 1
        frame = (vocabulary.specials["<cls>"], vocabulary.specials["<eos>"]) if vocabulary.special_token else (-1, -1)
        self._frame = (vocabulary.max_len - (2 if vocabulary.special_token else 0), *map(int, frame))

    def encode(self, x_nf: sp.csr_matrix, depth_n: Array | None = None) -> Encoded:
        """Encode a block of cells.

        Parameters
        ----------
        x_nf
            Counts, n cells x f columns, without duplicate entries.
        depth_n
            (n,) total counts of each cell, for ``counts`` only; the sums of ``x_nf`` if left out.

        Raises
        ------
        NotCountsError
            A value is negative, NaN or infinite, or the depth of a cell that has genes is not a positive number.
        OptionError
            The block has another number of columns, or the depths are of another number of cells.
        SourceError
            An entry lies beyond the columns.
        """
        n, f = x_nf.shape
        if f != self.n_columns:
            raise OptionError(f"the block has {f:,} columns, but the genes of {self.n_columns:,} were planned")
        csr = _plain(x_nf)
        depth_n = self._depth(x_nf, depth_n)
        room = int(np.minimum(np.diff(csr[2]), self._frame[0]).sum()) + (2 * n if self._frame[1] >= 0 else 0)
        input_ids = np.empty(room, np.int32)
        counts = np.empty(room if self.keep_counts else 0, np.float64)
        length_n, genes_n, sums = np.empty(n, np.int64), np.empty(n, np.int64), np.zeros(3)
        out = (input_ids, counts, length_n, genes_n, sums)
        end = encode_rows(csr, self._columns, self._n_groups, self._frame, depth_n, out)
        if sums[BAD] or not np.isfinite(sums[TOTAL]):
            raise NotCountsError("a value of the block is negative, NaN or infinite; give raw counts")
        kept_n = length_n > 0
        if self.keep_counts:
            wrong_n = kept_n & ~((depth_n > 0) & np.isfinite(depth_n))
            if wrong_n.any():
                i = int(np.argmax(wrong_n))
                raise NotCountsError(f"the depth of cell {i} of the block is {depth_n[i]:g}; give its total counts")
        offsets = np.concatenate([[0], np.cumsum(length_n[kept_n])])
        return Encoded(
            input_ids=input_ids[:end],
            offsets=offsets.astype(np.int64, copy=False),
            counts=counts[:end] if self.keep_counts else None,
            kept_n=kept_n,
            n_genes=genes_n[kept_n],
            counts_total=float(sums[TOTAL]),
            counts_matched=float(sums[MATCHED]),
        )

    def _depth(self, x_nf: sp.csr_matrix, depth_n: Array | None) -> Array:
        if not self.keep_counts:
            return np.empty(0)
        if depth_n is None:
            return totals(x_nf)
        depth_n = np.ascontiguousarray(depth_n, np.float64)
        if depth_n.shape != (x_nf.shape[0],):
            raise OptionError(f"there are {depth_n.size:,} depths for {x_nf.shape[0]:,} cells; give one for each")
        return depth_n


def _groups(slot_f: Array, n_slots: int) -> Array:
    """(f,) number of the group of columns that share a slot, -1 for a column alone; empty if none share one."""
    columns_s = np.bincount(slot_f[slot_f >= 0], minlength=n_slots)
    shared = np.flatnonzero(columns_s > 1)
    if not shared.size:
        return np.empty(0, np.int32)
    group_s = np.full(n_slots + 1, -1, np.int32)  # one more place, for the slot -1
    group_s[shared] = np.arange(shared.size, dtype=np.int32)
    return group_s[slot_f]


def _plain(x_nf: sp.csr_matrix) -> tuple[Array, Array, Array]:
    """Data, indices and row starts in the few types that the kernel is compiled for."""
    data = x_nf.data
    if data.dtype.kind == "f":
        data = data.astype(np.float64, copy=False)
    elif data.dtype.itemsize <= 4 and data.dtype != np.uint32:
        data = data.astype(np.int32, copy=False)
    else:
        data = data.astype(np.int64, copy=False)
    indices = np.ascontiguousarray(x_nf.indices, np.int32)
    if indices.size and int(indices.view(np.uint32).max()) >= x_nf.shape[1]:  # unsigned, so that -1 is found too
        raise SourceError(f"an entry of the block is beyond its {x_nf.shape[1]:,} columns; the file is damaged")
    return np.ascontiguousarray(data), indices, np.ascontiguousarray(x_nf.indptr, np.int64)
