"""Rebuild docs/evidence/clustering.md.

    make evidence            (python -m benches.evidence_clustering [--out FOLDER] [--jobs 1])

The numbers are those of ``corpuscle bench clustering`` on the files of REPORTED, five seeds. Finished runs are kept
in FOLDER, so that a call that was stopped goes on. The defaults of scE2TM were chosen on the files of CHOSEN_ON, which
are not reported.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import pandas as pd

from benches._machine import machine
from benches._pages import progress, spread, table, write
from corpuscle.benchmarks import clustering
from corpuscle.report import Result

DATA = Path(os.environ.get("CORPUSCLE_DATA", "../shared/data"))
CHOSEN_ON = ("pbmc/pbmc68k_reduced", "annotation/human_lymph_330", "batch/baron_human_2donors")
#: Small sets, on which the authors' 500 epochs on 5,000 genes can be afforded.
SMALL = ("clustering/pollen_human_cells", "clustering/goolam_mouse_embryo")
REPORTED = (
    *SMALL,
    "clustering/deng_mouse_embryo",
    "batch/zilionis_mouse_lung",
    "clustering/mouse_bladder_2100",
    "pbmc/pbmc3k",
    "clustering/paul15_mouse_myeloid",
    "clustering/zheng_facs_3774",
)
#: Far below the library's 400, which would take days here for all seeds on two cores; the page says so.
SCVI_EPOCHS = 50
METHODS = (
    "pca_leiden",
    "pca_kmeans",
    "sce2tm",
    f"scvi:max_epochs={SCVI_EPOCHS}",
)
PROTOCOLS = {
    "fixed": "resolution 1.0, told nothing",
    "matched": "resolution matched to the number of types",
    "kmeans": "k-means, told the number of types",
    "own": "the method's own clusters, told the number of types",
    "oracle": "resolution picked with the labels",
}


def files(names: tuple[str, ...]) -> list[str]:
    return [str(DATA / f"{name}.h5ad") for name in names]


def finished(details: pd.DataFrame) -> pd.DataFrame:
    return details[details["status"] == "ok"]


def scores(details: pd.DataFrame, metric: str) -> str:
    """A row a data set and protocol, a column a method: mean and spread over seeds."""
    details, rows = finished(details), []
    for protocol, meaning in PROTOCOLS.items():
        for dataset, group in details[details["protocol"] == protocol].groupby("dataset", sort=False):
            cells = {m: spread(rows[metric]) for m, rows in group.groupby("method", sort=False)}
            rows.append({"protocol": meaning, "data set": dataset, **cells})
        group = details[details["protocol"] == protocol]
        by_set = group.groupby(["method", "dataset"], sort=False)[metric].mean()
        rows.append({"protocol": meaning, "data set": "**mean of sets**"}
                    | {m: f"**{v:.3f}**" for m, v in by_set.groupby("method", sort=False).mean().items()})  # fmt: skip
    return table(pd.DataFrame(rows).fillna("–"))


def oracle_gap(details: pd.DataFrame) -> str:
    """What the labels add: oracle minus fixed resolution, on the same embedding."""
    wide = finished(details).groupby(["method", "protocol"], sort=False)["ari"].mean().unstack()
    wide = wide.assign(gap=wide["oracle"] - wide["fixed"]).reset_index()
    columns = ["method", "fixed", "matched", "kmeans", "oracle", "gap"]
    return table(wide.dropna(subset=["oracle"])[columns], dict.fromkeys(columns[1:], ".3f"))


def compared(result: Result) -> str:
    found = result.extras["comparisons"]
    found = found[found["metric"] == "ari"].drop(columns=["metric"])
    floats = [column for column in found if found[column].dtype.kind == "f"]
    return table(found, dict.fromkeys(floats, ".3f"))


def beside(details: pd.DataFrame) -> str:
    """Other numbers of the protocols that know no labels, mean over data sets."""
    metrics = ["ami", "nmi", "acc", "macro_f1", "rare_recall", "silhouette", "n_clusters"]
    rows = finished(details).query("protocol != 'oracle'").groupby(["protocol", "method"], sort=False)[metrics].mean()
    return table(rows.reset_index(), dict.fromkeys(metrics, ".3f") | {"n_clusters": ".1f"})


def cost(details: pd.DataFrame) -> str:
    runs = finished(details).drop_duplicates(["dataset", "method", "seed"])
    rows = runs.groupby("method", sort=False)[["seconds", "peak_mib"]].agg(["mean", "max"])
    rows.columns = ["seconds, mean", "seconds, largest", "MiB, mean", "MiB, largest"]
    return table(rows.reset_index(), dict.fromkeys(rows.columns, ".0f"))


def failures(*results: Result) -> str:
    rows = pd.concat([result.failures for result in results])
    return "No run failed." if rows.empty else table(rows)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path("build/evidence-clustering"))
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    shared = {"seeds": 5, "jobs": options.jobs, "progress": progress}
    main_run = clustering.benchmark(files(REPORTED), METHODS, out=options.out, **shared)
    main_run.save(options.out)
    authors = clustering.benchmark(files(SMALL), ("pca_leiden", "sce2tm", "sce2tm_authors"), out=options.out, **shared)
    write(
        "evidence_clustering", machine=machine(), jobs=str(options.jobs), scvi_epochs=str(SCVI_EPOCHS),
        reported=", ".join(f"`{Path(name).name}`" for name in REPORTED),
        chosen_on=", ".join(f"`{Path(name).name}`" for name in CHOSEN_ON),
        gap=oracle_gap(main_run.details), ari=scores(main_run.details, "ari"), beside=beside(main_run.details),
        comparisons=compared(main_run), authors=scores(authors.details, "ari"), cost=cost(main_run.details),
        stability=steadiness(main_run), failures=failures(main_run, authors),
    )  # fmt: skip


def steadiness(result: Result) -> str:
    """Agreement of two seeds' clusterings, mean over data sets."""
    rows = result.extras["stability"]
    wide = rows.groupby(["method", "protocol"], sort=False)["stability"].mean().unstack()
    return table(wide.reset_index(), dict.fromkeys(wide.columns, ".3f"))


if __name__ == "__main__":
    main()
