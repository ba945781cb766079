"""Which gene of the vocabulary each column of a file is: decided once per file, and reported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
import scipy.sparse as sp

from corpuscle.corpus._gene_columns import GeneNames, choose_names, symbol_names
from corpuscle.corpus._gene_match import (
    Found,
    VocabularyIndex,
    alias_places,
    index_vocabulary,
    match_directly,
    match_orthologs,
    match_symbols,
    species_set,
)
from corpuscle.counts.genes import SpeciesGuess, guess_species
from corpuscle.errors import GeneError, OptionError

__all__ = ["GeneMatch", "GeneOptions", "GenePlan", "check_match", "plan_genes"]

Symbols = Literal["auto", "always", "never"]
#: Below this share of genes found, whose genes they are decides whether to go on.
FEW = 0.5
EXAMPLES = 5


@dataclass(frozen=True)
class GeneOptions:
    """How the genes of files are to be recognised.

    Parameters
    ----------
    column
        Column of the gene table with the identifiers, or ``"index"``; default: the one that looks like it.
    aliases
        Other names of genes -> genes of the vocabulary, tried before anything else.
    symbols
        Map human gene symbols to Ensembl ids: ``"auto"`` where most names are symbols, so that a symbol left among
        ids is not taken for a gene; ``"always"``; ``"never"``.
    orthologs
        Map the genes of mouse data to human ones.

    Raises
    ------
    OptionError
        ``symbols`` is none of the three.
    """

    column: str | None = None
    aliases: Mapping[str, str] = field(default_factory=dict)
    symbols: Symbols = "auto"
    orthologs: bool = False

    def __post_init__(self) -> None:
        if self.symbols not in get_args(Symbols):
            raise OptionError(f"symbols {self.symbols!r} is none of {', '.join(get_args(Symbols))}")


@dataclass(frozen=True)
class GeneMatch:
    """What became of the genes of a file: ``matched + ambiguous + unmatched == n_genes``.

    Attributes
    ----------
    column
        Where the names are from: a column of the gene table, or ``"index"``.
    kind, species
        What the names look like and whose genes they are.
    n_genes
        Genes of the file.
    matched
        Those that are a gene of the vocabulary.
    by
        How those were found: ``exact``, ``version`` (version suffix taken off), ``case`` (other letters), ``alias``,
        ``symbol``, ``ortholog`` -> number.
    summed
        Matched columns whose counts are added to those of another one, because both are the same gene.
    ambiguous
        Symbols of several genes of the vocabulary; none was chosen.
    unmatched
        The others.
    unmatched_examples
        Some of their names.
    targets
        Genes of the vocabulary that were reached: ``matched - summed``.
    """

    column: str
    kind: str
    species: str
    n_genes: int
    matched: int
    by: dict[str, int]
    summed: int
    ambiguous: int
    unmatched: int
    unmatched_examples: tuple[str, ...]
    targets: int

    def to_dict(self) -> dict[str, Any]:
        """The same as plain types, for JSON."""
        return {**asdict(self), "unmatched_examples": list(self.unmatched_examples)}


@dataclass(frozen=True, eq=False)
class GenePlan:
    """Which gene of the vocabulary each column is.

    Attributes
    ----------
    slot_f
        (f,) int32 place in the vocabulary of each column of the file, or -1.
    collapses
        Whether two columns have the same place, so that their counts must be added.
    match
        The report.
    """

    slot_f: np.ndarray[Any, np.dtype[np.int32]]
    collapses: bool
    match: GeneMatch


def plan_genes(var: pd.DataFrame, gene_ids: Sequence[str], options: GeneOptions, *, source: str) -> GenePlan:
    """Find the genes of a file in a vocabulary.

    Each name is tried in this order: as an alias, as it is, without its version suffix, in other letter case; then as
    a human symbol; for mouse data, on request, as an ortholog. Of orthologs the one-to-one pairs are used, and of the
    others the pair that shares its name (Ensembl 105); the rest is ambiguous.

    Parameters
    ----------
    var
        Gene table of the file, its index the gene names.
    gene_ids
        (g,) genes of the vocabulary, each once.
    options
        How to recognise genes.
    source
        What messages call the file.

    Raises
    ------
    OptionError
        The column asked for is not there, or no alias leads into the vocabulary.
    GeneError
        No gene is in the vocabulary, or most are those of another species than the vocabulary's.
    """
    vocabulary = index_vocabulary(tuple(gene_ids))
    aliases = alias_places(options.aliases, vocabulary)
    if options.aliases and not aliases:
        name, gene = next(iter(options.aliases.items()))
        raise OptionError(
            f"no alias leads to a gene of the vocabulary: {name} to {gene}, for one; check the alias file"
        )
    names = choose_names(var, options.column, gene_ids, source=source)
    guess = guess_species(names.recognisable)
    species = species_set(guess.species)
    same_species = bool(species) and species <= vocabulary.species
    found = match_directly(names.names, vocabulary, aliases, any_case=vocabulary.ensembl or same_species)
    # Whoever maps most of what is found by aliases of their own has decided whose genes these are to be.
    foreign = species - vocabulary.species if 2 * found.by["alias"] <= found.matched else frozenset()
    if foreign and vocabulary.species and found.matched < FEW * len(names.names):
        _translate(found, names, vocabulary, var, guess, options, source)
    elif _wants_symbols(options, names, vocabulary):
        match_symbols(found, names.names, vocabulary, any_case=species == {"human"})
    return _checked(_plan(found, names, guess), vocabulary, options, source)


def _wants_symbols(options: GeneOptions, names: GeneNames, vocabulary: VocabularyIndex) -> bool:
    if options.symbols == "never" or not vocabulary.ensembl or "human" not in vocabulary.species:
        return False
    return options.symbols == "always" or names.symbols


def _translate(
    found: Found,
    names: GeneNames,
    vocabulary: VocabularyIndex,
    var: pd.DataFrame,
    guess: SpeciesGuess,
    options: GeneOptions,
    source: str,
) -> None:
    """Map mouse genes to human ones if that was asked for; refuse what cannot be mapped."""
    ours = " and ".join(sorted(vocabulary.species))
    what = f"{source}: these are {guess.species} genes ({guess.evidence}) and the vocabulary is {ours}"
    if guess.species != "mouse" or "human" not in vocabulary.species:
        mixed = species_set(guess.species) & vocabulary.species
        advice = f"keep the {ours} genes and cells alone" if mixed else f"give {ours} data"
        raise GeneError(f"{what}; {advice}, or give a map of the identifiers (--aliases)")
    if not options.orthologs:
        raise GeneError(
            f"{what}; ask for human orthologs (--orthologs) if that is meant, or use a vocabulary of mouse genes"
        )
    symbols = symbol_names(var) if names.ensembl else names
    if symbols is None:
        raise GeneError(
            f"{source}: orthologs are found by mouse gene symbols, and the gene table has Ensembl ids only; add a column "
            f"gene_symbols, or give a map of the identifiers (--aliases)"
        )
    match_orthologs(found, names.names, symbols.names, vocabulary)


def _plan(found: Found, names: GeneNames, guess: SpeciesGuess) -> GenePlan:
    slot_f = np.array(found.places, np.int32)
    targets = int(np.unique(slot_f[slot_f >= 0]).size)
    examples = (name for name, place in zip(names.names, found.places, strict=True) if place < 0 and name)
    match = GeneMatch(
        column=names.column,
        kind=names.kind,
        species=guess.species,
        n_genes=slot_f.size,
        matched=found.matched,
        by=dict(found.by),
        summed=found.matched - targets,
        ambiguous=found.ambiguous,
        unmatched=slot_f.size - found.matched - found.ambiguous,
        unmatched_examples=tuple(name for name, _ in zip(examples, range(EXAMPLES), strict=False)),
        targets=targets,
    )
    return GenePlan(slot_f, targets < found.matched, match)


def _checked(plan: GenePlan, vocabulary: VocabularyIndex, options: GeneOptions, source: str) -> GenePlan:
    if plan.match.matched:
        return plan
    where = "the index" if plan.match.column == "index" else f"column {plan.match.column}"
    raise GeneError(
        f"{source}: none of its {plan.match.n_genes:,} genes is among the {len(vocabulary.place):,} of the vocabulary "
        f"(0 %); {where} looks like {_looks(plan.match)}; {_advice(plan.match.kind, options)}"
    )


def _looks(match: GeneMatch) -> str:
    examples = ", ".join(match.unmatched_examples[:3])
    return f"{match.kind} names, species {match.species} ({examples})" if examples else "no names at all"


def _advice(kind: str, options: GeneOptions) -> str:
    """What to do about names of this kind."""
    if kind == "symbol" and options.symbols == "never":
        return "let symbols be mapped, or name the column with Ensembl ids (--gene-column)"
    if kind in ("placeholder", "none", "other", "number"):
        return "the file lost its gene names: put Ensembl ids into its gene table"
    if kind == "cell barcode":
        return "cells and genes seem to be swapped: transpose the matrix"
    if kind in ("Entrez number", "RefSeq transcript", "Ensembl transcript"):
        return "map them to Ensembl gene ids first, or give a map of them (--aliases)"
    return "name the column with Ensembl ids (--gene-column), or give a map of the names (--aliases)"


def check_match(plan: GenePlan, x_nf: sp.csr_matrix, min_match: float, *, source: str) -> float:
    """Refuse a file of which too much would be left out.

    Parameters
    ----------
    plan
        Of this file.
    x_nf
        Counts of some of its cells, all of its f genes.
    min_match
        Least share, 0 to 1, of the counts that must lie in genes of the vocabulary.
    source
        What messages call the file.

    Returns
    -------
    float
        The share; NaN if the sample has no counts.

    Raises
    ------
    OptionError
        ``min_match`` is not from 0 to 1.
    GeneError
        The share is below it, or no gene is in the vocabulary.
    """
    if not 0 <= min_match <= 1:
        raise OptionError(f"the least share of matched counts is from 0 to 1, not {min_match:g} (--min-match)")
    match = plan.match
    total = float(x_nf.data.sum(dtype=np.float64))
    matched = float(x_nf.data[plan.slot_f[x_nf.indices] >= 0].sum(dtype=np.float64))
    share = matched / total if total else float("nan")
    if match.matched and not share < min_match:
        return share
    raise GeneError(
        f"{source}: only {share:.1%} of the counts of its first {x_nf.shape[0]:,} cells lie in genes of the vocabulary, "
        f"below {min_match:.0%} ({match.matched:,} of {match.n_genes:,} genes of column {match.column} found; not found: "
        f"{', '.join(match.unmatched_examples) or 'none'}); name the right column (--gene-column), give a map of the "
        f"names (--aliases), or accept it (--min-match)"
    )
