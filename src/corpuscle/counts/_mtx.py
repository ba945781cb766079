"""Matrix Market triplets with their lists of names: 10x and STARsolo folders, Parse folders, GEO's prefixed files."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from corpuscle.counts._matrix import FileSource
from corpuscle.counts._names import gene_expression, gene_table, name_index
from corpuscle.counts._source import Source
from corpuscle.counts._spill import Piece, SpilledMatrix
from corpuscle.counts._store import reading
from corpuscle.errors import NotCountsError, SourceError

__all__ = ["find_mtx", "open_mtx", "open_text"]

#: Text parsed at a time.
TEXT_BYTES = 4 * 2**20
MATRIX_ENDINGS = ("matrix.mtx", "matrix.mtx.gz", "DGE.mtx", "DGE.mtx.gz")
TENX_NAMES = (("features.tsv", "genes.tsv"), ("barcodes.tsv",))
PARSE_NAMES = (("all_genes.csv",), ("cell_metadata.csv",))


@dataclass(frozen=True)
class _Header:
    n_rows: int
    n_columns: int
    n_entries: int
    field: str
    skip: int
    separator: str


def open_text(path: Path) -> Any:
    """The bytes of a file, decompressed as they are read where it is gzip (told by content)."""
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if zipped else path.open("rb")


def find_mtx(folder: Path) -> list[Path]:
    """The Matrix Market files of a folder that their name shows to be count matrices."""
    return sorted(p for p in folder.iterdir() if p.is_file() and p.name.endswith(MATRIX_ENDINGS))


def open_mtx(path: Path, layer: str | None) -> Source:
    """A folder with a Matrix Market file and its names, or the Matrix Market file in it.

    Raises
    ------
    SourceError
        Names are missing or do not fit the matrix, or a file is damaged.
    """
    if layer is not None:
        raise SourceError(f"{path}: a Matrix Market folder has no layers; leave --layer out")
    file = path
    if path.is_dir():
        found = find_mtx(path)
        if len(found) > 1:
            raise SourceError(
                f"{path}: it holds {len(found)} matrices; name one: {', '.join(p.name for p in found[:5])}"
            )
        file = found[0]
    header = _read_header(file)
    genes_file, cells_file, by_cell = _name_files(file)
    with reading(str(genes_file)):
        var = _parse_genes(genes_file) if by_cell else _tenx_genes(genes_file)
    with reading(str(cells_file)):
        obs = _parse_cells(cells_file) if by_cell else _tenx_cells(cells_file)
    size, given = (header.n_rows, header.n_columns), (len(obs), len(var))
    if size != given and size != given[::-1]:
        raise SourceError(
            f"{file}: the matrix is {size[0]:,} x {size[1]:,} but {genes_file.name} names {len(var):,} genes and "
            f"{cells_file.name} {len(obs):,} cells; use the files of one run"
        )
    if size[0] != size[1]:
        by_cell = size == given
    keep, left_out = gene_expression(var, str(path))
    uns = {"left_out_features": left_out} if left_out else {}
    return FileSource(str(path), path, _Triplets(file, header, by_cell), obs, var, uns=uns, keep=keep, watched=file)


class _Triplets(SpilledMatrix):
    """The entries of a Matrix Market file."""

    def __init__(self, path: Path, header: _Header, by_cell: bool) -> None:
        shape = (header.n_rows, header.n_columns) if by_cell else (header.n_columns, header.n_rows)
        dtype = np.dtype(np.int64 if header.field == "integer" else np.float64)
        super().__init__(shape, dtype, "cells x genes, triplets" if by_cell else "genes x cells, triplets")
        self.path, self.header, self.by_cell = path, header, by_cell

    def pieces(self) -> Iterator[Piece]:
        """Every entry, in the order of the file."""
        header, seen = self.header, 0
        with reading(str(self.path)), open_text(self.path) as file:
            for _ in range(header.skip):
                file.readline()
            for row, column, value in _batches(file, header, self.dtype):
                for places, size, what in ((row, header.n_rows, "row"), (column, header.n_columns, "column")):
                    if places.size and (places.min() < 1 or places.max() > size):
                        bad = int(np.argmax((places < 1) | (places > size)))
                        raise SourceError(
                            f"{self.path}: entry {seen + bad + 1:,} is in {what} {places[bad]}, outside 1 to {size:,}; "
                            f"the file is damaged: get it again"
                        )
                seen += row.size
                cell, gene = (row, column) if self.by_cell else (column, row)
                yield cell - 1, gene - 1, value
        if seen != header.n_entries:
            raise SourceError(
                f"{self.path}: it announces {header.n_entries:,} entries and has {seen:,}; "
                f"it is truncated: get it again"
            )


def _batches(file: Any, header: _Header, dtype: np.dtype[Any]) -> Iterator[tuple[Any, Any, Any]]:
    """Row, column and value of the entries, some megabytes of text at a time."""
    if header.n_entries == 0:
        return
    if header.separator not in {" ", "\t"}:  # several blanks: rarer, slower
        for frame in pd.read_csv(
            file, sep=r"\s+", header=None, names=["row", "column", "value"], chunksize=1 << 19,
            dtype={"row": np.int64, "column": np.int64, "value": dtype},
        ):  # fmt: skip
            yield tuple(frame[name].to_numpy() for name in frame)
        return
    import pyarrow as pa
    from pyarrow import csv

    types = {"row": pa.int64(), "column": pa.int64(), "value": pa.from_numpy_dtype(dtype)}
    reader = csv.open_csv(
        pa.PythonFile(file, mode="r"),
        read_options=csv.ReadOptions(column_names=list(types), block_size=TEXT_BYTES),
        parse_options=csv.ParseOptions(delimiter=header.separator, quote_char=False),
        convert_options=csv.ConvertOptions(column_types=types, null_values=[]),
    )
    for batch in reader:
        yield tuple(column.to_numpy(zero_copy_only=False) for column in batch.columns)


def _read_header(path: Path) -> _Header:
    skip, sizes = 0, b""
    with reading(str(path)), open_text(path) as file:
        banner = file.readline(1024).decode("latin-1").lower().split()
        for line in file:
            skip += 1
            if line.strip() and not line.startswith(b"%"):
                sizes = line
                break
        first = file.readline().strip()
    if len(banner) != 5 or banner[0] != "%%matrixmarket" or banner[2] != "coordinate" or banner[4] != "general":
        raise SourceError(
            f"{path}: not a general coordinate Matrix Market file ({' '.join(banner)[:80]}); write it as one"
        )
    if banner[3] not in {"integer", "real"}:
        raise NotCountsError(f"{path}: its values are {banner[3]}, not counts; write the counts themselves")
    try:
        n_rows, n_columns, n_entries = (int(part) for part in sizes.split())
    except ValueError:
        raise SourceError(f"{path}: there is no line with its size; it is truncated: get it again") from None
    separator = next(
        (s for s in (" ", "\t") if len(first.split(s.encode())) == 3 and b"" not in first.split(s.encode())), ""
    )
    return _Header(n_rows, n_columns, n_entries, banner[3], skip + 1, separator)


def _name_files(file: Path) -> tuple[Path, Path, bool]:
    """The files of gene and cell names beside ``file``, and whether they are Parse's (cells x genes)."""
    stem = file.name.removesuffix(".gz").removesuffix(".mtx")
    prefixes = dict.fromkeys(
        [stem.removesuffix("matrix").removesuffix("DGE").removesuffix("count_"), f"{stem}.", f"{stem}_", ""]
    )
    for (genes, cells), by_cell in ((TENX_NAMES, False), (PARSE_NAMES, True)):
        for prefix in prefixes:
            genes_file, cells_file = _beside(file, prefix, genes), _beside(file, prefix, cells)
            if genes_file and cells_file:
                return genes_file, cells_file, by_cell
    raise SourceError(
        f"{file}: its names are not beside it: looked for features.tsv or genes.tsv with barcodes.tsv (also .gz), and "
        f"for all_genes.csv with cell_metadata.csv; put them into {file.parent}"
    )


def _beside(file: Path, prefix: str, names: tuple[str, ...]) -> Path | None:
    for name in names:
        for ending in ("", ".gz"):
            path = file.with_name(f"{prefix}{name}{ending}")
            if path.is_file():
                return path
    return None


def _tenx_genes(path: Path) -> pd.DataFrame:
    with open_text(path) as file:
        table = pd.read_csv(file, sep="\t", header=None, dtype=str, keep_default_na=False, quoting=3)
    ids = table[0].tolist()
    extra = {"feature_type": table[2].tolist()} if table.shape[1] > 2 else {}
    return gene_table(table[1].tolist() if table.shape[1] > 1 else ids, ids, **extra)


def _tenx_cells(path: Path) -> pd.DataFrame:
    with open_text(path) as file:
        table = pd.read_csv(file, sep="\t", header=None, dtype=str, keep_default_na=False, quoting=3)
    return pd.DataFrame(index=name_index(table[0].tolist()))


def _parse_genes(path: Path) -> pd.DataFrame:
    with open_text(path) as file:
        table = pd.read_csv(file, dtype=str, keep_default_na=False)
    ids = table["gene_id"].tolist()
    extra = {"genome": table["genome"].tolist()} if "genome" in table else {}
    return gene_table(table["gene_name"].tolist() if "gene_name" in table else ids, ids, **extra)


def _parse_cells(path: Path) -> pd.DataFrame:
    with open_text(path) as file:
        table = pd.read_csv(file, keep_default_na=False, dtype={0: str})
    return table.set_axis(name_index(table.iloc[:, 0].astype(str).tolist())).drop(columns=table.columns[0])
