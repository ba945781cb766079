"""How a name in a file becomes a gene of the vocabulary: one attempt after the other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Literal

from corpuscle.corpus._gene_columns import is_ensembl
from corpuscle.counts.genes import GeneTable, guess_species, human_mouse_pairs, strip_version

__all__ = ["HOW", "Found", "How", "VocabularyIndex", "alias_places", "index_vocabulary"]

How = Literal["exact", "version", "case", "alias", "symbol", "ortholog"]
HOW: tuple[How, ...] = ("exact", "version", "case", "alias", "symbol", "ortholog")
PAR_Y = "_PAR_Y"


@dataclass(frozen=True)
class VocabularyIndex:
    """The genes of a vocabulary, ready to be looked up.

    Attributes
    ----------
    place
        Gene -> its place in the vocabulary.
    place_upper
        The same by the gene in capitals, where no two genes agree in that.
    ensembl
        Whether they are Ensembl ids, whose letter case means nothing.
    species
        Whose genes they are; empty if that cannot be told.
    """

    place: dict[str, int]
    place_upper: dict[str, int]
    ensembl: bool
    species: frozenset[str]


@lru_cache(maxsize=4)
def index_vocabulary(gene_ids: tuple[str, ...]) -> VocabularyIndex:
    """Index a vocabulary; many files ask for the same one."""
    place = {gene: i for i, gene in enumerate(gene_ids)}
    upper: dict[str, list[int]] = {}
    for gene, i in place.items():
        upper.setdefault(gene.upper(), []).append(i)
    species = guess_species(gene_ids).species
    return VocabularyIndex(
        place,
        {gene: places[0] for gene, places in upper.items() if len(places) == 1},
        is_ensembl(gene_ids),
        species_set(species),
    )


def species_set(guess: str) -> frozenset[str]:
    """The species of a guess; none if it is undetermined."""
    return frozenset() if guess == "undetermined" else frozenset(guess.split(" and "))


def alias_places(aliases: Mapping[str, str], vocabulary: VocabularyIndex) -> dict[str, int]:
    """Other name -> place, of the aliases that lead into the vocabulary."""
    out = {}
    for name, gene in aliases.items():
        place = vocabulary.place.get(gene)
        if place is None:
            place = vocabulary.place_upper.get(strip_version(gene).upper())
        if place is not None:
            out[name] = place
    return out


@dataclass
class Found:
    """What became of the names of one file so far.

    Attributes
    ----------
    places
        (f,) place in the vocabulary, or -1.
    by
        How many names were found in which way.
    ambiguous
        Names that could be several genes of the vocabulary, and none was chosen.
    """

    places: list[int]
    by: dict[str, int] = field(default_factory=lambda: dict.fromkeys(HOW, 0))
    ambiguous: int = 0

    @property
    def matched(self) -> int:
        """Names that were found."""
        return sum(self.by.values())

    def put(self, i: int, place: int, how: How) -> None:
        """Name ``i`` is the gene at ``place``."""
        self.places[i] = place
        self.by[how] += 1

    def missing(self, names: Sequence[str]) -> dict[int, str]:
        """Position -> name of those not found yet."""
        return {i: names[i] for i, place in enumerate(self.places) if place < 0 and names[i]}


def match_directly(
    names: Sequence[str], vocabulary: VocabularyIndex, aliases: Mapping[str, int], *, any_case: bool
) -> Found:
    """Find names that are ids of the vocabulary, or aliases of some: as they are, without version, in other letters.

    An alias comes first: it is what the user said about this very name.
    """
    found = Found([-1] * len(names))
    place, upper = vocabulary.place, vocabulary.place_upper if any_case else {}
    for i, name in enumerate(names):
        if aliases:
            alias = aliases.get(name)
            if alias is None:
                alias = aliases.get(name.upper())
            if alias is not None:
                found.put(i, alias, "exact" if place.get(name) == alias else "alias")
                continue
        exact = place.get(name)
        if exact is not None:
            found.put(i, exact, "exact")
            continue
        stable = strip_version(name.removesuffix(PAR_Y) if PAR_Y in name and "." not in name else name)
        if stable != name and stable in place:
            found.put(i, place[stable], "version")
        elif stable != name and aliases and stable.upper() in aliases:
            found.put(i, aliases[stable.upper()], "alias")
        elif stable.upper() in upper:
            found.put(i, upper[stable.upper()], "case")
    return found


def match_symbols(found: Found, names: Sequence[str], vocabulary: VocabularyIndex, *, any_case: bool) -> None:
    """Find human gene symbols, current or older, by the bundled gene table; ambiguous ones are left alone."""
    missing = found.missing(names)
    symbols = missing.values()
    if any_case:
        table, spelled = GeneTable.human(), _spelling()
        symbols = [name if name in table.symbols else spelled.get(name.upper(), name) for name in missing.values()]  # type: ignore[assignment]
    _put_symbols(found, list(missing), list(symbols), vocabulary, "symbol")


def match_orthologs(found: Found, names: Sequence[str], symbols: Sequence[str], vocabulary: VocabularyIndex) -> None:
    """Find human genes of mouse symbols that have one human partner and are its only one, or that share its name."""
    partner, several = _human_partner()
    at, human = [], []
    for i in found.missing(names):
        mouse = symbols[i].upper()
        if mouse in partner:
            at.append(i)
            human.append(partner[mouse])
        elif mouse in several:
            found.ambiguous += 1
    _put_symbols(found, at, human, vocabulary, "ortholog")


def _put_symbols(found: Found, at: Sequence[int], symbols: list[str], vocabulary: VocabularyIndex, how: How) -> None:
    if not vocabulary.ensembl:
        for i, symbol in zip(at, symbols, strict=True):
            if symbol in vocabulary.place:
                found.put(i, vocabulary.place[symbol], how)
        return
    mapping = GeneTable.human().symbols_to_ids(symbols)
    for i, symbol, gene in zip(at, symbols, mapping.mapped, strict=True):
        place = None if gene is None else vocabulary.place.get(gene)
        if place is None and symbol in mapping.moved:  # an older vocabulary may know the gene by the id it had then
            older = _known(mapping.moved[symbol], vocabulary)
            place = older[0] if len(older) == 1 else None
        if place is not None:
            found.put(i, place, how)
        elif symbol in mapping.ambiguous and _known(mapping.ambiguous[symbol], vocabulary):
            found.ambiguous += 1


def _known(genes: Iterable[str], vocabulary: VocabularyIndex) -> list[int]:
    return [vocabulary.place[gene] for gene in genes if gene in vocabulary.place]


@cache
def _spelling() -> dict[str, str]:
    """Human symbol in capitals -> the symbol, where that is clear."""
    spelled: dict[str, list[str]] = {}
    for symbol in GeneTable.human().symbols:
        spelled.setdefault(symbol.upper(), []).append(symbol)
    return {upper: symbols[0] for upper, symbols in spelled.items() if len(symbols) == 1}


@cache
def _human_partner() -> tuple[dict[str, str], frozenset[str]]:
    """Mouse symbol in capitals -> human symbol; and the mouse symbols whose partner is not clear."""
    pairs = human_mouse_pairs()
    human, mouse = pairs["human_symbol"], pairs["mouse_symbol"]
    upper = mouse.str.upper()
    only = ~human.duplicated(keep=False) & ~upper.duplicated(keep=False)
    same = (human.str.upper() == upper) & ~only
    same &= ~human.where(same).duplicated(keep=False) & ~upper.where(same).duplicated(keep=False)
    clear = only | same
    partner = dict(zip(upper[clear], human[clear], strict=True))
    return partner, frozenset(upper[~upper.isin(partner.keys())])
