"""What a result says in plain words, and what it cannot say."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from corpuscle.benchmarks._display import failed_lines, named
from corpuscle.benchmarks._paired import FEWEST_SETS
from corpuscle.benchmarks.text.display.standings import (
    done_runs,
    family,
    is_control,
    is_unseen,
    leaderboard,
    main_method,
    of_families,
    set_means,
    task_title,
    tasks_of,
    unseen_rows,
    vectors_of,
)
from corpuscle.benchmarks.text.display.words import METRIC_TITLES, wording_of
from corpuscle.report import Result
from corpuscle.report.format import defined, fixed, significant

__all__ = ["headline", "learnt", "unsaid"]

SIGNIFICANT = 0.05
#: Chance, of an AUC.
HALF = 0.5


def headline(result: Result) -> str:
    """How often CellText finds the right caption of new cells, beside the simplest method, and what it makes of new types."""
    board = leaderboard(result)
    scored = board[board["n_sets"] > 0]
    if scored.empty:
        return "No method could be judged; the reasons are below"
    ours = main_method(result)
    if ours is None or not (scored["method"] == ours).any():
        return f"CellText has no score; {_best_line(scored, tasks_of(result))}"
    parts = [*_found(scored, result, ours), *_new_types(scored, ours)]
    line = "; ".join(parts)
    return line[:1].upper() + line[1:]


def _found(scored: pd.DataFrame, result: Result, ours: str) -> Iterator[str]:
    of = scored[scored["method"] == ours].set_index("task")
    tasks = [task for task in tasks_of(result) if task in of.index and not is_unseen(task)]
    if not tasks:
        return
    task = tasks[0]
    rival = main_method(result, "logistic", vectors_of(ours))
    beside = scored[(scored["task"] == task) & (scored["method"] == rival)]
    more = f" (logistic regression on the same vectors {_percent(beside.iloc[0]['accuracy'])})" if len(beside) else ""
    several = len(of_families(scored["method"], "celltext")) > 1
    name = f"CellText ({ours})" if several else "CellText"
    yield f"On {task_title(task, running=True)} {name} finds the right caption in {_percent(of.at[task, 'accuracy'])}{more}"


def _new_types(scored: pd.DataFrame, ours: str) -> Iterator[str]:
    of = scored[(scored["method"] == ours) & (scored["task"] == "new_types")]
    if of.empty or not defined(of.iloc[0]["unseen_auc"]):
        yield "types that it never saw were not asked for"
        return
    row = of.iloc[0]
    below = (
        f"{row['below_half']:.0f} of {row['n_types']:.0f} types below chance" if row["below_half"] else "0.5 is chance"
    )
    yield f"on types that it never saw its AUC is {fixed(row['unseen_auc'], 2)} ({below})"


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %" if defined(value) else "no share that is defined"


def _best_line(scored: pd.DataFrame, tasks: list[str]) -> str:
    rows = scored[(scored["task"] == next(iter(tasks))) & ~scored["method"].map(is_control)]
    rows = rows if len(rows) else scored
    row = rows.iloc[0]
    task = task_title(str(row["task"]), running=True)
    return f"on {task} {row['method']} finds the right type in {_percent(row['accuracy'])}"


def learnt(result: Result) -> list[str]:
    """Facts that the tables hold, each in a sentence."""
    if done_runs(result).empty:
        return [*failed_lines(result.details, result)]
    return [
        *_best(result), *_wordings(result), *_unseen(result), *_controls(result), *_words_alone(result), *_hard(result),
        *_compared(result), *failed_lines(result.details, result),
    ]  # fmt: skip


def _best(result: Result) -> Iterator[str]:
    """The best method of each task with old words and old types, and CellText beside it."""
    board, ours = leaderboard(result), main_method(result)
    for task in tasks_of(result):
        rows = board[(board["task"] == task) & (board["n_sets"] > 0) & ~board["method"].map(is_control)]
        if is_unseen(task) or wording_of(task) is not None or len(rows) < 2:
            continue
        best, own = rows.iloc[0], rows[rows["method"] == ours]
        beside = f", {ours} {fixed(own.iloc[0]['macro_f1'])}" if len(own) and best["method"] != ours else ""
        if best["method"] == ours:
            beside = f", next {rows.iloc[1]['method']} {fixed(rows.iloc[1]['macro_f1'])}"
        yield f"{task_title(task)}: the highest macro F1 has {best['method']}, {fixed(best['macro_f1'])}{beside}."


def _wordings(result: Result) -> Iterator[str]:
    """Accuracy of CellText in words that training did not have."""
    board, ours = leaderboard(result), main_method(result)
    of = board[(board["method"] == ours) & (board["n_sets"] > 0)].set_index("task")
    asked = [task for task in tasks_of(result) if wording_of(task) is not None and task in of.index]
    if asked and "new_cells" in of.index:
        listed = [f"{wording_of(task)} {_percent(of.at[task, 'accuracy'])}" for task in asked]
        yield f"In the words of training {ours} is right in {_percent(of.at['new_cells', 'accuracy'])}; in others: {named(listed)}."


def _unseen(result: Result) -> Iterator[str]:
    """New types: each method's AUC, the types below chance, and how many were never found."""
    rows, board = unseen_rows(result), leaderboard(result)
    for task in (task for task in tasks_of(result) if is_unseen(task)):
        of_task = rows[(rows["task"] == task) & rows["new"].notna()]
        for method in of_families(of_task["method"], "celltext", "logistic_text"):
            of = of_task[of_task["method"] == method].sort_values("new", kind="stable")
            mean = board[(board["task"] == task) & (board["method"] == method)]["unseen_auc"].iloc[0]
            low, never = of[of["new"] < HALF], int((of["recall"] == 0).sum())
            listed = [f"{row['type']} ({row['dataset']}, {fixed(row['new'], 2)})" for row in low.to_dict("records")]
            below = f"below 0.5 are {named(listed)}" if listed else "no type is below 0.5"
            named_once = f"no cell of {never} of them got its name" if never else "of each some cells got its name"
            yield f"{task_title(task)}, {method}: AUC {fixed(mean)} over {len(of)} left-out types; {below}; {named_once}."


def _controls(result: Result) -> Iterator[str]:
    """What the controls know of new cells, beside chance and the most frequent type."""
    means = set_means(result)
    means = means[means["task"] == "new_cells"].groupby("method")[["accuracy", "mean_auc"]].mean()
    majority = next(iter(of_families(means.index, "majority")), None)
    share = "" if majority is None else f", the most frequent type {_percent(means.at[majority, 'accuracy'])}"
    for control in of_families(means.index, "shuffled", "untrained"):
        auc, accuracy = means.at[control, "mean_auc"], means.at[control, "accuracy"]
        yield (
            f"{control}, which must know nothing: AUC {fixed(auc)} on new cells, chance is 0.5; right in "
            f"{_percent(accuracy)}{share}."
        )


def _words_alone(result: Result) -> Iterator[str]:
    """What the names of genes can do without vectors of counts."""
    board = leaderboard(result)
    of = board[(board["task"] == "new_cells") & (board["n_sets"] > 0)].set_index("method")
    ours = main_method(result)
    names = of_families(of.index, "sentences_trained", "sentences")
    if ours in of.index and names:
        listed = [f"{name} {_percent(of.at[name, 'accuracy'])}" for name in names]
        yield f"Words alone, the names of a cell's highest genes: {named(listed)}; {ours} {_percent(of.at[ours, 'accuracy'])}."


def _hard(result: Result) -> Iterator[str]:
    """Types whose cells a search does not find."""
    types, ours = result.extras.get("types"), main_method(result)
    if types is None or ours is None:
        return
    of = types[(types["task"] == "new_cells") & (types["method"] == ours) & (types["n"] >= 10)]
    found = of.groupby(["dataset", "type"], sort=True)["precision@10"].mean().dropna().sort_values(kind="stable")
    missed = found[found < HALF]
    if len(missed):
        listed = [f"{kind} ({dataset}, {fixed(value, 2)})" for (dataset, kind), value in missed.items()]
        yield f"Of the ten cells that {ours} finds for a type, less than half have it: {named(listed)}."


def _compared(result: Result) -> Iterator[str]:
    table = result.extras.get("comparisons")
    if table is None or "p_holm" not in table:
        return
    tested = table[(table["p_holm"] < SIGNIFICANT) & (table["metric"] == "accuracy")]
    tested = tested[tested["method"].map(family) == "celltext"]
    for row in tested.to_dict("records"):
        sign = "+" if row["difference"] > 0 else ""
        yield (
            f"{METRIC_TITLES['accuracy']} on {task_title(str(row['task']), running=True)}: {row['method']} differs from "
            f"{row['against']} by {sign}{fixed(row['difference'])} over {row['n_sets']} data sets, p "
            f"{significant(row['p_holm'], 2)}."
        )


def unsaid(result: Result) -> list[str]:
    """Name the limits of this very result."""
    done = done_runs(result)
    if done.empty:
        return ["Nothing was judged, so nothing can be said about any method."]
    tasks, n_sets, out = set(tasks_of(result)), done["dataset"].nunique(), []
    if n_sets < FEWEST_SETS:
        sets = "1 data set is" if n_sets == 1 else f"{n_sets} data sets are"
        out.append(f"Whether a difference would hold on other data: {sets} too few for any test.")
    if done["seed"].nunique() < 2:
        out.append("How far a number depends on the cells that were drawn: there was one draw.")
    if "held_out_groups" not in tasks:
        out.append("Whether it holds for cells of another donor or sample: no groups were held out.")
    if "other_study" not in tasks:
        out.append("Whether it holds for another study: no data set was judged by a model of the others.")
    if any(is_unseen(task) for task in tasks):
        out.append("Why a new type is found: that can be its words, or a sister type that training had.")
    else:
        out.append("Anything about types that training never saw: none were left out.")
    return [
        *out,
        "How other questions would do: each type was asked for in the few wordings above, one sentence each.",
        "What more captions would teach: these come from one template, so that training has as many as there are types.",
        "Whether the labels are right: labels that were made from clusters favour methods that see the same distances.",
        "How the seeds' spread compares with that of new data: seeds draw from the same cells, so it is narrower.",
    ]
