"""Files of non-zero medians: a table of genes with, in its first line, how it was made."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from corpuscle.corpus.manifest import write_atomic
from corpuscle.errors import OutputError, SourceError

__all__ = ["FORMAT", "Medians", "check_out", "read_medians", "write_medians"]

FORMAT = "corpuscle-medians/1"
START = "#corpuscle-medians "
HEADING = "id\tn_nonzero\tnonzero_median"


@dataclass(frozen=True, eq=False)
class Medians:
    """Non-zero medians of genes.

    Attributes
    ----------
    gene_ids
        (g,) identifiers, sorted; genes that were never seen are not there.
    medians_g
        (g,) float64 median of count / depth * 10,000 over the cells that have the gene.
    n_nonzero_g
        (g,) int64 number of these cells.
    recipe
        Method and bound of its error, options, and for each source its name, cells, fingerprint and matched genes.
    """

    gene_ids: tuple[str, ...]
    medians_g: np.ndarray[Any, np.dtype[np.float64]]
    n_nonzero_g: np.ndarray[Any, np.dtype[np.int64]]
    recipe: Mapping[str, Any] = field(repr=False)

    def __len__(self) -> int:
        return len(self.gene_ids)

    def to_dict(self) -> dict[str, float]:
        """Gene -> median."""
        return dict(zip(self.gene_ids, self.medians_g.tolist(), strict=True))


def check_out(out: str | Path, *, overwrite: bool) -> Path:
    """The path, if a file may be written there.

    Raises
    ------
    OutputError
        It is there already, is a folder, or is in a folder that is not there.
    """
    path = Path(out).expanduser()
    if path.is_dir():
        raise OutputError(f"{path}: is a folder; give the name of a file")
    if path.exists() and not overwrite:
        raise OutputError(f"{path}: is there already; give another name, or --force to replace it")
    if not path.parent.is_dir():
        raise OutputError(f"{path}: there is no folder {path.parent}; make it first")
    return path


def write_medians(medians: Medians, path: str | Path) -> None:
    """Write the table, whole or not at all. The same medians give the same bytes.

    Raises
    ------
    OutputError
        It cannot be written.
    """
    recipe = json.dumps(medians.recipe, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    rows = zip(medians.gene_ids, medians.n_nonzero_g.tolist(), medians.medians_g.tolist(), strict=True)
    lines = [f"{START}{recipe}", HEADING, *(f"{gene}\t{n}\t{median!r}" for gene, n, median in rows)]
    try:
        write_atomic(Path(path), ("\n".join(lines) + "\n").encode())
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}; free space or choose another place") from None


def read_medians(path: str | Path) -> Medians:
    """Read what :func:`write_medians` wrote: the very same numbers.

    Raises
    ------
    SourceError
        It is missing, is no such file, or is damaged.
    """
    path = Path(path).expanduser()
    try:
        head, *lines = path.read_text("utf-8").split("\n")
    except FileNotFoundError:
        raise SourceError(f"{path}: there is no such file; check the path") from None
    except (OSError, UnicodeDecodeError):
        raise SourceError(f"{path}: cannot be read as text; give a file that corpus medians wrote") from None
    recipe = _recipe(head, path)
    if lines[:1] != [HEADING] or lines[-1] != "":
        raise SourceError(f"{path}: cut short or changed by hand; make it anew with: corpuscle corpus medians")
    ids: list[str] = []
    counts: list[int] = []
    medians: list[float] = []
    for number, line in enumerate(lines[1:-1], start=3):
        gene, n, median = _row(line, number, path)
        if ids and gene <= ids[-1]:
            raise SourceError(f"{path}: line {number}: gene {gene} is not after {ids[-1]}; make the file anew")
        ids.append(gene)
        counts.append(n)
        medians.append(median)
    if recipe.get("genes_seen", len(ids)) != len(ids):
        raise SourceError(
            f"{path}: has {len(ids):,} genes where its first line promises {recipe['genes_seen']:,}; make it anew"
        )
    return Medians(tuple(ids), np.array(medians, np.float64), np.array(counts, np.int64), recipe)


def _recipe(head: str, path: Path) -> dict[str, Any]:
    if not head.startswith(START):
        raise SourceError(
            f"{path}: no file of corpus medians, whose first line starts with {START.strip()}; other tables of medians "
            f"go to corpus tokenize as they are (--medians, --vocab)"
        )
    try:
        recipe = json.loads(head.removeprefix(START))
    except (ValueError, RecursionError):
        recipe = None
    if not isinstance(recipe, dict) or not str(recipe.get("format", "")).startswith("corpuscle-medians/"):
        raise SourceError(f"{path}: its first line is damaged; make it anew with: corpuscle corpus medians")
    if recipe["format"] != FORMAT:
        raise SourceError(f"{path}: of the format {recipe['format']}; this version reads {FORMAT}")
    return recipe


def _row(line: str, number: int, path: Path) -> tuple[str, int, float]:
    try:
        gene, seen, value = line.split("\t")
        n, median = int(seen), float(value)
    except ValueError:
        raise SourceError(f"{path}: line {number} is no gene, number and median; make the file anew") from None
    if not gene or n < 1 or not 0 < median < math.inf:
        raise SourceError(
            f"{path}: line {number}: median {median:g} of {n:,} values makes no sense; make the file anew"
        )
    return gene, n, median
