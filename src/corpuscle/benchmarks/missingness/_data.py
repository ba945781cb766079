"""Complete values to lose entries of: cells of a count matrix, a complete table, or a simulation with known clusters."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from corpuscle.benchmarks._labelled import ALL, DataSet, LabelledCells, data_sets
from corpuscle.benchmarks._provenance import sha256
from corpuscle.benchmarks._sources import Unread, each_data_set
from corpuscle.benchmarks.missingness.methods import N_COORDINATES
from corpuscle.errors import OptionError, SourceError
from corpuscle.normalize.log1p_cp10k import Log1pCP10k
from corpuscle.seeds import stream

__all__ = ["Complete", "TruthSource", "complete_cells", "complete_table", "simulated", "stratified", "truths"]

Array = np.ndarray[Any, Any]

#: Files that are taken as complete tables; everything else is opened as raw counts.
TABLES = (".npy", ".csv", ".tsv")
#: Fewer cells or genes leave no neighbours or subspaces to compare.
FEWEST = 20
SIMULATED_ROWS, SIMULATED_FEATURES = 600, 3000
SIMULATED_APART = 1.5


@dataclass(frozen=True)
class Complete:
    """Complete values of one draw.

    Attributes
    ----------
    x_nd
        (n, d) float64, nothing missing.
    code_n
        (n,) int64 type of each row, or None.
    types
        Their names.
    n_coordinates
        Leading coordinates that are compared: 10, or the true number of factors of a simulation.
    """

    x_nd: Array
    code_n: Array | None
    types: tuple[str, ...]
    n_coordinates: int = N_COORDINATES


@dataclass
class TruthSource:
    """A data set, from which each seed draws complete values.

    Attributes
    ----------
    name, path, sha256
        Unique name, where it came from, and checksum.
    described
        What a run on it depends on.
    draw
        Seed in, :class:`Complete` out; reads what it needs when it is first called.
    notes
        What was left out, a line each; known after the first draw.
    release
        Forgets what was read.
    """

    name: str
    path: str
    sha256: str
    described: Mapping[str, Any]
    draw: Callable[[int], Complete] = field(repr=False)
    notes: Callable[[], Sequence[str]] = field(default=lambda: (), repr=False)
    release: Callable[[], None] = field(default=lambda: None, repr=False)


def truths(
    sources: Sequence[Any],
    labels: str = "cell_type",
    *,
    layer: str | None = None,
    genes: int = 1000,
    max_cells: int = 600,
    features: Sequence[int] = (),
) -> Iterator[TruthSource | Unread]:
    """Each source in turn, then the simulations; one that cannot be found does not stop the others.

    Parameters
    ----------
    sources
        Paths, globs or AnnData of raw counts with labels, and paths of complete tables: ``.npy``, or ``.csv`` or
        ``.tsv`` with names of rows and columns, where a column ``labels`` has the types. Tables are taken as they are.
    labels, layer
        Column with the true types, and layer with the raw counts.
    genes
        Most variable genes that are kept.
    max_cells
        Cells, or rows, that a seed draws at most, from each type its share.
    features
        Numbers of features of simulations to add, see :func:`simulated`.

    Raises
    ------
    OptionError
        ``genes``, ``max_cells`` or ``features`` make no sense.
    """
    for what, value in (("genes", genes), ("max_cells", max_cells)):
        if value < FEWEST:
            raise OptionError(f"{what}={value} leaves too little to compare neighbours; give {FEWEST} or more")
    made = [_simulation(count) for count in features]  # refused before any work is done

    def opened(name: str, item: Any) -> TruthSource:
        if isinstance(item, Path) and item.suffix.lower() in TABLES:
            return _of_table(name, item, labels, max_cells)
        return _of_counts(name, item, labels, layer, {"genes": genes, "max_cells": max_cells})

    yield from each_data_set(sources, ALL, opened)
    yield from made


def complete_cells(cells: LabelledCells, seed: int, *, genes: int = 1000, max_cells: int = 600) -> Complete:
    """Complete values of some cells: log1p of counts per 10,000, of the genes that vary most among these cells.

    Zeros are taken as values here, since the counts are the truth from which entries are lost.

    Parameters
    ----------
    cells
        Labelled counts.
    seed
        Which cells.
    genes, max_cells
        How many at most; each type gives its share of the cells.

    Raises
    ------
    SourceError
        Too few cells or genes are left.
    """
    kept_n = stratified(cells.code_n, max_cells, stream(seed, cells.name, "cells"))
    x_ng = sp.csr_matrix(cells.counts.X[kept_n], dtype=np.float64)
    depth_n = np.asarray(x_ng.sum(axis=1)).ravel()
    x_ng.data = Log1pCP10k().values(x_ng.data, np.empty(0), np.repeat(depth_n, np.diff(x_ng.indptr)))
    gene_d = _most_variable(x_ng, genes)
    x_nd = x_ng[:, gene_d].toarray()
    return Complete(_checked(cells.name, x_nd), *_types(cells.code_n[kept_n], cells.types))


def complete_table(name: str, x_nd: Array, label_n: Array | None, seed: int, *, max_rows: int = 600) -> Complete:
    """Complete values of some rows of a table as they are; columns in which these rows do not differ are left out.

    Raises
    ------
    SourceError
        A value is missing or infinite, so there is no truth, or too little is left.
    """
    bad = np.argwhere(~np.isfinite(x_nd))
    if bad.size:
        row, column = bad[0]
        raise SourceError(f"{name}: row {row}, column {column} is no finite number; it takes a table without holes")
    names, code_n = ((), None) if label_n is None else np.unique(np.asarray(label_n, str), return_inverse=True)
    strata_n = np.zeros(len(x_nd), np.int64) if code_n is None else code_n
    kept_n = stratified(strata_n, max_rows, stream(seed, name, "cells"))
    x_nd = x_nd[kept_n]
    x_nd = x_nd[:, np.ptp(x_nd, axis=0) > 0] if len(x_nd) else x_nd
    about = (None, ()) if code_n is None else _types(code_n[kept_n], tuple(map(str, names)))
    return Complete(_checked(name, x_nd), *about)


def simulated(features: int, seed: int) -> Complete:
    """Three clusters in two factors, as in the demonstration of Ling, Liu & Xue, UAI 2021; 600 x ``features``.

    Factors are cluster centres, each axis (U(0,1) - .5) x 5, plus noise of variance .01; loadings of 3,000 features
    U(-.5, .5), means 3 and noise with standard deviation 2, both within 10 %; a random subset of the features is kept.
    Centres are drawn again until every two are 1.5 apart, since the published draw is one whose clusters the complete
    data tell apart.
    """
    rng = stream(seed, "simulated")  # not of the number of features, so that one is a subset of the other
    code_n = np.arange(SIMULATED_ROWS) % 3
    factor_nk = _apart(rng)[code_n] + rng.normal(0, 0.1, (SIMULATED_ROWS, 2))
    loading_kd = rng.uniform(-0.5, 0.5, (2, SIMULATED_FEATURES))
    mean_d, noise_d = 3 * rng.uniform(0.9, 1.1, SIMULATED_FEATURES), 2 * rng.uniform(0.9, 1.1, SIMULATED_FEATURES)
    noise_nd = rng.standard_normal((SIMULATED_ROWS, SIMULATED_FEATURES)) * noise_d
    kept_d = rng.permutation(SIMULATED_FEATURES)[:features]
    x_nd = (factor_nk @ loading_kd + mean_d + noise_nd)[:, np.sort(kept_d)]
    return Complete(x_nd, code_n, ("cluster 1", "cluster 2", "cluster 3"), n_coordinates=2)


def _apart(rng: np.random.Generator) -> Array:
    """(3, 2) centres."""
    while True:
        centre_ck = (rng.random((3, 2)) - 0.5) * 5
        if min(np.linalg.norm(centre_ck - np.roll(centre_ck, 1, axis=0), axis=1)) >= SIMULATED_APART:
            return np.asarray(centre_ck)


def stratified(code_n: Array, size: int, rng: np.random.Generator) -> Array:
    """Sorted rows of a random part of at most ``size``, to which every stratum gives its share."""
    n = len(code_n)
    if n <= size:
        return np.arange(n)
    shuffled_n = rng.permutation(n)
    order_n = shuffled_n[np.argsort(code_n[shuffled_n], kind="stable")]
    size_c = np.bincount(code_n)
    first_c = np.cumsum(size_c) - size_c
    code_sorted_n = code_n[order_n]
    # Places of the rows of a stratum, spread evenly over (0, 1): the first of all strata together are in proportion.
    place_n = (np.arange(n) - first_c[code_sorted_n] + rng.random(len(size_c))[code_sorted_n]) / size_c[code_sorted_n]
    return np.sort(order_n[np.argsort(place_n, kind="stable")[:size]])


def _most_variable(x_ng: sp.csr_matrix, count: int) -> Array:
    """Sorted columns with the largest variances, those without any left out."""
    mean_g = np.asarray(x_ng.mean(axis=0)).ravel()
    variance_g = np.asarray(x_ng.multiply(x_ng).mean(axis=0)).ravel() - mean_g**2
    order_g = np.argsort(-variance_g, kind="stable")[:count]
    return np.sort(order_g[variance_g[order_g] > 1e-12])


def _types(code_n: Array, types: Sequence[str]) -> tuple[Array, tuple[str, ...]]:
    """Codes and names of the types that are present."""
    there, code_n = np.unique(code_n, return_inverse=True)
    return code_n.astype(np.int64), tuple(types[place] for place in there)


def _checked(name: str, x_nd: Array) -> Array:
    if min(x_nd.shape) < FEWEST:
        raise SourceError(
            f"{name}: {x_nd.shape[0]:,} rows x {x_nd.shape[1]:,} columns that vary are too few to compare neighbours "
            f"and subspaces; it takes {FEWEST} of each"
        )
    return np.ascontiguousarray(x_nd, np.float64)


def _of_counts(name: str, item: Any, labels: str, layer: str | None, size: dict[str, int]) -> TruthSource:
    (data,) = data_sets([item], labels, layer, depends=size)
    if not isinstance(data, DataSet):
        raise data.error
    data.name = name
    return TruthSource(
        name, data.path, data.sha256, data.described,
        lambda seed: complete_cells(data.read(), seed, **size), lambda: data.notes, data.release,
    )  # fmt: skip


def _of_table(name: str, path: Path, labels: str, max_rows: int) -> TruthSource:
    if not path.exists():
        raise SourceError(f"{path}: there is no such file; check the path")
    kept: list[tuple[Array, Array | None]] = []

    def draw(seed: int) -> Complete:
        if not kept:
            kept.append(_read_table(path, labels))
        return complete_table(name, *kept[0], seed, max_rows=max_rows)

    digest = sha256(path)
    described = {"sha256": digest, "labels": labels, "max_cells": max_rows}
    return TruthSource(name, str(path), digest, described, draw, release=kept.clear)


def _read_table(path: Path, labels: str) -> tuple[Array, Array | None]:
    """(n, d) float64 values, and (n,) labels where the table has such a column."""
    try:
        if path.suffix.lower() == ".npy":
            x_nd, label_n = np.load(path, allow_pickle=False), None
        else:
            table = pd.read_csv(path, sep="," if path.suffix.lower() == ".csv" else "\t", index_col=0)
            label_n = table.pop(labels).to_numpy(str) if labels in table else None
            x_nd = table.to_numpy()
        x_nd = np.asarray(x_nd, np.float64)
    except (ValueError, TypeError, EOFError, pd.errors.ParserError) as error:
        raise SourceError(f"{path}: is no table of numbers ({' '.join(str(error).split())[:200]})") from None
    if x_nd.ndim != 2:
        raise SourceError(f"{path}: has {x_nd.ndim} axes; it takes rows and columns")
    return x_nd, label_n


def _simulation(features: int) -> TruthSource:
    if not FEWEST <= features <= SIMULATED_FEATURES:
        raise OptionError(f"features={features}: a simulation has {FEWEST} to {SIMULATED_FEATURES:,} features")
    name = f"simulated:features={features}"
    digest = hashlib.sha256(name.encode()).hexdigest()
    return TruthSource(name, name, digest, {"name": name}, lambda seed: simulated(features, seed))
