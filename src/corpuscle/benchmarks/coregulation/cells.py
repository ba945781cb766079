"""Which cells a pair is judged in. The rule never looks at the pair, or the answer would follow from the rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from corpuscle.counts import Counts
from corpuscle.datasets import Pair
from corpuscle.errors import MethodError, OptionError

__all__ = ["CellChoice", "Quadrants", "choose_cells", "quadrants"]

Array = np.ndarray[Any, Any]

B_MARKERS = ("CD79A", "MS4A1", "CD79B", "BANK1", "CD19")
PLASMA_MARKERS = ("MZB1", "DERL3")
MIN_MARKERS = 3
#: Above this share of B cells a sample counts as sorted, and all its cells are used.
SORTED_SHARE = 0.8
#: The union rule of the published data card; kept to show what it does, never the default.
CARD_UNION = ("IGKC", "IGLC2", "IGLC3")


@dataclass(frozen=True)
class CellChoice:
    """Cells chosen (boolean, (n_obs,)), in words by what rule, and whether that rule looks at the pair itself."""

    mask_n: Array
    rule: str
    depends_on_pair: bool = False

    @property
    def n_cells(self) -> int:
        """How many cells were chosen."""
        return int(self.mask_n.sum())


@dataclass(frozen=True)
class Quadrants:
    """The four-way table of a pair. Cells with both are doublets or ambient RNA: a property of the data."""

    a_only: int
    b_only: int
    both: int
    neither: int


def choose_cells(counts: Counts, pair: Pair | None, rule: str = "auto", *, include_plasma: bool = False) -> CellChoice:
    """Choose the cells in which a pair is judged.

    Parameters
    ----------
    counts
        The sample, all cells.
    pair
        The question asked; None for controls that have no pair.
    rule
        ``"auto"``: all cells for a reporter; B cells by marker genes for an exclusion pair. ``"all"``.
        ``"card_union"``: any of IGKC, IGLC2, IGLC3 positive, which by itself makes the pair negatively correlated.
        ``"COLUMN=VALUE"``: cells with that value in ``obs``.
    include_plasma
        Also take cells with both MZB1 and DERL3, which have lost MS4A1 and BANK1.

    Raises
    ------
    OptionError
        Unknown rule, column or value.
    MethodError
        Too few marker genes to find B cells, or no B cell.
    """
    everything = np.ones(counts.n_obs, bool)
    if rule == "all" or (rule == "auto" and (pair is None or pair.kind == "reporter")):
        return CellChoice(everything, "all cells")
    if rule == "auto" and pair is not None:
        return _b_cells(counts, pair, include_plasma)
    if rule == "card_union":
        return CellChoice(card_union_mask(counts), "IGKC, IGLC2 or IGLC3 positive (collider: see excess, not r)", True)
    column, equals, value = rule.partition("=")
    if not equals:
        raise OptionError(f"cells rule {rule!r} is unknown; use auto, all, card_union or COLUMN=VALUE")
    if column not in counts.obs:
        raise OptionError(
            f"{counts.name}: no obs column {column!r}; it has: {', '.join(map(str, counts.obs)) or 'none'}"
        )
    mask = (counts.obs[column].astype(str) == value).to_numpy()
    if not mask.any():
        raise OptionError(f"{counts.name}: no cell has {column}={value}")
    return CellChoice(mask, rule)


def card_union_mask(counts: Counts) -> Array:
    """(n_obs,) cells with a count in any of the light-chain genes of the published rule that are there."""
    genes = [gene for gene in CARD_UNION if counts.has_gene(gene)]
    return np.asarray(counts.columns(genes).sum(axis=1)).ravel() > 0


def quadrants(a_n: Array, b_n: Array) -> Quadrants:
    """Count the cells with either, both or neither of two genes."""
    a, b = a_n > 0, b_n > 0
    return Quadrants(int((a & ~b).sum()), int((b & ~a).sum()), int((a & b).sum()), int((~a & ~b).sum()))


def _b_cells(counts: Counts, pair: Pair, include_plasma: bool) -> CellChoice:
    def spelled(genes: tuple[str, ...]) -> list[str]:
        human = pair.gene_a == pair.gene_a.upper()  # mouse symbols are in title case
        cased = genes if human else tuple(gene.title() for gene in genes)
        return [gene for gene in cased if counts.has_gene(gene) and gene not in (pair.gene_a, pair.gene_b)]

    markers = spelled(B_MARKERS)
    if len(markers) < MIN_MARKERS:
        raise MethodError(
            f"{counts.name}: only {len(markers)} of the B-cell markers {', '.join(B_MARKERS)} are there and "
            f"{MIN_MARKERS} are needed; give the cells with --cells COLUMN=VALUE"
        )
    mask = _detected(counts, markers) >= 2
    rule = f"B cells: at least 2 of {', '.join(markers)}"
    plasma = spelled(PLASMA_MARKERS)
    if include_plasma and len(plasma) == len(PLASMA_MARKERS):
        mask |= _detected(counts, plasma) == len(plasma)
        rule += f", or both of {', '.join(plasma)}"
    if mask.mean() > SORTED_SHARE:
        return CellChoice(np.ones(counts.n_obs, bool), f"all cells: {mask.mean():.0%} pass as B cells")
    if mask.sum() < 2:
        found = "no B cell" if not mask.any() else "one B cell"
        raise MethodError(
            f"{counts.name}: {found} among {counts.n_obs:,} (rule: {rule}); a pair needs B cells to be judged"
        )
    return CellChoice(mask, rule)


def _detected(counts: Counts, genes: list[str]) -> Array:
    return counts.columns(genes).astype(bool).sum(axis=1).A1.astype(int)
