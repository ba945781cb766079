"""The human gene table and the mapping between symbols and Ensembl ids."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib.resources import as_file, files

import pandas as pd

__all__ = ["GeneMapping", "GeneTable", "human_mouse_pairs", "mouse_symbols", "strip_version"]

#: ``ENSG00000182162.11_PAR_Y`` is version 11 of the copy on the Y chromosome; ``AT1G01010.1`` is the first model.
ENSEMBL_VERSION = re.compile(r"^(ENS[A-Z]*\d{10,11}|AT[1-5MC]G\d{5})\.\d+(_PAR_Y)?$", re.IGNORECASE)


def strip_version(gene_id: str) -> str:
    """Return the stable part of an Ensembl or TAIR id, and any other name (``RP11-34P13.7``) as it is."""
    match = ENSEMBL_VERSION.match(gene_id)
    return match[1] if match else gene_id


@dataclass(frozen=True)
class GeneMapping:
    """What became of a list of names.

    Attributes
    ----------
    names
        The names asked for, in order.
    mapped
        As long as ``names``; None where a name is unknown or ambiguous.
    ambiguous
        Name -> all it could stand for; none of them was chosen.
    moved
        Name -> ids that bore it in older releases, where the current release gives it to the other id in ``mapped``.
    """

    names: tuple[str, ...]
    mapped: tuple[str | None, ...]
    ambiguous: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    moved: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def unmapped(self) -> list[str]:
        """Names that stand for nothing in the table (the ambiguous ones are not among them)."""
        return [
            name
            for name, target in zip(self.names, self.mapped, strict=True)
            if target is None and name not in self.ambiguous
        ]

    @property
    def share(self) -> float:
        """Share of the names that are mapped; NaN for an empty list."""
        return sum(target is not None for target in self.mapped) / len(self.mapped) if self.mapped else float("nan")

    @property
    def shared(self) -> dict[str, list[str]]:
        """Targets that several of the names map to: their columns would have to be added up or kept apart."""
        sources: dict[str, list[str]] = {}
        for name, target in zip(self.names, self.mapped, strict=True):
            if target is not None:
                sources.setdefault(target, []).append(name)
        return {target: names for target, names in sources.items() if len(names) > 1}


class GeneTable:
    """Ensembl ids with their names in older releases and in GENCODE v44.

    Parameters
    ----------
    frame
        Columns ``ensembl_id`` (unique), ``gene_name``, ``gene_type``, ``gencode_v44_name``, ``in_gencode_v44``
        (``"0"``/``"1"``); an empty string means unknown.
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        self.frame = frame.set_index("ensembl_id")

    @staticmethod
    def human() -> GeneTable:
        """Return the bundled human table (74,355 ids), read once."""
        return _human()

    def __len__(self) -> int:
        return len(self.frame)

    def symbols_to_ids(self, symbols: Iterable[str]) -> GeneMapping:
        """Ensembl ids of gene symbols.

        Of all ids that ever bore a symbol, the candidates are the first of these groups that has any: ids that bear
        it in the current and in older releases; that bear it in the current release; that bore it and still exist;
        that bore it. A symbol with one candidate is mapped; with several it is ambiguous and not mapped.

        Parameters
        ----------
        symbols
            Current or older symbols; capitals matter. An Ensembl id among them maps to itself without its version.
        """
        names = tuple(str(symbol) for symbol in symbols)
        mapped: list[str | None] = []
        ambiguous, moved = {}, {}
        for name in names:
            stable = strip_version(name)
            if stable in self._known:
                mapped.append(stable)
                continue
            candidates = self._candidates(name)
            mapped.append(next(iter(candidates)) if len(candidates) == 1 else None)
            if len(candidates) > 1:
                ambiguous[name] = tuple(sorted(candidates))
            elif candidates and name in self._older and not candidates & self._older[name]:
                moved[name] = tuple(sorted(self._older[name]))
        return GeneMapping(names, tuple(mapped), ambiguous, moved)

    def ids_to_symbols(self, ids: Iterable[str]) -> GeneMapping:
        """Symbols of Ensembl ids: the name in GENCODE v44, else the older one; None for an id without a name.

        Several ids may bear one symbol: see :attr:`GeneMapping.shared`.

        Parameters
        ----------
        ids
            Ensembl ids, with or without a version suffix.
        """
        names = tuple(str(gene_id) for gene_id in ids)
        return GeneMapping(names, tuple(self._symbol_of.get(strip_version(name)) for name in names))

    def gene_types(self, ids: Iterable[str]) -> list[str | None]:
        """Biotypes such as ``protein_coding``, None where unknown."""
        return [self._types.get(strip_version(str(gene_id))) or None for gene_id in ids]

    @cached_property
    def symbols(self) -> frozenset[str]:
        """Every symbol, current and older."""
        return frozenset(self._current) | frozenset(self._older)

    def _candidates(self, symbol: str) -> set[str]:
        current, older = self._current.get(symbol, set()), self._older.get(symbol, set())
        return current & older or current or older & self._alive or older

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self.frame.index)

    @cached_property
    def _alive(self) -> set[str]:
        return set(self.frame.index[self.frame["in_gencode_v44"] == "1"])

    @cached_property
    def _current(self) -> dict[str, set[str]]:
        return _ids_by_name(self.frame["gencode_v44_name"])

    @cached_property
    def _older(self) -> dict[str, set[str]]:
        return _ids_by_name(self.frame["gene_name"])

    @cached_property
    def _symbol_of(self) -> dict[str, str]:
        current, older = self.frame["gencode_v44_name"], self.frame["gene_name"]
        best = current.where(current != "", older)
        return dict(best[best != ""].items())

    @cached_property
    def _types(self) -> dict[str, str]:
        return dict(self.frame["gene_type"].items())


def _ids_by_name(names: pd.Series) -> dict[str, set[str]]:
    out: dict[str, set[str]] = {}
    for gene_id, name in names.items():
        if name:
            out.setdefault(name, set()).add(gene_id)
    return out


@cache
def _human() -> GeneTable:
    return GeneTable(_bundled("human_genes.tsv.xz"))


def human_mouse_pairs() -> pd.DataFrame:
    """Human and mouse gene symbols that are homologous by Ensembl 105: many-to-many, 24,857 rows.

    Returns
    -------
    pandas.DataFrame
        Columns ``human_symbol`` and ``mouse_symbol``.
    """
    return _bundled("human_mouse_symbols.tsv.xz")


@cache
def mouse_symbols() -> frozenset[str]:
    """Mouse symbols that have a human homologue."""
    return frozenset(human_mouse_pairs()["mouse_symbol"])


def _bundled(name: str) -> pd.DataFrame:
    with as_file(files("corpuscle.counts") / "data" / name) as path:
        return pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
