"""The text of metadata fields, each distinct value once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from corpuscle.bulk.labels._text import CAP, clean, values_of
from corpuscle.bulk.labels.characteristics import key_of, parse_characteristics

__all__ = ["FieldText", "Metadata", "spelling"]


@dataclass(frozen=True)
class FieldText:
    """Text of a field: code (n,) of every sample's value, -1 for none, and the distinct values."""

    name: str
    code_n: np.ndarray[Any, Any]
    texts: list[str]
    #: Values of which only the beginning is looked at.
    n_cut: int = 0


def spelling(name: str) -> str:
    """A field in the one way it is written: ``"characteristics_ch1:Cell_Line"`` is ``"characteristics_ch1:cell line"``."""
    column, colon, key = name.partition(":")
    return f"{column.strip()}:{key_of(key)}" if colon and key.strip() else column.strip()


@dataclass
class Metadata:
    """Fields of the samples of ``obs``; what has been parsed is kept.

    A field is a column, or ``COLUMN:KEY`` for the values of one key in a column of attributes. Columns are found under
    their own name and, as old files have them, under ``Sample_NAME``.
    """

    obs: pd.DataFrame
    _values: dict[str, tuple[np.ndarray[Any, Any], list[str]]] = field(default_factory=dict)
    _keyed: dict[str, dict[str, dict[int, str]]] = field(default_factory=dict)

    def column(self, name: str) -> str | None:
        """The column of obs that has this field's text; None if there is none."""
        column = name.partition(":")[0]
        return next((found for found in (column, f"Sample_{column}") if found in self.obs), None)

    def text(self, name: str) -> FieldText:
        """The text of a field that has a column."""
        column = self.column(name)
        if column is None:
            raise KeyError(name)
        if column not in self._values:
            self._values[column] = values_of(self.obs[column].array)
        code_n, texts = self._values[column]
        key = name.partition(":")[2]
        if not key:
            return FieldText(name, code_n, [clean(text) for text in texts], sum(len(text) > CAP for text in texts))
        of_text = self._parsed(column, texts).get(key, {})
        distinct: dict[str, int] = {}
        code_t = np.full(len(texts) + 1, -1, dtype=np.int64)
        for place, value in of_text.items():
            code_t[place] = distinct.setdefault(value, len(distinct))
        return FieldText(name, code_t[code_n], list(distinct))

    def _parsed(self, column: str, texts: list[str]) -> dict[str, dict[int, str]]:
        """Key -> which distinct text -> its value; of a key that is there several times, the values in their order."""
        if column not in self._keyed:
            keyed: dict[str, dict[int, str]] = {}
            for place, text in enumerate(texts):
                for key, value in parse_characteristics(text):
                    values = keyed.setdefault(key, {})
                    values[place] = clean(f"{values[place]} ; {value}") if place in values else value
            self._keyed[column] = keyed
        return self._keyed[column]
