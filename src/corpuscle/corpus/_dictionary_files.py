"""Small tables and dictionaries as people have them: TSV, CSV, JSON or pickle, plain, gzip or xz, told by content."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import lzma
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corpuscle.corpus._pickles import Scalar, read_pickled_dictionary
from corpuscle.errors import SourceError

__all__ = ["DictionaryFile", "read_dictionary_file"]

#: Largest file, packed or unpacked. The largest dictionary published for models of this kind has 4 MB.
MOST_BYTES = 64 * 2**20
POINTER = b"version https://git-lfs"


@dataclass(frozen=True)
class DictionaryFile:
    """What a file holds: a dictionary, or the lines of a table.

    Attributes
    ----------
    source
        The path, for messages.
    entries
        Key -> value of a JSON or pickled dictionary, else None.
    rows
        Fields of each line of a table, heading first, else none.
    pickle_sha256
        SHA-256 of the file if it is a pickle, else None.
    """

    source: str
    entries: dict[str, Scalar] | None
    rows: list[list[str]]
    pickle_sha256: str | None = None

    def place(self, *names: str) -> int | None:
        """Column of the first of these headings that the table has."""
        heading = [field.strip().lower() for field in self.rows[0]]
        return next((heading.index(name) for name in names if name in heading), None)


def read_dictionary_file(path: str | Path) -> DictionaryFile:
    """Read a table or a dictionary of at most 64 MiB.

    Raises
    ------
    SourceError
        It is missing, empty, too large, a git-lfs pointer, damaged, or refused (see :mod:`corpuscle.corpus._pickles`).
    """
    path = Path(path).expanduser()
    stored = _stored(path)
    data = _unpacked(stored, path)
    if data.startswith(POINTER):
        raise SourceError(
            f"{path}: only a git-lfs pointer, not the file itself; fetch the real one (git lfs pull, or download it)"
        )
    if data[:1] == b"\x80" or path.suffix.lower() in {".pkl", ".pickle"}:
        digest = hashlib.sha256(data).hexdigest()
        return DictionaryFile(str(path), read_pickled_dictionary(data, source=str(path)), [], digest)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise SourceError(f"{path}: neither text nor a pickle; give a TSV, CSV, JSON or pickle file") from None
    if text.lstrip().startswith(("{", "[")):
        return DictionaryFile(str(path), _json(text, path), [])
    return DictionaryFile(str(path), None, _rows(text, path))


def _stored(path: Path) -> bytes:
    if not path.is_file():
        raise SourceError(f"{path}: there is no such file; check the path")
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None
    if not data:
        raise SourceError(f"{path}: the file is empty; get it again")
    if len(data) > MOST_BYTES:
        raise SourceError(f"{path}: larger than {MOST_BYTES // 2**20} MiB, so no dictionary of genes; check the path")
    return data


def _unpacked(data: bytes, path: Path) -> bytes:
    packed = io.BytesIO(data)
    try:
        if data.startswith(b"\x1f\x8b"):
            with gzip.open(packed) as file:
                out = file.read(MOST_BYTES + 1)
        elif data.startswith(b"\xfd7zXZ"):
            with lzma.open(packed) as file:
                out = file.read(MOST_BYTES + 1)
        else:
            return data
    except (OSError, EOFError, lzma.LZMAError, zlib.error):
        raise SourceError(f"{path}: the compressed file is cut short or damaged; get it again") from None
    if len(out) > MOST_BYTES:
        raise SourceError(f"{path}: unpacks to more than {MOST_BYTES // 2**20} MiB, so no dictionary of genes")
    return out


def _json(text: str, path: Path) -> dict[str, Scalar]:
    def once(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for key, value in pairs:
            if key in out:
                raise SourceError(f"{path}: the key {key[:40]!r} is there twice; keep one of them")
            out[key] = value
        return out

    try:
        value = json.loads(text, object_pairs_hook=once)
    except (json.JSONDecodeError, RecursionError):
        raise SourceError(f"{path}: not valid JSON; get the file again") from None
    except ValueError:  # a number of thousands of digits
        raise SourceError(f"{path}: holds a number that is none of a gene; get the file again") from None
    if not isinstance(value, dict):
        raise SourceError(f"{path}: the JSON holds a list where a dictionary is needed; give another file")
    for key, one in value.items():
        if not isinstance(one, str | int | float):
            raise SourceError(f"{path}: the value of {key[:40]!r} is neither a number nor a name; give another file")
    return value


def _rows(text: str, path: Path) -> list[list[str]]:
    """Fields of the lines, without blank ones and the comments that may come first."""
    lines = text.splitlines()
    start = next((i for i, line in enumerate(lines) if line.strip() and not line.startswith("#")), len(lines))
    lines = [line for line in lines[start:] if line.strip()]
    if not lines:
        raise SourceError(f"{path}: no line of a table in it; get the file again")
    delimiter = "\t" if "\t" in lines[0] else ","
    try:
        rows = [[field.strip() for field in row] for row in csv.reader(lines, delimiter=delimiter)]
    except csv.Error as error:
        raise SourceError(f"{path}: not a table of text ({error}); give a TSV, CSV, JSON or pickle file") from None
    uneven = next((i for i, row in enumerate(rows) if len(row) != len(rows[0])), None)
    if uneven is not None:
        raise SourceError(
            f"{path}: row {uneven + 1} has {len(rows[uneven])} fields and the heading has {len(rows[0])}; "
            f"the table is damaged"
        )
    return rows
