"""Bulk samples as short vectors: everything that is learnt is learnt from training samples, and then stays as it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import scipy.sparse as sp

from corpuscle.bulk._gene_choice import empty_rows, expressed_genes, most_variable
from corpuscle.bulk._pca import ValueMoments, principal_components
from corpuscle.counts import Block, Counts, map_blocks
from corpuscle.counts._duplicates import one_per_symbol
from corpuscle.counts._identity import check_genes, gene_hash, identities
from corpuscle.counts._passes import Progress
from corpuscle.errors import MethodError, OptionError
from corpuscle.normalize._base import Normalizer
from corpuscle.normalize._registry import normalizer as registered
from corpuscle.normalize._stream import reduce_values

__all__ = ["Features"]

Array = np.ndarray[Any, Any]


class Features:
    """Normalised, chosen, scaled genes of bulk samples and their principal components.

    Genes with enough reads are kept, one of each symbol. The normalisation is fitted on those genes, since its gene set is
    part of what it learns; new samples are cut to the same genes first. Of the normalised values the most variable genes
    are scaled to mean 0 and standard deviation 1 and clipped, and their principal components are exact. Four passes over
    the samples besides those of the normalisation (reads, values, components; then :meth:`transform`), none of which
    holds more than some blocks and a genes x genes matrix.

    Parameters
    ----------
    normalizer
        Registry id of a normalisation that can transform samples it has not seen.
    params
        Its parameters.
    n_genes
        Most variable genes to use; None for all.
    n_pcs
        Principal components, at most the smaller of n - 1 and the genes; None to stay with the scaled genes.
    min_reads, min_share
        A gene must have more than so many reads in at least such a share of the samples. For single cells use 0 reads.
    scale
        Divide by the standard deviation.
    clip
        Scaled values are limited to this many standard deviations on both sides; None for no limit. Without ``scale``
        nothing is clipped.
    random_state
        Seed of the normalisation, where it has one. Nothing else here is random.

    Attributes
    ----------
    normalizer_
        The fitted normalisation.
    known_genes_
        (k,) names of the genes it was fitted on.
    genes_
        (g,) names of the chosen genes, in the order of the collection.
    mean_g_, sd_g_
        (g,) mean and standard deviation (divisor n - 1) of the normalised values; the latter 1 without ``scale``.
    centre_g_
        (g,) mean of the scaled values: not quite 0, because some were clipped.
    components_dg_
        (d, g) orthonormal axes, the largest loading of each positive; None without components.
    variance_d_, explained_d_
        (d,) variance along each axis, and its share of the variance of all scaled genes.
    n_samples_
        Training samples.
    notes_
        Lines on what was left out.
    about_
        Identities of the training files and the hash of their gene names.
    """

    def __init__(
        self,
        normalizer: str = "log_cpm",
        *,
        params: Mapping[str, Any] | None = None,
        n_genes: int | None = 5000,
        n_pcs: int | None = 200,
        min_reads: float = 20,
        min_share: float = 0.02,
        scale: bool = True,
        clip: float | None = 10.0,
        random_state: int = 0,
    ) -> None:
        self.normalizer, self.params = normalizer, params
        self.n_genes, self.n_pcs = n_genes, n_pcs
        self.min_reads, self.min_share = min_reads, min_share
        self.scale, self.clip, self.random_state = scale, clip, random_state
        self._fitted_on: Counts | None = None
        self._stored_fit: bytes | None = None

    # -- fitting ---------------------------------------------------------------------------------------------

    def fit(self, counts: Counts, progress: Progress | None = None) -> Self:
        """Learn genes, normalisation, scale and components from training samples.

        Parameters
        ----------
        counts
            The training samples and no others, e.g. ``counts.view(cells=train)``.
        progress
            Called after every block with (samples done, samples in all, what).

        Raises
        ------
        MethodError
            The normalisation cannot transform new samples, a sample has no counts, or there are fewer than two samples.
        OptionError
            A parameter makes no sense, or no gene is left.
        """
        self._check_params()
        method = self._method()
        if counts.n_obs < 2:
            raise MethodError(f"{counts.name}: {counts.n_obs} samples cannot be compared; give at least two")
        places_k, self.notes_ = expressed_genes(
            counts, min_reads=self.min_reads, min_share=self.min_share, dense=method.reads_dense, progress=progress
        )
        view = counts.view(genes=places_k)
        self.normalizer_ = method.fit(view)
        self.n_samples_ = counts.n_obs
        self.known_genes_ = np.array([str(name) for name in view.var_names])
        self.about_ = {"genes": gene_hash(list(counts.var_names)), "sources": identities(counts)}
        self._places_k = places_k
        self._choose(view, progress)
        self._find_axes(view, progress)
        self._fitted_on, self._stored_fit = view, None
        return self

    def _choose(self, view: Counts, progress: Progress | None) -> None:
        """Settle the genes to use, and their scale."""
        moments = reduce_values(
            view, self.normalizer_, partial(ValueMoments, view.n_vars), progress=progress, what="normalised values"
        )
        if moments.n_undefined:
            raise MethodError(
                f"{view.name}: {self.normalizer_.name} gives sample {view.obs.index[moments.first_undefined]!s} values "
                f"that are no numbers ({moments.n_undefined:,} such samples); remove them first"
            )
        chosen = most_variable(moments.variance_g, moments.mean_g, self.n_genes)
        if not len(chosen):
            raise MethodError(f"{view.name}: all samples have the same values; nothing tells them apart")
        self._chosen_g = chosen
        self.genes_ = self.known_genes_[chosen]
        self.mean_g_ = moments.mean_g[chosen]
        self.sd_g_ = np.sqrt(moments.variance_g[chosen]) if self.scale else np.ones(len(chosen))

    def _find_axes(self, view: Counts, progress: Progress | None) -> None:
        n_genes = len(self.genes_)
        self.centre_g_, self.components_dg_ = np.zeros(n_genes), None
        self.variance_d_, self.explained_d_ = np.zeros(0), np.zeros(0)
        if self.n_pcs is None:
            return
        blocks = self._stream(view, progress, "components")
        found = principal_components(blocks, self.n_samples_, n_genes, self.n_pcs)
        self.centre_g_, self.components_dg_, self.variance_d_ = found.centre_g, found.axes_dg, found.variance_d
        self.explained_d_ = found.variance_d / found.total

    def _method(self) -> Normalizer:
        method = registered(self.normalizer, **(self.params or {}))
        if not method.inductive:
            raise MethodError(
                f"{self.normalizer}: gives values only for the samples it was fitted on; choose another normalisation"
            )
        known = method.get_params(deep=False)
        if "random_state" in known and "random_state" not in (self.params or {}):
            method.set_params(random_state=self.random_state)
        return method

    def _check_params(self) -> None:
        for name, least in (("n_genes", 1), ("n_pcs", 1)):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
                raise OptionError(f"{name} is {value!r} and must be a whole number of {least} or more, or None")
        if not 0 <= self.min_share <= 1:
            raise OptionError(f"min_share is {self.min_share!r} and must be a share between 0 and 1")
        if not self.min_reads >= 0:
            raise OptionError(f"min_reads is {self.min_reads!r} and must be 0 or more")
        if self.clip is not None and not self.clip > 0:
            raise OptionError(f"clip is {self.clip!r} and must be a number above 0, or None")

    # -- using -----------------------------------------------------------------------------------------------

    @property
    def n_dims(self) -> int:
        """Length of a vector of :meth:`transform`: components, or genes where there are none."""
        self._check_fitted()
        return len(self.genes_) if self.components_dg_ is None else len(self.components_dg_)

    def transform(self, counts: Counts, progress: Progress | None = None) -> Array:
        """Vectors of samples, training or new; one pass.

        Parameters
        ----------
        counts
            The samples; genes are found by name, and may be more and in another order.
        progress
            Called after every block.

        Returns
        -------
        array, n x d, float32
            Principal components; scaled genes where ``n_pcs`` is None.

        Raises
        ------
        GeneError
            Genes are missing; the message names the first differences.
        MethodError
            A sample has no counts of the genes, or this is not fitted.
        """
        return self._gathered(counts, self.n_dims, progress, to_axes=self.components_dg_ is not None)

    def values(self, counts: Counts, progress: Progress | None = None) -> Array:
        """Scaled genes of samples, n x g float32; see :meth:`transform`."""
        self._check_fitted()
        return self._gathered(counts, len(self.genes_), progress, to_axes=False)

    def inverse(self, z_nd: Array) -> Array:
        """Normalised values of the chosen genes that vectors stand for, n x g float32, never below 0.

        What components leave out and clipping took is not restored.

        Raises
        ------
        OptionError
            The vectors have another length.
        """
        z_nd = np.asarray(z_nd)
        if z_nd.ndim != 2 or z_nd.shape[1] != self.n_dims:
            raise OptionError(f"vectors have shape {z_nd.shape} and must have {self.n_dims} columns")
        z_ng = z_nd if self.components_dg_ is None else z_nd @ self.components_dg_ + self.centre_g_
        return np.maximum(z_ng * self.sd_g_ + self.mean_g_, 0.0).astype(np.float32)

    def _gathered(self, counts: Counts, n_columns: int, progress: Progress | None, *, to_axes: bool) -> Array:
        view = self.view_of(counts)
        out = np.empty((counts.n_obs, n_columns), np.float32)
        done = 0
        for part in self._stream(view, progress, "vectors", to_axes=to_axes):
            out[done : done + len(part)] = part
            done += len(part)
        return out

    def view_of(self, counts: Counts) -> Counts:
        """The genes that the normalisation was fitted on, by name and in their order."""
        self._check_fitted()
        if gene_hash(list(counts.var_names)) == self.about_["genes"]:
            return counts.view(genes=self._places_k)
        if not counts.var_names.is_unique:
            counts = counts.view(genes=np.sort(one_per_symbol(counts)[0]))
        return counts.view(genes=check_genes(list(self.known_genes_), counts, "the fitted features"))

    def _stream(self, view: Counts, progress: Progress | None, what: str, *, to_axes: bool = False) -> Iterator[Array]:
        recipe = _Recipe(
            self.normalizer_, self._chosen_g, self.mean_g_, self.sd_g_, self.clip if self.scale else None,
            self.centre_g_, self.components_dg_ if to_axes else None,
        )  # fmt: skip
        work = partial(_worked, recipe, view.local())
        return map_blocks(view, work, dense=self.normalizer_.reads_dense, progress=progress, what=what)

    def _check_fitted(self) -> None:
        if not hasattr(self, "normalizer_"):
            raise MethodError("features: call fit before use")

    # -- keeping ---------------------------------------------------------------------------------------------

    def save(self, folder: str | Path) -> None:
        """Write everything to a folder: ``features.json``, ``features.npz`` and ``normalizer.npz``, nothing pickled.

        Raises
        ------
        MethodError
            It is not fitted, or what the normalisation learnt cannot be stored.
        OutputError
            The folder cannot be written.
        """
        from corpuscle.bulk._features_files import save_features

        self._check_fitted()
        save_features(self, Path(folder))

    @classmethod
    def load(cls, folder: str | Path) -> Features:
        """Read what :meth:`save` wrote.

        Raises
        ------
        SourceError
            Files are missing, damaged, or not ours.
        """
        from corpuscle.bulk._features_files import load_features

        return load_features(Path(folder))

    def __getstate__(self) -> dict[str, Any]:
        # Counts may be in memory, which does not travel; only saving asks for them.
        return {**vars(self), "_fitted_on": None}


@dataclass(frozen=True)
class _Recipe:
    """What a block needs to become vectors."""

    method: Normalizer
    chosen_g: Array
    mean_g: Array
    sd_g: Array
    clip: float | None
    centre_g: Array
    components_dg: Array | None


def _worked(recipe: _Recipe, view: Counts, block: Block) -> Array:
    """Scaled genes or components of one block, float32."""
    x_ng = block.x_ng
    empty = empty_rows(x_ng)
    if len(empty):
        raise MethodError(
            f"{view.name}: sample {view.obs.index[block.rows.start + empty[0]]!s} has no counts of the "
            f"{view.n_vars:,} genes that are used; remove it first"
        )
    values = recipe.method.transform_rows(view, x_ng, block.rows, dtype=np.float32)[:, recipe.chosen_g]
    z_ng = (values.toarray() if sp.issparse(values) else np.asarray(values)).astype(np.float64)
    z_ng -= recipe.mean_g
    z_ng /= recipe.sd_g
    if recipe.clip is not None:
        np.clip(z_ng, -recipe.clip, recipe.clip, out=z_ng)
    if recipe.components_dg is not None:
        z_ng = (z_ng - recipe.centre_g) @ recipe.components_dg.T
    return z_ng.astype(np.float32)
