"""Small labelled counts in series, and arms that behave, cheat and fail."""

from __future__ import annotations

import time
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

from corpuscle.benchmarks.rare_labels._arms import Synthesis
from corpuscle.benchmarks.rare_labels._one import Problem

LABELS = ("common", "rare", "third")
SMALL = {
    "rarity": (5,),
    "amounts": (5,),
    "repeats": 2,
    "genes": 60,
    "pcs": 10,
    "targets": ["rare"],
    "judged_repeats": 1,
}


def made_samples(
    seed: int = 0, n: int = 240, n_series: int = 6, strength: float = 0.5, series: float = 0.2
) -> ad.AnnData:
    """Three labels; "rare" differs from "common" by a little in many genes, and series differ too."""
    rng = np.random.default_rng(seed)
    label_n, series_n = np.arange(n) % len(LABELS), np.arange(n) // len(LABELS) % n_series
    shift_lg = np.zeros((len(LABELS), 80))
    shift_lg[1, :30], shift_lg[2, 30:60] = strength * rng.choice([-1, 1], 30), 1.0
    of_series_sg = rng.normal(0, series, (n_series, 80))
    rate_ng = np.exp(2.0 + shift_lg[label_n] + of_series_sg[series_n])
    obs = pd.DataFrame(
        {"cell_type": [LABELS[k] for k in label_n], "batch": [f"GSE{s}" for s in series_n]},
        index=[f"s{i}" for i in range(n)],
    )
    var = pd.DataFrame(index=[f"G{j}" for j in range(80)])
    return ad.AnnData(sp.csr_matrix(rng.poisson(rate_ng).astype(np.int32)), obs, var)


class Peeking(Synthesis):
    """Returns samples like the held-out ones, which no honest arm can know."""

    name = "peeking"
    told = "held-out samples"
    problem: Problem | None = None

    def draw(self, given):
        assert self.problem is not None
        of = self.problem
        held_md = of.test_md[of.test_code_m == of.target]
        rng = given.generator("peeking")
        x_sd = held_md[rng.integers(len(held_md), size=given.n_wanted)]
        return x_sd + 0.05 * rng.standard_normal(x_sd.shape), ()


class Noted(Synthesis):
    """Copies, and a line in a file for every call."""

    told = "samples of the label"

    def __init__(self, log: Path, name: str = "noted") -> None:
        self.name, self._log = name, log

    def draw(self, given):
        with self._log.open("a") as file:
            file.write(f"{given.seed} {len(given.x_nd)}\n")
        return given.own_cd[given.generator("x").integers(len(given.own_cd), size=given.n_wanted)], ("copied",)


class Crashing:
    """Never gives an answer."""

    name, told, kind = "crashing", "nothing", "synthetic"

    def __call__(self, given):
        time.sleep(0)
        raise RuntimeError("out of luck")
