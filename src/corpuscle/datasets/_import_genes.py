"""Which columns of a foreign matrix are the genes of a pair, and under which names all genes are stored."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from corpuscle.counts.genes import identifier_kind, reporter_genes, strip_version
from corpuscle.errors import GeneError, OptionError

__all__ = ["GeneColumns", "ReporterMissingError", "reporter_recipe"]

Array = np.ndarray[Any, Any]

ID_COLUMNS = ("gene_id", "gene_ids", "ensembl_id", "ensembl_gene_id", "ensembl", "feature_id", "accession", "id")
SYMBOL_COLUMNS = ("gene_symbol", "gene_symbols", "symbol", "gene_name", "gene_names", "feature_name", "gene", "name")
TYPE_COLUMNS = ("feature_types", "feature_type")
#: Parts of a cassette that many constructs share, so they report nothing.
NOT_REPORTER = re.compile(r"(wpre|neo)", re.IGNORECASE)


class ReporterMissingError(GeneError):
    """No gene of the matrix is the reporter; ``recipe`` says, in several lines, how to count it."""

    def __init__(self, message: str, recipe: str) -> None:
        super().__init__(message)
        self.recipe = recipe


def reporter_recipe(reporter: str = "eGFP") -> str:
    """How to make a reporter countable: several lines of text for people."""
    attributes = " ".join(f'{key} "{reporter}";' for key in ("gene_id", "transcript_id", "gene_name"))
    row = "\t".join(
        [reporter, "transgene", "exon", "1", "LENGTH", ".", "+", ".", f'{attributes} gene_biotype "protein_coding";']
    )
    return f"""\
A reporter is counted only if the reads were aligned to a reference that contains it. To add {reporter}:
1. Append its transcript to the genome FASTA as one more contig:
     >{reporter}
     ...the transcribed sequence of the construct, from the start codon to the polyA site...
2. Append one exon line for it to the GTF (tab-separated; LENGTH is the length of the contig):
     {row}
3. Build the index again from both files, and count the reads again.
Include the 3' UTR and polyA signal of the construct: reads of 3' chemistries fall there, and a contig of the coding
sequence alone loses most of them. Where two reporters share that part (WPRE, bGH polyA), it cannot tell them apart:
leave the shared part out of both. Then import the new matrix.
"""


@dataclass
class GeneColumns:
    """Names, ids and sources of the genes to be stored.

    Attributes
    ----------
    symbols, ids
        Name and id of each stored gene.
    merge
        (genes read) x (genes stored) matrix of 0 and 1 that drops other features and sums split reporters; None if
        the genes are stored as read.
    notes
        What was changed, for people.
    """

    symbols: list[str]
    ids: list[str]
    merge: sp.csr_matrix | None = None
    notes: list[str] = field(default_factory=list)

    @classmethod
    def from_table(cls, var: pd.DataFrame) -> GeneColumns:
        """Read names and ids from the gene table; keep features of type Gene Expression."""
        notes = []
        keep = np.ones(len(var), bool)
        if (types := _column(var, TYPE_COLUMNS)) is not None and "Gene Expression" in types:
            keep = np.array([kind == "Gene Expression" for kind in types])
            if not keep.all():
                notes.append(f"left out {(~keep).sum():,} features that are not Gene Expression")
        names = [str(gene) for gene in var.index]
        shares = identifier_kind(names).shares
        named_by_id = sum(share for kind, share in shares.items() if kind.startswith("Ensembl id")) > 0.5
        other = _column(var, SYMBOL_COLUMNS if named_by_id else ID_COLUMNS)
        if named_by_id:
            symbols, ids = [symbol or name for symbol, name in zip(other or names, names, strict=True)], names
            notes.append(
                "names taken from the symbol column"
                if other
                else "genes are named by Ensembl id: no column has symbols"
            )
        else:
            symbols, ids = names, other or (names if shares.get("TAIR locus", 0) > 0.5 else [""] * len(names))
            if not any(ids):
                notes.append("no column has gene ids")
        columns = cls(symbols, ids, None, notes)
        kept = np.flatnonzero(keep)
        return columns if keep.all() else columns._stored(kept, kept, np.arange(kept.size))

    def find(self, gene: str, what: str) -> int:
        """Position of a gene given by symbol or id.

        Raises
        ------
        GeneError
            It is missing or ambiguous.
        """
        places = self._places(gene)
        if not places:
            near = difflib.get_close_matches(gene, self.symbols, n=3)
            hint = f"near names: {', '.join(near)}" if near else "check the name or the reference"
            raise GeneError(f"{what} {gene} is not among the {len(self.symbols):,} genes; {hint}")
        if len(places) > 1:
            raise GeneError(
                f"{what} {gene} names {len(places)} columns; give its id, or sum them first if they are one gene"
            )
        return places[0]

    def _places(self, gene: str) -> list[int]:
        stable, folded = strip_version(gene), gene.casefold()
        return (
            [i for i, symbol in enumerate(self.symbols) if symbol == gene]
            or [i for i, gene_id in enumerate(self.ids) if gene_id and strip_version(gene_id) == stable]
            or [i for i, symbol in enumerate(self.symbols) if symbol.casefold() == folded]
        )

    def find_reporter(self, asked: str | None) -> GeneColumns:
        """Give the genes with the reporter in one column; itself unless ``A+B`` asks to sum two.

        Raises
        ------
        ReporterMissingError
            No gene is the reporter.
        OptionError
            Several could be, and none was named.
        """
        parts = [part.strip() for part in asked.split("+")] if asked else [self._only_candidate()]
        missing = [part for part in parts if not self._places(part)]
        if missing:
            raise _missing(missing[0])
        places = [self.find(part, "reporter") for part in parts]
        if len(set(places)) > 1:
            return self._summed(places)
        name = self.symbols[places[0]]
        others = [other for other in self._candidates() if other != name and _same_protein(other, name)]
        if others:
            self.notes.append(
                f"only {name} is the reporter; {', '.join(others)} is there too (to sum them: {name}+{others[0]})"
            )
        return self

    def reporter_place(self, asked: str | None) -> int:
        """Position of the reporter, once :meth:`find_reporter` has been asked."""
        return self.find(asked.split("+")[0].strip() if asked else self._only_candidate(), "reporter")

    def _candidates(self) -> list[str]:
        mask = reporter_genes(self.symbols)
        return [self.symbols[i] for i in np.flatnonzero(mask) if not NOT_REPORTER.match(self.symbols[i])]

    def _only_candidate(self) -> str:
        found = self._candidates()
        if not found:
            raise _missing("eGFP")
        if len(found) > 1:
            sums = f", or sum them with {found[0]}+{found[1]} if one reporter was counted under two names"
            sums = sums if _same_protein(found[0], found[1]) else ""
            raise OptionError(
                f"several genes could be the reporter: {', '.join(found)}; name one with --reporter{sums}"
            )
        return found[0]

    def _summed(self, places: Sequence[int]) -> GeneColumns:
        first, rest = places[0], set(places[1:]) - {places[0]}
        kept = [i for i in range(len(self.symbols)) if i not in rest]
        goes_to = {old: new for new, old in enumerate(kept)}
        read = np.arange(len(self.symbols))
        stored = np.array([goes_to[first if i in rest else i] for i in read.tolist()])
        out = self._stored(np.array(kept), read, stored)
        names = [self.symbols[i] for i in places]
        out.notes.append(f"summed {' and '.join(names)} into {names[0]}")
        return out

    def _stored(self, named_by: Array, read: Array, stored: Array) -> GeneColumns:
        """Genes at ``read`` are summed into the places ``stored``, which are named by the genes at ``named_by``."""
        step = sp.csr_matrix((np.ones(read.size, np.int32), (read, stored)), shape=(len(self.symbols), named_by.size))
        merge = step if self.merge is None else self.merge @ step
        return GeneColumns([self.symbols[i] for i in named_by], [self.ids[i] for i in named_by], merge, self.notes)

    def unique_symbols(self, protected: Collection[int]) -> list[str]:
        """Names made unique with ``-1``, ``-2``, ...; genes at ``protected`` keep theirs."""
        taken = {self.symbols[i] for i in protected}
        out, next_number = list(self.symbols), dict[str, int]()
        for i, name in enumerate(self.symbols):
            if i in protected:
                continue
            number = next_number.get(name, 0)
            while out[i] in taken:
                number += 1
                out[i] = f"{name}-{number}"
            next_number[name] = number
            taken.add(out[i])
        changed = sum(old != new for old, new in zip(self.symbols, out, strict=True))
        if changed:
            self.notes.append(f"gave {changed:,} repeated gene names a suffix")
        return out


def _missing(reporter: str) -> ReporterMissingError:
    return ReporterMissingError(
        f"no gene is the reporter {reporter}: align the reads again to a reference with the reporter appended (a FASTA "
        "contig with the construct's 3' UTR and polyA, and one GTF exon line), build the index again and count again; "
        "or name the gene with --reporter",
        reporter_recipe(reporter),
    )


def _same_protein(a: str, b: str) -> bool:
    return a.casefold().removeprefix("e") == b.casefold().removeprefix("e")


def _column(table: pd.DataFrame, names: Sequence[str]) -> list[str] | None:
    by_name = {str(column).casefold().replace(" ", "_"): column for column in reversed(table.columns)}
    for name in names:
        if name in by_name:
            values = table[by_name[name]].astype(object)
            return ["" if pd.isna(value) else str(value) for value in values]
    return None
