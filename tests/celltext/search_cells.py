"""Real PBMCs with raw counts, a folder of pairs made of most of them, and a small model trained on it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

__all__ = ["TEMPLATE", "Made", "made_in", "pbmc"]

TEMPLATE = "This is a {cell_type} cell."
#: Types that differ clearly.
KEPT = {
    "CD14+ Monocyte": "monocyte",
    "CD19+ B": "B",
    "CD56+ NK": "natural killer",
    "CD4+/CD25 T Reg": "regulatory T",
}


@dataclass(frozen=True)
class Made:
    """Where the folder of pairs, the file of cells that it does not have, and the saved model are."""

    pairs: Path
    new: Path
    model: Path


@cache
def _pbmc() -> Any:
    from anndata import AnnData, read_h5ad

    spec = find_spec("scanpy")  # the file inside it, without the seconds that importing it takes
    assert spec is not None and spec.origin is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        given = read_h5ad(Path(spec.origin).parent / "datasets" / "10x_pbmc68k_reduced.h5ad")
    given = given[given.obs["bulk_labels"].isin(list(KEPT)).to_numpy()].copy()
    log_ng = np.asarray(given.raw.X.todense(), np.float64)
    counts_ng = np.rint(np.expm1(log_ng) * given.obs["n_counts"].to_numpy(np.float64)[:, None] / 10_000)
    out = AnnData(X=sp.csr_matrix(counts_ng.astype(np.float32)), obs=given.obs[[]].copy())
    out.obs["cell_type"] = [KEPT[label] for label in given.obs["bulk_labels"]]
    out.var_names = given.raw.var_names
    return out


def pbmc() -> Any:
    """The cells of four types: raw counts of 765 genes."""
    return _pbmc().copy()


def made_in(folder: Path) -> Made:
    """Train on two thirds of the cells; the command does all of it."""
    from corpuscle.cli import main

    cells = pbmc()
    new_n = np.arange(cells.n_obs) % 3 == 0
    made = Made(folder / "old.pairs", folder / "new.h5ad", folder / "old.model")
    cells[~new_n].write_h5ad(folder / "old.h5ad")
    new = cells[new_n].copy()
    rng = np.random.default_rng(0)
    new.obsm["X_umap"] = rng.normal(size=(new.n_obs, 2))
    new.write_h5ad(made.new)
    pair = ["--caption", TEMPLATE, "--random-split", "--no-qc", "--embeddings", "pca:n_components=12,hvg:n=64"]
    assert main(["corpus", "pair", str(folder / "old.h5ad"), *pair, "-o", str(made.pairs)]) == 0
    train = ["--key", "X_pca", "--epochs", "8", "--dim", "32", "--batch-size", "32"]
    assert main(["train", "cell-text", str(made.pairs), *train, "-o", str(made.model)]) == 0
    return made
