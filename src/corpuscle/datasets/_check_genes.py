"""Checks of gene names and ids: the pair's genes are there, once, and of one annotation."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from corpuscle.counts import Counts
from corpuscle.counts.genes import strip_version
from corpuscle.datasets._issue import EXAMPLES, Issue
from corpuscle.datasets.schema import Pair, text

__all__ = ["GeneFinder", "check_ensembl_versions", "check_names"]

ENSEMBL = re.compile(r"^(ENS[A-Z]*G\d{11})(?:\.(\d+))?(?:_PAR_Y)?$")


class GeneFinder:
    """Columns of a pair's genes: by name, else by ``gene_id`` without its version."""

    def __init__(self, counts: Counts) -> None:
        self.name = counts.name
        self.names = [str(gene) for gene in counts.var_names]
        self.ids = [text(gene) for gene in counts.var["gene_id"]] if "gene_id" in counts.var else []
        self.by_name = _columns(self.names)
        self.by_id = _columns([strip_version(gene) for gene in self.ids])

    def columns(self, gene: str, gene_id: str) -> list[int]:
        """All columns that a gene may mean."""
        if gene in self.by_name:
            return self.by_name[gene]
        for key in (gene_id, gene):
            if key and (found := self.by_id.get(strip_version(key))):
                return found
        return []

    def places(self, pair: Pair) -> tuple[int, ...]:
        """Give the two columns; empty if a gene is missing or ambiguous."""
        found = [self.columns(pair.gene_a, pair.id_a), self.columns(pair.gene_b, pair.id_b)]
        return tuple(columns[0] for columns in found) if all(len(columns) == 1 for columns in found) else ()

    def check(self, pair: Pair) -> Iterator[Issue]:
        """E2: genes that are missing, or there under another name."""
        for gene, gene_id in ((pair.gene_a, pair.id_a), (pair.gene_b, pair.id_b)):
            columns = self.columns(gene, gene_id)
            if not columns:
                ids = f" (nor {gene_id} in var['gene_id'])" if gene_id else ""
                message = f"pair {pair.name}: gene {gene} is not in var_names{ids}; check the name or the reference"
                yield Issue("E2", "error", message, self.name, (), (gene,))
            elif gene not in self.by_name and len(columns) == 1:
                there = self.names[columns[0]]
                message = (
                    f"pair {pair.name}: gene {gene} is there as {there} (id {self.ids[columns[0]]}), which is used"
                )
                yield Issue("E2", "warning", message, self.name, (), (there,))


def check_names(counts: Counts, pairs: Sequence[Pair], finder: GeneFinder) -> Iterator[Issue]:
    """E4: names that stand for several columns."""
    of_pairs = {}
    for pair in pairs:
        for gene, gene_id in ((pair.gene_a, pair.id_a), (pair.gene_b, pair.id_b)):
            if len(columns := finder.columns(gene, gene_id)) > 1:
                of_pairs[gene] = len(columns)
    for gene, n_columns in of_pairs.items():
        message = f"gene {gene} of a pair names {n_columns} columns; keep one, or sum them if they are one gene"
        yield Issue("E4", "error", message, counts.name, (), (gene,))
    others = [gene for gene, columns in finder.by_name.items() if len(columns) > 1 and gene not in of_pairs]
    if others:
        message = f"{len(others):,} other gene names occur more than once; make them unique with adata.var_names_make_unique()"
        yield Issue("E4", "warning", message, counts.name, (), tuple(others[:EXAMPLES]))


def check_ensembl_versions(counts: Counts, pairs: Sequence[Pair], finder: GeneFinder) -> Iterator[Issue]:
    """W4: ids of more than one annotation, as far as the ids tell."""

    def issue(message: str, columns: Sequence[str]) -> Issue:
        return Issue("W4", "warning", message, counts.name, (), tuple(columns[:EXAMPLES]))

    if "gene_id" not in counts.var:
        yield issue("var lacks gene_id, so the annotation cannot be told; add Ensembl or TAIR ids", [])
        return
    versions: dict[str, set[str]] = {}
    for gene in finder.ids:
        if match := ENSEMBL.match(gene):
            versions.setdefault(match[1], set()).add(match[2] or "")
    twice = [gene for gene, found in versions.items() if len(found - {""}) > 1]
    if twice:
        yield issue(f"{len(twice):,} Ensembl ids occur with several versions; count against one annotation", twice)
    bare = [gene for gene, found in versions.items() if "" in found]
    if bare and len(bare) < len(versions):
        share = f"{len(bare):,} of {len(versions):,}"
        yield issue(f"{share} Ensembl ids have no version and the others have one; count against one annotation", bare)
    for pair in pairs:
        for gene_id in (pair.id_a, pair.id_b):
            match = ENSEMBL.match(gene_id)
            found = versions.get(match[1], set()) - {""} if match else set()
            if match and match[2] and found and match[2] not in found:
                there = f"{match[1]}.{min(found)}"
                yield issue(f"pair {pair.name} states {gene_id} and var['gene_id'] has {there}", [gene_id])


def _columns(names: Sequence[str]) -> dict[str, list[int]]:
    columns: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        columns.setdefault(name, []).append(i)
    return columns
