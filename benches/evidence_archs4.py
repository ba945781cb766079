"""Rebuild docs/evidence/archs4.md.

    make evidence            (python -m benches.evidence_archs4 [--out FOLDER])

Normalisation, gene metrics, classifiers, retrieval and rare-label augmentation on real data. Finished runs of the augmentation
are kept in FOLDER, so that a call that was stopped goes on. What stands beside them was published for the reference repository
(PUBLISHED) or measured on the same 60 samples with other code (SIGNAL_BEFORE, COSINE_BEFORE).
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from benches import _archs4_rare as rare
from benches._archs4_classify import cortex, gaps, normalisations, retrieval
from benches._archs4_rare_tables import amounts, arms, by_set, fidelity, lengths, nulls, set_table, summary, verdict
from benches._archs4_sets import DATA
from benches._machine import machine
from benches._pages import table, write
from corpuscle import open_counts
from corpuscle.bulk.genes.cosine import mean_cosine
from corpuscle.counts import Counts
from corpuscle.normalize import QuantileNormalizer

GTEX = "archs4/gtex_60samples_heart_muscle_brain"
BULK = (GTEX, "archs4/gtex_50samples_muscle")
#: Median signal ratio of values divided by a length; without a length also the 99th percentile and the maximum.
SIGNAL_BEFORE = {100: 1.0132, 2_000: 1.0007, 30_000: 1.00005, 300_000: 1.000005}
PLAIN_BEFORE = (1.17, 1.88, 2.80)
COSINE_BEFORE = {
    "all pairs": 0.974,
    "different organs": 0.956,
    "same tissue, centred": 0.61,
    "across organs, centred": -0.50,
}


def quantile() -> str:
    """Largest differences from qnorm, and of the frozen target from the values it was made with."""
    import qnorm

    rows = []
    for path in BULK:
        with open_counts(DATA / f"{path}.h5ad") as counts:
            method = QuantileNormalizer().fit(counts)
            ours = method.transform(counts)
            log_gn = np.log2(1 + counts.to_csr().toarray().astype(float)).T
            theirs = qnorm.quantile_normalize(log_gn, axis=1).T
            half = QuantileNormalizer().fit(counts.view(np.arange(0, counts.n_obs, 2)))
            frozen = half.transform(counts)
            given = qnorm.quantile_normalize(log_gn, axis=1, target=half.target_g_).T
        rows.append(
            {
                "set": path.rpartition("/")[2], "samples": counts.n_obs, "genes": counts.n_vars,
                "largest difference from qnorm": f"{np.abs(ours - theirs).max():.1e}",
                "with a target of half of the samples": f"{np.abs(frozen - given).max():.1e}",
                "from limma's rule for ties": f"{np.abs(ours - limma(log_gn, method.target_g_).T).max():.2f}",
            }
        )  # fmt: skip
    return table(pd.DataFrame(rows))


def limma(log_gn: np.ndarray, target_g: np.ndarray) -> np.ndarray:
    """Ties get the target at their mean rank, interpolated."""
    from scipy.stats import rankdata

    rank_gn = rankdata(log_gn, axis=0) - 1
    return np.interp(rank_gn, np.arange(len(target_g)), target_g)


def signal(values_ng: np.ndarray) -> str:
    """The published signal (95th percentile of 1 + y over its mean) of values divided by one length, before and now."""

    def of(y_ng: np.ndarray) -> np.ndarray:
        return np.percentile(1 + y_ng, 95, axis=0) / (1 + y_ng).mean(axis=0)

    plain = of(values_ng)
    rows = [
        {"divided by": "nothing", "median": f"{np.median(plain):.3f} ({PLAIN_BEFORE[0]})",
         "99th percentile": f"{np.percentile(plain, 99):.2f} ({PLAIN_BEFORE[1]})",
         "largest": f"{plain.max():.2f} ({PLAIN_BEFORE[2]:.2f})"}
    ]  # fmt: skip
    for length, before in SIGNAL_BEFORE.items():
        ratio = of(values_ng / length)
        rows.append(
            {"divided by": f"{length:,}", "median": f"{np.median(ratio):.6f} ({before})",
             "99th percentile": f"{np.percentile(ratio, 99):.5f}", "largest": f"{ratio.max():.5f}"}
        )  # fmt: skip
    return table(pd.DataFrame(rows))


def cosines(values_ng: np.ndarray, counts: Counts) -> str:
    """Mean cosines of whole profiles, before and now."""
    tissue_n, organ_n = counts.obs["tissue"].astype(str).to_numpy(), counts.obs["organ"].astype(str).to_numpy()
    centred_ng = values_ng - values_ng.mean(axis=0)

    def cosine(x_nd: np.ndarray) -> np.ndarray:
        unit_nd = x_nd / np.linalg.norm(x_nd, axis=1, keepdims=True)
        return unit_nd @ unit_nd.T

    plain_nn, centred_nn = cosine(values_ng), cosine(centred_ng)
    pair = np.triu(np.ones_like(plain_nn, bool), 1)
    other_organ = pair & (organ_n[:, None] != organ_n)
    found = {
        "all pairs": mean_cosine(values_ng), "different organs": plain_nn[other_organ].mean(),
        "same tissue, centred": centred_nn[pair & (tissue_n[:, None] == tissue_n)].mean(),
        "across organs, centred": centred_nn[other_organ].mean(),
    }  # fmt: skip
    return table(
        pd.DataFrame(
            [{"mean cosine": k, "measured before": f"{COSINE_BEFORE[k]}", "ours": f"{v:.3f}"} for k, v in found.items()]
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=rare.OUT)
    args = parser.parse_args()
    warnings.simplefilter("ignore", UserWarning)
    with open_counts(DATA / f"{GTEX}.h5ad") as counts:
        values_ng = QuantileNormalizer().fit(counts).transform(counts)
        fields = {"signal": signal(values_ng), "cosines": cosines(values_ng, counts)}
    sets = args.out / "sets"
    result = rare.main_runs(args.out)
    judged = {
        "arms": arms(result), "amounts": amounts(result), "by_set": by_set(result), "verdict": verdict(result), "fidelity": fidelity(result), "sets": set_table(result),
        "nulls": nulls(result, rare.null_runs(args.out)), "lengths": lengths(rare.length_runs(args.out)),
        "summary": summary(result),
    }  # fmt: skip
    write(
        "evidence_archs4", machine=machine(), quantile=quantile(), gaps=gaps(sets), cortex=cortex(sets),
        normalisations=normalisations(sets), retrieval=retrieval(sets), **fields, **judged,
    )  # fmt: skip


if __name__ == "__main__":
    main()
