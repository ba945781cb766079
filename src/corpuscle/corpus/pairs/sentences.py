"""Cell sentences: the names of a cell's expressed genes, highest first."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from corpuscle.errors import GeneError, OptionError

if TYPE_CHECKING:
    from scipy.sparse import csr_array, csr_matrix

__all__ = ["SENTENCE_GENES", "cell_sentences"]

Array = np.ndarray[Any, Any]
#: Genes in a sentence unless asked otherwise: about what a text encoder of 256 to 512 tokens reads.
SENTENCE_GENES = 100
#: Sort keys held at a time (64 MiB); bounds the memory whatever the block.
_KEYS = 8 * 2**20
_LAST = np.uint64(2**64 - 1)


def cell_sentences(
    values_ng: csr_matrix | csr_array,
    genes: Sequence[str],
    n_genes: int = SENTENCE_GENES,
    *,
    allowed: Collection[str] | None = None,
) -> list[str]:
    """Names of each cell's expressed genes, highest value first, joined by blanks.

    A sentence depends on its own cell only: not on the block, on the order of the genes in the file, or on genes that
    the cell does not express. Counts and their log-normalised values give the same sentences; counts are the safer
    input, since their ties are exact.

    Parameters
    ----------
    values_ng
        (n, g) counts or log-normalised values. Entries that are not above 0 are not expressed.
    genes
        (g,) names of the columns, unique. Blanks within a name become ``_``.
    n_genes
        Longest sentence, in genes.
    allowed
        Names that may appear, e.g. a fixed panel; None for all. The same list has to be given for every block.

    Returns
    -------
    list of str
        (n,) sentences; of equal values, the gene that comes first by name. Empty for a cell without such genes.

    Raises
    ------
    OptionError
        ``n_genes`` is below 1, or there is not one name a column.
    GeneError
        A name is empty or stands twice, or none of the columns is allowed.
    """
    if isinstance(n_genes, bool) or n_genes < 1:
        raise OptionError(f"a cell sentence needs at least 1 gene, not {n_genes}")
    names_g = _clean_names(genes, values_ng.shape[1])
    rank_g = np.empty(len(names_g), dtype=np.uint64)
    by_name = np.argsort(names_g, kind="stable")
    rank_g[by_name] = np.arange(len(names_g), dtype=np.uint64)
    indptr, key_z = _sort_keys(values_ng, rank_g, _allowed_columns(genes, allowed))
    names_r = names_g[by_name]

    sentences = [""] * (indptr.size - 1)
    size_n = np.diff(indptr)
    # Rows of like size together: the padding of a group is then small, and the sentences do not depend on it.
    order = np.argsort(size_n, kind="stable")
    start = int(np.searchsorted(size_n[order], 1))
    while start < order.size:
        stop = _group_end(size_n[order], start)
        rows = order[start:stop]
        best_nk, kept_n = _first_keys(key_z, indptr[rows], size_n[rows], n_genes)
        words_nk = names_r[best_nk & np.uint64(0xFFFFFFFF)]
        for row, words, kept in zip(rows.tolist(), words_nk.tolist(), kept_n.tolist(), strict=True):
            sentences[row] = " ".join(words[:kept])
        start = stop
    return sentences


def _clean_names(genes: Sequence[str], n_columns: int) -> np.ndarray[Any, np.dtype[np.object_]]:
    if len(genes) != n_columns:
        raise OptionError(f"{len(genes)} gene names for {n_columns} columns; give one name a column")
    names_g = np.empty(len(genes), dtype=object)
    names_g[:] = ["_".join(str(gene).split()) for gene in genes]
    seen: set[str] = set()
    for at, name in enumerate(names_g):
        if not name:
            raise GeneError(f"the name of gene column {at} is empty; a cell sentence needs a name for every gene")
        if name in seen:
            raise GeneError(f"two gene columns are called {name!r}; make the names unique or sum the columns")
        seen.add(name)
    return names_g


def _allowed_columns(
    genes: Sequence[str], allowed: Collection[str] | None
) -> np.ndarray[Any, np.dtype[np.bool_]] | None:
    if allowed is None:
        return None
    if isinstance(allowed, str):
        raise OptionError("the allowed genes are one text; give a list of names")
    wanted = set(allowed)
    allowed_g = np.fromiter((gene in wanted for gene in genes), dtype=np.bool_, count=len(genes))
    if not allowed_g.any():
        some = ", ".join(sorted(map(str, wanted))[:3]) or "none"
        raise GeneError(
            f"none of the {len(wanted)} genes allowed in cell sentences ({some}) is a column (the first: "
            f"{', '.join(map(str, genes[:3]))}); are they of the same species and naming?"
        )
    return allowed_g


def _sort_keys(
    values_ng: csr_matrix | csr_array, rank_g: Array, allowed_g: Array | None
) -> tuple[Array, np.ndarray[Any, np.dtype[np.uint64]]]:
    """Row starts and the keys of the expressed, allowed entries: ascending keys are descending values, then names."""
    matrix = values_ng.tocsr()
    if not matrix.has_canonical_format:
        matrix = matrix.copy()
        matrix.sum_duplicates()
    value_z = np.asarray(matrix.data)
    keep_z = value_z > 0
    if allowed_g is not None:
        keep_z &= allowed_g[matrix.indices]
    indptr = np.asarray(matrix.indptr, dtype=np.int64)
    if not keep_z.all():
        indptr = np.concatenate([[0], np.cumsum(keep_z)])[indptr]
        value_z = value_z[keep_z]
    if np.issubdtype(value_z.dtype, np.integer):
        bits_z = (np.minimum(value_z, 2**32 - 1) if value_z.itemsize > 4 else value_z).astype(np.uint32)
    else:
        # Bit patterns of positive floats are ordered as the numbers are.
        bits_z = np.ascontiguousarray(value_z, dtype=np.float32).view(np.uint32)
    key_z = (~bits_z).astype(np.uint64) << np.uint64(32)
    key_z |= rank_g[matrix.indices if keep_z.all() else matrix.indices[keep_z]]
    return indptr, key_z


def _group_end(sorted_size_n: Array, start: int) -> int:
    """End of the group of rows that fits into the key buffer when padded to its longest; at least one row."""
    rows = np.arange(1, sorted_size_n.size - start + 1)
    fits = rows * sorted_size_n[start:] <= _KEYS
    return start + max(1, int(fits.sum()))


def _first_keys(key_z: Array, start_n: Array, size_n: Array, n_genes: int) -> tuple[Array, Array]:
    """(n, k) smallest keys of each row, ascending, and (n,) how many of them are real."""
    width = int(size_n.max())
    key_nw = np.full((size_n.size, width), _LAST)
    real_nw = np.arange(width) < size_n[:, None]
    key_nw[real_nw] = key_z[
        np.repeat(start_n - np.concatenate([[0], np.cumsum(size_n)[:-1]]), size_n) + np.arange(size_n.sum())
    ]
    if n_genes < width:
        key_nw.partition(n_genes - 1, axis=1)
        key_nw = key_nw[:, :n_genes]
    key_nw.sort(axis=1)
    kept_n = np.minimum(size_n, n_genes)
    key_nw[np.arange(key_nw.shape[1]) >= kept_n[:, None]] = 0
    return key_nw, kept_n
