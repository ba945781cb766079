"""Classifiers and retrieval for the evidence page: series held out, beside a random split.

    python -m benches._archs4_classify [--out FOLDER]

warms the scores, which are kept beside the sets until the code of the bulk room or of normalisation changes.
"""

from __future__ import annotations

import argparse
import json
import warnings
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd

from benches._archs4_sets import SETS, written
from benches._pages import say, spread, table
from corpuscle import open_counts
from corpuscle.benchmarks._engines import engine_versions, source_digest
from corpuscle.bulk import Features, Labels, SampleIndex, retrieval_precision, series_groups
from corpuscle.bulk.classify import evaluate

SEEDS = 5
MODELS = ("majority", "knn", "logistic", "mlp", "reference")
#: A calibrated forest is grown hundreds of times here, so that only the smallest set has it; boosting takes longer still.
MORE = {"onek1k": ("random_forest",)}
BULK_MODELS = ("majority", "knn", "logistic")
#: Sets of three series or more; with two, as in kang, no label can be held out and also be trained on several.
GROUPED = ("lung", "onek1k")
METHODS: dict[str, tuple[str, dict[str, object]]] = {
    "log_cpm": ("log_cpm", {}), "log_cpm_prior": ("log_cpm_prior", {}), "tmm_cpm": ("tmm_cpm", {}), "mor": ("mor", {}),
    "vst": ("vst", {}), "log2_qn": ("log2_qn", {}), "log2_qn, zeros kept": ("log2_qn", {"zero": "keep"}),
}  # fmt: skip
CORTEX = ("brain_anterior_cingulate_cortex", "brain_frontal_cortex")
SOURCES = {"heart against muscle": ("heart", "muscle"), "two regions of the cortex": CORTEX}
PCS = 50
CODE = ("corpuscle.bulk", "corpuscle.normalize")


def evaluated(
    folder: Path,
    name: str,
    models: tuple[str, ...],
    method: str = "log_cpm",
    keep: tuple[str, ...] = (),
    label: str = "label",
    compare: bool = False,
) -> pd.DataFrame:
    """Overall scores of five draws of the folds; without series the split is random."""
    asked = json.dumps([name, models, method, keep, label, compare, SEEDS, PCS, source_digest(CODE), engine_versions()])
    kept = folder / "classify" / f"{sha256(asked.encode()).hexdigest()[:20]}.csv"
    if kept.exists():
        return pd.read_csv(kept)
    say(f"classify {name}: {', '.join(models)}, {method}{', ' + ' and '.join(keep) if keep else ''}")
    normalizer, params = METHODS[method]
    bulk = name == "gtex"
    with open_counts(written(name, folder)) as counts:
        if keep:
            counts = counts.view(np.flatnonzero(counts.obs["label"].isin(keep)))
        series = None if bulk else series_groups(counts.obs, "series")[0]
        features = Features(normalizer, params=params, n_genes=2000, n_pcs=PCS, min_reads=20 if bulk else 0)
        found = evaluate(
            counts, Labels.from_obs(counts, label), series, models=models, split="random" if bulk else "series", compare=compare,
            seeds=SEEDS, features=features, n_boot=50,
        ).overall  # fmt: skip
    kept.parent.mkdir(exist_ok=True)
    found.to_csv(kept, index=False)
    return found


def seeds_of(rows: pd.DataFrame, model: str, split: str, metric: str = "macro_f1") -> pd.Series:
    """One value a draw of the folds."""
    return rows[(rows["model"] == model) & (rows["split"] == split) & (rows["metric"] == metric)]["value"]


def gaps(folder: Path) -> str:
    """Macro-F1 by series and at random."""
    rows = []
    for name in GROUPED:
        models = (*MODELS, *MORE.get(name, ()))
        found = evaluated(folder, name, models, compare=True)
        for model in models:
            split = "as published" if model == "reference" else "series"
            by_series, at_random = (seeds_of(found, model, of) for of in (split, "random"))
            rows.append(
                {
                    "set": name, "model": model, "macro-F1, series held out": "–" if model == "reference" else spread(by_series),
                    "random split": spread(by_series if model == "reference" else at_random),
                    "samples-F1": spread(seeds_of(found, model, split, "samples_f1")),
                    "ECE": "–" if model == "reference" else spread(seeds_of(found, model, "series", "ece")),
                }
            )  # fmt: skip
    return table(pd.DataFrame(rows))


def cortex(folder: Path) -> str:
    """Bulk samples: what looks perfect, and what can be asked."""
    rows = []
    asked = {"source of the file (pipeline)": ((), "source"), "four tissues": ((), "label")}
    asked |= {text: (keep, "label") for text, keep in SOURCES.items()}
    for text, (keep, label) in asked.items():
        found = evaluated(folder, "gtex", BULK_MODELS, keep=keep, label=label)
        rows.append({"asked": text} | {model: spread(seeds_of(found, model, "random")) for model in BULK_MODELS})
    return table(pd.DataFrame(rows))


def normalisations(folder: Path) -> str:
    """The same classifier after each normalisation."""
    rows = []
    for method in METHODS:
        row: dict[str, object] = {"normalisation": method}
        for name in GROUPED:
            row[name] = spread(seeds_of(evaluated(folder, name, ("logistic",), method), "logistic", "series"))
        found = evaluated(folder, "gtex", ("logistic",), method, CORTEX)
        row["gtex, cortex regions"] = spread(seeds_of(found, "logistic", "random"))
        rows.append(row)
    return table(pd.DataFrame(rows))


def retrieval(folder: Path) -> str:
    """Precision of the ten most similar samples, with and without those of the same series."""
    rows = []
    for name in ("kang", *GROUPED):
        say(f"retrieval {name}")
        with open_counts(written(name, folder)) as counts:
            features = Features("log_cpm", n_genes=2000, n_pcs=PCS, min_reads=0).fit(counts)
            index = SampleIndex.build(counts, features, series="series")
            labels = counts.obs["label"].astype(str).tolist()
            apart, together = (retrieval_precision(index, labels, exclude_series=e) for e in (True, False))
        rows.append(
            {
                "set": f"{name}: {SETS[name].what}", "samples": counts.n_obs,
                "other series only": f"{apart.precision:.3f} ({apart.ci_low:.3f} to {apart.ci_high:.3f})",
                "same series too": f"{together.precision:.3f}", "chance": f"{apart.chance:.3f}",
            }
        )  # fmt: skip
    return table(pd.DataFrame(rows))


def main() -> None:
    parser = argparse.ArgumentParser(description="Scores of classifiers for the evidence page.")
    parser.add_argument("--out", type=Path, default=Path("build/evidence-archs4"))
    sets = parser.parse_args().out / "sets"
    warnings.simplefilter("ignore", UserWarning)
    for made in (cortex(sets), gaps(sets), normalisations(sets), retrieval(sets)):
        print(made, end="\n\n")


if __name__ == "__main__":
    main()
