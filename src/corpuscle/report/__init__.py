"""Result tables to plots and one self-contained page."""

from corpuscle.report._axis import Axis
from corpuscle.report._lanes import Lane, Mark, Span, histogram_path, lanes
from corpuscle.report._page import Page, Section, panels, prose, render, side_by_side, terms, unfold
from corpuscle.report._registry import Presentation, presentation, register
from corpuscle.report._result import COLUMNS, Result
from corpuscle.report._scatter import Cloud, scatter
from corpuscle.report._sections import failures_section, run_section
from corpuscle.report._table import Cell, Column, frame_table, table, value_cell

__all__ = [
    "COLUMNS",
    "Axis",
    "Cell",
    "Cloud",
    "Column",
    "Lane",
    "Mark",
    "Page",
    "Presentation",
    "Result",
    "Section",
    "Span",
    "failures_section",
    "frame_table",
    "histogram_path",
    "lanes",
    "panels",
    "presentation",
    "prose",
    "register",
    "render",
    "run_section",
    "scatter",
    "side_by_side",
    "table",
    "terms",
    "unfold",
    "value_cell",
]
