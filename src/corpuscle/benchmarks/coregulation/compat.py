"""The published data card's own snippets, to the bit, with the repaired number beside each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import pearsonr

from corpuscle.benchmarks.coregulation.cells import card_union_mask
from corpuscle.counts import Counts
from corpuscle.datasets import Pair
from corpuscle.errors import MethodError

__all__ = ["CardNumbers", "card_compat"]

Array = np.ndarray[Any, Any]

CARD_GENES = 500
CARD_SEED = 42
LIGHT_AND_HEAVY = ("IGK", "IGL", "IGH")


@dataclass(frozen=True)
class CardNumbers:
    """What the card's snippet prints for one pair.

    ``median`` is NaN as soon as one drawn gene is constant, which is the snippet's defect; ``median_defined`` is the
    median over the drawn genes whose correlation is defined.
    """

    r: float
    median: float
    median_defined: float
    n_nan: int
    n_genes: int
    n_cells: int


def card_compat(counts: Counts, pair: Pair) -> CardNumbers:
    """Run the card's protocol: log10 counts per 10,000, Pearson, 500 genes drawn with seed 42 from all names.

    Exclusion pairs use the card's union mask (any light chain positive), whose sign is no evidence.
    """
    names = [str(name) for name in counts.var_names]
    if pair.kind == "exclusion":
        mask = card_union_mask(counts)
        candidates = [name for name in names if not name.startswith(LIGHT_AND_HEAVY)]
    else:
        mask = np.ones(counts.n_obs, bool)
        candidates = [name for name in names if name not in (pair.gene_a, pair.gene_b)]
    if mask.sum() < 2:
        raise MethodError(f"{counts.name}: {int(mask.sum())} cells pass the card's rule; it needs two")
    places: dict[str, int] = {}
    for i, name in enumerate(names):
        places.setdefault(name, i)
    drawn = np.random.default_rng(CARD_SEED).choice(candidates, size=min(CARD_GENES, len(candidates)), replace=False)
    genes = np.array([*counts.gene_index([pair.gene_a, pair.gene_b]), *(places[str(name)] for name in drawn)])
    x_nk = counts.columns(genes)[np.flatnonzero(mask)].toarray()
    values = np.log10(1e4 * x_nk / counts.profile().depth_n[mask][:, None] + 1)
    r = _pearsonr(values[:, 0], values[:, 1])
    background = np.array([_pearsonr(values[:, 0], values[:, 2 + j]) for j in range(len(drawn))])
    known = background[np.isfinite(background)]
    return CardNumbers(
        r=r,
        median=float(np.median(background)) if background.size else float("nan"),
        median_defined=float(np.median(known)) if known.size else float("nan"),
        n_nan=int(background.size - known.size),
        n_genes=len(drawn),
        n_cells=int(mask.sum()),
    )


def _pearsonr(a_n: Array, b_n: Array) -> float:
    if (a_n == a_n[0]).all() or (b_n == b_n[0]).all():
        return float("nan")  # what pearsonr returns, without its warning
    return float(pearsonr(a_n, b_n)[0])
