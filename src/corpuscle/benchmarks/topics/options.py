"""Everything a user can choose about a run, checked once."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from corpuscle.errors import OptionError

__all__ = ["LABELS", "Options"]

#: The ``obs`` column that is looked at where no other is named; a file without it simply has no labels.
LABELS = "cell_type"


@dataclass(frozen=True)
class Options:
    """Parameters of the topic benchmark.

    Parameters
    ----------
    labels
        ``obs`` column with the true types, for purity and rare types; None for none. No method sees it.
    n_topics
        Topics, factors or dimensions, the same for every method.
    seeds
        One run of each method on each data set for each.
    top_genes
        Genes that a topic is read by.
    n_top_genes
        Highly variable genes, chosen once a data set and the same for every method; None takes all that are expressed.
    layer
        Layer that holds the raw counts.
    batch_key
        ``obs`` column with the batch of each cell, for methods that can use it.
    view_key
        ``obsm`` key of a second view of each cell, for methods that can use it.
    enrich
        Test gene sets for enrichment.
    gsea_permutations
        Permutations a topic of the pre-ranked test; 0 leaves that test out.
    threads
        Threads of the pre-ranked test; they change no number.
    """

    labels: str | None = LABELS
    n_topics: int = 50
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    top_genes: int = 10
    n_top_genes: int | None = 2000
    layer: str | None = None
    batch_key: str | None = None
    view_key: str | None = None
    enrich: bool = True
    gsea_permutations: int = 1000
    threads: int = 1

    def __post_init__(self) -> None:
        for name, least in (("n_topics", 2), ("top_genes", 2), ("gsea_permutations", 0), ("threads", 1)):
            if getattr(self, name) < least:
                raise OptionError(f"{name} is {getattr(self, name)}; it must be {least} or more")
        if self.n_top_genes is not None and self.n_top_genes < max(self.n_topics, self.top_genes):
            raise OptionError(
                f"n_top_genes is {self.n_top_genes}; it must be as many as the topics and their top genes, or more"
            )
        if not self.seeds:
            raise OptionError("no seed was given; --seeds must be 1 or more")
        if min(self.seeds) < 0 or len(set(self.seeds)) < len(self.seeds):
            raise OptionError(f"seeds {', '.join(map(str, self.seeds))} must be different and not negative")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for ``run.json``; the number of threads is not among them."""
        return {key: value for key, value in asdict(self).items() if key != "threads"}
