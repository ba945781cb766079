"""Everything a user can choose about a run, checked once."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from corpuscle.errors import OptionError

__all__ = ["Options"]


@dataclass(frozen=True)
class Options:
    """Parameters of the annotation benchmark.

    Parameters
    ----------
    labels
        ``obs`` column with the true types.
    seeds
        One draw of cells from each data set for each.
    layer
        Layer that holds the raw counts.
    label_map
        File that says which type each label stands for.
    organs
        Organs whose marker tables are read; empty for all.
    share
        Share of the cells that a seed draws.
    n_neighbors
        Neighbours of a cell in the graph, the cell itself among them.
    """

    labels: str = "cell_type"
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    layer: str | None = None
    label_map: str | None = None
    organs: tuple[str, ...] = ()
    share: float = 0.8
    n_neighbors: int = 15

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise OptionError(f"share is {self.share}; it must be above 0 and at most 1")
        if self.n_neighbors < 2:
            raise OptionError(f"n_neighbors is {self.n_neighbors}; it must be 2 or more")
        if not self.seeds:
            raise OptionError("no seed was given; --seeds must be 1 or more")
        if min(self.seeds) < 0 or len(set(self.seeds)) < len(self.seeds):
            raise OptionError(f"seeds {', '.join(map(str, self.seeds))} must be different and not negative")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for ``run.json``."""
        return asdict(self)
