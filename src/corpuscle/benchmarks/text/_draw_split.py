"""Which cells are drawn, and on which side of a draw each is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from corpuscle.benchmarks._labelled import LabelledCells
from corpuscle.corpus.pairs.split import split_cells
from corpuscle.errors import CorpuscleError, OptionError
from corpuscle.seeds import stream, stream_seed

__all__ = ["FEWEST", "Impossible", "drawn_cells", "group_sides", "test_cells", "type_parts"]

Array = np.ndarray[Any, Any]
#: Cells that a type needs, so that there can be one on each side.
FEWEST = 2
NAMED = 3


class Impossible(CorpuscleError):
    """A data set cannot be held out in this way; that is worth a note and is no failure."""


def drawn_cells(cells: LabelledCells, max_cells: int, seed: int) -> tuple[Array, tuple[str, ...]]:
    """Ascending positions of the cells of types that can be on both sides, at most so many; and notes.

    Raises
    ------
    OptionError
        Fewer than two types are left.
    """
    size_k = np.bincount(cells.code_n, minlength=len(cells.types))
    enough_k = size_k >= FEWEST
    notes = []
    if not enough_k.all():
        few = [name for name, enough in zip(cells.types, enough_k, strict=True) if not enough]
        notes.append(f"{cells.name}: {_listed(few)} have fewer than {FEWEST} cells and were left out")
    if enough_k.sum() < 2:
        raise OptionError(
            f"{cells.name}: {enough_k.sum()} types have {FEWEST} cells or more; it takes two or more such types"
        )
    row_n = np.flatnonzero(enough_k[cells.code_n])
    if row_n.size > max_cells:
        quota_k = _quota(np.where(enough_k, size_k, 0), max_cells)
        rank_n = _rank_in_type(cells.code_n[row_n], stream(seed, "text", "cells drawn"))
        notes.append(f"{cells.name}: {max_cells:,} of {row_n.size:,} cells were drawn, each type in proportion")
        row_n = row_n[rank_n < quota_k[cells.code_n[row_n]]]
    return row_n, tuple(notes)


def _quota(size_k: Array, wanted: int) -> Array:
    """(k,) cells of each type, in proportion, but enough for both sides; ``wanted`` in all where there is room for it."""
    ideal_k = size_k * wanted / size_k.sum()
    quota_k = np.minimum(np.maximum(np.floor(ideal_k).astype(np.int64), FEWEST), size_k)
    while quota_k.sum() > wanted and quota_k.max() > FEWEST:
        quota_k[quota_k.argmax()] -= 1
    for k in np.argsort(quota_k - ideal_k, kind="stable")[: max(wanted - int(quota_k.sum()), 0)]:
        quota_k[k] += quota_k[k] < size_k[k]
    return quota_k


def test_cells(code_n: Array, share: float, seed: int) -> Array:
    """(n,) whether a cell is judged: of each type a part, at least one cell and never all."""
    size_k = np.bincount(code_n)
    judged_k = np.clip(np.rint(size_k * (1 - share)).astype(np.int64), 1, np.maximum(size_k - 1, 1))
    return _rank_in_type(code_n, stream(seed, "text", "cells judged")) < judged_k[code_n]


def _rank_in_type(code_n: Array, rng: np.random.Generator) -> Array:
    """(n,) place of each cell in a random order of the cells of its type."""
    order = rng.permutation(code_n.size)
    order = order[np.argsort(code_n[order], kind="stable")]
    first_k = np.concatenate([[0], np.cumsum(np.bincount(code_n))])
    rank_n = np.empty(code_n.size, np.int64)
    rank_n[order] = np.arange(code_n.size) - first_k[code_n[order]]
    return rank_n


def group_sides(obs: pd.DataFrame, group: str | None, share: float, seed: int) -> tuple[Array, Array]:
    """(n,) whether a cell trains, and (n,) whether it is judged; neither where its group is not known.

    Raises
    ------
    Impossible
        No column was named, there is none of that name, or it has one group only.
    """
    if group is None:
        raise Impossible("no column of groups was named (--group)")
    if group not in obs:
        raise Impossible(f"there is no obs column {group!r}")
    known_n = obs[group].notna().to_numpy() & (obs[group].astype(str).str.strip() != "").to_numpy()
    if obs.loc[known_n, group].astype(str).nunique() < 2:
        raise Impossible(f"column {group!r} has fewer than two groups")
    side_n = np.full(len(obs), "", "<U10")
    of_seed = stream_seed(seed, "text", "groups")
    side_n[known_n] = split_cells(obs[known_n], group=group, shares=(share, 0.0, 1.0 - share), seed=of_seed)
    return side_n == "train", side_n == "test"


def type_parts(types: Sequence[str], folds: int, seed: int) -> list[tuple[str, ...]]:
    """Types divided at random into so many parts, fewer where there are fewer types.

    Raises
    ------
    Impossible
        Without a part, fewer than two types would be left.
    """
    shuffled = [types[k] for k in stream(seed, "text", "types").permutation(len(types))]
    parts = [tuple(sorted(shuffled[k :: min(folds, len(types))])) for k in range(min(folds, len(types)))]
    if len(types) - max(map(len, parts)) < 2:
        raise Impossible(
            f"{len(types)} types in {len(parts)} parts leave fewer than two to train on; ask for more folds"
        )
    return parts


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
