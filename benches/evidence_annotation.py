"""Rebuild docs/evidence/annotation.md.

    make evidence            (python -m benches.evidence_annotation [--out FOLDER])

The numbers are those of ``corpuscle bench annotation`` on the sets of REPORTED, five draws of 80 % of the cells. Finished
runs are kept in FOLDER, so that a call that was stopped goes on. The constants of the guards were chosen on the files of
CHOSEN_ON, which are not reported.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from benches._machine import machine
from benches._organ_scores import OrganMarkers, OrganPrototypes, OrganText, OrganUCell
from benches._pages import progress, say, spread, table, write
from benches._pbmc68k import guarded_beside, published_grid
from corpuscle.benchmarks import annotation
from corpuscle.benchmarks.annotation.refinements import DEFAULT
from corpuscle.report import Result

DATA = Path(os.environ.get("CORPUSCLE_DATA", "../shared/data"))
LABELS = Path(__file__).parent / "annotation_labels.tsv"
REPORTED = {
    "zheng_facs_3774": "clustering/zheng_facs_3774",
    "pbmc3k": "pbmc/pbmc3k",
    "kang_control": "perturbation/kang_ifnb_2800",
    "kang_stimulated": "perturbation/kang_ifnb_2800",
    "human_lymph_330": "annotation/human_lymph_330",
    "baron_human_2donors": "batch/baron_human_2donors",
    "zilionis_mouse_lung": "batch/zilionis_mouse_lung",
}
SMALL = ("human_lymph_330", "zilionis_mouse_lung")
#: Sets that the guards' rules and constants were chosen on; those of the second kind have no types with markers.
CHOSEN_MARKERS = ("batch/onek1k_1000g", "clustering/paul15_mouse_myeloid")
CHOSEN_REFERENCE = (
    "clustering/mouse_bladder_2100",
    "clustering/pollen_human_cells",
    "clustering/pbmc_4271_hvg",
    "clustering/mouse_endocrinogenesis_hvg",
    "clustering/deng_mouse_embryo",
    "clustering/goolam_mouse_embryo",
    "clustering/worm_neuron",
    "clustering/cellline3_10x_894g",
)
REFERENCES = ("reference", "reference:per_type=40")
STRENGTHS = (0.3, 0.5, 1.0)
#: All that are built in, and the guards on scores that were standardised type by type.
METHODS = (*DEFAULT, "guarded:transform=zscore")
SHOWN = ("raw", "grit", "guarded", "majority_vote")
NOISE = tuple(f"noise:fraction={share}" for share in (0.1, 0.2, 0.4))


def inputs(folder: Path) -> list[str]:
    """Files of REPORTED; the two conditions of one of them are sets of their own."""
    import anndata as ad

    out = []
    for name, where in REPORTED.items():
        path = DATA / f"{where}.h5ad"
        if name.startswith("kang_"):
            cells = ad.read_h5ad(path)
            path = folder / f"{name}.h5ad"
            if not path.exists():
                folder.mkdir(parents=True, exist_ok=True)
                cells[
                    cells.obs["condition"] == {"kang_control": "ctrl", "kang_stimulated": "stim"}[name]
                ].copy().write_h5ad(path)
        out.append(str(path))
    return out


def done(result: Result) -> pd.DataFrame:
    return result.details[result.details["status"] == "ok"]


def main_table(details: pd.DataFrame) -> str:
    """A row a source and data set: accuracy and macro-F1 of the raw scores, and of what was made of them."""
    rows = []
    for task, of_task in details.groupby("task", sort=False):
        for dataset, group in of_task.groupby("dataset", sort=False):
            row = {"scores": task, "data set": dataset}
            for metric, short in (("accuracy", "acc."), ("macro_f1", "F1")):
                for method in SHOWN:
                    row[f"{short} {method}"] = spread(group[group["method"] == method][metric])
            rows.append(row)
    return table(pd.DataFrame(rows))


def changes(details: pd.DataFrame) -> pd.DataFrame:
    """A row a source, data set and method: mean over seeds of the difference to the raw scores."""
    mean = details.groupby(["task", "dataset", "method"], sort=False)[["accuracy", "macro_f1"]].mean()
    raw = mean.xs("raw", level="method")
    return (mean - raw.reindex(mean.index.droplevel("method")).to_numpy()).reset_index()


def goal(details: pd.DataFrame, methods: Iterable[str]) -> str:
    """What the refinement is held to: no macro-F1 falls by more than 0.01, and accuracy gains as much as unguarded."""
    difference, rows = changes(details), []
    for method in methods:
        of_method = difference[difference["method"] == method]
        for task, group in [*of_method.groupby("task", sort=False), ("all", of_method)]:
            worst = group.loc[group["macro_f1"].idxmin()] if len(group) else None
            rows.append({
                "method": method, "scores": task, "mean gain in accuracy": group["accuracy"].mean(),
                "mean gain in macro-F1": group["macro_f1"].mean(), "worst macro-F1": group["macro_f1"].min(),
                "where": "–" if worst is None else f"{worst['dataset']}" + (f" ({worst['task']})" if task == "all" else ""),
                "sets harmed by > 0.01": f"{int((group['macro_f1'] < -0.01).sum())} of {len(group)}",
            })  # fmt: skip
    return table(
        pd.DataFrame(rows), dict.fromkeys(("mean gain in accuracy", "mean gain in macro-F1", "worst macro-F1"), "+.3f")
    )


def everything(details: pd.DataFrame) -> str:
    """Mean over data sets and seeds of every metric, for every refinement."""
    metrics = [
        "accuracy",
        "balanced_accuracy",
        "macro_f1",
        "worst_f1",
        "ece",
        "brier",
        "ontology_distance",
        "changed",
        "n_erased",
    ]
    by_set = details.groupby(["task", "method", "dataset"], sort=False)[metrics].mean()
    mean = by_set.groupby(["task", "method"], sort=False).mean().reset_index()
    return table(mean, dict.fromkeys(metrics, ".3f") | {"n_erased": ".1f"})


def tests(result: Result) -> str:
    found = result.extras["comparisons"]
    found = found[
        (found["metric"] != "balanced_accuracy")
        & found["method"].isin(["grit", "guarded", "majority_vote", "grit_permuted"])
    ]
    found = found.drop(columns=["told"]).rename(columns={"task": "scores"})
    floats = [column for column in found if found[column].dtype.kind == "f"]
    return table(found, dict.fromkeys(floats, ".3f"))


def losers(result: Result, most: int = 12) -> str:
    """Types that lose most F1 to the published method, and what the guards and the vote leave of them."""
    types = result.extras["types"]
    wide = types.groupby(["task", "dataset", "type", "method"])["f1"].mean().unstack()[list(SHOWN)]
    wide = (
        wide.assign(lost=wide["grit"] - wide["raw"]).sort_values("lost").head(most).drop(columns="lost").reset_index()
    )
    return table(wide.rename(columns={"task": "scores"}), dict.fromkeys(SHOWN, ".3f"))


def permuted(details: pd.DataFrame) -> str:
    below = details.pivot_table(index=["task", "dataset", "seed"], columns="method", values="accuracy")
    worse = (below["grit_permuted"] < below["raw"]).groupby("task", sort=False).agg(["sum", "count"]).reset_index()
    worse.columns = ["scores", "runs below raw", "runs"]
    return table(worse)


def noise(result: Result) -> str:
    details = done(result)
    rows = []
    for (task, dataset), group in details.groupby(["task", "dataset"], sort=False):
        row = {"noise": task.removeprefix("noise:"), "data set": dataset}
        rows.append(row | {m: spread(group[group["method"] == m]["accuracy"]) for m in (*SHOWN, "grit_permuted")})
    return table(pd.DataFrame(rows))


def chosen(result: Result) -> str:
    """Gains on the sets that the constants were chosen on."""
    difference = changes(done(result))
    rows = difference[difference["method"] != "raw"].groupby("method", sort=False)
    frame = rows.agg(
        accuracy=("accuracy", "mean"), macro_f1=("macro_f1", "mean"), worst=("macro_f1", "min")
    ).reset_index()
    frame.columns = ["method", "mean gain in accuracy", "mean gain in macro-F1", "worst macro-F1"]
    return table(frame, dict.fromkeys(frame.columns[1:], "+.3f"))


def failures(*results: Result) -> str:
    rows = pd.concat([result.failures for result in results])
    return "No run failed." if rows.empty else table(rows)


def notes(result: Result) -> str:
    """What was without markers."""
    said = result.extras["notes"]["note"]
    lines = sorted({line for line in said if "without markers" in line})
    return "\n".join(f"- {line}" for line in lines) or "- every type has markers in every set"


def choose(out: Path) -> list[Result]:
    """Runs on the sets that the constants were chosen on."""
    words = ["raw", "grit", "guarded", *(f"guarded:lam={lam:g}" for lam in STRENGTHS)]
    shared = {"seeds": 5, "label_map": LABELS, "out": out, "progress": progress}
    files = [str(DATA / f"{name}.h5ad") for name in CHOSEN_MARKERS]
    with_markers = annotation.benchmark(
        files, [OrganMarkers(), OrganUCell(), OrganPrototypes(), *REFERENCES], words, **shared
    )
    files = [str(DATA / f"{name}.h5ad") for name in CHOSEN_REFERENCE]
    del shared["label_map"]
    return [with_markers, annotation.benchmark(files, REFERENCES, words, **shared)]


def joined(results: list[Result]) -> Result:
    first = results[0]
    return Result(
        benchmark=first.benchmark, table=pd.concat([r.table for r in results]), failures=pd.concat([r.failures for r in results]),
        details=pd.concat([r.details for r in results]), extras={}, run=first.run,
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path("build/evidence-annotation"))
    options = parser.parse_args()
    files = inputs(options.out / "inputs")
    shared = {"seeds": 5, "label_map": LABELS, "out": options.out, "progress": progress}
    say("choosing")
    chosen_on = joined(choose(options.out))
    say("reported")
    sources = [OrganMarkers(), OrganUCell(), "reference", OrganPrototypes()]
    result = annotation.benchmark(files, sources, METHODS, **shared)
    result.save(options.out)
    small = [path for path in files if Path(path).stem in SMALL]
    text = annotation.benchmark(small, [OrganText()], ["raw", "grit", "guarded", "majority_vote"], **shared)
    spoilt = annotation.benchmark(files, NOISE, [*SHOWN, "grit_permuted"], **shared)
    details = done(result)
    counts = details.groupby("dataset", sort=False)[["n", "n_types"]].max()
    write(
        "evidence_annotation", machine=machine(), chosen_on=chosen(chosen_on),
        sets=table(counts.reset_index().rename(columns={"dataset": "data set", "n": "cells judged", "n_types": "types"})),
        main=main_table(details), goal=goal(details, [m for m in METHODS if m not in ("raw", "grit_permuted")]),
        everything=everything(details), tests=tests(result), losers=losers(result), permuted=permuted(details),
        noise=noise(spoilt), text=main_table(done(text)), published=published_grid(), beside=guarded_beside(), notes=notes(result),
        failures=failures(chosen_on, result, text, spoilt),
    )  # fmt: skip


if __name__ == "__main__":
    np.seterr(all="warn")
    main()
