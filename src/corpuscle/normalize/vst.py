"""Variance stabilised for one dispersion: like a logarithm for large counts, flat for small ones."""

from __future__ import annotations

from functools import partial

import numpy as np

from corpuscle.counts import Counts
from corpuscle.errors import MethodError
from corpuscle.normalize._base import Array, require_positive
from corpuscle.normalize._moments import GeneMoments
from corpuscle.normalize._stream import reduce_values
from corpuscle.normalize.mor import MedianOfRatios

__all__ = ["VST"]

#: Genes with a smaller mean say more about counting noise than about dispersion.
LEAST_MEAN = 5.0


class VST(MedianOfRatios):
    r"""Variance-stabilising transformation of negative binomial counts with one dispersion.

    :math:`\log_2 \frac{1 + 2 a q + 2 \sqrt{a q (1 + a q)}}{4 a} = (2 \, \mathrm{asinh} \sqrt{a q} - \ln 4 a) / \ln 2` of
    :math:`q = x_{ij} / s_i`, with the size factors of :class:`~corpuscle.normalize.mor.MedianOfRatios` and dispersion :math:`a`.

    Parameters
    ----------
    dispersion
        :math:`a` of :math:`\mathrm{Var}\,x = \mu + a \mu^2`. If None, the median over genes with a mean of 5 or more
        of the estimate by moments, :math:`(v - m \, \overline{1/s}) / m^2` with mean m and variance v of x / s.
    kind
        Which size factors; see :class:`~corpuscle.normalize.mor.MedianOfRatios`.

    Attributes
    ----------
    dispersion_
        :math:`a` in use.
    log_mean_g_, log_scale_
        See :class:`~corpuscle.normalize.mor.MedianOfRatios`.

    Notes
    -----
    As many passes to fit as the size factors need, and one for the dispersion. Among samples of many tissues the
    dispersion holds their differences too, and is larger than that between replicates. The same curve, up to scale
    and offset, as :class:`~corpuscle.normalize.acosh.Acosh`, on DESeq2's scale: for large counts it is
    :math:`\log_2 q`. Source: ``varianceStabilizingTransformation`` of DESeq2 for a constant dispersion (Anders & Huber,
    Genome Biology 2010). Effect on correlations: zeros are the same in all samples, small counts are shrunken.
    """

    name = "vst"
    formula = "log2((1 + 2 a q + 2 sqrt(a q (1 + a q))) / (4 a)), q = x / s"
    keeps_zeros = False

    def __init__(self, dispersion: float | None = None, kind: str = "poscounts") -> None:
        super().__init__(kind)
        self.dispersion = dispersion

    def check_params(self) -> None:
        """Refuse an unknown kind, and a dispersion that is not above 0."""
        super().check_params()
        if self.dispersion is not None:
            require_positive(self, "dispersion")

    def fit_genes(self, counts: Counts) -> None:
        """Learn size factors and dispersion."""
        super().fit_genes(counts)
        self.dispersion_ = self._by_moments(counts) if self.dispersion is None else float(self.dispersion)

    def _by_moments(self, counts: Counts) -> float:
        scaled = MedianOfRatios(self.kind, log=False)
        for learnt in ("n_genes_", "genes_", "log_mean_g_", "log_scale_"):
            setattr(scaled, learnt, getattr(self, learnt))
        make = partial(GeneMoments, counts.n_vars)
        moments = reduce_values(counts, scaled, make, dtype=np.float64, what="samples")
        kept_g = moments.mean_g >= LEAST_MEAN
        mean_g = moments.mean_g[kept_g]
        inverse_size = float(np.mean(1 / self.size_factors(counts)))
        dispersion_g = (moments.variance_g()[kept_g] - mean_g * inverse_size) / mean_g**2
        found = float(np.median(dispersion_g)) if dispersion_g.size else 0.0
        if not found > 0:
            raise MethodError(
                f"{counts.name}: {dispersion_g.size:,} genes have a mean of {LEAST_MEAN:g} or more and they vary no more "
                "than by counting; give dispersion=NUMBER, or use mor"
            )
        return found

    def values(self, x: Array, gene: Array, *cell: Array) -> Array:
        """Evaluate the formula elementwise."""
        (log_size,) = cell
        scaled = self.dispersion_ * x / np.exp(log_size)
        return (2 * np.arcsinh(np.sqrt(scaled)) - np.log(4 * self.dispersion_)) / np.log(2)
