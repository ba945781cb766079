"""Marker tables in a spreadsheet laid out as the data base of ScType."""

from __future__ import annotations

import io
import zipfile
from importlib import import_module
from pathlib import Path
from typing import Any

from corpuscle.annotate.sources._marker_names import split_genes
from corpuscle.annotate.sources._marker_sets import MarkerSet
from corpuscle.errors import MethodError, OptionError, SourceError

__all__ = ["read_sheet"]

#: Unzipped size above which a spreadsheet is a bomb rather than a table of markers.
LARGEST = 256 * 2**20
COLUMNS = ("cellname", "genesymbolmore1", "genesymbolmore2", "tissuetype")


def read_sheet(file: Path, content: bytes, tissue: str | None) -> tuple[dict[str, MarkerSet], tuple[str, ...]]:
    """Type -> markers of one tissue, and what was mended: symbols are capitals, each once.

    Raises
    ------
    MethodError
        openpyxl is missing.
    SourceError
        The file is damaged or has other columns.
    OptionError
        There are several tissues and none was chosen, or not the one that was.
    """
    rows = _of_tissue(file, _rows(file, content), tissue)
    genes: dict[str, tuple[list[str], list[str]]] = {}
    repeated = 0
    for row in rows:
        name = row["cellname"]
        repeated += name in genes
        for known, column in zip(genes.setdefault(name, ([], [])), ("genesymbolmore1", "genesymbolmore2"), strict=True):
            known.extend(split_genes(row[column].upper()))
    sets, contradicted = _sets(genes)
    if not sets:
        raise SourceError(f"{file}: no row names a type and its genes")
    notes = []
    if repeated:
        notes.append(f"{repeated} rows name a type that another row names too; their genes were put together")
    if contradicted:
        notes.append(
            f"{contradicted} genes that are both positive and negative markers of one type were left out of that type"
        )
    return sets, tuple(notes)


def _sets(genes: dict[str, tuple[list[str], list[str]]]) -> tuple[dict[str, MarkerSet], int]:
    sets: dict[str, MarkerSet] = {}
    contradicted = 0
    for name, (up, down) in genes.items():
        both = set(up) & set(down)
        contradicted += len(both)
        one = MarkerSet({g: 1.0 for g in up if g not in both}, {g: 1.0 for g in down if g not in both})
        if one.positive or one.negative:
            sets[name] = one
    return sets, contradicted


def _of_tissue(file: Path, rows: list[dict[str, str]], tissue: str | None) -> list[dict[str, str]]:
    tissues = sorted({row["tissuetype"] for row in rows if row["tissuetype"]})
    listed = ", ".join(tissues)
    if tissue is None:
        if len(tissues) > 1:
            raise OptionError(f"{file}: markers of {len(tissues)} tissues; choose one (tissue) of: {listed}")
        return rows
    chosen = [row for row in rows if row["tissuetype"].lower() == tissue.strip().lower()]
    if not chosen:
        raise OptionError(f"{file}: no tissue {tissue!r}; it has: {listed or 'none'}")
    return chosen


def _rows(file: Path, content: bytes) -> list[dict[str, str]]:
    """Rows that name a type, as text under the titles in small letters."""
    sheet = iter(_sheet(file, content))
    titles = [str(title or "").strip().lower() for title in next(sheet, ())]
    if not {"cellname", "genesymbolmore1"} <= set(titles):
        raise SourceError(
            f"{file}: a spreadsheet of markers has columns tissueType, cellName, geneSymbolmore1, geneSymbolmore2; "
            f"this has: {', '.join(titles[:8]) or 'none'}"
        )
    place = {title: titles.index(title) for title in COLUMNS if title in titles}
    rows = [
        {what: _text(row[place[what]]) if what in place and place[what] < len(row) else "" for what in COLUMNS}
        for row in sheet
    ]
    return [row for row in rows if row["cellname"]]


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip()


def _sheet(file: Path, content: bytes) -> list[tuple[Any, ...]]:
    try:
        openpyxl = import_module("openpyxl")
    except ModuleNotFoundError:
        raise MethodError(
            f"{file}: reading .xlsx needs openpyxl; run: pip install openpyxl, or save it as CSV"
        ) from None
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > LARGEST:
            raise SourceError(f"{file}: {size // 2**20:,} MiB when unzipped, so it is no table of markers")
        book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True)
        return list(book.worksheets[0].iter_rows(values_only=True))
    except SourceError:
        raise
    except Exception as error:  # openpyxl raises whatever its parsers do
        raise SourceError(f"{file}: not a readable .xlsx ({type(error).__name__}); save it again, or as CSV") from None
