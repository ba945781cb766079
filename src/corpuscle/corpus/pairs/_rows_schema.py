"""Columns of the rows. They follow from the form alone, never from the first row, so every split has the same ones."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from corpuscle.errors import OptionError

if TYPE_CHECKING:
    from datasets import Features

__all__ = ["ARCHIVE_FORMATS", "FORMATS", "negative_columns", "row_columns", "row_features", "sentence_columns"]

FORMATS = ("single", "pairs", "multiplets")
ARCHIVE_FORMATS = ("zarr.zip", "zarr", "h5ad")
_SENTENCE = re.compile(r"cell_sentence_([1-9][0-9]*)")
_TAIL = ("batch", "group", "adata_link", "adata_sha256", "adata_format")


def sentence_columns(columns: Sequence[str]) -> tuple[str, ...]:
    """The ``cell_sentence_k`` among ``columns``, by number.

    Raises
    ------
    OptionError
        They do not count from 1 without a gap, or there are none.
    """
    numbers = sorted(int(found[1]) for name in columns if (found := _SENTENCE.fullmatch(str(name))))
    if not numbers or numbers != list(range(1, len(numbers) + 1)):
        have = ", ".join(f"cell_sentence_{number}" for number in numbers) or "none"
        raise OptionError(f"rows need columns cell_sentence_1, cell_sentence_2, ... without a gap, and have {have}")
    return tuple(f"cell_sentence_{number}" for number in numbers)


def negative_columns(n_negatives: int, resolve: bool) -> tuple[str, ...]:
    """Columns of the negatives: ids, and with ``resolve`` their texts."""
    ids = [f"negative_{k}_idx" for k in range(1, n_negatives + 1)]
    texts = [f"negative_{k}" for k in range(1, n_negatives + 1)] if resolve else []
    return (*ids, *texts)


def row_columns(format: str, n_sentences: int = 2, n_negatives: int = 2, resolve: bool = False) -> tuple[str, ...]:
    """Names of the columns, in order.

    Raises
    ------
    OptionError
        The form is not one of single, pairs and multiplets.
    """
    if format not in FORMATS:
        raise OptionError(f"no rows of the form {format!r}; it is one of {', '.join(FORMATS)}")
    head = ("sample_idx", "obs_name", *(f"cell_sentence_{k}" for k in range(1, n_sentences + 1)))
    if format == "single":
        return (*head, *_TAIL)
    if format == "pairs":
        return (*head, "caption", "label", *_TAIL, "caption_source")
    return (*head, "positive", *negative_columns(n_negatives, resolve), *_TAIL, "caption_source")


def row_features(format: str, n_sentences: int = 2, n_negatives: int = 2, resolve: bool = False) -> Features:
    """Types of the columns: all are strings but ``label``, which is float64.

    Parameters
    ----------
    format
        ``"single"``, ``"pairs"`` or ``"multiplets"``.
    n_sentences, n_negatives
        Number of cell sentences and, for multiplets, of negatives.
    resolve
        Whether the texts of the negatives are columns of multiplets as well.

    Raises
    ------
    OptionError
        The form is not one of the three.
    """
    from datasets import Features, Value

    columns = row_columns(format, n_sentences, n_negatives, resolve)
    return Features({name: Value("float64" if name == "label" else "string") for name in columns})
