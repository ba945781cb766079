"""Exact quantile normalisation of samples that do not fit in memory."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pandas as pd
import scipy.sparse as sp

from corpuscle.counts import Block, Counts, reduce_blocks
from corpuscle.counts._check import as_unsigned
from corpuscle.counts._identity import check_genes, gene_hash
from corpuscle.counts._passes import Progress
from corpuscle.errors import GeneError, MethodError, OptionError
from corpuscle.normalize import _qn_kernels as kernels
from corpuscle.normalize._base import Array, Normalizer
from corpuscle.normalize._stream import map_values

__all__ = ["QuantileNormalizer", "SortedSum", "reference_values"]

ZERO_RULES = ("rank", "keep")
PRESETS = (None, "reference")


class QuantileNormalizer(Normalizer):
    r"""log2(1 + x) with the distribution of every sample replaced by the mean one.

    The target is the mean, over the fitted samples, of their sorted log2(1 + x). A count that occupies the sorted
    positions lo to hi - 1 of its sample becomes the mean of the target over these positions. Samples that were not
    fitted get their values from the same target; fit it on training samples only (``counts.view(train)``).

    Parameters
    ----------
    zero
        What zeros become. ``"rank"``: the mean of the target over the positions they share, as any tie; it depends
        on how many genes of the sample are zero. ``"keep"``: 0, and the positive counts are normalised among
        themselves: the target is then the mean, over the fitted samples that have any, of the quantile function of
        their positive log2(1 + x), at the midpoints (k + 1/2)/g; and a count at the sorted positions lo to hi - 1 of
        m positive ones becomes the mean of the target between the shares lo/m and hi/m. Without zeros both are
        the same.
    preset
        ``"reference"``: divide the values by the length of the gene, and give none (NaN) to genes without a length.
        Dividing logarithms by lengths is a mistake that is offered to reproduce published values: what is left says
        little more than how short a gene is. To correct for length subtract log2 of it, or use TPM.
    lengths
        With ``preset="reference"``: length of genes in nucleotides by name, or the path of a table or GTF file
        (:func:`~corpuscle.normalize.gene_lengths.gene_lengths`), where a name is an id without version or a symbol.

    Attributes
    ----------
    target_g_
        (g,) the mean sorted profile, ascending, in log2(1 + x).
    n_samples_
        Samples that were fitted.
    n_empty_
        Of these, how many have no counts at all: ``"rank"`` gives all their genes the mean of the target.
    genes_
        Names of the genes.
    given_genes_
        With ``preset="reference"``: positions of the genes that have a length.

    Notes
    -----
    Two passes over samples that are whole, in blocks, and 8 bytes a gene between them; the sums are merged along a
    tree that the number of samples decides, so that not even the last bit depends on threads or workers. Source:
    Bolstad et al., Bioinformatics 2003. The rule for ties is that of qnorm; limma's instead interpolates the target
    at the mean rank of the tied genes, which gives other values. It assumes that all samples have one distribution of
    expression, which tissues where few genes dominate (blood, pancreas, liver, muscle), shallow samples and single
    cells do not have; it hides samples that failed. Leave those out first. Effect on correlations: what depth and
    detection do to a sample reaches all its genes, as tied zeros share a value that depends on how many they are.
    """

    name = "log2_qn"
    formula = "mean sorted log2(1 + x) at the ranks of x in its sample"
    needs: ClassVar[Literal["columns", "matrix"]] = "columns"
    reads_dense: ClassVar[bool] = True

    def __init__(
        self,
        zero: Literal["rank", "keep"] = "rank",
        preset: Literal["reference"] | None = None,
        lengths: Any = None,
    ) -> None:
        self.zero = zero
        self.preset = preset
        self.lengths = lengths

    def check_params(self) -> None:
        """Refuse what is no parameter.

        Raises
        ------
        OptionError
            ``zero`` or ``preset`` is unknown, or lengths are missing or of no use.
        """
        if self.zero not in ZERO_RULES:
            raise OptionError(f"{self.name}: zero is {self.zero!r} and must be one of: {', '.join(ZERO_RULES)}")
        if self.preset not in PRESETS:
            raise OptionError(f"{self.name}: preset is {self.preset!r} and must be 'reference' or left out")
        if (self.preset is None) != (self.lengths is None):
            raise OptionError(f"{self.name}: preset='reference' and lengths of genes go together; give both or none")

    def fit(self, counts: Counts, *, progress: Progress | None = None) -> Self:
        """Learn the target from these samples, in one pass.

        Raises
        ------
        OptionError
            A parameter is not one.
        MethodError
            No sample has a count.
        """
        self.check_params()
        make = partial(SortedSum, counts.n_vars, self.zero == "keep")
        total = reduce_blocks(counts, make, dense=True, progress=progress, what="samples, mean profile")
        if total.n_empty == total.n:
            raise MethodError(f"{counts.name}: none of its {total.n:,} samples has a count; choose others")
        self._learn(total.finish(), np.array(counts.var_names.astype(str), dtype=str))
        self.n_samples_, self.n_empty_ = total.n, total.n_empty
        return self

    def transform(
        self, counts: Counts, genes: Sequence[str] | Array | None = None, *, dtype: Any = np.float64
    ) -> Array:
        """Values of ``genes`` (all if None), n_obs x len(genes), dense; all genes of the fit must be in ``counts``.

        Raises
        ------
        GeneError
            The genes are not those of the fit, in their order.
        """
        self._check(counts)
        index = None if genes is None else counts.gene_index(genes)
        out_nk = np.empty((counts.n_obs, counts.n_vars if index is None else index.size), dtype)
        at = 0
        for values_nk in map_values(counts, self, _only_values, genes=index, dtype=dtype):
            out_nk[at : at + len(values_nk)] = values_nk
            at += len(values_nk)
        return out_nk

    def transform_rows(self, counts: Counts, x_ng: Any, rows: slice, *, dtype: Any = np.float64) -> Array:
        """Values of all genes for a block of samples, dense or CSR."""
        self._check(counts)
        dense_ng = np.ascontiguousarray(as_unsigned(x_ng.toarray() if sp.issparse(x_ng) else x_ng))
        divided = self.preset == "reference"
        out_ng = np.empty(dense_ng.shape, np.float64 if divided or dtype == np.float64 else np.float32)
        fill = kernels.fill_positive if self.zero == "keep" else kernels.fill_ranked
        fill(dense_ng, self.target_g_, self._up_to, out_ng)
        if divided:
            out_ng /= self.length_g_
        return out_ng.astype(dtype, copy=False)

    def _learn(self, target_g: Array, genes: Array) -> None:
        self.target_g_, self.genes_, self.n_genes_ = target_g, genes, genes.size
        if self.preset == "reference":
            length_g = _lengths(self.lengths).reindex(genes).to_numpy()
            known = np.isfinite(length_g) & (length_g > 0)
            if not known.any():
                raise OptionError(f"{self.name}: none of the {genes.size:,} genes has a length; check their names")
            self.length_g_, self.given_genes_ = np.where(known, length_g, np.nan), np.flatnonzero(known)

    @property
    def _up_to(self) -> Array:
        """(g + 1,) sum of the target below each position."""
        if "_prefix" not in self.__dict__:
            self._prefix = np.concatenate([[0.0], np.cumsum(self.target_g_)])
        return self._prefix

    def _check(self, counts: Counts) -> None:
        if not hasattr(self, "target_g_"):
            raise MethodError(f"{self.name}: call fit before transform")
        checked = self.__dict__.get("_checked")
        if checked is not None and checked() is counts:
            return
        genes = self.genes_.tolist()
        if gene_hash(counts.var_names.tolist()) != gene_hash(genes):
            check_genes(genes, counts, f"the fitted {self.name}")
            raise GeneError(
                f"{counts.name}: has the {self.n_genes_:,} genes of the fitted {self.name} among others or in another "
                "order; take them as they were fitted: counts.view(genes=check_genes(...))"
            )
        self._checked = weakref.ref(counts)

    def __getstate__(self) -> dict[str, Any]:
        # A weak reference cannot be pickled, and the sums are soon made again.
        state = dict(super().__getstate__())
        state.pop("_checked", None)
        state.pop("_prefix", None)
        return state


class SortedSum:
    """Mergeable sum of the sorted profiles of samples, log2(1 + x).

    Parameters
    ----------
    n_genes
        Genes of every sample.
    positive
        Only the positive counts, as a quantile function on ``n_genes`` steps.
    """

    def __init__(self, n_genes: int, positive: bool = False) -> None:
        self.sum_g, self.positive = np.zeros(n_genes), positive
        self.n, self.n_empty = 0, 0

    def update(self, block: Block) -> None:
        """Add the samples of a dense block."""
        add = kernels.add_positive if self.positive else kernels.add_sorted
        x_ng = np.ascontiguousarray(block.x_ng)
        self.n_empty += add(x_ng, kernels.log_table(), self.sum_g)
        self.n += len(x_ng)

    def merge(self, other: Self) -> None:
        """Add what another has seen."""
        self.sum_g += other.sum_g
        self.n += other.n
        self.n_empty += other.n_empty

    def finish(self) -> Array:
        """(g,) the mean sorted profile; of the positive counts, over the samples that have any."""
        return self.sum_g / (self.n - self.n_empty if self.positive else self.n)


def reference_values(counts: Counts, lengths: Any) -> pd.DataFrame:
    """What ``QuantileNormalizer(preset="reference")`` gives these samples, fitted on all of them.

    The order of steps is that of a published pipeline: log2(1 + x), quantile normalisation over all genes, then only
    the genes with a length, divided by it. For comparison, not for use: see :class:`QuantileNormalizer`.

    Parameters
    ----------
    counts
        Samples; the result is held in memory.
    lengths
        Length of genes in nucleotides: a mapping or Series by name, or a path.

    Returns
    -------
    pandas.DataFrame
        Samples x genes with a length.
    """
    method = QuantileNormalizer(preset="reference", lengths=lengths).fit(counts)
    values_nk = method.transform(counts, method.given_genes_)
    return pd.DataFrame(values_nk, counts.obs.index, counts.var_names[method.given_genes_])


def _lengths(given: Any) -> pd.Series:
    """Lengths by gene name, each name once."""
    if isinstance(given, str | Path):
        from corpuscle.normalize.gene_lengths import gene_lengths

        table = gene_lengths(given)
        length = pd.concat([table.set_index(key)["length"] for key in ("gene_id", "symbol")])
    else:
        length = pd.Series(given, dtype=np.float64)
    return length[~length.index.duplicated()]


def _only_values(values_nk: Array, rows: slice) -> Array:
    return values_nk
