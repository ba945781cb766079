"""Marker genes of cell types, and what makes sense of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from corpuscle.annotate.sources._marker_names import split_sign, unique
from corpuscle.errors import OptionError

__all__ = ["MarkerSet", "Markers"]


@dataclass(frozen=True)
class MarkerSet:
    """Marker genes of one type.

    Attributes
    ----------
    positive, negative
        Gene -> weight above 0, of genes that the type has and of genes that it lacks.
    cl_id
        Its Cell Ontology id, None where that is not known.
    """

    positive: Mapping[str, float]
    negative: Mapping[str, float] = field(default_factory=dict)
    cl_id: str | None = None


@dataclass(frozen=True)
class Markers:
    """Marker genes of types, in an order that the columns of the scores will have.

    Parameters
    ----------
    sets
        Type -> its markers.
    source
        Where they are from, in a few words.
    notes
        What was done to the table that its user should know, a line each.

    Raises
    ------
    OptionError
        There is no type, one has no name or no marker, a weight is no number above 0, or a gene is both a positive and a
        negative marker of a type.
    """

    sets: Mapping[str, MarkerSet]
    source: str = "markers"
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.sets:
            raise OptionError(f"{self.source}: it names no type")
        for name, one in self.sets.items():
            _check(self.source, name, one)

    @classmethod
    def of(cls, table: Mapping[str, Any], source: str = "markers") -> Markers:
        """From a mapping: type -> genes, or type -> (positive genes, negative genes).

        A gene written ``"CD4-"`` is a negative marker; a mapping of genes instead of a list gives them weights.

        Raises
        ------
        OptionError
            See the class.
        """
        return cls({name: _set_of(source, name, genes) for name, genes in table.items()}, source)

    @property
    def types(self) -> tuple[str, ...]:
        """Names of the types."""
        return tuple(self.sets)

    @property
    def cl_ids(self) -> tuple[str | None, ...]:
        """Their Cell Ontology ids."""
        return tuple(one.cl_id for one in self.sets.values())

    @property
    def genes(self) -> list[str]:
        """Every gene named, once."""
        return unique(gene for one in self.sets.values() for gene in (*one.positive, *one.negative))

    def chosen(self, types: Sequence[str]) -> Markers:
        """Only these types, by name or Cell Ontology id, in this order.

        Raises
        ------
        OptionError
            One is not there, or is named twice.
        """
        by_id = {one.cl_id: name for name, one in self.sets.items() if one.cl_id}
        names = [name if name in self.sets else by_id.get(name) for name in types]
        if None in names:
            missing = types[names.index(None)]
            known = ", ".join(self.types[:8]) + (", ..." if len(self.sets) > 8 else "")
            raise OptionError(f"{self.source}: it has no type {missing!r}; it has: {known}")
        if len(set(names)) < len(names):
            raise OptionError(f"{self.source}: a type is asked for twice; name each once")
        return Markers({str(name): self.sets[str(name)] for name in names}, self.source, self.notes)


def _set_of(source: str, name: str, genes: Any) -> MarkerSet:
    if isinstance(genes, MarkerSet):
        return genes
    pair = isinstance(genes, tuple) and len(genes) == 2 and not any(isinstance(part, str) for part in genes)
    positive, negative = genes if pair else (genes, ())
    if isinstance(positive, str) or not isinstance(positive, Iterable):
        raise OptionError(f"{source}: markers of {name!r} must be a list of genes, or a pair of lists")
    up: dict[str, float] = {}
    down = {split_sign(str(gene))[0]: weight for gene, weight in _weighted(negative)}
    for gene, weight in _weighted(positive):
        symbol, sign = split_sign(str(gene))
        (up if sign > 0 else down).setdefault(symbol, weight)
    return MarkerSet(up, down)


def _weighted(genes: Any) -> list[tuple[str, float]]:
    if isinstance(genes, Mapping):
        return list(genes.items())
    return [(gene, 1.0) for gene in unique(str(gene) for gene in genes)]


def _check(source: str, name: str, one: MarkerSet) -> None:
    if not isinstance(name, str) or not name.strip():
        raise OptionError(f"{source}: a type has no name")
    if not one.positive and not one.negative:
        raise OptionError(f"{source}: type {name!r} has no marker; give it some or take it out")
    for gene, weight in (*one.positive.items(), *one.negative.items()):
        if not gene.strip():
            raise OptionError(f"{source}: a marker of type {name!r} has no name")
        if not (isinstance(weight, int | float | np.number) and 0 < weight < np.inf):
            raise OptionError(f"{source}: gene {gene} of type {name!r} has weight {weight!r}; give a number above 0")
    both = {gene.upper() for gene in one.positive} & {gene.upper() for gene in one.negative}
    if both:
        raise OptionError(
            f"{source}: gene {min(both)} is both a positive and a negative marker of type {name!r}; take it out of one"
        )
