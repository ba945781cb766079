"""Dense tables as text (CSV, TSV), genes x cells or cells x genes as their names show."""

from __future__ import annotations

import csv as csv_text
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from corpuscle.counts._matrix import FileSource, Matrix
from corpuscle.counts._mtx import open_text
from corpuscle.counts._names import gene_likeness, gene_table, name_index
from corpuscle.counts._source import Source
from corpuscle.counts._spill import Spill
from corpuscle.counts._store import reading
from corpuscle.errors import SourceError

__all__ = ["open_table"]

Array = np.ndarray[Any, Any]
#: Text parsed at a time, or eight rows where these are longer.
TEXT_BYTES = 4 * 2**20
#: How much more one side must look like genes than the other.
LEAST_EVIDENCE = 0.05


class _Table(Matrix):
    """A table that was parsed once into rows of cells."""

    def __init__(self, spill: Spill, shape: tuple[int, int], layout: str) -> None:
        self.shape, self.layout, self.dtype = shape, layout, np.dtype(np.float64)
        self._spill = spill
        spill.finish(shape)

    def rows(self, start: int, stop: int) -> sp.csr_matrix:
        """Cells ``start`` to ``stop``."""
        return self._spill.rows(start, stop)

    def close(self) -> None:
        """Remove temporary space."""
        self._spill.close()


def open_table(path: Path, layer: str | None) -> Source:
    """A table with one row and one column of names; it is parsed once, here, since its size is not known before.

    Raises
    ------
    SourceError
        Which names are genes cannot be told, a field is not a number, or the file is damaged.
    """
    if layer is not None:
        raise SourceError(f"{path}: a table has no layers; leave --layer out")
    with reading(str(path)):
        separator, corner, columns, named = _read_header(path)
    spill = Spill(np.dtype(np.float64))
    names: list[str] = []
    rows_are_genes: bool | None = None
    try:
        for batch_names, values in _batches(path, separator, columns, named):
            first = len(names)
            names += batch_names or [str(first + i) for i in range(len(values))]
            if rows_are_genes is None:
                rows_are_genes = _rows_are_genes(path, names if named else [], columns, corner)
            row, column = np.nonzero(values)
            place = row + first
            cell, gene = (column, place) if rows_are_genes else (place, column)
            spill.add(cell, gene, values[row, column])
        cells, genes = (columns, names) if rows_are_genes else (names, columns)
        layout = "genes x cells, text" if rows_are_genes else "cells x genes, text"
        matrix = _Table(spill, (len(cells), len(genes)), layout)
        return FileSource(str(path), path, matrix, pd.DataFrame(index=name_index(cells)), gene_table(genes))
    except BaseException:
        spill.close()
        raise


def _rows_are_genes(path: Path, rows: list[str], columns: list[str], corner: str) -> bool:
    """Whether the rows are genes, by the title of their names or by what the names on either side look like."""
    evidence = gene_likeness(rows, corner) - gene_likeness(columns)
    if abs(evidence) < LEAST_EVIDENCE:
        raise SourceError(
            f"{path}: cannot tell whether its rows or its columns are genes (rows: {', '.join(rows[:3]) or 'unnamed'}; "
            f"columns: {', '.join(columns[:3])}); write 'gene' or 'cell' over the column of row names"
        )
    return evidence > 0


def _read_header(path: Path) -> tuple[str, str, list[str], bool]:
    """Separator, title of the column of names, names of the other columns, and whether rows have names."""
    with open_text(path) as file:
        lines = [file.readline().decode("utf-8-sig").rstrip("\r\n") for _ in range(2)]
    if not all(lines):
        raise SourceError(f"{path}: it has no two lines of text; give a table with a row of names and rows of counts")
    separator = max("\t,; ", key=lines[1].count)
    header, first = (next(csv_text.reader([line], delimiter=separator)) for line in lines)
    if len(header) == len(first) - 1:  # R leaves the corner out
        return separator, "", header, True
    if len(header) != len(first) or len(header) < 2:
        raise SourceError(
            f"{path}: its first line has {len(header)} fields and its second {len(first)}; give a table of counts"
        )
    if header[0].strip() and _is_number(first[0]) and gene_likeness([], header[0]) == 0:
        return separator, "", header, False
    return separator, header[0], header[1:], True


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _batches(path: Path, separator: str, columns: list[str], named: bool) -> Iterator[tuple[list[str], Array]]:
    """Names and values (rows x columns, float64, missing as NaN) of some rows of the table."""
    import pyarrow as pa
    from pyarrow import csv

    fields = {str(i): pa.float64() for i in range(len(columns))}
    types = {"name": pa.string(), **fields} if named else fields
    with reading(str(path)), open_text(path) as file:
        width = len(file.readline())
        try:
            reader = csv.open_csv(
                pa.PythonFile(file, mode="r"),
                read_options=csv.ReadOptions(column_names=list(types), block_size=max(TEXT_BYTES, 8 * width)),
                parse_options=csv.ParseOptions(delimiter=separator),
                convert_options=csv.ConvertOptions(column_types=types),
            )
            for batch in reader:
                names = batch.column(0).to_pylist() if named else []
                yield names, _values(batch, 1 if named else 0)
        except pa.ArrowInvalid as error:
            reason = " ".join(str(error).split())[:200]
            raise SourceError(
                f"{path}: {reason}; a table must have one column of names and, but for these, only numbers"
            ) from None


def _values(batch: Any, first: int) -> Array:
    columns = batch.columns[first:]
    out = np.empty((batch.num_rows, len(columns)))
    for i, column in enumerate(columns):
        out[:, i] = column.to_numpy(zero_copy_only=False)
    return out
