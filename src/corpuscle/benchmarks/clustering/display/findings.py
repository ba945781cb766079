"""What a result says in plain words, and what it cannot say."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from corpuscle.benchmarks._display import failed_lines, named
from corpuscle.benchmarks.clustering.compare import FEWEST_SETS
from corpuscle.benchmarks.clustering.display.standings import done_runs, leaderboard
from corpuscle.benchmarks.clustering.options import is_baseline
from corpuscle.report import Result
from corpuscle.report.format import defined, fixed, significant

__all__ = ["gaps", "headline", "learnt", "unsaid"]

SIGNIFICANT = 0.05
#: Clusters of two seeds that agree less than this are not the same finding.
UNSTEADY = 0.7


def headline(result: Result) -> str:
    """Which method to use on data like these, and what an oracle would have claimed."""
    board = leaderboard(result)
    scored = board[board["ari"].notna()] if "ari" in board else board.iloc[:0]
    if scored.empty:
        return "No method could be scored; the reasons are below"
    free = _complete(scored[scored["told"] == "nothing"]).sort_values("ari", ascending=False, kind="stable")
    if free.empty:
        best = scored.iloc[0]
        return (
            f"Every score was told something of the truth; {best['method']} has the highest ARI, {fixed(best['ari'])}"
        )
    chosen, reason = _advice(free, result)
    text = f"Use {chosen['method']}: ARI {fixed(chosen['ari'])} told nothing, {reason}"
    oracle = scored[(scored["protocol"] == "oracle") & (scored["method"] == chosen["method"])]
    if len(oracle):
        text += f"; a resolution picked by the labels would have claimed {fixed(oracle.iloc[0]['ari'])}"
    return text


def _complete(board: pd.DataFrame) -> pd.DataFrame:
    """Methods that did every data set, if any did: a mean over fewer may be one over the easy ones."""
    whole = board[board["n_sets"] == board["of_sets"]]
    return whole if len(whole) else board


def _advice(free: pd.DataFrame, result: Result) -> tuple[pd.Series, str]:
    """(row of the method to use, why): what is simple wins until something is shown to be better."""
    best = free.iloc[0]
    if len(free) == 1:
        return best, "with nothing beside it to compare"
    simple = free[[is_baseline(str(method)) for method in free["method"]]]
    if simple.empty:
        return best, "the highest, with no simple baseline run beside it"
    base = simple.iloc[0]
    if is_baseline(str(best["method"])):
        return best, "and no method is ahead of it"
    test = _comparison(result, best)
    if test is not None and test["p_holm"] < SIGNIFICANT and test["difference"] > 0:
        return best, f"ahead of {base['method']} ({fixed(base['ari'])}, p {significant(test['p_holm'], 2)})"
    rival = f"{best['method']} ({fixed(best['ari'])})"
    if test is None or defined(test["p_holm"]):
        return base, f"and {rival} is not shown to be better"
    n = int(test["n_sets"])
    return base, f"since {n} data set{'s' * (n != 1)} cannot show that {rival} is better"


def _comparison(result: Result, row: pd.Series) -> pd.Series | None:
    table = result.extras.get("comparisons")
    if table is None:
        return None
    same = table[
        (table["metric"] == "ari")
        & (table["method"] == row["method"])
        & (table["told"] == row["told"])
        & (table["protocol"] == row["protocol"])
    ]
    return same.iloc[0] if len(same) else None


def gaps(board: pd.DataFrame) -> pd.DataFrame:
    """Method, fixed, matched, kmeans, oracle: mean ARI of one and the same embedding, and oracle less fixed as gap."""
    wide = board[board["protocol"].isin(["fixed", "matched", "kmeans", "oracle"])]
    wide = wide.pivot_table(index="method", columns="protocol", values="ari", aggfunc="first", sort=False)
    wide = wide.reindex(columns=["fixed", "matched", "kmeans", "oracle"]).rename_axis(columns=None).reset_index()
    return wide.assign(gap=wide["oracle"] - wide["fixed"])


def learnt(result: Result) -> list[str]:
    """Facts that the tables hold, each in a sentence."""
    board = leaderboard(result)
    if "ari" not in board or board["ari"].isna().all():
        return [*failed_lines(_runs(result), result)]
    return [
        *_oracle(board),
        *_number(board),
        *_compared(result),
        *_unsteady(board),
        *failed_lines(_runs(result), result),
    ]


def _oracle(board: pd.DataFrame) -> Iterator[str]:
    both = gaps(board).dropna(subset=["gap"]).sort_values("gap", kind="stable")
    if both.empty:
        return
    low, high = both.iloc[0], both.iloc[-1]
    if len(both) == 1:
        yield f"Picking the resolution by the labels adds {fixed(high['gap'])} to the ARI of {high['method']}."
    else:
        yield (
            f"Picking the resolution by the labels adds {fixed(low['gap'])} ({low['method']}) to {fixed(high['gap'])} "
            f"({high['method']}) to the ARI of one and the same embedding."
        )
    claimed = both.loc[both["oracle"].idxmax()]
    honest = both.loc[both["fixed"].idxmax()]
    if claimed["method"] != honest["method"]:
        yield (
            f"It also changes who leads: {claimed['method']} by the oracle ({fixed(claimed['oracle'])}), "
            f"{honest['method']} at resolution 1.0 ({fixed(honest['fixed'])})."
        )


def _number(board: pd.DataFrame) -> Iterator[str]:
    told = _complete(board[(board["told"] == "n_types") & board["ari"].notna()])
    if len(told):
        best = told.loc[told["ari"].idxmax()]
        how = {"kmeans": "with k-means", "matched": "at a matched resolution"}.get(best["protocol"], "by itself")
        yield f"Told the number of types, {best['method']} is highest {how}: ARI {fixed(best['ari'])}."


def _compared(result: Result) -> Iterator[str]:
    table = result.extras.get("comparisons")
    if table is None:
        return
    tested = table[(table["metric"] == "ari") & (table["told"] == "nothing") & table["p_holm"].notna()]
    if tested.empty:
        return
    sure = tested[tested["p_holm"] < SIGNIFICANT]
    better, worse = sure[sure["difference"] > 0], sure[sure["difference"] < 0]
    open_ = tested[tested["p_holm"] >= SIGNIFICANT]
    against = named(sorted(set(tested["baseline"])))
    for rows, what in ((better, "better than"), (worse, "worse than"), (open_, "not to be told from")):
        if len(rows):
            listed = [f"{row.method} ({fixed(row.difference)} ARI)" for row in rows.itertuples()]
            yield f"At p {SIGNIFICANT} over {rows['n_sets'].max()} data sets, {what} {against}: {named(listed)}."


def _unsteady(board: pd.DataFrame) -> Iterator[str]:
    free = board[(board["told"] == "nothing") & (board["stability"] < UNSTEADY)]
    if len(free):
        listed = [f"{row.method} ({fixed(row.stability, 2)})" for row in free.itertuples()]
        yield f"Clusters change with the seed (mean ARI between two seeds): {named(listed)}."


def _runs(result: Result) -> pd.DataFrame:
    """One row a run: protocols of one embedding are of one run."""
    details = result.details
    return details.drop_duplicates(["dataset", "method", "seed"]) if len(details) else details


def unsaid(result: Result) -> list[str]:
    """Name the limits of this very result."""
    done = done_runs(result)
    if done.empty:
        return ["Nothing was scored, so nothing can be said about any method."]
    out = []
    n_sets, n_seeds = done["dataset"].nunique(), done["seed"].nunique()
    if n_sets < FEWEST_SETS:
        out.append(f"Whether a difference would hold on other data: {n_sets} data sets are too few for any test.")
    if n_seeds < 2:
        out.append("How far a score depends on the seed: there was one.")
    if done["rare_recall"].isna().all():
        out.append("How rare types fare: no data set has one of 5 cells or more.")
    out += [
        "Whether the labels are right: types that were once named from clusters favour the method that made them.",
        "Whether the embedding is good for anything but finding these types: finer states count as errors here.",
        "What tuning would give: every method ran as its name and parameters say, and nothing was tuned on the labels.",
    ]
    return out
