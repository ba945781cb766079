"""Rebuild docs/evidence/coregulation.md: every number of that page comes from this one command.

    make evidence            (python -m benches.evidence_coregulation)

Needs the evidence data in the folder that CORPUSCLE_DATA names. Nothing is tuned here: all options are the defaults
of the package, and what differs from them is said where it is used.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from benches._collider import collider_table
from benches._machine import machine
from benches._pages import progress, say, table
from corpuscle.benchmarks import coregulation
from corpuscle.benchmarks.coregulation import BASE_METHODS
from corpuscle.datasets import bundled
from corpuscle.normalize.scvi import SCVI

DATA = Path(os.environ.get("CORPUSCLE_DATA", "../shared/data"))
PAGE = Path(__file__).parent.parent / "docs" / "evidence" / "coregulation.md"
SEEDS = range(5)
#: Far below the library's 400, which take half an hour a sample on two cores; the page says so.
SCVI_EPOCHS = 50
#: Heavy optional methods: judged once on the pairs, without the controls that would fit them eight times more.
OPTIONAL = ("sct_v2", SCVI(max_epochs=SCVI_EPOCHS))
#: r of IGKC and IGLC2 in marker-B cells as measured by hand when the protocol was designed (three bundled samples).
REFERENCE = {
    "raw": (-0.391, -0.448, -0.220), "cp10k": (-0.481, -0.465, -0.280), "log1p_cp10k": (-0.619, -0.644, -0.388),
    "log1p_cpm": (-0.601, -0.590, -0.411), "log1p_pf": (-0.613, -0.644, -0.372), "pf_log1p_pf": (-0.618, -0.650, -0.359),
    "sqrt": (-0.594, -0.605, -0.375), "acosh": (-0.608, -0.633, -0.380), "shifted_log_alpha": (-0.584, -0.620, -0.329),
    "pearson_analytic": (-0.487, -0.533, -0.276), "sct_v2": (-0.561, -0.614, -0.277),
    "deviance_poisson": (-0.480, -0.578, -0.361), "tfidf": (-0.620, -0.646, -0.391), "alra": (-0.662, -0.636, 0.005),
    "knn_smooth": (0.000, -0.682, 0.160),
}  # fmt: skip
#: Those that the hand measurement fitted on all cells; the others were fitted on the evaluated cells alone.
FITTED_ON_ALL = ("pearson_analytic", "sct_v2", "alra", "knn_smooth")
#: Labelled sets for the positive control, each judged inside its largest population.
LABELLED = {
    "clustering/zheng_facs_3774.h5ad": "cell_type=CD19+ B",
    "pbmc/pbmc3k.h5ad": "cell_type=Naive CD4 T",
    "perturbation/kang_ifnb_2800.h5ad": "cell_type=CD14 Mono",
    "batch/cellline3_two_platforms.h5ad": "cell_type=H1975",
    "batch/zilionis_mouse_lung.h5ad": "cell_type=Neutrophils",
}
ASSOCIATIONS = (
    "pearson",
    "spearman",
    "spearman_retied",
    "kendall_retied",
    "bicor",
    "cosine",
    "rho_p",
    "mutual_information",
)
LIGHT = {"n_boot": 0, "n_null": 0, "n_null_refits": 0, "controls": False, "variants": False}


# -- 1. the pairs -----------------------------------------------------------------------------------------------


def judged() -> tuple[coregulation.Result, coregulation.Result]:
    files = [*bundled().values(), DATA / "annotation" / "human_lymph_330.h5ad"]
    base = coregulation.benchmark(files, progress=progress)
    optional = coregulation.benchmark(
        files, OPTIONAL, controls=False, variants=False, n_null_refits=0, progress=progress
    )
    return base, optional


def leaderboard(base: coregulation.Result, optional: coregulation.Result) -> str:
    board = pd.concat([base.table, optional.table])
    board = board[board["dataset"] == "all"]

    def metric(task: str, name: str) -> pd.DataFrame:
        return board[(board["task"] == task) & (board["metric"] == name)].set_index("method")

    z, p = metric("allelic_exclusion", "z_robust"), metric("allelic_exclusion", "percentile")
    split, inflation = metric("count_split", "percentile"), metric("allelic_exclusion", "inflation_index")
    depth, failed = metric("allelic_exclusion", "depth_corr"), metric("allelic_exclusion", "failed_fraction")
    null = (
        base.extras["controls"]
        .query("control == 'null_genes' and metric == 'median_abs_r'")
        .groupby("method")["value"]
        .mean()
    )
    rows = [
        {
            "method": name,
            "percentile": interval(p.loc[name], ".3f"), "robust z": interval(z.loc[name], ".2f"),
            "count split": interval(split.loc[name], ".2f") if name in split.index else "–",
            "inflation": inflation.loc[name, "value"], "shuffled genes": float(null.get(name, np.nan)),
            "depth": depth.loc[name, "value"], "failed": f"{failed.loc[name, 'value']:.0%}",
            "s": p.loc[name, "seconds"], "MiB": p.loc[name, "peak_mib"],
        }
        for name in z.sort_values("value", ascending=False).index
    ]  # fmt: skip
    return table(
        pd.DataFrame(rows), {"inflation": ".2f", "shuffled genes": ".3f", "depth": ".2f", "s": ".2f", "MiB": ".0f"}
    )


def interval(row: pd.Series, form: str) -> str:
    return f"{row['value']:{form}} [{row['ci_low']:{form}}, {row['ci_high']:{form}}]"


def correlations(base: coregulation.Result, optional: coregulation.Result) -> str:
    """r of the first pair; beside it the hand measurement, and ours fitted on the cells that it was fitted on."""
    inside = coregulation.benchmark(
        list(bundled().values()), [m for m in REFERENCE if m not in FITTED_ON_ALL], fit_on="cells", **LIGHT
    )
    all_cells, evaluated = first_pair(pd.concat([base.details, optional.details])), first_pair(inside.details)
    rows = []
    for method in [*BASE_METHODS, "sct_v2", "scvi"]:
        row: dict[str, object] = {"method": method, "fitted": "all cells"}
        if method in REFERENCE:
            row["fitted"] += "; by hand: " + ("all cells" if method in FITTED_ON_ALL else "evaluated cells")
        for i, name in enumerate([*bundled(), "human_lymph_330"]):
            row[name] = f"{all_cells.get((method, name), np.nan):+.3f}"
            if method in REFERENCE and i < len(REFERENCE[method]):
                same = (all_cells if method in FITTED_ON_ALL else evaluated).get((method, name), np.nan)
                row[name] += f" (by hand {REFERENCE[method][i]:+.3f}, ours there {same:+.3f})"
        rows.append(row)
    return table(pd.DataFrame(rows))


def first_pair(details: pd.DataFrame) -> pd.Series:
    mine = details[(details["variant"] == "default") & (details["pair"] == "IGKC_vs_IGLC2")]
    return mine.set_index(["method", "sample_id"])["r"]


def by_sample(base: coregulation.Result, optional: coregulation.Result) -> str:
    """Percentile of each unit."""
    details = pd.concat([base.details, optional.details])
    mine = details[details["variant"] == "default"].assign(
        unit=lambda f: f["sample_id"] + " " + f["pair"].str.removeprefix("IGKC_vs_")
    )
    wide = mine.pivot_table(index="method", columns="unit", values="percentile", sort=False)
    columns = sorted(wide.columns, key=lambda unit: (unit.startswith("human"), unit))
    return table(wide[columns].reset_index(), dict.fromkeys(columns, ".3f"))


def variants(base: coregulation.Result) -> str:
    details = base.details[base.details["pair"].isin(["IGKC_vs_IGLC2", "IGKC_vs_IGLC1-7"])]
    wide = details.pivot_table(index="method", columns="variant", values="r", aggfunc="mean", sort=False)
    names = ["default", "leave_pair_out_depth", "composite_lambda"]
    return table(wide.reindex(BASE_METHODS)[names].reset_index(), dict.fromkeys(names, "+.3f"))


def compat(base: coregulation.Result) -> str:
    cards = base.extras["compat"].query("pair == 'IGKC_vs_IGLC2'")
    ours = base.details.query("variant == 'default' and method == 'log1p_cp10k' and pair == 'IGKC_vs_IGLC2'")
    joined = cards.merge(ours[["sample_id", "r", "bg_median", "percentile", "n_cells"]], on="sample_id")
    shown = joined[
        [
            "sample_id",
            "card_n_cells",
            "card_r",
            "card_median",
            "card_n_nan",
            "card_median_defined",
            "n_cells",
            "r",
            "bg_median",
        ]
    ]
    return table(shown, dict.fromkeys(["card_r", "card_median", "card_median_defined", "r", "bg_median"], "+.3f"))


# -- 2. the large, shallow set ----------------------------------------------------------------------------------


def hashing() -> tuple[str, str]:
    path = DATA / "pbmc" / "pbmc_hashing_8donors.h5ad"
    result = coregulation.benchmark(
        [path], sample_key="batch", n_boot=200, n_null_refits=0, variants=False, progress=progress
    )
    words = []
    if not result.details.empty:
        details = result.details.query("variant == 'default' and method == 'log1p_cp10k'")
        words = [f"{r.sample_id} {r.pair}: {r.status} ({r.reason})" for r in details.itertuples()]
    undone = result.failures[result.failures["method"] == ""]
    words += [f"{stage}: cannot be asked in {n} of 8 donors" for stage, n in undone.groupby("stage").size().items()]
    return "; ".join(words), split_table(result.extras["count_split"])


# -- 3. positive controls ---------------------------------------------------------------------------------------


def labelled() -> tuple[str, str]:
    parts = []
    for name, cells in LABELLED.items():
        for seed in SEEDS:
            say(f"  count split {name} seed {seed}")
            result = coregulation.benchmark(
                [DATA / name], cells=cells, seed=seed, n_boot=0, n_null_refits=0, variants=False
            )
            parts.append(result.extras["count_split"].assign(seed=seed, dataset=Path(name).stem))
    found = pd.concat(parts)
    by_seed = found.groupby(["method", "seed", "dataset"])["percentile"].mean().groupby(["method", "seed"]).mean()
    spread = by_seed.groupby("method").agg(["mean", "std", "count"]).reset_index()
    spread = spread.sort_values("mean", ascending=False)
    spread.columns = ["method", "percentile", "sd over seeds", "seeds"]
    return split_table(found[found["seed"] == 0]), table(spread, {"percentile": ".3f", "sd over seeds": ".3f"})


def split_table(found: pd.DataFrame) -> str:
    """Median r, background and percentile of split genes by abundance."""
    grouped = found.groupby(["method", "bin"])
    shown = grouped.agg(
        r=("r", "median"), background=("bg_median", "median"), percentile=("percentile", "mean"), genes=("r", "count")
    ).reset_index()
    wide = shown.pivot(index="method", columns="bin")
    order = [m for m in BASE_METHODS if m in wide.index]
    bins = sorted(shown["bin"].unique(), key=lambda b: (b.startswith(">"), b))
    rows = []
    for method in order:
        row: dict[str, object] = {"method": method}
        for b in bins:
            r, middle, place = (wide.loc[method, (what, b)] for what in ("r", "background", "percentile"))
            row[f"{b} (n={int(wide.loc[method, ('genes', b)])})"] = f"{r:.2f} / {middle:.2f} / {place:.2f}"
        rows.append(row)
    columns: dict[str, str] = {}
    frame = pd.DataFrame(rows)
    for column in frame.columns:  # the number of defined genes may differ between methods by a few
        columns.setdefault(column.split(" (n=")[0], column)
    merged = pd.DataFrame(
        {short: frame[[c for c in frame if c.split(" (n=")[0] == short]].bfill(axis=1).iloc[:, 0] for short in columns}
    )
    return table(merged)


# -- 4. stability -----------------------------------------------------------------------------------------------


def stability() -> tuple[str, str, str]:
    files = list(bundled().values())
    seeds = pd.DataFrame({seed: scores(files, background="matched_random", seed=seed) for seed in SEEDS})
    spread = pd.DataFrame(
        {"method": seeds.index, "robust z, mean of 5 seeds": seeds.mean(axis=1), "sd": seeds.std(axis=1)}
    )
    spread["rank (min-max over seeds)"] = [ranks(seeds, method) for method in seeds.index]
    backgrounds = {mode: scores(files, background=mode) for mode in ("matched", "random_expressed", "all")}
    backgrounds["matched_random"] = seeds.mean(axis=1)
    measures = {name: scores(files, association=name, skip=("cscore",)) for name in ASSOCIATIONS}
    spread = spread.sort_values("robust z, mean of 5 seeds", ascending=False)
    return (
        table(spread, {"robust z, mean of 5 seeds": ".2f", "sd": ".2f"}),
        agreement(pd.DataFrame(backgrounds), "matched"),
        agreement(pd.DataFrame(measures), "pearson"),
    )


def scores(files: list[Path], skip: Iterable[str] = (), **options: object) -> pd.Series:
    """Robust z of every method, by default rules but for ``options``."""
    say(f"  stability {options}")
    methods = [m for m in BASE_METHODS if m not in set(skip)]
    result = coregulation.benchmark(files, methods, **(LIGHT | options))
    if len(result.failures):
        raise SystemExit(f"stability {options}: {result.failures['reason'].iloc[0]}")
    found = result.table.query("dataset == 'all' and metric == 'z_robust' and task == 'allelic_exclusion'")
    return found.set_index("method")["value"].reindex(methods)


def ranks(seeds: pd.DataFrame, method: str) -> str:
    places = seeds.rank(ascending=False).loc[method]
    return f"{places.min():.0f}-{places.max():.0f}"


def agreement(found: pd.DataFrame, reference: str) -> str:
    rows = []
    for name in found:
        both = found[[reference, name]].loc[:, lambda f: ~f.columns.duplicated()].dropna()
        tau = both.iloc[:, 0].corr(both.iloc[:, -1], method="kendall")
        best = found[name].sort_values(ascending=False).index[:3]
        rows.append({"": name, f"Kendall tau with {reference}": tau, "best three": ", ".join(best)})
    return table(pd.DataFrame(rows), {f"Kendall tau with {reference}": ".2f"})


def failures(*results: coregulation.Result) -> str:
    found = pd.concat([result.failures for result in results])
    return "Nothing failed." if found.empty else "Failures and their reasons:\n\n" + table(found)


def main() -> None:
    say("1 pairs")
    base, optional = judged()
    say("2 hashing")
    hashing_words, hashing_split = hashing()
    say("3 labelled")
    split, split_spread = labelled()
    say("4 stability")
    by_seed, by_background, by_measure = stability()
    template = (Path(__file__).parent / "evidence_coregulation.md").read_text()
    page = template.format(
        machine=machine(), leaderboard=leaderboard(base, optional),
        by_sample=by_sample(base, optional), correlations=correlations(base, optional),
        variants=variants(base), compat=compat(base), collider=table(collider_table(), dict.fromkeys(
            ["union r", "union r, independent", "marker r", "marker r, independent"], "+.3f")),
        hashing_words=hashing_words, hashing_split=hashing_split, split=split, split_spread=split_spread, by_seed=by_seed,
        by_background=by_background, by_measure=by_measure,
        failures=failures(base, optional),
    )  # fmt: skip
    PAGE.write_text(page)
    say(f"wrote {PAGE}")


if __name__ == "__main__":
    main()
