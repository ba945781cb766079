"""Real cells for the tests of pairs: counts rebuilt exactly from a small PBMC set, in three chunks of different clusters."""

from __future__ import annotations

import warnings
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

__all__ = ["LOUVAIN_CHUNKS", "chunk_files", "chunks", "imitated", "logged", "pbmc68k", "small_rules"]

#: Louvain clusters of each of the three chunks.
LOUVAIN_CHUNKS = (("0", "3", "6", "9"), ("1", "4", "7", "10"), ("2", "5", "8"))


@cache
def _pbmc68k() -> Any:
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
    obs = given.obs[["bulk_labels", "louvain"]].astype(str)
    # Every cluster gets four donors, so that each chunk can be split by donor.
    obs["donor"] = [f"d{place % 4}-{cluster}" for place, cluster in enumerate(obs["louvain"])]
    obs["batch"] = ["ab"[place % 2] for place in range(len(obs))]
    obs = obs.rename(columns={"bulk_labels": "cell_type"})
    out = AnnData(X=sp.csr_matrix(counts_ng.astype(np.float32)), obs=obs)
    out.var_names = given.raw.var_names
    out.layers["logged"] = sp.csr_matrix(log_ng.astype(np.float32))
    return out


def pbmc68k() -> Any:
    """700 cells x 765 genes of raw counts; obs: ``cell_type``, ``louvain``, ``donor`` and ``batch``."""
    return _pbmc68k().copy()


def chunks() -> list[Any]:
    """The same cells in three sources of different louvain clusters."""
    whole = pbmc68k()
    del whole.layers["logged"]
    return [whole[whole.obs["louvain"].isin(clusters).to_numpy()].copy() for clusters in LOUVAIN_CHUNKS]


def chunk_files(folder: Path) -> list[Path]:
    """The three chunks as files ``part0.h5ad`` to ``part2.h5ad``."""
    paths = [folder / f"part{k}.h5ad" for k in range(3)]
    for path, part in zip(paths, chunks(), strict=True):
        part.write_h5ad(path)
    return paths


def logged() -> Any:
    """The cells with log-normalised values in ``X``."""
    out = pbmc68k()
    out.X = out.layers.pop("logged")
    return out


def imitated() -> Any:
    """The cells with the integer ceiling of exp(x) - 1 of log-normalised values in ``X``: whole numbers, but no counts."""
    out = logged()
    out.X.data = np.ceil(np.expm1(out.X.data) - 1e-4)
    return out


def small_rules(**other: Any) -> Any:
    """Rules that fit a selection of 765 genes."""
    from corpuscle.corpus.pairs.prepare import QCRules

    return QCRules(**({"min_cells": 3, "min_genes": 50, "mito_percent": 20.0, "min_batch_genes": 50} | other))
