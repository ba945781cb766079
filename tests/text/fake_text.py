"""Draws and methods in memory, with no chain behind them, that behave and misbehave."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

from corpuscle.benchmarks.text._draw import Draw, Question
from corpuscle.benchmarks.text._draw_split import Impossible
from corpuscle.benchmarks.text._draws import Plan
from corpuscle.benchmarks.text.methods import Scorer
from corpuscle.errors import SourceError

TYPES = ("B cell", "T cell", "dendritic cell", "monocyte")


def made_cells(n: int = 60, seed: int = 0, types=TYPES) -> ad.AnnData:
    """Counts that only have to be there; the draws below are made up."""
    rng = np.random.default_rng(seed)
    obs = pd.DataFrame({"cell_type": [types[i % len(types)] for i in range(n)]}, index=[f"c{i}" for i in range(n)])
    counts = sp.csr_matrix(rng.poisson(2.0, (n, 8)).astype(np.float32))
    return ad.AnnData(counts, obs, pd.DataFrame(index=[f"G{j}" for j in range(8)]))


class Drawn:
    """Stands where the drawing stands; keeps a list of what was opened.

    Parameters
    ----------
    unable
        Data set -> what opening its draws raises.
    """

    def __init__(self, unable: dict[str, Exception] | None = None) -> None:
        self.opened: list[str] = []
        self.unable = unable or {}

    def plans(self, data: Any, options: Any, seed: int, others: Any = (), notes: list[str] | None = None) -> list[Plan]:
        out = []
        for setup in options.setups:
            if setup == "held_out_groups":
                notes.append(f"{data.name}: held_out_groups is left out: no column of groups was named (--group)")
                continue
            if setup == "other_study" and not others:
                notes.append(f"{data.name}: other_study is left out: there is no other data set to train on")
                continue
            for fold in range(options.folds if setup == "new_types" else 1):
                made = lambda folder, setup=setup, fold=fold: self.draw(data, setup, seed, fold)  # noqa: E731
                out.append(Plan(data.name, setup, seed, fold, made))
        return out

    def draw(self, data: Any, setup: str, seed: int, fold: int) -> Draw:
        self.opened.append(f"{data.name} {setup} {seed} {fold}")
        if data.name in self.unable:
            raise self.unable[data.name]
        gone = tuple(TYPES[fold::2]) if setup == "new_types" else ()
        return made_draw(setup, seed, fold, gone, name=data.name)


def made_draw(setup="new_cells", seed=0, fold=0, gone=(), n=40, name="one") -> Draw:
    """Forty test cells, whose vectors are their types with noise; the types ``gone`` have no training cell."""
    rng = np.random.default_rng([seed, fold, len(setup), len(name), sum(map(ord, name))])
    code_m, code_n = rng.permutation(np.arange(n) % len(TYPES)), np.arange(2 * n) % len(TYPES)
    vectors = {
        part: (np.eye(len(TYPES))[code] + rng.normal(0, 0.7, (code.size, len(TYPES)))).astype(np.float32)
        for part, code in (("train", code_n), ("test", code_m))
    }
    kept_n = ~np.isin(np.asarray(TYPES, object)[code_n], gone)
    vectors["train"] = vectors["train"][kept_n]
    shown = SimpleNamespace(
        train_types=tuple(np.asarray(TYPES, object)[code_n[kept_n]]),
        types=TYPES,
        vectors=lambda key, part: vectors[part],
    )
    captions = tuple(f"A {one}." for one in TYPES)
    questions = [Question(setup, captions, tuple(gone) or TYPES)]
    if setup == "new_cells":
        questions.append(Question("new_wording: {label}", (*TYPES[:3], None), TYPES[:3]))
    truth = tuple(TYPES[k] for k in code_m)
    return Draw(name, setup, seed, fold, shown, truth, TYPES, tuple(gone), tuple(questions), (f"{name}: made up",))


class Reader:
    """Reads the scores off the vectors; notes down every call."""

    told = "the types"
    needs_vectors = True
    scale: float | None = 20.0

    def __init__(self, name: str = "reader", weight: float = 1.0, log: Path | None = None) -> None:
        self.name, self.weight, self._log = name, weight, log

    def __call__(self, shown, key, seed):
        if self._log:
            with self._log.open("a") as file:
                file.write(f"{self.name} {key} {seed}\n")
        train_nd, test_md = shown.vectors(key, "train"), shown.vectors(key, "test")
        noise_mk = np.random.default_rng(seed).normal(size=test_md.shape)
        self._score_mk = self.weight * test_md + (1 - self.weight) * noise_mk
        return Scorer(self.score, self.scale, (train_nd, test_md), (f"{self.name} was here",))

    def score(self, texts, types):
        return self._score_mk


class Guess(Reader):
    """Takes no vectors, and stands for the baselines."""

    needs_vectors = False

    def __call__(self, shown, key, seed):
        found = super().__call__(shown, key, seed)
        return Scorer(found.score, None)


class Silent(Reader):
    """Can say nothing of the first type."""

    def score(self, texts, types):
        return np.where(np.arange(len(types)) == 0, np.nan, self._score_mk)


class Bad(Reader):
    """Fails in the way that its name says."""

    def __call__(self, shown, key, seed):
        found = super().__call__(shown, key, seed)
        if self.name == "raises":
            raise ValueError("no\nluck")
        if self.name == "exits":
            sys.exit("enough")
        if self.name == "nothing":
            return None
        if self.name == "widths":
            return Scorer(found.score, 20.0, (found.cells[0], found.cells[1][:, :2]))
        return found

    def score(self, texts, types):
        if self.name == "wording" and None in texts:
            raise RuntimeError("what is that")
        if self.name == "short":
            return self._score_mk[:-1]
        return self._score_mk


class Stops(Reader):
    """Is stopped by the user after so many calls."""

    def __init__(self, after: int, log: Path) -> None:
        super().__init__("reader", log=log)
        self._after = after

    def __call__(self, shown, key, seed):
        if self._after == 0:
            raise KeyboardInterrupt
        self._after -= 1
        return super().__call__(shown, key, seed)


UNABLE = {"impossible": Impossible("nothing in common"), "broken": SourceError("a damaged file")}
