"""Real cells for the tests of the text benchmark: 700 PBMCs with types and groups, rebuilt as counts from what scanpy ships."""

from __future__ import annotations

import warnings
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

__all__ = ["TYPES", "data_set", "pbmc", "small_pbmc"]

#: Their ten types.
TYPES = (
    "CD14+ Monocyte", "CD19+ B", "CD34+", "CD4+/CD25 T Reg", "CD4+/CD45RA+/CD25- Naive T", "CD4+/CD45RO+ Memory",
    "CD56+ NK", "CD8+ Cytotoxic T", "CD8+/CD45RA+ Naive Cytotoxic", "Dendritic",
)  # fmt: skip


@cache
def _pbmc() -> Any:
    from anndata import AnnData, read_h5ad

    # The file inside scanpy, without the seconds that importing scanpy takes.
    spec = find_spec("scanpy")
    assert spec is not None and spec.origin is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        given = read_h5ad(Path(spec.origin).parent / "datasets" / "10x_pbmc68k_reduced.h5ad")
    log_ng = np.asarray(given.raw.X.todense(), np.float64)
    exact_ng = np.expm1(log_ng) * given.obs["n_counts"].to_numpy(np.float64)[:, None] / 10_000
    counts_ng = np.rint(exact_ng)
    assert np.abs(exact_ng - counts_ng).max() < 0.1
    obs = given.obs[["bulk_labels"]].astype(str).rename(columns={"bulk_labels": "cell_type"})
    obs["donor"] = [f"d{place % 5}" for place in range(len(obs))]
    out = AnnData(X=sp.csr_matrix(counts_ng.astype(np.float32)), obs=obs)
    out.var_names = given.raw.var_names
    return out


def pbmc() -> Any:
    """700 cells x 765 genes of raw counts; obs: ``cell_type`` (ten) and ``donor`` (five)."""
    return _pbmc().copy()


def small_pbmc(*types: str, each: int = 30) -> Any:
    """The first cells of some types (four by default)."""
    wanted = types or ("CD14+ Monocyte", "CD19+ B", "CD56+ NK", "Dendritic")
    whole = _pbmc()
    label_n = whole.obs["cell_type"].to_numpy(str)
    rows = np.concatenate([np.flatnonzero(label_n == name)[:each] for name in wanted])
    return whole[np.sort(rows)].copy()


def data_set(source: Any, **other: Any) -> Any:
    """A data set as the benchmark opens it."""
    from corpuscle.benchmarks._labelled import data_sets

    (found,) = data_sets([source], other.pop("labels", "cell_type"), **other)
    return found
