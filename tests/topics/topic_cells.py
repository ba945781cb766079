"""Cells with planted programs, gene sets that name them, and methods that know them: the truth of these tests."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

from corpuscle.benchmarks.topics import GeneSets, TopicCells, Topics

N_CELLS, N_PROGRAMS, N_EACH = 120, 3, 30
GENES = [f"GENE{i}" for i in range(N_PROGRAMS * N_EACH + 30)]


def planted(seed: int = 0, labels: str | None = "cell_type") -> ad.AnnData:
    """Counts of which every third of the cells uses a program of 30 genes of its own."""
    rng = np.random.default_rng(seed)
    type_n = np.arange(N_CELLS) % N_PROGRAMS
    rate_ng = np.full((N_CELLS, len(GENES)), 0.3)
    for k in range(N_PROGRAMS):
        rate_ng[type_n == k, k * N_EACH : (k + 1) * N_EACH] = 4.0
    obs = pd.DataFrame(index=[f"cell{i}" for i in range(N_CELLS)])
    if labels:
        obs[labels] = [f"type{k}" for k in type_n]
    counts = sp.csr_matrix(rng.poisson(rate_ng).astype(np.int32))
    return ad.AnnData(counts, obs=obs, var=pd.DataFrame(index=GENES))


def planted_sets() -> GeneSets:
    """One set a program, halves of them, and sets of nothing in particular."""
    sets = {f"P{k}": tuple(GENES[k * N_EACH : (k + 1) * N_EACH]) for k in range(N_PROGRAMS)}
    sets |= {f"every{i}": tuple(GENES[i::6]) for i in range(6)}
    return GeneSets(sets, dict.fromkeys(sets, "planted"))


class Knowing:
    """Gives the planted programs, plus empty topics, with noise of the seed; counts its fits."""

    def __init__(self, name: str = "knowing") -> None:
        self.name = name
        self._seen: list[TopicCells] = []

    @property
    def fits(self) -> int:
        return len(self._seen)

    def fit(self, cells: TopicCells, *, n_topics: int, seed: int) -> Topics:
        self._seen.append(cells)
        rng = np.random.default_rng(seed)
        number_g = np.array([int(gene.removeprefix("GENE")) for gene in cells.genes])
        weight_kg = 0.01 * rng.random((n_topics, number_g.size))
        for k in range(N_PROGRAMS):
            weight_kg[k, number_g // N_EACH == k] += 1.0
        score_nk = cells.log_ng @ weight_kg.T
        return Topics(np.asarray(score_nk), weight_kg, cells.genes, {"negative": -weight_kg})


class Blind(Knowing):
    """Noise, and no topic of any cell."""

    def fit(self, cells: TopicCells, *, n_topics: int, seed: int) -> Topics:
        rng = np.random.default_rng(seed + 100)
        return Topics(rng.random((cells.n_cells, n_topics)), rng.random((n_topics, len(cells.genes))), cells.genes)


class Failing(Blind):
    """Cannot do its second seed."""

    def fit(self, cells: TopicCells, *, n_topics: int, seed: int) -> Topics:
        if seed == 1:
            raise RuntimeError("no luck\nwith this seed")
        return super().fit(cells, n_topics=n_topics, seed=seed)


class Turned(Knowing):
    """Gives genes x topics."""

    def fit(self, cells: TopicCells, *, n_topics: int, seed: int) -> Topics:
        found = super().fit(cells, n_topics=n_topics, seed=seed)
        return Topics(found.cell_topic_nk, found.topic_gene_kg.T, found.genes)


class Spoiling(Knowing):
    """Changes what it is given."""

    def fit(self, cells: TopicCells, *, n_topics: int, seed: int) -> Topics:
        cells.counts_ng.data[:] = 0
        cells.log_ng.data[:] = 0
        cells.genes.reverse()
        raise MemoryError("spoilt")
