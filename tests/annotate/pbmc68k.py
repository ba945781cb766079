"""700 PBMCs that scanpy ships, with the marker scores and the graph that the published regression figures rest on."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

TYPES = ("Mono", "B", "HSPC", "CD4T", "NK", "CD8T", "DC")
MERGED = {
    "CD14+ Monocyte": "Mono",
    "Dendritic": "DC",
    "CD19+ B": "B",
    "CD4+/CD25 T Reg": "CD4T",
    "CD4+/CD45RA+/CD25- Naive T": "CD4T",
    "CD4+/CD45RO+ Memory": "CD4T",
    "CD8+ Cytotoxic T": "CD8T",
    "CD8+/CD45RA+ Naive Cytotoxic": "CD8T",
    "CD56+ NK": "NK",
    "CD34+": "HSPC",
}
CANON = {
    "Mono": "LYZ S100A8 S100A9 FCGR3A CST3",
    "B": "CD79A CD79B MS4A1",
    "HSPC": "SOX4 SPINK2 PRSS57 STMN1",
    "CD4T": "CD3D CD3E IL7R CD4",
    "NK": "GNLY NKG7",
    "CD8T": "CD8A CD8B CD3D CCL5 GZMK",
    "DC": "FCER1A CST3 CLEC10A HLA-DQA1",
}
CL_IDS = {
    "Mono": "CL:0000576",
    "B": "CL:0000236",
    "HSPC": "CL:0008001",
    "CD4T": "CL:0000624",
    "NK": "CL:0000623",
    "CD8T": "CL:0000625",
    "DC": "CL:0000451",
}
ORGANS = ("blood", "bone-marrow", "spleen", "lymph-node")


@cache
def cells() -> Any:
    """The AnnData as scanpy ships it; copy it before writing to it."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import scanpy as sc

        return sc.datasets.pbmc68k_reduced()


@cache
def truth() -> np.ndarray:
    """(700,) bulk labels merged to the 7 types."""
    return cells().obs["bulk_labels"].astype(str).map(MERGED).to_numpy()


@cache
def canon() -> np.ndarray:
    """(700, 7) scores of a few well-known markers."""
    return marker_scores({name: genes.split() for name, genes in CANON.items()})


@cache
def asctb() -> np.ndarray:
    """(700, 7) scores of all ASCT+B markers of each type and its descendants."""
    return marker_scores(_asctb_genes())


def marker_scores(sets: dict[str, list[str]]) -> np.ndarray:
    """Sum of the clipped gene z-scores, weighted by how few types list the gene, over the root of the number of genes."""
    raw = cells().raw
    x_ng = pd.DataFrame(raw.X.toarray().astype(np.float64), columns=raw.var_names)
    z_ng = ((x_ng - x_ng.mean()) / x_ng.std(ddof=0)).clip(-5, 10)
    present = {name: [gene for gene in genes if gene in z_ng] for name, genes in sets.items()}
    times = pd.Series([gene for genes in present.values() for gene in genes]).value_counts()
    weight = 1 - (times - 1) / (len(present) - 1)
    scores = [z_ng[genes] @ weight[genes] / np.sqrt(len(genes)) for genes in present.values()]
    return np.column_stack(scores)


@cache
def umap_graph() -> sp.csr_matrix:
    """scanpy's neighbours of the shipped principal components, k = 15."""
    from corpuscle.annotate.neighbours import umap_graph

    return umap_graph(cells().obsm["X_pca"], n_neighbors=15)


@cache
def binary_graph() -> sp.csr_matrix:
    """The same neighbours without weights: 1 where either cell lists the other."""
    from sklearn.neighbors import kneighbors_graph

    lists_nn = kneighbors_graph(cells().obsm["X_pca"], 14, mode="connectivity")
    return lists_nn.maximum(lists_nn.T).tocsr()


def accuracy(best_n: np.ndarray) -> float:
    """Share of cells that are named as the truth has it."""
    return float(np.mean(np.asarray(TYPES)[best_n] == truth()))


def f1(best_n: np.ndarray) -> dict[str, float]:
    """F1 of each type."""
    named = np.asarray(TYPES)[best_n]
    return {
        name: float(2 * np.sum((named == name) & (truth() == name)) / (np.sum(named == name) + np.sum(truth() == name)))
        for name in TYPES
    }


def macro_f1(best_n: np.ndarray) -> float:
    """Mean F1 of the 7 types."""
    return float(np.mean(list(f1(best_n).values())))


def _asctb_genes() -> dict[str, list[str]]:
    from corpuscle.annotate._tables import asctb_table
    from corpuscle.annotate.ontology import cell_ontology

    rows = asctb_table()
    rows = rows[rows["organ"].isin(ORGANS)]
    below = {name: cell_ontology().descendants(cl_id) for name, cl_id in CL_IDS.items()}
    return {name: sorted(set(rows["gene"][rows["cl_id"].isin(ids)])) for name, ids in below.items()}
