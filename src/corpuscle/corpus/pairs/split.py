"""Train, validation and test: whole groups on one side, or single cells where that is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from corpuscle.errors import OptionError
from corpuscle.seeds import stream

__all__ = ["SPLITS", "given_split", "split_cells"]

Array = np.ndarray[Any, Any]
SPLITS = ("train", "validation", "test")
#: Random divisions of the groups that are tried; one of the best is taken.
TRIES = 16


def split_cells(
    obs: pd.DataFrame,
    *,
    group: str | None = None,
    shares: Sequence[float] = (0.8, 0.1, 0.1),
    seed: int = 0,
    random: bool = False,
) -> np.ndarray[Any, np.dtype[np.str_]]:
    """Divide cells, never a group of them, so that a model is judged on donors or studies that it has not seen.

    Groups are dealt out in random order, each to the split that lacks most cells, several times over; one of the divisions that
    come nearest to the shares is taken. Which cells a group has, but not their order, decides.

    Parameters
    ----------
    obs
        Table of the n cells.
    group
        Column with what is not to be divided: the donor, the study, the pseudo-bulk group. Not needed where one split has all.
    shares
        Of train, validation and test; they add up to 1. A split of share 0 is empty, another has at least one group.
    seed
        Of the random order.
    random
        Divide cells, not groups. Cells of one donor then sit on all sides.

    Returns
    -------
    numpy.ndarray
        (n,) ``"train"``, ``"validation"`` or ``"test"``.

    Raises
    ------
    OptionError
        There is no such column, a cell has no group, there are fewer groups than splits, or shares make no sense.
    """
    parts = _checked_shares(shares)
    if random:
        if group is not None:
            raise OptionError(f"a random split would divide the groups of {group!r}; ask for one or the other")
        return _named(_random(len(obs), parts, seed))
    if group is None and (parts > 0).sum() == 1:
        return np.full(len(obs), SPLITS[int(np.argmax(parts))])
    if group is None:
        raise OptionError(
            "no group was named; name the column of donors or studies (group=..., --group), or ask for a random split of cells "
            "(random=True, --random-split)"
        )
    if group not in obs:
        has = ", ".join(str(name) for name in obs.columns[:12]) or "none"
        raise OptionError(f"obs has no column {group!r} to split by; it has: {has}")
    missing = int(obs[group].isna().sum())
    if missing:
        raise OptionError(f"{missing:,} cells have no value of {group!r}; fill them or leave these cells out")
    label_n, names = pd.factorize(obs[group].astype(str), sort=True)
    wanted = int((parts > 0).sum())
    if len(names) < wanted:
        raise OptionError(
            f"column {group!r} has {len(names)} groups for {wanted} splits; set shares of 0 (shares=(1, 0, 0), --shares 1,0,0), "
            "group by another column, or ask for a random split of cells (random=True, --random-split)"
        )
    return _named(_by_group(np.bincount(label_n), parts, seed)[label_n])


def given_split(obs: pd.DataFrame, column: str) -> np.ndarray[Any, np.dtype[np.str_]]:
    """Take the split that a column says, of whoever decided it.

    Parameters
    ----------
    obs
        Table of the n cells.
    column
        Column with ``"train"``, ``"validation"`` or ``"test"`` for every cell. Validation and test may be empty.

    Returns
    -------
    numpy.ndarray
        (n,) ``"train"``, ``"validation"`` or ``"test"``.

    Raises
    ------
    OptionError
        There is no such column, a cell has another value or none, or no cell is for training.
    """
    if column not in obs:
        has = ", ".join(str(name) for name in obs.columns[:12]) or "none"
        raise OptionError(f"obs has no column {column!r} that gives the split; it has: {has}")
    value_n = obs[column].astype(object).to_numpy()
    wrong_n = ~pd.Series(value_n).isin(SPLITS).to_numpy()
    if wrong_n.any():
        first = int(np.argmax(wrong_n))
        said = "no value" if pd.isna(value_n[first]) else f"{ascii(value_n[first])[:80]}"
        raise OptionError(
            f"column {column!r} gives the split, and cell {ascii(obs.index[first])[:80]} has {said} there, as one of "
            f"{int(wrong_n.sum()):,}; every cell needs one of {', '.join(SPLITS)}"
        )
    if not (value_n == "train").any():
        raise OptionError(f"column {column!r} gives the split and says 'train' of no cell that is kept; name some")
    return value_n.astype("<U10")


def _checked_shares(shares: Sequence[float]) -> Array:
    parts = np.asarray(shares, np.float64)
    if parts.shape != (3,) or not np.isfinite(parts).all() or (parts < 0).any() or abs(parts.sum() - 1) > 1e-6:
        raise OptionError(
            f"shares {tuple(shares)} are not three numbers that add up to 1: train, validation, test, such as 0.8,0.1,0.1"
        )
    return parts


def _named(code_n: Array) -> np.ndarray[Any, np.dtype[np.str_]]:
    return np.asarray(SPLITS)[code_n]


def _random(n: int, parts: Array, seed: int) -> Array:
    """(n,) number of the split of each cell; a split of some share has a cell if there are enough."""
    wanted = np.flatnonzero(parts > 0)
    if n < wanted.size:
        raise OptionError(f"{n} cells cannot make {wanted.size} splits; set shares of 0")
    n_s = np.floor(parts * n + 0.5).astype(np.int64)
    n_s[wanted] = np.maximum(n_s[wanted], 1)
    n_s[np.argmax(n_s)] += n - n_s.sum()
    code_n = np.repeat(np.arange(3), n_s)
    return stream(seed, "pairs", "split", "cells").permutation(code_n)


def _by_group(size_k: Array, parts: Array, seed: int) -> Array:
    """(k,) number of the split of each group."""
    rng = stream(seed, "pairs", "split", "groups")
    tried = [_deal(size_k, parts, rng.permutation(size_k.size)) for _ in range(TRIES)]
    total = size_k.sum()
    errors = [np.abs(np.bincount(code_k, size_k, 3) / total - parts).max() for code_k in tried]
    near = min(errors) + 0.02
    return next(code_k for code_k, error in zip(tried, errors, strict=True) if error <= near)


def _deal(size_k: Array, parts: Array, order: Array) -> Array:
    """Give each group, in this order, to the split that lacks most; the last ones to splits that have none."""
    lacks_s = parts * size_k.sum()
    empty = {int(s) for s in np.flatnonzero(parts > 0)}
    code_k = np.zeros(size_k.size, np.int64)
    for place, k in enumerate(order):
        among = empty if size_k.size - place <= len(empty) else {int(s) for s in np.flatnonzero(parts > 0)}
        best = max(sorted(among), key=lambda s: lacks_s[s])
        code_k[k] = best
        lacks_s[best] -= size_k[k]
        empty.discard(best)
    return code_k
