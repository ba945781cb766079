"""Which cells are kept: rules against a source's own median, and every reason for which a cell is not."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from corpuscle.errors import OptionError

__all__ = ["CellFigures", "QCRules", "judge", "reason_texts"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class QCRules:
    """Limits of quality control. A distance is counted in plain median absolute deviations (MAD) from a source's median.

    Attributes
    ----------
    min_cells
        A kept gene is detected in so many kept cells of the whole data set.
    min_genes
        A kept cell has so many detected genes.
    top_genes
        How many of a cell's strongest genes are looked at for its complexity.
    n_mads
        Farthest that log1p total counts, log1p detected genes and the percentage in the top genes may be from the median.
    mito_mads, mito_percent
        Farthest that the mitochondrial percentage may be from the median, and the most that it may be.
    category_threshold
        Categories with fewer kept cells become ``"remaining <column>"``.
    min_batch_genes
        A kept batch has so many genes that any of its cells detects.

    Raises
    ------
    OptionError
        A number is out of range.
    """

    min_cells: int = 20
    min_genes: int = 200
    top_genes: int = 20
    n_mads: float = 5.0
    mito_mads: float = 3.0
    mito_percent: float = 8.0
    category_threshold: int = 5
    min_batch_genes: int = 200

    def __post_init__(self) -> None:
        for name in ("min_cells", "min_genes", "category_threshold", "min_batch_genes"):
            if getattr(self, name) < 0:
                raise OptionError(f"{name} {getattr(self, name)} is negative; 0 turns the rule off")
        if self.top_genes < 1:
            raise OptionError(f"top_genes {self.top_genes} is below 1; 20 is usual")
        for name in ("n_mads", "mito_mads", "mito_percent"):
            if math.isnan(getattr(self, name)) or getattr(self, name) <= 0:
                raise OptionError(f"{name} {getattr(self, name)} is not a positive number; inf turns the rule off")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; a rule that is turned off by infinity is None."""
        return {key: None if value == math.inf else value for key, value in asdict(self).items()}


@dataclass(frozen=True)
class CellFigures:
    """What the rules look at, for the n cells of a source.

    Attributes
    ----------
    total_n
        Counts of each cell over all genes.
    genes_n
        Detected genes.
    mito_n
        Counts of mitochondrial genes; None where the source has none.
    top_n
        Counts of the strongest genes.
    """

    total_n: Array
    genes_n: Array
    mito_n: Array | None
    top_n: Array


def reason_texts(rules: QCRules | None) -> dict[str, str]:
    """Reason -> what is said of it, in the order in which cells are dropped."""
    texts = {"empty": "no counts"}
    if rules is None:
        return texts
    mads = f"more than {rules.n_mads:g} MAD from the median of its source"
    return texts | {
        "total": f"log1p total counts {mads}",
        "genes": f"log1p detected genes {mads}",
        "top_genes": f"percentage of counts in the top {rules.top_genes} genes {mads}",
        "mito": f"mitochondrial percentage more than {rules.mito_mads:g} MAD from the median of its source, "
        f"or above {rules.mito_percent:g}",
        "few_genes": f"fewer than {rules.min_genes} detected genes",
    }


def judge(figures: CellFigures, rules: QCRules | None) -> dict[str, Array]:
    """Reason -> (n,) whether it speaks against each cell.

    Empty cells enter no median. Where at least half of the cells have one value, their MAD of 0 judges nobody: it would throw out
    every cell that differs at all.
    """
    filled_n = figures.total_n > 0
    failed = {"empty": ~filled_n}
    if rules is None:
        return failed
    total_n = np.where(filled_n, figures.total_n, 1)
    failed["total"] = _far(np.log1p(figures.total_n), rules.n_mads, filled_n)
    failed["genes"] = _far(np.log1p(figures.genes_n), rules.n_mads, filled_n)
    failed["top_genes"] = _far(100 * figures.top_n / total_n, rules.n_mads, filled_n)
    failed["mito"] = np.zeros(filled_n.size, bool)
    if figures.mito_n is not None:
        percent_n = 100 * figures.mito_n / total_n
        failed["mito"] = _far(percent_n, rules.mito_mads, filled_n) | (filled_n & (percent_n > rules.mito_percent))
    failed["few_genes"] = filled_n & (figures.genes_n < rules.min_genes)
    return failed


def _far(value_n: Array, n_mads: float, filled_n: Array) -> Array:
    """(n,) whether a value is farther than so many MAD from the median of the filled cells."""
    if not filled_n.any():
        return np.zeros(value_n.size, bool)
    distance_n = np.abs(value_n - np.median(value_n[filled_n]))
    mad = float(np.median(distance_n[filled_n]))
    if mad == 0 or n_mads == math.inf:
        return np.zeros(value_n.size, bool)
    out: Array = filled_n & (distance_n > n_mads * mad)
    return out
