"""Rebuild docs/evidence/sce2tm.md.

    make evidence            (python -m benches.evidence_sce2tm [--out FOLDER] [--jobs 2])

Finished trainings are kept in FOLDER, so that a call that was stopped goes on. The defaults were chosen on sets that
are not in any table here (see benches/evidence_clustering.py).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from benches._machine import machine, run
from benches._pages import progress, say, spread, table, write
from benches._sce2tm_runs import DATA, VARIANTS, ablation, many, perturbation, transfer
from corpuscle.benchmarks import topics
from corpuscle.benchmarks.clustering import score_embedding
from corpuscle.benchmarks.topics import interpretation_purity, rare_type_recovery

SEEDS = range(5)
ABLATED = ("clustering/pollen_human_cells", "batch/zilionis_mouse_lung")
WEAK = "good view: true types and noise"
WANG = DATA / "sce2tm_wang"
SWEEP = (.785, .785, .785, .834, .670, .670, .670, .618, .460, .460, .460, .449, .453, .453, .444, .444, .444, .388, .361)  # fmt: skip
TOPIC_SETS = ("pbmc/pbmc3k",)
TOPIC_EPOCHS = 50
TOPIC_METHODS = (
    "sce2tm", "sce2tm_prob", "nmf", f"linear_scvi:max_epochs={TOPIC_EPOCHS}", f"amortized_lda:max_epochs={TOPIC_EPOCHS}",
    "shuffled",
)  # fmt: skip
PERMUTATIONS = 1000
TRAIN = """
import sys, warnings
warnings.simplefilter("ignore")
import numpy as np, anndata as ad, torch
from benches.ecr import cells
from corpuscle.models import SCE2TM
n_cells, epochs = int(sys.argv[1]), int(sys.argv[2]) or None
adata = cells(n_cells)
del adata.obsm["X_view"]
warm = adata[:600].copy()
SCE2TM.setup_anndata(warm)
SCE2TM(warm, n_topics=50, n_top_genes=500).train(max_epochs=2, progress=False)
SCE2TM.setup_anndata(adata)
with Cost() as cost:
    model = SCE2TM(adata, n_topics=50, n_top_genes=5000)
    model.train(max_epochs=epochs, progress=False)
loss = model.history["train_loss"].iloc[:, 0].astype(float).to_numpy()
report(cost, genes=len(model.genes_), epochs=len(loss), first=float(loss[0]), late=float(loss[max(len(loss) - 6, 0)]), last=float(loss[-1]),
       sparse=(adata.X.data.nbytes + adata.X.indices.nbytes) / 2**20)
"""


# -- 1. the authors' saved outputs ------------------------------------------------------------------------------


def saved(name: str) -> pd.DataFrame:
    return pd.read_csv(WANG / f"wang_{name}.csv.gz", index_col=0)


def harness() -> tuple[str, str, str]:
    logits_nk = saved("topic_logits").to_numpy(np.float32)
    label_n = saved("cell_types").iloc[:, -1].astype(str).to_numpy()
    rows = []
    for name, values, published in (
        ("logits, Louvain", logits_nk, {"oracle": (0.8338, 0.7719), "fixed": (0.460, 0.632), "kmeans": (0.527, 0.629)}),
        ("proportions, Louvain", softmax(logits_nk), {"oracle": (0.615, 0.594), "fixed": (0.365, np.nan)}),
        ("scGPT alone, Louvain", saved("scgpt").to_numpy(np.float32), {"oracle": (0.250, 0.349)}),
    ):
        found = score_embedding(values, label_n, algorithm="louvain")
        for row in found.to_dict("records"):
            ari, ami = published.get(row["protocol"], (np.nan, np.nan))
            rows.append({"embedding": name, "protocol": row["protocol"], "told": row["told"], "ARI": row["ari"],
                         "expected ARI": ari, "AMI": row["ami"], "expected AMI": ami, "silhouette": row["silhouette"]})  # fmt: skip
    leiden = score_embedding(logits_nk, label_n)
    rows += [{"embedding": "logits, Leiden", "protocol": row["protocol"], "told": row["told"], "ARI": row["ari"],
              "expected ARI": {"oracle": 0.8107, "fixed": 0.461}.get(row["protocol"], np.nan), "AMI": row["ami"],
              "expected AMI": np.nan, "silhouette": row["silhouette"]} for row in leiden.to_dict("records")]  # fmt: skip
    sweep = score_embedding(logits_nk, label_n, algorithm="louvain").attrs["sweep"]
    sweep = sweep[sweep["resolution"] > 0.05]
    worst = float(np.abs(sweep["ari"].to_numpy() - np.array(SWEEP)).max())
    purity = interpretation_purity(logits_nk, label_n)
    rare = rare_type_recovery(logits_nk, label_n)
    checks = f"purity {purity:.4f} (0.8928); largest difference over the 19 resolutions {worst:.4f}"
    rare_text = ", ".join(f"{row['type']} {row['f1']:.3f}" for row in rare.to_dict("records"))
    numbers = ["ARI", "expected ARI", "AMI", "expected AMI", "silhouette"]
    return table(pd.DataFrame(rows), dict.fromkeys(numbers, ".4f")), checks, rare_text


def softmax(logits_nk: np.ndarray) -> np.ndarray:
    exp = np.exp(logits_nk - logits_nk.max(axis=1, keepdims=True))
    return exp / exp.sum(axis=1, keepdims=True)


# -- 2. ablations ------------------------------------------------------------------------------------------------


def ablations(folder: Path, jobs: int) -> str:
    calls = [(name, variant, seed) for name in ABLATED for variant in VARIANTS for seed in SEEDS if variant != WEAK]
    found = pd.DataFrame(many("ablation", ablation, calls, folder, jobs))
    shown = ["TD", "ARI, fixed", "ARI, matched", "ARI, kmeans", "ARI, oracle", "purity", "mean distance"]
    rows = [
        {"data set": dataset, "variant": variant, **{column: spread(part[column]) for column in shown}}
        for (dataset, variant), part in found.groupby(["dataset", "variant"], sort=False)
    ]
    return table(pd.DataFrame(rows))


# -- 3. perturbation, 4. transfer ------------------------------------------------------------------------------


def mean(values: pd.Series) -> str:
    return f"{values.mean():.2f}" if values.notna().any() else "–"


def perturbations(folder: Path, jobs: int) -> tuple[str, str]:
    found = pd.DataFrame(many("perturbation", perturbation, [(seed,) for seed in SEEDS], folder, jobs))
    numbers = ["chosen", "random_mean", "random_high", "other_type_max", "all", "replicate", "random_p"]
    found[numbers] = found[numbers].astype(float)
    done = found.dropna(subset=["chosen"])
    rows = []
    for (cell_type, metric), part in done.groupby(["cell_type", "metric"], sort=False):
        if part["seed"].nunique() < len(SEEDS):
            continue
        beats = ((part["chosen"] > part["random_high"]) & ~(part["chosen"] <= part["other_type_max"])).sum()
        rows.append({"cell type": cell_type, "metric": metric, "chosen": spread(part["chosen"], ".2f"),
                     "random": mean(part["random_mean"]), "random, 95 %": mean(part["random_high"]),
                     "other type, best": mean(part["other_type_max"]), "all topics": mean(part["all"]),
                     "replicate": mean(part["replicate"]), "seeds above controls": f"{beats}/{len(part)}"})  # fmt: skip
    without = found[found["chosen"].isna()].groupby("cell_type")["seed"].nunique()
    return table(pd.DataFrame(rows)), ", ".join(f"{t} ({n} seeds)" for t, n in without.items())


def transferred(folder: Path, jobs: int) -> str:
    found = pd.DataFrame(many("transfer", transfer, [(seed,) for seed in SEEDS], folder, jobs))
    return table(pd.DataFrame([{column: spread(found[column]) for column in ("donors trained on", "donors held out")}]))


# -- 5. topics ---------------------------------------------------------------------------------------------------


def topic_numbers(folder: Path) -> tuple[str, str]:
    result = topics.benchmark(
        [str(DATA / f"{name}.h5ad") for name in TOPIC_SETS], TOPIC_METHODS,
        gene_sets=[DATA / "gene_sets" / "human_hallmark_v2025.gmt.gz"],
        gsea_permutations=PERMUTATIONS, out=folder, progress=progress,
    )  # fmt: skip
    result.save(folder)
    rows = result.table[result.table["dataset"] != "all"]
    wide = rows.groupby(["dataset", "method", "metric"], sort=False)["value"].agg(spread).unstack("metric")
    first = ["interpretation_purity", "topic_coherence", "topic_diversity", "topic_quality", "topic_stability_centred"]
    rest = [column for column in wide if column.startswith(("ora_", "gsea_")) and "fraction" not in column]
    failures = "No fit failed." if result.failures.empty else table(result.failures)
    return table(wide[[c for c in first if c in wide] + rest].reset_index().fillna("–")), failures


# -- 6. cost -----------------------------------------------------------------------------------------------------


def costs() -> str:
    rows = []
    for n_cells, epochs in ((5000, 0), (5000, 3), (10_000, 3), (20_000, 3), (40_000, 3)):
        say(f"  training {n_cells} cells")
        cost = run(TRAIN, str(n_cells), str(epochs))
        f = cost.fields
        change = f"{abs(f['last'] - f['late']) / abs(f['first'] - f['last']):.1%}" if f["epochs"] > 6 else "–"
        rows.append({"cells": n_cells, "genes": f["genes"], "epochs": f["epochs"], "seconds": f"{cost.seconds:.1f}",
                     "loss, first and last epoch": f"{f['first']:.0f}, {f['last']:.0f}", "last 5 epochs' share": change,
                     "MiB above import": f"{cost.extra_mib:.0f}", "MiB of the sparse matrix": f"{f['sparse']:.0f}",
                     "MiB if dense": f"{n_cells * f['genes'] * 4 / 2**20:.0f}"})  # fmt: skip
    return table(pd.DataFrame(rows))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path("build/evidence-sce2tm"))
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    harness_table, checks, rare = harness()
    ablation_table = ablations(options.out / "parts", options.jobs)
    perturbed, without = perturbations(options.out / "parts", options.jobs)
    transfer_table = transferred(options.out / "parts", options.jobs)
    topic_table, topic_failures = topic_numbers(options.out / "topics")
    write(
        "evidence_sce2tm", machine=machine(), harness=harness_table, checks=checks, rare=rare, ablation=ablation_table,
        perturbation=perturbed, without=without or "none", transfer=transfer_table, topics=topic_table,
        topic_failures=topic_failures, permutations=str(PERMUTATIONS), topic_epochs=str(TOPIC_EPOCHS), cost=costs(),
    )  # fmt: skip


if __name__ == "__main__":
    main()
