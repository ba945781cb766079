"""The oracle's gap, every data set in one table, and every type of every data set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from markupsafe import Markup

from corpuscle.benchmarks.clustering.display.findings import gaps
from corpuscle.benchmarks.clustering.display.standings import blocks, leaderboard, set_means
from corpuscle.benchmarks.clustering.display.words import TOLD, block_title
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

__all__ = ["gap_section", "method_order", "sets_section", "types_of", "types_section"]

ALL_SETS = "mean over all data sets"
KEY = (
    ("sample", "resolution 1.0"),
    ("median", "matched to the number of types"),
    ("target", "picked by the labels"),
    ("interval", "what the labels add"),
)
SHORT = {"fixed": "resolution 1.0", "own": "own", "matched": "matched", "kmeans": "k-means", "oracle": "oracle"}


def method_order(result: Result) -> list[str]:
    """Methods as they stand in the first block that has each, then those without a score."""
    return list(dict.fromkeys(leaderboard(result)["method"].astype(str)))


# -- what the labels add -----------------------------------------------------------------------------------------


def gap_section(result: Result) -> Section:
    """Draw the ARI of each embedding at resolution 1.0, at a matched one, and at the one that the labels picked."""
    means, methods = set_means(result), method_order(result)
    entries = [(ALL_SETS, _gap_figure(gaps(leaderboard(result)), methods))]
    if means["dataset"].nunique() > 1:
        entries += [(str(name), _gap_figure(gaps(rows), methods)) for name, rows in means.groupby("dataset", sort=True)]
    intro = prose(
        "One embedding, one graph, three resolutions. The circle is what a user gets who changes nothing; the diamond "
        "is what a paper reports that picks the resolution with the labels. The line between them is not the method's."
    )
    return Section("oracle", "What picking the resolution by the labels adds", "Oracle", intro + _shown(entries))


def _shown(entries: Sequence[tuple[str, Markup]]) -> Markup:
    return panels("gap-of", "Data set", entries, topic="dataset") if len(entries) > 1 else entries[0][1]


def _gap_figure(wide: pd.DataFrame, methods: Sequence[str]) -> Markup:
    of_method = {row["method"]: row for row in wide.to_dict("records")}
    ends = wide[["fixed", "matched", "oracle"]].to_numpy(float).ravel()
    axis = Axis.around([0.0, 1.0, *ends[pd.notna(ends)]], "ARI", reference=0.0)
    rows = [_gap_lane(method, of_method.get(method)) for method in methods]
    caption = "Adjusted Rand index against the known types, mean over seeds."
    return lanes(rows, axis, caption=caption, heads=["at 1.0", "oracle", "gap"], key=KEY, slim=True)


def _gap_lane(method: str, row: dict[Any, Any] | None) -> Lane:
    if row is None or not defined(row["gap"]):
        return Lane(method, message="no embedding, so there is no resolution to pick; or no run ended well")
    marks = [
        Mark(row["matched"], "median", f"matched: {fixed(row['matched'])}"),
        Mark(row["fixed"], "sample", f"resolution 1.0: {fixed(row['fixed'])}"),
        Mark(row["oracle"], "target", f"oracle: {fixed(row['oracle'])}"),
    ]
    numbers = [fixed(row["fixed"]), fixed(row["oracle"]), fixed(row["gap"])]
    return Lane(method, marks, [Span(row["fixed"], row["oracle"], "interval")], numbers=numbers)


# -- every data set ----------------------------------------------------------------------------------------------


def sets_section(result: Result) -> Section:
    """Mean ARI of each method on each data set, a view a block."""
    means, order = set_means(result), blocks(result)
    names = sorted(set(means["dataset"]))
    by_key = means.set_index(["told", "protocol", "method", "dataset"]).sort_index()
    views = [(f"{told}-{protocol}", f"{SHORT.get(protocol, protocol)} ({_told(told)})") for told, protocol in order]
    sizes = result.details.groupby("dataset")[["n", "n_types"]].max()
    columns = [Column("method", "Method", numeric=False)]
    for view, block in zip(views, order, strict=True):
        columns += [
            Column(f"{view[0]}-{i}", name, block_title(*block), view=view[0], note=_size(sizes.loc[name]))
            for i, name in enumerate(names)
        ]
    rows = [
        [Cell(method, method), *(_set_cell(by_key, (*block, method, name)) for block in order for name in names)]
        for method in method_order(result)
    ]
    intro = prose("Mean ARI over seeds; point at a number for the rest. The stronger the tint, the further from 1.")
    body = intro + table("by-set", "ARI by method and data set", columns, rows, views=views)
    numbers = means.sort_values(["dataset", "told", "protocol", "method"])
    shown = ["dataset", "told", "protocol", "method", "seeds", "ari", "ari_sd", "ami", "nmi", "acc", "macro_f1"]
    shown += ["rare_recall", "silhouette", "stability", "n_clusters", "n_types"]
    why = {"ari_sd": "it takes two seeds", "stability": "it takes two seeds", "rare_recall": "no type is rare"}
    why["silhouette"] = "the method gives no embedding"
    full = frame_table("set-numbers", "Every data set in numbers", numbers[shown], reasons=why)
    return Section("sets", "Every data set", "Data sets", body + unfold("All numbers of every data set", full))


def _told(told: str) -> str:
    return TOLD.get(told, told)


def _size(row: pd.Series) -> str:
    return f"{count(row['n'])} cells, {count(row['n_types'])} types" if defined(row["n"]) else "nothing scored"


def _set_cell(by_key: pd.DataFrame, key: tuple[str, str, str, str]) -> Cell:
    if key not in by_key.index:
        return Cell("undefined", reason="not scored in this way; see Failures, or what the method gives")
    row = by_key.loc[key]
    if not defined(row["ari"]):
        return value_cell(row["ari"], "", reason="no score is defined on this data set")
    hover = (
        f"AMI {fixed(row['ami'])}, accuracy {fixed(row['acc'])}, macro F1 {fixed(row['macro_f1'])}, "
        f"{significant_clusters(row['n_clusters'])} clusters, sd over seeds {fixed(row['ari_sd'])}"
    )
    return Cell(fixed(row["ari"]), float(row["ari"]), hover=hover, shade=min(9, max(0, int(10 * (1 - row["ari"])))))


def significant_clusters(value: float) -> str:
    """Write a mean number of clusters: whole where it is."""
    return count(value) if value == round(value) else f"{value:.1f}"


# -- every type --------------------------------------------------------------------------------------------------


def types_of(result: Result) -> pd.DataFrame:
    """F1, recall and precision of each type, mean over seeds, from each method's clusters told least.

    Columns dataset, type, cells, rare, method, protocol, told, f1, recall, precision.
    """
    types = result.extras.get("types")
    if types is None or types.empty:
        return pd.DataFrame()
    place = {block: i for i, block in enumerate(blocks(result))}
    keys = ["dataset", "method", "told", "protocol"]
    least = types[keys].drop_duplicates()
    least = least.assign(
        place=[place.get(block, 99) for block in zip(least["told"], least["protocol"], strict=True)]
    ).sort_values("place", kind="stable")
    least = least.drop_duplicates(["dataset", "method"])[keys]
    grouped = types.merge(least, on=keys).groupby([*keys, "type"], sort=True)
    return grouped.agg(
        cells=("cells", "first"), rare=("rare", "first"), f1=("f1", "mean"), recall=("recall", "mean"),
        precision=("precision", "mean"),
    ).reset_index()  # fmt: skip


def types_section(result: Result) -> Section:
    """One table a data set: types by methods."""
    types, methods = types_of(result), method_order(result)
    if types.empty:
        return Section("types", "Every type", "Types", prose("No table of types was kept."))
    entries = [(str(name), _types_table(rows, methods, i)) for i, (name, rows) in enumerate(types.groupby("dataset"))]
    intro = prose(
        "F1 of each type under the best one-to-one matching of clusters and types, from the clusters that were told "
        "least; mean over seeds. Point at a number for its precision and recall."
    )
    picked = panels("types-of", "Data set", entries, topic="dataset") if len(entries) > 1 else entries[0][1]
    return Section("types", "Every type", "Types", intro + picked)


def _types_table(rows: pd.DataFrame, methods: Sequence[str], place: int) -> Markup:
    under = rows.drop_duplicates("method").set_index("method")
    there = [method for method in methods if method in under.index]
    columns = [Column("type", "Type", numeric=False), Column("cells", "Cells")]
    columns += [
        Column(f"m{i}", method, note=SHORT.get(str(under.loc[method, "protocol"]), ""))
        for i, method in enumerate(there)
    ]
    by_key = rows.set_index(["type", "method"])
    sizes = rows.drop_duplicates("type").sort_values(["cells", "type"], ascending=[False, True])
    out = []
    for kind in sizes.to_dict("records"):
        name = str(kind["type"])
        cells = [
            Cell(name, name, note="rare" if kind["rare"] else ""),
            Cell(count(kind["cells"]), float(kind["cells"])),
        ]
        out.append([*cells, *(_type_cell(by_key, name, method) for method in there)])
    caption = f"F1 of every type in {rows['dataset'].iloc[0]}, the largest type first"
    return table(f"types-{place}", caption, columns, out, sorted_by="cells", descending=True)


def _type_cell(by_key: pd.DataFrame, name: str, method: str) -> Cell:
    row = by_key.loc[(name, method)]
    precision = fixed(row["precision"]) if defined(row["precision"]) else "undefined (no cluster is matched with it)"
    hover = f"recall {fixed(row['recall'])}, precision {precision}"
    return Cell(fixed(row["f1"]), float(row["f1"]), hover=hover, shade=min(9, max(0, int(10 * (1 - row["f1"])))))
