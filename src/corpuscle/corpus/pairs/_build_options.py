"""Every choice of a build, checked before anything is read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from corpuscle.corpus.pairs.archives import FORMATS as ARCHIVES
from corpuscle.corpus.pairs.captions import CaptionRule
from corpuscle.corpus.pairs.negatives import NegativePolicy
from corpuscle.corpus.pairs.prepare import QCRules
from corpuscle.corpus.pairs.rows import FORMATS
from corpuscle.errors import OptionError

__all__ = ["BuildOptions"]


@dataclass(frozen=True)
class BuildOptions:
    """Choices of :func:`~corpuscle.corpus.pairs.build.build_pairs`, under the names that they have there.

    Raises
    ------
    OptionError
        One is unknown, out of range, or does not go with another.
    """

    format: str
    group: str | None
    batch: str | None
    random_split: bool
    split: str | None
    shares: tuple[float, ...]
    seed: int
    sentence_genes: int
    sentence_allowed: tuple[str, ...] | None
    negatives: NegativePolicy
    resolve: bool
    archive: str
    chunk_cells: int
    link_base: str | None
    rules: QCRules | None
    layer: str | None
    categories: tuple[str, ...]
    allow_imitation: bool
    declared_counts: bool
    namespace: bool
    name: str | None
    licence: str | None

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise OptionError(f"no rows of the form {self.format!r}; it is one of {', '.join(FORMATS)}")
        if self.archive not in ARCHIVES:
            raise OptionError(f"archive format {self.archive!r} is not one of {', '.join(ARCHIVES)}")
        if self.chunk_cells < 1:
            raise OptionError(f"chunk_cells {self.chunk_cells} is below 1; 20000 is usual")
        if self.sentence_genes < 0:
            raise OptionError(f"sentence_genes {self.sentence_genes} is negative; 0 is for no sentences")
        if self.seed < 0:
            raise OptionError(f"seed {self.seed} is negative; take a whole number from 0")
        if self.resolve and self.format != "multiplets":
            raise OptionError(f"texts of negatives are columns of multiplets only, not of {self.format}")
        if self.resolve and not self.sentence_genes and "sentence" in self.policy.columns:
            raise OptionError("negatives of the kind sentence have no text without sentences; set sentence_genes")
        if self.random_split and self.group is not None and self.group != "source":
            raise OptionError("a random split divides groups; leave out the group or the random split")
        if self.split is not None and (self.random_split or self.group is not None):
            other = "a random split (--random-split)" if self.random_split else f"the group {self.group!r} (--group)"
            raise OptionError(
                f"the split is given by the column {self.split!r}, so {other} decides nothing; leave one out"
            )

    def check_caption(self, rule: CaptionRule | None) -> None:
        """Refuse rows that need a caption and have none.

        Raises
        ------
        OptionError
            There is none.
        """
        if rule is None and self.format != "single":
            raise OptionError(
                f"{self.format} need a caption: a column of obs or a template such as 'A {{cell_type}} cell.' (--caption); or "
                "build rows of the form single"
            )

    @property
    def policy(self) -> NegativePolicy:
        """How negatives are drawn; pairs have one of the kind caption."""
        return replace(self.negatives, n=1, kinds=("caption",)) if self.format == "pairs" else self.negatives

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the manifest; what it says elsewhere is left out."""
        return {
            "batch": self.batch,
            "random_split": self.random_split,
            "split": self.split,
            "shares": None if self.split is not None else list(self.shares),
            "sentence_allowed": None if self.sentence_allowed is None else len(self.sentence_allowed),
            "archive": self.archive,
            "chunk_cells": self.chunk_cells,
            "rules": None if self.rules is None else self.rules.to_dict(),
            "layer": self.layer,
            "categories": list(self.categories),
            "allow_imitation": self.allow_imitation,
            "declared_counts": self.declared_counts,
            "namespace": self.namespace,
        }
