"""Make the bundled tables: ``python -m corpuscle.annotate.ontology._bundle CELL_ONTOLOGY ASCTB DIR``."""

from __future__ import annotations

import gzip
import lzma
import re
import sys
from pathlib import Path

from corpuscle.annotate._tables import ASCTB, CELL_ONTOLOGY
from corpuscle.annotate.ontology._read import read_terms
from corpuscle.annotate.ontology._terms import to_table

__all__ = ["bundle"]

#: Three rows have a letter after the id.
AFTER_ID = re.compile(rb"(?m)(\tCL:\d{7}) [^\t\n]*(?=\t)")


def bundle(ontology: Path, asctb: Path, folder: Path) -> None:
    """Write the tables of the Cell Ontology (any form that can be read) and of ASCT+B (its flat table, gzip) as xz."""
    _write(folder / CELL_ONTOLOGY, to_table(read_terms(ontology).values()).encode())
    _write(folder / ASCTB, AFTER_ID.sub(rb"\1", gzip.decompress(asctb.read_bytes())))


def _write(path: Path, data: bytes) -> None:
    unfinished = path.with_name(path.name + ".part")
    unfinished.write_bytes(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME))
    unfinished.replace(path)


if __name__ == "__main__":
    bundle(*map(Path, sys.argv[1:4]))
