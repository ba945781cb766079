"""Tables of the page of an evaluated classifier."""

from __future__ import annotations

import pandas as pd
from markupsafe import Markup

from corpuscle.report._axis import Axis
from corpuscle.report._page import prose
from corpuscle.report._table import Cell, Column, frame_table, table, value_cell
from corpuscle.report.format import count, defined, fixed, interval, share

__all__ = ["confusion", "coverage", "labels", "overall", "reliable"]

#: Labels that get a row and a column of the confusion matrix; the most frequent ones.
MOST_LABELS = 40
UNIT = Axis(0.0, 1.0)
METRICS = {
    "macro_f1": "macro-F1", "micro_f1": "micro-F1", "samples_f1": "samples-F1", "balanced_accuracy": "balanced accuracy",
    "macro_auroc": "macro-AUROC", "macro_auprc": "macro-AUPRC", "ece_before": "calibration error before",
    "ece": "calibration error",
}  # fmt: skip
NOT_MEASURED = "not measured for this way"


def overall(frame: pd.DataFrame) -> Markup:
    """One row a model, split and seed, with the interval of every score on hover."""
    columns = [Column("model", "model", numeric=False), Column("split", "split", numeric=False), Column("seed", "seed"),
               *(Column(name, title) for name, title in METRICS.items())]  # fmt: skip
    rows = []
    for (model, split, seed), part in frame.groupby(["model", "split", "seed"], sort=False):
        found = part.set_index("metric")
        cells = [Cell(str(model), str(model)), Cell(str(split), str(split)), Cell(str(seed), float(seed))]
        for name in METRICS:
            if name not in found.index:
                cells.append(Cell("", reason=NOT_MEASURED))
                continue
            one = found.loc[name]
            cells.append(
                value_cell(one["value"], fixed(one["value"]), low=one["ci_low"], high=one["ci_high"], axis=UNIT,
                           hover=interval(one["ci_low"], one["ci_high"]), reason=str(one["reason"]))
            )  # fmt: skip
        rows.append(cells)
    return table("scores-table", "Scores of held-out samples", columns, rows)


def labels(frame: pd.DataFrame, id: str, model: str) -> Markup:
    """One row a label, the rarest last."""
    titles = {"precision": "precision", "recall": "recall", "f1": "F1", "auroc": "AUROC", "auprc": "AUPRC"}
    columns = [Column("label", "label", numeric=False), Column("n", "samples"), Column("n_series", "series"),
               Column("hits", "found", numeric=False), *(Column(name, title) for name, title in titles.items()),
               Column("ece", "calibration error")]  # fmt: skip
    rows = []
    for row in frame.sort_values("n", ascending=False, kind="stable").to_dict("records"):
        wilson = ""
        if defined(row["recall_wilson_low"]):
            wilson = interval(row["recall_wilson_low"], row["recall_wilson_high"], 2)
        cells = [
            Cell(str(row["label"]), str(row["label"])), Cell(count(row["n"]), float(row["n"])),
            Cell(count(row["n_series"]), float(row["n_series"])),
            Cell(f"{count(row['hits'])} of {count(row['n'])}", note=wilson),
        ]  # fmt: skip
        for name in titles:
            cells.append(
                value_cell(row[name], fixed(row[name]), low=row[f"{name}_low"], high=row[f"{name}_high"], axis=UNIT,
                           hover=interval(row[f"{name}_low"], row[f"{name}_high"]),
                           reason=row["reason"] or "all samples, or none, have the label")
            )  # fmt: skip
        rows.append([*cells, value_cell(row["ece"], fixed(row["ece"]))])
    return table(f"{id}-table", f"Labels told by {model}", columns, rows, sorted_by="n", descending=True)


def reliable(frame: pd.DataFrame, id: str, model: str) -> Markup:
    """Confidence and share of right answers, bin by bin."""
    return frame_table(
        f"{id}-table", f"Confidence of {model} against the share of right answers", frame[frame["n"] > 0],
        titles={"when": "calibration", "right": "share right"},
    )  # fmt: skip


def coverage(frame: pd.DataFrame, id: str, model: str) -> Markup:
    """What is left of the samples when more confidence is asked for."""
    return frame_table(
        f"{id}-table",
        f"Samples that {model} answers at a confidence",
        frame,
        reasons={"accuracy": "no sample is answered"},
    )


def confusion(frame: pd.DataFrame, id: str, model: str) -> Markup:
    """Labels against labels given, shaded by the share of the label."""
    size = frame.groupby("label")["n"].sum().sort_values(ascending=False, kind="stable")
    shown = list(size.index[:MOST_LABELS])
    wide = frame.pivot_table(index="label", columns="told", values="n", aggfunc="sum", fill_value=0)
    wide = wide.reindex(index=shown, columns=shown, fill_value=0)
    columns = [Column("label", "label", numeric=False), *(Column(f"t{k}", str(name)) for k, name in enumerate(shown))]
    rows = []
    for name, values in zip(shown, wide.to_numpy(), strict=True):
        cells = [Cell(str(name), str(name), note=count(size[name]))]
        for n in values:
            part = n / size[name]
            cells.append(Cell(count(n) if n else "", float(n), shade=round(9 * part) if n else None, hover=share(part)))
        rows.append(cells)
    left = len(size) - len(shown)
    more = prose(f"{count(left)} rarer labels are in confusion.csv.") if left else Markup()
    return table(f"{id}-table", f"Labels (rows) and what {model} gave (columns)", columns, rows) + more
