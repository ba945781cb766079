"""The captions that a model was trained on: what it was told, and so what it can be expected to know."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from corpuscle.errors import OptionError, SourceError

__all__ = ["Known"]

_PIECE = re.compile(r"(\{\{|\}\}|\{[^{}]*\})")
#: A million captions are no vocabulary any more, and a longer one is no caption.
_MOST, _LONGEST = 1_000_000, 100_000


@dataclass(frozen=True)
class Known:
    """The captions of the training cells.

    Attributes
    ----------
    template
        The sentence they were made from, with columns in braces; None where they are the values of a column, or where
        it is not known.
    counts
        Caption -> cells that had it.
    """

    template: str | None
    counts: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "counts", MappingProxyType(dict(self.counts)))

    @classmethod
    def of_rows(cls, rows: Any, template: str | None = None) -> Known:
        """Count the captions of the cells of rows.

        Parameters
        ----------
        rows
            Dataset, or DatasetDict (its split ``train``), of pairs or multiplets.
        template
            As a data set's manifest names the source of its captions (``"template ..."``, ``"column ..."``), or the
            sentence itself.

        Raises
        ------
        OptionError
            The rows have no captions.
        """
        if isinstance(rows, Mapping):  # a DatasetDict is one
            if "train" not in rows:
                raise OptionError("the data set has no split train; give the rows that the model was trained on")
            rows = rows["train"]
        columns = rows.column_names
        if "positive" in columns:
            said: dict[str, str] = dict(zip(rows["sample_idx"], rows["positive"], strict=True))
        elif {"caption", "label"} <= set(columns):  # of a pair only the true half says something of the cell
            table = rows.select_columns(["sample_idx", "caption", "label"])[:]
            triples = zip(table["sample_idx"], table["caption"], table["label"], strict=True)
            said = {id: caption for id, caption, label in triples if label == 1.0}
        else:
            raise OptionError(f"rows of {', '.join(columns)} have no captions; give rows of pairs or multiplets")
        return cls(_sentence(template), dict(sorted(Counter(said.values()).items())))

    def labels(self) -> dict[str, str]:
        """Caption -> what stood in the template's only field, or the caption itself where that cannot be told."""
        pattern = _pattern(self.template)
        if pattern is None:
            return {caption: caption for caption in self.counts}
        found = {caption: pattern.fullmatch(caption) for caption in self.counts}
        return {caption: match["field"] if match else caption for caption, match in found.items()}

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON; captions are values and never keys."""
        return {"template": self.template, "captions": [[caption, n] for caption, n in self.counts.items()]}

    @classmethod
    def from_dict(cls, value: Any, where: str = "captions") -> Known:
        """Read what :meth:`to_dict` gave; it may come from anyone.

        Raises
        ------
        SourceError
            It is not of this form.
        """
        if not isinstance(value, dict) or set(value) != {"template", "captions"}:
            raise SourceError(f"{where}: is no list of captions; save the model again")
        template, listed = value["template"], value["captions"]
        if not (template is None or _is_text(template)) or not isinstance(listed, list) or len(listed) > _MOST:
            raise SourceError(f"{where}: is no list of captions; save the model again")
        counts: dict[str, int] = {}
        for place, entry in enumerate(listed):
            right = isinstance(entry, list) and len(entry) == 2 and _is_text(entry[0]) and type(entry[1]) is int
            if not right or entry[1] < 0 or entry[0] in counts:
                raise SourceError(f"{where}: entry {place} is no caption with its cells; save the model again")
            counts[entry[0]] = entry[1]
        return cls(template, counts)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= _LONGEST


def _sentence(source: str | None) -> str | None:
    """The sentence that a manifest's source of captions names; None of a column or of several parts."""
    if source is None or source.startswith("column "):
        return None
    sentence = source.removeprefix("template ")
    return sentence if "{" in sentence else None


def _pattern(template: str | None) -> re.Pattern[str] | None:
    """What matches the captions of a template that has one field, however often it stands there."""
    if template is None:
        return None
    said, fields = "", set()
    for piece in _PIECE.split(template):
        if piece in ("{{", "}}"):
            said += re.escape(piece[0])
        elif piece.startswith("{") and piece.endswith("}"):
            name = piece[1:-1].strip()
            said += "(?P=field)" if name in fields else "(?P<field>.+)"
            fields.add(name)
        else:
            said += re.escape(piece)
        if len(fields) > 1:
            return None
    return re.compile(said, re.DOTALL) if fields else None
