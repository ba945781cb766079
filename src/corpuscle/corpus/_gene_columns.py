"""Which names of the genes of a file to use: a column of its gene table, or the index."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from corpuscle.counts.genes import IdentifierKind, identifier_kind
from corpuscle.errors import OptionError

__all__ = ["INDEX", "GeneNames", "choose_names", "is_ensembl", "is_symbol", "symbol_names"]

#: Columns that hold identifiers in files of 10x, CELLxGENE, Scanpy, Seurat and Geneformer, in this order.
ID_COLUMNS = (
    "ensembl_id", "ensembl_ids", "gene_ids", "gene_id", "ensembl", "ensemblid", "ensembl_gene_id", "feature_id",
    "feature_ids", "accession", "id",
)  # fmt: skip
SYMBOL_COLUMNS = (
    "feature_name", "gene_symbol", "gene_symbols", "symbol", "symbols", "gene_name", "gene_names", "gene_short_name",
    "hgnc_symbol", "mgi_symbol", "gene",
)  # fmt: skip
INDEX = "index"
ANY_CASE = re.compile(r"ENS[A-Z]*\d{10,11}(\.\d+)?(_PAR_Y)?$", re.IGNORECASE)
#: Names that are looked at to choose a column.
SAMPLE = 4000
#: Share of names of a kind that makes a column one of that kind.
MOSTLY = 0.5


@dataclass(frozen=True)
class GeneNames:
    """Names of the genes of a file and where they are from.

    Attributes
    ----------
    column
        The column of the gene table, or ``"index"``.
    names
        (f,) names in the order of the file; empty where missing.
    kind
        See :class:`corpuscle.counts.genes.IdentifierKind`.
    ensembl, symbols
        Whether most are Ensembl gene ids, or have the form of symbols.
    """

    column: str
    names: list[str]
    kind: str
    ensembl: bool
    symbols: bool

    @property
    def recognisable(self) -> list[str]:
        """Those that are there, Ensembl ids in capitals, for functions that tell names by their form."""
        return _recognisable(self.names)


def choose_names(var: pd.DataFrame, column: str | None, vocabulary: Sequence[str], *, source: str) -> GeneNames:
    """The column asked for, else the first whose names look like those of the vocabulary, else the index.

    Where the vocabulary holds Ensembl ids and no column does, names that look like symbols are taken.

    Raises
    ------
    OptionError
        The column asked for is not there.
    """
    if column is not None:
        return _named(column, _asked(var, column, source))
    columns = [*_present(var, ID_COLUMNS), INDEX]
    symbols = [INDEX, *_present(var, SYMBOL_COLUMNS)]
    wanted = [(is_ensembl, columns), (is_symbol, symbols)] if is_ensembl(vocabulary) else [(is_symbol, symbols)]
    for looks_right, places in wanted:
        for place in places:
            names = names_of(var, place)
            if _mostly_there(names) and looks_right(names):
                return _named(place, names)
    return _named(INDEX, names_of(var, INDEX))


def symbol_names(var: pd.DataFrame) -> GeneNames | None:
    """The first of index and symbol columns that holds symbols."""
    for place in [INDEX, *_present(var, SYMBOL_COLUMNS)]:
        names = names_of(var, place)
        if is_symbol(names):
            return _named(place, names)
    return None


def _asked(var: pd.DataFrame, column: str, source: str) -> list[str]:
    if column in var:
        return names_of(var, column)
    if column in (INDEX, var.index.name):
        return names_of(var, INDEX)
    shown = ", ".join(map(str, var.columns[:12])) or "no column"
    raise OptionError(f"{source}: the gene table has no column {column!r}; it has: {shown}, and the index ({INDEX})")


def _named(place: str, names: list[str]) -> GeneNames:
    told = identifier_kind(_recognisable(names))
    return GeneNames(place, names, told.kind, _ensembl_share(told) >= MOSTLY, _symbol_share(told) >= MOSTLY)


def _present(var: pd.DataFrame, known: tuple[str, ...]) -> list[str]:
    """Columns of these names, whatever their capitals, in the order of ``known``."""
    by_name = {str(name).lower(): str(name) for name in reversed(var.columns)}
    return [by_name[name] for name in known if name in by_name]


def names_of(var: pd.DataFrame, place: str) -> list[str]:
    """(f,) names from a column, or from the index."""
    values: Any = var.index if place == INDEX and INDEX not in var else var[place]
    values = pd.Series(values.to_numpy(dtype=object))
    return [name.strip() for name in values.where(values.notna(), "").astype(str)]


def _mostly_there(names: Sequence[str]) -> bool:
    """Whether a column says something of most genes; one that names a few exceptions is not the names of the genes."""
    return sum(map(bool, names)) >= MOSTLY * len(names)


def _recognisable(names: Sequence[str]) -> list[str]:
    return [name.upper() if name[:3] in {"ens", "Ens"} and ANY_CASE.match(name) else name for name in names if name]


def _sample(names: Sequence[str]) -> list[str]:
    return _recognisable(names[:: max(1, len(names) // SAMPLE)])


def _ensembl_share(told: IdentifierKind) -> float:
    """Share of Ensembl gene ids, with or without a version."""
    return told.shares.get("Ensembl id", 0.0) + told.shares.get("Ensembl id with version", 0.0)


def _symbol_share(told: IdentifierKind) -> float:
    return told.shares.get("symbol", 0.0)


def is_ensembl(names: Sequence[str]) -> bool:
    """Whether most names are Ensembl gene ids, with or without a version, by a sample of them."""
    return _ensembl_share(identifier_kind(_sample(names))) >= MOSTLY


def is_symbol(names: Sequence[str]) -> bool:
    """Whether most names have the form of gene symbols, by a sample of them."""
    return _symbol_share(identifier_kind(_sample(names))) >= MOSTLY
