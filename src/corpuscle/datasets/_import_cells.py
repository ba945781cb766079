"""Which barcodes of a foreign matrix are cells: a given list, or enough genes and not too much mitochondrial RNA."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from corpuscle.counts import Counts
from corpuscle.counts.genes import mitochondrial
from corpuscle.datasets._import_genes import GeneColumns
from corpuscle.errors import NotCountsError, OptionError, SourceError

__all__ = ["CellFilter", "kept_cells", "unique_cells"]

Array = np.ndarray[Any, Any]
#: Below this many UMI in the median barcode, most barcodes are empty droplets.
EMPTY_DEPTH = 100


@dataclass(frozen=True)
class CellFilter:
    """Which cells to keep: those listed, else by genes detected and share of mitochondrial counts."""

    keep_cells: frozenset[str] | None
    min_genes: int
    max_mito: float

    @classmethod
    def of(
        cls, keep_cells: str | os.PathLike[str] | Iterable[str] | None, min_genes: int, max_mito: float
    ) -> CellFilter:
        """With the list read, where it is a file of one barcode a line (gzip or not)."""
        if min_genes < 0 or not 0 < max_mito <= 1:
            raise OptionError(
                f"min_genes {min_genes} must be at least 0, and max_mito {max_mito} above 0 and at most 1"
            )
        if isinstance(keep_cells, str | os.PathLike):
            keep_cells = _lines(Path(keep_cells))
        return cls(None if keep_cells is None else frozenset(map(str, keep_cells)), min_genes, max_mito)

    def record(self) -> dict[str, Any]:
        """Say what to write beside the data."""
        if self.keep_cells is not None:
            return {"cells": "listed"}
        return {"cells": "filtered", "min_genes": self.min_genes, "max_mito": self.max_mito}


def _lines(path: Path) -> list[str]:
    try:
        raw = path.read_bytes()
        content = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode()
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise SourceError(f"{path}: the list of cells cannot be read ({error}); give one barcode a line") from None
    return [line.split("\t")[0].strip().strip('"') for line in content.splitlines() if line.strip()]


def unique_cells(obs: pd.DataFrame, name: str, suffix_duplicates: bool) -> tuple[pd.DataFrame, list[str]]:
    """Give the cell table with barcodes that occur once, and what was done for it.

    Raises
    ------
    SourceError
        Barcodes occur twice and may not be given a suffix.
    """
    cells = pd.Index([str(cell) for cell in obs.index], dtype=object)
    if cells.is_unique:
        return obs.set_axis(cells), []
    again = cells.duplicated()
    if not suffix_duplicates:
        raise SourceError(
            f"{name}: {again.sum():,} barcodes occur more than once (first {cells[again][0]}), as after merging lanes; "
            "import each lane by itself, or pass --suffix-duplicates"
        )
    from anndata.utils import make_index_unique

    return obs.set_axis(make_index_unique(cells)), [f"gave {again.sum():,} repeated barcodes a suffix"]


def kept_cells(
    counts: Counts, cells: pd.Index, genes: GeneColumns, rule: CellFilter
) -> tuple[sp.csr_matrix, Array, list[str]]:
    """Read the blocks once and keep the cells that the rule keeps.

    Returns
    -------
    x_ng
        (cells kept) x (genes stored) CSR, int32.
    kept
        Their positions in ``cells``.
    notes
        What was left out.

    Raises
    ------
    NotCountsError
        The matrix is not raw counts.
    OptionError
        No cell is left.
    """
    mito_g = mitochondrial(genes.symbols).astype(np.float64)
    listed = None if rule.keep_cells is None else cells.isin(rule.keep_cells)
    if listed is not None and not listed.any():
        first = next(iter(sorted(rule.keep_cells or ())), "nothing")
        raise OptionError(
            f"{counts.name}: no listed barcode is there (listed: {first}, there: {cells[0]}); write them alike"
        )
    parts, kept, depth = [], [], []
    for block in counts.blocks():
        x_ng = block.x_ng if genes.merge is None else sp.csr_matrix(block.x_ng @ genes.merge)
        depth_n = np.asarray(x_ng.sum(axis=1, dtype=np.int64)).ravel()
        keep = depth_n > 0
        if listed is not None:
            keep &= listed[block.rows]
        else:
            mito_n = np.divide(x_ng @ mito_g, depth_n, out=np.ones(depth_n.size), where=keep)
            keep &= (np.diff(x_ng.indptr) >= rule.min_genes) & (mito_n < rule.max_mito)
        parts.append(x_ng[keep])
        kept.append(np.flatnonzero(keep) + block.rows.start)
        depth.append(depth_n)
    index = np.concatenate(kept)
    if not index.size:
        which = "are listed and have counts" if listed is not None else f"have {rule.min_genes} genes and pass max_mito"
        raise OptionError(f"{counts.name}: none of {len(cells):,} cells {which}; lower --min-genes or raise --max-mito")
    x_ng = sp.vstack(parts, format="csr")
    x_ng.sort_indices()
    return _int32(x_ng, counts.name), index, _notes(np.concatenate(depth), index, rule, bool(mito_g.any()), cells)


def _int32(x_ng: sp.csr_matrix, name: str) -> sp.csr_matrix:
    if x_ng.data.max(initial=0) > np.iinfo(np.int32).max:
        raise NotCountsError(
            f"{name}: holds a count above {np.iinfo(np.int32).max:,}, which no UMI count is; give raw counts"
        )
    x_ng.data = x_ng.data.astype(np.int32, copy=False)
    return x_ng


def _notes(depth_n: Array, kept: Array, rule: CellFilter, has_mito: bool, cells: pd.Index) -> list[str]:
    notes = []
    if kept.size < depth_n.size:
        notes.append(f"left out {depth_n.size - kept.size:,} of {depth_n.size:,} barcodes")
    if (median := float(np.median(depth_n))) < EMPTY_DEPTH:
        notes.append(f"the median barcode had {median:.0f} UMI: empty droplets were included")
    if rule.keep_cells is not None:
        if absent := len(rule.keep_cells.difference(cells)):
            notes.append(f"{absent:,} listed barcodes are not in the file")
    elif not has_mito:
        notes.append("no mitochondrial gene is named, so max_mito removed nothing")
    return notes
