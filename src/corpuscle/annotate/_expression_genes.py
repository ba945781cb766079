"""Gene names of a source as human-style symbols, and where a symbol from somewhere else is among them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache, cached_property

import pandas as pd

from corpuscle.counts.genes import GeneTable, as_symbols, guess_species, human_mouse_pairs, identifier_kind

__all__ = ["GeneNames", "human_symbols"]

#: Columns of ``var`` that hold symbols where the names are ids.
SYMBOL_COLUMNS = (
    "gene_symbol",
    "gene_symbols",
    "gene_name",
    "gene_names",
    "feature_name",
    "symbol",
    "symbols",
    "hgnc_symbol",
)


class GeneNames:
    """The genes of a source under the names that marker tables and models use.

    Parameters
    ----------
    var
        Gene table; its index holds the names.

    Attributes
    ----------
    names
        (g,) names as in the source.
    symbols
        (g,) symbols in capitals, those of the mouse replaced by their human partner: one to one, or of the same name.
        A gene without a known symbol keeps its name.
    species
        ``"human"``, ``"mouse"``, another, or ``"undetermined"``.
    """

    def __init__(self, var: pd.DataFrame) -> None:
        self.names = [str(name) for name in var.index]
        self._own = [symbol.strip().upper() for symbol in _symbols(self.names, var)]
        self.species = guess_species(self.names).species
        if self.species == "undetermined" and self._own != self.names:
            self.species = guess_species(_symbols(self.names, var)).species
        self.symbols = human_symbols(self._own) if self.species == "mouse" else self._own

    @cached_property
    def repeated(self) -> dict[str, list[int]]:
        """Symbol -> its columns, of symbols that several columns bear."""
        places: dict[str, list[int]] = {}
        for i, symbol in enumerate(self.symbols):
            places.setdefault(symbol, []).append(i)
        return {symbol: columns for symbol, columns in places.items() if len(columns) > 1}

    def positions(self, symbols: Iterable[str], *, aliases: bool = True) -> dict[str, int]:
        """Column of each symbol that is found: by symbol, by the source's own name, by an older or newer name.

        Parameters
        ----------
        symbols
            Gene symbols or human Ensembl ids, in any letter case.
        aliases
            Match a name that is not found through the Ensembl id that it had or has, if that is a single one: ``IGJ`` of
            an older reference is ``JCHAIN``.

        Returns
        -------
        dict
            As asked -> position; what is not found is left out. Of columns with the same symbol the first is taken, and
            one that bears the symbol as its own name before one that has it from its ortholog. In mouse data a human gene
            is found, too, if it has a single mouse ortholog, which it may share: ``CD8B`` is ``Cd8b1``.
        """
        asked = list(dict.fromkeys(symbols))
        found: dict[str, int] = {}
        for symbol in asked:
            place = self._place_of(symbol.strip())
            if place is not None:
                found[symbol] = place
        missing = [symbol for symbol in asked if symbol not in found]
        if self.species == "mouse":
            partner = _mouse_partner()
            for symbol in missing:
                place = self._own_place.get(partner.get(symbol.strip().upper(), ""))
                if place is not None:
                    found[symbol] = place
        if aliases and missing and self.species in ("human", "undetermined"):
            for symbol, gene_id in zip(missing, _ids([name.strip().upper() for name in missing]), strict=True):
                if gene_id is not None and gene_id in self._id_place:
                    found[symbol] = self._id_place[gene_id]
        return found

    def _place_of(self, symbol: str) -> int | None:
        upper = symbol.upper()
        # Capitals ask a mouse for the ortholog of a human gene, even where a mouse gene of another origin has that name.
        if symbol in self._exact and not (self.species == "mouse" and symbol == upper):
            return self._exact[symbol]
        place = self._place.get(upper)
        return self._own_place.get(upper) if place is None else place

    @cached_property
    def _exact(self) -> dict[str, int]:
        return {name: len(self.names) - 1 - i for i, name in enumerate(reversed(self.names))}

    @cached_property
    def _place(self) -> dict[str, int]:
        place: dict[str, int] = {}
        for i, (symbol, own) in enumerate(zip(self.symbols, self._own, strict=True)):
            if symbol == own:
                place.setdefault(symbol, i)
        for i, symbol in enumerate(self.symbols):
            place.setdefault(symbol, i)
        return place

    @cached_property
    def _own_place(self) -> dict[str, int]:
        place: dict[str, int] = {}
        for names in (self._own, [name.upper() for name in self.names]):
            for i, name in enumerate(names):
                place.setdefault(name, i)
        return place

    @cached_property
    def _id_place(self) -> dict[str, int]:
        place: dict[str, int] = {}
        for i, gene_id in enumerate(_ids(self._own)):
            if gene_id is not None:
                place.setdefault(gene_id, i)
        return place


def _symbols(names: list[str], var: pd.DataFrame) -> list[str]:
    """Symbols of names that may be ids: from a column of the table, else by the human gene table."""
    column = next((name for name in SYMBOL_COLUMNS if name in var.columns), None)
    if column is None or identifier_kind(names).kind in ("symbol", "mixed"):
        return as_symbols(names)
    given = ["" if pd.isna(value) else str(value).strip() for value in var[column]]
    return as_symbols([symbol or name for symbol, name in zip(given, names, strict=True)])


def _ids(symbols: Sequence[str]) -> list[str | None]:
    return list(GeneTable.human().symbols_to_ids(symbols).mapped)


def human_symbols(mouse: Iterable[str]) -> list[str]:
    """Human partner, in capitals, of each mouse symbol: one to one, or of the same name; others as they are."""
    partner = _human_partner()
    return [partner.get(name.upper(), name.upper()) for name in mouse]


@cache
def _human_partner() -> dict[str, str]:
    """Mouse symbol in capitals -> human symbol in capitals, where the choice is clear."""
    pairs = human_mouse_pairs()
    human, mouse = pairs["human_symbol"].str.upper(), pairs["mouse_symbol"].str.upper()
    only = ~human.duplicated(keep=False) & ~mouse.duplicated(keep=False)
    clear = only | (human == mouse)
    return dict(zip(mouse[clear], human[clear], strict=True))


@cache
def _mouse_partner() -> dict[str, str]:
    """Human symbol -> mouse symbol, both in capitals, of human genes with one ortholog, whoever else it belongs to."""
    pairs = human_mouse_pairs()
    human, mouse = pairs["human_symbol"].str.upper(), pairs["mouse_symbol"].str.upper()
    only = ~human.duplicated(keep=False)
    return dict(zip(human[only], mouse[only], strict=True))
