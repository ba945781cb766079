"""Checks of options that people write, and of what a stored embedding claims."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from corpuscle.errors import CorpuscleError, OptionError, SourceError

__all__ = ["array_in", "check_name", "genes_in", "integer_in", "whole_number"]

Array = np.ndarray[Any, Any]

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}")
MOST_GENES = 200_000
LONGEST_GENE = 200


def check_name(name: Any) -> str:
    """A name that can be part of a file name and of a key.

    Raises
    ------
    OptionError
        It is not a letter followed by letters, digits and underscores, 40 at most.
    """
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise OptionError(
            f"an embedding cannot be called {str(name)[:60]!r}; use a letter, then letters, digits or _ (40 at most)"
        )
    return name


def whole_number(method: str, option: str, value: Any, least: int = 1) -> int:
    """An option that must be a whole number.

    Raises
    ------
    OptionError
        It is not, or is less than ``least``.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise OptionError(f"{method}: {option}={value!r} must be a whole number, {least} or more")
    return int(value)


def integer_in(meta: dict[str, Any], key: str) -> int:
    """A whole number, 1 or more, of a stored embedding.

    Raises
    ------
    SourceError
        It is not there or is something else.
    """
    value = meta.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise SourceError(f"stored embedding: {key} is no whole number of 1 or more; make the embedding anew")
    return value


def genes_in(meta: dict[str, Any], error: type[CorpuscleError] = SourceError) -> tuple[str, ...]:
    """The ordered list of genes: different names, at least one.

    Raises
    ------
    CorpuscleError
        Of the type ``error``: there is no such list.
    """
    genes = meta.get("genes")
    if not isinstance(genes, list) or not genes or len(genes) > MOST_GENES:
        raise error(f"the list of genes is missing, empty or longer than {MOST_GENES:,}; give one name a gene")
    seen: set[str] = set()
    for place, gene in enumerate(genes, start=1):
        if not isinstance(gene, str) or not gene or len(gene) > LONGEST_GENE or not gene.isprintable():
            raise error(f"entry {place:,} of the list of genes is no name; give printable names, one a gene")
        if gene in seen:
            raise error(f"gene {gene} is in the list of genes twice; keep one")
        seen.add(gene)
    return tuple(genes)


def array_in(arrays: dict[str, Array], key: str, shape: tuple[int, ...]) -> Array:
    """A finite float64 array of this shape.

    Raises
    ------
    SourceError
        It is missing, of another shape, or not finite.
    """
    value = arrays.get(key)
    if value is None or value.dtype.kind != "f" or value.shape != shape:
        found = "is missing" if value is None else f"has the shape {value.shape} and type {value.dtype}"
        raise SourceError(f"stored embedding: {key} {found}, where floats of shape {shape} belong; make it anew")
    if not np.isfinite(value).all():
        raise SourceError(f"stored embedding: {key} has a NaN or infinite value; make the embedding anew")
    return np.ascontiguousarray(value, np.float64)
