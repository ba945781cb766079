"""What is decided of every cell before values are read for good: caption, split, negatives and archive."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from corpuscle.corpus.pairs._build_options import BuildOptions
from corpuscle.corpus.pairs._prepared import Prepared
from corpuscle.corpus.pairs.captions import CaptionRule, Describe
from corpuscle.corpus.pairs.negatives import Negatives, draw_negatives
from corpuscle.corpus.pairs.split import SPLITS, given_split, split_cells
from corpuscle.errors import OptionError

__all__ = ["MOST_VALUES", "Chunk", "Plan", "cut_chunks", "make_plan", "row_texts"]

Array = np.ndarray[Any, Any]
#: Stored values of an archive: bounds the memory of a build (12 bytes each) where cells are deep.
MOST_VALUES = 20_000_000


@dataclass(frozen=True, eq=False)
class Chunk:
    """Cells of one archive: its name without ending, split, source, and ascending places among the prepared cells."""

    name: str
    split: str
    source: str
    cells: Array


@dataclass(frozen=True, eq=False)
class Plan:
    """Decisions for the n prepared cells.

    Attributes
    ----------
    caption_n
        Captions, None for a missing one; all None where none are asked for.
    split_n
        Name of the split; ``""`` for a cell that is left out, since it has no caption.
    negatives
        Split -> negatives of its cells, in their order; empty where there are none.
    dropped
        Source -> cells left out for want of a caption.
    """

    caption_n: Array
    split_n: Array
    negatives: dict[str, Negatives]
    dropped: dict[str, int]

    @property
    def splits(self) -> list[str]:
        """Splits that have cells."""
        return [split for split in SPLITS if (self.split_n == split).any()]

    def cells(self, split: str) -> Array:
        """Ascending places of the cells of a split."""
        return np.flatnonzero(self.split_n == split)


def make_plan(prepared: Prepared, rule: CaptionRule | None, describe: Describe | None, options: BuildOptions) -> Plan:
    """Decide for every prepared cell.

    Raises
    ------
    OptionError
        No cell has a caption, or the split cannot be made.
    MethodError
        All cells of a split have the same caption.
    """
    caption_n, stays_n, dropped = _captions(prepared, rule, describe, needed=options.format != "single")
    split_n = np.full(prepared.n_obs, "", "<U10")
    split_n[stays_n] = _split(prepared.obs[stays_n], options)
    batch_n = None if options.batch is None else row_texts(prepared.obs[options.batch])
    negatives = _draw_all(caption_n, batch_n, split_n, options)
    return Plan(caption_n, split_n, negatives, dropped)


def _split(obs: pd.DataFrame, options: BuildOptions) -> Array:
    if options.split is not None:
        return given_split(obs, options.split)
    return split_cells(
        obs,
        group=None if options.random_split else options.group,
        shares=options.shares,
        seed=options.seed,
        random=options.random_split and max(options.shares) < 1,
    )


def _captions(
    prepared: Prepared, rule: CaptionRule | None, describe: Describe | None, *, needed: bool
) -> tuple[Array, Array, dict[str, int]]:
    """(n,) captions, (n,) which cells stay, and how many of each source do not."""
    n = prepared.n_obs
    if rule is None:
        return np.full(n, None, object), np.ones(n, bool), {}
    caption_n = np.asarray(rule.captions(prepared.obs, describe), object)
    has_n = pd.notna(caption_n)
    if not has_n.any():
        raise OptionError(f"no cell has a caption: {rule.source} has no values; name another (--caption)")
    if not needed:
        return caption_n, np.ones(n, bool), {}
    gone = prepared.obs["source"].to_numpy()[~has_n]
    return caption_n, has_n, {str(source): int(k) for source, k in pd.Series(gone).value_counts().items()}


def _draw_all(caption_n: Array, batch_n: Array | None, split_n: Array, options: BuildOptions) -> dict[str, Negatives]:
    """Negatives of each split, from its own cells."""
    if options.format == "single":
        return {}
    drawn = {}
    for split in SPLITS:
        cells = np.flatnonzero(split_n == split)
        if cells.size:
            batch = None if batch_n is None else batch_n[cells]
            drawn[split] = draw_negatives(caption_n[cells], batch, options.policy).require(f"the {split} split")
    return drawn


def cut_chunks(prepared: Prepared, split_n: Array, chunk_cells: int) -> Iterator[Chunk]:
    """Cut each split into archives: cells of one source, no more of them and of their values than fit."""
    source_n, values_n = prepared.obs["source"].to_numpy(), prepared.values_n
    for split in SPLITS:
        for source in prepared.sources:
            cells = np.flatnonzero((split_n == split) & (source_n == source.name))
            for k, part in enumerate(_cut(values_n[cells], chunk_cells)):
                yield Chunk(f"{split}-{source.name}-{k}", split, source.name, cells[part])


def _cut(values_n: Array, most_cells: int) -> Iterator[slice]:
    sums = np.concatenate([[0], np.cumsum(values_n)])
    first = 0
    while first < values_n.size:
        fits = int(np.searchsorted(sums, sums[first] + MOST_VALUES, side="right")) - 1
        last = min(max(fits, first + 1), first + most_cells)
        yield slice(first, last)
        first = last


def row_texts(values: pd.Series[Any]) -> Array:
    """(n,) values as text, None where missing."""
    out = values.astype(object).to_numpy(copy=True)
    missing_n = pd.isna(out)
    out[~missing_n] = [str(value) for value in out[~missing_n]]
    out[missing_n] = None
    return out
