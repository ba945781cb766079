"""Input for the corpus benchmark: real cells resampled, in the size and density of the reference's recorded runs."""

from __future__ import annotations

from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp

GOLDEN = Path(__file__).parent.parent / "tests" / "corpus" / "golden" / "input.h5ad"
N_GENES = 32_786
BLOCK = 2_000
#: Brings the tokens a cell to about 1,080 and 2,030; the recorded runs had 1,114 and 2,008.
THINNED = 0.02


def profile(seed: int = 0) -> tuple[sp.csr_matrix, list[str]]:
    """200 real cells over 32,786 genes: those of the golden file, and as many more that no vocabulary knows, whose
    counts are those of other genes, thinned so that 87 % of the detected genes are in the vocabulary."""
    cells = ad.read_h5ad(GOLDEN)
    rng = np.random.default_rng(seed)
    others = rng.choice(cells.n_vars, N_GENES - cells.n_vars)
    rest = sp.csr_matrix(cells.X)[:, others] * THINNED
    names = [*cells.var["ensembl_id"].astype(str), *(f"ENSG9{i:010d}" for i in range(rest.shape[1]))]
    return sp.hstack([sp.csr_matrix(cells.X), rest], format="csr").astype(np.float64), names


def resampled(rate: sp.csr_matrix, n: int, summed: int, scale: float, rng: np.random.Generator) -> sp.csr_matrix:
    """n cells, Poisson around ``scale`` times the sum of so many real cells drawn at random."""
    drawn = rng.integers(rate.shape[0], size=(n, summed)).ravel()
    pick = sp.csr_matrix((np.full(drawn.size, scale), (np.repeat(np.arange(n), summed), drawn)), (n, rate.shape[0]))
    mean = (pick @ rate).tocsr()
    mean.data = rng.poisson(mean.data).astype(np.float32)
    mean.eliminate_zeros()
    mean.sort_indices()
    mean.indices = mean.indices.astype(np.int32)
    return mean


def scale_for(detected: float, rate: sp.csr_matrix, summed: int, seed: int = 1) -> float:
    """The scale at which a cell has so many detected genes, by bisection on 300 cells."""
    low, high = 1e-3, 1e3
    for _ in range(30):
        middle = float(np.sqrt(low * high))
        found = resampled(rate, 300, summed, middle, np.random.default_rng(seed)).nnz / 300
        low, high = (middle, high) if found < detected else (low, middle)
    return middle


def write(path: Path, n: int, detected: float, summed: int, *, compression: str | None = None, seed: int = 2) -> None:
    """An h5ad as AnnData writes it: float32 CSR, n_counts, one attribute of the cells; block by block."""
    rate, names = profile()
    scale = scale_for(detected, rate, summed)
    rng = np.random.default_rng(seed)
    var = pd.DataFrame({"ensembl_id": names}, index=pd.Index(names, dtype=object))
    totals, indptr = [], [np.zeros(1, np.int64)]
    first = resampled(rate, 1, summed, scale, rng)
    frame = pd.DataFrame({"n_counts": np.zeros(1), "kind": ["a"]}, index=pd.Index(["0"], dtype=object))
    ad.AnnData(first, obs=frame, var=var).write_h5ad(path, compression=compression)
    with h5py.File(path, "r+") as file:
        x = file["X"]
        for name, dtype in (("data", "f4"), ("indices", "i4")):
            del x[name]
            x.create_dataset(name, (0,), dtype, maxshape=(None,), chunks=(1 << 17,), compression=compression)
        for start in range(0, n, BLOCK):
            block = resampled(rate, min(BLOCK, n - start), summed, scale, rng)
            at = x["data"].shape[0]
            for name in ("data", "indices"):
                x[name].resize((at + block.nnz,))
                x[name][at:] = getattr(block, name)
            indptr.append(block.indptr[1:].astype(np.int64) + at)
            totals.append(np.asarray(block.sum(axis=1)).ravel())
        del x["indptr"]
        x.create_dataset("indptr", data=np.concatenate(indptr))
        x.attrs["shape"] = np.array([n, len(names)], np.int64)
        del file["obs"]
        obs = pd.DataFrame(
            {
                "n_counts": np.concatenate(totals).astype(np.float64),
                "kind": pd.Categorical(["a", "b"] * (n // 2) + ["a"] * (n % 2)),
            },
            index=pd.Index([str(i) for i in range(n)], dtype=object),
        )
        ad.io.write_elem(file, "obs", obs)
