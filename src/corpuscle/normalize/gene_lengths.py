"""Lengths of genes from a table or from a GTF or GFF annotation."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd

from corpuscle.counts._gene_table import strip_version
from corpuscle.errors import SourceError
from corpuscle.normalize._exons import exon_lengths, is_annotation

__all__ = ["LENGTH_COLUMNS", "gene_lengths"]

#: Kind of length -> column of what :func:`gene_lengths` returns.
LENGTH_COLUMNS = {
    "exon_union": "length",
    "mean_transcript": "mean_transcript",
    "longest_transcript": "longest_transcript",
}
GENE_TITLES = ("gene_id", "gene", "ensembl_id", "ensembl", "geneid", "id", "name", "symbol", "gene_name")
LENGTH_TITLES = ("length", "gene_length", "exon_length", "exon_union", "len")
SYMBOL_TITLES = ("symbol", "gene_symbol", "gene_name")


def gene_lengths(path: str | Path) -> pd.DataFrame:
    """Lengths of genes in nucleotides.

    Parameters
    ----------
    path
        A GTF or GFF3 file with exon lines, or a table with a line of titles (tab, comma or semicolon between) that
        has a column ``gene`` or ``gene_id`` and a column ``length``; gzip is recognised.

    Returns
    -------
    pandas.DataFrame
        One row a gene: ``gene_id`` (without version), ``symbol`` (blank if unknown), ``length``: nucleotides that at
        least one exon covers, ``mean_transcript`` and ``longest_transcript``: mean and largest length of its spliced
        transcripts, NaN in a table. Introns count nowhere.

    Raises
    ------
    SourceError
        The file is missing, damaged, or neither of these.
    """
    path = Path(path)
    with _lines(path) as lines:
        head = []
        for line in lines:
            head.append(line)
            if not line.startswith("#") and not line.isspace():
                break
        if not head:
            raise SourceError(f"{path}: is empty; give a table of gene and length, or a GTF or GFF file")
        if is_annotation(head[-1]):
            return exon_lengths(path, chain(head, lines))
        return _table(path, chain(head[-1:], lines))


@contextmanager
def _lines(path: Path) -> Iterator[Iterator[str]]:
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            raw = gzip.GzipFile(fileobj=file) if packed else file
            yield iter(io.TextIOWrapper(raw, encoding="utf-8", errors="replace"))
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise SourceError(f"{path}: is a damaged gzip file ({error}); fetch it again") from None
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror or error}; check the path") from None


def _table(path: Path, lines: Iterator[str]) -> pd.DataFrame:
    titles = next(lines).strip("\ufeff\r\n")
    separator = max("\t,;", key=titles.count)
    try:
        read = pd.read_csv(_Joined(titles + "\n", lines), sep=separator, dtype=str, keep_default_na=False)
    except (ValueError, pd.errors.ParserError) as error:
        raise SourceError(f"{path}: is not a table ({' '.join(str(error).split())[:120]}); repair it") from None
    read.columns = [str(title).strip().lower().replace(" ", "_") for title in read.columns]
    gene, length, symbol = (
        next((title for title in titles if title in read), None)
        for titles in (GENE_TITLES, LENGTH_TITLES, SYMBOL_TITLES)
    )
    if gene is None or length is None:
        raise SourceError(
            f"{path}: has the columns {', '.join(map(str, read.columns[:6]))}; name one gene (or gene_id) and one length"
        )
    length_g = pd.to_numeric(read[length], errors="coerce").to_numpy(np.float64)
    stated = read[length].str.strip().str.upper().isin(["", "NA", "NAN"]).to_numpy()
    bad = ~stated & ~(np.isfinite(length_g) & (length_g > 0))
    if bad.any():
        row = int(np.argmax(bad))
        raise SourceError(
            f"{path}: the length of {read[gene].iloc[row]} is {read[length].iloc[row]!r}; it must be a number above 0, "
            "or blank"
        )
    ids = [strip_version(name.strip()) for name in read[gene]]
    symbols = read[symbol].str.strip().tolist() if symbol else ids
    table = pd.DataFrame({"gene_id": ids, "symbol": symbols, "length": length_g})
    table = table.assign(mean_transcript=np.nan, longest_transcript=np.nan)
    return table.drop_duplicates("gene_id", ignore_index=True)


class _Joined(io.TextIOBase):
    """A line that was already read, and those after it, as one file for pandas."""

    def __init__(self, first: str, rest: Iterator[str]) -> None:
        self._lines = chain([first], rest)

    def read(self, size: int | None = -1) -> str:
        """Some whole lines, or all that is left."""
        if size is None or size < 0:
            return "".join(self._lines)
        return next(self._lines, "")

    def readline(self, size: int | None = -1) -> str:  # type: ignore[override]
        """One line."""
        return next(self._lines, "")

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def __iter__(self) -> Iterator[str]:  # type: ignore[override]
        return self._lines
