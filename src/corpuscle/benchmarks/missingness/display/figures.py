"""Drawings of the page: distances, neighbours and directions by mask, every data set, and what dropout loses."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from markupsafe import Markup

from corpuscle.benchmarks.missingness.compare import AGAINST
from corpuscle.benchmarks.missingness.display.boards import NO_SCORE, board_section
from corpuscle.benchmarks.missingness.display.standings import (
    FILLS,
    SHARES,
    blocks,
    done_runs,
    is_dropout,
    leaderboard,
    main_method,
    set_means,
)
from corpuscle.benchmarks.missingness.display.words import DROPOUT_WORDS, METRIC_TITLES
from corpuscle.report import Axis, Lane, Mark, Result, Section, frame_table, lanes, panels, prose, unfold
from corpuscle.report.format import defined, fixed

__all__ = ["dropout_section", "error_sections", "sets_section"]

KEY = (("sample", "one data set"), ("target", "mean"), ("median", "mean, of a fill"))
#: (metric, id, title, what a reader should see in it)
FIGURES = (
    ("d2_error", "distances", "What improves: distances",
     "Error of squared distances, relative to the truth. Fills pull all cells towards each other, the more the less of a "
     "cell was observed; a correction takes the expected shrinkage out."),
    ("knn_recall_distances", "neighbours", "What improves: neighbours",
     "Share of the 15 nearest cells that is found from the distances alone. It gains most where cells differ in how much "
     "of them was observed."),
    ("sin_theta", "directions", "What does not: leading directions",
     "Angle of the leading coordinates to those of the complete data; 0 is the same space and 1 orthogonal to it. Filling "
     "with means keeps directions about as well as any correction, so this is no reason to prefer one."),
)  # fmt: skip


def error_sections(result: Result) -> list[Section]:
    """One figure a metric, with a panel for every mask that knows no value."""
    return [
        Section(id, title, title.partition(": ")[2].capitalize(), prose(text) + _panels(result, metric, False, id))
        for metric, id, title, text in FIGURES
        if any(not is_dropout(kind) for _, kind, _ in blocks(result))
    ]


def _panels(result: Result, metric: str, dropout: bool, id: str) -> Markup:
    board, by_set = leaderboard(result), set_means(result)
    entries = []
    for task, kind, _ in blocks(result):
        if is_dropout(kind) != dropout:
            continue
        rows, sets = board[board["task"] == task], by_set[by_set["task"] == task]
        entries.append((task, _figure(rows, sets, metric, f"{METRIC_TITLES[metric]} under {task}.")))
    if not entries:
        return prose("There is nothing to draw.")
    return panels(f"{id}-of", "Mask", entries, topic="mask") if len(entries) > 1 else entries[0][1]


def _figure(rows: pd.DataFrame, sets: pd.DataFrame, metric: str, caption: str) -> Markup:
    filled = sets.loc[sets["method"] == AGAINST, metric].mean()
    axis = Axis.around(sets[metric], METRIC_TITLES[metric], reference=float(filled) if defined(filled) else None)
    drawn = [_lane(str(method), sets[sets["method"] == method], metric) for method in rows["method"]]
    return lanes(drawn, axis, caption=f"{caption} The line is the mean fill.", heads=["mean"], key=KEY, slim=True)


def _lane(method: str, rows: pd.DataFrame, metric: str) -> Lane:
    known = rows[rows[metric].notna()]
    if known.empty:
        return Lane(method, numbers=[""], message=NO_SCORE)
    marks = [
        Mark(float(row[metric]), "sample", f"{row['dataset']}: {fixed(row[metric])}") for _, row in known.iterrows()
    ]
    mean = float(known[metric].mean())
    marks.append(Mark(mean, "median" if method in FILLS else "target", f"mean: {fixed(mean)}"))
    return Lane(method, marks, numbers=[fixed(mean)])


def dropout_section(result: Result) -> list[Section]:
    """Masks under which values decide, apart from all others; empty where none was run."""
    tasks = [task for task, kind, _ in blocks(result) if is_dropout(kind)]
    if not tasks:
        return []
    body = prose(DROPOUT_WORDS) + _policies(result, tasks) + _found(result, tasks)
    body += _panels(result, "sin_theta", True, "dropout") + board_section(result, dropout=True)
    return [Section("dropout", "When values decide what is lost", "Dropout", body)]


def _policies(result: Result, tasks: Sequence[str]) -> Markup:
    """Our method by what it was told is missing, on each data set."""
    name, means = main_method(result), set_means(result)
    rows = means[means["task"].isin(tasks) & (means["method"] == name)]
    if rows.empty:
        return Markup()
    shown = rows[
        ["dataset", "task", "mask_told", "d2_error", "d2_correlation", "sin_theta", "knn_recall_distances", "ari"]
    ]
    order = {task: i for i, task in enumerate(tasks)}
    shown = shown.sort_values(["dataset", "task"], key=lambda of: of.map(order) if of.name == "task" else of)
    titles = {"task": "mask", "mask_told": "told", **METRIC_TITLES}
    reasons = {"ari": "there are no types", "d2_correlation": "all distances are the same"}
    return frame_table("policies", f"{name} by which zeros are called missing", shown, titles=titles, reasons=reasons)


def _found(result: Result, tasks: Sequence[str]) -> Markup:
    """How many of the lost values each choice of missing zeros finds, and how many true zeros it takes for lost."""
    done = done_runs(result)
    rows = done[done["task"].isin(tasks)].groupby(["dataset", "task"], sort=True)[SHARES].mean().reset_index()
    if rows.empty:
        return Markup()
    titles = {
        "task": "mask", "missing_share": "called missing", "lost_share": "lost or called missing",
        "found_share": "of lost values, called missing", "false_share": "of true zeros, called missing",
    }  # fmt: skip
    reasons = {"found_share": "nothing was lost", "false_share": "there is no true zero"}
    body = frame_table("found", "Shares of entries, mean over draws", rows, titles=titles, reasons=reasons)
    return unfold("Which zeros were called missing", body)


def sets_section(result: Result) -> Section:
    """Every number of every data set."""
    means = set_means(result)
    shown = means[[
        "dataset", "task", "method", "told", "draws", "n", "n_features", "n_types", "missing_share", "d2_error",
        "d2_error_sd", "d2_error_ratio", "d2_correlation", "knn_recall_distances", "knn_recall_pcs", "sin_theta",
        "sin_theta_change", "gram_error", "ari", "truth_ari",
    ]]  # fmt: skip
    whole = ["draws", "n", "n_features", "n_types"]
    shown = shown.astype(dict.fromkeys(whole, int)) if len(shown) else shown
    reasons = {"d2_error_sd": "it takes two draws", "ari": "there are no types", "truth_ari": "there are no types"}
    reasons |= dict.fromkeys(("d2_error_ratio", "sin_theta_change"), "the mean fill was not judged on the same draws")
    entries = []
    for i, (dataset, rows) in enumerate(shown.groupby("dataset", sort=True)):
        caption = f"Every mask and method on {dataset}"
        found = frame_table(f"set-{i}", caption, rows.drop(columns="dataset"), titles={"task": "mask"}, reasons=reasons)
        entries.append((str(dataset), found))
    body = panels("sets-of", "Data set", entries, topic="dataset") if len(entries) > 1 else Markup().join(
        body for _, body in entries
    )  # fmt: skip
    return Section("sets", "Every data set", "Data sets", prose("Means over draws.") + unfold("All numbers", body))
