"""Tables of marker genes as text: long or wide CSV and TSV, and GMT."""

from __future__ import annotations

import csv
import gzip
import io
import math
import re
import zlib
from pathlib import Path

from corpuscle.annotate.sources._marker_names import split_genes, split_sign, unique
from corpuscle.annotate.sources._marker_sets import MarkerSet
from corpuscle.errors import SourceError

__all__ = ["content_of", "read_text"]

#: No table of markers is larger; what is, is something else or a bomb.
LARGEST = 64 * 2**20

#: Title of a column, in small letters without blanks and underscores -> what it holds.
TITLES = {
    "type": "type", "celltype": "type", "cell": "type", "cellname": "type", "celllabel": "type", "celltypename": "type",
    "label": "type", "source": "type", "geneset": "type", "term": "type", "cluster": "type",
    "gene": "gene", "genes": "gene", "symbol": "gene", "symbols": "gene", "genesymbol": "gene", "genesymbols": "gene",
    "genename": "gene", "genesname": "gene", "marker": "gene", "markers": "gene", "markergene": "gene",
    "markergenes": "gene", "target": "gene", "feature": "gene", "officialgenesymbol": "gene", "positive": "gene",
    "positivemarkers": "gene", "positivegenes": "gene",
    "negative": "negative", "negativemarkers": "negative", "negativegenes": "negative", "negativemarker": "negative",
    "weight": "weight", "weights": "weight", "coefficient": "weight",
    "sign": "sign", "direction": "sign",
    "clid": "cl_id", "cellontologyid": "cl_id", "cl": "cl_id", "ontologyid": "cl_id", "celltypeontologytermid": "cl_id",
}  # fmt: skip
SIGNS = {
    "+": 1, "1": 1, "1.0": 1, "+1": 1, "pos": 1, "positive": 1, "up": 1, "": 1,
    "-": -1, "-1": -1, "-1.0": -1, "neg": -1, "negative": -1, "down": -1,
}  # fmt: skip
CL_ID = re.compile(r"CL[:_](\d{7})", re.IGNORECASE)
MISSING = {"", "na", "nan", "none", "null", "n/a"}


def content_of(file: Path) -> bytes:
    """Bytes of a file, unzipped if it is gzip'd.

    Raises
    ------
    SourceError
        It is missing, unreadable, empty, damaged, or larger than any table of markers.
    """
    try:
        with file.open("rb") as stream:
            content = stream.read(LARGEST + 1)
        if content[:2] == b"\x1f\x8b":
            with gzip.open(io.BytesIO(content)) as unzipped:
                content = unzipped.read(LARGEST + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise SourceError(f"{file}: cannot be read ({getattr(error, 'strerror', None) or error}); check it") from None
    if len(content) > LARGEST:
        raise SourceError(f"{file}: larger than {LARGEST // 2**20} MiB, so it is no table of markers")
    if not content.strip():
        raise SourceError(f"{file}: the file is empty")
    return content


def read_text(file: Path, content: bytes) -> dict[str, MarkerSet]:
    """Type -> markers of a text table, whichever layout it has.

    Raises
    ------
    SourceError
        It is no text or no table of markers, or a line makes no sense.
    """
    if b"\0" in content:
        raise SourceError(f"{file}: not text; known are CSV, TSV, GMT and .xlsx")
    text = content.decode("utf-8-sig", errors="replace")
    first = next(line for line in text.splitlines() if line.strip())
    separator = "\t" if "\t" in first else ";" if first.count(";") > first.count(",") else ","
    try:
        rows = [(i, row) for i, row in enumerate(csv.reader(io.StringIO(text), delimiter=separator), 1) if any(row)]
    except csv.Error as error:
        raise SourceError(f"{file}: not a table ({error})") from None
    titles = [TITLES.get(re.sub(r"[\s_.\-]", "", title).lower()) for title in rows[0][1]]
    if "type" in titles and "gene" in titles:
        return _long(file, rows, titles)
    # A GMT has no line of titles: its lines differ in length, and it says so by its name.
    if ".gmt" in [suffix.lower() for suffix in file.suffixes]:
        return _gmt(file, rows)
    return _wide(file, rows)


def _long(file: Path, rows: list[tuple[int, list[str]]], titles: list[str | None]) -> dict[str, MarkerSet]:
    up: dict[str, dict[str, float]] = {}
    down: dict[str, dict[str, float]] = {}
    ids: dict[str, str] = {}
    place = {what: titles.index(what) for what in titles if what}
    for line, row in rows[1:]:
        field = {what: row[i].strip() if i < len(row) else "" for what, i in place.items()}
        name, genes = field["type"], split_genes(field["gene"])
        if name.lower() in MISSING:
            raise SourceError(f"{file}, line {line}: no type beside gene {field['gene']!r}; name it or drop the line")
        weight = _weight(file, line, field.get("weight", ""))
        sign = _sign(file, line, field.get("sign", "")) * (1 if weight > 0 else -1)
        _cl_id(file, line, name, field.get("cl_id", ""), ids)
        up.setdefault(name, {})
        down.setdefault(name, {})
        for gene in genes:
            symbol, own = split_sign(gene)
            (up if own * sign > 0 else down)[name].setdefault(symbol, abs(weight))
        for gene in split_genes(field.get("negative", "")):
            down[name].setdefault(split_sign(gene)[0], abs(weight))
    if not up:
        raise SourceError(f"{file}: a line of titles and nothing below it")
    return {name: MarkerSet(up[name], down[name], ids.get(name)) for name in up}


def _weight(file: Path, line: int, text: str) -> float:
    if text.lower() in MISSING:
        return 1.0
    try:
        weight = float(text)
    except ValueError:
        weight = math.nan
    if not math.isfinite(weight) or weight == 0:
        raise SourceError(f"{file}, line {line}: weight {text!r} is no number other than 0; mend it or leave it blank")
    return weight


def _sign(file: Path, line: int, text: str) -> int:
    if text.lower() not in SIGNS:
        raise SourceError(f"{file}, line {line}: sign {text!r} is neither + nor -; mend it or leave it blank")
    return SIGNS[text.lower()]


def _cl_id(file: Path, line: int, name: str, text: str, ids: dict[str, str]) -> None:
    if text.lower() in MISSING:
        return
    match = CL_ID.fullmatch(text)
    if match is None:
        raise SourceError(f"{file}, line {line}: {text!r} is no Cell Ontology id such as CL:0000236")
    cl_id = f"CL:{match[1]}"
    if ids.setdefault(name, cl_id) != cl_id:
        raise SourceError(f"{file}, line {line}: type {name!r} has two ids, {ids[name]} and {cl_id}; give it one")


def _signed(genes: list[str]) -> MarkerSet:
    parts = [split_sign(gene) for gene in unique(genes) if gene.strip().lower() not in MISSING]
    return MarkerSet({g: 1.0 for g, sign in parts if sign > 0}, {g: 1.0 for g, sign in parts if sign < 0})


def _gmt(file: Path, rows: list[tuple[int, list[str]]]) -> dict[str, MarkerSet]:
    sets: dict[str, MarkerSet] = {}
    for line, row in rows:
        name = row[0].strip()
        if len(row) < 3 or not name:
            raise SourceError(f"{file}, line {line}: a line of a GMT is a name, a description and genes, between tabs")
        if name in sets:
            raise SourceError(f"{file}, line {line}: type {name!r} is there twice; give every type one line")
        sets[name] = _signed(row[2:])
    return sets


def _wide(file: Path, rows: list[tuple[int, list[str]]]) -> dict[str, MarkerSet]:
    names = [name.strip() for name in rows[0][1]]
    twice = next((name for i, name in enumerate(names) if name and name in names[:i]), None)
    if twice is not None:
        raise SourceError(f"{file}: type {twice!r} heads two columns; give every type one column")
    if len(rows) < 2 or len(names) < 2:
        raise SourceError(
            f"{file}: no table of markers: looked for columns type and gene, for a column a type, and for GMT (by the name "
            f".gmt)"
        )
    too_long = next((line for line, row in rows if len(row) > len(names)), None)
    if too_long is not None:
        raise SourceError(f"{file}, line {too_long}: more fields than the {len(names)} columns with a title")
    columns = {name: [row[i] for _, row in rows[1:] if i < len(row)] for i, name in enumerate(names)}
    untitled = [gene.strip() for gene in columns.pop("", ()) if gene.strip()]
    if not all(field.isdigit() for field in untitled):  # the numbers of rows that pandas writes are no genes
        raise SourceError(f"{file}: a column of genes has no title; name its type")
    return {name: _signed(genes) for name, genes in columns.items()}
