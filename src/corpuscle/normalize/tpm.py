"""Transcripts per million: counts over lengths, so that the genes of a sample can be compared with each other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pandas as pd

from corpuscle.counts import Counts
from corpuscle.counts._gene_table import strip_version
from corpuscle.errors import GeneError, OptionError
from corpuscle.normalize._base import Array, require_number
from corpuscle.normalize._bulk import BulkNormalizer, as_dense, gene_totals, refuse_samples, sample_depths
from corpuscle.normalize.gene_lengths import LENGTH_COLUMNS, gene_lengths

__all__ = ["TPM", "LogTPM"]

#: Shortest effective length, in nucleotides: shorter ones blow a few counts up to most of a sample.
SHORTEST = 50.0
#: Share of all counts that must be of genes with a length.
LEAST_COVERED = 0.5
ID_COLUMNS = ("gene_id", "gene_ids", "ensembl_id", "ensembl_gene", "ensembl_gene_id")
SYMBOL_COLUMNS = ("symbol", "gene_symbol", "gene_name")


class TPM(BulkNormalizer):
    r"""Transcripts per million, :math:`10^6 r_{ij} / \sum_k r_{ik}` with :math:`r_{ij} = x_{ij} / l_j`.

    Parameters
    ----------
    lengths
        Where the lengths of genes, in nucleotides, come from: the path of a table (gene, length) or of a GTF or GFF
        annotation, or a Series or mapping by gene id or symbol. ``"none"`` makes all genes equally long, which gives
        counts per million: the right choice ahead of models, where length changes nothing (forests, correlations,
        z-scores) or lets short genes dominate (distances).
    length
        Which length of an annotation: ``"exon_union"``, ``"mean_transcript"`` or ``"longest_transcript"``. The longest
        one overstates genes that mostly make a short transcript.
    fragment_length
        Mean length of the sequenced fragments, F: a gene of length L has the effective length L - F + 1. By default
        L itself. Nothing is shorter than 50 nt.

    Attributes
    ----------
    per_length_g_
        (g,) one over the effective length; 0 for genes without a known one, whose values are 0.
    n_without_length_
        How many genes have no known length.
    notes_
        What is to be known about them, one line; empty if all have one.

    Notes
    -----
    One pass over the samples to fit, for the share of counts that has a length; new samples need themselves only.
    Lengths are joined by Ensembl id (versions left out), then by symbol. A logarithm is never divided by a length:
    for logs see :class:`LogTPM`. Source: Li et al., Bioinformatics 2010; Wagner, Kin & Lynch, Theory in Biosciences
    2012. Effect on correlations: within a gene, lengths cancel but for the sum they leave behind; they matter for
    comparing genes of one sample.
    """

    name = "tpm"
    formula = "1e6 r / sum(r), r = x / length"
    keeps_zeros = True

    def __init__(self, lengths: Any = None, length: str = "exon_union", fragment_length: float | None = None) -> None:
        self.lengths = lengths
        self.length = length
        self.fragment_length = fragment_length

    def check_params(self) -> None:
        """Refuse an unknown kind of length, a fragment without one, and no word about lengths at all."""
        if self.lengths is None:
            raise OptionError(
                f"{self.name}: needs the lengths of genes: give lengths=FILE (a table or a GTF file), or lengths=none "
                "for counts per million"
            )
        if self.length not in LENGTH_COLUMNS:
            raise OptionError(f"{self.name}: length is {self.length!r} and must be one of: {', '.join(LENGTH_COLUMNS)}")
        if self.fragment_length is not None:
            require_number(self, "fragment_length", at_least=1.0)

    def fit_genes(self, counts: Counts) -> None:
        """Find the length of every gene.

        Raises
        ------
        GeneError
            Genes with a length have less than half of all counts.
        """
        length_g = self._lengths_of(counts)
        known_g = np.isfinite(length_g) & (length_g > 0)
        effective_g = np.where(known_g, length_g, 1.0) - (self.fragment_length or 1.0) + 1
        self.per_length_g_ = np.where(known_g, 1 / np.maximum(effective_g, SHORTEST), 0.0)
        self.n_without_length_, self.notes_ = int((~known_g).sum()), ""
        if self.n_without_length_:
            total_g = gene_totals(counts)
            self._judge(counts, known_g, float(total_g[known_g].sum() / max(int(total_g.sum()), 1)))

    def _judge(self, counts: Counts, known_g: Array, covered: float) -> None:
        """Note what has no length, or refuse if it is most."""
        first = ", ".join(map(str, counts.var_names[~known_g][:3]))
        lack = f"{self.n_without_length_:,} of {counts.n_vars:,} genes have no length, such as {first}"
        if covered < LEAST_COVERED:
            raise GeneError(
                f"{counts.name}: {lack}; those with one have {covered:.1%} of all counts; give lengths of the same "
                "species and kind of gene name"
            )
        self.notes_ = f"{lack}; they have {1 - covered:.2%} of all counts and get the value 0"

    def _lengths_of(self, counts: Counts) -> Array:
        """(g,) lengths in nucleotides, NaN where there is none."""
        if isinstance(self.lengths, str) and self.lengths.lower() == "none":
            return np.full(counts.n_vars, SHORTEST + (self.fragment_length or 1.0) - 1)
        if isinstance(self.lengths, str | Path):
            table = gene_lengths(self.lengths)
            column = LENGTH_COLUMNS[self.length]
            if table[column].isna().all():
                raise OptionError(f"{self.name}: {self.lengths} is a table of one length a gene; leave length out")
            by_id, by_symbol = (_unique(table[key], table[column]) for key in ("gene_id", "symbol"))
        elif isinstance(self.lengths, pd.Series | Mapping):
            given = pd.Series(self.lengths, dtype=np.float64)
            by_id = by_symbol = _unique(pd.Series([strip_version(str(name)) for name in given.index]), given)
        else:
            raise OptionError(f"{self.name}: lengths is a {type(self.lengths).__name__}; give a path or a Series")
        length_g = np.full(counts.n_vars, np.nan)
        for columns, known in ((ID_COLUMNS, by_id), (SYMBOL_COLUMNS, by_symbol)):
            for names in _names(counts.var, columns):
                found_g = known.reindex(names).to_numpy(np.float64)
                length_g = np.where(np.isnan(length_g), found_g, length_g)
        return length_g

    def _block_numbers(self, counts: Counts, x_ng: Any, rows: slice) -> tuple[Any, ...]:
        sample_depths(counts, x_ng, rows)  # an empty sample is called by that name
        rate_n = _rate_sums(as_dense(x_ng), self.per_length_g_)
        refuse_samples(counts, rows, rate_n == 0, "has counts only of genes without a length", "remove it first")
        return (rate_n,)

    def values(self, x: Array, gene: Array, *cell: Array) -> Array:
        """Evaluate the formula elementwise."""
        (rate_sum,) = cell
        return 1e6 * (x * self.per_length_g_[gene]) / rate_sum


class LogTPM(TPM):
    r"""Base-2 log of one plus transcripts per million; parameters and what is learnt are those of :class:`TPM`.

    Notes
    -----
    Source: usual practice of bulk RNA-seq; see :class:`TPM`. Effect on correlations: of a gene, nearly that of
    :class:`~corpuscle.normalize.log_cpm.LogCPM`; on this scale a length is an offset of the gene, and not a factor.
    """

    name = "log_tpm"
    formula = "log2(1 + 1e6 r / sum(r)), r = x / length"

    def values(self, x: Array, gene: Array, *cell: Array) -> Array:
        """Evaluate the formula elementwise."""
        return np.log2(1.0 + super().values(x, gene, *cell))


def _names(var: pd.DataFrame, columns: tuple[str, ...]) -> list[list[str]]:
    """Names of the genes by the first of these columns that is there, and by the index; versions left out."""
    listed = [var[column] for column in columns if column in var][:1]
    return [[strip_version(str(name)) for name in names] for names in (*listed, var.index)]


def _unique(names: pd.Series, length: pd.Series) -> pd.Series:
    """Lengths by name, the first of several, without blank names."""
    known = pd.Series(length.to_numpy(np.float64), index=names.astype(str).to_numpy(object))
    return known[(known.index != "") & ~known.index.duplicated()]


@numba.njit(cache=True, nogil=True)
def _rate_sums(x_ng: Array, per_length_g: Array) -> Array:
    """(n,) sums of count over length, gene after gene, so that no block size or number of threads shows."""
    rate_n = np.zeros(x_ng.shape[0])
    for i in range(x_ng.shape[0]):
        for j in range(x_ng.shape[1]):
            rate_n[i] += x_ng[i, j] * per_length_g[j]
    return rate_n
