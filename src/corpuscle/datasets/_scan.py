"""One pass over a matrix that may not be counts: everything the validator asks of the values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from corpuscle.counts import Block, Counts
from corpuscle.datasets._issue import EXAMPLES

__all__ = ["Scan", "scan"]

Array = np.ndarray[Any, Any]


@dataclass
class Scan:
    """What one pass knows. Sums over cells and genes are over finite values only.

    Attributes
    ----------
    depth_n, genes_n
        (n,) total and number of genes above 0 of each cell.
    cells_g, total_g
        (g,) cells above 0 and total of each gene.
    share_sq_g
        (g,) sum over cells of the squared share of the gene in the cell's total.
    chosen_nk
        (n, k) values of the genes that were asked for.
    n_stored, n_negative, n_not_finite, n_fractional, n_zero
        Stored values, and how many of them are of a kind that raw counts do not have.
    smallest, largest
        Of the finite stored values; NaN if there are none.
    bad_cells, bad_genes
        Positions of the first offenders.
    sorted_rows
        Column positions grow along every row, none twice.
    """

    depth_n: Array
    genes_n: Array
    cells_g: Array
    total_g: Array
    share_sq_g: Array
    chosen_nk: Array
    n_stored: int = 0
    n_negative: int = 0
    n_not_finite: int = 0
    n_fractional: int = 0
    n_zero: int = 0
    smallest: float = float("nan")
    largest: float = float("nan")
    bad_cells: tuple[int, ...] = ()
    bad_genes: tuple[int, ...] = ()
    sorted_rows: bool = True

    @property
    def is_counts(self) -> bool:
        """Whether every value is a non-negative whole number."""
        return not (self.n_negative or self.n_not_finite or self.n_fractional)

    def depth_correlation_g(self) -> Array:
        """(g,) Pearson correlation over non-empty cells of a gene's share of the total with the total; NaN if constant.

        The share times the total is the count, so one pass has all the sums.
        """
        depth = self.depth_n[self.depth_n > 0]
        n = depth.size
        if n < 2:
            return np.full(self.total_g.size, np.nan)
        mean_share_g = self._share_g / n
        cov_g = self.total_g / n - mean_share_g * depth.mean()
        var_g = self.share_sq_g / n - mean_share_g**2
        varies_g = (var_g > 1e-12 * mean_share_g**2) & (depth.std() > 0)
        scale_g = np.sqrt(np.maximum(var_g, 0)) * depth.std()
        return np.divide(cov_g, scale_g, out=np.full(scale_g.size, np.nan), where=varies_g)

    def __post_init__(self) -> None:
        self._share_g = np.zeros_like(self.share_sq_g)

    def add(self, block: Block, chosen: Array) -> None:
        """Take in one block; each cell is in exactly one."""
        x_ng, n_genes = block.x_ng, self.total_g.size
        data = np.asarray(x_ng.data, dtype=np.float64)
        row = np.repeat(np.arange(x_ng.shape[0]), np.diff(x_ng.indptr))
        self._judge(data, row + block.rows.start, x_ng.indices)
        self.sorted_rows &= bool(x_ng.has_canonical_format)
        value = np.where(np.isfinite(data), data, 0.0)
        depth_n = np.bincount(row, value, minlength=x_ng.shape[0])
        self.depth_n[block.rows] = depth_n
        self.genes_n[block.rows] = np.bincount(row[value > 0], minlength=x_ng.shape[0])
        self.cells_g += np.bincount(x_ng.indices[value > 0], minlength=n_genes)
        self.total_g += np.bincount(x_ng.indices, value, minlength=n_genes)
        share = np.divide(value, depth_n[row], out=np.zeros_like(value), where=depth_n[row] > 0)
        self._share_g += np.bincount(x_ng.indices, share, minlength=n_genes)
        self.share_sq_g += np.bincount(x_ng.indices, share**2, minlength=n_genes)
        if chosen.size:
            self.chosen_nk[block.rows] = x_ng[:, chosen].toarray()

    def _judge(self, data: Array, cell: Array, gene: Array) -> None:
        finite = np.isfinite(data)
        fractional = finite & (data != np.floor(data))
        bad = ~finite | fractional | (data < 0)
        self.n_stored += data.size
        self.n_not_finite += int((~finite).sum())
        self.n_fractional += int(fractional.sum())
        self.n_negative += int((data < 0).sum())
        self.n_zero += int((data == 0).sum())
        if finite.any():
            self.smallest = float(np.fmin(self.smallest, data[finite].min()))
            self.largest = float(np.fmax(self.largest, data[finite].max()))
        if bad.any():
            self.bad_cells = _first(self.bad_cells, cell[bad])
            self.bad_genes = _first(self.bad_genes, gene[bad])


def _first(had: tuple[int, ...], new: Array) -> tuple[int, ...]:
    return tuple(dict.fromkeys([*had, *new[: 50 * EXAMPLES].tolist()]))[:EXAMPLES]


def scan(counts: Counts, chosen: Array) -> Scan:
    """Read the whole matrix once, unchecked.

    Parameters
    ----------
    counts
        Opened without check.
    chosen
        (k,) positions of genes whose values are wanted, cell by cell.
    """
    n, g = counts.n_obs, counts.n_vars
    seen = Scan(
        depth_n=np.zeros(n),
        genes_n=np.zeros(n, np.int64),
        cells_g=np.zeros(g, np.int64),
        total_g=np.zeros(g),
        share_sq_g=np.zeros(g),
        chosen_nk=np.zeros((n, chosen.size)),
    )
    for block in counts.raw_blocks():
        seen.add(block, chosen)
    return seen
