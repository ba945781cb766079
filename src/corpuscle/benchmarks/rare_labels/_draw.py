"""A draw: whole series are held out, and a label is cut to few training samples."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from corpuscle.benchmarks.rare_labels._data import Samples
from corpuscle.benchmarks.rare_labels.options import MIN_TEST
from corpuscle.bulk.series import Folds, grouped_folds, random_folds
from corpuscle.errors import OptionError
from corpuscle.seeds import stream, stream_seed

__all__ = ["FOLDS", "Draw", "choose_targets", "draws", "spread_over"]

Array = np.ndarray[Any, Any]
#: A third of the series is held out; of two series one.
FOLDS = 3


@dataclass(frozen=True)
class Draw:
    """Places of the training and test samples for one label, cut to ``rarity``, in one repeat.

    Attributes
    ----------
    target
        Code of the label.
    rarity, seed
        Its training samples, and the repeat.
    train_n, test_m
        Places; the test samples are all of the held-out series.
    """

    target: int
    rarity: int
    seed: int
    train_n: Array
    test_m: Array


def choose_targets(
    samples: Samples, rarity: Sequence[int], wanted: Sequence[str], most: int
) -> tuple[list[int], list[str]]:
    """Labels that can be made rare: those named, or the largest; nothing that was scored decides.

    Returns
    -------
    targets, notes
        Codes, and a line for labels that do not qualify.

    Raises
    ------
    OptionError
        None qualifies.
    """
    table = pd.DataFrame({"code": samples.code_n, "group": samples.groups_n})
    size = table.groupby("code")["group"].agg(["size", "nunique"])
    enough = (size["size"] >= min(rarity) + MIN_TEST) & (size["nunique"] >= 2)
    order = size[enough].sort_values("size", ascending=False, kind="stable").index.tolist()
    names = samples.names
    notes = [
        f"label {names[code]!r} has {n} sample{'s' if n > 1 else ''} in {n_series} series and cannot be made rare"
        for code, n, n_series in size[~enough].itertuples(name=None)
        if not wanted or names[code] in wanted
    ]
    chosen = [code for code in order if names[code] in wanted] if wanted else order[:most]
    notes += [f"there is no label {name!r}" for name in wanted if name not in names]
    if not chosen:
        why = "; ".join(notes[:2]) if notes else "none was named"
        raise OptionError(
            f"no label can be made rare: it takes {min(rarity) + MIN_TEST} samples in two series or more ({why})"
        )
    return [int(code) for code in chosen], notes


def draws(samples: Samples, target: int, rarity: Sequence[int], seed: int, per_label: int) -> tuple[list[Draw], str]:
    """All rarities of a label in one repeat: the same held-out series, and smaller draws inside larger ones.

    Parameters
    ----------
    samples
        All of them.
    target
        Code of the label.
    rarity
        Training samples that it is cut to.
    seed
        The repeat.
    per_label
        Training samples of every other label at most.

    Returns
    -------
    draws, note
        Those that can be made, and why others cannot; else empty.
    """
    best: tuple[Array, Array] | None = None
    able: list[int] = []
    for train_n, test_m in _folds(samples, seed):
        own, held = (int((samples.code_n[of] == target).sum()) for of in (train_n, test_m))
        others = len(np.unique(samples.code_n[train_n])) - (own > 0)
        possible = [r for r in rarity if r <= own] if held >= MIN_TEST and others else []
        if len(possible) > len(able):
            best, able = (train_n, test_m), possible
    name = samples.names[target]
    missing = [str(r) for r in rarity if r not in able]
    note = f"{name}: no held-out series leave {', '.join(missing)} training samples of it" if missing else ""
    if best is None:
        return [], note
    train_n, test_m = best
    own_c = spread_over(samples.groups_n, train_n[samples.code_n[train_n] == target], seed, name)
    others_k = _others(samples, train_n, target, seed, per_label)
    return [Draw(target, r, seed, np.sort(np.concatenate([others_k, own_c[:r]])), test_m) for r in able], note


def spread_over(groups_n: Array, own_c: Array, seed: int, name: str) -> Array:
    """Places in random order that takes one of each series in turn, so that the first r are of as many as can be."""
    rng = stream(seed, "rare-labels", "rare", name)
    own_c = rng.permutation(own_c)
    turn_c = pd.Series(groups_n[own_c]).groupby(groups_n[own_c]).cumcount().to_numpy()
    return own_c[np.argsort(turn_c, kind="stable")]


def _others(samples: Samples, train_n: Array, target: int, seed: int, per_label: int) -> Array:
    """Training samples of the other labels, of each at most so many."""
    out = []
    for code in np.unique(samples.code_n[train_n]):
        if code == target:
            continue
        own_c = train_n[samples.code_n[train_n] == code]
        if len(own_c) > per_label:
            rng = stream(seed, "rare-labels", "others", samples.names[code])
            own_c = rng.choice(own_c, per_label, replace=False)
        out.append(own_c)
    return np.concatenate(out)


def _folds(samples: Samples, seed: int) -> Folds:
    """Folds of the repeat in random order, since the method that makes them has its own."""
    state = stream_seed(seed, "rare-labels", "split")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # labels of one series are no targets, and that is said
        if samples.grouped:
            folds = grouped_folds(samples.code_n, samples.groups_n, FOLDS, state)
        else:
            folds = random_folds(samples.code_n, FOLDS, state)
    return [folds[i] for i in stream(seed, "rare-labels", "fold").permutation(len(folds))]
