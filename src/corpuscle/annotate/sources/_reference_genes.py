"""Which genes tell the types of a reference apart, and the expression of just those, on one scale in every source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from corpuscle.errors import MethodError

if TYPE_CHECKING:
    from corpuscle.annotate._expression import Expression

__all__ = ["ClassSums", "choose_genes", "matched_columns", "panel_blocks"]

Array = np.ndarray[Any, Any]
TARGET_SUM = 1e4
#: Variance within types that every gene is granted, so that a gene seen in a cell or two is not the most telling one.
LEAST_WITHIN = 1e-3
#: Bins of equal numbers of genes of like mean, within which dispersions are compared.
BINS = 20
#: A gene must be seen in so many labelled cells to be chosen.
LEAST_SEEN = 3
NAMED = 3


def matched_columns(expression: Expression, symbols: Sequence[str]) -> Array:
    """(u,) int64 column of each symbol, -1 where there is none; no column stands for two of them."""
    column_u = np.full(len(symbols), -1, np.int64)
    taken: set[int] = set()
    # Exact names first, so that an old name of another gene never takes a column from its own.
    for aliases in (False, True):
        found = expression.positions(symbols, aliases=aliases)
        for place, symbol in enumerate(symbols):
            column = found.get(symbol)
            if column_u[place] < 0 and column is not None and column not in taken:
                column_u[place] = column
                taken.add(column)
    return column_u


def panel_blocks(
    expression: Expression, column_u: Array, share: float = 1.0, *, refuse: bool = True
) -> Iterator[tuple[slice, sp.csr_matrix, sp.csr_matrix]]:
    """Yield (places of the cells, counts a cell scaled to one sum, their ``log(1 + x)``) over some of the genes.

    Parameters
    ----------
    column_u
        (u,) columns.
    share
        A cell's sum over these genes is made ``share`` * 10,000. So panels of different genes, and values that were
        scaled to another sum before they were logged, come to one scale.
    refuse
        Raise for a cell that expresses none of the genes; else its row is empty.

    Raises
    ------
    MethodError
        A cell expresses none of the genes.
    """
    for rows, x_ng in expression.blocks():
        log_nu = x_ng[:, column_u]
        scaled = np.expm1(log_nu.data.astype(np.float64))
        scaled_nu = sp.csr_matrix((scaled, log_nu.indices, log_nu.indptr), shape=log_nu.shape)
        total_n = np.asarray(scaled_nu.sum(axis=1)).ravel()
        if refuse:
            _refuse_unseen(expression, rows, total_n)
        factor_n = share * TARGET_SUM / np.where(total_n > 0, total_n, 1.0)
        scaled_nu.data *= np.repeat(factor_n, np.diff(scaled_nu.indptr))
        logged = np.log1p(scaled_nu.data).astype(np.float32)
        yield rows, scaled_nu, sp.csr_matrix((logged, scaled_nu.indices, scaled_nu.indptr), shape=scaled_nu.shape)


def _refuse_unseen(expression: Expression, rows: slice, total_n: Array) -> None:
    unseen = np.flatnonzero(total_n <= 0)
    if unseen.size:
        named = ", ".join(str(name) for name in expression.obs.index[rows.start + unseen[:NAMED]])
        more = ", ..." if unseen.size > NAMED else ""
        raise MethodError(
            f"{expression.name}: cells that express none of the genes shared with the reference cannot be named, the "
            f"first: {named}{more}; drop them"
        )


@dataclass
class ClassSums:
    """Sums of expression by type, over any split of the cells into blocks.

    Attributes
    ----------
    n_k
        (K,) cells.
    log_ku, square_ku
        (K, u) sums of log expression and of its square.
    scaled_u, scaled_square_u
        (u,) sums of scaled counts and of their squares.
    seen_u
        (u,) cells that express the gene.
    """

    n_k: Array
    log_ku: Array
    square_ku: Array
    scaled_u: Array
    scaled_square_u: Array
    seen_u: Array

    @classmethod
    def empty(cls, n_types: int, n_genes: int) -> ClassSums:
        """Of no cells."""
        by_type, by_gene = (n_types, n_genes), (n_genes,)
        return cls(np.zeros(n_types), *(np.zeros(shape) for shape in (by_type, by_type, by_gene, by_gene, by_gene)))

    def update(self, code_n: Array, scaled_nu: sp.csr_matrix, log_nu: sp.csr_matrix) -> None:
        """Add cells; a negative type leaves a cell out."""
        rows = np.flatnonzero(code_n >= 0)
        code_n, scaled_nu, log_nu = code_n[rows], scaled_nu[rows], log_nu[rows]
        member_kn = sp.csr_matrix(
            (np.ones(rows.size), (code_n, np.arange(rows.size))), shape=(self.n_k.size, rows.size)
        )
        self.n_k += np.bincount(code_n, minlength=self.n_k.size)
        self.log_ku += (member_kn @ log_nu).toarray()
        self.square_ku += (member_kn @ log_nu.power(2)).toarray()
        self.scaled_u += np.asarray(scaled_nu.sum(axis=0)).ravel()
        self.scaled_square_u += np.asarray(scaled_nu.power(2).sum(axis=0)).ravel()
        self.seen_u += np.bincount(log_nu.indices, minlength=self.seen_u.size)

    @property
    def level_u(self) -> Array:
        """(u,) mean scaled count."""
        return self.scaled_u / self.n_k.sum()

    def separation_u(self) -> Array:
        """(u,) variance of the types' means over the mean variance within types, each type counted alike."""
        mean_ku = self.log_ku / self.n_k[:, None]
        within_ku = np.maximum(self.square_ku / self.n_k[:, None] - mean_ku**2, 0)
        return mean_ku.var(axis=0) / (within_ku.mean(axis=0) + LEAST_WITHIN)

    def dispersion_u(self) -> Array:
        """(u,) log of variance over mean of scaled counts, standardised among genes of like mean."""
        mean_u = self.level_u
        variance_u = np.maximum(self.scaled_square_u / self.n_k.sum() - mean_u**2, 0)
        raw_u = np.log(np.maximum(variance_u, 1e-12) / np.maximum(mean_u, 1e-12))
        standard_u = np.full(raw_u.size, -np.inf)
        for bin_b in np.array_split(np.argsort(mean_u, kind="stable"), BINS):
            if bin_b.size:
                standard_u[bin_b] = (raw_u[bin_b] - raw_u[bin_b].mean()) / max(raw_u[bin_b].std(), 1e-12)
        return standard_u


def choose_genes(sums: ClassSums, n_genes: int) -> Array:
    """(v,) sorted places of the genes to learn from: half by how they separate types, half by their variability.

    Genes seen in fewer than 3 cells are never chosen, so there may be fewer than ``n_genes``.
    """
    usable = np.flatnonzero(sums.seen_u >= LEAST_SEEN)
    if usable.size <= n_genes:
        return usable
    telling = usable[np.argsort(-sums.separation_u()[usable], kind="stable")]
    variable = usable[np.argsort(-sums.dispersion_u()[usable], kind="stable")]
    first = telling[: n_genes // 2]
    rest = variable[~np.isin(variable, first)][: n_genes - first.size]
    return np.sort(np.concatenate([first, rest]))
