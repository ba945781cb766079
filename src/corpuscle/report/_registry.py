"""Which page, plots and leaderboard belong to which benchmark.

A benchmark registers its own when it is imported, so that this room needs to know none of them. A result of a
benchmark that nobody registered still has a page: its tidy table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from corpuscle.report._page import Page
    from corpuscle.report._result import Result

__all__ = ["Presentation", "presentation", "register"]


@dataclass(frozen=True)
class Presentation:
    """How one benchmark is shown.

    Attributes
    ----------
    page
        Result -> :class:`~corpuscle.report.Page`.
    plots
        Kind -> function of a result that returns a matplotlib ``Figure``; the first is the default.
    leaderboard
        Result -> one row per method, best first.
    summary
        Result -> the same as few columns of text, for a terminal.
    """

    page: Callable[[Result], Page]
    plots: Mapping[str, Callable[[Result], Any]]
    leaderboard: Callable[[Result], pd.DataFrame]
    summary: Callable[[Result], pd.DataFrame]


_registered: dict[str, Presentation] = {}


def register(
    benchmark: str,
    *,
    page: Callable[[Result], Page] | None = None,
    plots: Mapping[str, Callable[[Result], Any]] | None = None,
    leaderboard: Callable[[Result], pd.DataFrame] | None = None,
    summary: Callable[[Result], pd.DataFrame] | None = None,
) -> None:
    """Say how results of ``benchmark`` are shown; what is left out stays generic. Registering again replaces."""
    generic = _generic()
    _registered[benchmark] = Presentation(
        page or generic.page,
        generic.plots if plots is None else plots,
        leaderboard or generic.leaderboard,
        summary or generic.summary,
    )


def presentation(benchmark: str) -> Presentation:
    """How results of ``benchmark`` are shown."""
    return _registered.get(benchmark) or _generic()


def _generic() -> Presentation:
    from corpuscle.report import _generic as generic

    return Presentation(generic.page, {"table": generic.plot}, generic.leaderboard, generic.summary)
