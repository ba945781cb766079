"""Every data set side by side, what happens to each type, the noise study, the control, and calibration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from corpuscle.benchmarks.annotation.compare import HARM, RAW
from corpuscle.benchmarks.annotation.display.standings import (
    done_runs,
    is_control,
    is_noise,
    methods_of,
    set_means,
    type_changes,
)
from corpuscle.benchmarks.annotation.display.words import CALIBRATION_WORDS, MAIN, TITLES
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
)
from corpuscle.report.format import count, defined, fixed

__all__ = ["calibration_section", "control_section", "noise_section", "sets_section", "types_section"]

VIEWS = (("accuracy", "Accuracy"), ("macro_f1", "Macro F1"))
KEY = (("sample", "raw scores"), ("median", "majority vote"), ("target", "refined"))
CONTROL_KEY = (("sample", "raw scores"), ("target", "refined"), ("median", "refined on a graph of shuffled cells"))


# -- every data set ----------------------------------------------------------------------------------------------


def sets_section(result: Result) -> Section:
    """Accuracy and macro F1 of the main refinements on each data set and source, side by side."""
    means = set_means(result)
    of_cell = means.set_index(["task", "dataset", "method"]).sort_index()
    there = [method for method in MAIN if method in set(means["method"])]
    columns = [Column("dataset", "Data set", numeric=False), Column("scores", "Scores", numeric=False)]
    columns += [Column(f"{metric}-{method}", TITLES[method], note=title) for metric, title in VIEWS for method in there]
    rows = []
    for task, dataset in means[["task", "dataset"]].drop_duplicates().itertuples(index=False):
        cells = [Cell(dataset, dataset), Cell(task, task)]
        cells += [_set_cell(of_cell, (task, dataset, method), metric) for metric, _ in VIEWS for method in there]
        rows.append(cells)
    intro = prose(
        "Mean over seeds. A tinted number is more than 0.01 below that of the raw scores; the stronger the tint, the "
        "larger the harm. Read both halves: accuracy can rise while macro F1 falls."
    )
    body = intro + table("by-set", "Accuracy and macro F1 by data set and scores", columns, rows)
    shown = [
        "dataset", "task", "told", "method", "seeds", "n", "n_types", "accuracy", "accuracy_sd", "accuracy_change",
        "macro_f1", "macro_f1_sd", "macro_f1_change", "balanced_accuracy", "worst_f1", "ece", "brier",
        "ontology_distance", "changed", "wrong_to_right", "right_to_wrong", "n_erased",
    ]  # fmt: skip
    why = {"accuracy_sd": "it takes two seeds", "macro_f1_sd": "it takes two seeds"}
    why["ontology_distance"] = "a type has no Cell Ontology id"
    full = frame_table("set-numbers", "Every data set in numbers", means[shown], titles={"task": "scores"}, reasons=why)
    body += unfold("All numbers of every data set and refinement", full)
    return Section("sets", "Every data set", "Data sets", body)


def _set_cell(of_cell: pd.DataFrame, key: tuple[str, str, str], metric: str) -> Cell:
    if key not in of_cell.index or not defined(of_cell.loc[key, metric]):
        return Cell("undefined", reason="not judged; see Failures")
    row = of_cell.loc[key]
    change, spread = row[f"{metric}_change"], row[f"{metric}_sd"]
    hover = f"from raw {fixed(change)}, sd over seeds {fixed(spread)}, labels changed {row['changed']:.0%}"
    return Cell(fixed(row[metric]), float(row[metric]), hover=hover, shade=_harm(change))


def _harm(change: Any) -> int | None:
    """Tint of a loss: none up to 0.01, the strongest from 0.3."""
    if not defined(change) or change >= -HARM:
        return None
    return 1 + int(min(8, -change / 0.3 * 8))


# -- every type --------------------------------------------------------------------------------------------------


def types_section(result: Result) -> Section:
    """F1 of each type in the raw labels, and what each refinement makes of it; a panel a source of scores."""
    types, methods = type_changes(result), methods_of(result)
    if types.empty:
        return Section("types", "Every type", "Types", prose("No table of types was kept."))
    names = sorted(set(types["task"]), key=lambda task: (is_noise(task), task))
    entries = [(name, _types_table(types[types["task"] == name], methods, i)) for i, name in enumerate(names)]
    intro = prose(
        "F1 of every type in the raw labels, and its change by each refinement; mean over seeds. Losses are tinted. Point "
        "at a number for F1, precision and recall."
    )
    body = intro + _picked("types-of", "Scores", entries, "scores")
    return Section("types", "What happens to every type", "Types", body)


def _types_table(rows: pd.DataFrame, methods: Sequence[str], place: int) -> Markup:
    there = [method for method in methods if method in set(rows["method"]) and method != RAW]
    columns = [Column("type", "Type", numeric=False), Column("dataset", "Data set", numeric=False)]
    columns += [Column("cells", "Cells"), Column("raw", "F1, raw")]
    columns += [Column(f"m{i}", method, note="change") for i, method in enumerate(there)]
    by_key = rows.set_index(["dataset", "type", "method"]).sort_index()
    sizes = rows.drop_duplicates(["dataset", "type"]).sort_values(
        ["dataset", "cells", "type"], ascending=[True, False, True]
    )
    out = []
    for kind in sizes.to_dict("records"):
        name, dataset = str(kind["type"]), str(kind["dataset"])
        raw = (
            Cell(fixed(kind["raw"]), float(kind["raw"])) if defined(kind["raw"]) else Cell("undefined", reason="no raw")
        )
        cells = [Cell(name, name), Cell(dataset, dataset), Cell(count(kind["cells"]), float(kind["cells"])), raw]
        out.append([*cells, *(_type_cell(by_key, (dataset, name, method)) for method in there)])
    return table(f"types-{place}", f"Change of the F1 of every type, of {rows['task'].iloc[0]}", columns, out)


def _type_cell(by_key: pd.DataFrame, key: tuple[str, str, str]) -> Cell:
    if key not in by_key.index or not defined(by_key.loc[key, "change"]):
        return Cell("undefined", reason="not judged; see Failures")
    row = by_key.loc[key]
    precision = fixed(row["precision"]) if defined(row["precision"]) else "undefined (never found)"
    hover = f"F1 {fixed(row['f1'])}, precision {precision}, recall {fixed(row['recall'])}"
    text = f"+{fixed(row['change'])}" if row["change"] > 0 else fixed(row["change"])
    return Cell(text, float(row["change"]), hover=hover, shade=_harm(row["change"]))


# -- noise and control -------------------------------------------------------------------------------------------


def noise_section(result: Result) -> list[Section]:
    """The truth with noise, before and after; empty where no such scores were run."""
    means = set_means(result)
    means = means[means["task"].map(is_noise).astype(bool)] if len(means) else means
    if means.empty:
        return []
    wide = means.pivot_table(index=["dataset", "task"], columns="method", values="accuracy")
    shown = wide[[name for name in (RAW, "grit", "majority_vote") if name in wide]]
    axis, heads = Axis.around(shown.to_numpy().ravel(), "accuracy"), ["raw", "refined", "vote"]
    entries = []
    for dataset, rows in wide.groupby(level="dataset", sort=True):
        drawn = [_noise_lane(str(task).partition(":")[2] or str(task), row) for (_, task), row in rows.iterrows()]
        figure = lanes(drawn, axis, caption="Accuracy before and after.", heads=heads, key=KEY, slim=True)
        entries.append((str(dataset), figure))
    intro = prose(
        "Scores are the truth, one-hot, but a share of the cells has a random type instead. Such errors are independent of "
        "cell and type, which is what smoothing can repair; a scorer that is biased against a type makes no such errors. "
        "These scores were told the labels, and stand for no method."
    )
    body = intro + _picked("noise-of", "Data set", entries, "dataset")
    return [Section("noise", "What smoothing repairs: independent noise", "Noise", body)]


def _picked(id: str, label: str, entries: Sequence[tuple[str, Markup]], topic: str) -> Markup:
    """Panels with a picker, or the one that there is."""
    return panels(id, label, entries, topic=topic) if len(entries) > 1 else entries[0][1]


def _noise_lane(label: str, row: pd.Series) -> Lane:
    raw, refined, vote = (row.get(name, np.nan) for name in (RAW, "grit", "majority_vote"))
    marks = [Mark(float(vote), "median", f"majority vote: {fixed(vote)}")] if defined(vote) else []
    marks += [Mark(float(raw), "sample", f"raw: {fixed(raw)}")] if defined(raw) else []
    marks += [Mark(float(refined), "target", f"refined: {fixed(refined)}")] if defined(refined) else []
    spans = [Span(float(raw), float(refined), "interval")] if defined(raw) and defined(refined) else []
    return Lane(label, marks, spans, numbers=[fixed(raw), fixed(refined), fixed(vote)])


def control_section(result: Result) -> list[Section]:
    """Refinement on a graph of shuffled cells beside raw; empty where the control was not run."""
    means = set_means(result)
    control = means[means["method"].map(is_control).astype(bool)] if len(means) else means
    if control.empty:
        return []
    wide = means.pivot_table(index=["task", "dataset"], columns="method", values="accuracy")
    name = str(control["method"].iloc[0])
    wide = wide[wide[name].notna()]
    shown = wide[[one for one in (RAW, "grit", name) if one in wide]]
    axis, heads = Axis.around(shown.to_numpy().ravel(), "accuracy"), ["raw", "refined", "shuffled"]
    entries = []
    for task in sorted(set(wide.index.get_level_values("task")), key=lambda task: (is_noise(task), task)):
        drawn = [_control_lane(str(dataset), row, name) for dataset, row in wide.loc[task].iterrows()]
        caption = f"Accuracy of {task}, mean over seeds."
        entries.append((task, lanes(drawn, axis, caption=caption, heads=heads, key=CONTROL_KEY, slim=True)))
    intro = prose(
        "The same smoothing on the same graph with its cells shuffled: neighbours say nothing about a cell, so accuracy must "
        "fall below that of the raw scores. Where it does not, the graph is not what helps."
    )
    body = intro + _picked("control-of", "Scores", entries, "scores")
    return [Section("control", "The control: a graph of other cells", "Control", body)]


def _control_lane(label: str, row: pd.Series, name: str) -> Lane:
    raw, refined, shuffled = (row.get(one, np.nan) for one in (RAW, "grit", name))
    marks = [Mark(float(shuffled), "median", f"shuffled: {fixed(shuffled)}")]
    marks += [Mark(float(raw), "sample", f"raw: {fixed(raw)}")] if defined(raw) else []
    marks += [Mark(float(refined), "target", f"refined: {fixed(refined)}")] if defined(refined) else []
    return Lane(label, marks, numbers=[fixed(raw), fixed(refined), fixed(shuffled)])


# -- calibration -------------------------------------------------------------------------------------------------


def calibration_section(result: Result) -> Section:
    """Mean confidence and accuracy of each refinement, a panel a source of scores."""
    bins, done = result.extras.get("calibration"), done_runs(result)
    if bins is None or bins.empty:
        return Section("calibration", "Reported confidence", "Calibration", prose("No confidence was reported."))
    weighted = bins.assign(total=bins["confidence"] * bins["cells"], right=bins["accuracy"] * bins["cells"])
    sums = weighted.groupby(["task", "method"])[["cells", "total", "right"]].sum()
    means = done.groupby(["task", "method", "dataset"])[["ece", "brier"]].mean().groupby(["task", "method"]).mean()
    frame = means.assign(confidence=sums["total"] / sums["cells"], accuracy=sums["right"] / sums["cells"])
    frame = frame.assign(gap=frame["confidence"] - frame["accuracy"]).reset_index()
    frame = frame[["task", "method", "ece", "brier", "confidence", "accuracy", "gap"]]
    titles = {"task": "scores", "ece": "ECE", "brier": "Brier", "gap": "confidence less accuracy"}
    reasons = dict.fromkeys(("ece", "brier"), "a cell has no reported confidence")
    entries = []
    for i, (task, rows) in enumerate(frame.groupby("task", sort=True)):
        shown = frame_table(
            f"calibration-{i}", f"Confidence of labels, of {task}", rows, titles=titles, reasons=reasons
        )
        entries.append((str(task), shown))
    body = prose(CALIBRATION_WORDS) + _picked("calibration-of", "Scores", entries, "scores")
    return Section("calibration", "Is the reported confidence right?", "Calibration", body)
