"""Accuracy of every task, the AUC of seen and new types, the search for cells of a type, and every type in numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from markupsafe import Markup

from corpuscle.benchmarks.text.display.standings import (
    is_control,
    is_unseen,
    leaderboard,
    main_method,
    of_families,
    set_means,
    task_title,
    tasks_of,
    type_means,
    unseen_rows,
    vectors_of,
)
from corpuscle.benchmarks.text.display.words import METRIC_TITLES
from corpuscle.report import (
    Axis,
    Cell,
    Column,
    Lane,
    Mark,
    Result,
    Section,
    Span,
    frame_table,
    lanes,
    panels,
    prose,
    table,
    unfold,
    value_cell,
)
from corpuscle.report.format import count, defined, fixed

__all__ = ["VIEWS", "Searched", "search_section", "searched", "sets_section", "types_section", "unseen_figure"]

#: First names of the methods that are drawn type by type.
DRAWN = ("celltext", "logistic_text")
VIEWS = (("auc", "AUC"), ("recall", "Recall"), ("precision@10", "P@10"), ("r_precision", "R-precision"))


def _picked(id: str, label: str, entries: Sequence[tuple[str, Markup]], topic: str) -> Markup:
    """Panels with a picker, or the one that there is."""
    return panels(id, label, entries, topic=topic) if len(entries) > 1 else entries[0][1]


# -- accuracy of every task --------------------------------------------------------------------------------------


def sets_section(result: Result) -> list[Section]:
    """Accuracy of every method on each data set, a panel a task, and all numbers; empty where nothing was scored."""
    means = set_means(result)
    means = means[means["accuracy"].notna()]
    if means.empty:
        return []
    board, axis = leaderboard(result), Axis(0.0, 1.0, "accuracy")
    entries = []
    for task in (task for task in tasks_of(result) if (means["task"] == task).any()):
        of_task, order = means[means["task"] == task], board[board["task"] == task]["method"]
        rows = [_accuracy_lane(str(method), of_task[of_task["method"] == method]) for method in order]
        key = (("target", "mean over data sets"), ("sample", "a data set"))
        figure = lanes(rows, axis, caption=f"{task_title(task)}: accuracy.", heads=["mean", "sets"], key=key, slim=True)
        entries.append((task_title(task), figure))
    intro = prose("Accuracy of each data set, mean over seeds. With new types, only the cells of left-out types count.")
    names = {"dataset": "data set", **METRIC_TITLES}
    shown = means[["dataset", "task", "told", "method", "seeds", "n", "accuracy_sd", "macro_f1_sd", *METRIC_TITLES]]
    why = dict.fromkeys(("accuracy_sd", "macro_f1_sd"), "it takes two seeds")
    why["cell_precision@10"] = "the method has no vectors of cells"
    full = frame_table("set-numbers", "Every data set in numbers", shown, titles=names, reasons=why)
    body = intro + _picked("task-of", "Task", entries, "task")
    body += unfold("All numbers of every data set, task and method", full)
    return [Section("sets", "Accuracy on every data set", "Data sets", body)]


def _accuracy_lane(method: str, rows: pd.DataFrame) -> Lane:
    if rows.empty:
        return Lane(method, message="no score; see Failures")
    marks = [
        Mark(float(row["accuracy"]), "sample", f"{row['dataset']}: {fixed(row['accuracy'])}")
        for row in rows.to_dict("records")
    ]
    mean = float(rows["accuracy"].mean())
    marks.append(Mark(mean, "target", f"mean: {fixed(mean)}"))
    return Lane(method, marks, numbers=[fixed(mean), count(len(rows))])


# -- seen and new types ------------------------------------------------------------------------------------------


def unseen_figure(result: Result) -> Markup:
    """AUC of every left-out type beside that of the same type when it was seen; a panel a method."""
    rows = unseen_rows(result)
    entries = []
    for task in tasks_of(result):
        of_task = rows[rows["task"] == task]
        for method in of_families(of_task["method"], *DRAWN):
            of = of_task[(of_task["method"] == method) & of_task["new"].notna()]
            if len(of):
                title = method if task == "new_types" else f"{method}, another study"
                entries.append((title, _unseen_lanes(of, title)))
    return _picked("new-types-of", "Method", entries, "unseen") if entries else Markup()


def _unseen_lanes(rows: pd.DataFrame, method: str) -> Markup:
    several = rows["dataset"].nunique() > 1
    drawn = []
    for row in rows.to_dict("records"):
        new, seen = row["new"], row["seen"]
        marks = [Mark(float(seen), "median", f"seen: {fixed(seen)}")] if defined(seen) else []
        marks.append(Mark(float(new), "target", f"left out: {fixed(new)}"))
        spans = [Span(float(min(new, seen)), float(max(new, seen)), "interval")] if defined(seen) else []
        label = f"{row['type']} ({row['dataset']})" if several else str(row["type"])
        drawn.append(Lane(label, marks, spans, numbers=[fixed(new), fixed(seen)]))
    key = (("target", "training never saw the type"), ("median", "training saw the type"))
    axis = Axis(0.0, 1.0, "area under the ROC curve; 0.5 is chance", reference=0.5)
    caption = f"AUC of each type by {method}, lowest first in each data set."
    return lanes(drawn, axis, caption=caption, heads=["left out", "seen"], key=key, slim=True)


# -- search ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Searched:
    """A type, its cells and their share of all; precision@10 of CellText and of the simple method that reads words."""

    type: str
    n: float
    share: float
    ours: float
    simple: float


def searched(result: Result) -> list[tuple[str, list[Searched]]]:
    """(data set, its types with most cells first), of new cells or of the first task that there is."""
    types = type_means(result)
    there = [task for task in tasks_of(result) if not is_unseen(task) and (types["task"] == task).any()]
    types = types[types["task"].isin(there[:1]) & types["precision@10"].notna()]
    ours = main_method(result)
    simple = main_method(result, "logistic_text", None if ours is None else vectors_of(ours))
    found = []
    for dataset, rows in types[types["method"].isin([ours, simple])].groupby("dataset", sort=True):
        of = rows.pivot_table(index="type", columns="method", values="precision@10").reindex(columns=[ours, simple])
        n_k = rows.groupby("type")["n"].max().sort_values(ascending=False, kind="stable")
        found.append(
            (
                str(dataset),
                [Searched(str(k), float(n), float(n / n_k.sum()), *map(float, of.loc[k])) for k, n in n_k.items()],
            )
        )
    return found


def search_section(result: Result) -> list[Section]:
    """Precision of a search for the cells of each type; a panel a data set. Empty where no cells were searched."""
    entries = [(dataset, _search_figure(dataset, rows)) for dataset, rows in searched(result)]
    if not entries:
        return []
    intro = prose(
        "The ten test cells that stand highest for the words of a type, and how many of them have it: by CellText, and by the "
        "simple method that reads words. Read both beside the "
        "share of the type among the cells, which a random choice would reach; a type with fewer than ten cells cannot reach 1."
    )
    body = intro + _picked("search-of", "Data set", entries, "dataset")
    return [Section("search", "From words to cells", "Search", body)]


def _search_figure(dataset: str, rows: list[Searched]) -> Markup:
    drawn = []
    for row in rows:
        marks = [Mark(row.share, "sample", f"share of the cells: {fixed(row.share)}")]
        marks += [Mark(row.simple, "median", f"logistic_text: {fixed(row.simple)}")] if defined(row.simple) else []
        marks += [Mark(row.ours, "target", f"celltext: {fixed(row.ours)}")] if defined(row.ours) else []
        drawn.append(Lane(row.type, marks, numbers=[fixed(row.ours), fixed(row.simple), count(row.n)]))
    key = (("target", "celltext"), ("median", "logistic_text"), ("sample", "share of the cells"))
    caption = f"Precision among ten cells, {dataset}: types with most cells first."
    axis = Axis(0.0, 1.0, "share of the ten cells that have the type")
    return lanes(drawn, axis, caption=caption, heads=["celltext", "simple", "cells"], key=key, slim=True)


# -- every type --------------------------------------------------------------------------------------------------


def types_section(result: Result) -> list[Section]:
    """AUC, recall and precision of every type by every method; a panel a task. Empty where no table of types was kept."""
    types = type_means(result)
    if types.empty:
        return []
    tasks = [task for task in tasks_of(result) if (types["task"] == task).any()]
    entries = [(task_title(task), _types_table(types[types["task"] == task], i)) for i, task in enumerate(tasks)]
    intro = prose(
        "Mean over seeds. With new types a type has two lines: of the draws that left it out, and of the others. AUC and recall "
        "tell different stories: a type can be ranked well and yet never be the first choice. Point at a number for the "
        "others of the type."
    )
    body = intro + _picked("types-of", "Task", entries, "task")
    return [Section("types", "Every type", "Types", body)]


def _types_table(rows: pd.DataFrame, place: int) -> Markup:
    task = str(rows["task"].iloc[0])
    methods = sorted(set(rows["method"]), key=lambda method: (is_control(method), method))
    methods = [*of_families(methods, "celltext"), *(m for m in methods if m not in of_families(methods, "celltext"))]
    columns = [Column("type", "Type", numeric=False), Column("dataset", "Data set", numeric=False)]
    columns += [
        Column("cells", "Cells"),
        Column("training", "Training", "Whether training had the type", numeric=False),
    ]
    columns += [Column(f"m{i}-{view}", method, note=title, view=view)
                for view, title in VIEWS for i, method in enumerate(methods)]  # fmt: skip
    by_key = rows.set_index(["dataset", "type", "left_out", "method"]).sort_index()
    sizes = rows.drop_duplicates(["dataset", "type", "left_out"]).sort_values(
        ["dataset", "n", "type", "left_out"], ascending=[True, False, True, True]
    )
    out = []
    for kind in sizes.to_dict("records"):
        name, dataset, left_out = str(kind["type"]), str(kind["dataset"]), bool(kind["left_out"])
        cells = [Cell(name, name), Cell(dataset, dataset), Cell(count(kind["n"]), float(kind["n"]))]
        said = "left out" if left_out else "saw it"
        cells.append(Cell(said, said))
        keys = [(dataset, name, left_out, method) for method in methods]
        out.append([*cells, *(_type_cell(by_key, key, view) for view, _ in VIEWS for key in keys)])
    return table(f"types-{place}", f"Every type: {task_title(task)}", columns, out, views=VIEWS)


def _type_cell(by_key: pd.DataFrame, key: tuple[Any, ...], view: str) -> Cell:
    if key not in by_key.index:
        return Cell("undefined", reason="not judged; see Failures")
    row = by_key.loc[key]
    hover = ", ".join(f"{title} {fixed(row[metric])}" for metric, title in VIEWS)
    return value_cell(
        row[view], fixed(row[view]), hover=hover, reason="not defined: no such cells, no others, or no answer"
    )
