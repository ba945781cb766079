"""Rows of a data set as what the trainer takes: cell, caption, other texts, and codes of equal captions."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd

from corpuscle.errors import OptionError, SourceError

__all__ = ["training_rows"]

Array = np.ndarray[Any, Any]
_NEGATIVE = re.compile(r"negative_[1-9][0-9]*")


def training_rows(rows: Any, *, negatives: bool = False) -> Any:
    """Columns ``anchor`` (ids), ``positive`` and ``negative_k`` (texts), and ``label``: a code a text, (1 + K,) a row.

    Of a DatasetDict, the split ``train``. Of pairs, the rows whose label is 1. A text that is the caption of a cell
    has the code of that caption; a gene sentence that stands for a cell has the code of the cell's caption.

    Parameters
    ----------
    rows
        Dataset or DatasetDict with ``sample_idx`` and ``positive`` or ``caption``; with negatives also
        ``negative_k`` and, where known, ``negative_k_idx``.
    negatives
        Take the columns of negatives too.

    Raises
    ------
    SourceError
        A column, all rows or some captions are missing.
    OptionError
        Negatives are asked for and there are none, or there is only one caption.
    """
    table = _table(rows)
    columns = {"anchor": table["sample_idx"].tolist(), "positive": table["positive"].tolist()}
    code_of = {text: code for code, text in enumerate(dict.fromkeys(columns["positive"]))}
    if len(code_of) < 2:
        raise OptionError("all rows have one caption, so there is nothing to tell apart; give rows of several captions")
    code_n1 = [np.asarray([code_of[text] for text in columns["positive"]])]
    if negatives:
        caption_of = dict(zip(columns["anchor"], columns["positive"], strict=True))
        for name in _negative_names(table):
            columns[name] = table[name].tolist()
            code_n1.append(_codes(table, name, code_of, caption_of))
    from datasets import Dataset

    return Dataset.from_dict({**columns, "label": np.stack(code_n1, axis=1).tolist()})


def _table(rows: Any) -> pd.DataFrame:
    if hasattr(rows, "keys"):
        if "train" not in rows:
            raise SourceError(f"rows: splits are {', '.join(rows)} and none is train; give the rows to train on")
        rows = rows["train"]
    there = list(rows.column_names)
    caption = next((name for name in ("positive", "caption") if name in there), None)
    if caption is None or "sample_idx" not in there:
        raise SourceError(
            f"rows: columns are {', '.join(there)}; training needs sample_idx and positive or caption: build pairs or "
            "multiplets"
        )
    named = [name for name in there if _NEGATIVE.fullmatch(name.removesuffix("_idx"))]
    # Pairs come with captions of other cells, which their label tells.
    label = ["label"] if caption == "caption" and "label" in there else []
    table: pd.DataFrame = rows.select_columns(["sample_idx", caption, *named, *label]).to_pandas()
    table = table.rename(columns={caption: "positive"})
    if label:
        table = table[table["label"] == 1]
    if not len(table):
        raise SourceError("rows: there are none to train on; build the data set again")
    bad_n = table["positive"].isna() | (table["positive"].astype(str).str.strip() == "")
    if bad_n.any():
        first = table["sample_idx"][bad_n].iloc[0]
        raise SourceError(f"rows: {bad_n.sum()} have no caption, the first is {first!r}; leave them out")
    return table


def _negative_names(table: pd.DataFrame) -> list[str]:
    names = sorted((name for name in table if _NEGATIVE.fullmatch(name)), key=lambda name: int(name.split("_")[1]))
    if not names:
        raise OptionError(
            "negatives=True, and no column negative_1 has texts; build the data set with resolve=True or mine negatives"
        )
    for name in names:
        if table[name].isna().any():
            raise SourceError(f"rows: {name} is empty in {table[name].isna().sum()} rows; leave them out")
    return names


def _codes(table: pd.DataFrame, name: str, code_of: dict[str, int], caption_of: dict[str, str]) -> Array:
    """Code of each negative's text; that of its cell's caption where it is a gene sentence; -1 where unknown."""
    cells = table[f"{name}_idx"] if f"{name}_idx" in table else [None] * len(table)
    return np.asarray(
        [
            code_of.get(text, code_of.get(caption_of.get(cell, ""), -1))
            for text, cell in zip(table[name], cells, strict=True)
        ]
    )
