"""The two passes over a source: what is known of every cell, then in how many kept cells each gene is detected."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd

from corpuscle.corpus._units import SourceSpec
from corpuscle.corpus.pairs._prepare_kernels import cell_figures, mark_detected
from corpuscle.corpus.pairs._prepare_rules import CellFigures
from corpuscle.counts import Block, Counts
from corpuscle.counts._profile import summarise_threaded
from corpuscle.counts._source import BLOCK_ROWS
from corpuscle.counts.genes import mitochondrial
from corpuscle.counts.verdict import CountsVerdict, VerdictSummary
from corpuscle.errors import NotCountsError

__all__ = ["Detected", "Measured", "Progress", "check_verdict", "detect", "measure"]

Array = np.ndarray[Any, Any]
Progress = Callable[[int, int, str], None]
ID_COLUMNS = ("gene_id", "gene_ids", "ensembl_id")
INT32_MAX = np.iinfo(np.int32).max


@dataclass(frozen=True)
class Measured:
    """What the first pass found.

    Attributes
    ----------
    figures
        What the rules look at.
    verdict
        Whether the values are raw counts.
    obs, var
        Tables of the source.
    stat
        Size and time of the file, to notice that it is another one later.
    """

    figures: CellFigures
    verdict: CountsVerdict
    obs: pd.DataFrame
    var: pd.DataFrame
    stat: tuple[int, int] | None


class _FirstLook:
    """Mergeable summary of the first pass: threads share the arrays by cell, each with rows of its own."""

    def __init__(self, counts: Counts, out: tuple[Array, Array, Array, Array], mito_g: Array, n_top: int) -> None:
        self.verdict = VerdictSummary(counts.obs.index, counts.var_names)
        self.out, self.mito_g, self.n_top = out, mito_g, n_top

    def update(self, block: Block) -> None:
        """Take in one block."""
        x_ng = block.x_ng
        if x_ng.data.max(initial=0) > INT32_MAX:
            raise NotCountsError(
                f"{block.source}: a value is {int(x_ng.data.max()):,}, more than a count can be here; give raw counts"
            )
        self.verdict.update(block)
        rows = tuple(array[block.rows] for array in self.out)
        cell_figures(x_ng.data, x_ng.indices, x_ng.indptr, self.mito_g, self.n_top, rows)

    def merge(self, other: Self) -> None:
        """Take in what another summary of the same source has seen."""
        self.verdict.merge(other.verdict)

    def finish(self) -> CountsVerdict:
        """The verdict."""
        return self.verdict.finish()


def measure(spec: SourceSpec, n_top: int, tick: Callable[[int, int], None]) -> Measured:
    """Read a source once: totals, detected genes, mitochondrial counts, strongest genes, and whether these are raw counts.

    Raises
    ------
    SourceError, NotCountsError
        It cannot be read, or a value is not a whole number of counts.
    """
    stat = spec.stat()
    with spec.open() as counts:
        mito_g = _mitochondrial(counts.var)
        out = tuple(np.zeros(counts.n_obs, np.int64) for _ in range(4))

        def told() -> Any:
            for block in counts.blocks():
                yield block
                tick(block.rows.stop, counts.n_obs)

        total_n, genes_n, mito_n, top_n = out
        look = summarise_threaded(told(), lambda: _FirstLook(counts, (total_n, genes_n, mito_n, top_n), mito_g, n_top))
        figures = CellFigures(total_n, genes_n, mito_n if mito_g.any() else None, top_n)
        return Measured(figures, look.finish(), counts.obs, counts.var, stat)


def _mitochondrial(var: pd.DataFrame) -> Array:
    """(g,) mask by name, or by id where the table has ids."""
    mask = mitochondrial(str(name) for name in var.index)
    for column in ID_COLUMNS:
        if column in var:
            mask = mask | mitochondrial(str(name) for name in var[column])
    return mask


def check_verdict(verdict: CountsVerdict, name: str, *, allow_imitation: bool, declared: bool) -> str | None:
    """Refuse what is not raw counts; return what to note where it is used all the same.

    Raises
    ------
    NotCountsError
        There is no count at all, or whole numbers were made from normalised values.
    """
    if verdict.verdict == "empty":
        raise NotCountsError(f"{name}: {verdict.reason}; {verdict.way_out}")
    if verdict.is_counts:
        return None
    if declared:
        return f"{name}: declared to be raw counts, though they look like {verdict.verdict}: {verdict.reason}"
    if allow_imitation:
        return f"{name}: {verdict.verdict}, used because that was asked for: {verdict.reason}"
    raise NotCountsError(
        f"{name}: {verdict.verdict}: {verdict.reason}; {verdict.way_out}; or, if they are known to be raw counts, declare them "
        "so (declared_counts=True, --declared-counts)"
    )


@dataclass(frozen=True)
class Detected:
    """What the second pass found: cells by gene, and distinct genes by batch and gene."""

    cells_g: Array
    seen_bg: Array


def detect(spec: SourceSpec, row_k: Array, batch_k: Array, n_genes: int, tick: Callable[[int, int], None]) -> Detected:
    """Read the kept cells of a source once: where each gene is detected.

    Parameters
    ----------
    spec
        The source.
    row_k
        Rows of the kept cells, ascending.
    batch_k
        Number of the batch of each; -1 for none.
    n_genes
        Genes of the source.
    tick
        Called with cells read and cells of the source.
    """
    cells_g = np.zeros(n_genes, np.int64)
    seen_bg = np.zeros((int(batch_k.max(initial=-1)) + 1, n_genes), bool)
    with spec.open() as counts:
        for first in range(0, counts.n_obs, BLOCK_ROWS):
            low, high = np.searchsorted(row_k, (first, first + BLOCK_ROWS))
            for block in counts.blocks(BLOCK_ROWS, start=first, stop=min(first + BLOCK_ROWS, counts.n_obs)):
                tick(block.rows.stop, counts.n_obs)
                rows = row_k[low:high] - first
                mark_detected(block.x_ng.indices, block.x_ng.indptr, rows, batch_k[low:high], cells_g, seen_bg)
    return Detected(cells_g, seen_bg)
