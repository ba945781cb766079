"""Everything a user can choose about a run, checked once."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from corpuscle.benchmarks.rare_labels.budget import Amount
from corpuscle.errors import OptionError

__all__ = ["MIN_TEST", "RARITY", "Options", "amount_word"]

#: Training samples that the label keeps.
RARITY = (5, 20, 50)
#: With fewer held-out samples of the label its scores are those of single samples.
MIN_TEST = 5


@dataclass(frozen=True)
class Options:
    """Parameters of the benchmark of rare labels.

    Parameters
    ----------
    labels
        ``obs`` column with the labels.
    groups
        ``obs`` column with the series or donor of each sample; None splits at random, which is easier than any use.
    pseudobulk
        Cells are added up by group and label first.
    min_cells
        Cells of a pseudo-bulk sample at least.
    rarity
        Numbers of training samples that the label is cut to.
    amounts
        Synthetic samples for each real one, or ``"median"``.
    seeds
        A repeat (split, training samples of the label, samples of the others) for each.
    targets
        Labels that are made rare; empty takes the largest that can be.
    max_targets
        How many of those.
    max_samples
        A larger data set is drawn down, most frequent labels first.
    max_per_label
        Training samples of every other label at most.
    genes, pcs
        Most variable genes, and principal components of them.
    min_reads
        A gene must have more reads than this in 2 % of the training samples; None is 20 where the median sample has
        a million reads and 0 elsewhere.
    judged_repeats
        The first so many repeats are also judged for fidelity and copies.
    layer
        Layer that holds the raw counts.

    Raises
    ------
    OptionError
        One makes no sense.
    """

    labels: str = "cell_type"
    groups: str | None = "batch"
    pseudobulk: bool = False
    min_cells: int = 10
    rarity: tuple[int, ...] = RARITY
    amounts: tuple[Amount, ...] = (5.0, "median")
    seeds: tuple[int, ...] = tuple(range(10))
    targets: tuple[str, ...] = ()
    max_targets: int = 3
    max_samples: int = 3000
    max_per_label: int = 300
    genes: int = 2000
    pcs: int = 50
    min_reads: float | None = None
    judged_repeats: int = 3
    layer: str | None = None

    def __post_init__(self) -> None:
        if not self.seeds:
            raise OptionError("no repeat was asked for; --repeats must be 1 or more")
        if min(self.seeds) < 0:
            raise OptionError(f"seeds {', '.join(map(str, self.seeds))} must not be negative")
        for name in ("seeds", "rarity", "amounts", "targets"):
            values = getattr(self, name)
            if len(set(values)) < len(values):
                raise OptionError(f"{name} {', '.join(map(str, values))} has one twice")
        if not self.rarity or not self.amounts:
            raise OptionError("rarity and amounts must each have one value or more")
        least = dict.fromkeys(("min_cells", "max_targets"), 1) | {"pcs": 2, "genes": 20, "judged_repeats": 0}
        least |= {"max_samples": 20, "max_per_label": 2}
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise OptionError(f"{name} is {getattr(self, name)}; it must be {bound} or more")
        if min(self.rarity) < 1:
            raise OptionError(f"rarity {min(self.rarity)} leaves no training sample; it must be 1 or more")
        if self.min_reads is not None and not self.min_reads >= 0:
            raise OptionError(f"min_reads is {self.min_reads}; it must be 0 or more")
        if self.pseudobulk and self.groups is None:
            raise OptionError("pseudo-bulk samples are sums by group and label; name the column of the groups")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for ``run.json``."""
        return asdict(self)

    @property
    def of_data(self) -> dict[str, Any]:
        """What decides which samples there are."""
        names = ("labels", "groups", "pseudobulk", "min_cells", "max_samples", "layer")
        return {name: getattr(self, name) for name in names}

    @property
    def of_run(self) -> dict[str, Any]:
        """What decides the outcome of a run on them, apart from label, rarity, repeat and arm."""
        names = ("rarity", "amounts", "max_per_label", "genes", "pcs", "min_reads")
        return {name: getattr(self, name) for name in names}


def amount_word(amount: Amount) -> str:
    """How tables name an amount: ``x5``, ``median``."""
    return "median" if amount == "median" else f"x{float(amount):g}"
