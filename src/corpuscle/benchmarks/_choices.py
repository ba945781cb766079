"""What the benchmarks of methods on labelled cells let a user choose in the same way."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["UNLABELLED", "as_seeds", "check_organs"]

#: Labels, in lower case, that mean that a cell has none.
UNLABELLED = ("", "nan", "na", "n/a", "none", "null", "unassigned", "unknown", "unlabelled", "unlabeled")


def as_seeds(seeds: int | Sequence[int], first: int = 0) -> tuple[int, ...]:
    """So many seeds from the first on, or those given."""
    if isinstance(seeds, int):
        return tuple(range(first, first + seeds))
    return tuple(int(seed) for seed in seeds)


def check_organs(organs: Sequence[str]) -> None:
    """Refuse a misspelt organ of the marker tables before any work is done."""
    if organs:
        from corpuscle.annotate.sources.marker_table import asctb_markers

        asctb_markers(organs)
