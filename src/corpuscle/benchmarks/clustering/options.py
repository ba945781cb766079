"""Everything a user can choose about a run, checked once."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from corpuscle.errors import OptionError

__all__ = ["BASELINES", "Options", "is_baseline"]

#: What a learned method has to beat: it takes seconds, and no training.
BASELINES = ("pca_leiden", "pca_kmeans")
ALGORITHMS = ("leiden", "louvain")


def is_baseline(method: str) -> bool:
    """Whether a method is a simple baseline, with whatever parameters."""
    return method.partition(":")[0] in BASELINES


@dataclass(frozen=True)
class Options:
    """Parameters of the clustering benchmark.

    Parameters
    ----------
    labels
        ``obs`` column with the true types. No method sees it.
    seeds
        One run of each method on each data set for each.
    layer
        Layer that holds the raw counts.
    batch_key
        ``obs`` column with the batch of each cell, for methods that can use it.
    view_key
        ``obsm`` key of a second view of each cell, for methods that can use it.
    algorithm
        ``"leiden"`` or ``"louvain"``, for the protocols that look for communities.
    jobs
        Runs at the same time, each in a process of its own when more than one.
    """

    labels: str = "cell_type"
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    layer: str | None = None
    batch_key: str | None = None
    view_key: str | None = None
    algorithm: str = "leiden"
    jobs: int = 1

    def __post_init__(self) -> None:
        if self.algorithm not in ALGORITHMS:
            raise OptionError(f"algorithm {self.algorithm!r} is unknown; use {' or '.join(ALGORITHMS)}")
        if self.jobs < 1:
            raise OptionError(f"jobs is {self.jobs}; it must be 1 or more")
        if not self.seeds:
            raise OptionError("no seed was given; --seeds must be 1 or more")
        if min(self.seeds) < 0 or len(set(self.seeds)) < len(self.seeds):
            raise OptionError(f"seeds {', '.join(map(str, self.seeds))} must be different and not negative")
        if self.algorithm == "louvain":
            from corpuscle.benchmarks.clustering._graph import require_louvain

            require_louvain()  # now, and not after the first method has trained

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for ``run.json``; the number of jobs changes no number, and is not among them."""
        return {key: value for key, value in asdict(self).items() if key != "jobs"}
