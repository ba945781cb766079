"""Tables of scores as they lie in text, Parquet and NumPy files: numbers, and the names of either axis where it has some.

Nothing is unpickled: NumPy files with objects in them are refused.
"""

from __future__ import annotations

import csv
import gzip
import math
import zipfile
import zlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from corpuscle.errors import OptionError, SourceError

__all__ = ["FORMATS", "Table", "ending", "read_names", "read_table"]

Array = np.ndarray[Any, Any]
VALUES = ("values", "scores", "logits", "X")
TYPES = ("types", "classes", "class_names", "columns", "texts")
CELLS = ("cells", "obs_names", "index")


@dataclass(frozen=True)
class Table:
    """Numbers with the names of their rows and columns, and names whose axis the file does not tell."""

    values: Array
    rows: tuple[str, ...] | None = None
    columns: tuple[str, ...] | None = None
    cells: tuple[str, ...] | None = None
    types: tuple[str, ...] | None = None


def ending(path: Path) -> str:
    """The file's ending without ``.gz``, in lower case."""
    name = path.name.lower().removesuffix(".gz")
    return Path(name).suffix


def read_table(path: Path, key: str | None, cells: Collection[str]) -> Table:
    """Read a file of :data:`FORMATS`.

    Parameters
    ----------
    path
        The file.
    key
        Name of the array, for formats that hold several.
    cells
        Names of cells, which tell a column of numbers that are names from one that is scores.

    Raises
    ------
    SourceError
        It cannot be read, or is no table of numbers.
    OptionError
        ``key`` names nothing in it, or its format holds one table only.
    """
    if key is not None and ending(path) != ".npz":
        raise OptionError(f"{path.name}: key {key!r} was asked of a file that holds one table; leave it out")
    try:
        return FORMATS[ending(path)](path, key, cells)
    except OSError as problem:
        reason = problem.strerror or " ".join(str(problem).split())[:200]
        raise SourceError(f"{path.name}: cannot be read ({reason}); get the file again") from None
    except (ValueError, EOFError, MemoryError, csv.Error, zlib.error, zipfile.BadZipFile) as problem:
        reason = " ".join(str(problem).split())[:200]
        raise SourceError(f"{path.name}: is damaged or no table of scores ({reason}); write it again") from None


def read_names(path: Path) -> tuple[str, ...]:
    """Names out of a text file, one a line; empty lines are passed over."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as problem:
        raise SourceError(f"{path}: cannot be read ({problem.strerror}); give a text file of one name a line") from None
    except UnicodeDecodeError:
        raise SourceError(f"{path.name}: is not UTF-8 text; give a text file of one name a line") from None
    return tuple(line.strip() for line in lines if line.strip())


def _text(path: Path, key: str | None, cells: Collection[str]) -> Table:
    import pandas as pd

    packed = path.name.lower().endswith(".gz")
    separator = "," if ending(path) == ".csv" else "\t"
    with (
        gzip.open(path, "rt", encoding="utf-8-sig", newline="")
        if packed
        else path.open(encoding="utf-8-sig", newline="") as handle
    ):
        header = [name.strip() for name in next(csv.reader(handle, delimiter=separator), [])]
        # The first column stays text until it is known whether it holds names.
        frame = pd.read_csv(handle, sep=separator, header=None, index_col=False, low_memory=False, converters={0: str})
    # R leaves out the name of the column of names.
    header = ["", *header] if frame.shape[1] == len(header) + 1 else header
    if frame.shape[1] != len(header):
        raise ValueError(f"{len(header)} names in the first line for {frame.shape[1]} columns")
    first = [value.strip() for value in frame.pop(0)]
    if header[0] and not _are_names(first, cells):
        frame.insert(0, 0, pd.to_numeric(pd.Series(first, index=frame.index)))
        return Table(_numbers(frame, header, path), columns=tuple(header))
    return Table(_numbers(frame, header[1:], path), rows=tuple(first), columns=tuple(header[1:]))


def _are_names(values: Sequence[str], cells: Collection[str]) -> bool:
    if all(value in cells for value in values):
        return True
    try:
        np.array(values, dtype=np.float64)
    except ValueError:
        return True
    return False


def _numbers(frame: Any, names: Sequence[str], path: Path) -> Array:
    for name, dtype in zip(names, frame.dtypes, strict=True):
        if getattr(dtype, "kind", "O") not in "biuf":
            raise SourceError(
                f"{path.name}: column {str(name)[:60]!r} holds more than numbers; keep scores and names only"
            )
    values: Array = frame.to_numpy(dtype=np.float64)
    return values


def _parquet(path: Path, key: str | None, cells: Collection[str]) -> Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.ParquetFile(path).read()
    stored = (table.schema.pandas_metadata or {}).get("index_columns", [])
    index = [name for name in stored if isinstance(name, str) and name in table.column_names]
    text = [
        field.name
        for field in table.schema
        if pa.types.is_string(field.type) or pa.types.is_large_string(field.type) or pa.types.is_dictionary(field.type)
    ]
    names = list(dict.fromkeys([*index, *text]))
    if len(names) > 1:
        shown = ", ".join(repr(name[:40]) for name in names[:3])
        raise SourceError(f"{path.name}: {len(names)} columns hold names ({shown}); keep one, and the scores")
    rows = tuple(str(name) for name in table.column(names[0]).to_pylist()) if names else None
    scores = table.drop_columns(names)
    if table.num_rows == 0 or not scores.column_names:
        raise ValueError("it has no rows or no columns")
    return Table(_numbers(scores.to_pandas(), scores.column_names, path), rows, tuple(scores.column_names))


def _npy(path: Path, key: str | None, cells: Collection[str]) -> Table:
    return Table(np.lib.format.open_memmap(path, mode="r"))


def _npz(path: Path, key: str | None, cells: Collection[str]) -> Table:
    with np.load(path, allow_pickle=False) as file:
        if not isinstance(file, np.lib.npyio.NpzFile):
            raise ValueError("it is no .npz archive")
        found = {name: _shape(file, name) for name in file.files}
        if key is None:
            tables = [name for name, shape in found.items() if len(shape) == 2]
            preferred = [name for name in VALUES if name in tables]
            if not preferred and len(tables) != 1:
                raise OptionError(
                    f"{path.name}: has {len(tables)} tables ({', '.join(tables[:5])}); say which holds the scores (key)"
                )
            key = (preferred or tables)[0]
        if key not in found:
            raise OptionError(f"{path.name}: no array is named {key!r}; it has {', '.join(list(found)[:8])}")
        return Table(file[key], cells=_listed(file, CELLS), types=_listed(file, TYPES))


def _shape(file: Any, name: str) -> tuple[int, ...]:
    """Shape of an array of an archive, which must fit its size: a few bytes may announce more than any memory holds."""
    with file.zip.open(f"{name}.npy" if f"{name}.npy" in file.zip.namelist() else name) as member:
        version = np.lib.format.read_magic(member)
        reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = reader(member)
        if dtype.hasobject:
            raise ValueError(f"array {name!r} holds Python objects; save text as text, with dtype=str")
        size = file.zip.getinfo(member.name).file_size
    if math.prod(shape) * dtype.itemsize > size:
        raise ValueError(f"array {name!r} is shorter than it says")
    return tuple(shape)


def _listed(file: Any, names: Sequence[str]) -> tuple[str, ...] | None:
    for name in names:
        if name in file.files:
            return tuple(str(one) for one in file[name].ravel())
    return None


FORMATS: dict[str, Callable[[Path, str | None, Collection[str]], Table]] = {
    ".csv": _text,
    ".tsv": _text,
    ".txt": _text,
    ".parquet": _parquet,
    ".npy": _npy,
    ".npz": _npz,
}
