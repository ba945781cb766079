"""A co-regulation result of the size of a real one: 25 methods, 3 samples, 2 pairs, and what can go wrong."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import pandas as pd

from corpuscle.report import COLUMNS, Result

#: Method -> (strength of the pair, spread of the background, leakage of depth).
METHODS = {
    "log1p_cp10k": (0.60, 0.07, 0.10), "log1p_cpm": (0.58, 0.08, 0.16), "log1p_pf": (0.60, 0.07, 0.11),
    "cp10k": (0.46, 0.06, 0.07), "raw": (0.42, 0.09, 0.31), "pf_log1p_pf": (0.61, 0.07, 0.05),
    "pflog_clr": (0.59, 0.08, 0.38), "sqrt": (0.57, 0.07, 0.09), "freeman_tukey": (0.57, 0.07, 0.09),
    "acosh": (0.60, 0.07, 0.12), "shifted_log_alpha": (0.56, 0.07, 0.08), "pearson_analytic": (0.48, 0.06, 0.06),
    "sct_v2": (0.55, 0.07, 0.07), "deviance": (0.50, 0.07, 0.21), "tfidf": (0.61, 0.07, 0.12),
    "rank": (0.44, 0.09, 0.35),
    "quantile": (0.43, 0.1, 0.3), "glmpca": (0.30, 0.25, 0.09), "scran": (0.60, 0.07, 0.10),
    "cscore": (0.72, 0.12, 0.04),
    "alra": (0.35, 0.12, 0.12), "knn_smooth": (0.05, 0.3, 0.2), "magic": (-0.2, 0.42, 0.26), "scvi": (0.2, 0.33, 0.1),
    "normalisr": (0.5, 0.07, 0.05),
}  # fmt: skip
SAMPLES = ("pbmc_1k_v2", "pbmc_1k_v3", "pbmc_8k_5p")
PAIRS = (("IGKC_vs_IGLC2", "IGKC", "IGLC2", -1), ("Rorc_eGFP", "eGFP", "Rorc", 1))
TASKS = {-1: "allelic_exclusion", 1: "promoter_reporter"}
N_BACKGROUND, N_CELLS = 300, 170


def make_result(
    methods: dict[str, tuple[float, float, float]] | None = None, samples: tuple[str, ...] = SAMPLES
) -> Result:
    methods = METHODS if methods is None else methods
    units = [
        _unit(sample, pair, method, numbers)
        for sample in samples
        for pair in PAIRS
        for method, numbers in methods.items()
    ]
    details = pd.DataFrame([unit["row"] for unit in units])
    extras = {
        "background": pd.concat([unit["background"] for unit in units], ignore_index=True),
        "cells": pd.concat([unit["cells"] for unit in units], ignore_index=True),
        "controls": pd.DataFrame([row for unit in units for row in unit["controls"]]),
        "quadrants": _quadrants(samples),
        "compat": _compat(samples),
        "count_split": _splits(samples, list(methods)),
    }
    failures = pd.DataFrame(
        [("pbmc_1k_v3", "scvi", "fit (default)", "needs torch: pip install 'corpuscle[models]'")],
        columns=["dataset", "method", "stage", "reason"],
    )
    return Result("coregulation", _table(details), _variants(details), failures, extras, _run(samples))


def _rng(*keys: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32("/".join(keys).encode()))


def _unit(
    sample: str, pair: tuple[str, str, str, int], method: str, numbers: tuple[float, float, float]
) -> dict[str, Any]:
    strength, spread, leak = numbers
    name, gene_a, gene_b, sign = pair
    rng = _rng(sample, name, method)
    shared = _rng(sample, name)
    r = sign * (strength + shared.normal(0, 0.06)) + rng.normal(0, 0.02)
    background = np.clip(rng.normal(0.02, spread, N_BACKGROUND), -0.98, 0.98)
    names = {"sample_id": sample, "pair": name, "variant": "default", "method": method}
    undefined = method == "cscore" and sample == "pbmc_8k_5p"
    failed = method == "scvi" and sample == "pbmc_1k_v3"
    status = "failed" if failed else "undefined" if undefined else "ok"
    reason = "needs torch" if failed else "variance of IGLC2 not above Poisson" if undefined else ""
    middle, mad = float(np.median(background)), float(np.median(np.abs(background - np.median(background))))
    below = float((sign * background < sign * r).mean())
    row = names | {
        "series": "10x", "gene_a": gene_a, "gene_b": gene_b, "task": TASKS[sign], "sign": sign, "primary": True,
        "association": "pearson", "cells": "auto", "background": "matched", "n_cells": N_CELLS,
        "n_background": N_BACKGROUND,
        "r": r, "ci_low": r - 0.09, "ci_high": r + 0.09, "bg_median": middle, "bg_mad": mad,
        "bg_low": float(np.quantile(background, 0.025)), "bg_high": float(np.quantile(background, 0.975)),
        "percentile": below, "percentile_low": max(0.0, below - 0.02), "percentile_high": min(1.0, below + 0.01),
        "p_emp": (1 + (1 - below) * N_BACKGROUND) / (N_BACKGROUND + 1),
        "z_robust": sign * (r - middle) / (1.4826 * mad),
        "rank": 1 + int((1 - below) * 9000), "n_ranked": 9000, "r_null_mean": rng.normal(0, 0.01), "excess": sign * r,
        "inflation_index": spread / 0.07 * float(np.exp(rng.normal(0, 0.05))), "depth_corr": leak + rng.normal(0, 0.01),
        "seconds": 0.04 if strength > 0.4 else 7.5, "peak_mib": 30.0 if strength > 0.4 else 1500.0,
        "status": status, "reason": reason,
    }  # fmt: skip
    if status != "ok":
        blank = [key for key, value in row.items() if isinstance(value, float) and key not in ("seconds", "peak_mib")]
        row |= dict.fromkeys(blank, float("nan"))
        background[:] = np.nan
    genes = [f"GENE{i}" for i in range(N_BACKGROUND)]
    controls = [names | {"control": c, "metric": m, "value": v, "n": 500} for c, m, v in _controls(row, spread, rng)]
    return {
        "row": row,
        "background": pd.DataFrame(names | {"gene": genes, "r": background}),
        "cells": _cells(names, sign, strength),
        "controls": controls if status == "ok" else [],
    }


def _controls(row: dict[str, Any], spread: float, rng: np.random.Generator) -> list[tuple[str, str, float]]:
    out = [
        ("null_genes", "mean_r", (spread - 0.07) / 4 + rng.normal(0, 0.002)),
        ("null_genes", "median_abs_r", spread / 3),
    ]
    for name, loss in (("depth_half_low", 0.08), ("depth_half_high", 0.02), ("thinned_50", 0.05), ("thinned_25", 0.14)):
        out += [(name, "r", row["r"] * (1 - loss)), (name, "percentile", max(0.0, row["percentile"] - loss))]
    return out


def _cells(names: dict[str, str], sign: int, strength: float) -> pd.DataFrame:
    rng = _rng(names["sample_id"], names["pair"], "cells")
    first = rng.random(N_CELLS) < 0.55
    second = ~first if sign < 0 else first & (rng.random(N_CELLS) < 0.8)
    raw_a, raw_b = (rng.poisson(np.where(on, rng.gamma(2, 8, N_CELLS), 0.1)) for on in (first, second))
    depth = rng.lognormal(8, 0.4, N_CELLS)
    a, b = np.log1p(1e4 * raw_a / depth) * (1 + strength), np.log1p(1e4 * raw_b / depth)
    cells = [f"AAAC{i:04d}GATTACA-1" for i in range(N_CELLS)]
    return pd.DataFrame(names | {"cell": cells, "raw_a": raw_a, "raw_b": raw_b, "a": a, "b": b})


def _quadrants(samples: tuple[str, ...]) -> pd.DataFrame:
    rule = "B cells: at least 2 of CD79A, MS4A1, CD79B, BANK1, CD19"
    rows = [
        {"sample_id": sample, "pair": pair[0], "variant": "default", "a_only": 80, "b_only": 51,
         "both": 28, "neither": 11,
         "rule": rule if pair[3] < 0 else "all cells"}
        for sample in samples for pair in PAIRS
    ]  # fmt: skip
    return pd.DataFrame(rows)


def _compat(samples: tuple[str, ...]) -> pd.DataFrame:
    numbers = {"card_r": -0.473, "card_median": float("nan"), "card_median_defined": -0.012, "card_n_nan": 265}
    names = {"pair": "IGKC_vs_IGLC2", "variant": "default", "card_n_genes": 500, "card_n_cells": 182}
    return pd.DataFrame([names | numbers | {"sample_id": sample} for sample in samples])


def _splits(samples: tuple[str, ...], methods: list[str]) -> pd.DataFrame:
    rows = []
    for sample in samples:
        for method in methods:
            rng = _rng(sample, method, "split")
            for place, bin_name in enumerate(("0.2-1 UMI", "1-5 UMI", ">= 5 UMI")):
                for i in range(4):
                    values = {
                        "r": 0.1 + 0.2 * place + rng.normal(0, 0.02),
                        "percentile": 0.7 + 0.1 * place,
                        "z_robust": 1.0 + place,
                    }
                    rows.append(
                        {"sample_id": sample, "series": "10x", "method": method, "gene": f"G{i}", "bin": bin_name}
                        | values
                    )
    return pd.DataFrame(rows)


def _variants(details: pd.DataFrame) -> pd.DataFrame:
    exclusion = details[details["sign"] < 0]
    left_out = exclusion.assign(variant="leave_pair_out_depth", r=exclusion["r"] + 0.01)
    together = exclusion.assign(
        variant="composite_lambda", r=exclusion["r"] - 0.04, pair="IGKC_vs_IGLC1-7", gene_b="IGLC1-7"
    )
    return pd.concat([details, left_out, together], ignore_index=True)


def _table(details: pd.DataFrame) -> pd.DataFrame:
    rows = []
    chance = {"percentile": 0.5, "z_robust": 0.0}
    for (task, method), group in details.groupby(["task", "method"], sort=True):
        cost = {"seconds": group["seconds"].mean(), "peak_mib": group["peak_mib"].max()}
        names = {"dataset": "all", "task": task, "method": method, "n": len(group)} | cost
        for metric in ("percentile", "z_robust"):
            values = group[metric].fillna(chance[metric])
            half = 0.02 if metric == "percentile" else 0.8
            ends = {
                "ci_low": values.min() - half,
                "ci_high": min(values.max() + half, 1.0 if metric == "percentile" else 10),
            }
            rows.append(names | {"metric": metric, "value": values.mean()} | ends)
        for metric in ("inflation_index", "depth_corr"):
            rows.append(names | {"metric": metric, "value": group[metric].mean()})
        rows.append(names | {"metric": "failed_fraction", "value": (group["status"] != "ok").mean()})
    table = pd.DataFrame(rows)
    pooled = table[table["metric"] == "percentile"].groupby("method", as_index=False)[
        ["value", "ci_low", "ci_high", "seconds", "peak_mib"]
    ]
    combined = pooled.mean().assign(task="combined", metric="percentile", dataset="all", n=2)
    split = combined.assign(task="count_split", value=0.8, ci_low=0.75, ci_high=0.85, n=36)
    units = details.assign(
        dataset=details["sample_id"] + "/" + details["pair"], metric="r", value=details["r"], n=N_CELLS
    )
    table = pd.concat([table, combined, split, units], ignore_index=True).assign(benchmark="coregulation", seed=0)
    return table[COLUMNS].sort_values(["dataset", "task", "metric", "method"], ignore_index=True)


def _run(samples: tuple[str, ...]) -> dict[str, Any]:
    return {
        "command": ["corpuscle", "bench", "coregulation", "data/*.h5ad", "-o", "out"],
        "versions": {"corpuscle": "0.1.0", "python": "3.11.9", "numpy": "2.4.0", "scipy": "1.17.0"},
        "parameters": {"association": ["pearson"], "cells": "auto", "background": "matched", "n_boot": 1000, "seed": 0},
        "inputs": [
            {"sample_id": s, "path": f"data/{s}.h5ad", "sha256": f"{zlib.crc32(s.encode()):08x}" * 8} for s in samples
        ],
        "machine": {"system": "Linux", "processor": "x86_64", "cores": 2},
        "seconds": 412.3,
    }
