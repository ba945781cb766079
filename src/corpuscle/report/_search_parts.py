"""Tables and maps of the page of a search."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from corpuscle.report._corpus_words import percent
from corpuscle.report._table import Cell, Column, table
from corpuscle.report.format import count, fixed, significant

if TYPE_CHECKING:
    from corpuscle.models.celltext.search import Found

__all__ = ["best_table", "closest_table", "groups_table", "maps_figure", "queries_table"]

Array = np.ndarray[Any, Any]
#: Side of a map in the units of its drawing.
SIDE = 420
#: Shades of a map.
SHADES = 8
#: Dots of one map; of more cells a part is drawn.
DRAWN = 8_000
#: Best cells listed for a query; all are in the table of scores.
LISTED = 100


def queries_table(found: Found, groups: Any) -> Markup:
    """One row a query: its best score, where the best cells are, and what it is close to."""
    columns = [
        Column("query", "query", numeric=False),
        Column("best", "best score"),
        Column("median", "median score", help="of all cells"),
    ]
    columns += [] if groups is None else [Column("group", "most of the best cells", numeric=False)]
    columns += [Column("closest", "closest in training", numeric=False)] if len(found.closest) else []
    rows = []
    for column in found.scores:
        score_n = found.scores[column].to_numpy()
        row = [Cell(str(column), str(column)), *(_number(value) for value in (score_n.max(), np.median(score_n)))]
        if groups is not None:
            first = groups[groups["query"] == column].iloc[0]
            words = f"{first['among_top']:,} of {found.top:,}; {percent(first['share_all'])} of all cells"
            row.append(Cell(str(first["group"]), str(first["group"]), note=words))
        if len(found.closest):
            near = found.closest[found.closest["query"] == column]
            row.append(
                Cell("", "") if near.empty else Cell(near["label"].iloc[0], note=f"cosine {near['cosine'].iloc[0]:.2f}")
            )
        rows.append(row)
    return table("queries-table", "Each query and what it found", columns, rows)


def groups_table(found: Found, groups: Any, k: int, column: str) -> Markup:
    """Groups of the best cells of one query."""
    columns = [
        Column("group", "group", numeric=False),
        Column("top", "among the best", help="cells"),
        Column("share", "share of the best"),
        Column("cells", "cells", help="in all"),
        Column("all", "share of all"),
        Column("times", "times", help="share of the best over share of all"),
    ]
    rows = [
        [
            Cell(str(one["group"]), str(one["group"])),
            Cell(count(one["among_top"]), float(one["among_top"])),
            Cell(percent(one["share_top"]), float(one["share_top"])),
            Cell(count(one["cells"]), float(one["cells"])),
            Cell(percent(one["share_all"]), float(one["share_all"])),
            Cell(significant(one["times"]), float(one["times"])),
        ]
        for one in groups[groups["query"] == column].to_dict("records")
    ]
    caption = f"Groups of the {found.top:,} best cells of: {column}"
    return table(f"groups-table-{k}", caption, columns, rows, sorted_by="top", descending=True)


def closest_table(found: Found) -> Markup:
    """The training captions closest to each text."""
    columns = [
        Column("query", "query", numeric=False),
        Column("caption", "training caption", numeric=False),
        Column("cosine", "cosine", help="of the two texts, by the text encoder alone"),
        Column("cells", "training cells"),
    ]
    rows = [
        [Cell(str(one["query"]), str(one["query"])), Cell(str(one["caption"]), str(one["caption"])), _number(one["cosine"]),
         Cell(count(one["cells"]), float(one["cells"]))]
        for one in found.closest.to_dict("records")
    ]  # fmt: skip
    return table("closest-table", "Training captions that are closest to each query", columns, rows)


def best_table(found: Found, by: str | None, k: int, column: str) -> Markup:
    """The best cells of one query."""
    best = found.best(column).iloc[:LISTED]
    columns = [Column("cell", "cell", numeric=False), Column("score", "score")]
    columns += [] if by is None else [Column("group", by, numeric=False)]
    rows = []
    for id, score in best.items():
        group = [] if by is None else [Cell(str(found.obs.loc[id, by]), str(found.obs.loc[id, by]))]
        rows.append([Cell(str(id), str(id)), _number(score), *group])
    caption = f"The {len(best):,} best cells of: {column}"
    return table(f"cells-table-{k}", caption, columns, rows, sorted_by="score", descending=True)


def _number(value: Any) -> Cell:
    return Cell(fixed(value), float(value))


def maps_figure(found: Found, cells: Array, xy_m2: Array) -> Markup:
    """The map once for each query, darker where the score is higher, with a ring around the best cells."""
    from corpuscle.models.celltext._search_plots import RING

    step = -(-len(cells) // DRAWN)
    kept_m = np.zeros(len(cells), bool)
    kept_m[::step] = True
    best = [found.scores.index.get_indexer(found.best(column).index) for column in found.scores]
    kept_m |= np.isin(cells, np.concatenate(best))
    cells, xy_m2 = cells[kept_m], xy_m2[kept_m]
    at_m2 = _places(xy_m2)
    n = len(found.scores)
    words = "Neighbours on the map are alike; distances far apart mean little. Shades go from the 1st to the 99th percentile "
    words += "of each query's own scores, so maps cannot be compared in shade; rings are the best cells."
    if len(cells) < n:
        words += f" {count(len(cells))} of {count(n)} cells are drawn, the best of each query among them."
    maps = [
        _map(str(column), at_m2, found.scores[column].to_numpy(), cells, places, RING)
        for column, places in zip(found.scores, best, strict=True)
    ]
    caption = Markup("<p class=quiet>{}</p>").format(words)
    return caption + Markup('<div class="columns">{}</div>').format(Markup("").join(maps))


def _places(xy_m2: Array) -> Array:
    """(m, 2) whole numbers inside the drawing; the second axis of a drawing goes down."""
    low, high = xy_m2.min(axis=0), xy_m2.max(axis=0)
    unit = (xy_m2 - low) / np.where(high > low, high - low, 1.0)
    at_m2 = np.round(8 + unit * (SIDE - 16)).astype(int)
    return np.stack([at_m2[:, 0], SIDE - at_m2[:, 1]], axis=1)


def _map(title: str, at_m2: Array, score_n: Array, cells: Array, best: Array, ring: str) -> Markup:
    from matplotlib.colors import LinearSegmentedColormap, to_hex

    from corpuscle.models.celltext._search_plots import LIGHT_TO_DARK, limits

    low, high = limits(score_n)
    shade_m = np.clip((score_n[cells] - low) / (high - low) * SHADES, 0, SHADES - 1).astype(int)
    colours = LinearSegmentedColormap.from_list("light to dark", list(LIGHT_TO_DARK))
    size = "3" if len(cells) > 2000 else "4.5"
    dots = Markup(
        '<path d="{}" fill="none" stroke="{}" stroke-width="{}" stroke-linecap="round"><title>{}</title></path>'
    )
    shapes = []
    for shade in range(SHADES):  # the best are drawn last
        places = dict.fromkeys(f"M{x} {y}h0" for x, y in at_m2[shade_m == shade])
        if places:
            part = (low + (high - low) * (shade + edge) / SHADES for edge in (0, 1))
            words = "score {} to {}".format(*(fixed(value, 2) for value in part))
            shapes.append(dots.format("".join(places), to_hex(colours(shade / (SHADES - 1))), size, words))
    circle = Markup('<circle cx="{}" cy="{}" r="4" fill="none" stroke="{}" stroke-width="1"/>')
    ringed = dict.fromkeys((int(x), int(y)) for x, y in at_m2[np.isin(cells, best)])
    shapes += [circle.format(x, y, ring) for x, y in ringed]
    drawing = Markup('<svg viewBox="0 0 {0} {0}" width="100%" role="img" aria-label="{1}">{2}</svg>')
    key = f"light: {fixed(low, 2)} or less; dark: {fixed(high, 2)} or more"
    body = drawing.format(SIDE, f"Map of the cells by their score for {title}", Markup("").join(shapes))
    return Markup("<figure><figcaption>{} <span class=quiet>({})</span></figcaption>{}</figure>").format(
        title, key, body
    )
