"""Cells through a trained network, so many at a time: memory does not grow with them beyond the result."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

from corpuscle.models._cells import SparseRows, sparse_rows
from corpuscle.models.sce2tm.module import SCE2TMModule

__all__ = ["decode_topics", "encode_cells"]

Array = np.ndarray[Any, Any]
CHUNK_CELLS = 1024


def encode_cells(module: SCE2TMModule, x_ng: sp.csr_matrix, n_topics: int) -> Array:
    """Topic logits (n, K) float32 of cells, given their log expression over the model's genes as CSR."""
    logits_nk = np.empty((x_ng.shape[0], n_topics), np.float32)
    for start in range(0, x_ng.shape[0], CHUNK_CELLS):
        rows = slice(start, start + CHUNK_CELLS)
        logits_nk[rows] = module.encode(_on(module.device, sparse_rows(x_ng[rows]))).cpu().numpy()
    return logits_nk


def decode_topics(module: SCE2TMModule, theta_nk: Array, n_genes: int) -> Array:
    """Shares of expression (n, V) float32 that topic proportions (n, K) give, without the effect of any batch."""
    shares_ng = np.empty((len(theta_nk), n_genes), np.float32)
    for start in range(0, len(theta_nk), CHUNK_CELLS):
        rows = slice(start, start + CHUNK_CELLS)
        theta_bk = torch.from_numpy(np.ascontiguousarray(theta_nk[rows], np.float32)).to(module.device)
        shares_ng[rows] = module.decode(theta_bk).exp().cpu().numpy()
    return shares_ng


def _on(device: torch.device, rows: SparseRows) -> SparseRows:
    return SparseRows(rows.crow.to(device), rows.col.to(device), rows.values.to(device), rows.shape)
