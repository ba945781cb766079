"""Rows of either generation, read back under the column names of today."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corpuscle.corpus.pairs._rows_card import open_placeholders, read_card
from corpuscle.corpus.pairs._rows_open import open_splits
from corpuscle.corpus.pairs._rows_seed import from_seed
from corpuscle.errors import SourceError

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

__all__ = ["Rows", "read_rows"]

_NEGATIVE = re.compile(r"negative_([1-9][0-9]*)(?:_idx)?")


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of one data set.

    Attributes
    ----------
    generation
        1 for rows with a JSON text in ``anndata_ref``, 2 for ``sample_idx`` and ``adata_link``.
    format
        ``"single"``, ``"pairs"`` or ``"multiplets"``.
    splits
        Rows by split. Those of the first generation have ``sample_idx``, ``obs_name``, ``adata_link`` and
        ``adata_format`` in place of ``anndata_ref``; others are as they were found.
    kinds
        What each negative of multiplets stands for, ``"caption"`` or ``"sentence"``. Where the rows do not say so:
        captions throughout for the first generation, and in turn with sentences for the second.
    embeddings
        First generation: links of embeddings, by ``adata_link`` and by key. Else empty.
    card
        Text of the card, None if there is none.
    placeholders
        Names of placeholders that are still open in the card.
    """

    generation: int
    format: str
    splits: Mapping[str, Dataset]
    kinds: tuple[str, ...] = ()
    embeddings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    card: str | None = None
    placeholders: tuple[str, ...] = ()

    @property
    def unfilled_card(self) -> bool:
        """Whether the card is a template that nobody has filled."""
        return bool(self.placeholders)

    def describe(self) -> str:
        """One line: generation, form, rows of each split, and the state of the card."""
        which = "JSON in anndata_ref" if self.generation == 1 else "sample_idx and adata_link"
        sizes = ", ".join(f"{name} {len(rows)}" for name, rows in self.splits.items())
        card = "no card" if self.card is None else "card filled"
        if self.unfilled_card:
            card = f"card is an unfilled template: {', '.join('$' + name for name in self.placeholders)} open"
        return f"generation {self.generation} ({which}), {self.format}; rows: {sizes}; {card}"


def read_rows(source: str | Path | Dataset | DatasetDict, *, card: str | None = None) -> Rows:
    """Read rows of either generation and say which it is.

    Parameters
    ----------
    source
        A folder that ``datasets`` has saved, a folder of parquet files (``train-00000-of-00002.parquet``), or the data
        set itself.
    card
        Text of the card; by default ``README.md`` of the folder.

    Returns
    -------
    Rows
        Its splits under the column names of today.

    Raises
    ------
    SourceError
        The folder is damaged or points out of itself, or the columns are of neither generation.
    """
    splits = _splits(source)
    if card is None and isinstance(source, (str, Path)):
        card = read_card(Path(source))
    found = {(_generation(rows, name), _format(rows)) for name, rows in splits.items()}
    if len(found) != 1:
        raise SourceError(f"splits {', '.join(splits)} differ in generation or form; read them one by one")
    generation, format = found.pop()
    embeddings: dict[str, dict[str, str]] = {}
    if generation == 1:
        read = {name: from_seed(rows, name) for name, rows in splits.items()}
        splits = {name: rows for name, (rows, _) in read.items()}
        for _, links in read.values():
            embeddings.update(links)
    for name, rows in splits.items():
        _check_types(rows, name)
    kinds = _kinds(next(iter(splits.values())), generation) if format == "multiplets" else ()
    return Rows(generation, format, splits, kinds, embeddings, card, open_placeholders(card or ""))


def _splits(source: Any) -> dict[str, Dataset]:
    if isinstance(source, (str, Path)):
        return open_splits(source)
    if isinstance(source, Mapping):
        if not source:
            raise SourceError("the data set has no splits")
        return {str(name): rows for name, rows in source.items()}
    if not hasattr(source, "column_names"):
        raise SourceError(f"{type(source).__name__} is no data set; give a folder, a Dataset or a DatasetDict")
    return {str(getattr(source, "split", None) or "all"): source}


def _generation(rows: Dataset, split: str) -> int:
    columns = set(rows.column_names)
    if {"sample_idx", "adata_link"} <= columns:
        return 2
    if "anndata_ref" in columns:
        return 1
    raise SourceError(
        f"split {split}: rows need sample_idx and adata_link, or anndata_ref; the columns are "
        f"{', '.join(map(str, rows.column_names[:12])) or 'none'}"
    )


def _format(rows: Dataset) -> str:
    if "positive" in rows.column_names:
        return "multiplets"
    return "pairs" if {"caption", "label"} <= set(rows.column_names) else "single"


def _check_types(rows: Dataset, split: str) -> None:
    for name in ("sample_idx", "adata_link"):
        kind = str(getattr(rows.features[name], "dtype", "a nested value"))
        if kind not in ("string", "large_string"):
            raise SourceError(f"split {split}: column {name} is {kind}, not text")
        if rows.select_columns([name]).with_format("arrow")[:].column(name).null_count:
            raise SourceError(f"split {split}: column {name} has rows without a value")


def _kinds(rows: Dataset, generation: int) -> tuple[str, ...]:
    """From the rows' own description where it fits their columns, else by convention."""
    numbers = [int(found[1]) for name in rows.column_names if (found := _NEGATIVE.fullmatch(name))]
    n = max(numbers, default=0)
    if n > 1_000:
        raise SourceError(f"column negative_{n} is beyond any number of negatives")
    try:
        said = json.loads(rows.info.description or "")["corpuscle_pairs"]["negatives"]["kinds"]
    except (ValueError, KeyError, TypeError, RecursionError):
        said = None
    if isinstance(said, list) and len(said) == n and all(kind in ("caption", "sentence") for kind in said):
        return tuple(said)
    return tuple("caption" if generation == 1 or k % 2 == 0 else "sentence" for k in range(n))
