"""Small labelled counts, and methods and masks that behave and misbehave."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

from corpuscle.benchmarks.missingness import Found, Mask
from corpuscle.benchmarks.missingness.metrics import coordinates, squared_distances

LABELS = ("B cell", "monocyte", "natural killer cell")
N_TYPES, MARKERS, OTHERS = 3, 12, 30


def made_cells(n: int = 60, seed: int = 0, labels=LABELS) -> ad.AnnData:
    """Three types of cells, each with marker genes of its own, and genes that tell nothing."""
    rng = np.random.default_rng(seed)
    type_n = np.arange(n) % N_TYPES
    rate_ng = np.full((n, N_TYPES * MARKERS + OTHERS), 1.0)
    for k in range(N_TYPES):
        rate_ng[type_n == k, k * MARKERS : (k + 1) * MARKERS] = 8.0
    obs = pd.DataFrame({"cell_type": [labels[k] for k in type_n]}, index=[f"c{i}" for i in range(n)])
    var = pd.DataFrame(index=[f"G{j}" for j in range(rate_ng.shape[1])])
    return ad.AnnData(sp.csr_matrix(rng.poisson(rate_ng).astype(np.int32)), obs, var)


def filled(x_nd) -> Found:
    """Inner products of the table with its holes filled by column means."""
    x_nd = np.where(np.isnan(x_nd), np.nanmean(x_nd, axis=0), x_nd)
    x_nd = x_nd - x_nd.mean(axis=0)
    gram_nn = x_nd @ x_nd.T
    return Found(gram_nn, squared_distances(gram_nn), coordinates(gram_nn, 10), 0.0)


class Plain:
    """Fills with means; notes down every call, and keeps what it was given."""

    told = "nothing"

    def __init__(self, name: str = "plain", log: Path | None = None, needs_p: bool = False) -> None:
        self.name, self.needs_p, self._log = name, needs_p, log
        self._seen: list = []

    def __call__(self, given):
        self._seen.append(given)
        if self._log:
            with self._log.open("a") as file:
                file.write(f"{self.name} {given.seed}\n")
        return filled(given.x_nd)


class Bad(Plain):
    """Fails in the way that its name says."""

    def __call__(self, given):
        found = filled(given.x_nd)
        if self.name == "raises":
            raise ValueError("no\nluck")
        if self.name == "exits":
            sys.exit("enough")
        if self.name == "short":
            return Found(found.gram_nn[:-1], found.d2_nn, found.coords_nk, 0.0)
        if self.name == "undefined":
            return Found(found.gram_nn * np.nan, found.d2_nn, found.coords_nk, 0.0)
        return None


@dataclass
class BadMask(Mask):
    """Loses nothing, since it raises."""

    kind = "random"
    word = "bad_mask"

    def draw(self, truth_nd, rng):
        raise RuntimeError("no holes")
