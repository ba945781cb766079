"""Gene identifiers: what kind they are, which species, and how symbols map to Ensembl ids."""

from corpuscle.counts._gene_names import (
    IdentifierKind,
    SpeciesGuess,
    as_symbols,
    guess_species,
    identifier_kind,
    immunoglobulin_genes,
    mitochondrial,
    reporter_genes,
)
from corpuscle.counts._gene_table import GeneMapping, GeneTable, human_mouse_pairs, strip_version

__all__ = [
    "GeneMapping",
    "GeneTable",
    "IdentifierKind",
    "SpeciesGuess",
    "as_symbols",
    "guess_species",
    "human_mouse_pairs",
    "identifier_kind",
    "immunoglobulin_genes",
    "mitochondrial",
    "reporter_genes",
    "strip_version",
]
