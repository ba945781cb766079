"""The figures of the page of named cells: maps, ribbons between labels, shares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from corpuscle.annotate._naming import Naming
from corpuscle.annotate._plot_flows import flows_of
from corpuscle.annotate._plot_parts import ACCENT, SHAPE, colours_of, grouped, spread_apart
from corpuscle.report._axis import Axis
from corpuscle.report._corpus_words import percent
from corpuscle.report._lanes import Lane, Mark, Span, lanes
from corpuscle.report._page import prose, unfold
from corpuscle.report._table import Cell, Column, table
from corpuscle.report.format import count

__all__ = ["flows_figure", "maps_figure", "shares_figure"]

Array = np.ndarray[Any, Any]
#: Side of a map in the units of its drawing.
SIDE = 420
#: Types that ribbons can show; of more, the matrix says it.
RIBBONS = 10
#: Rows and columns of the matrix.
MATRIX = 16
#: Types shown at once.
LANES = 30
WIDTH, BAR, ROOM = 900, 14, 260


def maps_figure(naming: Naming, cells: Array, xy_m2: Array, n_cells: int) -> Markup:
    """Cells by type before and after, and those that changed."""
    names, (before_n, after_n) = grouped(naming.types, naming.before_n, naming.after_n)
    colour_k = colours_of(len(names))
    dots = _places(xy_m2)
    drawn = "" if len(cells) == n_cells else f" A random {count(len(cells))} of {count(n_cells)} cells are drawn."
    maps = []
    if not naming.refined:
        maps.append(_map("Types", dots, before_n[cells], names, colour_k))
    else:
        changed_m = naming.changed_n[cells].astype(int)
        n_changed = int(naming.changed_n.sum())
        maps += [
            _map("Before refinement", dots, before_n[cells], names, colour_k),
            _map("After refinement", dots, after_n[cells], names, colour_k),
            _map(
                f"The {count(n_changed)} cells that changed", dots, changed_m, ["as before", "changed"], [SHAPE, ACCENT]
            ),
        ]
    entries = [*zip(names, colour_k, strict=True)]
    if (before_n < 0).any() or (after_n < 0).any():
        entries.append(("unassigned", SHAPE))
    caption = Markup("<p class=quiet>{}</p>").format(
        f"Neighbours on the map are alike; distances far apart mean little.{drawn}"
    )
    beside = Markup('<div class="columns">{}</div>').format(Markup("").join(maps))
    return caption + _key(entries) + beside


def _key(entries: Sequence[tuple[str, str]]) -> Markup:
    item = Markup(
        '<li><svg width="14" height="14" aria-hidden="true"><circle cx="7" cy="7" r="5" fill="{}"/></svg>{}</li>'
    )
    items = Markup("").join(item.format(colour, name) for name, colour in entries)
    return Markup('<ul class="key" aria-label="Legend">{}</ul>').format(items)


def _places(xy_m2: Array) -> list[str]:
    """A stroke of no length with round ends for each cell."""
    if not len(xy_m2):
        return []
    low, high = xy_m2.min(axis=0), xy_m2.max(axis=0)
    unit = (xy_m2 - low) / np.where(high > low, high - low, 1.0)
    at = np.round(8 + unit * (SIDE - 16)).astype(int)
    return [f"M{x} {SIDE - y}h0" for x, y in at]


def _map(title: str, dots: list[str], code_m: Array, names: Sequence[str], colours: Sequence[str]) -> Markup:
    size = "3" if len(dots) > 2000 else "4.5"
    path = Markup(
        '<path d="{}" fill="none" stroke="{}" stroke-width="{}" stroke-linecap="round" opacity=".75"><title>{}</title></path>'
    )
    paths = []
    for code, name, colour in [(-1, "unassigned", SHAPE), *zip(range(len(names)), names, colours, strict=False)]:
        here = np.flatnonzero(code_m == code)
        if here.size:  # one dot a place is enough
            paths.append(path.format("".join(dict.fromkeys(dots[i] for i in here)), colour, size, name))
    drawing = Markup('<svg viewBox="0 0 {0} {0}" width="100%" role="img" aria-label="{1}">{2}</svg>')
    body = drawing.format(SIDE, title, Markup("").join(paths))
    return Markup("<figure><figcaption>{}</figcaption>{}</figure>").format(title, body)


def shares_figure(naming: Naming) -> Markup:
    """Share of each type before and after, the largest first."""
    before_k, after_k = naming.counts(naming.before_n), naming.counts(naming.after_n)
    n = max(1, naming.before_n.size)
    shown = [int(k) for k in np.argsort(-np.maximum(before_k, after_k), kind="stable") if before_k[k] or after_k[k]]
    top = max([0.01, *(max(before_k[k], after_k[k]) / n for k in shown)])
    axis = Axis(0, top * 1.05, "share of the cells")
    rows = [_share_lane(naming, k, int(before_k[k]), int(after_k[k]), n) for k in shown]
    heads = ["before", "after"] if naming.refined else ["cells", "share"]
    key = [("sample", "before"), ("target", "after")] if naming.refined else [("target", "cells")]
    caption = "Cells of each type, as a share of all cells; the largest first."
    first = lanes(rows[:LANES], axis, caption=caption, heads=heads, key=key, slim=True)
    if len(rows) <= LANES:
        return first
    rest = lanes(rows[LANES:], axis, caption=caption, heads=heads, slim=True)
    return first + unfold(f"The other {len(rows) - LANES:,} types", rest)


def _share_lane(naming: Naming, k: int, before: int, after: int, n: int) -> Lane:
    label = naming.types[k] + (" (erased)" if naming.erased_k[k] else "")
    if not naming.refined:
        return Lane(
            label, marks=[Mark(after / n, "target", f"{after:,} cells")], spans=[Span(0, after / n, "range")],
            numbers=[count(after), percent(after / n)],
        )  # fmt: skip
    low, high = sorted((before / n, after / n))
    marks = [Mark(before / n, "sample", f"before: {before:,}"), Mark(after / n, "target", f"after: {after:,}")]
    spans = [Span(low, high, "interval" if naming.erased_k[k] else "range")]
    return Lane(label, marks=marks, spans=spans, numbers=[count(before), count(after)])


def flows_figure(naming: Naming) -> Markup:
    """Which labels became which: ribbons where there are few types, and always the matrix."""
    if not naming.changed_n.any():
        return prose("No cell changed its type.")
    names, flow_kk = flows_of(naming, MATRIX)
    matrix = _matrix(names, flow_kk)
    if len(names) > RIBBONS + 1:
        return matrix
    return _ribbons(names, flow_kk) + unfold("The same as numbers", matrix)


def _matrix(names: Sequence[str], flow_kk: Array) -> Markup:
    columns = [Column("before", "before", numeric=False)]
    columns += [Column(f"to{j}", name, help=f"cells that became {name}") for j, name in enumerate(names)]
    row_k = np.maximum(flow_kk.sum(axis=1), 1)
    rows = []
    for i, name in enumerate(names):
        cells = [Cell(name, name)]
        for j, other in enumerate(names):
            share = flow_kk[i, j] / row_k[i]
            words = f"{flow_kk[i, j]:,} of {row_k[i]:,} cells ({percent(share)}): {name} before, {other} after"
            shade = None if i == j or not flow_kk[i, j] else min(9, 1 + int(share * 16))
            cells.append(
                Cell(count(flow_kk[i, j]) if flow_kk[i, j] else "", float(flow_kk[i, j]), hover=words, shade=shade)
            )
        rows.append(cells)
    caption = (
        "Cells by type before (rows) and after (columns); the shade is the share of a row that changed to the column"
    )
    return table("flows-table", caption, columns, rows, sortable=False)


def _ribbons(names: Sequence[str], flow_kk: Array) -> Markup:
    """A Sankey diagram: as wide as there are cells; what stays is pale."""
    k = len(names)
    gap, full = 12.0, 34.0 * k
    total = max(1, int(flow_kk.sum()))
    scale = full / total
    colour_k = colours_of(k)
    start_kk, stop_kk, left_k, right_k = _where(flow_kk, scale, gap)
    shapes = [
        _ribbon(start_kk[i, j], stop_kk[i, j], flow_kk[i, j] * scale, colour_k[i], pale=bool(i == j),
                title=f"{names[i]} to {names[j]}: {flow_kk[i, j]:,} cells")
        for i, j in sorted(zip(*np.nonzero(flow_kk), strict=True), key=lambda at: at[0] != at[1])
    ]  # fmt: skip
    high = full + gap * (k - 1)
    sides = ((ROOM, left_k, flow_kk.sum(1), "end"), (WIDTH - ROOM, right_k, flow_kk.sum(0), "start"))
    for x, at_k, size_k, anchor in sides:
        shapes += _ends(x, at_k, size_k, scale, names, colour_k, anchor, high)
    label = "Ribbons from the types before refinement, left, to those after, right, as wide as they have cells"
    drawing = Markup('<svg viewBox="0 -8 {} {:.0f}" width="100%" role="img" aria-label="{}">{}</svg>')
    caption = Markup("<figcaption>{}</figcaption>").format(f"{label}; cells that kept their type are pale.")
    body = drawing.format(WIDTH, high + 16, label, Markup("").join(shapes))
    return Markup("<figure>{}{}</figure>").format(caption, body)


def _where(flow_kk: Array, scale: float, gap: float) -> tuple[Array, Array, Array, Array]:
    """Upper edge of each ribbon left and right, and of each type's block left and right."""
    blocks = []
    for side in (1, 0):
        size_k = flow_kk.sum(axis=side) * scale
        blocks.append(np.concatenate([[0.0], np.cumsum(size_k)[:-1]]) + gap * np.arange(size_k.size))
    left_k, right_k = blocks
    above_left, above_right = ((np.cumsum(flow_kk, axis=side) - flow_kk) * scale for side in (1, 0))
    return left_k[:, None] + above_left, right_k[None, :] + above_right, left_k, right_k


def _ribbon(start: float, stop: float, thick: float, colour: str, *, pale: bool, title: str) -> Markup:
    x0, x1 = ROOM + BAR, WIDTH - ROOM - BAR
    half = (x0 + x1) / 2
    there = f"M{x0} {start:.1f}C{half} {start:.1f} {half} {stop:.1f} {x1} {stop:.1f}"
    back = f"V{stop + thick:.1f}C{half} {stop + thick:.1f} {half} {start + thick:.1f} {x0} {start + thick:.1f}Z"
    shape = Markup('<path d="{}" fill="{}" opacity="{}"><title>{}</title></path>')
    return shape.format(there + back, colour, ".18" if pale else ".75", title)


def _ends(
    x: float,
    at_k: Array,
    size_k: Array,
    scale: float,
    names: Sequence[str],
    colour_k: Sequence[str],
    anchor: str,
    high: float,
) -> list[Markup]:
    block = Markup('<rect x="{:.0f}" y="{:.1f}" width="{}" height="{:.1f}" fill="{}"/>')
    word = Markup('<text x="{:.0f}" y="{:.1f}" text-anchor="{}" font-size="14" fill="currentColor">{}</text>')
    left = x if anchor == "end" else x - BAR
    text_k = spread_apart(at_k + size_k * scale / 2, 17, 0, high)
    shapes = []
    for k, name in enumerate(names):
        shapes.append(block.format(left, at_k[k], BAR, max(0.5, size_k[k] * scale) if size_k[k] else 0, colour_k[k]))
        shown = name if len(name) <= 28 else f"{name[:27]}\N{HORIZONTAL ELLIPSIS}"
        place = x - 8 if anchor == "end" else x + 8
        shapes.append(word.format(place, text_k[k] + 5, anchor, f"{shown}  {size_k[k]:,}"))
    return shapes
