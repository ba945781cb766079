"""A draw: what a method may see of it, what it is asked, and the truth that it is judged by."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from corpuscle.errors import OptionError

if TYPE_CHECKING:
    from anndata import AnnData

    from corpuscle.corpus.pairs.vectors import VectorStore
    from datasets import DatasetDict

__all__ = ["Draw", "Part", "Question", "Shown"]

Array = np.ndarray[Any, Any]
Part = Literal["train", "test"]


@dataclass(frozen=True)
class Question:
    """Words for the types, and which types they are about.

    Attributes
    ----------
    task
        ``"new_cells"``, ``"new_wording: {label}"``, ``"held_out_groups"``, ``"new_types"``, ``"other_study"`` or
        ``"other_study_new_types"``.
    texts
        (k,) words of each type of the draw, None where there are none.
    judged
        Types that the task is about: their cells are to be named among all types, and their words are to find them. For types
        that training had not, these are the types left out; the cells of the others are what they are told apart from.
    """

    task: str
    texts: tuple[str | None, ...]
    judged: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Shown:
    """All that a method may see: training cells with captions, and test cells without.

    The test cells are a data set of their own that was built without labels, so neither its rows nor its archives have any.
    Cells have the same order in rows, counts, sentences, vectors, and in the truth.

    Attributes
    ----------
    rows
        Splits ``train`` (multiplets) and ``test`` (single rows).
    captions, train_types
        (n_train,) caption and type of each training cell.
    caption_of
        Type -> training caption, of the types that training has.
    types
        All types asked for, (k,).
    cl_ids
        Type -> Cell Ontology id or None.
    organs
        Organs whose marker tables are read; empty for all.
    seed
        Of the draw.
    """

    rows: DatasetDict
    captions: tuple[str, ...]
    train_types: tuple[str, ...]
    caption_of: dict[str, str]
    types: tuple[str, ...]
    cl_ids: dict[str, str | None]
    organs: tuple[str, ...]
    seed: int
    _folder: Path = field(repr=False)
    _stores: dict[str, Any] = field(default_factory=dict, repr=False)

    def ids(self, part: Part) -> list[str]:
        """Ids of the cells of a part, in order."""
        return list(self._of(part)["sample_idx"])

    def sentences(self, part: Part) -> list[str]:
        """Names of each cell's expressed genes, from the highest down."""
        return list(self._of(part)["cell_sentence_2"])

    def store(self, key: str) -> VectorStore:
        """Vectors of all cells of the draw by id; ``key`` as ``"X_pca"``, or ``"pca"``."""
        from corpuscle.corpus.pairs.vectors import build_store

        key = key if key.startswith("X_") else f"X_{key}"
        if key not in self._stores:
            out = self._folder / f"store{len(self._stores)}"
            self._stores[key] = build_store(self.rows, key, out, cache=self._folder / "cache", base=self._folder)
        found: VectorStore = self._stores[key]
        return found

    def vectors(self, key: str, part: Part) -> Array:
        """Vectors of the cells of a part, (n, width) float32."""
        return self.store(key).lookup(self.ids(part))

    def counts(self, part: Part) -> AnnData:
        """Raw counts of the cells of a part; ``obs`` has their ids and nothing else."""
        import pandas as pd
        from anndata import AnnData

        from corpuscle.corpus.pairs.vectors import rows_to_anndata

        ids = self.ids(part)
        found = rows_to_anndata(self._of(part), ids, cache=self._folder / "cache", keys=[], base=self._folder)
        return AnnData(found.layers["counts"], obs=pd.DataFrame(index=pd.Index(ids)), var=found.var)

    def _of(self, part: Part) -> Any:
        if part not in ("train", "test"):
            raise OptionError(f"a draw has the parts train and test, and none is {part!r}")
        return self.rows[part]


@dataclass(frozen=True, eq=False)
class Draw:
    """Training and test cells of a data set, and the questions about the latter.

    Attributes
    ----------
    name
        Of the data set that is judged.
    setup
        What is held out.
    seed, fold
        Of the draw; the fold is 0 but for left-out types.
    shown
        What methods see.
    test_types
        (m,) type of each test cell.
    types
        Types asked for, sorted: those of the test cells and of the training cells.
    left_out
        Types among these that no training cell has.
    questions
        What is asked.
    notes
        What a reader should know, a line each.
    """

    name: str
    setup: str
    seed: int
    fold: int
    shown: Shown
    test_types: tuple[str, ...]
    types: tuple[str, ...]
    left_out: tuple[str, ...]
    questions: tuple[Question, ...]
    notes: tuple[str, ...] = ()
