"""A table of cells, checked before rows are made from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from corpuscle.corpus.pairs._rows_schema import ARCHIVE_FORMATS, sentence_columns
from corpuscle.errors import OptionError, SourceError

if TYPE_CHECKING:
    import pandas as pd

    from corpuscle.corpus.pairs.negatives import Negatives

__all__ = ["check_cells", "check_negatives"]

Texts = np.ndarray[Any, np.dtype[np.object_]]
_NEEDED = ("sample_idx", "adata_link", "adata_sha256", "adata_format")
_NULLABLE = ("batch", "group", "caption", "caption_source")


def check_cells(table: pd.DataFrame) -> dict[str, Texts]:
    """(n,) texts of each column that rows are made from; missing and blank values of nullable columns are None.

    Raises
    ------
    OptionError
        A column is missing.
    SourceError
        A value is not a text, an id is used twice, or a format is unknown.
    """
    sentences = sentence_columns([str(name) for name in table.columns])
    absent = [name for name in _NEEDED if name not in table.columns]
    if absent:
        raise OptionError(f"the table of cells lacks the column {', '.join(absent)}; rows cannot be made without it")
    cells = {name: _texts(table, name) for name in (*_NEEDED, *sentences)}
    for name in _NULLABLE:
        cells[name] = _nullable(table, name)
    cells["obs_name"] = _texts(table, "obs_name") if "obs_name" in table.columns else cells["sample_idx"]
    _check_unique(cells["sample_idx"])
    odd = sorted(set(cells["adata_format"]) - set(ARCHIVE_FORMATS))
    if odd:
        raise SourceError(f"column adata_format has {odd[0]!r}; it is one of {', '.join(ARCHIVE_FORMATS)}")
    return cells


def check_negatives(negatives: Negatives, caption_n: Texts) -> None:
    """See to it that the negatives were drawn for these cells.

    Raises
    ------
    OptionError
        They are of another number of cells, or one has the caption of its anchor.
    """
    n_cells = caption_n.size
    if negatives.report.rows != n_cells:
        raise OptionError(f"negatives drawn for {negatives.report.rows} cells do not fit {n_cells}; draw them again")
    if not negatives.row_n.size:
        return
    lowest, highest = int(negatives.index_nk.min()), int(negatives.index_nk.max())
    if lowest < 0 or highest >= n_cells or int(negatives.row_n.max()) >= n_cells:
        raise OptionError(f"negatives point at cell {lowest if lowest < 0 else highest} of {n_cells}; draw them again")
    for caption_m in caption_n[negatives.index_nk].T:
        own_m = caption_n[negatives.row_n]
        wrong = (caption_m == own_m) | (caption_m == None) | (own_m == None)  # noqa: E711 - element by element
        if wrong.any():
            row = int(negatives.row_n[int(wrong.argmax())])
            raise OptionError(
                f"a negative of cell {row} has its caption or none; draw the negatives from these captions"
            )


def _column(table: pd.DataFrame, name: str) -> Texts:
    column = table[name]
    if column.ndim != 1:
        raise OptionError(f"the table of cells has several columns called {name!r}; keep one")
    return np.asarray(column.to_numpy(dtype=object))


def _texts(table: pd.DataFrame, name: str) -> Texts:
    value_n = _column(table, name)
    for row, value in enumerate(value_n):
        if not isinstance(value, str):
            raise SourceError(f"column {name}, row {row}: {value!r} is not a text; every cell needs one")
    if name in ("sample_idx", "adata_link"):
        empty = np.flatnonzero(value_n == "")
        if empty.size:
            raise SourceError(f"column {name}, row {int(empty[0])} is empty; every cell needs one")
    return value_n


def _nullable(table: pd.DataFrame, name: str) -> Texts:
    """Texts or None. Numbers, e.g. of a batch, become text."""
    import pandas as pd

    text_n: Texts = np.full(len(table), None, dtype=object)
    if name not in table.columns:
        return text_n
    code_n, values = pd.factorize(_column(table, name))
    words: list[str | None] = [str(value) for value in values]
    said: Texts = np.array([word if word and word.strip() else None for word in words] + [None], dtype=object)
    return said[code_n]


def _check_unique(ids: Sequence[str] | Texts) -> None:
    seen: set[str] = set()
    for row, name in enumerate(ids):
        if name in seen:
            raise SourceError(
                f"sample_idx {name!r} is used twice (row {row}); give each source its own prefix, e.g. <source>:<name>"
            )
        seen.add(name)
