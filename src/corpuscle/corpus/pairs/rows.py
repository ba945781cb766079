"""Rows of text and links, as ``datasets`` and the trainers of sentence-transformers read them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from corpuscle.corpus.pairs._rows_check import Texts, check_cells, check_negatives
from corpuscle.corpus.pairs._rows_read import Rows, read_rows
from corpuscle.corpus.pairs._rows_schema import FORMATS, row_columns, row_features, sentence_columns
from corpuscle.corpus.pairs.negatives import NegativePolicy, Negatives, draw_negatives
from corpuscle.errors import OptionError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from datasets import Dataset

__all__ = ["FORMATS", "Rows", "build_rows", "read_rows", "row_features", "rows_report"]

#: Rows of a chunk of the table: keeps its texts below the 2 GiB that one Arrow array holds.
_CHUNK = 20_000
Indices = np.ndarray[Any, np.dtype[np.int64]]


def build_rows(
    table: pd.DataFrame,
    *,
    format: str,
    negatives: Negatives | NegativePolicy | None = None,
    resolve: bool = False,
) -> Dataset:
    """Rows of one split, of fixed columns and types whatever the cells are.

    Parameters
    ----------
    table
        One row a cell: ``sample_idx`` (unique), ``cell_sentence_1`` (the cell's id, for models that read vectors),
        ``cell_sentence_2`` (its gene sentence, for models that read text) and so on, ``adata_link``, ``adata_sha256``,
        ``adata_format``; and as far as known ``obs_name`` (the id, if absent), ``caption``, ``caption_source``,
        ``batch`` and ``group``, which may be missing.
    format
        ``"single"``: a row a cell. ``"pairs"``: two rows a cell, its own caption with ``label`` 1.0 and that of a
        negative with 0.0. ``"multiplets"``: a row a cell, with its caption as ``positive`` and ids of its negatives.
    negatives
        Negatives drawn for this very table, or how to draw them; the default policy if None.
    resolve
        Add ``negative_k``, the text that each ``negative_k_idx`` of a multiplet stands for: a caption, or the gene
        sentence (``cell_sentence_2`` if there is one).

    Returns
    -------
    datasets.Dataset
        Its description tells the form, the kinds of the negatives and what was left out; see :func:`rows_report`.
        Cells without a caption, or without any cell of another caption, are left out of pairs and multiplets.

    Raises
    ------
    OptionError
        The form is unknown, a column is missing, or the negatives do not fit.
    SourceError
        A value is not a text, or an id is used twice.
    """
    if format not in FORMATS:
        raise OptionError(f"no rows of the form {format!r}; it is one of {', '.join(FORMATS)}")
    if resolve and format != "multiplets":
        raise OptionError(f"texts of negatives are columns of multiplets only, not of {format}; leave out resolve")
    cells = check_cells(table)
    if format == "single":
        return _dataset(cells, format, np.arange(len(table)), None, {}, resolve)
    if "caption" not in table.columns:
        raise OptionError(f"{format} need a column caption; name a caption, or build single rows")
    drawn = _negatives(cells, format, negatives)
    if format == "multiplets":
        return _dataset(cells, format, drawn.row_n, drawn, _multiplet_columns(cells, drawn, resolve), resolve)
    row_n = np.repeat(drawn.row_n, 2)
    said = cells["caption"][row_n]
    said[1::2] = cells["caption"][drawn.index_nk[:, drawn.kinds.index("caption")]]
    label = np.tile([1.0, 0.0], drawn.row_n.size)
    return _dataset(cells, format, row_n, drawn, {"caption": said, "label": label}, resolve)


def rows_report(dataset: Dataset) -> dict[str, Any]:
    """What :func:`build_rows` says about its rows.

    Returns
    -------
    dict
        ``format``, ``cells`` (those of the table), ``rows``, ``dropped`` (cells left out, by reason), ``negatives``
        (kinds, policy, counts; None for single rows). Empty for rows that something else has made.
    """
    try:
        said = json.loads(dataset.info.description or "")
    except ValueError:
        return {}
    report = said.get("corpuscle_pairs") if isinstance(said, dict) else None
    return report if isinstance(report, dict) else {}


def _negatives(cells: dict[str, Texts], format: str, negatives: Negatives | NegativePolicy | None) -> Negatives:
    if not isinstance(negatives, Negatives):
        policy = negatives or NegativePolicy()
        if format == "pairs":
            policy = replace(policy, n=1, kinds=("caption",))
        return draw_negatives(cells["caption"], cells["batch"], policy)
    if format == "pairs" and "caption" not in negatives.kinds:
        raise OptionError(f"pairs need a caption negative, and the kinds are {', '.join(negatives.kinds)}; add caption")
    check_negatives(negatives, cells["caption"])
    return negatives


def _multiplet_columns(cells: dict[str, Texts], drawn: Negatives, resolve: bool) -> dict[str, Texts]:
    columns = {"positive": cells["caption"][drawn.row_n]}
    sentence = cells["cell_sentence_2" if "cell_sentence_2" in cells else "cell_sentence_1"]
    for k, (index_n, kind) in enumerate(zip(drawn.index_nk.T, drawn.kinds, strict=True), start=1):
        columns[f"negative_{k}_idx"] = cells["sample_idx"][index_n]
        if resolve:
            columns[f"negative_{k}"] = (cells["caption"] if kind == "caption" else sentence)[index_n]
    return columns


def _dataset(
    cells: dict[str, Texts],
    format: str,
    row_n: Indices,
    drawn: Negatives | None,
    own: dict[str, Any],
    resolve: bool,
) -> Dataset:
    """Rows of the cells ``row_n``: columns of ``own``, which are per row, and the rest taken from the cells."""
    import pyarrow as pa

    from datasets import Dataset, DatasetInfo

    n_sentences, n_negatives = len(sentence_columns(list(cells))), len(drawn.kinds) if drawn else 0
    features = row_features(format, n_sentences, n_negatives, resolve)
    schema = features.arrow_schema
    names = row_columns(format, n_sentences, n_negatives, resolve)
    batches = []
    for start in range(0, row_n.size, _CHUNK):
        here = slice(start, start + _CHUNK)
        taken = [own[name][here] if name in own else cells[name][row_n[here]] for name in names]
        arrays = [pa.array(values, type=schema.field(name).type) for name, values in zip(names, taken, strict=True)]
        batches.append(pa.record_batch(arrays, schema=schema))
    arrow = pa.Table.from_batches(batches, schema=schema)
    description = _description(cells, format, arrow.num_rows, drawn)
    info = DatasetInfo(description=description, features=features)
    return Dataset(arrow, info=info, fingerprint=_fingerprint(arrow, description))


def _description(cells: dict[str, Texts], format: str, n_rows: int, drawn: Negatives | None) -> str:
    report: dict[str, Any] = {
        "schema": 2,
        "format": format,
        "cells": int(cells["sample_idx"].size),
        "rows": n_rows,
        "dropped": {},
        "negatives": None,
    }
    if drawn is not None:
        counts = drawn.report
        report["dropped"] = {"no caption": counts.no_caption, "no cell with another caption": counts.no_other_caption}
        report["negatives"] = {
            "kinds": list(drawn.kinds),
            "seed": int(drawn.policy.seed),
            "prefer_same_batch": drawn.policy.prefer_same_batch,
            **counts.to_dict(),
        }
    return json.dumps({"corpuscle_pairs": report})


def _fingerprint(arrow: pa.Table, description: str) -> str:
    """A name for the rows that follows from their content, so that building twice saves the same files."""
    import pyarrow as pa

    digest = hashlib.sha256(description.encode())
    with pa.PythonFile(_HashSink(digest), mode="w") as sink, pa.ipc.new_stream(sink, arrow.schema) as writer:
        writer.write_table(arrow)
    return digest.hexdigest()[:16]


class _HashSink:
    """A file that keeps nothing of what is written to it but the digest."""

    def __init__(self, digest: Any) -> None:
        self._digest, self.closed = digest, False

    def write(self, data: Any) -> int:
        """Digest some bytes."""
        view = memoryview(data)
        self._digest.update(view)
        return view.nbytes

    def flush(self) -> None:
        """Nothing is buffered."""

    def close(self) -> None:
        """Nothing is held."""
        self.closed = True
