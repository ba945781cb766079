"""Exons of a GTF or GFF3 file, line by line, and the lengths they add up to."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from corpuscle.counts._gene_table import strip_version
from corpuscle.errors import SourceError

__all__ = ["exon_lengths", "is_annotation"]

Array = np.ndarray[Any, Any]

#: ``gene_id "ENSG..."`` of GTF, ``gene_id=ENSG...`` of GFF3.
ATTRIBUTE = re.compile(r'([\w-]+)(?:=|\s+)"?([^";]*)"?')
#: What GFF3 files put before the ids of their features.
PREFIX = re.compile(r"^(gene|transcript|rna)[:-]")
PAR_Y = "_PAR_Y"


def is_annotation(line: str) -> bool:
    """Whether a line is one of GTF or GFF: nine columns, of which the fourth and fifth are positions."""
    fields = line.rstrip("\n").split("\t")
    return len(fields) == 9 and fields[3].isdigit() and fields[4].isdigit()


def exon_lengths(path: Path, lines: Iterable[str]) -> pd.DataFrame:
    """Lengths of all genes that have exons; see :func:`corpuscle.normalize.gene_lengths.gene_lengths`."""
    exons = _Exons(path)
    for number, line in enumerate(lines, 1):
        if not line.startswith("#") and not line.isspace():
            exons.add(number, line)
    if not exons.start:
        raise SourceError(f"{path}: has no exon with a gene; give a GTF or GFF file with exon lines")
    return exons.finish()


class _Exons:
    """Exons as flat arrays of codes and positions, and the names behind the codes.

    A gene or transcript is told by its id and its sequence, so that a gene that two chromosomes have (the
    pseudo-autosomal regions) is not measured twice.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.gene, self.transcript, self.start, self.stop = (array("q") for _ in range(4))
        self.genes: dict[tuple[str, str], int] = {}
        self.transcripts: dict[tuple[str, str], int] = {}
        self.symbols: dict[str, str] = {}
        self.parents: dict[str, str] = {}

    def add(self, number: int, line: str) -> None:
        """Take in one line: an exon, or in GFF3 the gene or transcript that exons are of."""
        fields = line.rstrip("\r\n").split("\t")
        if len(fields) != 9 or not (fields[3].isdigit() and fields[4].isdigit()):
            raise SourceError(f"{self.path}: line {number:,} is not one of a GTF or GFF file; check that it is whole")
        start, stop = int(fields[3]), int(fields[4])
        if not 0 < start <= stop < 2**40:
            raise SourceError(f"{self.path}: line {number:,} ends ({stop}) before it starts ({start}); repair the file")
        attributes = dict(ATTRIBUTE.findall(fields[8]))
        if fields[2] != "exon":
            self._remember(attributes)
            return
        transcript = attributes.get("transcript_id") or attributes.get("Parent", "").split(",")[0]
        gene = attributes.get("gene_id") or self._gene_of(transcript)
        if not gene:
            return
        symbol = attributes.get("gene_name") or attributes.get("gene")
        if symbol:
            self.symbols.setdefault(gene, symbol)
        self.gene.append(self.genes.setdefault((gene, fields[0]), len(self.genes)))
        self.transcript.append(self.transcripts.setdefault((transcript or gene, fields[0]), len(self.transcripts)))
        self.start.append(start)
        self.stop.append(stop)

    def _remember(self, attributes: dict[str, str]) -> None:
        feature = attributes.get("ID")
        if not feature:
            return
        if attributes.get("Parent"):
            self.parents[feature] = attributes["Parent"].split(",")[0]
        elif attributes.get("Name"):
            self.symbols.setdefault(feature, attributes["Name"])

    def _gene_of(self, feature: str) -> str:
        """What a feature of GFF3 is part of, in the end; its parents stand before it in the file."""
        for _ in range(8):  # a file may name a feature its own parent
            parent = self.parents.get(feature)
            if parent is None:
                break
            feature = parent
        return feature

    def finish(self) -> pd.DataFrame:
        """One row a gene."""
        gene, transcript, start, stop = (
            np.frombuffer(column, np.int64) for column in (self.gene, self.transcript, self.start, self.stop)
        )
        union_g = _union_lengths(gene, start, stop, len(self.genes))
        mean_g, longest_g = _transcript_lengths(gene, transcript, stop - start + 1, len(self.genes))
        ids = [gene_id for gene_id, _ in self.genes]
        table = pd.DataFrame(
            {
                "gene_id": [strip_version(PREFIX.sub("", gene_id.removesuffix(PAR_Y))) for gene_id in ids],
                "symbol": [self.symbols.get(gene_id, "") for gene_id in ids],
                "length": union_g,
                "mean_transcript": mean_g,
                "longest_transcript": longest_g,
            }
        )
        return table.drop_duplicates("gene_id", ignore_index=True)


def _union_lengths(gene: Array, start: Array, stop: Array, n_genes: int) -> Array:
    """(g,) nucleotides that at least one exon of the gene covers."""
    order = np.lexsort((start, gene))
    gene, start, stop = gene[order], start[order], stop[order]
    # Genes laid end to end, so that one running maximum tells for all where an exon begins anew.
    apart = gene * (int(stop.max()) + 2)
    first, reached = start + apart, np.maximum.accumulate(stop + apart)
    covered_before = np.concatenate([[np.int64(-1)], reached[:-1]])
    new = np.maximum(reached - np.maximum(first - 1, covered_before), 0)
    lengths: Array = np.bincount(gene, new, n_genes).astype(np.int64)
    return lengths


def _transcript_lengths(gene: Array, transcript: Array, length: Array, n_genes: int) -> tuple[Array, Array]:
    """(g,) mean and largest of the summed exons of the gene's transcripts."""
    length_t = np.bincount(transcript, length).astype(np.int64)
    gene_t = np.empty(length_t.size, np.int64)
    gene_t[transcript] = gene
    longest_g = np.zeros(n_genes, np.int64)
    np.maximum.at(longest_g, gene_t, length_t)
    n_g = np.bincount(gene_t, minlength=n_genes)
    return np.bincount(gene_t, length_t, n_genes) / np.maximum(n_g, 1), longest_g
