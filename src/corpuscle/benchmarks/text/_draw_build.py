"""From chosen cells to a draw, through the very chain that a user's data go through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from corpuscle.benchmarks._labelled import LabelledCells
from corpuscle.benchmarks.text._draw import Shown
from corpuscle.benchmarks.text._wordings import caption_texts
from corpuscle.benchmarks.text.options import Options
from corpuscle.seeds import stream, stream_seed

__all__ = ["Side", "build_sides"]

Array = np.ndarray[Any, Any]
TRAIN, TEST = "train.pairs", "test.pairs"


@dataclass(frozen=True, eq=False)
class Side:
    """Some cells of a data set: their counts, and their types."""

    counts: Any
    type_n: tuple[str, ...]

    @classmethod
    def of(cls, cells: LabelledCells, row_n: Array, seed: int, names: Mapping[str, str] | None = None) -> Side:
        """The cells ``row_n`` in a random order, so that their place in the file tells nothing of their type.

        With ``names``, types are called by these.
        """
        types = [(names or {}).get(name, name) for name in cells.types]
        row_n = stream(seed, "text", "order").permutation(np.sort(row_n))
        return cls(cells.counts[row_n].copy(), tuple(types[k] for k in cells.code_n[row_n]))


def build_sides(
    folder: Path,
    train: Sequence[Side],
    test: Side,
    options: Options,
    cl_ids: Mapping[str, str | None],
    seed: int,
) -> tuple[Shown, tuple[str, ...]]:
    """Build both data sets in a folder and open them; also the types of the test cells, in the order of their rows.

    The test cells are embedded with what was fitted on the training cells. They are a data set of their own, made without
    labels and captions: whatever reads its rows or archives finds none.

    Raises
    ------
    CorpuscleError
        A data set cannot be built, as for :func:`~corpuscle.corpus.pairs.build.build_pairs`.
    """
    from corpuscle.corpus.pairs.build import build_pairs
    from corpuscle.corpus.pairs.embedders import embedder
    from corpuscle.corpus.pairs.negatives import NegativePolicy
    from datasets import DatasetDict, load_from_disk

    of_seed = stream_seed(seed, "text", "pairs")
    sources, type_of = _named(train, test)
    held = sources.pop(TEST)
    made = partial(build_pairs, rules=None, seed=of_seed, archive="h5ad")
    fitting = [embedder(word) for word in options.embeddings]
    # One caption negative, with its text: two captions are enough for it, and a method that trains on negatives finds some.
    made(
        sources, folder / TRAIN, caption=options.caption, shares=(1, 0, 0), embeddings=fitting, resolve=True,
        negatives=NegativePolicy(n=1, kinds=("caption",), seed=of_seed), link_base=f"{TRAIN}/archives",
    )  # fmt: skip
    made(
        {"test": held}, folder / TEST, format="single", shares=(0, 0, 1), embeddings=[one.name for one in fitting],
        embedders_from=folder / TRAIN, link_base=f"{TEST}/archives",
    )  # fmt: skip
    rows = DatasetDict(
        train=load_from_disk(str(folder / TRAIN))["train"], test=load_from_disk(str(folder / TEST))["test"]
    )
    train_types = tuple(type_of[one] for one in rows["train"]["sample_idx"])
    test_types = tuple(type_of[one] for one in rows["test"]["sample_idx"])
    types = tuple(sorted({*train_types, *test_types}))
    known = sorted(set(train_types))
    shown = Shown(
        rows, tuple(rows["train"]["positive"]), train_types,
        dict(zip(known, caption_texts(options.caption, known), strict=True)), types,
        {name: cl_ids.get(name) for name in types}, options.organs, seed, folder,
    )  # fmt: skip
    return shown, test_types


def _named(train: Sequence[Side], test: Side) -> tuple[dict[str, Any], dict[str, str]]:
    """Cells under ids that say nothing, labels with the training cells alone; and the type of each id."""
    import pandas as pd
    from anndata import AnnData

    sources: dict[str, Any] = {}
    type_of: dict[str, str] = {}
    for name, side in [*((f"study{k}", one) for k, one in enumerate(train)), (TEST, test)]:
        ids = [f"c{len(type_of) + k}" for k in range(len(side.type_n))]
        type_of |= dict(zip(ids, side.type_n, strict=True))
        labels: dict[str, Sequence[str]] = {} if name == TEST else {"label": list(side.type_n)}
        obs = pd.DataFrame(labels, index=pd.Index(ids, dtype=object))
        sources[name] = AnnData(side.counts.X, obs=obs, var=side.counts.var)
    return sources, type_of
