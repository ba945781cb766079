"""Tables and figures of the page of corrected components."""

from __future__ import annotations

from typing import Any

import numpy as np
from markupsafe import Markup

from corpuscle.report._axis import Axis
from corpuscle.report._lanes import Lane, histogram_path, lanes
from corpuscle.report._scatter import Cloud, scatter
from corpuscle.report._table import Cell, Column, table
from corpuscle.report.format import count, fixed, significant

__all__ = ["against_share", "correlation", "correlations_table", "eigenvalues_table", "scree_figure", "shares_figure"]

Array = np.ndarray[Any, Any]
WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 620, 260, 64, 12, 216
#: Components in the figure and the table.
SHOWN = 50
#: Cells drawn against their share.
DRAWN = 8_000


def correlation(x_n: Array, y_n: Array) -> float:
    """Pearson's, NaN where either does not vary."""
    if len(x_n) < 3 or np.ptp(x_n) < 1e-12 or np.ptp(y_n) < 1e-12:
        return float("nan")
    return float(np.corrcoef(x_n, y_n)[0, 1])


def scree_figure(value_k: Array) -> Markup:
    """Eigenvalues of the components, largest first, as bars."""
    value_k = value_k[:SHOWN]
    axis = Axis(0.0, float(value_k.max()) * 1.04, "eigenvalue")
    step = (WIDTH - LEFT) / len(value_k)
    height = BOTTOM - TOP

    def down(place: float | None) -> float:
        return BOTTOM - (place or 0.0) * height / 100

    line = Markup(
        '<line class="grid" x1="{0}" x2="{1}" y1="{2:.1f}" y2="{2:.1f}"/><text class="y" x="{3}" y="{4:.1f}">{5}</text>'
    )
    bar = Markup('<path class="shape" d="M{:.1f} {}V{:.1f}h{:.1f}V{}Z"><title>component {}: {}</title></path>')
    parts = [line.format(LEFT, WIDTH, down(at), LEFT - 8, down(at) + 5, label) for at, label in axis.ticks()]
    parts += [
        bar.format(
            LEFT + k * step,
            BOTTOM,
            down(axis.at(float(value))),
            max(step - 1.5, 0.8),
            BOTTOM,
            k + 1,
            significant(value),
        )
        for k, value in enumerate(value_k)
    ]
    marks = sorted({1, *range(10, len(value_k) + 1, 10)})
    parts += [
        Markup('<text class="x" x="{:.1f}" y="{}">{}</text>').format(LEFT + (k - 0.5) * step, BOTTOM + 20, k)
        for k in marks
    ]
    drawing = Markup('<svg viewBox="0 0 {} {}" width="100%" role="img" aria-label="Eigenvalues by component">{}</svg>')
    return Markup('<figure><figcaption>{}</figcaption><div class="plot">{}</div></figure>').format(
        "Eigenvalue of each component: the sum of squares it stands for, after correction.",
        drawing.format(WIDTH + 12, HEIGHT, Markup("").join(parts)),
    )


def eigenvalues_table(value_k: Array, ratio_k: Array) -> Markup:
    """The numbers behind the bars."""
    columns = [Column("k", "component"), Column("value", "eigenvalue"), Column("ratio", "share of the trace")]
    rows = [
        [Cell(str(k + 1), float(k + 1)), Cell(significant(value), float(value)), Cell(fixed(ratio), float(ratio))]
        for k, (value, ratio) in enumerate(zip(value_k[:SHOWN], ratio_k[:SHOWN], strict=True))
    ]
    return table("eigenvalues-table", "Components by eigenvalue", columns, rows)


def shares_figure(share_n: Array) -> Markup:
    """Histogram of the observed shares of the cells."""
    axis = Axis.around(share_n, "observed share of a cell's entries")
    lane = Lane("cells", shape=histogram_path(share_n, axis), numbers=[fixed(np.median(share_n), 2)])
    return lanes([lane], axis, caption="How much of each cell was observed", heads=["median"])


def against_share(share_n: Array, zero_n: Array, corrected_n: Array, names: Any) -> Markup:
    """Observed share of each cell against its first component, zero-filled and corrected."""
    kept = slice(None, None, max(1, -(-len(share_n) // DRAWN)))
    values = {"zero-filled": (share_n[kept], zero_n[kept]), "corrected": (share_n[kept], corrected_n[kept])}
    notes = {
        name: f"Correlation {fixed(correlation(share_n, full_n), 2)} over {count(len(share_n))} cells."
        for name, full_n in (("zero-filled", zero_n), ("corrected", corrected_n))
    }
    cloud = Cloud(
        "all cells", "observed share", "first component", [str(name) for name in names[kept]], values, None, notes
    )
    return scatter("against-share", "First component against how much of the cell was observed", [cloud], topic="cells")


def correlations_table(share_n: Array, coordinates: dict[str, Array]) -> Markup:
    """Correlation of the first two components with the observed share, by method."""
    columns = [Column("method", "components of", numeric=False), Column("one", "first"), Column("two", "second")]
    rows = []
    for name, places_nk in coordinates.items():
        found = [correlation(share_n, places_nk[:, k]) if places_nk.shape[1] > k else float("nan") for k in (0, 1)]
        rows.append([Cell(name, name), *(Cell(fixed(value, 2), float(value)) for value in found)])
    return table("share-table", "Correlation with the observed share of a cell", columns, rows, sortable=False)
