"""From counts to the few numbers per sample that a generator learns, and back to expression."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Self

import numpy as np
import scipy.sparse as sp

from corpuscle.counts import Counts
from corpuscle.counts._identity import check_genes
from corpuscle.errors import MethodError, OptionError
from corpuscle.normalize._moments import GeneMoments
from corpuscle.normalize._stream import reduce_values
from corpuscle.normalize.log_cpm import LogCPM

__all__ = ["LogComponents"]

Array = np.ndarray[Any, Any]


class LogComponents:
    """Principal components of z-scored log counts per million of the genes that vary most.

    Attributes
    ----------
    genes
        Names of the G genes.
    mean_g, sd_g
        (G,) mean and standard deviation of their log2(1 + CPM).
    component_gk
        (G, k) unit vectors of the components.
    """

    def __init__(self, genes: list[str], mean_g: Array, sd_g: Array, component_gk: Array) -> None:
        self.genes, self.mean_g, self.sd_g, self.component_gk = genes, mean_g, sd_g, component_gk

    @classmethod
    def fit(cls, counts: Counts, n_genes: int, n_pcs: int) -> tuple[Self, Array]:
        """Choose genes and find components, exactly and without chance.

        Returns
        -------
        (components, scores)
            Scores are (n, k) float32, k at most ``n_pcs``, samples less one, and genes.

        Raises
        ------
        OptionError
            ``n_genes`` or ``n_pcs`` is below 1.
        MethodError
            Fewer than 3 samples, a sample without counts, or no gene that varies.
        """
        for name, value in (("n_genes", n_genes), ("n_pcs", n_pcs)):
            if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 1:
                raise OptionError(f"{name}={value!r} must be a whole number of 1 or more")
        if counts.n_obs < 3:
            raise MethodError(f"{counts.name}: {counts.n_obs} samples; principal components need 3 or more")
        method = LogCPM().fit(counts)
        moments = reduce_values(counts, method, partial(GeneMoments, counts.n_vars), dtype=np.float64)
        variance_v = moments.variance_g()
        order = np.argsort(-variance_v, kind="stable")[:n_genes]
        place_g = np.sort(order[variance_v[order] > 0])
        if not place_g.size:
            raise MethodError(f"{counts.name}: all samples are alike, so there is nothing to learn; check the counts")
        names = counts.var_names.astype(str)[place_g]
        if names.has_duplicates:
            twice = names[names.duplicated()][0]
            raise MethodError(f"{counts.name}: gene name {twice} is there twice; keep one column a gene")
        made = cls(
            list(names), moments.mean_g[place_g], np.sqrt(variance_v[place_g]), np.empty((place_g.size, 0))
        )  # fmt: skip
        z_ng = made._z_scores(counts, place_g)
        made.component_gk = _components(z_ng, min(int(n_pcs), counts.n_obs - 1, place_g.size))
        return made, (z_ng @ made.component_gk).astype(np.float32)

    def scores(self, counts: Counts) -> Array:
        """Scores (n, k) float32 of samples; genes are found by name.

        Raises
        ------
        GeneError
            A gene is missing.
        """
        place_g = check_genes(self.genes, counts, "the model")
        return np.asarray(self._z_scores(counts, place_g) @ self.component_gk, np.float32)

    def expression(self, score_nk: Array) -> Array:
        """Log2(1 + CPM), (n, G) float32, of scores; what comes out below 0 is 0, which is a count of 0."""
        z_ng = score_nk @ self.component_gk.T
        return np.maximum(z_ng * self.sd_g + self.mean_g, 0.0).astype(np.float32)

    def _z_scores(self, counts: Counts, place_g: Array) -> Array:
        # Depth is of all genes, so the method sees them all, and hands on those that are wanted.
        value_ng = LogCPM().fit(counts).transform(counts, place_g)
        value_ng = value_ng.toarray() if sp.issparse(value_ng) else value_ng
        return np.asarray((value_ng - self.mean_g) / self.sd_g)

    def arrays(self) -> dict[str, Array]:
        """What :meth:`from_arrays` needs beside the names of the genes."""
        return {"mean": self.mean_g, "sd": self.sd_g, "component": self.component_gk}

    @classmethod
    def from_arrays(cls, genes: list[str], arrays: Mapping[str, Array]) -> Self:
        """Make it again; KeyError or ValueError where the parts do not fit."""
        mean_g, sd_g, component_gk = (np.asarray(arrays[name], np.float64) for name in ("mean", "sd", "component"))
        if not mean_g.shape == sd_g.shape == component_gk.shape[:1] == (len(genes),) or component_gk.ndim != 2:
            raise ValueError("genes and arrays are of different sizes")
        return cls(genes, mean_g, sd_g, component_gk)


def _components(z_ng: Array, k: int) -> Array:
    """First ``k`` right singular vectors (G, k) of centred values, by the smaller side; of each, the largest entry is positive."""
    n, g = z_ng.shape
    if g <= n:
        _, vector = np.linalg.eigh(z_ng.T @ z_ng)
        component_gk = vector[:, ::-1][:, :k]
    else:
        value, left_nk = np.linalg.eigh(z_ng @ z_ng.T)
        value, left_nk = value[::-1][:k], left_nk[:, ::-1][:, :k]
        kept = value > 1e-10 * value[0]  # repeated samples give components of nothing but rounding
        component_gk = z_ng.T @ left_nk[:, kept] / np.sqrt(value[kept])
    largest = component_gk[np.abs(component_gk).argmax(axis=0), np.arange(component_gk.shape[1])]
    return np.asarray(component_gk * np.sign(largest))
