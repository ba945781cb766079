"""Principal components fitted once, on the training cells, and applied to every other cell as they are."""

from __future__ import annotations

from typing import Any, Self

import numba
import numpy as np

from corpuscle.corpus.pairs._block import CellBlock
from corpuscle.corpus.pairs._embed_checks import array_in, check_name, genes_in, integer_in, whole_number
from corpuscle.corpus.pairs._embed_genes import Blocks, GeneColumns, moments_of, variable_genes
from corpuscle.errors import MethodError, OptionError, SourceError

__all__ = ["PrincipalComponents"]

Array = np.ndarray[Any, Any]

#: The matrix of products is genes x genes in float64: 800 MB.
MOST_GENES = 10_000
#: Components that explain less than this share of the first one's variance are rounding noise.
NOISE = 1e-10


class PrincipalComponents:
    """Scores on the principal components of the log values, genes centred and scaled to unit variance.

    Parameters
    ----------
    n_components
        Components; fewer if the training cells or genes span fewer.
    n_genes
        Genes that vary most among the training cells, which the components are of; fewer if fewer are expressed.
    name
        What the vectors are called: ``X_<name>``.

    Attributes
    ----------
    mean_g, scale_g
        (g,) float64 mean and standard deviation of the genes over the training cells.
    components_gd
        (g, d) float64, columns of length 1; the entry of largest size in each is positive.
    variance_d
        (d,) float64 variance of the training cells' scores.

    Notes
    -----
    The eigenvectors of the exact correlation matrix, which is summed up cell by cell, so memory does not grow with the
    number of cells. Values are not clipped.
    """

    kind = "pca"
    _columns: GeneColumns | None = None

    def __init__(self, n_components: int = 50, n_genes: int = 2000, name: str = "pca") -> None:
        self.n_components = whole_number("pca", "n_components", n_components)
        self.n_genes = whole_number("pca", "n_genes", n_genes, least=2)
        if n_genes > MOST_GENES:
            raise OptionError(f"pca: n_genes={n_genes:,} would need more than 800 MB; ask for {MOST_GENES:,} or fewer")
        self.name = check_name(name)

    @property
    def columns(self) -> GeneColumns:
        """Where the genes are found, and which sources lack some."""
        if self._columns is None:
            raise MethodError(f"embedding {self.name}: fit it on training cells first")
        return self._columns

    @property
    def width(self) -> int:
        """Numbers a cell; before ``fit`` those asked for."""
        return self.n_components if self._columns is None else int(self.components_gd.shape[1])

    @property
    def genes(self) -> tuple[str, ...]:
        """The genes the components are of."""
        return self.columns.genes

    @property
    def missing(self) -> dict[str, int]:
        """Source -> genes that it lacks and that therefore count as 0, of the sources embedded so far."""
        return self.columns.missing

    def fit(self, blocks: Blocks) -> Self:
        """Choose the genes, then sum up their products: two passes over the training cells.

        Raises
        ------
        MethodError
            There are fewer than 3 training cells, or they are all alike.
        GeneError
            The sources have no gene in common.
        """
        moments = moments_of(blocks)
        if moments.n_cells < 3:
            raise MethodError(f"embedding {self.name}: {moments.n_cells} training cells are too few; give 3 or more")
        columns = GeneColumns(variable_genes(moments, self.n_genes))
        n, g = moments.n_cells, len(columns.genes)
        total_g, product_gg = np.zeros(g), np.zeros((g, g))
        for block in blocks():
            x_ng = columns.of(block.log_ng, block)
            _add_products(x_ng.data, x_ng.indices, x_ng.indptr, total_g, product_gg)
        self.mean_g = total_g / n
        variance_g = np.maximum(np.diagonal(product_gg) - n * self.mean_g**2, 0) / (n - 1)
        self.scale_g = np.sqrt(variance_g)
        self.scale_g[self.scale_g == 0] = 1.0
        self._decompose(product_gg, n)
        columns.missing = {}  # counts of cells to embed, not of training ones
        self._columns = columns
        return self

    def _decompose(self, product_gg: Array, n: int) -> None:
        """Eigenvectors of the correlation matrix, made in place of the upper triangle of products."""
        import scipy.linalg

        product_gg -= n * np.outer(self.mean_g, self.mean_g)
        product_gg /= (n - 1) * self.scale_g
        product_gg /= self.scale_g[:, None]
        g = len(product_gg)
        d = min(self.n_components, n - 1, g)
        variance_d, components_gd = scipy.linalg.eigh(
            product_gg, lower=False, subset_by_index=(g - d, g - 1), overwrite_a=True, check_finite=False
        )
        variance_d, components_gd = variance_d[::-1], components_gd[:, ::-1]
        if variance_d[0] <= 0 or not np.isfinite(variance_d).all():
            raise MethodError(f"embedding {self.name}: the training cells are all alike; give cells that differ")
        kept = variance_d > NOISE * variance_d[0]
        largest = components_gd[np.abs(components_gd).argmax(axis=0), np.arange(d)]
        self.components_gd = np.ascontiguousarray((components_gd * np.where(largest < 0, -1.0, 1.0))[:, kept])
        self.variance_d = np.ascontiguousarray(variance_d[kept])

    def transform(self, block: CellBlock) -> Array:
        """Scores of the cells: (n, width) float32; a gene that the block lacks counts as 0.

        Raises
        ------
        GeneError
            The block has none of the genes.
        """
        loading_gd = self.components_gd / self.scale_g[:, None]
        # Sparse times dense adds up a cell by itself, so a cell's scores do not depend on its block.
        score_nd = self.columns.of(block.log_ng, block) @ loading_gd
        score_nd -= self.mean_g @ loading_gd
        return np.asarray(score_nd, np.float32)

    def to_arrays(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Mean, scale, components and their variances; and the list of genes."""
        meta: dict[str, Any] = {"name": self.name, "n_components": self.n_components, "n_genes": self.n_genes}
        meta |= {"width": self.width, "genes": list(self.genes)}
        arrays = {"mean": self.mean_g, "scale": self.scale_g, "components": self.components_gd}
        return arrays | {"variance": self.variance_d}, meta

    @classmethod
    def from_arrays(cls, arrays: dict[str, Array], meta: dict[str, Any]) -> Self:
        """Make it again from what :meth:`to_arrays` gave; nothing in it is trusted."""
        made = cls(integer_in(meta, "n_components"), integer_in(meta, "n_genes"), meta.get("name", ""))
        genes, d = genes_in(meta), integer_in(meta, "width")
        made.mean_g = array_in(arrays, "mean", (len(genes),))
        made.scale_g = array_in(arrays, "scale", (len(genes),))
        made.components_gd = array_in(arrays, "components", (len(genes), d))
        made.variance_d = array_in(arrays, "variance", (d,))
        if not (made.scale_g > 0).all():
            raise SourceError("stored embedding: a scale is not above 0; make the embedding anew")
        made._columns = GeneColumns(genes)
        return made


@numba.njit(cache=True, nogil=True)
def _add_products(data: Array, column: Array, start: Array, total_g: Array, product_gg: Array) -> None:
    """Add each cell's values, and the products of their pairs (upper triangle; columns ascend within a cell)."""
    for n in range(start.size - 1):
        for i in range(start[n], start[n + 1]):
            value = np.float64(data[i])
            row = product_gg[column[i]]
            total_g[column[i]] += value
            for j in range(i, start[n + 1]):
                row[column[j]] += value * data[j]
