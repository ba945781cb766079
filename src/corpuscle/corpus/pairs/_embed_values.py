"""Embeddings that are the log values of an ordered list of genes: those that vary most, or a panel from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np

from corpuscle.corpus.pairs._block import CellBlock
from corpuscle.corpus.pairs._embed_checks import check_name, genes_in, integer_in, whole_number
from corpuscle.corpus.pairs._embed_genes import Blocks, GeneColumns, moments_of, variable_genes
from corpuscle.corpus.pairs._embed_panel import read_panel
from corpuscle.errors import GeneError, MethodError, OptionError

__all__ = ["HighlyVariable", "Panel"]

Array = np.ndarray[Any, Any]


class _GeneValues:
    """Values of ``genes``, in their order."""

    kind: str
    name: str
    _columns: GeneColumns | None = None

    @property
    def columns(self) -> GeneColumns:
        """Where the genes are found, and which sources lack some."""
        if self._columns is None:
            raise MethodError(f"embedding {self.name}: fit it on training cells first")
        return self._columns

    @property
    def genes(self) -> tuple[str, ...]:
        """The genes, one a dimension."""
        return self.columns.genes

    @property
    def missing(self) -> dict[str, int]:
        """Source -> genes that it lacks and that are therefore zero, of the sources embedded so far."""
        return self.columns.missing

    def transform(self, block: CellBlock) -> Array:
        """Log values of the genes: (n, width) float32, 0 where the block lacks a gene.

        Raises
        ------
        GeneError
            The block has none of the genes.
        """
        return np.asarray(self.columns.of(block.log_ng, block).toarray(), np.float32)


class HighlyVariable(_GeneValues):
    """Log values of the genes that vary most among the training cells, chosen once and kept in a list.

    Parameters
    ----------
    n
        Genes; fewer if the training cells express fewer.
    name
        What the vectors are called: ``X_<name>``.
    """

    kind = "hvg"

    def __init__(self, n: int = 512, name: str = "hvg") -> None:
        self.n = whole_number("hvg", "n", n)
        self.name = check_name(name)

    @property
    def width(self) -> int:
        """Numbers a cell; before ``fit`` those asked for."""
        return self.n if self._columns is None else len(self.genes)

    def fit(self, blocks: Blocks) -> Self:
        """Choose the genes: one pass over the training cells.

        Raises
        ------
        MethodError
            There is no training cell, or none expresses anything.
        GeneError
            The sources have no gene in common.
        """
        self._columns = GeneColumns(variable_genes(moments_of(blocks), self.n))
        return self

    def to_arrays(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """No arrays, and the list of genes."""
        return {}, {"name": self.name, "n": self.n, "genes": list(self.genes)}

    @classmethod
    def from_arrays(cls, arrays: dict[str, Array], meta: dict[str, Any]) -> Self:
        """Make it again from what :meth:`to_arrays` gave; nothing in it is trusted."""
        made = cls(n=integer_in(meta, "n"), name=meta.get("name", ""))
        made._columns = GeneColumns(genes_in(meta))
        return made


class Panel(_GeneValues):
    """Log values of a fixed, ordered list of genes.

    Parameters
    ----------
    genes
        Their names, or a text file with one name a line (the first column, if there are tabs or commas).
    name
        What the vectors are called: ``X_<name>``.

    Raises
    ------
    SourceError
        The file cannot be read as a list of genes.
    GeneError
        A gene is there twice, or there is none.
    """

    kind = "panel"

    def __init__(self, genes: str | Path | list[str] | tuple[str, ...], name: str = "panel") -> None:
        self.name = check_name(name)
        if genes is None or genes == "":
            raise OptionError("panel: needs a list of genes; write panel:genes=FILE")
        named = read_panel(genes) if isinstance(genes, str | Path) else tuple(str(gene) for gene in genes)
        self._columns = GeneColumns(genes_in({"genes": list(named)}, GeneError))

    @property
    def width(self) -> int:
        """Numbers a cell."""
        return len(self.genes)

    def fit(self, blocks: Blocks) -> Self:
        """Nothing is learnt; a list of genes under other identifiers is refused before more work is done.

        Raises
        ------
        GeneError
            The first source has none of the genes.
        """
        first = next(iter(blocks()), None)
        if first is not None:
            GeneColumns(self.genes).of(first.log_ng[:0], first)
        return self

    def to_arrays(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """No arrays, and the list of genes."""
        return {}, {"name": self.name, "genes": list(self.genes)}

    @classmethod
    def from_arrays(cls, arrays: dict[str, Array], meta: dict[str, Any]) -> Self:
        """Make it again from what :meth:`to_arrays` gave; nothing in it is trusted."""
        return cls(list(genes_in(meta)), name=meta.get("name", ""))
