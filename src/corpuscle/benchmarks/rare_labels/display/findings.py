"""What a result says in plain words, and what it cannot say."""

from __future__ import annotations

from collections.abc import Iterator

from corpuscle.benchmarks._display import failed_lines, named
from corpuscle.benchmarks.rare_labels.compare import AGAINST
from corpuscle.benchmarks.rare_labels.display.standings import done_runs, entry_name, leaderboard, nulls, unit_means
from corpuscle.report import Result
from corpuscle.report.format import fixed, interval

__all__ = ["headline", "learnt", "unsaid"]

SIGNIFICANT = 0.05
FEW_SETS = 5
#: With class weights alone as good as this there is nothing left for an arm to add.
CEILING = 0.98


def headline(result: Result) -> str:
    """Whether any generator beat the best cheap arm, by how much."""
    rows = result.extras.get("verdict")
    if done_runs(result).empty:
        return "Nothing could be judged; the reasons are below"
    if rows is None or rows.empty:
        best = leaderboard(result).iloc[0]
        name = entry_name(best["method"], best["amount"])
        return (
            f"Of the arms that were run {name} has the highest mean AUPRC, {fixed(best['auprc'])}; none was a generator"
        )
    accepted = rows[rows["accepted"]]
    best = (accepted if len(accepted) else rows).sort_values("difference", ascending=False).iloc[0]
    name, cheap = entry_name(best["method"], best["amount"]), entry_name(best["best_cheap"], best["cheap_amount"])
    gain = f"{fixed(best['difference'])} of AUPRC (95 %: {interval(best['ci_low'], best['ci_high'])})"
    if len(accepted):
        return f"{name} beats the best cheap arm, {cheap}, by {gain}"
    return f"No generator beats the best cheap arm: the nearest, {name}, differs from {cheap} by {gain}"


def learnt(result: Result) -> list[str]:
    """Facts that the tables hold, each in a sentence."""
    if done_runs(result).empty:
        return [*failed_lines(result.details, result)]
    runs = result.details.drop_duplicates(["dataset", "label", "rarity", "seed", "method"])
    return [
        *_cheap(result),
        *_ceiling(result),
        *_harm(result),
        *_copies(result),
        *_nulls(result),
        *failed_lines(runs, result),
    ]


def _cheap(result: Result) -> Iterator[str]:
    rows = leaderboard(result)
    better = rows[(rows["gain_low"] > 0) & (rows["p_holm"] <= SIGNIFICANT)]
    if len(better):
        listed = [f"{entry_name(r['method'], r['amount'])} (+{fixed(r['gain'])})" for r in better.to_dict("records")]
        yield f"AUPRC is higher than with class weights for {named(listed)}."
    else:
        yield "No arm has a higher AUPRC than class weights beyond what chance explains."
    worse = rows[(rows["gain_high"] < 0) & (rows["p_holm"] <= SIGNIFICANT)]
    if len(worse):
        listed = [f"{entry_name(r['method'], r['amount'])} ({fixed(r['gain'])})" for r in worse.to_dict("records")]
        yield f"It is lower for {named(listed)}."


def _ceiling(result: Result) -> Iterator[str]:
    rows = unit_means(result, "rarity")
    easy = rows[(rows["method"] == AGAINST) & (rows["auprc"] >= CEILING)]
    if len(easy):
        listed = [f"{row.dataset}, {row.label} with {row.rarity}" for row in easy.itertuples()]
        yield f"Class weights alone reach an AUPRC of {CEILING} or more, so nothing can be gained, on {named(listed)}."


def _harm(result: Result) -> Iterator[str]:
    rows = leaderboard(result)
    harmed = rows[rows["harm_high"] < 0]
    if len(harmed):
        listed = [f"{entry_name(r['method'], r['amount'])} ({fixed(r['harm'])})" for r in harmed.to_dict("records")]
        yield f"The other labels are found less well than with class weights by {named(listed)} of macro-F1."


def _copies(result: Result) -> Iterator[str]:
    rows = result.extras.get("verdict")
    if rows is None:
        return
    for word, what in (("copies", "repeats training samples"), ("collapsed", "has collapsed")):
        for method, of in rows[rows[word] > 0].groupby("method", sort=True):
            yield f"{method} {what} in {of[word].iloc[0]} of {of['judged'].iloc[0]} judged draws."


def _nulls(result: Result) -> Iterator[str]:
    rows = nulls(result)
    for row in rows.to_dict("records"):
        helps = row["gain_low"] > 0 and row["p_holm"] <= SIGNIFICANT
        said = "helps, which only its noise can explain" if helps else "does not help"
        name = entry_name(row["method"], row["amount"])
        yield f"Null control {name} {said}: {fixed(row['gain'])} ({interval(row['gain_low'], row['gain_high'])})."


def unsaid(result: Result) -> list[str]:
    """Name the limits of this very result."""
    done = done_runs(result)
    if done.empty:
        return ["Nothing was judged, so nothing can be said about any arm."]
    out = []
    if (done["split"] == "random").any():
        out.append(
            "How well labels are found in other studies: samples were split at random, and every score is too high."
        )
    n_sets = done["dataset"].nunique()
    if n_sets < FEW_SETS:
        sets = "one data set" if n_sets == 1 else f"{n_sets} data sets"
        out.append(f"Whether a difference would hold on other data: there {'was' if n_sets == 1 else 'were'} {sets}.")
    if done["seed"].nunique() < FEW_SETS:
        out.append(f"How far numbers depend on the draw: repeats were {done['seed'].nunique()}.")
    out += [
        "What is true of labels that are rare by nature: these are common ones of which samples were taken away.",
        "What a generator could do with tuning, more samples of other labels, or another classifier.",
    ]
    return out
