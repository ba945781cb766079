"""Everything a user can choose about a run, checked once."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from corpuscle.errors import OptionError

__all__ = ["FIELDS", "SETUPS", "WORDINGS", "Options"]

#: What can be held out, in the order of the tables.
SETUPS = ("new_cells", "held_out_groups", "new_types", "other_study")
#: Ways to ask for a type that no training caption has.
WORDINGS = ("{label}", "Sample of a {label}", "{ontology_name}", "{definition}")
#: What a wording may have in braces; a caption has the label alone.
FIELDS = ("label", "ontology_name", "definition")


@dataclass(frozen=True)
class Options:
    """Parameters of the benchmark of cells and words.

    Parameters
    ----------
    labels
        ``obs`` column with the true types.
    group
        ``obs`` column of donors or other groups that are held out whole; None for none.
    caption
        Training caption of a cell, with ``{label}`` in it.
    wordings
        Other ways to ask for a type, with ``{label}``, or with ``{ontology_name}`` and ``{definition}`` of the Cell Ontology.
    setups
        What is held out: single cells, groups, types, whole studies.
    embeddings
        Words of the vectors that methods get, such as ``"pca"`` or ``"hvg:n=512"``.
    seeds
        A draw of each kind from each data set for each.
    folds
        Into how many parts the types are divided; each part in turn is left out of training.
    share
        Share of the cells of a type (or of the cells, where groups are held out) that training gets.
    max_cells
        A larger data set is drawn down to so many cells, each type in proportion.
    layer
        Layer that holds the raw counts.
    label_map
        File that says which type each label stands for.
    organs
        Organs whose marker tables are read; empty for all.

    Raises
    ------
    OptionError
        One makes no sense.
    """

    labels: str = "cell_type"
    group: str | None = None
    caption: str = "This is a {label} cell."
    wordings: tuple[str, ...] = WORDINGS
    setups: tuple[str, ...] = SETUPS
    embeddings: tuple[str, ...] = ("pca",)
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    folds: int = 4
    share: float = 0.8
    max_cells: int = 10_000
    layer: str | None = None
    label_map: str | None = None
    organs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise OptionError(f"share is {self.share}; it must be between 0 and 1, so that both sides have cells")
        if self.folds < 2:
            raise OptionError(f"folds is {self.folds}; it must be 2 or more, so that some types are left to train on")
        if self.max_cells < 10:
            raise OptionError(f"max_cells is {self.max_cells}; it must be 10 or more")
        if not self.seeds:
            raise OptionError("no seed was given; --seeds must be 1 or more")
        if min(self.seeds) < 0 or len(set(self.seeds)) < len(self.seeds):
            raise OptionError(f"seeds {', '.join(map(str, self.seeds))} must be different and not negative")
        _check_setups(self.setups)
        _check_words(self.caption, self.wordings)
        if not self.embeddings:
            raise OptionError("no embedding was given; pca is usual")
        twice = sorted({key for key in self.keys if self.keys.count(key) > 1})
        if twice:
            raise OptionError(f"embedding {twice[0][2:]!r} is given twice; name= gives one of them another name")

    @property
    def keys(self) -> tuple[str, ...]:
        """Key of each embedding, ``X_<name>``."""
        from corpuscle.corpus.pairs.embedders import embedder

        return tuple(f"X_{embedder(word).name}" for word in self.embeddings)

    @property
    def depends(self) -> dict[str, Any]:
        """What a draw from a data set depends on, apart from the data set, its labels, the seed and the embeddings."""
        return {
            "group": self.group, "caption": self.caption, "wordings": list(self.wordings), "folds": self.folds,
            "share": self.share, "max_cells": self.max_cells,
        }  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for ``run.json``."""
        return asdict(self)


def _check_setups(setups: tuple[str, ...]) -> None:
    odd = [name for name in setups if name not in SETUPS]
    if odd or not setups:
        said = f"no setup is called {odd[0]!r}" if odd else "no setup was given"
        raise OptionError(f"{said}; there are: {', '.join(SETUPS)}")
    if len(set(setups)) < len(setups):
        raise OptionError(f"setups {', '.join(setups)} name one twice")


def _check_words(caption: str, wordings: tuple[str, ...]) -> None:
    from corpuscle.corpus.pairs.captions import Template

    if Template(caption).columns != ("label",):
        raise OptionError(f"caption {caption!r} must have {{label}} in it and no other braces, as 'A {{label}} cell.'")
    for words in wordings:
        odd = [name for name in Template(words).columns if name not in FIELDS]
        if odd:
            known = ", ".join(f"{{{name}}}" for name in FIELDS)
            raise OptionError(f"wording {words!r}: {{{odd[0]}}} is not known; there are {known}")
        if words == caption:
            raise OptionError(f"wording {words!r} is the training caption and no new one; leave it out")
    if len(set(wordings)) < len(wordings):
        raise OptionError("a wording is given twice; leave one out")
