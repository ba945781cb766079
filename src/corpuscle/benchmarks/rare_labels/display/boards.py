"""Tables of arms: the leaderboard, the verdict, null controls, every label, and the board for a terminal."""

from __future__ import annotations

from typing import Any

import pandas as pd
from markupsafe import Markup

from corpuscle.benchmarks._display import fitted
from corpuscle.benchmarks.rare_labels.display.standings import (
    by_rarity,
    entry_name,
    leaderboard,
    nulls,
    unit_means,
)
from corpuscle.report import Axis, Cell, Column, Result, frame_table, prose, table, unfold, value_cell
from corpuscle.report.format import defined, fixed, interval, megabytes, seconds, share, significant

__all__ = ["board", "comparisons_tables", "labels_table", "null_board", "rarity_table", "summary", "verdict_table"]

NO_TEST = "it is what others are compared to, or shares no draw with class weights"
ROOM = 30
TITLES = {
    "ci_low": "95 % low", "ci_high": "95 % high", "p_holm": "p, Holm", "n_better": "better draws", "n_draws": "draws",
    "n_sets": "data sets", "auprc": "AUPRC", "f1": "F1", "macro_f1_others": "F1 of others", "value": "arm",
}  # fmt: skip
COLUMNS = (
    Column("method", "Arm", numeric=False),
    Column("auprc", "AUPRC", "Average precision of the label on held-out series"),
    Column("gain", "Gain", "AUPRC less that of class weights; the line is the 95 % interval", note="over class_weight"),
    Column("p_holm", "p, Holm", "Of the gain, corrected for all arms and amounts"),
    Column("f1", "F1", "Of the label; in brackets the interval of the difference from class weights"),
    Column("recall", "Recall", "Of the label"),
    Column("precision", "Precision", "Of the label"),
    Column("harm", "Other labels", "Macro-F1 of the other labels less that of class weights", note="change of F1"),
    Column("tstr", "Synthetic only", "F1 of the label trained on synthetic samples of it", note="TSTR"),
    Column("n_draws", "Draws", "Draws with a score, of all"),
    Column("failed_fraction", "Failed", "Share of runs that failed"),
    Column("seconds", "Time", "Median of a draw", note="to make samples"),
    Column("peak_mib", "Memory", "Highest rise of the resident memory", note="peak"),
)


def board(result: Result) -> Markup:
    """Arms and amounts, best first."""
    rows = leaderboard(result)
    if rows.empty:
        return prose("There is no score to show.")
    return _board(rows, "board", "Arms by mean AUPRC of the rare label over all rarities")


def null_board(result: Result) -> Markup:
    """Null controls, not ranked with anything."""
    rows = nulls(result)
    if rows.empty:
        return prose("No null control was run; add gan_shuffled, vae_shuffled or gan_other to the arms.")
    said = "Generators that cannot know the label. What they gain over class weights is no imitation of it."
    return prose(said) + _board(rows, "nulls", "Null controls")


def _board(rows: pd.DataFrame, id: str, caption: str) -> Markup:
    axis = Axis.around([0.0, *rows[["gain", "gain_low", "gain_high"]].to_numpy(float).ravel()], reference=0.0)
    cells = [_row(row, axis) for row in rows.to_dict("records")]
    return table(id, caption, COLUMNS, cells, sorted_by="auprc", descending=True)


def _row(row: dict[Any, Any], axis: Axis) -> list[Cell]:
    name = entry_name(row["method"], row["amount"])
    gain, hover = row["gain"], f"95 %: {interval(row['gain_low'], row['gain_high'])}"
    f1 = fixed(row["f1"])
    if defined(row["f1_gain_low"]):
        f1 += f" ({interval(row['f1_gain_low'], row['f1_gain_high'], 2)})"
    whole = row["n_draws"] == row["of_draws"]
    return [
        Cell(name, name, note=f"told {row['told']}"),
        value_cell(row["auprc"], fixed(row["auprc"])),
        value_cell(
            gain, signed(gain), low=row["gain_low"], high=row["gain_high"], axis=axis, hover=hover, reason=NO_TEST
        ),
        value_cell(row["p_holm"], significant(row["p_holm"], 2), reason=NO_TEST),
        value_cell(row["f1"], f1),
        value_cell(row["recall"], fixed(row["recall"])),
        value_cell(row["precision"], fixed(row["precision"])),
        value_cell(row["harm"], signed(row["harm"]), hover=interval(row["harm_low"], row["harm_high"]), reason=NO_TEST),
        value_cell(row["tstr"], fixed(row["tstr"]), reason="it makes no samples, or was not judged"),
        Cell(f"{row['n_draws']} of {row['of_draws']}", float(row["n_draws"]), note="" if whole else "not all"),
        value_cell(row["failed_fraction"], share(row["failed_fraction"])),
        value_cell(row["seconds"], seconds(row["seconds"]), reason="not measured"),
        value_cell(row["peak_mib"], megabytes(row["peak_mib"]), reason="not measured"),
    ]


def signed(value: float) -> str:
    """With a plus where it is above 0."""
    return ("+" if defined(value) and value > 0 else "") + fixed(value)


def verdict_table(result: Result) -> Markup:
    """Each candidate against the best cheap arm on its draws."""
    rows = result.extras.get("verdict")
    if rows is None or rows.empty:
        return prose("No arm that trains a generator was run, so there is nothing to accept or refuse.")
    shown = pd.DataFrame({
        "arm": [entry_name(a, b) for a, b in zip(rows["method"], rows["amount"], strict=True)],
        "accepted": rows["accepted"].map({True: "yes", False: "no"}),
        "best cheap arm": [entry_name(a, b) for a, b in zip(rows["best_cheap"], rows["cheap_amount"], strict=True)],
        "AUPRC": rows["auprc"], "AUPRC of the cheap arm": rows["auprc_cheap"], "gain": rows["difference"],
        **{name: rows[name] for name in ("ci_low", "ci_high", "p_holm", "n_draws", "n_sets")},
        "copies": [f"{a} of {b}" for a, b in zip(rows["copies"], rows["judged"], strict=True)],
        "collapsed": [f"{a} of {b}" for a, b in zip(rows["collapsed"], rows["judged"], strict=True)],
    })  # fmt: skip
    return frame_table("verdict-table", "Gain of AUPRC over the best cheap arm", shown, titles=TITLES)


def comparisons_tables(result: Result) -> Markup:
    """Every paired difference, folded."""
    out = Markup()
    for name, title in (
        ("comparisons", "Every arm against class weights"),
        ("versus_cheap", "Every candidate against every cheap arm"),
    ):
        rows = result.extras.get(name)
        if rows is not None and not rows.empty:
            out += unfold(title, frame_table(name.replace("_", "-"), title, rows.drop(columns="role"), titles=TITLES))
    return out


def rarity_table(result: Result) -> Markup:
    """AUPRC by rarity, a row an arm and amount."""
    rows = by_rarity(result)
    names = [entry_name(a, b) for a, b in zip(rows["method"], rows["amount"], strict=True)]
    wide = rows.assign(arm=names).pivot_table(index="arm", columns="rarity", values="auprc")
    wide = wide.sort_values(list(wide.columns)[:1], ascending=False)
    wide.columns = [f"r = {r}" for r in wide.columns]
    reasons = dict.fromkeys(wide.columns, "no run ended well")
    return frame_table("by-rarity", "AUPRC by training samples of the label", wide.reset_index(), reasons=reasons)


def labels_table(result: Result) -> Markup:
    """Every number of every label."""
    rows = unit_means(result, "rarity").drop(columns=["role"])
    reasons = dict.fromkeys(("tstr", "trts", "tstr_ratio"), "it makes no samples, or was not judged")
    reasons["macro_f1_others"] = "no other label was held out"
    order = ["dataset", "label", "rarity", "method", "amount"]
    shown = rows[[*order, *(name for name in rows if name not in order)]].sort_values(order)
    return frame_table("every-label", "Mean over repeats", shown, titles=TITLES, reasons=reasons)


def summary(result: Result) -> pd.DataFrame:
    """Give the leaderboard in few columns of text, null controls under it."""
    out: list[dict[str, str]] = []
    for rows, head in ((leaderboard(result), ""), (nulls(result), "null controls")):
        if head and len(rows):
            out.append({"arm": head})
        out += [_text(row) for row in rows.to_dict("records")]
    return pd.DataFrame(out).fillna("")


def _text(row: dict[Any, Any]) -> dict[str, str]:
    gain = f"{signed(row['gain'])} ({interval(row['gain_low'], row['gain_high'])})" if defined(row["gain"]) else ""
    return {
        "arm": fitted(entry_name(row["method"], row["amount"]), ROOM), "AUPRC": fixed(row["auprc"]),
        "gain over class_weight": gain, "F1": fixed(row["f1"]),
        "others": signed(row["harm"]) if defined(row["harm"]) else "", "draws": f"{row['n_draws']}/{row['of_draws']}",
    }  # fmt: skip
