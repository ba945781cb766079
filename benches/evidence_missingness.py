"""Rebuild docs/evidence/missingness.md.

    make evidence            (python -m benches.evidence_missingness [--out FOLDER] [--draws N])

The numbers are those of ``corpuscle bench missingness`` on the sets of SETS, ten draws of 600 cells and 1,000 genes.
Finished runs are kept in FOLDER, so that a call that was stopped goes on. What stands beside them was published by the
authors of the estimator (DEMO, read off a figure), or measured with the same recipe on other cells (BEFORE, DROPOUT_BEFORE).
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from benches._machine import machine
from benches._pages import progress, say, spread, table, write
from corpuscle.benchmarks import missingness
from corpuscle.benchmarks.missingness.display.findings import headline, learnt
from corpuscle.report import Result

DATA = Path(os.environ.get("CORPUSCLE_DATA", "../shared/data"))
SETS = (
    "clustering/pbmc_4271_hvg",
    "clustering/mouse_bladder_2100",
    "clustering/zheng_facs_3774",
    "batch/baron_human_2donors",
)
PBMC = "pbmc_4271_hvg"
CONTROL = "constant:p=0.95"
MASKS = ("constant:p=0.5", "uniform:low=0.2", "authors", "logit_normal:sd=1.2")
POLICIES = ("none", "oracle", "consensus", "zeros")
DROPOUT = tuple(f"dropout:low={low},mask={policy}" for low in (0.6, 0.3) for policy in POLICIES)
METHODS = ("unbiased", "authors", "ratio_rank1", "ht", "ht:propensity=rank1", "pairwise", "ratio_oracle", "ht_oracle")
#: These cost more than all others together, so they get a third of the draws and no control.
SLOW = ("knn_impute", "soft_impute", "ppca", "hetero")
SHOWN = (
    "zero_fill", "mean_fill", "knn_impute", "soft_impute", "ppca", "authors", "ratio_rank1", "unbiased", "pairwise", "ht",
    "ht:propensity=rank1",
)  # fmt: skip
#: Iterative imputation costs most: few draws of one mask.
ITERATIVE_DRAWS = 3
DEMO_FEATURES = (500, 1000, 2000, 3000)
DEMO_METHODS = ("unbiased", "authors")
DEMO_SLOW = ("soft_impute", "ppca")
#: With more, iterative imputation takes minutes a run.
ITERATIVE_FEATURES = (500, 1000)
#: ARI of k-means on two components in the authors' figure (+-0.01): complete, zero fill, theirs, softImpute, chained.
DEMO = {
    500: (0.96, 0.45, 0.81, 0.81, 0.82),
    1000: (1.0, 0.52, 0.95, 0.93, 0.955),
    2000: (1.0, 0.52, 1.0, 0.99, 1.0),
    3000: (1.0, 0.53, 1.0, 1.0, 1.0),
}
METRICS = ("gram_error", "d2_error", "d2_correlation", "sin_theta", "knn_recall_pcs", "knn_recall_distances", "ari")
NAMES = dict(zip(METRICS, ("Gram", "D2", "corr. D2", "sin theta", "kNN of PCs", "kNN of D2", "ARI"), strict=True))
#: One draw on 600 other blood cells (10x, 8 types, complete ARI .737), (mask, method) -> METRICS.
BEFORE = {
    ("constant:p=0.5", "zero_fill"): (0.768, 0.315, 0.726, 0.849, 0.105, 0.135, 0.378),
    ("constant:p=0.5", "mean_fill"): (0.745, 0.509, 0.861, 0.637, 0.291, 0.343, 0.767),
    ("constant:p=0.5", "authors"): (0.408, 0.081, 0.925, 0.639, 0.298, 0.383, 0.756),
    ("constant:p=0.5", "ht:propensity=rank1"): (0.410, 0.081, 0.924, 0.639, 0.295, 0.377, 0.724),
    ("uniform:low=0.2", "zero_fill"): (0.866, 0.487, 0.402, 0.875, 0.082, 0.063, 0.197),
    ("uniform:low=0.2", "mean_fill"): (0.846, 0.648, 0.399, 0.737, 0.203, 0.075, 0.476),
    ("uniform:low=0.2", "authors"): (0.785, 0.163, 0.827, 0.779, 0.199, 0.248, 0.606),
    ("uniform:low=0.2", "ratio_rank1"): (0.664, 0.128, 0.829, 0.779, 0.199, 0.250, 0.616),
    ("uniform:low=0.2", "unbiased"): (0.632, 0.123, 0.834, None, None, None, None),
    ("uniform:low=0.2", "ht:propensity=rank1"): (0.999, 0.179, 0.734, 0.832, 0.135, 0.161, 0.503),
    ("uniform:low=0.2", "ht_oracle"): (1.011, 0.184, 0.727, 0.835, 0.133, 0.159, 0.473),
    ("uniform:low=0.2", "pairwise"): (0.666, 0.128, 0.828, 0.778, 0.199, 0.252, 0.598),
    ("authors", "zero_fill"): (0.666, 0.234, 0.785, 0.825, 0.121, 0.197, 0.371),
    ("authors", "mean_fill"): (0.638, 0.414, 0.871, 0.580, 0.341, 0.390, 0.798),
    ("authors", "authors"): (0.322, 0.065, 0.950, 0.580, 0.350, 0.446, 0.806),
    ("logit_normal:sd=1.2", "authors"): (3.153, 0.939, 0.859, None, None, None, None),
    ("logit_normal:sd=1.2", "ratio_rank1"): (0.589, 0.114, 0.889, None, None, None, None),
    ("logit_normal:sd=1.2", "unbiased"): (0.464, 0.097, 0.905, None, None, None, None),
    ("logit_normal:sd=1.2", "pairwise"): (0.472, 0.098, 0.903, None, None, None, None),
}
DROPOUT_METRICS = ("d2_error", "d2_correlation", "sin_theta", "knn_recall_distances", "ari")
#: The ratio estimator on the same other blood cells, by (lowest factor, zeros called missing).
DROPOUT_BEFORE = {
    (0.6, "none"): (0.205, 0.783, 0.802, 0.227, 0.428),
    (0.6, "oracle"): (0.250, 0.887, 0.506, 0.406, 0.792),
    (0.6, "consensus"): (0.283, 0.902, 0.636, 0.318, 0.609),
    (0.6, "zeros"): (0.635, 0.609, 0.805, 0.142, 0.442),
    (0.3, "none"): (0.412, 0.491, 0.856, 0.080, 0.276),
    (0.3, "consensus"): (0.476, 0.616, 0.794, 0.150, 0.298),
    (0.3, "zeros"): (0.647, 0.494, 0.851, 0.104, 0.368),
}


def done(result: Result) -> pd.DataFrame:
    return result.details[result.details["status"] == "ok"]


def joined(*results: Result) -> pd.DataFrame:
    """Runs of several calls, each once: methods that always take part are in all of them."""
    rows = pd.concat([done(result) for result in results], ignore_index=True)
    return rows.drop_duplicates(["dataset", "task", "method", "seed"], ignore_index=True)


def of(details: pd.DataFrame, **where: str) -> pd.DataFrame:
    for column, value in where.items():
        details = details[details[column] == value]
    return details


def sets(details: pd.DataFrame) -> str:
    """Cells, genes and types of a draw, and the agreement that k-means on complete values reaches."""
    rows = details.groupby("dataset", sort=False).agg(
        n=("n", "max"), n_features=("n_features", "max"), n_types=("n_types", "max")
    )
    rows["ari"] = [
        spread(of(details, dataset=name, task=MASKS[0], method="mean_fill")["truth_ari"]) for name in rows.index
    ]
    rows = rows.astype({"n": int, "n_features": int, "n_types": int}).reset_index()
    rows.columns = ["data set", "cells a draw", "genes", "types", "ARI of complete values"]
    return table(rows)


def by_set(details: pd.DataFrame, metric: str, masks: Sequence[str], methods: Sequence[str]) -> str:
    """A row a mask and data set: mean and standard deviation over draws, a column a method."""
    rows = []
    for task in masks:
        for dataset in details["dataset"].unique():
            group = of(details, task=task, dataset=dataset)
            rows.append({"mask": task, "data set": dataset} | {m: spread(of(group, method=m)[metric]) for m in methods})
    return table(pd.DataFrame(rows))


def beside(details: pd.DataFrame) -> str:
    """Ours over draws on our blood cells, and in brackets the one draw on the other ones."""
    rows = []
    for (task, method), numbers in BEFORE.items():
        group = of(details, dataset=PBMC, task=task, method=method)
        row = {"mask": task, "method": method}
        for metric, before in zip(METRICS, numbers, strict=True):
            row[NAMES[metric]] = spread(group[metric]) + ("" if before is None else f" ({before:.3f})")
        rows.append(row)
    return table(pd.DataFrame(rows))


def held_to(details: pd.DataFrame) -> str:
    """What the correction must do on each set and mask: how many times smaller its error is than of either fill."""
    mean = details.groupby(["task", "dataset", "method"])[["d2_error", "d2_correlation", "knn_recall_distances"]].mean()
    rows = []
    for task in MASKS:
        for dataset in details["dataset"].unique():
            block = mean.loc[(task, dataset)]
            error, recall = block["d2_error"], block["knn_recall_distances"]
            rows.append({
                "mask": task, "data set": dataset, "D2 of zero fill over ours": error["zero_fill"] / error["unbiased"],
                "of mean fill over ours": error["mean_fill"] / error["unbiased"],
                "of authors over ours": error["authors"] / error["unbiased"],
                "corr. D2": block["d2_correlation"]["unbiased"],
                "kNN over mean fill": recall["unbiased"] / recall["mean_fill"],
            })  # fmt: skip
    frame = pd.DataFrame(rows)
    return table(frame, dict.fromkeys(frame.columns[2:], ".2f"))


def against_authors(details: pd.DataFrame) -> str:
    """Draw by draw, on the same holes: how often and by how much our distances are worse than the published formula's."""
    wide = details.pivot_table(index=["task", "dataset", "seed"], columns="method", values="d2_error")
    more = (wide["unbiased"] - wide["authors"]).groupby(level="task", sort=False)
    rows = pd.DataFrame({"worse draws": more.agg(lambda d: f"{int((d > 0).sum())} of {d.size}"), "largest": more.max()})
    rows["mean"] = more.mean()
    rows = rows.reindex(MASKS).reset_index()
    rows.columns = ["mask", "draws with a larger error", "largest excess", "mean difference"]
    return table(rows, {"largest excess": "+.4f", "mean difference": "+.4f"})


def dropout_beside(details: pd.DataFrame) -> str:
    """Ours on each set by which zeros it was told are missing; in brackets the other blood cells."""
    rows = []
    for dataset in details["dataset"].unique():
        for word in DROPOUT:
            group = of(details, dataset=dataset, task=word, method="unbiased")
            low, policy = float(word.split("=")[1].split(",")[0]), word.rpartition("=")[2]
            before = DROPOUT_BEFORE.get((low, policy)) if dataset == PBMC else None
            row = {"data set": dataset, "lowest factor": low, "zeros called missing": policy}
            for place, metric in enumerate(DROPOUT_METRICS):
                row[NAMES[metric]] = spread(group[metric]) + ("" if before is None else f" ({before[place]:.3f})")
            rows.append(row)
    return table(pd.DataFrame(rows))


def found_zeros(details: pd.DataFrame) -> str:
    """Share of the lost values, and of the true zeros, that the consensus calls missing."""
    rows = details[details["task"].str.endswith("mask=consensus")]
    rows = rows.groupby(["dataset", "task"], sort=False)[["found_share", "false_share"]].mean().reset_index()
    rows.columns = ["data set", "mask", "of lost values", "of true zeros"]
    return table(rows, {"of lost values": ".2f", "of true zeros": ".2f"})


def demo_beside(details: pd.DataFrame) -> str:
    """ARI on two components; in brackets what the authors' figure shows for one seed."""
    rows = []
    for features, (complete, zero, theirs, soft, chained) in DEMO.items():
        group = of(details, dataset=f"simulated:features={features}")
        clear = group[group["truth_ari"] >= 0.99]
        row = {"features": features, "complete": spread(of(group, method="mean_fill")["truth_ari"]) + f" ({complete})"}
        for method, before in (("zero_fill", zero), ("mean_fill", None), ("authors", theirs), ("unbiased", theirs),
                               ("soft_impute", soft), ("iterative", chained), ("ppca", None)):  # fmt: skip
            row[method] = spread(of(group, method=method)["ari"]) + ("" if before is None else f" ({before})")
        row["unbiased, where complete ≥ .99"] = spread(of(clear, method="unbiased")["ari"])
        rows.append(row)
    return table(pd.DataFrame(rows))


def costs(details: pd.DataFrame) -> str:
    """Median seconds of a run of each method, all sets and masks together."""
    rows = details.groupby("method")["seconds"].median().sort_values().reset_index()
    return table(rows.rename(columns={"seconds": "seconds"}), {"seconds": ".2f"})


def failures(*results: Result) -> str:
    rows = pd.concat([result.failures for result in results])
    return "No run failed." if rows.empty else table(rows)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path("build/evidence-missingness"))
    parser.add_argument("--draws", type=int, default=10)
    options = parser.parse_args()
    files = [str(DATA / f"{name}.h5ad") for name in SETS]
    shared = {"draws": options.draws, "out": options.out, "progress": progress}
    say("holes that know no value")
    random = missingness.benchmark(files, METHODS, [*MASKS, CONTROL], **shared)
    random.save(options.out)
    third = shared | {"draws": max(1, options.draws // 3)}
    imputers = missingness.benchmark(files, SLOW, MASKS, **third)
    say("dropout")
    dropout = missingness.benchmark(files, ["unbiased"], DROPOUT, **shared)
    say("the demonstration")
    demo = missingness.benchmark([], DEMO_METHODS, ["authors"], simulated=DEMO_FEATURES, **shared)
    demo_slow = missingness.benchmark([], DEMO_SLOW, ["authors"], simulated=DEMO_FEATURES, **third)
    say("iterative imputation")
    few = shared | {"draws": min(ITERATIVE_DRAWS, options.draws)}
    slow = missingness.benchmark(files, ["iterative", "unbiased", "soft_impute"], ["uniform:low=0.2"], **few)
    slow_demo = missingness.benchmark([], ["iterative"], ["authors"], simulated=ITERATIVE_FEATURES, **few)
    details, lost = joined(random, imputers), done(dropout)
    shown = joined(demo, demo_slow, slow_demo)
    write(
        "evidence_missingness", machine=machine(), draws=str(options.draws), headline=headline(random),
        learnt="\n".join(f"- {line}" for line in learnt(random)), sets=sets(details), beside=beside(details),
        distances=by_set(details, "d2_error", MASKS, SHOWN), held_to=held_to(details),
        neighbors=by_set(details, "knn_recall_distances", MASKS, SHOWN), gram=by_set(details, "gram_error", MASKS, SHOWN),
        correlation=by_set(details, "d2_correlation", MASKS, SHOWN), directions=by_set(details, "sin_theta", MASKS, SHOWN),
        clusters=by_set(details, "ari", MASKS, SHOWN), authors=against_authors(details),
        oracle=by_set(details, "d2_error", MASKS, ("unbiased", "ratio_oracle", "ht", "ht_oracle", "hetero")),
        control=by_set(details, "d2_error", (CONTROL,), SHOWN), dropout=dropout_beside(lost), zeros=found_zeros(lost),
        demo=demo_beside(shown), costs=costs(details),
        iterative=by_set(done(slow), "d2_error", ("uniform:low=0.2",), ("mean_fill", "soft_impute", "iterative", "unbiased")),
        iterative_directions=by_set(
            done(slow), "sin_theta", ("uniform:low=0.2",), ("mean_fill", "soft_impute", "iterative", "unbiased")
        ),
        failures=failures(random, imputers, dropout, demo, demo_slow, slow, slow_demo),
    )  # fmt: skip


if __name__ == "__main__":
    main()
