"""Tables of rare-label augmentation for the evidence page."""

from __future__ import annotations

import pandas as pd

from benches._archs4_sets import SETS
from benches._pages import spread, table
from corpuscle.benchmarks.rare_labels.display.findings import learnt
from corpuscle.report import Result

#: Figures of fidelity and copying that the page shows.
FIGURES = {
    "precision": "precision", "recall": "recall", "density": "density", "coverage": "coverage", "real_or_fake_auc": "real or fake AUC",
    "nearest_ratio": "nearest ratio", "close_share": "close share", "distinct_share": "distinct share", "spread_ratio": "spread ratio",
}  # fmt: skip


def done(result: Result) -> pd.DataFrame:
    return result.details[result.details["status"] == "ok"]


def set_table(result: Result) -> str:
    """What was asked of each set, and how hard it is."""
    rows = []
    weights = done(result)[done(result)["method"] == "class_weight"]
    for (name, label), group in weights.groupby(["dataset", "label"], sort=False):
        row = {"set": f"{name}: {SETS[name].what}", "label": label}
        for r in sorted(weights["rarity"].unique()):
            row[f"AUPRC, r = {r}"] = spread(group[group["rarity"] == r]["auprc"])
        rows.append(row)
    return table(pd.DataFrame(rows))


def interval(row: pd.Series) -> str:
    return f"{row['difference']:+.3f} ({row['ci_low']:+.3f} to {row['ci_high']:+.3f})"


def arms(result: Result) -> str:
    """Every arm, filled up to the median label, against class weights: AUPRC, F1, recall, and harm to other labels."""
    found = against_weights(result)
    rows = []
    for method, group in found[found["rarity"] == "all"].groupby("method", sort=False):
        by = group[group["amount"].isin(["", "median"])].set_index("metric")
        row = {
            "arm": method, "AUPRC": f"{by.loc['auprc', 'value']:.3f}", "gain": interval(by.loc["auprc"]),
            "Holm p": f"{by.loc['auprc', 'p_holm']:.3f}",
        }  # fmt: skip
        for metric, text in (("f1", "gain of F1"), ("recall", "gain of recall"), ("precision", "gain of precision")):
            row[text] = f"{by.loc[metric, 'difference']:+.3f}"
        row["macro-F1 of others"] = interval(by.loc["macro_f1_others"])
        rows.append(row | {"draws": by.loc["auprc", "n_draws"]})
    return table(pd.DataFrame(rows).sort_values("AUPRC", ascending=False, kind="stable"))


def amounts(result: Result) -> str:
    """Gain of AUPRC over class weights by amount, and by rarity where filled up to the median label."""
    found = against_weights(result)
    found = found[found["metric"] == "auprc"]
    rows = []
    for method, group in found[found["amount"] != ""].groupby("method", sort=False):
        every = group[group["rarity"] == "all"].set_index("amount")["difference"]
        by_r = group[(group["rarity"] != "all") & (group["amount"] == "median")].set_index("rarity")["difference"]
        row: dict[str, object] = {"arm": method}
        row |= {amount: f"{every[amount]:+.3f}" for amount in ("x1", "x5", "x10", "median")}
        rows.append(row | {f"median, r = {r}": f"{by_r[r]:+.3f}" for r in sorted(by_r.index, key=int)})
    return table(pd.DataFrame(rows))


def by_set(result: Result) -> str:
    """Gain of AUPRC over class weights on every label, filled up to the median label: arms that sample, not interpolate."""
    rows = done(result)
    rows = rows[rows["amount"].isin(["", "median"])]
    found = rows.pivot_table(index=["dataset", "label", "rarity"], columns="method", values="auprc", sort=False)
    gain = found.sub(found["class_weight"], axis=0)
    shown = ["mvn", "vae", *(name for name in gain if name.startswith(("diffusion", "gan:")))]
    gain = (
        gain[shown].map(lambda value: f"{value:+.3f}").reset_index().rename(columns={"dataset": "set", "rarity": "r"})
    )
    return table(gain)


def against_weights(result: Result) -> pd.DataFrame:
    found = result.extras["comparisons"]
    return found[(found["role"] != "null") & (found["method"] != "class_weight")]


def verdict(result: Result) -> str:
    """Learned arms against the best cheap one."""
    rows = [
        {
            "arm": row["method"], "amount": row["amount"], "best cheap arm": f"{row['best_cheap']} {row['cheap_amount']}".strip(),
            "AUPRC, its and the cheap one's": f"{row['auprc']:.3f}, {row['auprc_cheap']:.3f}", "gain": interval(row),
            "better in": f"{row['n_better']} of {row['n_draws']}", "Holm p": f"{row['p_holm']:.3f}",
            "accepted": "yes" if row["accepted"] else "no",
            "copies / collapsed / judged": f"{row['copies']} / {row['collapsed']} / {row['judged']}",
        }
        for _, row in result.extras["verdict"].iterrows()
    ]  # fmt: skip
    return table(pd.DataFrame(rows))


def fidelity(result: Result) -> str:
    """Mean figures over sets, labels and rarities of the repeats that were judged, and crossed training."""
    found = result.extras["fidelity"]
    mean = found.groupby(["method", "figure"])["value"].mean().unstack("figure")
    crossed = done(result).groupby("method")["tstr_ratio"].mean()
    copies = done(result).drop_duplicates(["dataset", "label", "rarity", "method", "seed"])
    copies = copies[copies["verdict"].fillna("") != ""]
    rows = []
    for method in mean.index:
        row: dict[str, object] = {"arm": method}
        row |= {text: f"{mean.loc[method, name]:.2f}" for name, text in FIGURES.items() if name in mean}
        row["TSTR / TRTR"] = f"{crossed[method]:.2f}"
        said = copies[copies["method"] == method]["verdict"]
        row["copies"] = f"{said.str.contains('copies').sum()} of {len(said)}"
        row["collapsed"] = f"{said.str.contains('collapsed').sum()} of {len(said)}"
        rows.append(row)
    return table(pd.DataFrame(rows))


def nulls(main: Result, more: Result) -> str:
    """Generators trained on what cannot help, against class weights; those of the second call on fewer draws."""
    rows = []
    for result in (main, more):
        found = result.extras["comparisons"]
        found = found[(found["role"] == "null") & (found["rarity"] == "all") & (found["metric"] == "auprc")]
        for _, row in found.iterrows():
            rows.append(
                {"control": row["method"], "amount": row["amount"], "AUPRC": f"{row['value']:.3f}",
                 "class weights": f"{row['other']:.3f}", "gain": interval(row), "draws": row["n_draws"]}
            )  # fmt: skip
    return table(pd.DataFrame(rows))


def lengths(result: Result) -> str:
    """AUPRC after shorter and longer training, on the sets that defaults were chosen on."""
    found = done(result)
    found = found[found["amount"].isin(["x5"]) | (found["method"] == "class_weight")]
    rows = [
        {
            "arm": method,
            "AUPRC": spread(group["auprc"]),
            "seconds a training": f"{group['seconds'].mean():.0f}",
            "draws": len(group),
        }
        for method, group in found.groupby("method", sort=False)
    ]
    return table(pd.DataFrame(rows))


def summary(result: Result) -> str:
    """What the benchmark's own page says was learnt."""
    return "\n".join(f"- {sentence}" for sentence in learnt(result))
