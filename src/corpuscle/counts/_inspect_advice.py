"""From what was found in a source to what is wrong with it and what can be done with it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from corpuscle.counts._gene_names import IdentifierKind
from corpuscle.counts._gene_table import GeneTable, mouse_symbols
from corpuscle.counts.verdict import WHOLE_TRANSCRIPTOME

if TYPE_CHECKING:
    from corpuscle.counts.inspect import Inspection

__all__ = ["Finding", "Names", "Use", "findings", "uses"]

#: Genes in the references of 10x Genomics: so many "cells" are genes in the wrong place.
REFERENCE_SIZES = frozenset({27998, 28692, 31053, 32285, 32738, 33538, 33694, 33696, 36601, 38606, 54232, 55421})
EMPTY_DROPLET_DEPTH = 100
MARKERS_NEEDED = 3
LEVELS = ("error", "warning", "note")


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong (``"error"``, ``"warning"``) or remarkable (``"note"``), and what to do about it."""

    level: Literal["error", "warning", "note"]
    text: str
    way_out: str = ""


@dataclass(frozen=True, slots=True)
class Use:
    """Whether something can be done with a source, and why or why not."""

    what: str
    possible: bool
    reason: str


@dataclass(frozen=True)
class Names:
    """What the advice needs beside an inspection: the names of cells and genes, and the metadata."""

    cells: list[str]
    cells_kind: IdentifierKind
    genes: frozenset[str]
    uns: Mapping[str, Any]


def findings(seen: Inspection, names: Names) -> tuple[Finding, ...]:
    """Everything worth saying, worst first."""
    found = [*_about_values(seen), *_about_orientation(seen, names), *_about_names(seen), *_about_cells(seen)]
    return tuple(sorted(found, key=lambda finding: LEVELS.index(finding.level)))


def way_out(seen: Inspection) -> str:
    """Name the way out of a matrix that is not counts: the layer that is, if one is."""
    if seen.counts_layers:
        names = ", ".join(seen.counts_layers)
        return f"layer {names} looks like raw counts: --layer {seen.counts_layers[0]}"
    return seen.verdict.way_out


def _about_values(seen: Inspection) -> Iterator[Finding]:
    verdict = seen.verdict
    if not verdict.is_counts:
        yield Finding("error", f"{verdict.verdict}, not raw counts", way_out(seen))
    for note in verdict.notes:
        yield Finding("note", note)


def _about_orientation(seen: Inspection, names: Names) -> Iterator[Finding]:
    advice = "transpose it to cells x genes"
    if seen.identifiers.kind == "cell barcode":
        yield Finding("error", "the gene names are cell barcodes: the matrix is genes x cells", advice)
    elif _are_genes(names):
        yield Finding("error", "the cell names are gene names: the matrix is genes x cells", advice)
    elif seen.n_obs in REFERENCE_SIZES:
        text = f"{seen.n_obs:,} cells is the number of genes of a reference: the matrix may be genes x cells"
        yield Finding("warning", text, f"if so, {advice}")


def _are_genes(names: Names) -> bool:
    if names.cells_kind.kind.startswith("Ensembl"):
        return True
    known = GeneTable.human().symbols | mouse_symbols()
    return len(names.cells) >= 10 and sum(cell in known for cell in names.cells) > 0.5 * len(names.cells)


def _about_names(seen: Inspection) -> Iterator[Finding]:
    for repeated, what in ((seen.duplicate_genes, "gene names"), (seen.duplicate_cells, "cell names")):
        if repeated.n:
            text = f"{repeated.n:,} {what} occur more than once, such as {', '.join(repeated.examples)}"
            yield Finding("warning", text, _way_out_of_repeats(seen, what))
    kinds = seen.identifiers
    if kinds.kind == "placeholder":
        yield Finding("warning", "the gene names are placeholders: no gene can be looked up", "restore the gene names")
    if kinds.kind == "Ensembl transcript":
        yield Finding("warning", "the columns are transcripts, not genes", "add up the transcripts of each gene")
    if "date" in kinds.shares:
        text = f"gene names such as {kinds.examples['date']} were turned into dates by a spreadsheet"
        yield Finding("warning", text, "take the gene names from the original file")
    mapping = seen.id_mapping
    if mapping is not None and mapping.n_ambiguous:
        yield Finding("note", f"{mapping.n_ambiguous:,} gene names stand for several Ensembl ids")
    if not seen.n_mitochondrial_genes and seen.species.species != "undetermined":
        yield Finding("note", "no mitochondrial gene among the names: taken out, or under other names")


def _way_out_of_repeats(seen: Inspection, what: str) -> str:
    if seen.bulk is not None and what == "gene names":
        return "of several genes with one symbol keep the one with most counts; their counts are often the same"
    return f"make {what} unique"


def _about_cells(seen: Inspection) -> Iterator[Finding]:
    if seen.empty_cells and seen.depth is not None:
        text = f"{seen.empty_cells:,} cells have no counts"
        yield Finding("warning", text, "remove them: nothing can be divided by their depth")
    if seen.depth and seen.depth["50"] < EMPTY_DROPLET_DEPTH and seen.n_vars >= WHOLE_TRANSCRIPTOME:
        text = f"half of the cells have fewer than {EMPTY_DROPLET_DEPTH} counts: empty droplets are likely among them"
        yield Finding("warning", text, "call cells first, or take the filtered matrix")
    if seen.n_vars < WHOLE_TRANSCRIPTOME:
        text = f"only {seen.n_vars:,} genes: a selection, so that cell totals are not sequencing depths"
        yield Finding("note", text)


def uses(seen: Inspection, names: Names) -> tuple[Use, ...]:
    """Say what can be done with the source, and why or why not."""
    return (_normalize(seen), _coregulation(seen, names), _ids(seen))


def _normalize(seen: Inspection) -> Use:
    what = "normalize"
    if not seen.verdict.is_counts:
        return Use(what, False, f"{seen.verdict.verdict}, not raw counts")
    if seen.empty_cells:
        return Use(what, False, f"{seen.empty_cells:,} cells have no counts; remove them first")
    return Use(what, True, "raw counts, no empty cell")


def _coregulation(seen: Inspection, names: Names) -> Use:
    what = "bench coregulation"
    if not seen.verdict.is_counts:
        return Use(what, False, f"{seen.verdict.verdict}, not raw counts")
    declared = list(_declared_pairs(names))
    there = [pair for pair, missing in declared if not missing]
    if there:
        return Use(what, True, "declared: " + "; ".join(there))
    if declared:
        pair, missing = declared[0]
        return Use(what, False, f"declared {pair}, but not among the gene names: {', '.join(missing)}")
    lambdas = [gene for gene in seen.light_chains if gene.startswith("IGLC")]
    if "IGKC" in seen.light_chains and lambdas and len(seen.b_cell_markers) >= MARKERS_NEEDED:
        lam = "IGLC2" if "IGLC2" in lambdas else lambdas[0]
        reason = (
            f"IGKC against {lam} (detected in {seen.light_chains['IGKC']:,} and {seen.light_chains[lam]:,} cells) in "
            f"{seen.n_b_cells:,} B cells by markers"
        )
        return Use(what, True, reason)
    if seen.reporters:
        return Use(what, True, f"reporter {', '.join(seen.reporters)}, once its target gene is declared")
    return Use(what, False, f"no pair of known sign: no reporter, and {_why_no_light_chains(seen)}")


def _why_no_light_chains(seen: Inspection) -> str:
    if "IGKC" not in seen.light_chains or len(seen.light_chains) < 2:
        return "IGKC and IGLC genes are not both there"
    return f"only {len(seen.b_cell_markers)} of the B-cell markers are there and {MARKERS_NEEDED} are needed"


def _declared_pairs(names: Names) -> Iterator[tuple[str, list[str]]]:
    """Each pair that the metadata declare, in words, with those of its genes that are not there."""
    reporters, exclusions = names.uns.get("reporters"), names.uns.get("exclusion_pairs")
    for reporter, entry in reporters.items() if isinstance(reporters, Mapping) else ():
        yield _pair(names, "with", str(reporter), _entry(entry, "target_gene_symbol"))
    for entry in exclusions.values() if isinstance(exclusions, Mapping) else ():
        yield _pair(names, "against", _entry(entry, "gene_a_symbol"), _entry(entry, "gene_b_symbol"))


def _entry(entry: Any, key: str) -> str:
    return str(entry.get(key, f"({key} not given)")) if isinstance(entry, Mapping) else f"({key} not given)"


def _pair(names: Names, word: str, *genes: str) -> tuple[str, list[str]]:
    return f"{genes[0]} {word} {genes[1]}", [gene for gene in genes if gene not in names.genes]


def _ids(seen: Inspection) -> Use:
    what = "human Ensembl ids, for tokens"
    mapping = seen.id_mapping
    if mapping is None:
        return Use(what, False, f"species is {seen.species.species}")
    reason = f"{mapping.share_genes:.1%} of the genes lead to one id"
    if not math.isnan(mapping.share_counts):
        reason += f", with {mapping.share_counts:.1%} of the counts"
    return Use(what, mapping.share_genes > 0, reason)
