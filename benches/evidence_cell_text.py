"""Rebuild docs/evidence/cell-text.md.

    make evidence            (python -m benches.evidence_cell_text [--out FOLDER])

The numbers are those of ``corpuscle bench text`` on the sets of REPORTED and STUDIES, five seeds. Finished runs are kept in
FOLDER, so that a call that was stopped goes on. Input vectors, head and loss were chosen on the sets of CHOSEN_ON, which are
not reported beside others.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from benches._machine import machine
from benches._pages import progress, say, spread, table, write
from benches._pbmc68k import rebuilt_counts
from corpuscle.benchmarks import text
from corpuscle.report import Result

DATA = Path(os.environ.get("CORPUSCLE_DATA", "../shared/data"))
LABELS = Path(__file__).parent / "text_labels.tsv"
STUDY_LABELS = Path(__file__).parent / "text_labels_studies.tsv"
REPORTED = (
    "perturbation/kang_ifnb_2800",
    "clustering/zheng_facs_3774",
    "batch/baron_human_2donors",
    "batch/onek1k_1000g",
)
STUDIES = ("perturbation/kang_ifnb_2800", "clustering/zheng_facs_3774", "batch/onek1k_1000g", "pbmc/pbmc3k")
CHOSEN_ON = ("pbmc/pbmc3k", "annotation/human_lymph_330")
ORGANS = ("blood", "pancreas")
VARIANTS = (
    "celltext",
    "celltext:mask_same_caption=false",
    "celltext:head=mlp",
)
METHODS = (
    "celltext",
    "untrained",
    "shuffled",
    "logistic",
    "logistic_text",
    "centroid",
    "majority",
    "markers",
)
#: The text encoder reads a few gene sentences a second here, so these are judged on fewer cells.
SENTENCES = ("celltext", "sentences", "sentences_trained")
SENTENCE_CELLS = 400
ALL_CAPTION = "This is a {label} cell from human peripheral blood."
#: What a prototype of this model gave on 700 cells: accuracy, balanced accuracy, macro F1, mean AUC, MRR, top-3.
PROTOTYPE = {
    ("genes, plain", "training caption"): (0.860, 0.707, 0.703, 0.974, 0.915, 0.957),
    ("genes, plain", "bare label"): (0.826, 0.691, 0.679, 0.959, 0.896, 0.955),
    ("genes, masked", "training caption"): (0.833, 0.684, 0.671, 0.973, 0.902, 0.962),
    ("genes, masked", "bare label"): (0.829, 0.691, 0.695, 0.956, 0.898, 0.952),
    ("pca, plain", "training caption"): (0.810, 0.657, 0.650, 0.928, 0.889, 0.957),
    ("pca, masked", "training caption"): (0.800, 0.654, 0.645, 0.947, 0.885, 0.960),
}
NUMBERS = ("accuracy", "balanced_accuracy", "macro_f1", "mean_auc", "mrr", "topk_accuracy@3")


def files(names: Iterable[str]) -> list[str]:
    return [str(DATA / f"{name}.h5ad") for name in names]


def done(result: Result) -> pd.DataFrame:
    return result.details[result.details["status"] == "ok"]


def by_task(details: pd.DataFrame, task: str, metrics: Iterable[str]) -> str:
    """A row a data set and method: mean and standard deviation over seeds."""
    of_task, rows = details[details["task"] == task], []
    for (dataset, method), group in of_task.groupby(["dataset", "method"], sort=False):
        rows.append({"data set": dataset, "method": method} | {metric: spread(group[metric]) for metric in metrics})
    return table(pd.DataFrame(rows)) if rows else "No data set has it."


def means(details: pd.DataFrame, tasks: Iterable[str], metrics: Iterable[str]) -> str:
    """Means over data sets of the means over seeds."""
    metrics = list(metrics)
    of_tasks = details[details["task"].isin(list(tasks))]
    by_set = of_tasks.groupby(["task", "method", "dataset"], sort=False)[metrics].mean()
    found = by_set.groupby(["task", "method"], sort=False).agg(["mean"]).droplevel(1, axis=1)
    found["data sets"] = by_set.groupby(["task", "method"], sort=False).size()
    return table(found.reset_index(), dict.fromkeys(metrics, ".3f"))


def types(result: Result, task: str, methods: Iterable[str]) -> str:
    """A row a type: AUC and recall of each method, mean over seeds."""
    found = result.extras["types"]
    found = found[(found["task"] == task) & found["method"].isin(list(methods))]
    if task.endswith("new_types"):
        found = found[found["left_out"]]
    wide = found.groupby(["dataset", "type", "method"], sort=True)[["auc", "recall"]].mean().unstack("method")
    wide.columns = [f"{metric} {method}" for metric, method in wide.columns]
    return table(wide.reset_index(), dict.fromkeys(wide.columns, ".3f"))


def retrieval(result: Result, methods: Iterable[str]) -> str:
    found = result.extras["types"]
    found = found[(found["task"] == "new_cells") & found["method"].isin(list(methods))]
    wide = found.groupby(["dataset", "type", "method"], sort=True)[["precision@10", "r_precision"]].mean()
    wide = wide.unstack("method")
    wide.columns = [f"{metric} {method}" for metric, method in wide.columns]
    return table(wide.reset_index(), dict.fromkeys(wide.columns, ".2f"))


def blood(out: Path) -> tuple[str, str]:
    """The 700 cells on which a prototype was measured: the same set-up through the whole chain."""
    shared = {
        "caption": ALL_CAPTION, "wordings": ("{label}",), "setups": ("new_cells", "new_types"),
        "embeddings": ("hvg:n=765", "pca:n_components=50"), "out": out, "progress": progress,
    }  # fmt: skip
    words = ["celltext:mask_same_caption=false", "celltext", "untrained", "shuffled", "centroid", "logistic"]
    result = text.benchmark([rebuilt_counts()], words, **shared)
    rows: list[dict[str, object]] = []
    for (vectors, query), values in PROTOTYPE.items():
        shown = {metric: f"{value:.3f}" for metric, value in zip(NUMBERS, values, strict=True)}
        rows.append({"what": f"prototype, {vectors}", "query": query} | shown)
    details = done(result)
    for (method, task), group in details.groupby(["method", "task"], sort=False):
        if task != "new_types":
            query = "training caption" if task == "new_cells" else "bare label"
            rows.append({"what": method, "query": query} | {m: spread(group[m]) for m in NUMBERS})
    left = by_task(details, "new_types", ("mean_auc", "accuracy", "mrr"))
    return table(pd.DataFrame(rows)), left


def choose(**shared: Any) -> pd.DataFrame:
    """Runs on the sets that vectors, head and loss were chosen on."""
    runs = [(VARIANTS, "pca"), (VARIANTS[:1], "hvg:n=512")]
    found = [
        text.benchmark(
            files(CHOSEN_ON), methods, embeddings=[words], setups=("new_cells", "new_types"), label_map=LABELS, **shared
        )
        for methods, words in runs
    ]
    return pd.concat([done(result) for result in found]).drop_duplicates(["dataset", "task", "method", "seed"])


def failures(*results: Result) -> str:
    rows = pd.concat([result.failures for result in results])
    return "No run failed." if rows.empty else table(rows)


def notes(*results: Result) -> str:
    said = sorted(
        {str(note) for result in results if "notes" in result.extras for note in result.extras["notes"]["note"]}
    )
    return "\n".join(f"- {line}" for line in said) or "- nothing"


def sets(details: pd.DataFrame) -> str:
    cells = details[details["task"] == "new_cells"].groupby("dataset", sort=False)["n"].max().astype(int).reset_index()
    return table(cells.rename(columns={"dataset": "data set", "n": "cells judged a seed"}))


def tests(result: Result) -> str:
    found = result.extras["comparisons"]
    found = found[found["metric"].isin(["accuracy", "mean_auc"]) & found["method"].str.startswith("celltext")]
    floats = [column for column in found if found[column].dtype.kind == "f"]
    return table(found, dict.fromkeys(floats, ".3f"))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path("build/evidence-cell-text"))
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    shared = {"seeds": options.seeds, "out": options.out, "progress": progress}
    say("choosing")
    chosen = choose(**shared)
    say("the 700 cells")
    regression, regression_left = blood(options.out)
    say("reported")
    result = text.benchmark(
        files(REPORTED), METHODS, group="batch", setups=("new_cells", "held_out_groups", "new_types"), label_map=LABELS,
        organs=ORGANS, **shared,
    )  # fmt: skip
    result.save(options.out)
    say("gene sentences")
    few = text.benchmark(
        files(REPORTED), SENTENCES, setups=("new_cells",), label_map=LABELS, max_cells=SENTENCE_CELLS, **shared
    )
    say("studies")
    studies = text.benchmark(
        files(STUDIES),
        [m for m in METHODS if m != "untrained"],
        setups=("other_study",),
        label_map=STUDY_LABELS,
        organs=ORGANS,
        **shared,
    )
    details, across = done(result), done(studies)
    wordings = [task for task in details["task"].unique() if task.startswith("new_wording")]
    main_metrics = ("accuracy", "macro_f1", "mean_auc", "mrr")
    compared = ("celltext@pca", "logistic@pca", "logistic_text@pca", "markers")
    write(
        "evidence_cell_text", machine=machine(), sets=sets(details),
        chosen=means(chosen, ("new_cells", "new_types"), ("accuracy", "macro_f1", "mean_auc", "mrr")),
        regression=regression, regression_left=regression_left,
        new_cells=by_task(details, "new_cells", (*main_metrics, "cell_precision@10")),
        new_wording=means(details, ["new_cells", *wordings], main_metrics),
        groups=by_task(details, "held_out_groups", main_metrics),
        new_types=by_task(details, "new_types", ("mean_auc", "accuracy", "mrr")),
        each_type=types(result, "new_types", compared),
        studies=by_task(across, "other_study", main_metrics), studies_new=by_task(across, "other_study_new_types", main_metrics),
        retrieval=retrieval(result, compared), sentences=by_task(done(few), "new_cells", main_metrics), tests=tests(result), notes=notes(result, studies),
        failures=failures(result, few, studies),
    )  # fmt: skip


if __name__ == "__main__":
    main()
