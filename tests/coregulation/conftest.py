"""Small made samples whose truth is known, and the bundled real ones."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from corpuscle.datasets import bundled_path

FAST = {"n_boot": 40, "n_null": 20, "n_null_refits": 1, "n_background": 60}


@pytest.fixture(scope="session")
def pbmc_path():
    return bundled_path("pbmc_1k_v3")


def made_reporter(n=300, g=260, seed=0, name="made", mean=6.0, depth_sd=0.0):
    """Cells whose reporter and target share a latent rate; everything else is independent."""
    rng = np.random.default_rng(seed)
    depth = np.exp(rng.normal(0, depth_sd, size=n))
    background = rng.poisson(rng.gamma(2, mean / 2, size=g)[None, :] * depth[:, None])
    shared = rng.gamma(1, mean, size=n) * depth
    pair = rng.poisson(np.column_stack([shared, shared]))
    x = np.column_stack([background, pair]).astype(np.int32)
    names = [f"gene{i}" for i in range(g)] + ["eGFP", "Sox9"]
    cells = pd.DataFrame(index=[f"{name}_cell{i}" for i in range(n)])
    out = ad.AnnData(sp.csr_matrix(x), obs=cells, var=pd.DataFrame(index=names))
    out.uns = {
        "sample_id": name,
        "series_id": f"series_{name}",
        "reporters": {"eGFP": {"target_gene_symbol": "Sox9", "target_gene_id": "", "construct": "Sox9-BAC-eGFP"}},
    }
    return out


def made_light_chains(n=600, seed=0, g=200):
    """B cells and others whose kappa and lambda counts are independent: nothing there but what a mask makes."""
    rng = np.random.default_rng(seed)
    b_cell = rng.random(n) < 0.5
    markers = rng.poisson(np.where(b_cell, 4.0, 0.01)[:, None], size=(n, 5))
    light = rng.poisson(0.6, size=(n, 2)) * rng.poisson(5, size=(n, 2))
    others = rng.poisson(rng.gamma(2, 1, size=g)[None, :], size=(n, g))
    x = np.column_stack([others, markers, light]).astype(np.int32)
    names = [f"gene{i}" for i in range(g)] + ["CD79A", "MS4A1", "CD79B", "BANK1", "CD19", "IGKC", "IGLC2"]
    return ad.AnnData(
        sp.csr_matrix(x), obs=pd.DataFrame(index=[f"c{i}" for i in range(n)]), var=pd.DataFrame(index=names)
    )
