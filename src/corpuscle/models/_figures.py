"""What all matplotlib figures share: ink, an empty figure, and axes without what says nothing."""

from __future__ import annotations

from typing import Any

__all__ = ["INK", "QUIET", "SHAPE", "new_figure", "tidy"]

INK, QUIET, SHAPE = "#1d1c1f", "#77727a", "#d5cfc6"


def new_figure(width: float, height: float) -> Any:
    """A figure that leaves pyplot and the caller's backend alone."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, max(2.2, height)), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def tidy(axis: Any, *, grid: str | None = None) -> None:
    """Take away what says nothing."""
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=8)
    if grid is not None:
        axis.grid(axis=grid, color=SHAPE, linewidth=0.5)
        axis.set_axisbelow(True)
