"""What a scorer of cell types reads: log expression of any source, by blocks of cells or by genes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self

import numpy as np
import pandas as pd
import scipy.sparse as sp

from corpuscle.annotate._expression_genes import GeneNames
from corpuscle.counts import Block, Counts, open_counts
from corpuscle.counts._pick import pick_columns
from corpuscle.counts._source import BLOCK_ROWS, csr_of
from corpuscle.errors import MethodError, NotCountsError, OptionError, SourceError

__all__ = ["Expression", "expression_of", "open_expression"]

Array = np.ndarray[Any, Any]

#: Counts that a cell is scaled to before the logarithm.
TARGET_SUM = 1e4
#: No logarithm of counts, of any base in use, comes near it.
LARGEST_LOG = 25.0
#: Cells that an error names.
NAMED = 3


def open_expression(source: Any, *, layer: str | None = None, logged: bool = False) -> Expression:
    """Open a source for a scorer; nothing but names and a sample is read.

    Parameters
    ----------
    source
        A path, a glob pattern, a list of those, an AnnData, or an open :class:`~corpuscle.counts.Counts` (which stays
        open when this is closed).
    layer
        Matrix to use instead of the main one; ``"raw"`` is ``raw.X``.
    logged
        The values are log-normalised already and are taken as they are; else they must be raw counts.

    Raises
    ------
    SourceError, NotCountsError
        It cannot be read, or does not hold what it should.
    OptionError
        A layer was asked of counts that are open already.
    """
    if isinstance(source, Counts):
        if layer is not None:
            raise OptionError(f"{source.name}: layer {layer!r} was asked of counts that are open; open them with it")
        return Expression(source, logged=logged, owned=False)
    try:
        counts = open_counts(source, layer, check=not logged)
    except NotCountsError as error:
        raise _or_logged(error) from None
    return Expression(counts, logged=logged)


@contextmanager
def expression_of(source: Any, *, layer: str | None = None, logged: bool = False) -> Iterator[Expression]:
    """An open :class:`Expression` as it is, or one that is opened now and closed after use."""
    if isinstance(source, Expression):
        yield source
        return
    with open_expression(source, layer=layer, logged=logged) as expression:
        yield expression


class Expression:
    """Log expression, cells x genes: ``log(1 + c * 10,000 / sum of the cell)``, or the values as they are.

    A cell's sum is over all genes of the source. A cell without any expression is refused, since no scorer can name it.
    Made by :func:`open_expression`.

    Attributes
    ----------
    name
        What messages call the source.
    genes
        (g,) names as in the source.
    symbols
        (g,) human-style symbols in capitals; see :class:`GeneNames`.
    species
        Species that the names tell, or ``"undetermined"``.
    logged
        Whether the values were log-normalised when they came.
    """

    def __init__(self, counts: Counts, *, logged: bool = False, owned: bool = True) -> None:
        self._counts, self.logged, self._owned = counts, logged, owned
        self.name = counts.name
        self._names = GeneNames(counts.var)
        self.genes, self.symbols, self.species = self._names.names, self._names.symbols, self._names.species

    def __repr__(self) -> str:
        return f"Expression({self.name}: {self.n_cells:,} cells x {self.n_genes:,} genes)"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files that were opened for it."""
        if self._owned:
            self._counts.close()

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return self._counts.n_obs

    @property
    def n_genes(self) -> int:
        """Number of genes."""
        return self._counts.n_vars

    @property
    def obs(self) -> pd.DataFrame:
        """Table of the cells."""
        return self._counts.obs

    @property
    def cells(self) -> Array:
        """(n,) names of the cells."""
        return np.asarray([str(name) for name in self._counts.obs.index], dtype=object)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know about how genes were named, a line each."""
        notes = []
        if self.species == "mouse":
            notes.append("mouse genes are matched by their human orthologs: one to one, or of the same name")
        repeated = self._names.repeated
        if repeated:
            notes.append(
                f"{len(repeated):,} symbols name several genes, such as {next(iter(repeated))}; of each, the first is used"
            )
        return tuple(notes)

    def positions(self, symbols: Iterable[str], *, aliases: bool = True) -> dict[str, int]:
        """Symbol, as asked -> position of its gene; symbols that are not found are left out.

        Letter case does not matter. Older and newer names of human genes are matched unless ``aliases`` is False. See
        :meth:`GeneNames.positions`.
        """
        return self._names.positions(symbols, aliases=aliases)

    def columns(self, index: Sequence[int] | Array) -> sp.csc_matrix:
        """Log expression of the genes at these positions, (n, m) canonical CSC float32, in one pass over the source.

        It holds 8 bytes a stored value, twice that while the blocks are put together.
        """
        places = np.asarray(index, np.int64)
        if places.size and not (places.min() >= 0 and places.max() < self.n_genes):
            raise OptionError(f"{self.name}: gene positions must lie in 0 to {self.n_genes - 1:,}")
        # Only what is picked is logged; a cell's sum needs all its counts.
        parts = [self._scaled(x_ng, pick_columns(x_ng, places).tocsr()) for _, x_ng in self._stored(BLOCK_ROWS)]
        x_nm = sp.vstack(parts, format="csr", dtype=np.float32)
        parts.clear()
        return x_nm.tocsc()

    def blocks(self, size: int = BLOCK_ROWS) -> Iterator[tuple[slice, sp.csr_matrix]]:
        """Yield (places of the cells, log expression as canonical CSR float32 over all genes), ``size`` cells at a time.

        Raises
        ------
        NotCountsError, SourceError
            A value is no count, or no log expression; the first is named by cell and gene.
        MethodError
            A cell has no expression at all.
        """
        for rows, x_ng in self._stored(size):
            yield rows, self._scaled(x_ng, x_ng)

    def to_csr(self) -> sp.csr_matrix:
        """All of it, (n, g) CSR float32: only for what needs everything at once."""
        return sp.vstack([x_ng for _, x_ng in self.blocks()], format="csr", dtype=np.float32)

    def _stored(self, size: int) -> Iterator[tuple[slice, sp.csr_matrix]]:
        """Checked blocks of counts, or of values that are logged already."""
        if self.logged:
            for block in self._counts.raw_blocks(size):
                yield block.rows, self._logged(block)
            return
        try:
            for block in self._counts.blocks(size):
                self._refuse_empty(block.x_ng, block.rows)
                yield block.rows, block.x_ng
        except NotCountsError as error:
            raise _or_logged(error) from None

    def _scaled(self, x_ng: sp.csr_matrix, picked_nm: sp.csr_matrix) -> sp.csr_matrix:
        """Log expression of ``picked_nm``, some columns of the block ``x_ng``."""
        value = picked_nm.data.astype(np.float32)
        if not self.logged:
            depth_n = np.asarray(x_ng.sum(axis=1, dtype=np.float64)).ravel()
            value *= np.repeat((TARGET_SUM / depth_n).astype(np.float32), np.diff(picked_nm.indptr))
            np.log1p(value, out=value)
        return csr_of(value, picked_nm.indices, picked_nm.indptr, picked_nm.shape)

    def _logged(self, block: Block) -> sp.csr_matrix:
        x_ng = block.x_ng
        if x_ng.dtype.kind not in "buif":
            raise SourceError(f"{block.source}: values of type {x_ng.dtype} are not numbers")
        bad = np.flatnonzero(~((x_ng.data >= 0) & (x_ng.data <= LARGEST_LOG)))
        if bad.size:
            row = int(np.searchsorted(x_ng.indptr, bad[0], side="right")) - 1
            cell, gene = self._counts.obs.index[block.rows.start + row], self.genes[x_ng.indices[bad[0]]]
            raise SourceError(
                f"{block.source}: value {float(x_ng.data[bad[0]]):.6g} at cell {cell}, gene {gene} is no log expression "
                f"(0 to {LARGEST_LOG:g}); give the layer from before scaling, or counts without saying that they are logged"
            )
        if not x_ng.has_canonical_format or not x_ng.data.all():
            x_ng = x_ng.copy()
            x_ng.sum_duplicates()
            x_ng.eliminate_zeros()
        self._refuse_empty(x_ng, block.rows)
        return x_ng

    def _refuse_empty(self, x_ng: sp.csr_matrix, rows: slice) -> None:
        empty = np.flatnonzero(np.diff(x_ng.indptr) == 0)
        if empty.size:
            named = ", ".join(str(self._counts.obs.index[rows.start + i]) for i in empty[:NAMED])
            raise MethodError(
                f"{self.name}: cells without any count cannot be named, the first: {named}"
                f"{', ...' if empty.size > NAMED else ''}; drop cells without counts"
            )


def _or_logged(error: NotCountsError) -> NotCountsError:
    return NotCountsError(f"{error}; if they are log-normalised values, say so (logged)")
