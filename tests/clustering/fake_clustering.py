"""Small labelled counts whose types show in the counts, methods that behave and misbehave, and results made by hand."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

from corpuscle.benchmarks._attempt import Attempt
from corpuscle.benchmarks._parts import pack_frame, pack_labels
from corpuscle.benchmarks.clustering import Embedded
from corpuscle.benchmarks.clustering._data import DataSet
from corpuscle.benchmarks.clustering._entrants import Entrant
from corpuscle.benchmarks.clustering.options import Options
from corpuscle.benchmarks.clustering.tables import Tables
from corpuscle.report import Result

N_TYPES, MARKERS = 3, 4


def made_cells(n: int = 48, seed: int = 0) -> ad.AnnData:
    """Three types of cells, each with four marker genes of its own; the labels are ``secret_0`` to ``secret_2``."""
    rng = np.random.default_rng(seed)
    type_n = np.sort(rng.integers(N_TYPES, size=n))
    type_n[:N_TYPES] = range(N_TYPES)
    rate_ng = np.full((n, N_TYPES * MARKERS), 0.5)
    for k in range(N_TYPES):
        rate_ng[type_n == k, k * MARKERS : (k + 1) * MARKERS] = 20.0
    obs = pd.DataFrame({"cell_type": [f"secret_{k}" for k in type_n]}, index=[f"c{i}" for i in range(n)])
    var = pd.DataFrame(index=[f"g{j}" for j in range(rate_ng.shape[1])])
    return ad.AnnData(sp.csr_matrix(rng.poisson(rate_ng).astype(np.int32)), obs, var, uns={"answer": "secret_0"})


def by_markers(counts_ng: sp.csr_matrix) -> np.ndarray:
    """Counts of each type's markers, (n, 3)."""
    x_ng = counts_ng.toarray()
    return np.stack([x_ng[:, k * MARKERS : (k + 1) * MARKERS].sum(axis=1) for k in range(N_TYPES)], axis=1)


class Good:
    """Finds every type from the markers, and notes down every call, also in another process."""

    told = "nothing"

    def __init__(self, name: str = "good", log: str | None = None, noise: float = 0.0) -> None:
        self.name, self._log, self.noise = name, log, noise

    def __call__(self, cells, *, seed, n_types):
        if self._log:
            with Path(self._log).open("a") as file:
                file.write(f"{cells.name} {self.name} {seed}\n")
        rng = np.random.default_rng(seed)
        found_nd = by_markers(cells.counts_ng) + rng.normal(0, 0.1 + self.noise, (cells.n_cells, N_TYPES))
        return Embedded(embedding_nd=found_nd.astype(np.float32))


class Labels(Good):
    """Gives clusters; told the number of types."""

    told = "n_types"

    def __call__(self, cells, *, seed, n_types):
        super().__call__(cells, seed=seed, n_types=n_types)
        return Embedded(labels_n=by_markers(cells.counts_ng).argmax(axis=1) % n_types)


class Spy(Good):
    """Keeps what it was given."""

    def __init__(self, told: str = "nothing") -> None:
        super().__init__("spy")
        self.told = told
        self._seen: list = []

    def __call__(self, cells, *, seed, n_types):
        self._seen.append((cells, seed, n_types))
        return super().__call__(cells, seed=seed, n_types=n_types)


class Spoiler(Good):
    """Changes its input."""

    def __call__(self, cells, *, seed, n_types):
        found = super().__call__(cells, seed=seed, n_types=n_types)
        cells.counts_ng.data[:] = 1
        cells.genes.clear()
        return found


class Bad(Good):
    """Fails in the way that its name says."""

    def __call__(self, cells, *, seed, n_types):
        super().__call__(cells, seed=seed, n_types=n_types)
        if self.name == "raises":
            raise ValueError("no\nluck")
        if self.name == "exits":
            sys.exit("enough")
        if self.name == "dies":
            os._exit(7)
        if self.name == "dies_once":
            first = Path(f"{self._log}.died")
            if not first.exists():
                first.touch()
                os._exit(9)
            return Embedded(labels_n=by_markers(cells.counts_ng).argmax(axis=1))
        return {
            "nothing": None,
            "neither": Embedded(),
            "nan": Embedded(embedding_nd=np.full((cells.n_cells, 2), np.nan, np.float32)),
            "short": Embedded(embedding_nd=np.zeros((cells.n_cells - 1, 2), np.float32)),
            "constant": Embedded(embedding_nd=np.ones((cells.n_cells, 2), np.float32)),
        }[self.name]


TOLD_OF = {"oracle": "labels", "fixed": "nothing", "matched": "n_types", "kmeans": "n_types", "own": "nothing"}


def made_outcome(ari: dict[str, float], types=("A", "B"), seed: int = 0, told: dict | None = None) -> dict:
    """What a run would leave, with these ARI by protocol."""
    label_n = np.arange(20) % 2
    rows = [
        {"protocol": protocol, "told": (told or TOLD_OF)[protocol], "resolution": 1.0, "n_clusters": 2, "ari": value,
         "ami": value, "nmi": value, "acc": value, "silhouette": 0.1, "macro_f1": value, "rare_recall": np.nan, "n": 20,
         "reason": "rare_recall: no type is rare"}
        for protocol, value in ari.items()
    ]  # fmt: skip
    of_types = [
        {"protocol": protocol, "type": name, "cells": 10, "share": 0.5, "rare": False, "cluster": 0, "precision": np.nan,
         "recall": value, "f1": value, "majority_recall": value, "majority_f1": value}
        for protocol, value in ari.items() for name in types
    ]  # fmt: skip
    return {
        "scores": [pack_frame(pd.DataFrame(rows))], "sweep": [], "types": [pack_frame(pd.DataFrame(of_types))],
        "labels": {protocol: pack_labels((label_n + seed) % 2) for protocol in ari}, "n_types": 2, "n_genes": 5,
        "n_dims": 2, "seconds": 0.5, "peak_mib": 3.0,
    }  # fmt: skip


def made_result(scores: dict[str, list[dict[str, float] | str]], seeds=(0, 1), told=None, names=None, types=("A", "B")):
    """Result of methods (name -> for each data set ARI by protocol, or why it failed); ``told`` by method."""
    options = Options(seeds=tuple(seeds))
    tables = Tables(options)
    for i in range(max(map(len, scores.values()))):
        data = DataSet(names[i] if names else f"set{i}", f"set{i}.h5ad", "0" * 64, None, options)
        tables.add_input(data)
        for method, of_sets in scores.items():
            entrant = Entrant(method, (told or {}).get(method, "nothing"), None, {}, "")
            for seed in seeds:
                one = of_sets[i]
                done = isinstance(one, dict)
                answer = Attempt(made_outcome(one, types, seed)) if done else Attempt(stage="method", reason=one)
                tables.add(data, entrant, seed, answer)
        tables.close(data)
    return tables.result({"parameters": {"seed": seeds[0]}, "command": ["corpuscle", "bench"], "seconds": 1.0})


def as_result(result) -> Result:
    assert isinstance(result, Result)
    return result
