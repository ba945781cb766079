"""Drawings of the page: gain, rarity, harm, and what was made looked at beside real samples."""

from __future__ import annotations

from markupsafe import Markup

from corpuscle.benchmarks.rare_labels.display.boards import rarity_table, signed
from corpuscle.benchmarks.rare_labels.display.plots import embedded
from corpuscle.benchmarks.rare_labels.display.standings import by_rarity, done_runs, entry_name, standings
from corpuscle.report import Axis, Lane, Mark, Result, Section, Span, frame_table, lanes, prose, unfold
from corpuscle.report.format import defined, fixed, interval

__all__ = ["differences", "fidelity_section", "rarity_section"]

#: What the table of samples shows of all figures, in its order.
SHOWN = (
    "nearest_ratio", "close_share", "distinct_relative", "spread_ratio", "rank_ratio", "precision", "recall", "density",
    "coverage", "mmd2", "mmd_p", "frechet", "wasserstein", "real_or_fake_auc", "correlation_agreement", "negative_share",
)  # fmt: skip


def differences(result: Result, name: str, caption: str) -> Markup:
    """Differences from class weights with intervals, a lane an arm and amount."""
    rows = standings(result)
    rows = rows[rows[name].notna()]
    if rows.empty:
        return prose("There is nothing to draw.")
    axis = Axis.around(rows[[name, f"{name}_low", f"{name}_high"]].to_numpy(float).ravel(), caption, reference=0.0)
    drawn = []
    for row in rows.to_dict("records"):
        label = entry_name(row["method"], row["amount"]) + (" (null)" if row["role"] == "null" else "")
        low, high, value = row[f"{name}_low"], row[f"{name}_high"], row[name]
        title = f"{fixed(value)}, 95 %: {interval(low, high)}"
        spans = [Span(low, high, "interval")] if defined(low) else []
        drawn.append(Lane(label, [Mark(value, "target", title)], spans, numbers=[signed(value)]))
    key = (("target", "difference"), ("interval", "95 % interval"))
    return lanes(drawn, axis, caption=caption, heads=["difference"], key=key, slim=True)


def rarity_section(result: Result) -> Section:
    """AUPRC against the training samples of the label."""
    rows = by_rarity(result)
    said = []
    for r, of in rows[rows["role"] != "null"].groupby("rarity"):
        best = of.loc[of["auprc"].idxmax()]
        said.append(
            f"with {r} samples {entry_name(best['method'], best['amount'])} is highest ({fixed(best['auprc'])})"
        )
    alt = f"Lines of AUPRC against training samples of the label, one an arm: {'; '.join(said)}."
    caption = "AUPRC on held-out series against training samples of the label; candidates red, cheap arms grey."
    body = embedded(result, "rarity", caption, alt) + rarity_table(result)
    return Section("rarity", "How rare is rare", "Rarity", body)


def fidelity_section(result: Result) -> Section:
    """What arms made, beside real held-out samples of the label."""
    title = "Are the samples good, and are they new?"
    figures = result.extras.get("fidelity")
    if figures is None or figures.empty:
        return Section("fidelity", title, "Samples", prose("No synthetic sample was judged."))
    keys = ["method", "rarity"]
    mean = figures.groupby([*keys, "figure"])[["value", "reference"]].mean().reset_index()
    wide = mean.pivot(index=keys, columns="figure", values="value")
    wide = wide[[name for name in SHOWN if name in wide]].reset_index()
    wide.insert(2, "verdict", [_words(result, row) for row in wide[keys].to_dict("records")])
    text = (
        "Mean over labels and repeats that were judged. A nearest ratio of 1 is right and far less is copying; distinct, "
        "spread and rank near 0 are collapse; a classifier that tells real from synthetic samples has 0.5 where it cannot. "
        "Held-out samples are of other series, so the same figures of real training samples stand in the second table."
    )
    reasons = dict.fromkeys(SHOWN, "undefined for so few samples")
    body = prose(text) + frame_table("samples", "Synthetic samples by arm and rarity", wide, reasons=reasons)
    every = figures.drop(columns="role")
    reasons = dict.fromkeys(("value", "reference"), "undefined for these samples; the reason is in the last column")
    body += unfold("Every figure of every label", frame_table("every-figure", "Figures of synthetic samples, and of real "
                   "training samples in their place", every, reasons=reasons))  # fmt: skip
    return Section("fidelity", title, "Samples", body)


def _words(result: Result, row: dict[str, object]) -> str:
    """How many of the judged draws repeat training samples or have collapsed."""
    done = done_runs(result)
    of = done[(done["method"] == row["method"]) & (done["rarity"] == row["rarity"]) & (done["verdict"] != "")]
    of = of[of["verdict"].notna()].drop_duplicates(["dataset", "label", "seed"])
    counts = {word: int(of["verdict"].str.contains(word).sum()) for word in ("copies", "collapsed")}
    said = [f"{word} in {n} of {len(of)}" for word, n in counts.items() if n]
    return "; ".join(said) or ("neither" if len(of) else "not judged")
