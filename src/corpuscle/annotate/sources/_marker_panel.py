"""Marker genes of types, found among the genes of one source."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from corpuscle.annotate._expression import Expression
from corpuscle.annotate._expression_genes import human_symbols
from corpuscle.annotate.sources._marker_names import gene_of_protein
from corpuscle.annotate.sources._marker_sets import Markers
from corpuscle.counts.genes import guess_species
from corpuscle.errors import GeneError

__all__ = ["Panel", "panel_of"]

Array = np.ndarray[Any, Any]
#: Genes that an error names.
NAMED = 5


@dataclass(frozen=True)
class Panel:
    """Weights of the m marker genes that a source has, for each of K types.

    Attributes
    ----------
    types, cl_ids
        K names and Cell Ontology ids.
    place_m
        (m,) positions of the genes in the source.
    up_mk, down_mk
        (m, K) weights of positive and of negative markers, 0 where the gene is none.
    absent_up, absent_down
        K lists of markers that the source has not.
    left_out
        Type -> why it was left out.
    notes
        What was done about names, a line each.
    """

    types: tuple[str, ...]
    cl_ids: tuple[str | None, ...]
    place_m: Array
    up_mk: Array
    down_mk: Array
    absent_up: tuple[tuple[str, ...], ...]
    absent_down: tuple[tuple[str, ...], ...]
    left_out: dict[str, str]
    notes: tuple[str, ...]

    def of_genes(self, keep_m: Array) -> Panel:
        """Only these genes, by mask."""
        return replace(self, place_m=self.place_m[keep_m], up_mk=self.up_mk[keep_m], down_mk=self.down_mk[keep_m])

    def without(self, drop_k: Array, why: str) -> Panel:
        """Without the types of a mask, and without the genes that only they had."""
        keep = np.flatnonzero(~drop_k)
        reasons = {self.types[k]: why for k in np.flatnonzero(drop_k)}
        panel = replace(
            self,
            types=_at(self.types, keep),
            cl_ids=_at(self.cl_ids, keep),
            up_mk=self.up_mk[:, keep],
            down_mk=self.down_mk[:, keep],
            absent_up=_at(self.absent_up, keep),
            absent_down=_at(self.absent_down, keep),
            left_out={**self.left_out, **reasons},
        )
        used_m: Array = np.any(panel.up_mk + panel.down_mk > 0, axis=1)
        return panel.of_genes(used_m)

    def with_at_least(self, min_genes: int, lacking: str) -> Panel:
        """Without types that have fewer positive markers."""
        found_k = (self.up_mk > 0).sum(axis=0)
        few = found_k < min_genes
        if not few.any():
            return self
        return self.without(few, lacking if min_genes == 1 else f"{lacking}, of the {min_genes} asked for")


def _at(items: Sequence[Any], places: Iterable[int]) -> tuple[Any, ...]:
    return tuple(items[i] for i in places)


def panel_of(expression: Expression, markers: Markers, *, aliases: bool = True) -> Panel:
    """Find the markers in a source: by symbol or ortholog, and if wanted by an older, newer or protein's name.

    Raises
    ------
    GeneError
        None is there.
    """
    place_of, notes = _places(expression, markers.genes, aliases)
    if not place_of:
        asked, has = ", ".join(markers.genes[:NAMED]), ", ".join(expression.genes[:NAMED])
        raise GeneError(
            f"{expression.name}: none of the {len(markers.genes):,} marker genes of {markers.source} ({asked}, ...) is among "
            f"its {expression.n_genes:,} genes ({has}, ...); use markers of its species and kind of identifier"
        )
    place_m = np.unique(list(place_of.values()))
    row_of = {
        gene: int(row) for gene, row in zip(place_of, np.searchsorted(place_m, list(place_of.values())), strict=True)
    }
    up_mk, absent_up = _matrix([one.positive for one in markers.sets.values()], row_of, place_m.size)
    down_mk, absent_down = _matrix([one.negative for one in markers.sets.values()], row_of, place_m.size)
    both = (up_mk > 0) & (down_mk > 0)
    if both.any():
        up_mk[both] = down_mk[both] = 0
        notes.append(
            f"{both.sum()} genes are a positive and, by another name, a negative marker of one type; left out of it"
        )
    return Panel(
        types=markers.types,
        cl_ids=markers.cl_ids,
        place_m=place_m,
        up_mk=up_mk,
        down_mk=down_mk,
        absent_up=absent_up,
        absent_down=absent_down,
        left_out={},
        notes=tuple(notes),
    )


def _places(expression: Expression, genes: Sequence[str], aliases: bool) -> tuple[dict[str, int], list[str]]:
    """Gene in capitals -> position, and notes."""
    place_of = {gene.upper(): place for gene, place in expression.positions(genes, aliases=aliases).items()}
    notes = []
    missing = [gene for gene in genes if gene.upper() not in place_of]
    if missing and expression.species != "mouse" and guess_species(genes).species == "mouse":
        found = expression.positions(human_symbols(missing))
        partners = {
            gene.upper(): found[h] for gene, h in zip(missing, human_symbols(missing), strict=True) if h in found
        }
        place_of.update(partners)
        notes.append(f"the markers are mouse genes; {len(partners):,} were found by their human ortholog")
        missing = [gene for gene in missing if gene.upper() not in place_of]
    if not aliases:
        return place_of, notes
    proteins = {gene: coded for gene in missing if (coded := gene_of_protein(gene)) is not None}
    found = expression.positions(proteins.values())
    read = {gene: found[coded] for gene, coded in proteins.items() if coded in found}
    if read:
        place_of.update({gene.upper(): place for gene, place in read.items()})
        example = next(iter(read))
        notes.append(
            f"{len(read)} markers are names of proteins and were read as genes, such as {example} as {proteins[example]}"
        )
    return place_of, notes


def _matrix(genes_k: Sequence[Any], row_of: dict[str, int], n_rows: int) -> tuple[Array, tuple[tuple[str, ...], ...]]:
    """(m, K) weights, the largest where a type names a gene in two ways; and the genes that are not there."""
    weight_mk = np.zeros((n_rows, len(genes_k)))
    absent = []
    for k, genes in enumerate(genes_k):
        absent.append(tuple(gene for gene in genes if gene.upper() not in row_of))
        for gene, weight in genes.items():
            row = row_of.get(gene.upper())
            if row is not None:
                weight_mk[row, k] = max(weight_mk[row, k], weight)
    return weight_mk, tuple(absent)
