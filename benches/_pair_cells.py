"""Input for the pairs benchmark: the bundled blood cells resampled to any number, with donors and rough cell types."""

from __future__ import annotations

from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp

from benches._cells import resampled
from corpuscle.datasets import bundled_path

BLOCK = 4_000
DONORS = 20
#: A cell is called after the marker that it has most of: rough, but real enough for captions and negatives.
MARKERS = {
    "T cell": "CD3D",
    "B cell": "MS4A1",
    "monocyte": "CD14",
    "nonclassical monocyte": "FCGR3A",
    "natural killer cell": "NKG7",
    "dendritic cell": "FCER1A",
    "platelet": "PPBP",
}
#: More counts than the real cell has, so that a resampled one detects about as many genes.
SCALE = 1.5


def write(path: Path, n: int, seed: int = 0) -> None:
    """An h5ad of n cells, int32 counts as CSR, ``obs`` with cell_type, donor and tissue; block by block."""
    source = ad.read_h5ad(bundled_path("pbmc_1k_v3"))
    rate = sp.csr_matrix(source.X).astype(np.float64)
    rng = np.random.default_rng(seed)
    var = pd.DataFrame(index=pd.Index(list(source.var_names), dtype=object))
    ad.AnnData(sp.csr_matrix((1, source.n_vars), dtype=np.int32), var=var).write_h5ad(path)
    kinds, indptr = [], [np.zeros(1, np.int64)]
    with h5py.File(path, "r+") as file:
        x = file["X"]
        for name in ("data", "indices"):
            del x[name]
            x.create_dataset(name, (0,), "i4", maxshape=(None,), chunks=(1 << 17,))
        for start in range(0, n, BLOCK):
            block = resampled(rate, min(BLOCK, n - start), 1, SCALE, rng)
            at = x["data"].shape[0]
            for name in ("data", "indices"):
                x[name].resize((at + block.nnz,))
                x[name][at:] = getattr(block, name).astype(np.int32)
            indptr.append(block.indptr[1:].astype(np.int64) + at)
            kinds.append(_kinds(block, source.var_names))
        del x["indptr"], file["obs"]
        x.create_dataset("indptr", data=np.concatenate(indptr))
        x.attrs["shape"] = np.array([n, source.n_vars], np.int64)
        ad.io.write_elem(file, "obs", _obs(np.concatenate(kinds), rng))


def _kinds(x_ng: sp.csr_matrix, genes: pd.Index) -> np.ndarray:
    marked_nk = x_ng[:, genes.get_indexer(list(MARKERS.values()))].toarray()
    return np.where(marked_nk.any(axis=1), np.array(list(MARKERS))[marked_nk.argmax(axis=1)], "blood cell")


def _obs(kind_n: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
    donor = [f"donor {i:02d}" for i in range(DONORS)]
    return pd.DataFrame(
        {
            "cell_type": pd.Categorical(kind_n),
            "donor": pd.Categorical(np.array(donor)[rng.integers(DONORS, size=kind_n.size)]),
            "tissue": pd.Categorical(["blood"] * kind_n.size),
        },
        index=pd.Index([f"cell{i:07d}" for i in range(kind_n.size)], dtype=object),
    )
