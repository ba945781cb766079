"""Which cells are kept, and every reason for which another is not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from corpuscle.corpus._median_genes import BIOTYPES
from corpuscle.corpus._moments import Limits, fixed
from corpuscle.corpus._qc_measure import Measured
from corpuscle.counts.genes import GeneTable
from corpuscle.errors import OptionError

__all__ = ["REASONS", "QCRecipe", "judge", "mito_values", "reason_bit", "reason_texts"]

Array = np.ndarray[Any, Any]
METRICS = ("reads", "fraction")
#: Why a cell is dropped, one bit each. The first three stand alone, the others may come together.
REASONS = (
    "filter", "no_data_set", "empty", "total_low", "total_high", "mito_low", "mito_high", "few_genes",
)  # fmt: skip


@dataclass(frozen=True)
class QCRecipe:
    """Every choice of a quality control.

    Attributes
    ----------
    n_sd, ddof
        Standard deviations from the mean that are kept, and what is taken from n in their denominator.
    total, mito
        Whether the totals and the mitochondrial metric are judged.
    mito_metric
        ``"reads"`` or ``"fraction"`` of the cell's counts.
    mito_genes
        Symbols or ids of the mitochondrial genes; None for those known by name.
    biotypes, min_genes
        A kept cell has so many detected genes of these Ensembl gene types; no types for all genes.
    by
        Column of ``obs`` that names the data set of each cell; None where each source is one.
    filter
        Column of ``obs`` without which a cell is not looked at.

    Raises
    ------
    OptionError
        A number is out of range, or a name unknown.
    """

    n_sd: float = 3.0
    ddof: int = 0
    total: bool = True
    mito: bool = True
    mito_metric: str = "reads"
    mito_genes: tuple[str, ...] | None = None
    biotypes: tuple[str, ...] = BIOTYPES
    min_genes: int = 7
    by: str | None = None
    filter: str | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.n_sd) and self.n_sd > 0):
            raise OptionError(
                f"n_sd {self.n_sd:g} is not a positive number; to judge nothing by it, turn total and mito off"
            )
        if self.ddof < 0:
            raise OptionError(f"ddof {self.ddof} is negative; take 0 (population) or 1 (sample)")
        if self.mito_metric not in METRICS:
            raise OptionError(f"mito metric {self.mito_metric!r} is none of {', '.join(METRICS)}")
        if self.min_genes < 0:
            raise OptionError(f"min_genes {self.min_genes} is negative; 0 turns it off")
        if self.mito_genes is not None and not self.mito_genes:
            raise OptionError("the list of mitochondrial genes is empty; turn the filter off instead (--no-mito)")
        known = GeneTable.human().frame["gene_type"].value_counts()
        for biotype in self.biotypes:
            if not biotype or biotype not in known:
                shown = ", ".join(name for name in known.index[:12] if name)
                raise OptionError(
                    f"biotype {biotype!r} is none of the gene table's; most common are: {shown}; or give all"
                )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        out = asdict(self)
        plain = {name: list(value) if isinstance(value, tuple) else value for name, value in out.items()}
        return plain | {"biotypes": plain["biotypes"] or "all"}


def reason_texts(recipe: QCRecipe) -> dict[str, str]:
    """Reason -> what is said of a cell."""
    sd = f"{recipe.n_sd:g} SD"
    mito = f"mitochondrial {recipe.mito_metric}"
    kinds = f"{' or '.join(recipe.biotypes)} genes" if recipe.biotypes else "genes"
    return {
        "filter": f"left out by {recipe.filter or 'a filter'}",
        "no_data_set": f"no value of {recipe.by or 'the data set'}",
        "empty": "empty",
        "total_low": f"total below mean - {sd}",
        "total_high": f"total above mean + {sd}",
        "mito_low": f"{mito} below mean - {sd}",
        "mito_high": f"{mito} above mean + {sd}",
        "few_genes": f"fewer than {recipe.min_genes} {kinds}",
    }


def reason_bit(reason: str) -> int:
    """The bit that stands for it."""
    return 1 << REASONS.index(reason)


def mito_values(measured: Measured, metric: str, *, known: bool) -> Array:
    """(n,) mitochondrial metric of each cell; NaN without mitochondrial genes, and for the fraction of an empty cell."""
    if not known:
        return np.full(measured.total_n.size, np.nan)
    if metric == "reads":
        return measured.mito_n
    out = np.full(measured.total_n.size, np.nan)
    return np.divide(measured.mito_n, measured.total_n, out=out, where=measured.total_n > 0)


def judge(
    measured: Measured,
    home_n: Array,
    excluded_n: Array,
    limits: Sequence[tuple[Limits, Limits]],
    recipe: QCRecipe,
    *,
    known_mito: bool,
) -> Array:
    """Reasons against each cell of a source, as bits; 0 for a cell that is kept.

    Parameters
    ----------
    measured
        What is known of the cells.
    home_n
        (n,) number of the data set of each.
    excluded_n
        (n,) uint8 reasons against cells that are not looked at, else 0.
    limits
        Of the totals and of the mitochondrial metric, by data set.
    recipe
        The choices.
    known_mito
        Whether the source has mitochondrial genes.
    """
    empty_n = measured.total_n == 0
    failed = np.zeros(home_n.size, np.uint8)
    mito = mito_values(measured, recipe.mito_metric, known=known_mito)
    metrics = (("total", recipe.total, measured.total_n), ("mito", recipe.mito, mito))
    for place, (name, wanted, values) in enumerate(metrics):
        if not wanted:
            continue
        low_s = np.array([pair[place].low for pair in limits])
        high_s = np.array([pair[place].high for pair in limits])
        exact = fixed(values)
        failed |= (exact < low_s[home_n]) * np.uint8(reason_bit(f"{name}_low"))
        failed |= (exact > high_s[home_n]) * np.uint8(reason_bit(f"{name}_high"))
    failed |= (measured.genes_n < recipe.min_genes) * np.uint8(reason_bit("few_genes"))
    failed[empty_n] = reason_bit("empty")
    return np.where(excluded_n > 0, excluded_n, failed).astype(np.uint8)
