"""Figures for papers and notebooks, and the curves of the page."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping
from typing import Any

from markupsafe import Markup

from corpuscle.benchmarks.rare_labels.display.standings import by_rarity, done_runs, entry_name, standings
from corpuscle.errors import OptionError
from corpuscle.report import Result

__all__ = ["PLOTS", "embedded"]

COLOURS = {"reference": "#1d1c1f", "cheap": "#8a858c", "candidate": "#a31d3a", "null": "#c9a227"}
SHAPE = "#d5cfc6"


def plot_rarity(result: Result) -> Any:
    """AUPRC of the label against its training samples, a line an arm and amount."""
    figure, axis = _axes(result, 6.4, 4.2)
    rows = by_rarity(result)
    for i, ((method, amount, role), of) in enumerate(rows.groupby(["method", "amount", "role"], sort=True)):
        style = ("-", "--", ":", "-.")[i % 4]
        name = _plain(entry_name(str(method), str(amount)))
        axis.plot(of["rarity"], of["auprc"], style, marker="o", ms=3, lw=1, color=COLOURS[str(role)], label=name)
    axis.set_xscale("log")
    rarities = sorted(rows["rarity"].unique())
    axis.set_xticks(rarities, [str(r) for r in rarities])
    axis.minorticks_off()
    axis.set_xlabel("training samples of the label")
    axis.set_ylabel("AUPRC, held-out series")
    axis.legend(fontsize=6, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def plot_gain(result: Result) -> Any:
    """Gain of AUPRC over class weights with its 95 % interval, by arm and amount."""
    return _differences(result, "gain", "AUPRC less that of class weights")


def plot_harm(result: Result) -> Any:
    """Change of the macro-F1 of the other labels against class weights, by arm and amount."""
    return _differences(result, "harm", "macro-F1 of the other labels less that of class weights")


def _differences(result: Result, name: str, title: str) -> Any:
    rows = standings(result)
    rows = rows[rows[name].notna()] if name in rows else rows
    figure, axis = _axes(result, 5.6, 1.2 + 0.24 * len(rows))
    for place, row in enumerate(rows.to_dict("records")):
        colour = COLOURS[row["role"]]
        axis.plot([row[f"{name}_low"], row[f"{name}_high"]], [place, place], color=colour, lw=1)
        axis.plot(row[name], place, "D", color=colour, ms=4)
    names = [_plain(entry_name(a, b)) for a, b in zip(rows["method"], rows["amount"], strict=True)]
    axis.set_yticks(range(len(rows)), names, fontsize=7)
    axis.set_ylim(len(rows) - 0.4, -0.6)
    axis.axvline(0, color=COLOURS["reference"], lw=0.8)
    axis.set_xlabel(title, fontsize=8)
    axis.grid(axis="y", color=SHAPE, linewidth=0.5)
    return figure


def _axes(result: Result, width: float, height: float) -> tuple[Any, Any]:
    from matplotlib.figure import Figure  # no pyplot: a library leaves the caller's backend alone

    if done_runs(result).empty:
        raise OptionError("no run was judged, so there is nothing to plot; see the failures")
    figure = Figure(figsize=(width, height), layout="constrained")
    axis = figure.subplots()
    axis.spines[["top", "right"]].set_visible(False)
    return figure, axis


def _plain(text: str) -> str:
    """A name as it is, dollars not taken for formulas."""
    return text.replace("$", r"\$")


def embedded(result: Result, kind: str, caption: str, alt: str) -> Markup:
    """A figure inside the page; ``alt`` says in words what it shows."""
    import matplotlib as mpl

    buffer = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": kind, "svg.fonttype": "path"}):
        PLOTS[kind](result).savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    data = base64.b64encode(buffer.getvalue()).decode()
    image = Markup('<img alt="{}" src="data:image/svg+xml;base64,{}">').format(alt, data)
    return Markup("<figure>{}<figcaption>{}</figcaption></figure>").format(image, caption)


PLOTS: Mapping[str, Callable[[Result], Any]] = {"gain": plot_gain, "rarity": plot_rarity, "harm": plot_harm}
