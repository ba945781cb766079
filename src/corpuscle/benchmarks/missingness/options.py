"""Everything a user can choose about a run, checked once."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from corpuscle.errors import OptionError

__all__ = ["FEWEST", "SIMULATED", "Options"]

#: With fewer cells or genes there are not enough neighbours and coordinates to compare.
FEWEST = 20
#: Features of the simulation where no number is given.
SIMULATED = (2000,)


@dataclass(frozen=True)
class Options:
    """Parameters of the benchmark of missing values.

    Parameters
    ----------
    labels
        ``obs`` column with the true types, for the agreement of clusters.
    seeds
        A draw of cells, and of what is missing from them, for each.
    genes
        Most variable genes that are kept.
    max_cells
        A larger data set is drawn down to so many cells, each type in proportion.
    layer
        Layer that holds the raw counts.
    simulated
        Numbers of features of simulations that are data sets too.

    Raises
    ------
    OptionError
        One makes no sense.
    """

    labels: str = "cell_type"
    seeds: tuple[int, ...] = tuple(range(10))
    genes: int = 1000
    max_cells: int = 600
    layer: str | None = None
    simulated: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not self.seeds:
            raise OptionError("no draw was asked for; --draws must be 1 or more")
        if min(self.seeds) < 0 or len(set(self.seeds)) < len(self.seeds):
            raise OptionError(f"seeds {', '.join(map(str, self.seeds))} must be different and not negative")
        for name, value in (("genes", self.genes), ("max_cells", self.max_cells)):
            if value < FEWEST:
                raise OptionError(f"{name} is {value}; it must be {FEWEST} or more")
        if len(set(self.simulated)) < len(self.simulated):
            raise OptionError(f"simulated {', '.join(map(str, self.simulated))} has a number of features twice")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for ``run.json``."""
        return asdict(self)
