"""Everything a user can choose about a run, checked once."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from corpuscle.benchmarks.coregulation.association import MEASURES
from corpuscle.benchmarks.coregulation.background import MODES
from corpuscle.errors import OptionError

__all__ = ["BASELINE", "Options"]

#: Others are compared with it: what most people do today.
BASELINE = "log1p_cp10k"


@dataclass(frozen=True)
class Options:
    """Parameters of the co-regulation benchmark.

    Parameters
    ----------
    association
        Measures of association; the first ranks the methods, all are in the details.
    cells
        Cell rule, see :func:`~corpuscle.benchmarks.coregulation.cells.choose_cells`.
    include_plasma
        Count cells with MZB1 and DERL3 as B cells too.
    background, n_background
        Background mode and size.
    n_boot
        Bootstrap rounds over cells.
    n_null
        Permutations of the pair for methods that can be evaluated without fitting again.
    n_null_refits
        Permutations for the others, each a whole fit.
    fit_on
        ``"all"`` cells of the sample, as the data would be used, or only the evaluated ones (``"cells"``).
    variants
        Also judge exclusion pairs with the pair's genes left out of the depth, and with all lambda genes as one.
    controls
        Run the null, thinning and count-split controls, each a further fit.
    seed
        One integer; every sample, pair, method and stage has its own substream.
    """

    association: tuple[str, ...] = ("pearson",)
    cells: str = "auto"
    include_plasma: bool = False
    background: str = "matched"
    n_background: int = 500
    n_boot: int = 1000
    n_null: int = 200
    n_null_refits: int = 2
    fit_on: str = "all"
    variants: bool = True
    controls: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        for measure in self.association:
            if measure not in MEASURES:
                raise OptionError(f"association {measure!r} is unknown; use one of {', '.join(MEASURES)}")
            if MEASURES[measure].on_counts:
                raise OptionError(
                    f"association {measure!r} models raw counts, not normalised values; give it as a method"
                )
        if not self.association:
            raise OptionError("no association measure was given")
        if self.background not in MODES:
            raise OptionError(f"background {self.background!r} is unknown; use one of {', '.join(MODES)}")
        if self.fit_on not in ("all", "cells"):
            raise OptionError(f"fit_on {self.fit_on!r} is unknown; use all or cells")
        if self.fit_on == "cells" and self.cells == "card_union":
            raise OptionError("cells=card_union needs fit_on=all: its null draws the mask anew over all cells")
        for name in ("n_background", "n_boot", "n_null", "n_null_refits", "seed"):
            if getattr(self, name) < (1 if name == "n_background" else 0):
                raise OptionError(f"{name} is {getattr(self, name)}; it cannot be that small")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for ``run.json``."""
        return asdict(self)
