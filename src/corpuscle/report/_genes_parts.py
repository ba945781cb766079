"""Tables and figures of the page of gene metrics."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from corpuscle.report._axis import Axis
from corpuscle.report._corpus_words import percent
from corpuscle.report._lanes import Lane, Mark, Span, histogram_path, lanes
from corpuscle.report._scatter import Cloud, scatter
from corpuscle.report._table import Cell, Column, table, value_cell
from corpuscle.report.format import fixed, significant

__all__ = ["baseline_table", "cosine_figure", "interval_figure", "signal_figure", "top_table"]

#: Genes in the table, in the figure of intervals, and in the scatter.
LISTED, SPANS, DRAWN = 100, 20, 20_000


def _top(frame: pd.DataFrame, n: int) -> list[dict[str, Any]]:
    return frame.nlargest(n, "signal_ratio").to_dict("records")


def top_table(frame: pd.DataFrame) -> Markup:
    """The genes with the highest signal ratios, with all else that is known of them."""
    p = f"p{frame.attrs['percentile']:g}"
    numbers = {"mean": "mean", "p50": "median", p: p, "signal_ratio": "signal ratio", "gini": "Gini"}
    if frame["tau"].notna().any():
        numbers["tau"] = "tau"
    if frame.attrs["cosine"] is not None:
        numbers |= {"cosine": "mean cosine", "cosine_z": "z"}
    if "cosine_z_series" in frame:
        numbers |= {"n_series": "series in the window", "cosine_z_series": "z against series"}
    columns = [Column("gene", "gene", numeric=False), Column("detection", "detected in")]
    columns += [Column(name, title) for name, title in numbers.items()]
    rows = []
    for row in _top(frame, LISTED):
        gene_id = "" if row["gene_id"] == row["gene"] else str(row["gene_id"])
        cells = [Cell(str(row["gene"]), str(row["gene"]), note=gene_id)]
        cells.append(Cell(percent(row["detection"]), float(row["detection"])))
        cells += [value_cell(row[name], significant(row[name]), reason=str(row["reason"])) for name in numbers]
        rows.append(cells)
    caption = f"The {len(rows)} genes with the highest signal ratio of {len(frame):,}; all are in gene_metrics.parquet"
    return table("top-table", caption, columns, rows, sorted_by="signal_ratio", descending=True)


def signal_figure(frame: pd.DataFrame) -> Markup:
    """Signal ratio of every gene against its mean."""
    shown = frame.iloc[:: max(1, -(-len(frame) // DRAWN))]
    values = {"genes": (shown["mean"].to_numpy(np.float64), shown["signal_ratio"].to_numpy(np.float64))}
    cloud = Cloud("all genes", "mean", "signal ratio", [str(gene) for gene in shown["gene"]], values)
    return scatter("signal-mean", "Signal ratio of each gene against its mean value", [cloud], topic="genes")


def interval_figure(frame: pd.DataFrame) -> Markup:
    """Signal ratios of the first genes with their intervals; an end that is not known is not drawn."""
    rows, top = [], _top(frame, SPANS)
    axis = Axis.around(
        [row[name] for row in top for name in ("signal_low", "signal_ratio", "signal_high")], "signal ratio"
    )
    for row in top:
        middle = row["signal_ratio"]
        if not np.isfinite(middle):
            continue
        ends = [row[name] if np.isfinite(row[name]) else middle for name in ("signal_low", "signal_high")]
        words = " to ".join(fixed(row[name], 2) for name in ("signal_low", "signal_high"))
        rows.append(
            Lane(
                str(row["gene"]),
                marks=[Mark(float(middle), "sample", f"{fixed(middle, 2)}, {words}")],
                spans=[Span(float(ends[0]), float(ends[1]), "interval")],
                numbers=[fixed(middle, 2)],
            )
        )
    return (
        lanes(rows, axis, caption="Signal ratio with its 95 % interval", heads=["ratio"], slim=True)
        if rows
        else Markup()
    )


def cosine_figure(frame: pd.DataFrame) -> Markup:
    """How the z of the windows is distributed."""
    names = {"cosine_z": "against random windows", "cosine_z_series": "against whole series"}
    known = {title: frame[name].dropna().to_numpy() for name, title in names.items() if name in frame}
    known = {title: z_g for title, z_g in known.items() if z_g.size}
    if not known:
        return Markup()
    axis = Axis.around(np.concatenate(list(known.values())), "z of the mean cosine", reference=0.0)
    rows = [
        Lane(title, shape=histogram_path(z_g, axis), numbers=[fixed(np.median(z_g), 2)]) for title, z_g in known.items()
    ]
    return lanes(rows, axis, caption="Distance of each gene's mean cosine from the baseline", heads=["median"])


def baseline_table(frame: pd.DataFrame) -> Markup:
    """Mean cosine of the windows that were drawn at random."""
    names = {"random": "random samples", "series": "whole series"}
    columns = [Column("of", "windows of", numeric=False), Column("windows", "windows"), Column("mean", "mean cosine")]
    columns.append(Column("sd", "standard deviation"))
    rows = [
        [Cell(names[name], names[name]), Cell(str(one["windows"]), float(one["windows"])),
         *(value_cell(one[what], fixed(one[what])) for what in ("mean", "sd"))]
        for name, one in frame.attrs["baselines"].items()
    ]  # fmt: skip
    return table("baseline-table", "Windows drawn at random", columns, rows, sortable=False)
