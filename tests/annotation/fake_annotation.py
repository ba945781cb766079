"""Small labelled counts whose types show in the counts, and scores and refinements that behave and misbehave."""

from __future__ import annotations

import sys
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

from corpuscle.annotate.scores import Scores
from corpuscle.benchmarks.annotation import Refined, Scored

N_TYPES, MARKERS = 3, 6
LABELS = ("B cell", "monocyte", "natural killer cell")
SYMBOLS = [
    "CD79A", "CD79B", "MS4A1", "CD19", "BANK1", "CD22", "LYZ", "CD14", "S100A8", "S100A9", "FCN1", "VCAN", "NKG7", "GNLY",
    "KLRD1", "KLRF1", "NCAM1", "PRF1",
]  # fmt: skip


def made_cells(n: int = 90, seed: int = 0, labels=LABELS) -> ad.AnnData:
    """Three types of cells, each with six marker genes of its own, and twelve genes that tell nothing."""
    rng = np.random.default_rng(seed)
    type_n = np.sort(np.arange(n) % N_TYPES)
    rate_ng = np.full((n, N_TYPES * MARKERS + 12), 0.8)
    for k in range(N_TYPES):
        rate_ng[type_n == k, k * MARKERS : (k + 1) * MARKERS] = 8.0
    obs = pd.DataFrame(
        {"cell_type": [labels[k] for k in type_n], "batch": [f"b{i % 2}" for i in range(n)]},
        index=[f"c{i}" for i in range(n)],
    )
    var = pd.DataFrame(index=[*SYMBOLS, *(f"ACT{j}" for j in range(12))])
    return ad.AnnData(sp.csr_matrix(rng.poisson(rate_ng).astype(np.int32)), obs, var)


class Marked:
    """Counts of each type's markers, wrong for some cells; notes down every call."""

    told = "the types"
    needs_labels = False

    def __init__(self, name: str = "marked", wrong: float = 0.2, log: Path | None = None) -> None:
        self.name, self.wrong, self._log = name, wrong, log

    def __call__(self, draw, seed):
        if self._log:
            with self._log.open("a") as file:
                file.write(f"{draw.cells.name} {self.name} {seed}\n")
        x_ng = draw.counts.X.toarray()
        values_nk = np.stack([x_ng[:, k * MARKERS : (k + 1) * MARKERS].sum(1) for k in range(N_TYPES)], 1).astype(float)
        rng = np.random.default_rng(seed)
        spoilt = rng.random(draw.n_cells) < self.wrong
        values_nk[spoilt] = rng.permuted(values_nk[spoilt], axis=1)
        return Scored(Scores(values_nk, draw.cells.types, draw.cells.cl_ids, self.name), np.arange(N_TYPES))


class Spy(Marked):
    """Keeps what it was given."""

    def __init__(self, needs_labels: bool = False) -> None:
        super().__init__("spy")
        self.needs_labels = needs_labels
        self._seen: list = []

    def __call__(self, draw, seed):
        self._seen.append(draw)
        return super().__call__(draw, seed)


class BadScores(Marked):
    """Fails in the way that its name says."""

    def __call__(self, draw, seed):
        found = super().__call__(draw, seed)
        if self.name == "raises":
            raise ValueError("no\nluck")
        if self.name == "exits":
            sys.exit("enough")
        if self.name == "short":
            return Scored(Scores(found.scores.values_nk[:-1], draw.cells.types), found.code_k)
        if self.name == "unmapped":
            return Scored(found.scores, np.arange(2))
        return None


class Mode:
    """Gives every cell the first type, or fails in the way that its name says."""

    def __init__(self, name: str = "mode", log: Path | None = None) -> None:
        self.name, self._log = name, log

    def __call__(self, values_nk, graph, types, seed):
        if self._log:
            with self._log.open("a") as file:
                file.write(f"{self.name} {seed}\n")
        n = len(values_nk)
        if self.name == "raises":
            raise RuntimeError("no\nluck")
        if self.name == "spoils":
            values_nk[:] = 0
        if self.name == "beyond":
            return Refined(np.full(n, len(types)), np.ones(n))
        if self.name == "nothing":
            return None
        return Refined(np.zeros(n, np.int64), np.full(n, np.nan if self.name == "unsure" else 1.0))
