"""The collider finding: what a mask that looks at the pair does to independent genes."""

from __future__ import annotations

import numpy as np
import pandas as pd

from corpuscle import open_counts
from corpuscle.benchmarks.coregulation.cells import choose_cells
from corpuscle.datasets import Pair, bundled

PAIR = Pair("IGKC_vs_IGLC2", "exclusion", "IGKC", "IGLC2")
ROUNDS = 200
#: Union mask cells, union r, union r under independence, marker r, marker cells, marker r under independence.
REFERENCE = {
    "pbmc_1k_v2": (182, -0.473, -0.629, -0.619, 145, -0.006),
    "pbmc_1k_v3": (313, -0.191, -0.368, -0.644, 175, -0.001),
    "pbmc_8k_5p_1kcells": (167, -0.572, -0.619, -0.388, 182, 0.001),
}


def collider_table() -> pd.DataFrame:
    """IGKC against IGLC2 by log1p CP10k under both masks, observed and with the lambda genes permuted over cells."""
    rows = []
    for name, path in bundled().items():
        counts = open_counts(path).load()
        depth = counts.profile().depth_n
        kappa, lambda2, lambda3 = counts.columns(["IGKC", "IGLC2", "IGLC3"]).toarray().T
        markers = choose_cells(counts, PAIR).mask_n

        log_kappa, log_lambda = (np.log1p(1e4 * x / depth) for x in (kappa, lambda2))

        def r(
            order: np.ndarray,
            mask: np.ndarray | None,
            log_kappa=log_kappa,
            log_lambda=log_lambda,
            raw=(kappa, lambda2, lambda3),
        ):
            union = (raw[0] > 0) | (raw[1][order] > 0) | (raw[2][order] > 0)
            mask = union if mask is None else mask
            return np.corrcoef(log_kappa[mask], log_lambda[order][mask])[0, 1], int(mask.sum())

        rng, as_is = np.random.default_rng(0), np.arange(depth.size)
        orders = [rng.permutation(depth.size) for _ in range(ROUNDS)]
        (union, n_union), (marker, n_marker) = r(as_is, None), r(as_is, markers)
        null = {"union": [r(order, None)[0] for order in orders], "marker": [r(order, markers)[0] for order in orders]}
        known = REFERENCE[name]
        rows.append({
            "sample": name, "union cells": n_union, "union r": union, "union r, independent": float(np.mean(null["union"])),
            "marker cells": n_marker, "marker r": marker, "marker r, independent": float(np.mean(null["marker"])),
            "reference": f"{known[0]}: {known[1]:+.3f}, {known[2]:+.3f}; {known[4]}: {known[3]:+.3f}, {known[5]:+.3f}",
        })  # fmt: skip
    return pd.DataFrame(rows)
